"""Small texts kept beside a directory's tables, a file each: rules, what was learned, which generations there are."""

import os
import threading
from pathlib import Path

FOLDER = "notes"


class Notes:
    """The notes in a store's folder, by names that `check_note_name` lets through. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def read(self, name: str, newest: bool = True) -> str | None:
        """Return a note as it is, None if there is none."""
        file = self._file(name)
        return file.read_text(encoding="utf-8") if file.exists() else None

    def write(self, name: str, text: str) -> None:
        """Write a note, whole or not at all."""
        file = self._file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text.encode())

    def names(self) -> list[str]:
        """Return which there are, sorted."""
        return sorted(file.stem for file in self._folder.glob("[a-z0-9]*.txt"))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.txt"


def write_whole(file: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens meanwhile."""
    part = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with part.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
