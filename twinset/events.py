"""What shoppers searched and did, in an SQLite file that is only ever added to: the ground of reports and of learning.

No photo, no address and no text a shopper wrote goes in. `visitor` is whatever the shop sends, an id of its own.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from twinset.errors import StoreError

FILE = "events.sqlite"
TYPES = ("view", "click", "add_to_cart", "purchase", "not_similar")
MAX_PENDING = 10_000  # searches waiting to be written; more are dropped rather than fill the memory
log = logging.getLogger(__name__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events(
  id INTEGER PRIMARY KEY, at REAL NOT NULL, shop TEXT NOT NULL, type TEXT NOT NULL, product_id TEXT NOT NULL,
  search_id TEXT, item_no INTEGER, position INTEGER, visitor TEXT);
CREATE INDEX IF NOT EXISTS events_by_shop ON events(shop, at);
CREATE TABLE IF NOT EXISTS searches(
  id INTEGER PRIMARY KEY, at REAL NOT NULL, shop TEXT NOT NULL, search_id TEXT NOT NULL, item_no INTEGER NOT NULL,
  kind TEXT NOT NULL, category TEXT, colour TEXT, best_score REAL, hits TEXT NOT NULL, features TEXT, missed INTEGER,
  narrowed INTEGER);
CREATE INDEX IF NOT EXISTS searches_by_shop ON searches(shop, at);
"""
_APPEND_ONLY = """
CREATE TRIGGER IF NOT EXISTS {table}_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is only added to'); END;
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing a shopper did with a product."""

    type: str  # of TYPES
    product_id: str
    shop: str
    search_id: str | None = None  # of the search whose hit it was
    item_no: int | None = None  # which of the photo's items, from 0
    position: int | None = None  # in the hits, from 0
    visitor: str | None = None
    at: float = 0.0  # seconds since 1970; 0: now


@dataclass(frozen=True, slots=True)
class SearchedItem:
    """One item of a search: what was looked for and what was shown."""

    shop: str
    search_id: str
    item_no: int
    kind: str  # photo, crop, whole, words, or page for a later one
    category: str | None
    colour: str | None
    best_score: float | None  # None: no hit at all
    hits: str  # product ids in their order, joined by newlines
    features: str | None = None  # JSON list of each hit's ranking.FEATURES
    missed: bool | None = None  # the shop carries nothing like it; None: not known
    narrowed: bool | None = None  # filters, words or a least score left products out; None: not known


_SEARCHED = tuple(field.name for field in fields(SearchedItem))  # in the order of the table's columns


class EventLog:
    """The file, opened when it is first needed. Safe to use from several threads and processes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._pending: list[tuple[float, SearchedItem]] = []
        self._wake = threading.Event()
        self._writer: threading.Thread | None = None
        self._closed = False

    def add(self, events: Sequence[Event]) -> None:
        """Store events; they are on disk when this returns. Raises StoreError."""
        now = time.time()
        rows = [
            (e.at or now, e.shop, e.type, e.product_id, e.search_id, e.item_no, e.position, e.visitor) for e in events
        ]
        self._insert(
            "INSERT INTO events(at, shop, type, product_id, search_id, item_no, position, visitor) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def add_searches(self, items: Sequence[SearchedItem]) -> None:
        """Store searched items soon, without making the search wait. They may be lost where the process is killed."""
        now = time.time()
        with self._lock:
            if self._closed or len(self._pending) + len(items) > MAX_PENDING:
                return
            self._pending += [(now, item) for item in items]
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_searches, name="searches", daemon=True)
                self._writer.start()
        self._wake.set()

    def read(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return the rows of a SELECT. Raises StoreError."""
        self.flush()
        if not self.file.exists():
            return []
        try:
            with self._lock:
                return self._open().execute(query, list(values)).fetchall()
        except sqlite3.Error as exc:
            raise self._unusable(exc) from exc

    def flush(self) -> None:
        """Write the searches that wait."""
        with self._lock:
            pending, self._pending = self._pending, []
        if not pending:
            return
        self._insert(
            "INSERT INTO searches(at, shop, search_id, item_no, kind, category, colour, best_score, hits, "
            "features, missed, narrowed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(at, *(getattr(item, name) for name in _SEARCHED)) for at, item in pending],
        )

    def close(self) -> None:
        """Write what waits and close the file."""
        self._closed = True
        self._wake.set()
        if self._writer is not None:
            self._writer.join()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _write_searches(self) -> None:
        while not self._closed:
            self._wake.wait()
            time.sleep(0.2)  # a commit for many searches
            self._wake.clear()
            try:
                self.flush()
            except StoreError as exc:
                log.warning("searches are not written down: %s", exc)
        try:
            self.flush()
        except StoreError as exc:
            log.warning("searches are not written down: %s", exc)

    def _insert(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        try:
            with self._lock, self._open() as connection:
                connection.executemany(statement, rows)
        except (sqlite3.Error, OSError) as exc:
            raise self._unusable(exc) from exc

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.file, timeout=10, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            guards = [
                _APPEND_ONLY.format(table=table, verb=verb)
                for table in ("events", "searches")
                for verb in ("UPDATE", "DELETE")
            ]
            connection.executescript(_SCHEMA + "".join(guards))
            _add_missing(connection)
            self._connection = connection
        return self._connection

    def _unusable(self, exc: Exception) -> StoreError:
        return StoreError(f"{self.file}: expected an event log that can be used, found: {exc}; check the disk")


def _add_missing(connection: sqlite3.Connection) -> None:
    """Give a file that an earlier version made the columns it lacks."""
    there = {row["name"] for row in connection.execute("PRAGMA table_info(searches)")}
    for column, kind in (("features", "TEXT"), ("missed", "INTEGER"), ("narrowed", "INTEGER")):
        if column not in there:
            connection.execute(f"ALTER TABLE searches ADD COLUMN {column} {kind}")
