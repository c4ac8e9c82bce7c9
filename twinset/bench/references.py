"""What a store's queries are timed beside, on the same vectors: numpy's exact scan, and FAISS's HNSW index."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAME_SCORE = 2e-5  # what fp32 sums and rounding leave of equal scores
M, EF_CONSTRUCTION, EF_SEARCH = 32, 80, 256  # of HNSW

Masks = dict[str, list[NDArray[np.bool_] | None]]  # kind -> for each query which vectors it may find, None for all


@dataclass(frozen=True, slots=True)
class Timed:
    """What one kind of query took and found."""

    times_ms: list[float]
    ids: list[list[int]]  # the k nearest of each query
    build_s: float = 0.0


def numpy_exact(vectors: NDArray[np.float32], queries: NDArray[np.float32], masks: Masks, k: int) -> dict[str, Timed]:
    """Return the exact answers, found by scanning all vectors and leaving out what a query may not find."""

    def search(query: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> list[int]:
        scores = vectors @ query
        if mask is not None:
            scores[~mask] = -2
        count = min(k, len(scores))
        best = np.argpartition(-scores, count - 1)[:count]
        best = best[np.argsort(-scores[best], kind="stable")]
        found: list[int] = best[scores[best] > -2].tolist()
        return found

    return {kind: _timed(search, queries, allowed) for kind, allowed in masks.items()}


def faiss_hnsw(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], masks: Masks, k: int
) -> dict[str, Timed] | None:
    """Return what FAISS's HNSW finds, None if it is not installed."""
    try:
        faiss: Any = import_module("faiss")
    except ImportError:
        return None
    began = time.perf_counter()
    index: Any = faiss.IndexHNSWFlat(vectors.shape[1], M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    index.add(vectors)
    build_s = time.perf_counter() - began
    bits: dict[int, tuple[Any, Any]] = {}  # masks are packed once, before they are timed
    for mask in (mask for allowed in masks.values() for mask in allowed if mask is not None):
        if id(mask) not in bits:
            packed = np.packbits(mask, bitorder="little")
            bits[id(mask)] = packed, faiss.IDSelectorBitmap(packed)

    def search(query: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> list[int]:
        selector = None if mask is None else bits[id(mask)][1]
        _, found = index.search(query[None], k, params=faiss.SearchParametersHNSW(efSearch=EF_SEARCH, sel=selector))
        return [int(i) for i in found[0] if i >= 0]

    timed = {kind: _timed(search, queries, allowed) for kind, allowed in masks.items()}
    return {kind: Timed(found.times_ms, found.ids, build_s) for kind, found in timed.items()}


def recall(
    found: Sequence[Sequence[int]],
    exact: Sequence[Sequence[int]],
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
) -> float:
    """Return the mean share of each query's nearest that were found, over queries that have any.

    One that is as near as the last of the exact ones is as right. Scores below 0 are all 0, as a store's are.
    """
    shares = []
    for mine, best, query in zip(found, exact, queries, strict=True):
        if best:
            scores = np.maximum(vectors[list(mine)] @ query, 0)
            floor = max(float(vectors[best[-1]] @ query), 0.0)
            shares.append(min(np.count_nonzero(scores >= floor - SAME_SCORE) / len(best), 1.0))
    return float(np.mean(shares)) if shares else 1.0


def _timed(
    search: Callable[[NDArray[np.float32], NDArray[np.bool_] | None], list[int]],
    queries: NDArray[np.float32],
    masks: Sequence[NDArray[np.bool_] | None],
) -> Timed:
    times, ids = [], []
    search(queries[0], masks[0])
    for query, mask in zip(queries, masks, strict=True):
        began = time.perf_counter()
        ids.append(search(query, mask))
        times.append((time.perf_counter() - began) * 1000)
    return Timed(times, ids)
