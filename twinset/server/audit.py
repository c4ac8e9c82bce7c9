"""The audit log: one JSON line for each attempt to write, also a refused one. Who, what, when, and how it ended."""

import json
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

FILE = "audit.jsonl"
log = logging.getLogger(__name__)


class AuditLog:
    """Appends to a file; several processes may append to the same."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()

    def add(self, **entry: object) -> None:
        """Write an entry with the time before it. What can't be written goes to the service's log instead."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": now, **entry}, ensure_ascii=False)
        try:
            with self._lock:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    os.write(handle, line.encode("utf-8", "backslashreplace") + b"\n")  # one write, so lines stay whole
                finally:
                    os.close(handle)
        except OSError as exc:
            log.error("the audit log can't be written (%s): %s", exc.strerror, line)
