"""Train the model of looks: each item of an outfit is what was worn beside the others, and beside each one of them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinset.errors import DataError
from twinset.looks.model import LookModel, inputs
from twinset.looks.outfits import Outfit

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LookSettings:
    """How the model is trained. Strength and share were chosen on dev, among 1, 3, 10, 30 and 0.2, 0.5."""

    strength: float = 10.0  # of the pull towards zero, in examples: what is rarely seen together stays near average
    steps: int = 200
    rate: float = 0.05  # of a step, Adam's; a fifth of it for the last third
    single_share: float = 0.2  # of the weight of all examples, that of pairs of items

    def __post_init__(self) -> None:
        if self.strength < 0 or self.steps < 1 or self.rate <= 0 or not 0 <= self.single_share < 1:
            raise ValueError(f"expected strength >= 0, steps >= 1, rate > 0, single_share in [0, 1); found {self}")


def train_looks(
    settings: LookSettings, outfits: Sequence[Outfit], categories: Sequence[str], colours: Sequence[str]
) -> LookModel:
    """Return the model of what is worn together in outfits; the same ones give the same. Raises DataError for none."""
    if not outfits:
        raise DataError("expected photos with two labelled items or more, found none; check --voc and --ccp")
    places = {(c, k): i * len(colours) + j for i, c in enumerate(categories) for j, k in enumerate(colours)}
    rows: list[NDArray[np.float32]] = []
    wanted: list[int] = []
    single: list[bool] = []
    counts = np.zeros(len(places), np.float32)
    for outfit in outfits:
        for i, pair in enumerate(outfit.worn):
            if pair not in places:
                continue
            counts[places[pair]] += 1
            others = outfit.worn[:i] + outfit.worn[i + 1 :]
            for worn, whole in [(others, True), *(((other,), False) for other in others)]:
                rows.append(inputs(worn, categories, colours, whole))
                wanted.append(places[pair])
                single.append(not whole)
    alone = np.array(single)
    weight = np.where(alone, settings.single_share / alone.sum(), (1 - settings.single_share) / (~alone).sum())
    weights = _fit(
        np.stack(rows), np.array(wanted), weight.astype(np.float32), len(places), int(counts.sum()), settings
    )
    return LookModel(tuple(categories), tuple(colours), weights, counts / counts.sum())


def _fit(
    x: NDArray[np.float32],
    wanted: NDArray[np.int64],
    weight: NDArray[np.float32],
    classes: int,
    items: int,
    settings: LookSettings,
) -> NDArray[np.float32]:
    """Return the (inputs, classes) weights of least weighted cross-entropy, all but the last row pulled to zero."""
    found, mean, square = (np.zeros((x.shape[1], classes), np.float32) for _ in range(3))
    example = np.arange(len(x))
    for step in range(1, settings.steps + 1):
        scores = x @ found
        scores -= scores.max(1, keepdims=True)
        chances = np.exp(scores)
        chances /= chances.sum(1, keepdims=True)
        if step % 50 == 0:
            log.info("step %d loss %.4f", step, float(-(weight * np.log(chances[example, wanted] + 1e-12)).sum()))
        chances[example, wanted] -= 1
        slope = x.T @ (chances * weight[:, None])
        slope[:-1] += settings.strength / items * found[:-1]
        mean = 0.9 * mean + 0.1 * slope
        square = 0.99 * square + 0.01 * slope**2
        rate = settings.rate * (1.0 if step <= settings.steps * 2 / 3 else 0.2)
        found -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-6)
    return found
