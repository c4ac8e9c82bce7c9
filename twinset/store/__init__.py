"""Where a shop's described products are kept: open one with `open_store`."""

from pathlib import Path

from twinset.errors import StoreError
from twinset.store.base import DIM, Entry, Fingerprint, Key, Store
from twinset.store.filters import Filter
from twinset.store.where import parse_where

__all__ = ["DIM", "Entry", "Filter", "Fingerprint", "Key", "Store", "open_store", "parse_where"]


def open_store(uri: str | Path, model_version: str | None = None, create: bool = False) -> Store:
    """Return the store in a directory. With `create` one that is missing is made, for the vectors of `model_version`.

    Raises StoreError for one that is missing, damaged or of a newer format, ModelMismatch if another model than
    `model_version` filled it; None accepts any.
    """
    from twinset.store.lance import open_lance

    if "://" in str(uri):
        raise StoreError(f"store {uri}: expected a directory, found a URL; give a path on this machine")
    return open_lance(Path(uri), model_version, create)
