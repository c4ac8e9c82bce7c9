"""Keep what the service writes beside a store safe together with it: keys, events, jobs, pictures, the audit log.

Files that are as they were are not copied again, and none is removed. What is being written meanwhile is copied whole:
the event log by SQLite itself, the others because the service writes them whole or only adds to them.
"""

import os
import shutil
import sqlite3
from pathlib import Path

from twinset.errors import DataError
from twinset.events import FILE as EVENTS_FILE

FOLDER = "service"  # in a backup
_PASSING = (".lock", ".part", "-wal", "-shm")  # ends of names of what no other process could use


def copy_state(source: Path, target: Path) -> int:
    """Copy a service's folder and return how many files that took; none where there is no such folder.

    Raises DataError for a file that can't be copied.
    """
    copied = 0
    for file in sorted(source.rglob("*")) if source.is_dir() else ():
        place = target / file.relative_to(source)
        if not file.is_file() or file.name == "lock" or file.name.endswith(_PASSING):
            continue
        try:
            if file.name == EVENTS_FILE:
                _copy_events(file, place)
            elif _is_same(file, place):
                continue
            else:
                _copy_file(file, place)
        except FileNotFoundError:  # a job that was forgotten meanwhile
            continue
        except (OSError, sqlite3.Error) as exc:
            raise DataError(
                f"{file}: expected a file that can be copied to {place}, found: {exc}; check disk and permissions"
            ) from exc
        copied += 1
    return copied


def _is_same(file: Path, place: Path) -> bool:
    if not place.is_file():
        return False
    one, other = file.stat(), place.stat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _copy_file(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.part")
    shutil.copy2(file, part)
    os.replace(part, place)


def _copy_events(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.part")
    part.unlink(missing_ok=True)
    source, copy = sqlite3.connect(file, timeout=10), sqlite3.connect(part)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()
    for name in ("-wal", "-shm"):  # of an older log, which would be taken for the new one's
        place.with_name(f"{place.name}{name}").unlink(missing_ok=True)
    os.replace(part, place)
