"""A store in a directory: a LanceDB table with one row for each item, its product's fields beside it.

A product is written in one commit, and readers see commits whole. The table's metadata names the format and the model.
"""

import shutil
import threading
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twinset.errors import ModelMismatch, StoreError
from twinset.store.base import DIM, FORMAT, Entry, Fingerprint, Key, check_embedding, check_entries, check_note_name
from twinset.store.filters import Filter
from twinset.store.generations import FIRST, Guard
from twinset.store.notes import Notes
from twinset.store.rows import COLUMNS, ROW_KEY, schema, table_of
from twinset.store.snapshot import FOLDER as SEARCH_FILES
from twinset.store.texts import Words
from twinset.store.view import View
from twinset.store.views import Views
from twinset.store.writer import StoredKeys, one_writer
from twinset.types import Facet, Hit

TABLE = "products"
GENERATIONS = "generations"  # a folder beside the first one's table, for the others
KEEP_VERSIONS = timedelta(minutes=1)  # readers of an older version have that long to finish
MAX_FRAGMENTS = 32  # files a table may be in before they are made one
STABLE_ROWS = {"new_table_enable_stable_row_ids": "true"}  # so that a reader can ask what changed
_FORMAT_KEY, _MODEL_KEY, _ID_KEY = b"twinset.format", b"twinset.model", b"twinset.id"
_WRITE_ADVICE = "check the disk's space and the folder's permissions"
_LANCE_ERRORS = (OSError, RuntimeError, ValueError, pa.ArrowException)  # it has no base class of its own


@dataclass(frozen=True, slots=True)
class Place:
    """Where a generation is."""

    root: Path  # the store's folder, with what its generations share: notes
    folder: Path  # with its table and its files for searching


class LanceStore:
    """See `Store`. Searches see a `View`, brought up to date once the table's version has changed."""

    def __init__(self, place: Place, table: Any, reader: Any, model_version: str, guard: Guard | None) -> None:
        folder, about = place.folder, table.schema.metadata or {}
        table_id = about[_ID_KEY].decode() if _ID_KEY in about else None
        self._root, self._folder, self._notes = place.root, folder, Notes(place.root)
        self._table, self._model_version = table, model_version
        self._dim: int = table.schema.field("embedding").type.list_size
        self._guard = guard or (lambda: None)
        self._lock = threading.Lock()
        self._views = Views(folder, reader, table_id)
        self._keys = StoredKeys(table, table_id is not None)

    @property
    def uri(self) -> str:
        return str(self._root)

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
        with _translated(self._folder, "a store that can be written", _WRITE_ADVICE), one_writer(self._folder):
            self._guard()
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
        with _translated(self._folder, "a store that can be written", _WRITE_ADVICE), one_writer(self._folder):
            self._guard()
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
        variants: bool = False,
    ) -> list[list[Hit]]:
        for embedding in embeddings:
            check_embedding(embedding, "query", self._dim)
        return self._latest().search(embeddings, k, categories, filter, exclude, variants)

    def facets(self, category: str | None, filter: Filter, fields: Sequence[str]) -> list[Facet]:
        return self._latest().facets(category, filter, fields)

    def search_words(
        self, words: Words, k: int, category: str | None = None, filter: Filter | None = None, variants: bool = False
    ) -> list[Hit]:
        return self._latest().search_words(words, k, category, filter, variants)

    def plan(self, category: str | None, filter: Filter | None = None) -> str:
        return self._latest().plan(category, filter)

    def fingerprints(self) -> dict[Key, Fingerprint]:
        return self._latest().fingerprints()

    def entries(self, keys: Set[Key] | None = None) -> Iterator[Entry]:
        return self._latest().entries(keys)

    def count(self) -> int:
        return len(self._latest())

    def compact(self) -> None:
        with _translated(self._folder), one_writer(self._folder):
            if self._table.stats()["fragment_stats"]["num_fragments"] > MAX_FRAGMENTS:
                self._table.optimize(cleanup_older_than=KEEP_VERSIONS)
            self._views.settle(self._table.version)

    def read_note(self, name: str) -> str | None:
        check_note_name(name)
        with _translated(self._root):
            return self._notes.read(name)

    def note_names(self) -> list[str]:
        with _translated(self._root):
            return self._notes.names()

    def problems(self) -> list[str]:
        """Compare what searches see, mapped files mostly, with the table."""
        view = self._latest()
        with _translated(self._folder), self._lock:
            return self._views.problems(view)

    def write_note(self, name: str, text: str) -> None:
        check_note_name(name)
        with _translated(self._root, "a store that can be written", _WRITE_ADVICE):
            self._notes.write(name, text)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        with one_writer(self._folder):
            yield True

    def _stored(self, keys: Sequence[Key]) -> list[tuple[Key, int]]:
        """Return the rows that are stored of some products, by product and image."""
        rows = self._table.search().where(_any_of(keys)).select(list(ROW_KEY)).limit(None).to_arrow()
        columns = rows.select(list(ROW_KEY)).to_pydict().values()
        return [(Key(shop, product_id), image_no) for shop, product_id, image_no in zip(*columns, strict=True)]

    def _latest(self) -> View:
        with _translated(self._folder), self._lock:
            return self._views.at(self._table.version)


class LanceShelf:
    """See `Shelf`. The first generation is in the folder itself, the others in folders in it."""

    def __init__(self, root: Path) -> None:
        self._root, self._notes = root, Notes(root)

    @property
    def uri(self) -> str:
        return str(self._root)

    def read(self, note: str) -> str | None:
        with _translated(self._root):
            return self._notes.read(note)

    def write(self, note: str, text: str) -> None:
        with _translated(self._root, "a store that can be written", _WRITE_ADVICE):
            self._notes.write(note, text)

    def open(
        self, number: int, model_version: str | None, create: bool, dim: int = DIM, guard: Guard | None = None
    ) -> LanceStore:
        return _open(self._place(number), model_version, create, dim, guard)

    def remove(self, number: int) -> None:
        folder = self._place(number).folder
        gone = [folder / f"{TABLE}.lance", folder / SEARCH_FILES] if number == FIRST else [folder]
        with _translated(folder, "a folder that can be removed", "check its permissions, then run this again"):
            for each in gone:
                if each.exists():
                    shutil.rmtree(each)

    def _place(self, number: int) -> Place:
        return Place(self._root, self._root if number == FIRST else self._root / GENERATIONS / str(number))


def _open(place: Place, model_version: str | None, create: bool, dim: int, guard: Guard | None) -> LanceStore:
    import lancedb

    folder = place.folder
    with _translated(folder):
        versions = folder / f"{TABLE}.lance" / "_versions"
        missing = not versions.is_dir() or not any(versions.iterdir())
    if missing:
        return _create(place, model_version, create, dim, guard)
    with _translated(folder):
        database = lancedb.connect(folder, read_consistency_interval=timedelta(0))
        table = database.open_table(TABLE)
        found = table.schema
    about = found.metadata or {}
    try:
        written, model = int(about[_FORMAT_KEY]), about[_MODEL_KEY].decode()
    except (KeyError, ValueError) as exc:
        raise _damaged(folder, "a table that says neither its format nor its model") from exc
    if written > FORMAT:
        raise StoreError(
            f"store {folder}: expected format {FORMAT} or older, found {written}; "
            f"a newer Twinset wrote it: upgrade this one"
        )
    lacking = [column.name for column in COLUMNS if column.name not in found.names]
    if lacking:
        raise _damaged(folder, f"a table without {lacking[0]!r}")
    if model_version is not None and model != model_version:
        raise ModelMismatch(
            f"store {folder}: expected vectors of model {model_version}, found those of {model}; "
            f"choose that --model, or roll this one out: twinset reindex --model NEW"
        )
    store = LanceStore(place, table, database.open_table(TABLE), model, guard)
    store.count()  # reads the rows: damage shows now rather than at a shopper's search
    return store


def _create(place: Place, model_version: str | None, create: bool, dim: int, guard: Guard | None) -> LanceStore:
    import lancedb

    folder = place.folder
    if not create and folder != place.root:
        raise StoreError(
            f"store {place.root}: expected a generation in {folder}, found none; "
            f"restore a backup, or go back: twinset rollout back"
        )
    if not create:
        raise StoreError(
            f"store {folder}: expected a directory written by twinset index, found none; "
            f"run twinset index FEED --store {folder}"
        )
    if model_version is None:
        raise ValueError("a new store needs the version of its model")
    about = {_FORMAT_KEY: str(FORMAT).encode(), _MODEL_KEY: model_version.encode(), _ID_KEY: uuid4().hex.encode()}
    with _translated(folder, "a place to make a store in", "choose another --store"):
        database = lancedb.connect(folder, read_consistency_interval=timedelta(0))
        mode = (
            "overwrite" if (folder / f"{TABLE}.lance").exists() else "create"
        )  # a creation that was killed is done over
        named = {key.decode(): value.decode() for key, value in about.items()}
        table = database.create_table(TABLE, schema=schema(named, dim), mode=mode, storage_options=STABLE_ROWS)
        return LanceStore(place, table, database.open_table(TABLE), model_version, guard)


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


@contextmanager
def _translated(folder: Path, expected: str = "a whole store", advice: str = "") -> Iterator[None]:
    """Turn what LanceDB raises on files it can't use into StoreError."""
    try:
        yield
    except _LANCE_ERRORS as exc:
        found = " ".join(str(exc).split())[:200]
        raise _store_error(folder, expected, found, advice or _index_again(folder)) from exc


def _damaged(folder: Path, found: str) -> StoreError:
    return _store_error(folder, "a whole store", found, _index_again(folder))


def _index_again(folder: Path) -> str:
    return f"if it is damaged, delete {folder} and index again"


def _store_error(folder: Path, expected: str, found: str, advice: str) -> StoreError:
    return StoreError(f"store {folder}: expected {expected}, found: {found}; {advice}")
