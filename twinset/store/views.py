"""Follow a LanceDB table from version to version, reading what changed and not what stayed.

A row keeps its id while it is stored, and knows the version that wrote it last, through compactions too.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twinset.store.part import ROW_ID, STORED
from twinset.store.snapshot import FOLDER, newest_snapshot, open_snapshot, write_snapshot
from twinset.store.view import Live, View
from twinset.store.writer import WRITTEN

MAPPED_ROWS = 20_000  # a store of more is searched in files that are mapped
UNSETTLED_SHARE = 0.1  # once as many rows changed since the snapshot, compacting writes a new one
_CHECKED_ROWS = 4096  # compared at once
_COLUMNS = [*STORED, "embedding", ROW_ID]


class Views:
    """The versions of a table, the newest asked for kept. One thread at a time."""

    def __init__(self, folder: Path, reader: Any, table_id: str | None) -> None:
        self._folder, self._reader = folder, reader  # a handle of its own, that is set to the version being read
        self._table_id = table_id  # None: of a table made before rows kept their ids
        self._view: View | None = None

    def at(self, version: int) -> View:
        """Return the view of the newest version, given its number."""
        if self._view is None or self._view.version != version:
            self._view = self._read(version)
        return self._view

    def settle(self, version: int) -> None:
        """Write a snapshot if much changed since the last."""
        if self._table_id is None:
            return
        view = self.at(version)
        due = max(MAPPED_ROWS, UNSETTLED_SHARE * view.rows)
        if view.rows >= MAPPED_ROWS and view.unsettled >= due:
            self._write(version)
            self._view = self._read(version)

    def problems(self, view: View) -> list[str]:
        """Return where a view differs from its version of the table, which is read whole."""
        self._reader.checkout(view.version)
        rows = wrong = 0
        for batch in self._reader.search().with_row_id(True).select(_COLUMNS).limit(None).to_batches(_CHECKED_ROWS):
            rows += len(batch)
            wrong += len(batch) - view.same_rows(pa.Table.from_batches([batch]))
        if rows == view.rows and not wrong:
            return []
        return [
            f"expected {rows} rows as in the table, found {view.rows} in the files for searching, {wrong} of them "
            f"other; delete {self._folder / FOLDER}: it is made anew"
        ]

    def _read(self, version: int) -> View:
        self._reader.checkout(version)
        if self._table_id is None:
            return View(0, ()).changed(version, self._rows(None))
        view = self._start(version)
        rows = self._reader.count_rows()
        if not view.snapshot and rows - view.rows >= MAPPED_ROWS and self._write(version):
            view = self._start(version)
        if view.version < version:
            view = view.changed(version, self._rows(f"{WRITTEN} > {view.version}"))
        if view.rows != rows:
            view = view.keeping(self._ids())
        return view.joined()

    def _start(self, version: int) -> View:
        """Return the view to go on from: the last one, or a newer snapshot."""
        view = View(0, ()) if self._view is None else self._view  # `or` would count its products
        found = newest_snapshot(self._folder, self._table_id or "", version)
        if found and found.version > view.snapshot:
            part = open_snapshot(found)
            if part is not None:
                return View(found.version, (Live(part),), found.version)
        return view if view.version <= version else View(0, ())

    def _write(self, version: int) -> bool:
        """Write a snapshot, and return whether that could be done."""
        self._reader.checkout(version)
        try:
            write_snapshot(self._folder, self._table_id or "", version, self._reader)
        except OSError:  # a disk that is full or can't be written: it goes without
            return False
        return True

    def _rows(self, condition: str | None) -> pa.Table:
        query = self._reader.search().with_row_id(True)
        if condition:
            query = query.where(condition)
        return query.select(_COLUMNS).limit(None).to_arrow()

    def _ids(self) -> NDArray[np.uint64]:
        found = self._reader.search().with_row_id(True).select([ROW_ID]).limit(None).to_arrow()
        ids: NDArray[np.uint64] = found[ROW_ID].to_numpy()
        return ids
