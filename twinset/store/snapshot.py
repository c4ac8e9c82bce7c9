"""A version of a store as files that are mapped into memory: a million products open at once and are no process's own.

They are worked out of the table and can be deleted at any time. Each is a folder that takes its name once it is whole.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twinset.store.base import DIM
from twinset.store.columns import search_columns
from twinset.store.nearest import Vectors, encode
from twinset.store.part import ROW_ID, STORED, Part, sorted_rows, vectors_of

SNAPSHOT_FORMAT = 3  # another one is not read, but written anew
FOLDER = "search"  # beside the table
_ABOUT = "about.json"
_BATCH = 16384  # vectors read at once


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that was found."""

    folder: Path
    version: int  # of the table


def newest_snapshot(folder: Path, table_id: str, version: int) -> Snapshot | None:
    """Return the newest snapshot of a table in its store's folder, of a version up to this; None if there is none."""
    try:
        named = [entry.name for entry in os.scandir(folder / FOLDER)]
    except OSError:
        return None
    for number in sorted((int(name) for name in named if name.isdigit()), reverse=True):
        found = Snapshot(folder / FOLDER / str(number), number)
        if number <= version and _about(found.folder).get("table") == table_id:
            return found
    return None


def open_snapshot(snapshot: Snapshot) -> Part | None:
    """Return a snapshot's rows, mapped into memory; None for one that can't be used, having been deleted or damaged."""
    folder, about = snapshot.folder, _about(snapshot.folder)
    try:
        if about.get("format") != SNAPSHOT_FORMAT:
            return None
        n, dim = int(about["rows"]), int(about.get("dim", DIM))
        vectors = Vectors(
            _mapped(folder / "vectors.f32", np.float32, (n, dim)),
            _mapped(folder / "codes.i8", np.int8, (n, dim)),
            _mapped(folder / "steps.f32", np.float32, (n,)),
            float(about["error"]),
        )
        rows, columns = _read_table(folder / "rows.arrow"), _read_table(folder / "columns.arrow")
        ids = _mapped(folder / "ids.u64", np.uint64, (n,))
        return Part(rows, columns, vectors, ids) if len(rows) == len(columns) == n else None
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def write_snapshot(folder: Path, table_id: str, version: int, table: Any) -> Snapshot:
    """Write a version of a LanceDB table, checked out by the caller, and delete older snapshots. Raises OSError.

    Holds what is stored of the rows in memory, but the vectors, which pass by.
    """
    target = folder / FOLDER / str(version)
    part = target.with_name(f".{version}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        rows = table.search().with_row_id(True).select([*STORED, ROW_ID]).limit(None).to_arrow()
        rows = rows.take(sorted_rows(rows)).combine_chunks()
        ids = rows[ROW_ID].to_numpy()
        rows = rows.select(STORED)
        _write_table(part / "rows.arrow", rows)
        _write_table(part / "columns.arrow", search_columns(rows))
        ids.tofile(part / "ids.u64")
        dim = table.schema.field("embedding").type.list_size
        error = _write_vectors(part, ids, table, dim)
        about = {"format": SNAPSHOT_FORMAT, "table": table_id, "rows": len(ids), "dim": dim, "error": error}
        (part / _ABOUT).write_text(json.dumps(about))
        for file in part.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _delete_others(folder / FOLDER, version)
    return Snapshot(target, version)


def _write_vectors(part: Path, ids: NDArray[np.uint64], table: Any, dim: int) -> float:
    """Write vectors, codes and steps in the order of the ids, and return the codes' error."""
    n = len(ids)
    order = np.argsort(ids)
    exact = _new_mapped(part / "vectors.f32", np.float32, (n, dim))
    codes = _new_mapped(part / "codes.i8", np.int8, (n, dim))
    steps = _new_mapped(part / "steps.f32", np.float32, (n,))
    error, written = 0.0, 0
    for batch_ids, batch in _vectors(table):
        places = order[np.searchsorted(ids, batch_ids, sorter=order)]
        encoded = encode(batch)
        exact[places], codes[places], steps[places] = encoded.exact, encoded.codes, encoded.steps
        error, written = max(error, encoded.error), written + len(batch)
    if written != n:
        raise OSError(f"expected {n} vectors, found {written}")
    for array in (exact, codes, steps):
        array.flush()
    return error


def _vectors(table: Any) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.float32]]]:
    reader = table.search().with_row_id(True).select(["embedding", ROW_ID]).limit(None).to_batches(_BATCH)
    for batch in reader:
        if len(batch):
            yield batch[ROW_ID].to_numpy(), vectors_of(batch["embedding"])


def _delete_others(folder: Path, version: int) -> None:
    """Delete what other runs left. Files that are mapped stay readable for those who mapped them."""
    for entry in folder.iterdir():
        if entry.name != str(version) and re.fullmatch(r"\.?\d+(\.\d+)?", entry.name):
            shutil.rmtree(entry, ignore_errors=True)


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / _ABOUT).read_text())
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _mapped(file: Path, kind: type, shape: tuple[int, ...]) -> NDArray[Any]:
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    if file.stat().st_size != size:
        raise OSError(f"{file}: expected {size} bytes")
    return np.asarray(np.memmap(file, kind, "r", shape=shape)) if size else np.zeros(shape, kind)


def _new_mapped(file: Path, kind: type, shape: tuple[int, ...]) -> "np.memmap[Any, Any]":
    """Return a new file to be written as an array. Raises OSError if the disk is full: later that ends the process."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    with file.open("wb") as made:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(made.fileno(), 0, size)
        else:
            made.truncate(size)
    return np.memmap(file, kind, "r+", shape=shape)


def _write_table(file: Path, table: pa.Table) -> None:
    with pa.OSFile(str(file), "wb") as out, pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)


def _read_table(file: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all()
