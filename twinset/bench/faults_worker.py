"""The process that faults.py kills: it writes, tidies up or copies, and says each step once it is done."""

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twinset.store import DIM, Entry, Key, lance, open_store, views
from twinset.store.copy import copy_to
from twinset.types import Colour, Item, Product

MODEL = "faults"
PRODUCTS = 2000  # whose ids take turns
WRITTEN = 150  # by a step


@dataclass(frozen=True, slots=True)
class Step:
    """What one step writes and removes, the same for the same number."""

    written: tuple[str, ...]
    removed: tuple[str, ...]
    price: float  # of what it writes: tells what wrote a product last


def step_of(number: int) -> Step:
    """Return a step by its number."""
    rng = random.Random(number)
    names = [f"p{i:04}" for i in rng.sample(range(PRODUCTS), WRITTEN + 20)]
    return Step(tuple(names[:WRITTEN]), tuple(names[WRITTEN:]) if number % 3 == 2 else (), float(number + 1))


def small_limits() -> None:
    """Let files for searching be written, and tables be tidied, at a few hundred products already."""
    views.MAPPED_ROWS = 400
    lance.MAX_FRAGMENTS = 4


def main() -> None:
    """Work as argv's JSON says until killed."""
    plan = json.loads(sys.argv[1])
    small_limits()
    store = open_store(plan["store"], MODEL, create=True)
    _say("working")
    number = int(plan["first"])
    while plan["kind"] == "copy":
        copy_to(store, Path(plan["target"]))
    while True:
        step = step_of(number)
        store.upsert([_entry(product_id, step.price) for product_id in step.written])
        store.delete([Key("default", product_id) for product_id in step.removed])
        _say(str(number))
        if plan["kind"] == "compact":
            store.compact()
        number += 1


def _entry(product_id: str, price: float) -> Entry:
    """Return a product of one or two items, whose vectors tell its price."""
    count = 1 + int(price) % 2
    product = Product(product_id, tuple(f"{i}.jpg" for i in range(count)), price=price, category="top")
    items = tuple(
        Item(
            "top",
            None,
            (0.0, 0.0, 1.0, 1.0),
            _vector(product_id, price, i),
            (Colour("red", 1.0),),
            {},
            MODEL,
            product_id,
            image_no=i,
        )
        for i in range(count)
    )
    return Entry(product, items, ("",) * count, str(price))


def _vector(product_id: str, price: float, image_no: int) -> NDArray[np.float32]:
    rng = np.random.default_rng([int(product_id[1:]), int(price), image_no])
    vector = rng.standard_normal(DIM).astype(np.float32)
    unit: NDArray[np.float32] = vector / np.linalg.norm(vector)
    return unit


def _say(word: str) -> None:
    print(word, flush=True)


if __name__ == "__main__":
    main()
