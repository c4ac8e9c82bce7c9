"""A Milvus server and one of its collections: where it is, and calls that outlive a restart of it.

What is stored in the collection is milvus.py's matter.
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from twinset.errors import MissingExtra, StoreError

T = TypeVar("T")
DEFAULT_PORT = 19530
DEFAULT_COLLECTION = "twinset"
READ_TIMEOUT_S = 10.0  # a shopper waits no longer
WRITE_TIMEOUT_S = 120.0  # a server that is restarted is back within half a minute, and an import goes on
RETRY_EVERY_S = 0.25
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
# merr codes of Milvus 2.3 that no waiting changes: no such collection, a bad parameter, no permission.
_LASTING = {100, 1100, 1101, 1102, 1400, 1401}
_FULL = {3, 9}  # out of memory; writes denied by a quota of disk or memory
_TRANSIENT_WORDS = re.compile(r"not ready|unavailable|not loaded|no available|shutdown|fail(ed)? connecting", re.I)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a collection is: http[s]://[user:password@]host[:port][/collection]."""

    server: str  # http://host:port
    collection: str
    token: str = ""  # user:password

    @property
    def uri(self) -> str:
        """The address without its password, as messages show it."""
        return self.server if self.collection == DEFAULT_COLLECTION else f"{self.server}/{self.collection}"


def parse_address(uri: str) -> Address:
    """Return the parts of a store's URL. Raises StoreError."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:  # a port that is no number
        host, port = None, 0
    collection = parts.path.strip("/") or DEFAULT_COLLECTION if host else ""
    if not host or not _NAME.fullmatch(collection) or parts.query or parts.fragment:
        shown = re.sub(r"//[^/@]*@", "//", uri)
        raise StoreError(
            f"store {shown}: expected http://host:port or http://host:port/collection, a name of letters, "
            f"digits and _, found something else; check --store"
        )
    token = f"{parts.username}:{parts.password or ''}" if parts.username else ""
    return Address(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}", collection, token)


class Server:
    """Calls one server, again until it answers or the time given is over. Any number of threads may call."""

    def __init__(self, address: Address) -> None:
        try:
            import pymilvus
        except ImportError as exc:
            raise MissingExtra("pymilvus", "milvus") from exc
        for name in ("pymilvus", "pymilvus.milvus_client"):  # it prints tracebacks of what is translated here
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.address = address
        self._make = pymilvus.MilvusClient
        self._errors: tuple[type[Exception], ...] = _client_errors()
        self._client: Any = None
        self._lock = threading.Lock()

    def read(self, ask: Callable[[Any, float], T], timeout_s: float = READ_TIMEOUT_S) -> T:
        """Return what `ask` gives for a client and the seconds it may take. Raises StoreError."""
        return self._call(ask, timeout_s)

    def write(self, ask: Callable[[Any, float], T]) -> T:
        """Like `read`, with patience: for what may be done twice without harm."""
        return self._call(ask, WRITE_TIMEOUT_S)

    def _call(self, ask: Callable[[Any, float], T], timeout_s: float) -> T:
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            try:
                return ask(self._connected(left), max(left, 0.1))
            except self._errors as exc:
                if _is_lasting(exc) or deadline - time.monotonic() <= RETRY_EVERY_S:
                    raise self._translated(exc, timeout_s) from exc
            time.sleep(RETRY_EVERY_S)

    def _connected(self, timeout_s: float) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._make(
                    self.address.server, token=self.address.token, timeout=max(timeout_s, 0.1), dedicated=True
                )
            return self._client

    def _translated(self, exc: Exception, waited_s: float) -> StoreError:
        code, message = _code(exc), _message(exc)
        where = f"store {self.address.uri}: expected a Milvus server that "
        if code in _FULL:
            return StoreError(
                f"{where}takes writes, found: {message}; give it more memory or disk, then run this again: "
                f"what was stored is safe"
            )
        if _is_lasting(exc):
            return StoreError(f"{where}does as asked, found: {message}; check --store and what its user may do")
        return StoreError(
            f"{where}answers within {waited_s:.0f} s, found: {message}; check that it runs: "
            f"once it answers, queries work again and an import can be run again"
        )


def _client_errors() -> tuple[type[Exception], ...]:
    import grpc
    from pymilvus.exceptions import MilvusException

    return MilvusException, grpc.RpcError, ConnectionError


def _is_lasting(exc: Exception) -> bool:
    from pymilvus.exceptions import DataNotMatchException, ParamError

    if isinstance(exc, DataNotMatchException):
        return True
    if isinstance(exc, ParamError):
        return not _TRANSIENT_WORDS.search(_message(exc))
    return _code(exc) in _LASTING or _code(exc) in _FULL


def _code(exc: Exception) -> int:
    code = getattr(exc, "code", 0)
    return code if isinstance(code, int) else 0


def _message(exc: Exception) -> str:
    text = getattr(exc, "message", "") or str(getattr(exc, "details", lambda: exc)() or exc)
    return " ".join(str(text).split())[:200]
