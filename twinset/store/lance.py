"""A store in a directory or on object storage: a LanceDB table with one row for each item, its product's fields beside.

A product is written in one commit, and readers see commits whole. lance_shelf.py opens and makes it.
"""

import threading
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.store.base import Entry, Fingerprint, Key, check_embedding, check_entries, check_note_name
from twinset.store.filters import Filter
from twinset.store.generations import Guard
from twinset.store.notes import Notes
from twinset.store.place import ID_KEY, WRITE_ADVICE, Place, translated
from twinset.store.rows import ROW_KEY, table_of
from twinset.store.table_notes import TableNotes
from twinset.store.texts import Words
from twinset.store.view import View
from twinset.store.views import Views
from twinset.store.writer import StoredKeys, one_writer
from twinset.types import Facet, Hit

KEEP_VERSIONS = timedelta(minutes=1)  # readers of an older version have that long to finish
MAX_FRAGMENTS = 32  # files a table may be in before they are made one


class LanceStore:
    """See `Store`. Searches see a `View`, brought up to date once the table's version has changed."""

    def __init__(
        self, place: Place, notes: Notes | TableNotes, table: Any, reader: Any, model_version: str, guard: Guard | None
    ) -> None:
        about = table.schema.metadata or {}
        table_id = about[ID_KEY].decode() if ID_KEY in about else None
        self._root, self._folder, self._local, self._notes = place.root, place.shown, place.local, notes
        self._table, self._model_version = table, model_version
        self._dim: int = table.schema.field("embedding").type.list_size
        self._guard = guard or (lambda: None)
        self._lock = threading.Lock()
        self._views = Views(place.local, reader, table_id)
        self._keys = StoredKeys(table, table_id is not None)

    @property
    def uri(self) -> str:
        return self._root

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
        rows = table_of(entries)
        with translated(self._folder, "a store that can be written", WRITE_ADVICE), one_writer(self._local):
            self._begin()
            keys = [entry.key for entry in entries]
            stored = self._stored(keys) if self._keys.may_have(keys) else []
            if not stored:
                self._table.add(rows)  # many times quicker than a merge
                self._keys.wrote(keys)
                return
            writer = self._table.merge_insert(list(ROW_KEY)).when_matched_update_all().when_not_matched_insert_all()
            written = {(entry.key, item.image_no) for entry in entries for item in entry.items}
            shrunk = list(dict.fromkeys(row[0] for row in stored if row not in written))
            if shrunk:
                writer = writer.when_not_matched_by_source_delete(_any_of(shrunk))
            writer.execute(rows)
            self._keys.wrote(keys)

    def delete(self, keys: Sequence[Key]) -> int:
        with translated(self._folder, "a store that can be written", WRITE_ADVICE), one_writer(self._local):
            self._begin()
            found = {key for key, _ in self._stored(keys)} if keys else set()
            if found:
                self._table.delete(_any_of(sorted(found)))
        return len(found)

    def get(self, product_id: str, shop: str = "default") -> Entry:
        return self._latest().get(product_id, shop)

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
        return self._latest().search(embeddings, k, categories, filter, exclude)

    def facets(self, category: str | None, filter: Filter, fields: Sequence[str]) -> list[Facet]:
        return self._latest().facets(category, filter, fields)

    def search_words(
        self, words: Words, k: int, category: str | None = None, filter: Filter | None = None
    ) -> list[Hit]:
        return self._latest().search_words(words, k, category, filter)

    def plan(self, category: str | None, filter: Filter | None = None) -> str:
        return self._latest().plan(category, filter)

    def fingerprints(self) -> dict[Key, Fingerprint]:
        return self._latest().fingerprints()

    def entries(self, keys: Set[Key] | None = None) -> Iterator[Entry]:
        return self._latest().entries(keys)

    def count(self) -> int:
        return len(self._latest())

    def compact(self) -> None:
        with translated(self._folder), one_writer(self._local):
            if self._table.stats()["fragment_stats"]["num_fragments"] > MAX_FRAGMENTS:
                self._table.optimize(cleanup_older_than=KEEP_VERSIONS)
            self._views.settle(self._table.version)

    def read_note(self, name: str) -> str | None:
        check_note_name(name)
        with translated(self._root):
            return self._notes.read(name)

    def note_names(self) -> list[str]:
        with translated(self._root):
            return self._notes.names()

    def problems(self) -> list[str]:
        """Compare what searches see, mapped files mostly, with the table."""
        view = self._latest()
        with translated(self._folder), self._lock:
            return self._views.problems(view)

    def write_note(self, name: str, text: str) -> None:
        check_note_name(name)
        with translated(self._root, "a store that can be written", WRITE_ADVICE):
            self._notes.write(name, text)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        with one_writer(self._local):
            yield True

    def _begin(self) -> None:
        """See to it that a write may happen, and knows what other processes wrote."""
        self._guard()
        self._table.checkout_latest()

    def _stored(self, keys: Sequence[Key]) -> list[tuple[Key, int]]:
        """Return the rows that are stored of some products, by product and image."""
        rows = self._table.search().where(_any_of(keys)).select(list(ROW_KEY)).limit(None).to_arrow()
        columns = rows.select(list(ROW_KEY)).to_pydict().values()
        return [(Key(shop, product_id), image_no) for shop, product_id, image_no in zip(*columns, strict=True)]

    def _latest(self) -> View:
        with translated(self._folder), self._lock:
            return self._views.at(self._table.version)


def _any_of(keys: Sequence[Key]) -> str:
    """Return the SQL condition that holds for the products named."""
    by_shop: dict[str, list[str]] = {}
    for key in keys:
        by_shop.setdefault(key.shop, []).append(_quoted(key.product_id))
    return " OR ".join(
        f"(shop = {_quoted(shop)} AND product_id IN ({', '.join(ids)}))" for shop, ids in by_shop.items()
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
