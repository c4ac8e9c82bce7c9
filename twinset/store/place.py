"""Where the parts of a LanceDB store are, and what LanceDB raises there as our own errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from twinset.errors import StoreError
from twinset.store.beside import folder_beside
from twinset.store.generations import FIRST

GENERATIONS = "generations"  # a folder beside the first one's table, for what the others have in files
FORMAT_KEY, MODEL_KEY, ID_KEY = b"twinset.format", b"twinset.model", b"twinset.id"
WRITE_ADVICE = "check the disk's space and the folder's permissions"
_TABLE = "products"
_LANCE_ERRORS = (OSError, RuntimeError, ValueError, pa.ArrowException)  # it has no base class of its own


@dataclass(frozen=True, slots=True)
class Place:
    """Where a generation is.

    In a directory each has a folder of its own. At a URL each has a table of its own, and what must be files of this
    machine, to be mapped into memory and locked, is in the user's folder for that URL.
    """

    root: str  # of the store, as the user named it
    number: int

    @property
    def remote(self) -> bool:
        return "://" in self.root

    @property
    def database(self) -> str:
        """What LanceDB connects to."""
        return self.root if self.remote else str(self.local)

    @property
    def table(self) -> str:
        return f"{_TABLE}_g{self.number}" if self.remote and self.number != FIRST else _TABLE

    @property
    def local(self) -> Path:
        """The folder on this machine: the writer's lock and the files for searching."""
        own = folder_beside(self.root)
        return own if self.number == FIRST else own / GENERATIONS / str(self.number)

    @property
    def shown(self) -> str:
        """What messages name."""
        return f"{self.root} ({self.table})" if self.remote else str(self.local)


@contextmanager
def translated(where: object, expected: str = "a whole store", advice: str = "") -> Iterator[None]:
    """Turn what LanceDB raises on files it can't use into StoreError."""
    try:
        yield
    except _LANCE_ERRORS as exc:
        found = " ".join(str(exc).split())[:200]
        raise _store_error(where, expected, found, advice) from exc


def damaged(where: object, found: str) -> StoreError:
    """Return the error of a store whose parts are not what they should be."""
    return _store_error(where, "a whole store", found, "")


def _store_error(where: object, expected: str, found: str, advice: str) -> StoreError:
    if "://" in str(where):
        advice = "check the address, and the credentials and the region that the environment names"
    advice = advice or f"if it is damaged, delete {where} and index again"
    return StoreError(f"store {where}: expected {expected}, found: {found}; {advice}")
