"""Kill a process that works on a store again and again, and look whether what it had reported done is there.

Each round a worker (faults_worker.py) writes, tidies up or copies, and is ended by `kill -9` at a random moment. What
it acknowledged must then be in the store, each product once; what it was about to do may be, whole products only.
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

from twinset.bench.faults_worker import MODEL, Step, small_limits, step_of
from twinset.bench.timing import print_results
from twinset.errors import DataError
from twinset.store import Store, open_store
from twinset.store.check import check_store
from twinset.store.copy import copy_to

KINDS = ("import", "compact", "copy")
LONGEST_S = 1.5  # from a worker's first word to its end
START_S = 300.0  # a worker says its first word by then
HEADER = ("round", "killed at", "after_s", "acknowledged", "products", "lost", "doubled", "problems")


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
            after_s = rng.uniform(0, LONGEST_S)
            target = Path(folder) / "copy"
            done = _killed(place, kind, first, after_s, target)
            for step in range(first, first + done):
                expected.apply(step_of(step))
            pending = step_of(first + done) if kind != "copy" else None
            found = _prices(store)
            lost = expected.compare(found, pending)
            checked = check_store(open_store(place))
            problems = checked.problems + (_finish_copy(store, target) if kind == "copy" else [])
            doubled = sum("is there twice" in problem for problem in problems)
            rows.append((number, kind, after_s, done, len(found), len(lost), doubled, len(problems)))
            for problem in [*lost, *problems][:10]:
                click.echo(f"round {number}: {problem}", err=True)
            expected.prices = found
            first += done + (kind != "copy")
    bad = sum(lost + doubled + problems for *_, lost, doubled, problems in rows)
    killed = dict(Counter(kind for _, kind, *_ in rows))
    print_results("faults", HEADER, rows, kills=kills, killed=killed, store="server" if uri else "directory", bad=bad)
    if bad:
        raise DataError(f"expected a store without faults, found {bad}; they are told above")


def _killed(place: str, kind: str, first: int, after_s: float, target: Path) -> int:
    """Return how many steps a worker acknowledged before it was killed."""
    plan = {"store": place, "kind": kind, "first": first, "target": str(target)}
    command = [sys.executable, "-m", "twinset.bench.faults_worker", json.dumps(plan)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        late = threading.Timer(START_S, worker.kill)
        late.start()
        began = worker.stdout.readline()  # "working"
        late.cancel()
        time.sleep(after_s)
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
