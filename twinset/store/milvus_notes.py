"""Small texts kept in a collection, in rows that no search finds."""

import time
from typing import Any

from twinset.store.base import check_note_name
from twinset.store.milvus_filter import one_of, quoted
from twinset.store.milvus_rows import NOTE, NOTE_END, note_key, note_name, note_of, note_row
from twinset.store.milvus_server import READ_TIMEOUT_S, WRITE_TIMEOUT_S, Server

NOTE_S = 1.0  # a note that was read is known for so long: every search asks for its shop's rules


class MilvusNotes:
    """The notes of a store: in the collection that its address names."""

    def __init__(self, server: Server) -> None:
        self._server, self._collection = server, server.address.collection
        self._known: dict[str, tuple[float, str | None]] = {}  # name -> when it was read, and what it was
        self._dim = 0  # of the collection's vectors: a note's row has one too
        self._wrote = False

    def read(self, name: str, newest: bool = False) -> str | None:
        """Return a note as it was at most a second or two ago, or as it is; None if there is none."""
        check_note_name(name)
        read_at, text = self._known.get(name, (-NOTE_S, None))
        if newest or time.monotonic() - read_at >= NOTE_S:
            level = "Strong" if newest else "Session" if self._wrote else "Bounded"
            found = self._query(one_of("key", [note_key(name)]), ["row"], level)
            text = note_of(found[0]) if found else None
            self._known[name] = time.monotonic(), text
        return text

    def write(self, name: str, text: str) -> None:
        """Write a note, whole or not at all. Raises StoreError for one that is too large for Milvus."""
        check_note_name(name)
        if not self._dim:
            about = self._server.read(lambda client, s: client.describe_collection(self._collection, timeout=s))
            self._dim = dim_of(about)
        rows = [note_row(name, text, self._dim)]
        self._server.write(lambda client, timeout_s: client.upsert(self._collection, rows, timeout=timeout_s))
        self._wrote = True
        self._known.pop(name, None)

    def names(self) -> list[str]:
        """Return which there are, sorted."""
        level = "Session" if self._wrote else "Bounded"
        found = self._query(f"key >= {quoted(NOTE)} and key < {quoted(NOTE_END)}", ["key"], level)
        return sorted(note_name(row["key"]) for row in found)

    def _query(self, condition: str, fields: list[str], level: str) -> list[Any]:
        return list(
            self._server.read(
                lambda client, timeout_s: client.query(
                    self._collection,
                    filter=condition,
                    output_fields=fields,
                    consistency_level=level,
                    timeout=timeout_s,
                ),
                WRITE_TIMEOUT_S if level == "Strong" else READ_TIMEOUT_S,  # the newest decides on writing
            )
        )


def dim_of(about: dict[str, Any]) -> int:
    """Return how many numbers the vectors of a collection have, as `describe_collection` says."""
    (vector,) = (field for field in about["fields"] if field["name"] == "embedding")
    return int(vector["params"]["dim"])
