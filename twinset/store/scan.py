"""A store's rows in memory, searched exactly: one matrix a category, and the columns filters ask for.

A search names its category nearly always, so it multiplies a fraction of the vectors, and filters cost no recall.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twinset.errors import NotFound
from twinset.store.base import DIM, Entry, Fingerprint, Key
from twinset.store.filters import Filter
from twinset.store.rows import entry_of, hit_of, main_colours
from twinset.types import Hit

SCORE_DECIMALS = 5  # what fp32 sums of 256 products are good for; equal scores are then ties


class Scan:
    """One version of a store. Nothing in it changes, so any number of threads may ask."""

    def __init__(self, table: pa.Table) -> None:
        keys = list(zip(table["product_id"].to_pylist(), table["shop"].to_pylist(), strict=True))
        order = sorted(range(len(keys)), key=keys.__getitem__)  # so the order of rows is the order of ties
        self._rows: pa.Table = table.take(pa.array(order, pa.int64())).combine_chunks()
        self._keys = [Key(keys[i][1], keys[i][0]) for i in order]
        starts = [i for i, key in enumerate(self._keys) if i == 0 or key != self._keys[i - 1]]
        self._starts = {self._keys[start]: start for start in starts}
        self._product = np.zeros(len(order), np.int64)  # the number of each row's product, ascending
        self._product[starts[1:]] = 1
        self._product = self._product.cumsum()
        vectors = self._rows["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, DIM)
        categories = np.array(self._rows["item_category"].to_pylist(), object)
        self._members = {
            name: np.flatnonzero(categories == name) for name in dict.fromkeys(categories)
        }  # category -> its rows
        self._matrices = {name: np.ascontiguousarray(vectors[rows]) for name, rows in self._members.items()}
        self._rows = self._rows.drop_columns(["embedding"])
        self._columns: dict[str, Any] = {}
        self._lock = threading.Lock()

    def search(
        self,
        embeddings: NDArray[np.float32],
        k: int,
        categories: Sequence[str | None],
        filter: Filter | None = None,
        exclude: Key | None = None,
    ) -> list[list[Hit]]:
        """Return for each vector its hits; see `Store.search`."""
        allowed = self._allowed(filter, exclude)
        return [
            self._nearest(embedding, k, category, allowed)
            for embedding, category in zip(embeddings, categories, strict=True)
        ]

    def get(self, product_id: str, shop: str) -> Entry:
        """Return a product as stored. Raises NotFound."""
        start = self._starts.get(Key(shop, product_id))
        if start is None:
            raise NotFound(
                f"product {product_id!r} of shop {shop!r}: expected one that is indexed, found none; "
                f"check the id, or index the feed it is in"
            )
        end = start + 1
        while end < len(self._keys) and self._keys[end] == self._keys[start]:
            end += 1
        return entry_of(self._rows.slice(start, end - start).to_pylist(), [self._vector(i) for i in range(start, end)])

    def entries(self, keys: Sequence[Key] | None = None) -> Iterator[Entry]:
        """Yield products as stored, all or those named; see `Store.entries`."""
        for key in self._starts if keys is None else keys:
            if key in self._starts:
                yield self.get(key.product_id, key.shop)

    def fingerprints(self) -> dict[Key, Fingerprint]:
        """Return what tells whether products changed."""
        columns = self._rows.select(["row_hash", "image_no", "image_hash"]).to_pydict()
        found: dict[Key, Fingerprint] = {}
        for key, row_hash, image_no, image_hash in zip(self._keys, *columns.values(), strict=True):
            hashes = found.setdefault(key, Fingerprint(row_hash, {})).image_hashes
            assert isinstance(hashes, dict)
            hashes[image_no] = image_hash
        return found

    def __contains__(self, key: Key) -> bool:
        return key in self._starts

    def __len__(self) -> int:
        """Return the number of products."""
        return len(self._starts)

    def _nearest(
        self, embedding: NDArray[np.float32], k: int, category: str | None, allowed: NDArray[np.bool_] | None
    ) -> list[Hit]:
        rows, scores = self._scores(embedding, category)
        if allowed is not None:
            kept = allowed[rows]
            rows, scores = rows[kept], scores[kept]
        if not len(rows) or k < 1:
            return []
        products = self._product[rows]
        starts = np.flatnonzero(np.diff(products, prepend=-1))  # rows of one product are neighbours
        best = np.maximum.reduceat(scores, starts)
        if k < len(best):
            limit = np.partition(best, len(best) - k)[len(best) - k]
            candidates = np.flatnonzero(best >= limit)  # ties at the limit among them
        else:
            candidates = np.arange(len(best))
        chosen = candidates[np.argsort(-best[candidates], kind="stable")][:k]
        ends = np.append(starts[1:], len(rows))
        winners = [int(starts[i] + scores[starts[i] : ends[i]].argmax()) for i in chosen]
        values = self._rows.take(pa.array(rows[winners])).to_pylist()
        return [hit_of(row, float(scores[i])) for row, i in zip(values, winners, strict=True)]

    def _scores(
        self, embedding: NDArray[np.float32], category: str | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the rows of a category, all for None, in order, and their cosine clipped to [0, 1]."""
        if category is not None:
            if category not in self._members:
                return np.zeros(0, np.int64), np.zeros(0)
            rows, cosine = self._members[category], _dot(self._matrices[category], embedding)
        else:
            rows, cosine = np.arange(len(self._keys)), np.zeros(len(self._keys), np.float32)
            for name, matrix in self._matrices.items():
                cosine[self._members[name]] = _dot(matrix, embedding)
        return rows, np.clip(cosine.astype(np.float64), 0, 1).round(SCORE_DECIMALS)

    def _vector(self, row: int) -> NDArray[np.float32]:
        category = self._rows["item_category"][row].as_py()
        place = int(np.searchsorted(self._members[category], row))
        vector: NDArray[np.float32] = self._matrices[category][place].copy()
        return vector

    def _allowed(self, filter: Filter | None, exclude: Key | None) -> NDArray[np.bool_] | None:
        """Return which rows may be hits, None for all."""
        allowed = filter.rows(self._cached) if filter else None
        if exclude in self._starts:
            others = self._product != self._product[self._starts[exclude]]
            allowed = others if allowed is None else allowed & others
        return allowed

    def _cached(self, name: str) -> Any:
        with self._lock:
            if name not in self._columns:
                self._columns[name] = self._column(name)
        return self._columns[name]

    def _column(self, name: str) -> Any:
        """Return a filter field's value for each row."""
        if name == "price":
            return np.array([np.nan if price is None else price for price in self._rows["price"].to_pylist()])
        if name == "in_stock":
            return np.array(self._rows["in_stock"].to_pylist(), bool)
        if name == "category":
            return self._rows["item_category"].to_pylist()
        if name in ("shop", "article_type", "product_id", "group_id"):
            return self._rows[name].to_pylist()
        if name == "colour":
            columns = self._rows.select(["colours", "colour_shares"]).to_pydict()
            return [main_colours(names, shares) for names, shares in zip(*columns.values(), strict=True)]
        return [tags.get(name.removeprefix("tags.")) for tags in self._tags]

    @cached_property
    def _tags(self) -> list[dict[str, str]]:
        return [json.loads(text) for text in self._rows["tags"].to_pylist()]


def _dot(matrix: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return matrix @ vector in this thread: BLAS's threads, once woken, keep cores from the networks for a while."""
    product: NDArray[np.float32] = np.einsum("ij,j->i", matrix, vector)
    return product
