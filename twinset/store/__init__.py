"""Where a shop's described products are kept: open one with `open_store`."""

from pathlib import Path

from twinset.errors import StoreError
from twinset.store.base import DIM, Entry, Fingerprint, Key, Store
from twinset.store.filters import Filter
from twinset.store.where import parse_where

__all__ = ["DIM", "Entry", "Filter", "Fingerprint", "Key", "Store", "open_store", "parse_where"]


def open_store(uri: str | Path, model_version: str | None = None, create: bool = False) -> Store:
    """Return the store in a directory, on object storage (`s3://bucket/shop`) or in Milvus (`http://host:19530`).

    With `create` one that is missing is made, for the vectors of `model_version`. Raises StoreError for one that is
    missing, damaged, out of reach or of a newer format, ModelMismatch if another model than `model_version` filled it;
    None accepts any.
    """
    if str(uri).lower().startswith(("http://", "https://")):
        from twinset.store.milvus import open_milvus

        return open_milvus(str(uri), model_version, create)
    from twinset.store.lance import open_lance

    if "://" in str(uri):
        raise StoreError(f"store {uri}: expected a directory, found a URL; give a path on this machine")
    return open_lance(Path(uri), model_version, create)
