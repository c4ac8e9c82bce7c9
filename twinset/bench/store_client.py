"""The process that asks a store, as a service would: told what by JSON, it answers in JSON lines. store.py starts it.

First it opens the store and asks each kind of query. Then, told of products that are going to change, it asks for them
until it is told to stop, and notes when each query began, what it took and whether it saw the change.
"""

import json
import math
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.errors import TwinsetError
from twinset.store import Store, open_store, parse_where

KINDS = ("all", "category", "category+colour+price")
WARM_UP = 10  # queries of each kind that are not timed


@dataclass(frozen=True, slots=True)
class Asked:
    """What the queries took and found."""

    open_s: float  # from opening the store to its first answer
    anonymous_mb: float  # memory of this process that is no mapped file, after all queries
    times_ms: dict[str, list[float]]
    ids: dict[str, list[list[str]]]


def main() -> None:
    """Do as argv's JSON says."""
    plan = json.loads(sys.argv[1])
    loaded = np.load(plan["queries"])
    queries, categories = loaded["queries"], loaded["categories"].tolist()
    began = time.perf_counter()
    store = open_store(plan["store"])
    store.search(queries[:1], plan["k"], categories[:1])
    open_s = time.perf_counter() - began
    _say(asdict(ask(store, queries, categories, plan["k"], plan["where"], open_s)))
    follow(store, _messages())


def ask(
    store: Store,
    queries: NDArray[np.float32],
    categories: list[str],
    k: int,
    where: list[str],
    open_s: float = math.nan,
) -> Asked:
    """Return what each kind of query took and found."""
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    ids: dict[str, list[list[str]]] = {kind: [] for kind in KINDS}
    filters = dict(zip(KINDS, (None, None, parse_where(where)), strict=True))
    for kind in KINDS:
        for i in [*range(min(WARM_UP, len(queries))), *range(len(queries))]:
            began = time.perf_counter()
            category = None if kind == "all" else categories[i]
            (hits,) = store.search(queries[i : i + 1], k, [category], filters[kind])
            times[kind].append((time.perf_counter() - began) * 1000)
            ids[kind].append([hit.product_id for hit in hits])
        del times[kind][:WARM_UP], ids[kind][:WARM_UP]
    return Asked(open_s, anonymous_mb(), times, ids)


def follow(store: Store, messages: Iterator[dict[str, Any]]) -> None:
    """Ask for products that are going to change until told to stop."""
    told = next(messages)
    vectors = np.array(told["vectors"], np.float32)
    stop = threading.Event()

    def wait() -> None:
        next(messages)
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    _say({"asking": True})
    times: list[tuple[float, float, bool]] = []
    failed = number = 0
    while not stop.is_set():
        i, number = number % len(vectors), number + 1
        started, began = time.time(), time.perf_counter()
        try:
            (hits,) = store.search(vectors[i : i + 1], 1, [told["categories"][i]])
            new = bool(hits) and hits[0].product_id == told["ids"][i] and hits[0].product.price == told["price"]
            times.append((started, (time.perf_counter() - began) * 1000, new))
        except TwinsetError:
            failed += 1
    _say({"times": times, "failed": failed})


def anonymous_mb() -> float:
    """Return this process's memory that no file stands behind, NaN where this system doesn't tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return math.nan
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), math.nan)


def _messages() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def _say(message: object) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
