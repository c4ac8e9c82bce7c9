"""Copy a store's products and notes to another of either kind; a backup is such a copy in a directory."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from twinset.errors import StoreError
from twinset.store import open_store
from twinset.store.base import Entry, Store, delete_products
from twinset.store.generations import is_of_generations

COPY_PRODUCTS = 2000  # read, compared and written at once
BACKUP_NOTE = "backup"  # in a backup: what it is of, and whether it was finished
Told = Callable[[int], None]  # of so many more products


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy did."""

    products: int  # in the source
    written: int  # the others were there already
    removed: int


def copy_store(source: Store, target: Store, remove: bool = False, told: Told = lambda count: None) -> CopyReport:
    """Make a store's products and notes those of another; what is there already is left alone, so it can be resumed.

    Raises StoreError for a target with products that the source lacks, unless `remove` says that they may go, and
    ModelMismatch is open_store's to raise: both are of one model.
    """
    there = target.fingerprints()
    stored = source.fingerprints()
    surplus = sorted(there.keys() - stored.keys())
    if surplus and not remove:
        raise StoreError(
            f"store {target.uri}: expected an empty store or an earlier copy of {source.uri}, found {len(surplus):,} "
            f"products that one lacks, {surplus[0].product_id!r} of shop {surplus[0].shop!r} among them; "
            f"choose another store, or let them be removed with --remove"
        )
    written = 0
    for entries in _batches(source.entries()):
        new = [entry for entry in entries if there.get(entry.key) != stored.get(entry.key, 0)]
        target.upsert(new)
        written += len(new)
        told(len(entries))
    delete_products(target, surplus)
    for name in source.note_names():
        text = source.read_note(name)
        if text is not None and name != BACKUP_NOTE and not is_of_generations(name):
            target.write_note(name, text)
    if written or surplus:
        target.compact()
    return CopyReport(len(stored), written, len(surplus))


def copy_to(source: Store, uri: str | Path, remove: bool = False, told: Told = lambda count: None) -> CopyReport:
    """Copy a store to another place, which is made if there is none."""
    return copy_store(source, open_store(uri, source.model_version, create=True, dim=source.dim), remove, told)


def backup(source: Store, folder: Path, told: Told = lambda count: None) -> CopyReport:
    """Copy a store into a directory; one that holds an earlier backup of it gets what changed since.

    Raises StoreError for a directory that holds something else.
    """
    if folder.exists() and any(folder.iterdir()):
        earlier = _backup_note(open_store(folder))
        if earlier.get("of") != _full(source.uri):
            found = f"a backup of {earlier['of']}" if earlier else "a store that is none"
            raise StoreError(
                f"store {folder}: expected a new directory or an earlier backup of {source.uri}, found {found}; "
                f"choose another directory"
            )
    target = open_store(folder, source.model_version, create=True, dim=source.dim)
    about = {"of": _full(source.uri), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    target.write_note(BACKUP_NOTE, json.dumps(about | {"finished": False}))
    report = copy_store(source, target, remove=True, told=told)
    target.write_note(BACKUP_NOTE, json.dumps(about | {"finished": True}))
    return report


def restore(folder: Path, uri: str | Path, remove: bool = False, told: Told = lambda count: None) -> CopyReport:
    """Copy a backup to a store, made if there is none. Raises StoreError for a backup that was not finished."""
    source = open_store(folder)
    about = _backup_note(source)
    if not about.get("finished"):
        found = "one that broke off" if about else "a store that is none"
        raise StoreError(
            f"store {folder}: expected a backup, found {found}; back up anew, or copy it as it is: twinset store copy"
        )
    return copy_to(source, uri, remove, told)


def _full(uri: str) -> str:
    """Return where a store is, said so that it means the same from every folder."""
    return uri if "://" in uri else os.path.abspath(uri)


def _backup_note(store: Store) -> dict[str, object]:
    text = store.read_note(BACKUP_NOTE)
    about: dict[str, object] = json.loads(text) if text else {}
    return about


def _batches(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    while batch := list(islice(entries, COPY_PRODUCTS)):
        yield batch
