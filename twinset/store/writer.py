"""One writer at a time: others wait. Readers never do."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twinset.store.base import Key

LOCK = "writer.lock"  # beside the table; the system lets go of it when its holder dies
WRITTEN = "_row_last_updated_at_version"  # LanceDB's name for the version that wrote a row last
_threads: dict[Path, threading.RLock] = {}
_guard = threading.Lock()


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Keep other threads and processes of this machine from writing to a store meanwhile."""
    with _guard:
        mine = _threads.setdefault(folder.resolve(), threading.RLock())
    with mine, (folder / LOCK).open("wb") as file:
        _lock(file.fileno())
        yield


try:
    import fcntl

    def _lock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX)  # until the file is closed

except ImportError:
    import msvcrt

    def _lock(number: int) -> None:
        msvcrt.locking(number, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]


class StoredKeys:
    """Which products a table has, as far as a writer must know. One thread at a time, which is the only writer.

    The first time it does not look, as one write of a few products is no reason to read all keys.
    """

    def __init__(self, table: Any, followed: bool) -> None:
        self._table = table
        self._followed = followed  # rows know the version that wrote them last
        self._hashes: set[int] = set()
        self._version = 0  # that they are of; what was deleted since may be among them
        self._asked = False

    def may_have(self, keys: Sequence[Key]) -> bool:
        """Return False if none of the products is stored for sure."""
        version = self._table.version
        if not self._followed:
            return True
        if version != self._version:
            if not self._version and not self._asked and self._table.count_rows():
                self._asked = True
                return True
            self._read()
            self._version = version
        return any(hash(key) in self._hashes for key in keys)

    def wrote(self, keys: Sequence[Key]) -> None:
        """Take note of products that were written since they were asked for."""
        if self._version:
            self._hashes.update(map(hash, keys))
            self._version = self._table.version

    def _read(self) -> None:
        rows = self._table.search().select(["shop", "product_id"]).limit(None)
        if self._version:
            rows = rows.where(f"{WRITTEN} > {self._version}")
        columns = rows.to_arrow().to_pydict()
        self._hashes.update(map(hash, map(Key, columns["shop"], columns["product_id"])))
