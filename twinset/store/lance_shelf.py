"""Open, make and remove the generations of a store in a directory or on object storage.

A table's metadata names the format and the model.
"""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from twinset.errors import ModelMismatch, StoreError
from twinset.store.base import DIM, FORMAT
from twinset.store.generations import FIRST, Guard
from twinset.store.lance import LanceStore
from twinset.store.notes import Notes
from twinset.store.place import FORMAT_KEY, ID_KEY, MODEL_KEY, WRITE_ADVICE, Place, damaged, translated
from twinset.store.rows import COLUMNS, schema
from twinset.store.snapshot import FOLDER as SEARCH_FILES
from twinset.store.table_notes import TableNotes
from twinset.store.writer import one_writer

STABLE_ROWS = {"new_table_enable_stable_row_ids": "true"}  # so that a reader can ask what changed
_FRESH_S = {False: 0.0, True: 1.0}  # by `remote`: what another process wrote is found at once, or within this time


class LanceShelf:
    """See `Shelf`."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._notes = TableNotes(root) if "://" in root else Notes(Path(root))

    @property
    def uri(self) -> str:
        return self._root

    def read(self, note: str) -> str | None:
        with translated(self._root):
            return self._notes.read(note, newest=True)

    def write(self, note: str, text: str) -> None:
        with translated(self._root, "a store that can be written", WRITE_ADVICE):
            self._notes.write(note, text)

    def has(self, number: int) -> bool:
        place = Place(self._root, number)
        with translated(place.shown):
            return _is_there(place)

    def open(
        self, number: int, model_version: str | None, create: bool, dim: int = DIM, guard: Guard | None = None
    ) -> LanceStore:
        place = Place(self._root, number)
        if not self.has(number):
            if not create:
                raise _missing(place)
            with translated(place.shown, "a place to make a store in", "choose another --store"):
                place.local.mkdir(parents=True, exist_ok=True)
            with one_writer(place.local):
                if not _is_there(place):
                    return self._create(place, model_version, dim, guard)
            # another process made it meanwhile
        with translated(place.shown):
            database = _connected(place)
            table = database.open_table(place.table)
            model = _check_table(place, table.schema, model_version)
            store = LanceStore(place, self._notes, table, database.open_table(place.table), model, guard)
            place.local.mkdir(parents=True, exist_ok=True)
        store.count()  # reads the rows: damage shows now rather than at a shopper's search
        return store

    def remove(self, number: int) -> None:
        place = Place(self._root, number)
        gone = [place.local / SEARCH_FILES] if place.remote else [place.local]
        if number == FIRST and not place.remote:
            gone = [place.local / f"{place.table}.lance", place.local / SEARCH_FILES]
        with translated(place.shown, "a folder that can be removed", "check its permissions, then run this again"):
            if place.remote and _is_there(place):
                _connected(place).drop_table(place.table)
            for each in gone:
                if each.exists():
                    shutil.rmtree(each)

    def _create(self, place: Place, model_version: str | None, dim: int, guard: Guard | None) -> LanceStore:
        if model_version is None:
            raise ValueError("a new store needs the version of its model")
        about = {FORMAT_KEY: str(FORMAT), MODEL_KEY: model_version, ID_KEY: uuid4().hex}
        with translated(place.shown, "a place to make a store in", "choose another --store"):
            # A creation that was killed is done over.
            mode = "overwrite" if (place.local / f"{place.table}.lance").exists() else "create"
            made = schema({key.decode(): value for key, value in about.items()}, dim)
            database = _connected(place)
            table = database.create_table(place.table, schema=made, mode=mode, storage_options=STABLE_ROWS)
            reader = database.open_table(place.table)
            return LanceStore(place, self._notes, table, reader, model_version, guard)


def _connected(place: Place) -> Any:
    import lancedb

    return lancedb.connect(place.database, read_consistency_interval=timedelta(seconds=_FRESH_S[place.remote]))


def _is_there(place: Place) -> bool:
    if place.remote:
        return place.table in _connected(place).list_tables().tables
    versions = place.local / f"{place.table}.lance" / "_versions"
    return versions.is_dir() and any(versions.iterdir())


def _check_table(place: Place, found: Any, model_version: str | None) -> str:
    """Return the model whose vectors a table keeps. Raises StoreError for one that is no store we can read."""
    about = found.metadata or {}
    try:
        written, model = int(about[FORMAT_KEY]), str(about[MODEL_KEY], "utf-8")
    except (KeyError, ValueError) as exc:
        raise damaged(place.shown, "a table that says neither its format nor its model") from exc
    if written > FORMAT:
        raise StoreError(
            f"store {place.shown}: expected format {FORMAT} or older, found {written}; "
            f"a newer Twinset wrote it: upgrade this one"
        )
    lacking = [column.name for column in COLUMNS if column.name not in found.names]
    if lacking:
        raise damaged(place.shown, f"a table without {lacking[0]!r}")
    if model_version is not None and model != model_version:
        raise ModelMismatch(
            f"store {place.shown}: expected vectors of model {model_version}, found those of {model}; "
            f"choose that --model, or roll this one out: twinset reindex --model NEW"
        )
    return model


def _missing(place: Place) -> StoreError:
    if place.number != FIRST:
        return StoreError(
            f"store {place.root}: expected a generation in {place.shown}, found none; "
            f"restore a backup, or go back: twinset rollout back"
        )
    what = "a table" if place.remote else "a directory"
    return StoreError(
        f"store {place.root}: expected {what} written by twinset index, found none; "
        f"run twinset index FEED --store {place.root}"
    )
