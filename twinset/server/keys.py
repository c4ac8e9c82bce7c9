"""API keys, one shop each: a JSON file beside the store that holds hashes, so that reading it gives no key away.

A key is 256 random bits, so one round of SHA-256 keeps it as safe as a slow hash keeps a password.
"""

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twinset.errors import NotFound, StoreError, UsageError

FILE = "keys.json"
FORMAT = 1
ROLES = ("search", "write", "admin")  # each may do what those before it may
ALL_SHOPS = "*"
_SHOP = re.compile(r"[A-Za-z0-9._-]{1,64}|\*")
_KEY = re.compile(r"tw_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key."""

    id: str  # the part of the key that names it, no secret
    shop: str  # or * for all
    role: str
    sha256: str  # of the whole key
    created_at: str
    note: str = ""
    origins: tuple[str, ...] = ()  # pages it works on; any where there are none
    rate: float | None = None  # requests a second; None: as the service's settings say

    def may(self, role: str) -> bool:
        """Tell whether the key's role includes another."""
        return ROLES.index(self.role) >= ROLES.index(role)


class KeyFile:
    """The keys in a file, read again whenever it has changed. Safe to use from several threads and processes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def all(self) -> tuple[Key, ...]:
        """Return the keys in the order they were made. Raises StoreError for a file that can't be read."""
        return tuple(self._current().values())

    def find(self, text: str) -> Key | None:
        """Return the key somebody gave, None for one that isn't ours."""
        match = _KEY.fullmatch(text)
        key = self._current().get(match[1]) if match else None
        if key is None or not hmac.compare_digest(key.sha256, _hash(text)):
            return None
        return key

    def origins(self) -> frozenset[str]:
        """Return the origins of all keys."""
        return frozenset(origin for key in self._current().values() for origin in key.origins)

    def add(
        self, shop: str, role: str, note: str = "", origins: Sequence[str] = (), rate: float | None = None
    ) -> tuple[Key, str]:
        """Store a new key; return what is kept and the key itself, which can't be had again. Raises UsageError."""
        _check(shop, role, origins, rate)
        with self._writing() as keys:
            key_id = secrets.token_hex(4)
            while key_id in keys:
                key_id = secrets.token_hex(4)
            text = f"tw_{key_id}_{secrets.token_urlsafe(32)}"
            now = datetime.now(UTC).isoformat(timespec="seconds")
            keys[key_id] = Key(key_id, shop, role, _hash(text), now, note, tuple(origins), rate)
        return keys[key_id], text

    def remove(self, key_id: str) -> Key:
        """Forget a key and return what was kept. Raises NotFound."""
        with self._writing() as keys:
            if key_id not in keys:
                raise NotFound(f"key {key_id!r}: expected the id of a key, found none; twinset keys list names them")
            return keys.pop(key_id)

    def _current(self) -> dict[str, Key]:
        try:
            found = os.stat(self.file)
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise _unreadable(self.file, exc.strerror or str(exc)) from exc
        stamp = found.st_mtime_ns, found.st_size, found.st_ino
        with self._lock:
            if stamp != self._stamp:
                self._keys, self._stamp = _read(self.file), stamp
            return self._keys

    @contextmanager
    def _writing(self) -> Iterator[dict[str, Key]]:
        """Yield the keys to change; they are written when the block ends. One process at a time."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.file.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = _read(self.file) if self.file.exists() else {}
            yield keys
            _write(self.file, keys)


def _check(shop: str, role: str, origins: Sequence[str], rate: float | None) -> None:
    if not _SHOP.fullmatch(shop):
        raise _usage("shop", "letters, digits, dots, dashes and underscores, or * for all shops", shop)
    if role not in ROLES:
        raise _usage("role", f"one of {', '.join(ROLES)}", role)
    for origin in origins:
        if not is_origin(origin):
            raise _usage("origin", "an origin like https://shop.example", origin)
    if rate is not None and not 0 < rate < 1e6:
        raise _usage("rate", "requests a second above 0", str(rate))


def is_origin(text: str) -> bool:
    """Tell whether a text is what a browser sends as Origin: scheme, host, a port if need be, nothing after."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and text == f"{parts.scheme}://{parts.netloc}"


def _usage(field: str, expected: str, found: str) -> UsageError:
    return UsageError(f"{field}: expected {expected}, found {found!r}", field=field, expected=expected, found=found)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(file: Path) -> dict[str, Key]:
    try:
        data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if data["format"] > FORMAT:
            raise _unreadable(file, f"format {data['format']} of a newer Twinset")
        rows = [Key(**{**row, "origins": tuple(row["origins"])}) for row in data["keys"]]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise _unreadable(file, repr(exc)) from exc
    return {key.id: key for key in rows}


def _write(file: Path, keys: dict[str, Key]) -> None:
    text = json.dumps({"format": FORMAT, "keys": [asdict(key) for key in keys.values()]}, indent=2)
    write_private(file, text.encode())


def write_private(file: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all; on disk when this returns. One at a time."""
    part = file.with_suffix(".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    os.replace(part, file)


def _unreadable(file: Path, found: str) -> StoreError:
    return StoreError(f"{file}: expected API keys written by twinset keys, found: {found}; restore the file")
