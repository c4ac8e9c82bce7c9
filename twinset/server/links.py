"""Links to product pictures. An <img> sends no key, so a link carries a signature that holds for that picture alone."""

import fcntl
import hashlib
import hmac
import secrets
from pathlib import Path
from urllib.parse import quote

from twinset.errors import StoreError
from twinset.server.keys import write_private

FILE = "secret"
SECRET_BYTES = 32


class ImageLinks:
    """Makes and checks links. The secret is drawn once and kept, so that links outlive a restart.

    Safe to use from several threads and processes. Making and checking a link raise what `check` raises.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._kept = b""

    def check(self) -> None:
        """Raise StoreError for a secret that is there and is none of ours."""
        self._read()

    def path(self, product_id: str, shop: str, signed: bool) -> str:
        """Return the path of a product's picture on this service."""
        extra = [] if shop == "default" else [f"shop={quote(shop, safe='')}"]
        if signed:
            extra.append(f"signature={self._sign(product_id, shop)}")
        return f"/v1/products/{quote(product_id, safe='')}/image" + (f"?{'&'.join(extra)}" if extra else "")

    def holds(self, product_id: str, shop: str, signature: str) -> bool:
        """Tell whether a signature is ours."""
        return hmac.compare_digest(self._sign(product_id, shop).encode(), signature.encode("utf-8", "replace"))

    def _sign(self, product_id: str, shop: str) -> str:
        text = f"{len(shop)}:{shop}{product_id}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret(), text, hashlib.sha256).hexdigest()[:32]

    def _secret(self) -> bytes:
        self._kept = self._kept or self._read() or self._draw()
        return self._kept

    def _read(self) -> bytes:
        """Return the secret; b"" where there is none, or an empty file: that one would sign what anybody can."""
        try:
            found = self._file.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as exc:
            raise self._unusable(exc.strerror or str(exc)) from exc
        if len(found) not in (0, SECRET_BYTES):
            raise self._unusable(f"{len(found)} bytes")
        return found

    def _draw(self) -> bytes:
        """Return a new secret once it is on disk, or the one that another process drew meanwhile."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with open(self._file.with_suffix(".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                secret = self._read()
                if not secret:
                    secret = secrets.token_bytes(SECRET_BYTES)
                    write_private(self._file, secret)
                return secret
        except OSError as exc:
            raise self._unusable(exc.strerror or str(exc)) from exc

    def _unusable(self, found: str) -> StoreError:
        return StoreError(
            f"{self._file}: expected the {SECRET_BYTES} bytes that sign links to pictures, found: {found}; restore the "
            "file, or remove it: links given out so far stop working"
        )
