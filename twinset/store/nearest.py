"""The vectors nearest to a query, exactly, in two passes where there are many.

The first pass multiplies vectors of one byte a number (SimSIMD), a quarter of what fp32 has to read, which is what
limits a scan; of a long one each thread takes a share. How far its products may be off is known, so the second pass, in
fp32, takes every vector that could be among the nearest: the answer is that of a scan of all vectors in fp32.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import simsimd
from numpy.typing import NDArray

from twinset.runtime import cpu_threads

SCORE_DECIMALS = 5  # what fp32 sums of 256 products are good for; equal scores are then ties
EXACT_ROWS = 4096  # as many, or a share of 1 / EXACT_SHARE, are scanned in fp32 at once
EXACT_SHARE = 32
BLOCK = 65536  # rows of the first pass at once: its products then stay in the processor's cache
SHARE = 32768  # rows of the first pass that are worth another thread
GROUP = 32  # rows of which the best stands for all when the first pass is cut
_TIES = 2e-5  # two rounded scores that are equal differ by less
_LEVELS = 127


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Unit vectors, and the same in one byte a number: `codes * steps`."""

    exact: NDArray[np.float32]  # (N, D)
    codes: NDArray[np.int8]  # (N, D)
    steps: NDArray[np.float32]  # (N,)
    error: float  # the longest difference between a vector and its code


def encode(exact: NDArray[np.float32]) -> Vectors:
    """Return unit vectors (N, D) with their codes. No vectors have an error of 0."""
    steps = np.maximum(np.abs(exact).max(1, initial=0), 1e-9).astype(np.float32) / np.float32(_LEVELS)
    codes = np.rint(exact / steps[:, None]).astype(np.int8)
    strayed = np.linalg.norm(exact - codes * steps[:, None], axis=1)
    return Vectors(exact, codes, steps, float(strayed.max(initial=0)))


def scan_is_exact(kept: int, rows: int) -> bool:
    """Return whether `kept` of so many rows are few enough for fp32 at once, the first pass left out."""
    return kept <= EXACT_ROWS or kept * EXACT_SHARE <= rows


def nearest(
    vectors: Vectors,
    query: NDArray[np.float32],
    k: int,
    rows: slice,
    keys: NDArray[np.int32],
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows nearest to a query and their cosines cut to [0, 1], best first, equal ones in order.

    Rows of one key, of (N,) `keys`, count once, by their best; those are the `k` best keys, and what ties with the
    last. `allowed` says for each row of `rows` whether it may be among them, None for all.
    """
    size = rows.stop - rows.start
    kept = size if allowed is None else int(np.count_nonzero(allowed))
    if scan_is_exact(kept, size):
        chosen = np.arange(size) if allowed is None else np.flatnonzero(allowed)
        return _best(chosen + rows.start, vectors, query, k, keys)
    coded = encode(query[None])
    slack = vectors.error + coded.error * (1 + vectors.error) + _TIES
    rough = _rough(vectors, coded, rows)
    if allowed is not None:
        rough[~allowed] = -2  # under every product
    wanted = 2 * k + 32
    while wanted * 8 < kept:
        floor = _nth_largest(rough, wanted) - 2 * slack
        found, scores = _best(np.flatnonzero(rough >= floor) + rows.start, vectors, query, k, keys)
        # Every row left out scores below floor + slack.
        if len(found) >= k and scores[k - 1] > max(floor + slack, 0):
            return found, scores
        wanted *= 8
    return _best(np.flatnonzero(rough > -2) + rows.start, vectors, query, k, keys)


def cosines(exact: NDArray[np.float32], rows: NDArray[np.int64], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of some rows with a query, cut to [0, 1] and rounded."""
    whole = len(rows) and rows[-1] - rows[0] + 1 == len(rows)  # neighbours need no copy
    taken = exact[rows[0] : rows[-1] + 1] if whole else exact[rows]
    # In this thread: BLAS's threads, once woken, keep cores from the networks for a while.
    products = np.einsum("ij,j->i", taken, query)
    scores: NDArray[np.float64] = np.clip(products.astype(np.float64), 0, 1).round(SCORE_DECIMALS)
    return scores


def _best(
    rows: NDArray[np.int64], vectors: Vectors, query: NDArray[np.float32], k: int, keys: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return of some rows, ascending, the best of each of the k best keys, and what ties with the last."""
    scores = cosines(vectors.exact, rows, query)
    order = np.argsort(-scores, kind="stable")
    rows, scores = rows[order], scores[order]
    _, first = np.unique(keys[rows], return_index=True)
    first.sort()
    if len(first) > k:
        first = first[scores[first] >= scores[first[k - 1]]]
    return rows[first], scores[first]


def _rough(vectors: Vectors, coded: Vectors, rows: slice) -> NDArray[np.float32]:
    """Return the first pass's products of a range of rows."""
    products = np.empty(rows.stop - rows.start, np.float32)

    def multiply(first: int, last: int) -> None:
        for start in range(first, last, BLOCK):
            stop = min(start + BLOCK, last)
            sums = np.asarray(simsimd.cdist(coded.codes, vectors.codes[start:stop], metric="dot"))[0]
            np.multiply(sums, vectors.steps[start:stop], out=products[start - rows.start : stop - rows.start])

    shares = min(cpu_threads(), -(-len(products) // SHARE))
    ends = [rows.start + len(products) * no // shares for no in range(shares + 1)]
    others = [_pool().submit(multiply, *part) for part in pairwise(ends[1:])]
    multiply(*ends[:2])
    for other in others:
        other.result()
    products *= coded.steps[0]
    return products


@cache
def _pool() -> ThreadPoolExecutor:
    """The threads that share a scan; SimSIMD lets go of Python's lock."""
    return ThreadPoolExecutor(cpu_threads(), thread_name_prefix="scan")


def _nth_largest(values: NDArray[np.float32], n: int) -> float:
    """Return what at least `n` of the values reach: the n-th largest, or a little less."""
    if len(values) >= 4 * GROUP * n:
        values = values[: len(values) // GROUP * GROUP].reshape(-1, GROUP).max(1)
    return float(np.partition(values, len(values) - n)[len(values) - n])
