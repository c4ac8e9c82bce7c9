"""One version of a store as searches see it: a large part that was mapped, and what changed since in small ones."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twinset.errors import NotFound
from twinset.store.base import Entry, Fingerprint, Key
from twinset.store.facets import Selected, count_facets
from twinset.store.filters import Filter
from twinset.store.nearest import nearest, scan_is_exact
from twinset.store.part import ROW_ID, Part, PartRows, part_of_table
from twinset.store.rows import Variants, entry_of
from twinset.store.texts import Words, best_rows, worth_of
from twinset.types import Facet, Hit

SMALL_PARTS = 8  # more are made one


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """A part, and which of its rows are still so in this version."""

    part: Part
    alive: NDArray[np.bool_] | None = None  # None: all

    @property
    def count(self) -> int:
        return len(self.part) if self.alive is None else int(np.count_nonzero(self.alive))

    def count_of(self, rows: NDArray[np.int32]) -> int:
        """Return how many of some rows are still so."""
        return len(rows) if self.alive is None else int(np.count_nonzero(self.alive[rows]))

    def without(self, places: NDArray[np.int64]) -> "Live":
        """Return the part with some rows gone."""
        if not len(places):
            return self
        alive = np.ones(len(self.part), bool) if self.alive is None else self.alive.copy()
        alive[places] = False
        return Live(self.part, alive)


class View:
    """A version of a store. Nothing in it changes, so any number of threads may ask.

    `parts` come in the order they were written; a product's rows are all in one of them.
    """

    def __init__(self, version: int, parts: tuple[Live, ...], snapshot: int = 0) -> None:
        self.version, self.parts = version, parts
        self.snapshot = snapshot  # the version that the first part was mapped of, 0 for none
        self._products: int | None = None

    # --- versions -----------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """The number of its rows."""
        return sum(live.count for live in self.parts)

    @property
    def unsettled(self) -> int:
        """The number of rows that changed or went since the snapshot."""
        if not self.snapshot:
            return self.rows
        first = self.parts[0]
        return len(first.part) - first.count + sum(len(live.part) for live in self.parts[1:])

    def changed(self, version: int, rows: pa.Table) -> "View":
        """Return a later version, in which these rows, as they come from LanceDB, are new or other than before."""
        if not len(rows):
            return View(version, self.parts, self.snapshot)
        new = part_of_table(rows)
        old = (live.without(live.part.places(new.ids)) for live in self.parts)
        parts = tuple(live for live in old if live.count)
        snapshot = self.snapshot if parts and self.parts and parts[0].part is self.parts[0].part else 0
        return View(version, (*parts, Live(new)), snapshot)

    def keeping(self, ids: NDArray[np.uint64]) -> "View":
        """Return the same version without rows of other ids than these."""
        parts = (live.without(np.flatnonzero(~np.isin(live.part.ids, ids))) for live in self.parts)
        return View(self.version, tuple(parts), self.snapshot)

    def same_rows(self, rows: pa.Table) -> int:
        """Return how many rows, as they come from LanceDB, it has just like this."""
        ids = rows[ROW_ID].to_numpy()
        same = 0
        for live in self.parts:
            mine = np.flatnonzero(np.isin(ids, live.part.ids if live.alive is None else live.part.ids[live.alive]))
            if len(mine):
                same += live.part.same_rows(rows.take(pa.array(mine)))
        return same

    def joined(self) -> "View":
        """Return the same version with its small parts made one, once there are many."""
        kept, small = (self.parts[:1], self.parts[1:]) if self.snapshot else ((), self.parts)
        if len(small) <= SMALL_PARTS:
            return self
        rows = pa.concat_tables([live.part.table(live.alive) for live in small])
        return View(self.version, (*kept, Live(part_of_table(rows))), self.snapshot)

    # --- asking -------------------------------------------------------------------------------------------------------

    def search(
        self,
        embeddings: NDArray[np.float32],
        k: int,
        categories: Sequence[str | None],
        filter: Filter | None = None,
        exclude: Key | None = None,
    ) -> list[list[Hit]]:
        """Return for each vector its hits; see `Store.search`."""
        kept = {
            (category, i): live.part.allowed(live.part.rows_of(category), filter, live.alive, exclude)
            for category in set(categories)
            for i, live in enumerate(self.parts)
        }
        return [
            self._nearest(embedding, k, category, [kept[category, i] for i in range(len(self.parts))])
            for embedding, category in zip(embeddings, categories, strict=True)
        ]

    def facets(self, category: str | None, filter: Filter, fields: Sequence[str]) -> list[Facet]:
        """Return counts of what hits have; see `Store.facets`."""
        groups = self._group_numbers() if fields else []

        def select(wanted: Filter) -> Selected:
            chosen = []
            for live, numbers in zip(self.parts, groups, strict=True):
                rows = live.part.rows_of(category)
                mask = live.part.allowed(rows, wanted, live.alive)
                places = np.arange(rows.start, rows.stop) if mask is None else np.flatnonzero(mask) + rows.start
                chosen.append(PartRows(live.part, places, numbers[places]))
            return Selected(chosen)

        return count_facets(fields, filter, select)

    def search_words(self, words: Words, k: int, category: str | None, filter: Filter | None = None) -> list[Hit]:
        """Return the hits that say the words; see `Store.search_words`."""
        said = [live.part.texts.said(words) for live in self.parts]
        counts = [sum(map(Live.count_of, self.parts, rows)) for rows in zip(*said, strict=True)]
        worth = worth_of(words, self.rows, counts)  # among all rows, whenever they were written
        kept, found = [], []
        for live, mine in zip(self.parts, said, strict=True):
            rows = live.part.rows_of(category)
            kept.append(live.part.allowed(rows, filter, live.alive))
            scores = live.part.texts.weigh(mine, worth)[rows]
            found.append(best_rows(scores, k, live.part.group, kept[-1], rows.start))
        return self._merged(found, k, category, kept) if k > 0 else []

    def plan(self, category: str | None, filter: Filter | None = None) -> str:
        """Return in words how a search is answered."""
        size = kept = 0
        exact = True
        for live in self.parts:
            rows = live.part.rows_of(category)
            mask = live.part.allowed(rows, filter, live.alive)
            here = rows.stop - rows.start if mask is None else int(np.count_nonzero(mask))
            size, kept = size + rows.stop - rows.start, kept + here
            exact &= scan_is_exact(here, rows.stop - rows.start)
        where = "all categories" if category is None else f"category {category}"
        how = "scanned in fp32" if exact else f"{size:,} vectors scanned at one byte a number, the best again in fp32"
        return f"{where}: {kept:,} of {size:,} items kept; {how}"

    def get(self, product_id: str, shop: str) -> Entry:
        """Return a product as stored. Raises NotFound."""
        for live, rows in self._found(Key(shop, product_id)):
            return entry_of(live.part.take(rows.tolist()), [live.part.vectors.exact[row].copy() for row in rows])
        raise NotFound(
            f"product {product_id!r} of shop {shop!r}: expected one that is indexed, found none; "
            f"check the id, or index the feed it is in"
        )

    def entries(self, keys: Set[Key] | None = None) -> Iterator[Entry]:
        """Yield products as stored, all or those named; see `Store.entries`."""
        for live in self.parts:
            yield from live.part.entries(live.alive, keys)

    def fingerprints(self) -> dict[Key, Fingerprint]:
        """Return what tells whether products changed."""
        found: dict[Key, Fingerprint] = {}
        for live in self.parts:
            rows = live.part.rows.select(["shop", "product_id", "row_hash", "image_no", "image_hash"])
            rows = rows if live.alive is None else rows.filter(pa.array(live.alive))
            for shop, product_id, row_hash, image_no, image_hash in zip(*rows.to_pydict().values(), strict=True):
                hashes = found.setdefault(Key(shop, product_id), Fingerprint(row_hash, {})).image_hashes
                assert isinstance(hashes, dict)
                hashes[image_no] = image_hash
        return found

    def __len__(self) -> int:
        """Return the number of products."""
        if self._products is None:
            numbers = (
                live.part.product if live.alive is None else live.part.product[live.alive] for live in self.parts
            )
            self._products = sum(int(np.count_nonzero(np.bincount(products))) for products in numbers)
        return self._products

    def _group_numbers(self) -> list[NDArray[np.int64]]:
        """Return for each part (N,) numbers of what is one hit, the same ones in all parts."""
        numbers, first = [], 0
        for live in self.parts:
            numbers.append(live.part.group.astype(np.int64) + first)
            first += int(live.part.group.max(initial=-1)) + 1
        if len(self.parts) == 1:
            return numbers
        named = [row for live in self.parts[1:] for row in live.part.grouped()]
        wanted = {(shop, group_id) for _, shop, group_id in named}
        known: dict[tuple[str, str], int] = {}
        for live, mine in zip(self.parts, numbers, strict=True):
            for row, shop, group_id in live.part.grouped(wanted):
                mine[row] = known.setdefault((shop, group_id), int(mine[row]))
        return numbers

    def _found(self, key: Key) -> Iterator[tuple[Live, NDArray[np.int64]]]:
        for live in self.parts:
            rows = live.part.find(key)
            rows = rows if live.alive is None else rows[live.alive[rows]]
            if len(rows):
                yield live, rows

    def _nearest(
        self,
        embedding: NDArray[np.float32],
        k: int,
        category: str | None,
        kept: Sequence[NDArray[np.bool_] | None],
    ) -> list[Hit]:
        if k < 1:
            return []
        found = []
        for live, allowed in zip(self.parts, kept, strict=True):
            rows = live.part.rows_of(category)
            found.append(nearest(live.part.vectors, embedding, k, rows, live.part.group, allowed))
        return self._merged(found, k, category, kept)

    def _merged(
        self,
        best_of_parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]],
        k: int,
        category: str | None,
        kept: Sequence[NDArray[np.bool_] | None],
    ) -> list[Hit]:
        """Return the hits of the rows and scores that each part found, best first."""
        found: list[tuple[float, str, str, Any, int, int, Hit]] = []
        for i, (live, (rows, scores)) in enumerate(zip(self.parts, best_of_parts, strict=True)):
            for row, score, hit in zip(rows.tolist(), scores.tolist(), live.part.hits(rows.tolist()), strict=True):
                found.append((-score, hit.product_id, hit.product.shop, hit.one_hit, i, row, hit))
        found.sort(key=lambda entry: entry[:3])
        best: dict[Any, tuple[float, int, int, Hit]] = {}
        for negative, _, _, key, i, row, hit in found:
            if len(best) < k or key in best:
                best.setdefault(key, (-negative, i, row, hit))
        counts = self._variants([entry[:3] for key, entry in best.items() if key[1]], category, kept)
        return [
            _scored(hit, score, self.parts[i].part.vectors.exact[row], counts.get((i, row)))
            for score, i, row, hit in best.values()
        ]

    def _variants(
        self, best: Sequence[tuple[float, int, int]], category: str | None, kept: Sequence[NDArray[np.bool_] | None]
    ) -> dict[tuple[int, int], Variants]:
        """Return the products of its variant group that each hit stands for, of those that may be hits."""
        named = {(i, row): self.parts[i].part.take([row], ("shop", "group_id"))[0] for _, i, row in best}
        wanted = {(values["shop"], values["group_id"]) for values in named.values()}
        totals = dict.fromkeys(wanted, Variants(0, False))
        if wanted:
            for live, allowed in zip(self.parts, kept, strict=True):
                for group, more in live.part.variants(wanted, live.part.rows_of(category), allowed).items():
                    totals[group] = Variants(
                        totals[group].products + more.products, totals[group].in_stock or more.in_stock
                    )
        return {place: totals[values["shop"], values["group_id"]] for place, values in named.items()}


def _scored(hit: Hit, score: float, embedding: NDArray[np.float32], variants: Variants | None) -> Hit:
    if variants is None:
        return hit.scored(score, embedding=embedding)
    return replace(hit, score=score, embedding=embedding, variants=variants.products, in_stock=variants.in_stock)
