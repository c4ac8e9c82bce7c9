"""The mean of encoders' weights: often better than any of them, where each was trained on from another.

Wortsman et al., "Model soups", ICML 2022, arXiv 2203.05482, section 2.
"""

from collections.abc import Sequence
from pathlib import Path

from twinset.describe.samples import Vocabulary
from twinset.describe.start import start_from_exported
from twinset.describe.train import EncoderSettings, Trainee, build_trainee
from twinset.training import take_mean


def average_encoder(
    trainee: Trainee, settings: EncoderSettings, vocabulary: Vocabulary, others: Sequence[Path]
) -> None:
    """Give a trained network and its classifiers the mean of their weights and those in other encoder.onnx files.

    Raises DataError for networks of another build, ModelError.
    """
    started = [build_trainee(settings, vocabulary) for _ in others]
    for other, file in zip(started, others, strict=True):
        start_from_exported(other.net, other.tasks, vocabulary, file)
    take_mean(trainee, started)
