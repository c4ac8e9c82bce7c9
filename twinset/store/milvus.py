"""A store in a Milvus server: a collection with one row for each item, which the server searches and filters.

milvus_shelf.py opens and makes it. Searches see what this client wrote at once, what others
wrote within a second or two; all that decides on writing, and all counting, waits for the newest.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from twinset.errors import NotFound, StoreError
from twinset.store.base import Entry, Fingerprint, Key, check_embedding, check_entries
from twinset.store.facets import Selected, count_facets
from twinset.store.filters import Filter
from twinset.store.generations import Guard
from twinset.store.milvus_facets import MilvusRows, facet_fields
from twinset.store.milvus_filter import expressions, one_of, quoted
from twinset.store.milvus_notes import MilvusNotes
from twinset.store.milvus_rows import (
    ENTRY_FIELDS,
    FINGERPRINT_FIELDS,
    GONE,
    HIT_FIELDS,
    entries_of,
    fingerprints_of,
    gone_row,
    milvus_rows,
    product_hash,
    row_of,
    vector_of,
)
from twinset.store.milvus_server import READ_TIMEOUT_S, WRITE_TIMEOUT_S, Server
from twinset.store.milvus_texts import TEXT_FIELDS, MilvusTexts
from twinset.store.nearest import SCORE_DECIMALS
from twinset.store.rows import Variants, hit_of
from twinset.store.texts import Words
from twinset.types import Facet, Hit

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
MOST_RESULTS = 16_384  # Milvus returns no more rows at a time
CALL_PRODUCTS = 2000  # written by one call: all of them or none
FACET_ROWS = 10_000  # counted; of more, so many are a sample
CALL_KEYS = 500  # looked up by one call
ENTRY_ROWS, FINGERPRINT_ROWS = 1000, 8000  # read by one call; vectors make rows large
MIN_EF = 512  # of HNSW: how many neighbours are looked at; with fewer, filters cost recall
# Milvus searches many new rows by a coarser index until the real one is built, a dozen seconds after they are flushed:
# recall@10 was 0.92 until then. Whoever wrote as many waits for it, so long at most.
UNSETTLED_ROWS, SETTLE_S, SETTLE_EVERY_S = 2000, 120.0, 0.5
HASH_SPACE = 1 << 32  # product hashes by their first eight hex digits
LIVE = f"item_category != {quoted(GONE)}"


class MilvusStore:
    """See `Store`."""

    def __init__(
        self, server: Server, collection: str, notes: MilvusNotes, model_version: str, dim: int, guard: Guard | None
    ) -> None:
        self._server, self._model_version, self._dim = server, model_version, dim
        self._collection, self._notes = collection, notes
        self._guard = guard or (lambda: None)
        self._wrote, self._unsettled = False, 0
        self._texts = MilvusTexts(lambda: self._scan(TEXT_FIELDS, ENTRY_ROWS))

    @property
    def uri(self) -> str:
        return self._server.address.uri

    @property
    def model_version(self) -> str:
        return self._model_version

    @property
    def dim(self) -> int:
        return self._dim

    def upsert(self, entries: Sequence[Entry]) -> None:
        check_entries(entries, self._dim)
        if not entries:
            return
        rows = milvus_rows(entries)
        by_product: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_product.setdefault(row["product"], []).append(row)
        products = list(by_product)
        for start in range(0, len(products), CALL_PRODUCTS):
            chunk = products[start : start + CALL_PRODUCTS]
            self._replace(chunk, [row for product in chunk for row in by_product[product]])

    def delete(self, keys: Sequence[Key]) -> int:
        deleted = 0
        products = list(dict.fromkeys(product_hash(key) for key in keys))
        for chunk in _chunks(products, CALL_KEYS):
            self._guard()
            found = self._query(one_of("product", chunk), ["key", "product", "item_category"], "Strong")
            self._write([], gone=[row["key"] for row in found])
            deleted += len({row["product"] for row in found if row["item_category"] != GONE})
        return deleted

    def get(self, product_id: str, shop: str = "default") -> Entry:
        found = list(self._entries([product_hash(Key(shop, product_id))], self._level()))
        if not found:
            raise NotFound(
                f"product {product_id!r} of shop {shop!r}: expected one that is indexed, found none; "
                f"check the id, or index the feed it is in"
            )
        return found[0]

    def search(
        self,
        embeddings: NDArray[np.float32],
        k: int,
        categories: Sequence[str | None],
        filter: Filter | None = None,
        exclude: Key | None = None,
    ) -> list[list[Hit]]:
        for embedding in embeddings:
            check_embedding(embedding, "query", self._dim)
        conditions = expressions(filter) if filter else []
        if exclude is not None:
            conditions.append(f"product != {quoted(product_hash(exclude))}")
        hits: list[list[Hit]] = [[] for _ in range(len(embeddings))]
        for category in dict.fromkeys(categories):
            numbers = [i for i, other in enumerate(categories) if other == category]
            found = self._nearest(embeddings[numbers], k, _within(category, conditions))
            for i, mine in zip(numbers, found, strict=True):
                hits[i] = mine
        return hits

    def facets(self, category: str | None, filter: Filter, fields: Sequence[str]) -> list[Facet]:
        return count_facets(fields, filter, lambda wanted: self._selected(category, wanted, fields))

    def _selected(self, category: str | None, filter: Filter, fields: Sequence[str]) -> Selected:
        """Return the rows that meet a filter; of many, `FACET_ROWS`: the first variant groups by their hash."""
        condition = _within(category, expressions(filter))
        size = self._count(condition)
        share = min(1.0, FACET_ROWS / max(size, 1))
        if share < 1:
            condition += f" and group < {quoted(f'{round(share * HASH_SPACE):08x}')}"
        return Selected([MilvusRows(self._query(condition, facet_fields(fields), self._level()))], share)

    def search_words(
        self, words: Words, k: int, category: str | None = None, filter: Filter | None = None
    ) -> list[Hit]:
        if k < 1:
            return []
        condition = _within(category, expressions(filter) if filter else [])
        kept: list[dict[str, Any]] = []
        best: list[dict[str, Any]] = []
        for chunk in _chunks(self._texts.best(words), 4 * k + 64):
            named = dict(chunk)
            allowed = f"{one_of('key', list(named))} and {condition}"
            kept += [row | {"score": named[row["key"]]} for row in self._query(allowed, HIT_FIELDS, self._level())]
            best = _ranked(kept)[:k]
            if len(best) == k and best[-1]["score"] > chunk[-1][1]:
                break
        full = self._rows([row["key"] for row in best])
        counts = self._variants(best, condition)
        return [hit_of(full[row["key"]], row["score"], counts.get(row["group"])) for row in best if row["key"] in full]

    def plan(self, category: str | None, filter: Filter | None = None) -> str:
        size = self._count(_within(category, []))
        kept = self._count(_within(category, expressions(filter))) if filter else size
        where = "all categories" if category is None else f"category {category}"
        return f"{where}: {kept:,} of {size:,} items kept; Milvus's HNSW index, filtered as it is searched"

    def fingerprints(self) -> dict[Key, Fingerprint]:
        found: dict[Key, Fingerprint] = {}
        for rows in self._scan(FINGERPRINT_FIELDS, FINGERPRINT_ROWS):
            found |= fingerprints_of(rows)
        return found

    def entries(self, keys: Set[Key] | None = None) -> Iterator[Entry]:
        if keys is None:
            for rows in self._scan((*ENTRY_FIELDS, "row_hash", "image_hash"), ENTRY_ROWS):
                yield from entries_of(rows)
            return
        for chunk in _chunks(sorted(map(product_hash, keys)), CALL_KEYS):
            yield from self._entries(chunk, "Strong")

    def count(self) -> int:
        return self._count("lead == true")

    def compact(self) -> None:
        def tidy(client: Any, timeout_s: float) -> None:
            client.flush(self._collection, timeout=timeout_s)
            client.compact(self._collection, timeout=timeout_s)

        try:
            self._server.write(tidy)
            if self._unsettled >= UNSETTLED_ROWS:
                self._settle()
            self._unsettled = 0
        except StoreError as exc:  # what was written is safe without it, and the server tidies by itself too
            _LOG.warning("%s", exc)

    def _settle(self) -> None:
        """Wait until searches go by the index of all rows."""
        deadline, rows = time.monotonic() + SETTLE_S, self._count("")
        while time.monotonic() < deadline:
            segments = self._server.read(
                lambda client, timeout_s: client.list_loaded_segments(self._collection, timeout=timeout_s)
            )
            if sum(segment.num_rows for segment in segments) >= rows:
                return
            time.sleep(SETTLE_EVERY_S)

    def read_note(self, name: str) -> str | None:
        return self._notes.read(name)

    def note_names(self) -> list[str]:
        return self._notes.names()

    def problems(self) -> list[str]:
        """Each product must have one row that counts it."""
        leads = self._count("lead == true")
        products = sum(len({row["product"] for row in rows}) for rows in self._scan(("product",), FINGERPRINT_ROWS))
        return (
            [] if leads == products else [f"expected {products} rows that lead a product, found {leads}; copy it anew"]
        )

    def write_note(self, name: str, text: str) -> None:
        self._notes.write(name, text)

    def alone(self) -> AbstractContextManager[bool]:
        return nullcontext(False)  # a server has no lock for its clients

    # --- writing ------------------------------------------------------------------------------------------------------

    def _replace(self, products: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
        self._guard()
        stored = [
            row["key"]
            for chunk in _chunks(products, CALL_KEYS)
            for row in self._query(one_of("product", chunk), ["key"], "Strong")
        ]
        new = {row["key"] for row in rows}
        self._write(rows, gone=[key for key in stored if key not in new])

    def _write(self, rows: Sequence[dict[str, Any]], gone: Sequence[str]) -> None:
        """Write rows and remove others, at one moment for whoever searches.

        Removing alone would not do: it says not when it was done, so searches can't wait for it as for other writes.
        """
        written = [*rows, *(gone_row(key, self._dim) for key in gone)]
        try:
            if written:
                self._server.write(
                    lambda client, timeout_s: client.upsert(self._collection, written, timeout=timeout_s)
                )
                self._wrote, self._unsettled = True, self._unsettled + len(written)
            if gone:
                keys = list(gone)
                self._server.write(lambda client, timeout_s: client.delete(self._collection, keys, timeout=timeout_s))
        finally:  # an answer that is lost says not whether it was written
            self._texts.forget()

    # --- searching ----------------------------------------------------------------------------------------------------

    def _nearest(self, embeddings: NDArray[np.float32], k: int, condition: str) -> list[list[Hit]]:
        """Return for each vector its hits among the rows that meet a condition; those of one group are one.

        Some rows more than hits are asked for: a product may have several, and ties are told apart by id. Rows that
        are gone when they are read are left out; then, too, more are asked for.
        """
        hits: list[list[Hit]] = [[] for _ in range(len(embeddings))]
        waiting, limit = list(range(len(embeddings))), min(2 * k + 16, MOST_RESULTS)
        while waiting and k > 0:
            found = self._search(embeddings[waiting], limit, condition)
            ranked = [_ranked(rows)[:k] for rows in found]
            shown = [row for rows in ranked for row in rows]
            full = self._rows([row["key"] for row in shown], vectors=True)
            counts = self._variants(shown, condition)
            unfinished = []
            for i, rows, best in zip(waiting, found, ranked, strict=True):
                hits[i] = [
                    hit_of(full[row["key"]], row["score"], counts.get(row["group"]))
                    for row in best
                    if row["key"] in full
                ]
                exhausted = len(rows) < limit or limit == MOST_RESULTS
                certain = len(hits[i]) == k and rows[-1]["score"] < best[-1]["score"]
                if not (exhausted or certain):
                    unfinished.append(i)
            waiting, limit = unfinished, min(4 * limit, MOST_RESULTS)
        return hits

    def _search(self, embeddings: NDArray[np.float32], limit: int, condition: str) -> list[list[dict[str, Any]]]:
        """Return for each vector the nearest rows, best first: their names, and their cosine cut to [0, 1]."""
        found = self._server.read(
            lambda client, timeout_s: client.search(
                self._collection,
                data=list(embeddings),
                filter=condition,
                limit=limit,
                output_fields=list(HIT_FIELDS),
                search_params={"metric_type": "IP", "params": {"ef": max(MIN_EF, 2 * limit)}},
                consistency_level=self._level(),
                timeout=timeout_s,
            )
        )
        return [[dict(hit["entity"]) | {"score": _score(hit["distance"])} for hit in hits] for hits in found]

    def _rows(self, keys: Sequence[str], vectors: bool = False) -> dict[str, dict[str, Any]]:
        """Return the rows named that are there, by their name, each with its vector if asked for."""
        found: dict[str, dict[str, Any]] = {}
        for chunk in _chunks(list(dict.fromkeys(keys)), CALL_KEYS):
            condition = f"{one_of('key', chunk)} and {LIVE}"
            fields = ["key", "row", "embedding"] if vectors else ["key", "row"]
            for row in self._query(condition, fields, self._level()):
                found[row["key"]] = row_of(row) | ({"embedding": vector_of(row)} if vectors else {})
        return found

    def _variants(self, rows: Sequence[dict[str, Any]], condition: str) -> dict[str, Variants]:
        """Return the products of each row's variant group that meet a condition."""
        groups = sorted({row["group"] for row in rows if row["group"] != row["product"]})
        members: dict[str, dict[str, bool]] = {}
        fields = ["group", "product", "in_stock"]
        for chunk in _chunks(groups, CALL_KEYS):
            for row in self._query(f"{one_of('group', chunk)} and {condition}", fields, self._level()):
                members.setdefault(row["group"], {})[row["product"]] = row["in_stock"]
        return {group: Variants(len(products), any(products.values())) for group, products in members.items()}

    # --- reading ------------------------------------------------------------------------------------------------------

    def _level(self) -> str:
        """Return the consistency of searches: what this client wrote is waited for, what others wrote is not."""
        return "Session" if self._wrote else "Bounded"

    def _query(self, condition: str, fields: Sequence[str], level: str, limit: int = MOST_RESULTS) -> list[Any]:
        return list(
            self._server.read(
                lambda client, timeout_s: client.query(
                    self._collection,
                    filter=condition,
                    output_fields=list(fields),
                    consistency_level=level,
                    limit=limit,
                    timeout=timeout_s,
                ),
                WRITE_TIMEOUT_S if level == "Strong" else READ_TIMEOUT_S,
            )
        )

    def _entries(self, products: Sequence[str], level: str) -> list[Entry]:
        condition = f"{one_of('product', products)} and {LIVE}"
        return entries_of(self._query(condition, [*ENTRY_FIELDS, "row_hash", "image_hash"], level))

    def _count(self, condition: str) -> int:
        found = self._server.read(
            lambda client, timeout_s: client.query(
                self._collection,
                filter=condition,
                output_fields=["count(*)"],
                consistency_level="Strong",
                timeout=timeout_s,
            ),
            WRITE_TIMEOUT_S,
        )
        return int(found[0]["count(*)"])

    def _scan(self, fields: Sequence[str], rows_a_call: int) -> Iterator[list[Any]]:
        """Yield all rows, those of a product together, in parts of the hashes' space."""
        parts = max(1, math.ceil(self._count(LIVE) / rows_a_call))
        edges = [round(part * HASH_SPACE / parts) for part in range(parts + 1)]
        for low, high in pairwise(edges):
            yield from self._part(low, high, fields)

    def _part(self, low: int, high: int, fields: Sequence[str]) -> Iterator[list[Any]]:
        above = f" and product < {quoted(f'{high:08x}')}" if high < HASH_SPACE else ""
        condition = f"product >= {quoted(f'{low:08x}')}{above} and {LIVE}"
        rows = self._query(condition, fields, "Strong")
        if len(rows) < MOST_RESULTS:
            yield rows
            return
        middle = (low + high) // 2
        yield from self._part(low, middle, fields)
        yield from self._part(middle, high, fields)


def _within(category: str | None, conditions: Sequence[str]) -> str:
    """Return the expression of rows of a category, None for all, that meet conditions."""
    within = LIVE if category is None else one_of("item_category", [category or GONE])
    return " and ".join([within, *conditions])


def _score(cosine: float) -> float:
    return round(min(max(float(cosine), 0.0), 1.0), SCORE_DECIMALS)


def _ranked(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the best row of each group, best first, ties by product_id."""
    best: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (-row["score"], row["product_id"], row["shop"], row["key"])):
        best.setdefault(row["group"], row)
    return list(best.values())


def _chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
