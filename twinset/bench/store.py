"""A store under load: ingest, its files for searching, queries with and without filters, and changes while queries run.

What limits a query is reading vectors: the store reads those of one category, a byte a number, numpy all of them in
fp32. Queries are asked in a process of their own, as a service's are; it opens a store that was written by another.
Beside it numpy's exact scan of all vectors and, if it is installed, FAISS's HNSW, on the same vectors in the same run.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from twinset.bench.generated import MODEL, WHERE, Catalogue, draw_queries, generate
from twinset.bench.references import Timed, faiss_hnsw, numpy_exact, recall
from twinset.bench.store_client import KINDS, Asked
from twinset.bench.timing import percentiles, print_results
from twinset.bench.yardstick import yardstick_ms
from twinset.errors import DataError
from twinset.store import Store, open_store

K = 24
QUERIES = 200  # of each kind
BATCH = 5000  # products written at once
CHANGED = 1000  # products changed while queries run
BEFORE_S = 3.0  # queries are timed for so long before that,
AFTER_S = 2.0  # and after it
HEADER = ("what", "query", "p50_ms", "p95_ms", f"recall_at_{K}", "of_yardstick")


@dataclass(frozen=True, slots=True)
class Written:
    """How a store was filled."""

    items_a_second: float
    build_s: float  # of the files or the index that searches use


@dataclass(frozen=True, slots=True)
class Changed:
    """What changing products did to the queries that ran meanwhile."""

    visible_s: float  # from the start of the write to the first answer that shows it; infinite if none did
    failed: int
    p95_before_ms: float
    p95_during_ms: float


def run(items: int, uri: str | None = None, seed: int = 0, faiss: bool = True) -> None:
    """Print what was measured, and a JSON line with it and with the goals a million items are held to."""
    catalogue = generate(items, seed)
    near, queries = draw_queries(catalogue, QUERIES, seed + 1)
    with tempfile.TemporaryDirectory() as folder:
        place = uri or str(Path(folder) / "store")
        click.echo(f"{items:,} items into {place}", err=True)
        store = open_store(place, MODEL, create=True)
        if store.count():
            raise DataError(f"store {place}: expected a new one, found products; choose another --store")
        written = _fill(store, catalogue)
        categories = [catalogue.names[catalogue.categories[i]] for i in near]
        np.savez(Path(folder) / "queries.npz", queries=queries, categories=np.array(categories))
        with _Client(place, Path(folder) / "queries.npz") as client:
            asked = client.asked()
            changed = _change(store, catalogue, client, seed)
    masks = _masks(catalogue, near)
    exact = numpy_exact(catalogue.vectors, queries, masks, K)
    hnsw = faiss_hnsw(catalogue.vectors, queries, masks, K) if faiss else None
    if faiss and hnsw is None:
        click.echo("FAISS is not timed beside it: pip install 'twinset[bench]'", err=True)
    _print(items, written, asked, changed, _Answers(catalogue.vectors, queries, asked, exact, hnsw))


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """What was found for the queries, by whom."""

    vectors: NDArray[np.float32]
    queries: NDArray[np.float32]
    asked: Asked
    exact: dict[str, Timed]
    hnsw: dict[str, Timed] | None

    @property
    def found(self) -> dict[str, list[list[int]]]:
        return {kind: [[int(i) for i in ids] for ids in self.asked.ids[kind]] for kind in KINDS}

    def recalls(self, found: dict[str, list[list[int]]]) -> dict[str, float]:
        """Return the recall of each kind of query."""
        return {kind: recall(found[kind], self.exact[kind].ids, self.vectors, self.queries) for kind in KINDS}

    def timed(self) -> Iterator[tuple[str, dict[str, list[float]], dict[str, float]]]:
        """Yield (who, times by kind, recall by kind)."""
        yield "store", self.asked.times_ms, self.recalls(self.found)
        for what, timed in (("numpy, exact", self.exact), ("faiss, HNSW", self.hnsw)):
            if timed:
                found = {kind: timed[kind].ids for kind in KINDS}
                yield what, {kind: timed[kind].times_ms for kind in KINDS}, self.recalls(found)


def _fill(store: Store, catalogue: Catalogue) -> Written:
    spent = 0.0
    for batch in catalogue.batches(BATCH):
        began = time.perf_counter()
        store.upsert(batch)
        spent += time.perf_counter() - began
    began = time.perf_counter()
    store.compact()
    store.count()  # a directory's files for searching are there by now
    return Written(len(catalogue.vectors) / spent, time.perf_counter() - began)


def _masks(catalogue: Catalogue, near: NDArray[np.int64]) -> dict[str, list[NDArray[np.bool_] | None]]:
    """Return for each kind of query which items each may find, None for all."""
    within = {code: catalogue.categories == code for code in set(catalogue.categories[near].tolist())}
    meets = catalogue.meets()
    filtered = {code: mask & meets for code, mask in within.items()}
    codes = catalogue.categories[near].tolist()
    return dict(zip(KINDS, ([None] * len(near), [within[c] for c in codes], [filtered[c] for c in codes]), strict=True))


class _Client:
    """The process that asks; see store_client.py."""

    def __init__(self, place: str, queries: Path) -> None:
        plan = {"store": place, "queries": str(queries), "k": K, "where": WHERE}
        command = [sys.executable, "-m", "twinset.bench.store_client", json.dumps(plan)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "_Client":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def asked(self) -> Asked:
        return Asked(**self.read())

    def tell(self, **message: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise DataError("expected answers of the process that asks, found that it ended; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _change(store: Store, catalogue: Catalogue, client: _Client, seed: int) -> Changed:
    """Change the prices of some products while they are asked for, and return what the queries saw."""
    chosen = np.random.default_rng(seed + 2).choice(len(catalogue.vectors), min(CHANGED, len(catalogue.vectors)), False)
    price = 1.0  # none has it
    asked = chosen[:QUERIES]
    client.tell(
        vectors=catalogue.vectors[asked].tolist(),
        categories=[catalogue.names[catalogue.categories[i]] for i in asked],
        ids=[str(i) for i in asked],
        price=price,
    )
    assert client.read() == {"asking": True}
    time.sleep(BEFORE_S)
    began = time.time()
    store.upsert([catalogue.entry(int(i), price) for i in chosen])
    store.compact()
    time.sleep(AFTER_S)
    client.tell(stop=True)
    found = client.read()
    before = [ms for started, ms, _ in found["times"] if started < began]
    during = [ms for started, ms, _ in found["times"] if started >= began]
    seen = [started + ms / 1000 for started, ms, new in found["times"] if new and started >= began]
    visible = min(seen) - began if seen else float("inf")
    return Changed(visible, found["failed"], percentiles(before)[1], percentiles(during)[1])


def _print(items: int, written: Written, asked: Asked, changed: Changed, answers: "_Answers") -> None:
    unit = yardstick_ms()
    rows = [
        (what, kind, *percentiles(times[kind]), recalls[kind], percentiles(times[kind])[0] / unit)
        for what, times, recalls in answers.timed()
        for kind in KINDS
    ]
    medians = {kind: percentiles(asked.times_ms[kind])[0] for kind in KINDS}
    scan_ms = percentiles(answers.exact["all"].times_ms)[0]
    recalls = answers.recalls(answers.found)
    figures = {
        "ingest_a_second": written.items_a_second,
        "build_s": written.build_s,
        "open_to_answer_s": asked.open_s,
        "anonymous_mb": asked.anonymous_mb,
        **{f"{kind}_p50_ms": medians[kind] for kind in KINDS},
        **{f"{kind}_recall": recalls[kind] for kind in KINDS},
        **{f"{kind}_of_numpy": medians[kind] / scan_ms for kind in KINDS},
        **asdict(changed),
    }
    if answers.hnsw is not None:
        figures["faiss_build_s"] = answers.hnsw[KINDS[0]].build_s
    print_results("store", HEADER, rows, items=items, **figures, met=goals(figures), yardstick_ms=unit)


def goals(figures: dict[str, float]) -> dict[str, bool]:
    """Return which of the goals for a million items on two cores are met."""
    category, filtered = KINDS[1], KINDS[2]
    return {
        "category p50 <= 20 ms": figures[f"{category}_p50_ms"] <= 20,
        "category+colour+price p50 <= 15 ms": figures[f"{filtered}_p50_ms"] <= 15,
        "both <= 1/8 of numpy's scan of all": max(figures[f"{k}_of_numpy"] for k in (category, filtered)) <= 1 / 8,
        "recall of both >= 0.99": min(figures[f"{k}_recall"] for k in (category, filtered)) >= 0.99,
        "open to first answer <= 2 s": figures["open_to_answer_s"] <= 2,
        "anonymous memory <= 1200 MB": figures["anonymous_mb"] <= 1200,
        "ingest >= 10000 a second": figures["ingest_a_second"] >= 10_000,
        "build <= 600 s": figures["build_s"] <= 600,
        "1,000 changes visible <= 2 s": figures["visible_s"] <= 2,
        "no query fails meanwhile": figures["failed"] == 0,
        "p95 meanwhile at most doubles": figures["p95_during_ms"] <= 2 * figures["p95_before_ms"],
    }
