"""Some of a store's rows, ready to be searched: in memory, or mapped from the files that snapshot.py writes.

Rows lie in the order of category, product, image: a category is a range of rows, and ties come in products' order.
"""

import threading
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from twinset.store.base import Entry, Key
from twinset.store.columns import Texts, coded, column_of, part_of, search_columns, values_at
from twinset.store.filters import Column, Filter
from twinset.store.nearest import Vectors, encode
from twinset.store.rows import COLUMNS, Variants, entry_of, hit_of
from twinset.store.texts import TextIndex
from twinset.types import Hit

ROW_ID = "_rowid"  # LanceDB's name for what stays the same of a row while it is stored
ORDER = (("item_category", "ascending"), ("product_id", "ascending"), ("shop", "ascending"), ("image_no", "ascending"))
READ_PRODUCTS = 1000  # whole, at once
READY_HITS = 20_000  # of a part that are kept ready: some 2 KB each
STORED = tuple(column.name for column in COLUMNS if column.name != "embedding")


class Part:
    """Rows with their vectors and columns. Nothing in it changes, so any number of threads may ask."""

    def __init__(self, rows: pa.Table, columns: pa.Table, vectors: Vectors, ids: NDArray[np.uint64]) -> None:
        self.rows = rows  # what is stored of them, but the embedding
        self.vectors = vectors
        self.ids = ids  # (N,) of the rows, by `ROW_ID`
        self._id_order = np.argsort(ids)
        self._sorted_ids = ids[self._id_order]
        self.product: NDArray[np.int32] = columns["product"].to_numpy()
        self.group: NDArray[np.int32] = columns["group"].to_numpy()
        self.ranges = _ranges(columns)  # category -> its rows
        self._columns = columns
        self._cached: dict[str, Column] = {}
        self._texts: TextIndex | None = None
        self._ready: dict[int, Hit] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tags(self) -> list[str]:
        """The fields of the tags that its products have."""
        return [name for name in self._columns.column_names if name.startswith("tags.")]

    def rows_of(self, category: str | None) -> slice:
        """Return the rows of a category; None means all."""
        return slice(0, len(self)) if category is None else self.ranges.get(category, slice(0, 0))

    def column(self, name: str) -> Column:
        """Return a filter field's values, row by row."""
        with self._lock:
            if name not in self._cached:
                self._cached[name] = column_of(self._columns, self.rows, name)
            return self._cached[name]

    @property
    def texts(self) -> TextIndex:
        """The words its rows say."""
        with self._lock:
            if self._texts is None:
                self._texts = TextIndex(self.rows)
            return self._texts

    def allowed(
        self, rows: slice, filter: Filter | None, alive: NDArray[np.bool_] | None, exclude: Key | None = None
    ) -> NDArray[np.bool_] | None:
        """Return which of a range of rows may be hits, None for all."""
        kept = filter.rows(lambda name: part_of(self.column(name), rows)) if filter else None
        if alive is not None:
            kept = alive[rows] if kept is None else kept & alive[rows]
        for row in self.find(exclude) if exclude is not None else ():
            others = self.product[rows] != self.product[row]
            kept = others if kept is None else kept & others
            break
        return kept

    def find(self, key: Key) -> NDArray[np.int64]:
        """Return a product's rows, in the order of its images."""
        named = np.flatnonzero(Texts(self.rows["product_id"]).equals({key.product_id}))
        chosen = self.rows.select(["shop", "image_no"]).take(pa.array(named)).to_pydict()
        pairs = zip(named.tolist(), chosen["shop"], chosen["image_no"], strict=True)
        return np.array([row for _, row in sorted((no, row) for row, shop, no in pairs if shop == key.shop)], np.int64)

    def entries(self, alive: NDArray[np.bool_] | None, keys: Set[Key] | None) -> Iterator[Entry]:
        """Yield the products of its rows, or of those alive, each whole; of `keys` alone unless that is None."""
        rows = np.arange(len(self)) if alive is None else np.flatnonzero(alive)
        if keys is not None:
            rows = rows[Texts(self.rows["product_id"]).equals({key.product_id for key in keys})[rows]]
            named = self.rows.select(["shop", "product_id"]).take(pa.array(rows)).to_pydict().values()
            rows = rows[np.fromiter((Key(*pair) in keys for pair in zip(*named, strict=True)), bool, len(rows))]
        rows = rows[np.argsort(self.product[rows], kind="stable")]
        starts = np.flatnonzero(np.diff(self.product[rows], prepend=-1))
        products = np.split(rows, starts)[1:]
        for first in range(0, len(products), READ_PRODUCTS):
            some = products[first : first + READ_PRODUCTS]
            stored = iter(self.take(np.concatenate(some).tolist()))
            for mine in some:
                pairs = sorted(((next(stored), row) for row in mine.tolist()), key=lambda pair: pair[0]["image_no"])
                yield entry_of([row for row, _ in pairs], [self.vectors.exact[row].copy() for _, row in pairs])

    def variants(
        self, groups: Set[tuple[str, str]], rows: slice, allowed: NDArray[np.bool_] | None
    ) -> dict[tuple[str, str], Variants]:
        """Return the products of each variant group, (shop, group_id), among the allowed of some rows."""
        members = Texts(self.rows["group_id"].slice(rows.start, rows.stop - rows.start)).equals({g for _, g in groups})
        places = np.flatnonzero(members if allowed is None else members & allowed) + rows.start
        found: dict[tuple[str, str], dict[int, bool]] = {}
        names = ("shop", "group_id", "in_stock")
        for row, values in zip(places.tolist(), self.take(places.tolist(), names), strict=True):
            group = values["shop"], values["group_id"]
            if group in groups:
                found.setdefault(group, {})[int(self.product[row])] = values["in_stock"]
        return {group: Variants(len(products), any(products.values())) for group, products in found.items()}

    def grouped(self, groups: Set[tuple[str, str]] | None = None) -> Iterator[tuple[int, str, str]]:
        """Yield (row, shop, group_id) of the rows that are in a variant group, or in one of these."""
        column = self.rows["group_id"]
        held = pc.is_valid(column).to_numpy() if groups is None else Texts(column).equals({g for _, g in groups})
        places = np.flatnonzero(held)
        named = self.rows.select(["shop", "group_id"]).take(pa.array(places)).to_pydict().values()
        for row, group in zip(places.tolist(), zip(*named, strict=True), strict=True):
            if groups is None or group in groups:
                yield row, *group

    def hits(self, rows: Sequence[int]) -> list[Hit]:
        """Return the hit that each row is for itself, with a score of 0. Those asked for of late are kept ready."""
        ready = self._ready
        if len(ready) > READY_HITS:
            ready = self._ready = {}  # a thread that has the old one at hand goes on with it
        missing = [row for row in rows if row not in ready]
        if missing:
            ready |= {row: hit_of(values, 0.0) for row, values in zip(missing, self.take(missing), strict=True)}
        return [ready[row] for row in rows]

    def take(self, rows: Sequence[int], names: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return what is stored of some rows."""
        table = self.rows if names is None else self.rows.select(list(names))
        found: list[dict[str, Any]] = table.take(pa.array(rows, pa.int64())).to_pylist()
        return found

    def table(self, alive: NDArray[np.bool_] | None) -> pa.Table:
        """Return its rows as they came from LanceDB, or those alive."""
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(self.vectors.exact.ravel()), self.vectors.exact.shape[1])
        table = self.rows.append_column("embedding", vectors).append_column(ROW_ID, pa.array(self.ids))
        return table if alive is None else table.filter(pa.array(alive))

    def same_rows(self, rows: pa.Table) -> int:
        """Return how many rows, all of which it has by their ids, it has just like this, vectors and codes too."""
        places = self.places(rows[ROW_ID].to_numpy())
        kept = self.rows.take(pa.array(places))
        same = np.ones(len(places), bool)
        for name in STORED:
            if not kept[name].equals(rows[name]):
                pairs = zip(kept[name].to_pylist(), rows[name].to_pylist(), strict=True)
                same &= np.fromiter((one == other for one, other in pairs), bool, len(places))
        embedding = rows["embedding"].combine_chunks()
        exact = vectors_of(embedding)
        same &= (self.vectors.exact[places] == exact).all(1)
        strayed = np.linalg.norm(exact - self.vectors.codes[places] * self.vectors.steps[places, None], axis=1)
        same &= strayed <= self.vectors.error * (1 + 1e-5) + 1e-7
        return int(np.count_nonzero(same))

    def places(self, ids: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return where the rows of some ids are, those that it has."""
        places = np.searchsorted(self._sorted_ids, ids)
        inside = places < len(self)
        places, ids = places[inside], ids[inside]
        found: NDArray[np.int64] = self._id_order[places[self._sorted_ids[places] == ids]]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class PartRows:
    """Some rows of a part, to be counted; see `facets.Rows`."""

    part: Part
    places: NDArray[np.int64]  # (N,) of the rows
    groups: NDArray[np.int64]  # (N,)

    @property
    def tags(self) -> list[str]:
        return self.part.tags if len(self.places) else []

    def column(self, name: str) -> Column:
        """Return a field's values, row by row."""
        return values_at(self.part.column(name), self.places)


def part_of_table(table: pa.Table) -> Part:
    """Return rows as they come from LanceDB, with their ids, as a part in memory."""
    table = table.take(sorted_rows(table))
    embedding = table["embedding"].combine_chunks()
    exact = np.ascontiguousarray(vectors_of(embedding))
    rows = table.select(STORED).combine_chunks()
    return Part(rows, search_columns(rows), encode(exact), table[ROW_ID].to_numpy())


def vectors_of(embedding: pa.FixedSizeListArray) -> NDArray[np.float32]:
    """Return a column of vectors as (N, D)."""
    flat: NDArray[np.float32] = embedding.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, embedding.type.list_size)


def sorted_rows(table: pa.Table) -> pa.Array:
    """Return the places of rows in the order of a part."""
    return pc.sort_indices(table, sort_keys=ORDER)  # None last


def _ranges(columns: pa.Table) -> dict[str | None, slice]:
    """Return the rows of each category, which are neighbours."""
    category = coded(columns["category"])
    starts = np.flatnonzero(np.diff(category.codes, prepend=-1))
    ends = np.append(starts[1:], len(category.codes))
    return {
        category.values[category.codes[start]]: slice(int(start), int(end))
        for start, end in zip(starts, ends, strict=True)
    }
