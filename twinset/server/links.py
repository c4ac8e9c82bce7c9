"""Links to product pictures. An <img> sends no key, so a link carries a signature that holds for that picture alone."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from urllib.parse import quote

FILE = "secret"


class ImageLinks:
    """Makes and checks links. The secret is drawn once and kept, so that links outlive a restart."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._kept: bytes | None = None

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
        if self._kept is None:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with open(handle, "wb") as out:
                    out.write(secrets.token_bytes(32))
            except FileExistsError:
                pass
            self._kept = self._file.read_bytes()
        return self._kept
