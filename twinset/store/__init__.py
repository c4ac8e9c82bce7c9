"""Where a shop's described products are kept: open one with `open_store`."""

from pathlib import Path

from twinset.errors import StoreError
from twinset.store.base import DIM, Entry, Fingerprint, Key, Store
from twinset.store.filters import Filter
from twinset.store.generations import Shelf, open_in_use
from twinset.store.where import parse_where

SCHEMES = ("s3", "gs", "az", "file")  # object storage that LanceDB knows
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
    from twinset.store.lance_shelf import LanceShelf

    scheme, colon, _ = str(uri).partition("://")
    if colon and scheme not in SCHEMES:
        raise StoreError(
            f"store {uri}: expected a directory, {', '.join(f'{name}://' for name in SCHEMES)} or http://, "
            f"found {scheme}://; check --store"
        )
    return LanceShelf(str(uri) if colon else str(Path(uri)))
