"""The process that faults.py kills: it writes, tidies up, copies or rolls models out, and says what steps are done."""

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twinset import rollout
from twinset.pipeline import Progress
from twinset.store import DIM, Entry, Key, Shelf, Store, lance, open_shelf, open_store, views
from twinset.store.copy import copy_to
from twinset.store.generations import DROPPING, all_generations
from twinset.types import Colour, Item, Product

MODEL, OTHER = "faults-1", "faults-2"  # that are rolled out in turn
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
    rollout.SETTLE_S = 0.2


def main() -> None:
    """Work as argv's JSON says until killed."""
    plan = json.loads(sys.argv[1])
    small_limits()
    store = open_store(plan["store"])
    _say("working")
    number = int(plan["first"])
    while plan["kind"] == "copy":
        copy_to(store, Path(plan["target"]))
    while True:
        if plan["kind"] == "reindex":
            store = _roll_out(open_shelf(plan["store"]), store.uri, number)
        _take(step_of(number), store)
        _say(str(number))
        if plan["kind"] == "compact":
            store.compact()
        number += 1


def _take(step: Step, store: Store) -> None:
    """Write and remove what a step says."""
    model = store.model_version
    store.upsert([_entry(product_id, step.price, model) for product_id in step.written])
    store.delete([Key("default", product_id) for product_id in step.removed])


def _roll_out(shelf: Shelf, uri: str, number: int) -> Store:
    """Build the generation of the other model, switch to it, or back, or drop it; return what is in use then."""
    generations = all_generations(shelf, lambda model: model)
    for one in generations.listed:
        if one.state == DROPPING:
            rollout.drop(shelf, one.number)
    other = OTHER if generations.current.model == MODEL else MODEL
    generation, _ = rollout.reindex(shelf, other, other, _describer(other))
    if number % 4 == 3:
        rollout.drop(shelf, generation.number)
    else:
        rollout.switch(shelf, lambda one: _describer(one.model), number=generation.number)
    return open_store(uri)


def _describer(model: str) -> rollout.Describe:
    def describe(entries: Iterator[Entry], target: Store, progress: Progress) -> list[rollout.Failure]:
        for batch in batched(entries):
            target.upsert([_entry(entry.product.product_id, float(entry.product.price or 0), model) for entry in batch])
        return []

    return describe


def batched(entries: Iterator[Entry], size: int = 200) -> Iterator[list[Entry]]:
    """Yield products some at a time."""
    while batch := list(islice(entries, size)):
        yield batch


def _entry(product_id: str, price: float, model: str) -> Entry:
    """Return a product of one or two items, whose vectors tell its price and the model."""
    count = 1 + int(price) % 2
    product = Product(product_id, tuple(f"{i}.jpg" for i in range(count)), price=price, category="top")
    items = tuple(
        Item(
            "top",
            None,
            (0.0, 0.0, 1.0, 1.0),
            vector_of(product_id, price, model, i),
            (Colour("red", 1.0),),
            {},
            model,
            product_id,
            image_no=i,
        )
        for i in range(count)
    )
    return Entry(product, items, (str(price),) * count, str(price))


def vector_of(product_id: str, price: float, model: str, image_no: int = 0) -> NDArray[np.float32]:
    """Return the vector that a model gives a picture of a product."""
    rng = np.random.default_rng([int(product_id[1:]), int(price), image_no, (MODEL, OTHER).index(model)])
    vector = rng.standard_normal(DIM).astype(np.float32)
    unit: NDArray[np.float32] = vector / np.linalg.norm(vector)
    return unit


def _say(word: str) -> None:
    print(word, flush=True)


if __name__ == "__main__":
    main()
