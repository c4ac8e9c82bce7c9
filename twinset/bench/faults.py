"""Kill a process that works on a store again and again, and look whether what it had reported done is there.

Each round a worker (faults_worker.py) writes, tidies up, copies or rolls a model out, and is ended by `kill -9` at a
random moment. What it acknowledged must then be in the store, each product once; what it was about to do may be, whole
products only. Searches go on meanwhile and afterwards, each by the model of the store it opened: none may meet the
vectors of another.
"""

import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import click

from twinset.bench.faults_worker import MODEL, Step, small_limits, step_of, vector_of
from twinset.bench.timing import print_results
from twinset.errors import DataError
from twinset.store import Store, open_store, parse_where
from twinset.store.check import check_store
from twinset.store.copy import copy_to

KINDS = ("import", "compact", "copy", "reindex")
LONGEST_S = 1.5  # from a worker's first word to its end
SEARCH_S = 0.2  # before a kill nothing is begun that may be late
SEARCHED = 20  # products, after each kill
SAME_SCORE = 0.999
ROLLOUT_TIMES = 4  # as long a roll-out may go on
START_S = 300.0  # a worker says its first word by then
HEADER = (
    *("round", "killed at", "after_s", "acknowledged", "products"),
    *("lost", "doubled", "problems", "searches", "mixed"),
)


@dataclass(slots=True)
class Expected:
    """What must be in the store: the price of each product, by which it is told what wrote it last."""

    prices: dict[str, float] = field(default_factory=dict)

    def apply(self, step: Step) -> None:
        """Take note of a step that was acknowledged."""
        self.prices |= dict.fromkeys(step.written, step.price)
        for product_id in step.removed:
            self.prices.pop(product_id, None)

    def compare(self, found: dict[str, float], pending: Step | None) -> list[str]:
        """Return what was lost, given what is there; `pending` is the step that may be done in part."""
        lost = []
        for product_id in sorted(self.prices.keys() | found.keys()):
            allowed: set[float | None] = {self.prices.get(product_id)}
            if pending and product_id in pending.written:
                allowed.add(pending.price)
            if pending and product_id in pending.removed:
                allowed.add(None)
            if found.get(product_id) not in allowed:
                lost.append(
                    f"{product_id}: expected price {self.prices.get(product_id)}, found {found.get(product_id)}"
                )
        return lost


def run(kills: int, uri: str | None = None, seed: int = 0) -> None:
    """Print what each round found, then a JSON line. Raises DataError if anything was lost, doubled or damaged."""
    small_limits()
    rng = random.Random(seed)
    expected, first, rows = Expected(), 0, []
    with tempfile.TemporaryDirectory() as folder:
        place = uri or str(Path(folder) / "store")
        store = open_store(place, MODEL, create=True)
        if store.count():
            raise DataError(f"store {place}: expected a new one, found products; choose another --store")
        for number in range(kills):
            kind = KINDS[number % len(KINDS)]
            after_s = rng.uniform(0, LONGEST_S * (ROLLOUT_TIMES if kind == "reindex" else 1))
            target = Path(folder) / "copy"
            searches = Searches(place, rng)
            done = _killed(place, kind, first, after_s, target, searches)
            for step in range(first, first + done):
                expected.apply(step_of(step))
            pending = step_of(first + done) if kind != "copy" else None
            store = open_store(place)
            found = _prices(store)
            lost = expected.compare(found, pending)
            checked = check_store(store)
            searches.ask(SEARCHED)
            problems = checked.problems + (_finish_copy(store, target) if kind == "copy" else [])
            doubled = sum("is there twice" in problem for problem in problems)
            counts = len(lost), doubled, len(problems), searches.asked, len(searches.mixed)
            rows.append((number, kind, after_s, done, len(found), *counts))
            for problem in [*lost, *problems, *searches.mixed][:10]:
                click.echo(f"round {number}: {problem}", err=True)
            expected.prices = found
            first += done + (kind != "copy")
    bad = sum(lost + doubled + problems + mixed for *_, lost, doubled, problems, _, mixed in rows)
    killed = dict(Counter(kind for _, kind, *_ in rows))
    asked = sum(row[-2] for row in rows)
    where = "server" if uri else "directory"
    print_results("faults", HEADER, rows, kills=kills, killed=killed, store=where, searches=asked, bad=bad)
    if bad:
        raise DataError(f"expected a store without faults, found {bad}; they are told above")


class Searches:
    """Searches for products as they are stored, by the model of the store as it was opened."""

    def __init__(self, place: str, rng: random.Random) -> None:
        self._place, self._rng = place, rng
        self.asked = 0
        self.mixed: list[str] = []

    def ask(self, count: int) -> None:
        """Look for so many products, and note those that are there with other vectors than their own."""
        store = open_store(self._place)
        prices = _prices(store)
        for product_id in self._rng.sample(sorted(prices), min(count, len(prices))):
            price = prices[product_id]
            query = vector_of(product_id, price, store.model_version)[None]
            for hit in store.search(query, 1, ["top"], parse_where([f"product_id={product_id}"]))[0]:
                self.asked += 1
                if hit.product.price == price and hit.score < SAME_SCORE:  # another price: written meanwhile
                    model = store.model_version
                    self.mixed.append(f"{product_id}: expected a score of 1 by {model}, found {hit.score}")

    def until(self, end_s: float) -> None:
        """Search until a moment of the monotonic clock, which the last search may be late for."""
        while (left := end_s - time.monotonic()) > 0:
            if left < SEARCH_S:
                time.sleep(left)
            else:
                self.ask(3)


def _killed(place: str, kind: str, first: int, after_s: float, target: Path, searches: Searches) -> int:
    """Return how many steps a worker acknowledged before it was killed."""
    plan = {"store": place, "kind": kind, "first": first, "target": str(target)}
    command = [sys.executable, "-m", "twinset.bench.faults_worker", json.dumps(plan)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        late = threading.Timer(START_S, worker.kill)
        late.start()
        began = worker.stdout.readline()  # "working"
        late.cancel()
        searches.until(time.monotonic() + after_s)
        worker.kill()
        acknowledged = [line for line in worker.stdout if line.endswith("\n")]
    if not began:
        raise DataError("expected a worker that starts, found that it ended; its error is above")
    return len(acknowledged)


def _prices(store: Store) -> dict[str, float]:
    return {entry.product.product_id: float(entry.product.price or 0) for entry in store.entries()}


def _finish_copy(store: Store, target: Path) -> list[str]:
    """Finish a copy that was killed and return what is wrong with it."""
    copy_to(store, target)
    copied = open_store(target)
    problems = check_store(copied).problems
    if _prices(copied) != _prices(store):
        problems.append("expected a copy with the same products, found others")
    shutil.rmtree(target)
    return problems
