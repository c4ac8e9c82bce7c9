"""Small texts kept in a table of their own, for stores that are no directory of this machine; see notes.py."""

import time
from datetime import timedelta
from typing import Any

import pyarrow as pa

TABLE = "notes"
NOTE_S = 1.0  # a note that was read is known for so long: every search asks for its shop's rules
_SCHEMA = pa.schema([pa.field("name", pa.string()), pa.field("text", pa.large_string())])


class TableNotes:
    """The notes of a store at a URL. Raises what LanceDB does."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._table: Any = None
        self._known: dict[str, tuple[float, str | None]] = {}  # name -> when it was read, and what it was

    def read(self, name: str, newest: bool = False) -> str | None:
        """Return a note as it was a second ago at most, or as it is; None if there is none."""
        read_at, text = self._known.get(name, (-NOTE_S, None))
        if newest or time.monotonic() - read_at >= NOTE_S:
            text = self._all().get(name)
            self._known[name] = time.monotonic(), text
        return text

    def write(self, name: str, text: str) -> None:
        """Write a note, whole or not at all."""
        table = self._opened(create=True)
        row = pa.table({"name": [name], "text": [text]}, schema=_SCHEMA)
        table.merge_insert("name").when_matched_update_all().when_not_matched_insert_all().execute(row)
        self._known.pop(name, None)

    def names(self) -> list[str]:
        """Return which there are, sorted."""
        return sorted(self._all())

    def _all(self) -> dict[str, str]:
        table = self._opened(create=False)
        rows = [] if table is None else table.search().limit(None).to_arrow().to_pylist()
        return {row["name"]: row["text"] for row in rows}

    def _opened(self, create: bool) -> Any:
        import lancedb

        if self._table is None:
            database = lancedb.connect(self._uri, read_consistency_interval=timedelta(0))
            there = TABLE in database.list_tables().tables
            if there or create:
                self._table = (
                    database.open_table(TABLE) if there else database.create_table(TABLE, schema=_SCHEMA, exist_ok=True)
                )
        return self._table
