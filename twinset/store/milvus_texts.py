"""The words a collection's rows say, indexed by this client: Milvus 2.3 knows no words."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from twinset.store.milvus_rows import row_of
from twinset.store.rows import COLUMNS
from twinset.store.texts import WORD_COLUMNS, TextIndex, Words

FRESH_S = 60.0  # as long what other clients write may stay unfound
TEXT_FIELDS = ("key", "row")
Scan = Callable[[], Iterator[list[Mapping[str, Any]]]]  # of all rows' `TEXT_FIELDS`


class MilvusTexts:
    """Rows by their words, best first, read anew when it is time. Any number of threads may ask."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._lock = threading.Lock()
        self._read: tuple[TextIndex, list[str]] | None = None
        self._read_at = 0.0
        self._change = self._seen = object()  # the last change of the rows, and the last that was read

    def forget(self) -> None:
        """Have the rows read anew by the next search, whatever is being read now: they changed."""
        self._change = object()

    def best(self, words: Words) -> list[tuple[str, float]]:
        """Return the names and scores of the rows that say any of the words, best first."""
        index, keys = self._latest()
        scores = index.score(words)
        rows = np.flatnonzero(scores)
        order = rows[np.argsort(-scores[rows], kind="stable")]
        return [(keys[row], round(float(scores[row]), 5)) for row in order.tolist()]

    def _latest(self) -> tuple[TextIndex, list[str]]:
        with self._lock:
            read = self._read
            if read is None or self._seen is not self._change or time.monotonic() - self._read_at > FRESH_S:
                change, read_at = self._change, time.monotonic()
                stored = [(row["key"], row_of(row)) for rows in self._scan() for row in rows]
                fields = pa.schema([field for field in COLUMNS if field.name in WORD_COLUMNS])
                table = pa.Table.from_pylist([{n: row[n] for n in WORD_COLUMNS} for _, row in stored], schema=fields)
                read = TextIndex(table), [key for key, _ in stored]
                self._read, self._read_at, self._seen = read, read_at, change
            return read
