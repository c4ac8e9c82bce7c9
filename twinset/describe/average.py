"""The mean of encoders' weights: often better than any of them, where each was trained on from another.

Wortsman et al., "Model soups", ICML 2022, arXiv 2203.05482, section 2.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from twinset.describe.samples import Vocabulary
from twinset.describe.start import start_from_exported
from twinset.describe.train import EncoderSettings, Trainee, build_trainee


def average_encoder(
    trainee: Trainee, settings: EncoderSettings, vocabulary: Vocabulary, others: Sequence[Path]
) -> None:
    """Give a trained network and its classifiers the mean of their weights and those in other encoder.onnx files.

    Raises DataError for networks of another build, ModelError.
    """
    states = [trainee.state_dict()]
    for file in others:
        other = build_trainee(settings, vocabulary)
        start_from_exported(other.net, other.tasks, vocabulary, file)
        states.append(other.state_dict())
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0)
        for name, value in states[0].items()
        if value.is_floating_point()
    }
    trainee.load_state_dict(states[0] | mean)
