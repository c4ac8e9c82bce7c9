"""The mean of encoders' weights: often better than any of them, where each was trained on from another."""

import copy
from collections.abc import Sequence
from pathlib import Path

from twinset.describe.refit import load_finished
from twinset.describe.samples import Vocabulary
from twinset.describe.start import start_from_exported
from twinset.describe.train import EncoderSettings, Trainee, build_trainee, load_trainee
from twinset.training import CHECKPOINT, mean_weights


def average_encoders(run: Path, others: Sequence[Path]) -> tuple[Trainee, EncoderSettings, Vocabulary]:
    """Return the mean of a folder's encoder and of exported ones, encoder.onnx files with labels.json beside them.

    `run` is a training's folder or a model's; the settings and classes are its own. What is chosen on dev is to be
    chosen anew. Raises DataError for networks of another build, ModelError for what is no encoder.
    """
    if (run / CHECKPOINT).exists():
        trainee, settings, vocabulary = load_trainee(run)
    else:
        finished = load_finished(run)
        settings, vocabulary = EncoderSettings(size=finished.encoder.config.size), finished.vocabulary
        trainee = build_trainee(settings, vocabulary)
        start_from_exported(trainee.net, trainee.tasks, vocabulary, run / "encoder.onnx")
    trainees = [trainee, *(copy.deepcopy(trainee) for _ in others)]
    for mine, file in zip(trainees[1:], others, strict=True):
        start_from_exported(mine.net, mine.tasks, vocabulary, file)
    trainee.load_state_dict(mean_weights(trainees))
    return trainee.eval(), settings, vocabulary
