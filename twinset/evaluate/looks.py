"""Whether the model of looks knows what goes with an outfit: each item of labelled photos is hidden and guessed.

A guess is a category and a base colour. Beside the model stand two guesses from the training photos' frequencies: of
all pairs, and of those whose category is not worn already.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.errors import DataError
from twinset.looks.model import LookModel
from twinset.looks.outfits import Outfit, Worn

TOP = 3
Guess = Callable[[Sequence[Worn]], NDArray[np.float64]]  # what else is worn -> (C, K) scores


@dataclass(frozen=True, slots=True)
class Guessed:
    """How often one way of guessing is right."""

    top_1: float
    top_3: float
    colour_top_3: float  # of the item's category known, its colour among the first three


@dataclass(frozen=True, slots=True)
class LookFigures:
    n: int  # items hidden
    outfits: int
    model: Guessed
    frequency: Guessed
    frequency_unworn: Guessed
    per_category: dict[str, tuple[int, float, float]]  # items, top 3 of the model and of frequency

    @property
    def gain(self) -> float:
        """How many times as often as frequency the model is right, of three guesses."""
        return self.model.top_3 / self.frequency.top_3 if self.frequency.top_3 else float("inf")

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {"top_3": self.model.top_3, "gain": self.gain} | asdict(self)


def evaluate_looks(outfits: Iterable[Outfit], model: LookModel) -> LookFigures:
    """Return the figures on outfits. An item of a pair that the model doesn't know counts as wrong.

    Raises DataError for no outfits.
    """
    guesses: dict[str, Guess] = {
        "model": lambda worn: model.chances(worn, whole=True),
        "frequency": lambda worn: _frequency(model),
        "frequency_unworn": lambda worn: _frequency(model) * _unworn(worn, model),
    }
    ranks: dict[str, list[tuple[int, int]]] = {name: [] for name in guesses}
    hidden: list[str] = []
    count = 0
    for outfit in outfits:
        count += 1
        for i, pair in enumerate(outfit.worn):
            others = outfit.worn[:i] + outfit.worn[i + 1 :]
            hidden.append(pair[0])
            for name, guess in guesses.items():
                ranks[name].append(_ranks(guess(others), pair, model))
    if not hidden:
        raise DataError("expected photos with two labelled items or more, found none; check --voc, --ccp and --split")
    places = {name: np.array(found) for name, found in ranks.items()}
    right = {name: found[:, 0] < TOP for name, found in places.items()}
    per_category = {}
    for category in model.categories:
        mine = np.array([name == category for name in hidden])
        if mine.any():
            own, plain = (float(right[name][mine].mean()) for name in ("model", "frequency"))
            per_category[category] = int(mine.sum()), own, plain
    return LookFigures(
        len(hidden), count, **{name: _guessed(found) for name, found in places.items()}, per_category=per_category
    )


def _ranks(scores: NDArray[np.float64], pair: Worn, model: LookModel) -> tuple[int, int]:
    """Return how many pairs are guessed no later than the right one, and how many colours of its category."""
    if pair[0] not in model.categories or pair[1] not in model.colours:
        return scores.size, len(model.colours)
    row, column = model.categories.index(pair[0]), model.colours.index(pair[1])
    score = scores[row, column]
    return int((scores >= score).sum()) - 1, int((scores[row] >= score).sum()) - 1


def _guessed(places: NDArray[np.int64]) -> Guessed:
    return Guessed(
        float((places[:, 0] < 1).mean()), float((places[:, 0] < TOP).mean()), float((places[:, 1] < TOP).mean())
    )


def _frequency(model: LookModel) -> NDArray[np.float64]:
    return model.frequency.reshape(len(model.categories), -1).astype(np.float64)


def _unworn(worn: Sequence[Worn], model: LookModel) -> NDArray[np.float64]:
    """Return (C, 1) 1 for categories that are not worn, next to nothing for the others."""
    there = {category for category, _ in worn}
    return np.array([[1e-9 if name in there else 1.0] for name in model.categories])
