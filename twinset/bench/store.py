"""Ingest, query time and recall of the embedded store on clustered vectors, beside numpy's exact search of all of them.

What limits a query is reading vectors: the store reads those of one category, numpy all.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twinset.bench.timing import percentiles, print_results
from twinset.bench.yardstick import yardstick_ms
from twinset.store import open_store, parse_where
from twinset.store.base import DIM, Entry
from twinset.taxonomy import default_taxonomy
from twinset.types import Colour, Item, Product

CLUSTERS = 2000
K = 24
QUERIES = 100
BATCH = 5000
FILTER = ("colour=red", "price>=20", "price<=60")


def run(items: int) -> None:
    """Print times and recall for searches over all, one category, and a category with colour and price."""
    rng = np.random.default_rng(0)
    names = default_taxonomy().names
    palette = [name for name in default_taxonomy().colours if name != "multicolour"]
    share = 1 / np.arange(1, len(names) + 1)  # Zipf-like: the largest near a third
    categories = rng.choice(len(names), items, p=share / share.sum())
    colours = rng.choice(len(palette), items)
    prices = rng.uniform(5, 200, items).round(2)
    centres = _unit(rng.standard_normal((CLUSTERS, DIM)))
    vectors = _unit(centres[rng.integers(CLUSTERS, size=items)] + 0.06 * rng.standard_normal((items, DIM)))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "store", "bench", create=True)
        began = time.perf_counter()
        for start in range(0, items, BATCH):
            store.upsert(
                [
                    _entry(i, names[categories[i]], palette[colours[i]], float(prices[i]), vectors[i])
                    for i in range(start, min(start + BATCH, items))
                ]
            )
        ingest_s = time.perf_counter() - began
        store.compact()
        chosen = rng.integers(items, size=QUERIES)
        queries = _unit(vectors[chosen] + 0.03 * rng.standard_normal((QUERIES, DIM)))
        meets = (colours == palette.index("red")) & (prices >= 20) & (prices <= 60)
        everything = np.ones(items, bool)
        for what, by_category, where in (
            ("all", False, ()),
            ("category", True, ()),
            ("category+colour+price", True, FILTER),
        ):
            condition = parse_where(where)
            allowed = [(categories == categories[i]) if by_category else everything for i in chosen]
            allowed = [rows_of & meets for rows_of in allowed] if where else allowed
            times, recall = [], []
            for i, query in enumerate(queries):
                category = names[categories[chosen[i]]] if by_category else None
                began = time.perf_counter()
                hits = store.search(query[None], K, [category], condition)[0]
                times.append((time.perf_counter() - began) * 1000)
                recall.append(_recall(vectors, query, allowed[i], [int(hit.product_id) for hit in hits]))
            rows.append((what, *percentiles(times[5:]), float(np.mean(recall))))
        exact = [_timed(lambda query=query: np.argpartition(-(vectors @ query), K)[:K]) for query in queries]  # type: ignore[misc]
        rows.append(("numpy, exact, all", *percentiles(exact[5:]), 1.0))
    header = ("query", "p50_ms", "p95_ms", f"recall_at_{K}")
    print_results("store", header, rows, items=items, ingest_a_second=items / ingest_s, yardstick_ms=yardstick_ms())


def _entry(i: int, category: str, colour: str, price: float, vector: NDArray[np.float32]) -> Entry:
    product = Product(str(i), (f"{i}.jpg",), price=price, category=category, category_given=True)
    box = (0.0, 0.0, 1.0, 1.0)
    item = Item(category, None, box, vector, (Colour(colour, 1.0),), {}, "bench", str(i))
    return Entry(product, (item,), ("",), "")


def _recall(
    vectors: NDArray[np.float32], query: NDArray[np.float32], allowed: NDArray[np.bool_], found: list[int]
) -> float:
    rows = np.flatnonzero(allowed)
    if not len(rows):
        return 1.0
    best = rows[np.argsort(-(vectors[rows] @ query), kind="stable")[:K]]
    return len(set(best.tolist()) & set(found)) / len(best)


def _timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1000


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit
