"""Where a shop's described products are kept: open one with `open_store`."""

from pathlib import Path

from twinset.errors import StoreError
from twinset.store.base import DIM, Entry, Fingerprint, Key, Store
from twinset.store.filters import Filter
from twinset.store.generations import Shelf, open_in_use
from twinset.store.where import parse_where

__all__ = ["DIM", "Entry", "Filter", "Fingerprint", "Key", "Shelf", "Store", "open_shelf", "open_store", "parse_where"]


def open_store(uri: str | Path, model_version: str | None = None, create: bool = False, dim: int = DIM) -> Store:
    """Return the store in a directory, on object storage (`s3://bucket/shop`) or in Milvus (`http://host:19530`).

    Of several generations it is the one in use, and stays that one. With `create` a store that is missing is made, for
    the vectors of `model_version`, of `dim` numbers. Raises StoreError for one that is missing, damaged, out of reach
    or of a newer format, ModelMismatch if another model than `model_version` filled it; None accepts any.
    """
    return open_in_use(open_shelf(uri), model_version, create, dim)


def open_shelf(uri: str | Path) -> Shelf:
    """Return where the generations of a store are, which need not be there yet. Raises StoreError."""
    if str(uri).lower().startswith(("http://", "https://")):
        from twinset.store.milvus_shelf import MilvusShelf

        return MilvusShelf(str(uri))
    from twinset.store.lance import LanceShelf

    if "://" in str(uri):
        raise StoreError(f"store {uri}: expected a directory, found a URL; give a path on this machine")
    return LanceShelf(Path(uri))
