"""What goes with what: the chance of each category and base colour beside items that are worn, as one linear model.

A softmax over pairs of category and colour. Its inputs say which pairs, categories and colours are worn; where they are
all that is worn but one item, also which categories are missing. The weights are a JSON file beside a model's networks.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.errors import ModelError
from twinset.looks.outfits import Worn
from twinset.models import WEIGHTS

FILE = "looks.json"
FORMAT = 1
DECIMALS = 4  # of weights and shares in the file


@dataclass(frozen=True, slots=True, eq=False)
class LookModel:
    """C categories and K colours; a pair of them is row c * K + k of what it returns."""

    categories: tuple[str, ...]
    colours: tuple[str, ...]
    weights: NDArray[np.float32]  # (inputs, C * K)
    frequency: NDArray[np.float32]  # (C * K,) share of each pair among all items it was trained on

    def chances(self, worn: Sequence[Worn], whole: bool = False) -> NDArray[np.float64]:
        """Return (C, K) the chance of each pair beside what is worn; `whole` says that one item alone is missing.

        Pairs that the model doesn't know are passed over.
        """
        scores = (inputs(worn, self.categories, self.colours, whole) @ self.weights).astype(np.float64)
        chances = np.exp(scores - scores.max())
        shape = len(self.categories), len(self.colours)
        return np.asarray((chances / chances.sum()).reshape(shape))


def inputs(
    worn: Sequence[Worn], categories: Sequence[str], colours: Sequence[str], whole: bool = False
) -> NDArray[np.float32]:
    """Return the (C * K + C + K + C + 1) inputs for what is worn; the last is always 1."""
    pairs = np.zeros((len(categories), len(colours)), np.float32)
    for category, colour in worn:
        if category in categories and colour in colours:
            pairs[categories.index(category), colours.index(colour)] += 1
    there = pairs.any(1).astype(np.float32)
    missing = 1 - there if whole else np.zeros_like(there)
    return np.concatenate([pairs.ravel(), there, pairs.any(0), missing, [1]]).astype(np.float32)


NO_LOOKS = LookModel((), (), np.zeros((1, 0), np.float32), np.zeros(0, np.float32))  # nothing goes with anything


def has_looks(folder: Path) -> bool:
    """Return whether a model has looks, its own or Twinset's.

    A model that ships without has none: `clean` owes nothing to the photos that those of `default` were learned from.
    """
    return (folder / FILE).is_file() or folder.resolve().parent != WEIGHTS.resolve()


def load_looks(folder: Path) -> LookModel:
    """Return the model in a folder of weights, Twinset's own where it has none. Raises ModelError."""
    if not has_looks(folder):
        raise ModelError(
            f"model {folder.name}: expected a model of looks, found no {FILE}; "
            f"put one of twinset train looks into a copy of {folder}"
        )
    file = folder / FILE
    if not file.is_file():
        file = WEIGHTS / "default" / FILE
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}")
        categories, colours = tuple(data["categories"]), tuple(data["colours"])
        weights = np.array(data["weights"], np.float32)
        frequency = np.array(data["frequency"], np.float32)
        pairs = len(categories) * len(colours)
        if weights.shape != (pairs + 2 * len(categories) + len(colours) + 1, pairs) or frequency.shape != (pairs,):
            raise ValueError(f"weights of shape {weights.shape}")
        return LookModel(categories, colours, weights, frequency)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(
            f"{file}: expected a model of looks, found: {exc!r}; train one with twinset train looks"
        ) from exc


def save_looks(model: LookModel, folder: Path, **facts: Any) -> Path:
    """Write a model into a folder, which is made, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    head = {"format": FORMAT, "categories": model.categories, "colours": model.colours, **facts}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    lines.append(f'"frequency": {_numbers(model.frequency)}')
    rows = ",\n".join(map(_numbers, model.weights))
    lines.append(f'"weights": [\n{rows}\n]')
    file = folder / FILE
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return file


def _numbers(row: NDArray[np.float32]) -> str:
    return json.dumps([round(float(number), DECIMALS) for number in row], separators=(",", ":"))
