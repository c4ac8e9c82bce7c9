"""Fetch images over http(s) from addresses strangers wrote: a shop's feed, a shopper's pasted link.

So only public addresses are connected to: the host is resolved here, every address it has is checked, and the
connection goes to that very address, again after every redirect. Bytes, time and redirects are limited.
"""

import hashlib
import http.client
import io
import ipaddress
import json
import logging
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from twinset.errors import DataError, FetchError, ImageTooLarge
from twinset.images import MAX_BYTES

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TIMEOUT_S = 20.0  # for one attempt, redirects and body included
ATTEMPTS = 3
BACKOFF_S = 0.5  # before the second attempt; doubles after
MAX_RETRY_AFTER_S = 10.0
MAX_REDIRECTS = 5
CONNECTIONS = 8  # open at once
_CHUNK = 64 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # statuses that may be gone at the next attempt
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_log = logging.getLogger(__name__)
Fetch = Callable[[str], Future[bytes | DataError]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a URL gave. `data` is None when the server said that the caller's ETag still holds."""

    url: str  # after redirects
    data: bytes | None
    etag: str | None


class _Passing(Exception):
    """A failure that another attempt may not meet."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def fetch_url(
    url: str,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = TIMEOUT_S,
    etag: str | None = None,
    attempts: int = ATTEMPTS,
    allow_private: bool = False,
) -> Fetched:
    """Return what an http(s) URL gives, following redirects and trying again after a passing failure.

    Raises FetchError for anything but an answer with a body, and for a host with a private, loopback, link-local or
    otherwise reserved address unless `allow_private`; ImageTooLarge above `max_bytes`.
    """
    for attempt in range(attempts):
        try:
            return _fetch_once(url, max_bytes, time.monotonic() + timeout_s, etag, allow_private)
        except (_Passing, OSError, http.client.HTTPException) as exc:
            if attempt + 1 == attempts:
                problem = f"no answer within {timeout_s:g} s" if isinstance(exc, TimeoutError) else _one_line(exc)
                raise FetchError(f"{url}: expected an image, found: {problem}; try again later") from exc
            asked = exc.retry_after_s if isinstance(exc, _Passing) else 0.0
            time.sleep(max(BACKOFF_S * 2**attempt, min(asked, MAX_RETRY_AFTER_S)))
    raise AssertionError("attempts is at least 1")


@contextmanager
def fetching(cache: Path | None = None, allow_private: bool = False) -> Iterator[Fetch]:
    """Give what begins to fetch a URL, over several connections; its future has the bytes or why there are none.

    With a folder `cache`, bodies that came with an ETag are kept there and the server is asked only whether they
    changed. What has not begun at the end is cancelled.
    """

    def fetch(url: str) -> bytes | DataError:
        try:
            return _fetch_cached(url, cache, allow_private)
        except DataError as exc:
            return exc

    pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="fetch")
    try:
        yield lambda url: pool.submit(fetch, url)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


# --- one request ------------------------------------------------------------------------------------------------------


def _fetch_once(url: str, max_bytes: int, deadline: float, etag: str | None, allow_private: bool) -> Fetched:
    for _ in range(MAX_REDIRECTS + 1):
        parts = _split(url)
        with _Connection(parts, deadline, allow_private) as connection:
            response = _request(connection, parts, etag)
            location = response.getheader("Location")
            if response.status in _REDIRECTS and location:
                url = _join(url, location)
                continue
            if response.status == 304 and etag:
                return Fetched(url, None, etag)
            if response.status in _PASSING:
                raise _Passing(f"status {response.status} {response.reason}", _retry_after_s(response))
            if response.status != 200:
                raise FetchError(
                    f"{url}: expected an image, found status {response.status} {response.reason}; check the URL"
                )
            return Fetched(url, _body(response, url, max_bytes), response.getheader("ETag"))
    raise FetchError(f"{url}: expected an image, found more than {MAX_REDIRECTS} redirects; give the final URL")


def _join(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return location  # no URL, as `_split` will say


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            raise ValueError("no http(s) URL")
        if not host.isprintable() or " " in host:
            raise ValueError("no host name")
        _ = parts.port  # raises ValueError out of range
        host.encode("idna")
        url.encode()  # not with half a character in it
    except ValueError as exc:  # UnicodeError is one
        raise FetchError(
            f"expected an http(s) URL with a host and no user name, found {url[:200]!r}; check the URL"
        ) from exc
    return parts


class _Connection:
    """A socket to a checked address with a deadline, however slowly bytes drip in. http.client talks to it."""

    def __init__(self, parts: SplitResult, deadline: float, allow_private: bool) -> None:
        host = str(parts.hostname)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self.deadline = deadline
        self.socket = self._connect(_resolve(host, port, allow_private), port)
        if parts.scheme == "https":
            try:
                self.socket = _tls().wrap_socket(self.socket, server_hostname=host)
            except BaseException:
                self.socket.close()
                raise

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.socket.close()

    def _connect(self, addresses: list[str], port: int) -> socket.socket:
        """Return a socket to the first of the addresses that answers."""
        for address in addresses[:-1]:
            try:
                return socket.create_connection((address, port), timeout=self._left() / 2)
            except OSError:
                continue  # a host known by IPv6 and IPv4 is often reached by one of them only
        return socket.create_connection((addresses[-1], port), timeout=self._left())

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def sendall(self, data: bytes) -> None:
        self.socket.settimeout(self._left())
        self.socket.sendall(data)

    def receive_into(self, buffer: "WriteableBuffer") -> int:
        self.socket.settimeout(self._left())
        return self.socket.recv_into(buffer)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Do nothing: http.client closes as soon as the server says it will, before the body is read."""


class _Reader(io.RawIOBase):
    def __init__(self, connection: _Connection) -> None:
        self.connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        return self.connection.receive_into(buffer)


@cache
def _tls() -> ssl.SSLContext:
    """Return the context of all connections: reading the certificates takes longer than many a download."""
    return ssl.create_default_context()


def _resolve(host: str, port: int, allow_private: bool) -> list[str]:
    """Return the host's addresses, at least one. Raises FetchError if it has none, or any that is not public."""
    try:
        found = socket.getaddrinfo(host.encode("idna"), port, type=socket.SOCK_STREAM)
    except socket.gaierror as exc:
        if exc.errno == socket.EAI_AGAIN:
            raise _Passing(f"the host {host} could not be looked up") from exc
        raise FetchError(f"{host}: expected a host that exists, found none of that name; check the URL") from exc
    addresses = [str(entry[4][0]) for entry in found]
    if not allow_private and not all(is_public(address) for address in addresses):
        raise FetchError(f"{host}: expected a public host, found a private or reserved address; it is not fetched")
    return addresses


def is_public(address: str) -> bool:
    """Return whether an IP address is one anybody may reach; IPv4 addresses inside IPv6 ones are looked at too."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
        if ip.teredo or ip.is_site_local:
            return False
    special = ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_reserved
    return ip.is_global and not special and not ip.is_unspecified


def _request(connection: _Connection, parts: SplitResult, etag: str | None) -> http.client.HTTPResponse:
    client = http.client.HTTPConnection("unused")
    client.sock: Any = connection  # type: ignore[misc]
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (f"?{_query(parts.query)}" if parts.query else "")
    client.putrequest("GET", target, skip_host=True)
    host = str(parts.hostname).encode("idna").decode()
    bracketed = f"[{host}]" if ":" in host else host
    client.putheader("Host", f"{bracketed}:{parts.port}" if parts.port else bracketed)
    client.putheader("User-Agent", "twinset")
    client.putheader("Accept", "image/*,*/*;q=0.5")
    client.putheader("Connection", "close")
    if etag:
        client.putheader("If-None-Match", etag)
    client.endheaders()
    return client.getresponse()


def _query(query: str) -> str:
    return quote(query, safe="/%:@!$&'()*+,;=~?[]|")


def _body(response: http.client.HTTPResponse, url: str, max_bytes: int) -> bytes:
    said = response.length  # None when the server doesn't say
    chunks, size = list[bytes](), 0
    if said is None or said <= max_bytes:
        while size <= max_bytes and (chunk := response.read(_CHUNK)):
            chunks.append(chunk)
            size += len(chunk)
    if max(size, said or 0) > max_bytes:
        raise ImageTooLarge(f"{url}: expected at most {max_bytes:,} bytes, found more; give a smaller image")
    if said is not None and size < said:
        raise _Passing(f"{size:,} of {said:,} bytes")
    return b"".join(chunks)


def _retry_after_s(response: http.client.HTTPResponse) -> float:
    value = response.getheader("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__


# --- the cache --------------------------------------------------------------------------------------------------------


def _fetch_cached(url: str, cache: Path | None, allow_private: bool) -> bytes:
    file = cache / hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest() if cache else None
    kept = _read_cached(file) if file else None
    etag = kept[0] if kept else None
    fetched = fetch_url(url, etag=etag, allow_private=allow_private)
    if fetched.data is None:
        assert kept  # only an ETag of ours brings a 304
        return kept[1]
    if file and fetched.etag:
        try:
            _write_cached(file, fetched.etag, fetched.data)
        except OSError as exc:
            _log.warning("%s could not be kept in %s: %s", url, cache, exc.strerror)
    return fetched.data


def _read_cached(file: Path) -> tuple[str, bytes] | None:
    """Return (ETag, body) kept in a file, None if there is none or it is damaged."""
    try:
        head, _, body = file.read_bytes().partition(b"\n")
        entry = json.loads(head)
        whole = len(body) == entry["size"]
        return (str(entry["etag"]), body) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_cached(file: Path, etag: str, body: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".part-")
    try:
        with open(handle, "wb") as part:
            part.write(json.dumps({"etag": etag, "size": len(body)}).encode() + b"\n" + body)
        os.replace(name, file)  # readers see the old file or the new one, never half of it
    except OSError:
        os.unlink(name)
        raise
