"""Products that come over HTTP, on their way into the store: checked rows, pictures kept, one writer at a time.

A row is a feed's, as JSON. Its images are http(s) URLs or data: URIs; a path of this machine is refused.
"""

import base64
import binascii
import fcntl
import hashlib
import io
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from twinset.data.feed import FIELDS, IMAGE_FIELDS, BadRow, FailedRow, csv_rows, feed_of, listed_images, text_of
from twinset.errors import FeedError, StoreMoved, UsageError
from twinset.images import MAX_BYTES, decode_image
from twinset.indexing import IndexReport, index_rows
from twinset.pipeline import Progress
from twinset.server.follower import Follower
from twinset.server.uploads import quoted
from twinset.shop import Shop
from twinset.store import Key

PICTURES = "images"
MAX_IMAGES = 20
MAX_TEXT = 8 * 1024  # of a field
MAX_ID = 256
UNREAD = " unread"  # of a CSV row that can't be read: why. Names of columns have no blanks around them
_DATA_URI = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Row = dict[str, Any]
T = TypeVar("T")


class Intake:
    """Writes to the store, this process's threads and other processes in turn."""

    def __init__(self, folder: Path, follower: Follower, allow_private: bool = False) -> None:
        self.folder, self.follower, self.allow_private = folder, follower, allow_private
        self._lock = threading.Lock()

    def keep_pictures(self, row: Row) -> Row:
        """Return a row that `check_row` passed with its data: URIs put into files. Raises UsageError, ImageError.

        None is kept of a row that the store would refuse for another reason.
        """
        self._check_facts(row)
        kept = dict(row)
        for name in ("image", "images"):
            if isinstance(row.get(name), str):
                kept[name] = self._place(row[name])
            elif isinstance(row.get(name), list):
                kept[name] = [self._place(entry) for entry in row[name]]
        return kept

    def _check_facts(self, row: Row) -> None:
        facts = {**row, "image": "https://not.needed", "images": None}
        for failure in feed_of([(1, facts)], self.folder / "rows", self.follower.shop.models.taxonomy).failed:
            name = failure.reason.partition(":")[0]
            raise UsageError(failure.reason, field=name if name in FIELDS else "product")

    def upsert(self, rows: Sequence[tuple[int, Row]], progress: Progress | None = None) -> IndexReport:
        """Store rows (line, columns) with kept pictures. What it returns is on disk."""
        feed = feed_of(rows, self.folder / "rows", self.follower.shop.models.taxonomy)

        def write(shop: Shop) -> IndexReport:
            return index_rows(feed, shop.store, shop.models, progress=progress, allow_private=self.allow_private)

        with self._turn():
            return self._written(write)

    def delete(self, keys: Sequence[Key]) -> int:
        """Remove products and return how many there were."""
        with self._turn():
            return self._written(lambda shop: shop.store.delete(keys))

    def _written(self, write: Callable[[Shop], T]) -> T:
        """Return what a write gives: to the generation in use, also where that changed a moment ago."""
        try:
            return write(self.follower.shop)
        except StoreMoved:
            self.follower.follow()
            return write(self.follower.shop)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock, open(self.folder / "write.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _place(self, image: str) -> str:
        match = _DATA_URI.match(image)
        if not match:
            return image
        try:
            data = base64.b64decode(image[match.end() :], validate=True)
        except (binascii.Error, ValueError) as exc:
            raise _wrong("image", "base64 after data:image/...;base64,", str(exc)) from exc
        decode_image(data, "image")
        file = (self.folder / PICTURES / hashlib.sha256(data).hexdigest()).absolute()
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            part.write_bytes(data)
            os.replace(part, file)
        return str(file)


def check_row(row: object, shop: str | None) -> Row:
    """Return a row as it may be stored, its shop filled in, blanks around both names gone. Raises UsageError.

    With a `shop` the row must be of it; without one it may name any.
    """
    if not isinstance(row, dict):
        raise _wrong("product", "a JSON object", type(row).__name__)
    if UNREAD in row:
        raise UsageError(str(row[UNREAD])[:500], field="product")
    product_id = row.get("product_id")
    if not isinstance(product_id, str | int) or isinstance(product_id, bool) or not str(product_id).strip():
        raise _wrong("product_id", "a text", quoted(product_id))
    if len(str(product_id)) > MAX_ID or _CONTROL.search(str(product_id)):
        raise _wrong("product_id", f"at most {MAX_ID} characters, none of them a control character", repr(product_id))
    named = row.get("shop") or shop or ""
    if not isinstance(named, str) or len(named) > MAX_ID or _CONTROL.search(named):
        raise _wrong("shop", "the name of a shop", quoted(named))
    named = named.strip() or "default"
    if shop is not None and named != (shop.strip() or "default"):
        raise _wrong("shop", repr(shop), repr(named))
    if isinstance(row.get("images"), str):
        row = {**row, "images": _split_images(row)}
    _check_images(row)
    for name, value in row.items():
        _check_text(name, value)
    return {**row, "product_id": str(product_id).strip(), "shop": named}


def _split_images(row: Row) -> list[str]:
    try:
        return listed_images(row, "images")
    except BadRow as exc:
        raise UsageError(str(exc), field="images") from exc


def _check_images(row: Row) -> None:
    entries: list[object] = []
    for name in ("image", "images"):
        value = row.get(name)
        entries += value if isinstance(value, list) else [] if value in (None, "") else [value]
    if not entries or len(entries) > MAX_IMAGES:
        raise _wrong("image", f"1 to {MAX_IMAGES} images", str(len(entries)))
    for entry in entries:
        is_url = isinstance(entry, str) and entry.lower().startswith(("http://", "https://")) and "|" not in entry
        if not is_url and not (isinstance(entry, str) and _DATA_URI.match(entry)):
            raise _wrong("image", "an http(s) URL or data:image/...;base64,...", quoted(entry))
        if len(str(entry)) > (MAX_TEXT if is_url else MAX_BYTES * 4 // 3 + 100):
            raise _wrong("image", "a URL of at most 8 KB, an image of at most 20 MB", f"{len(str(entry)):,} characters")


def _check_text(name: object, value: object) -> None:
    try:
        text = name if name in ("image", "images") else json.dumps([name, value], ensure_ascii=False)
    except RecursionError as exc:
        raise _wrong(str(name)[:80], "a text or a number", str(exc)) from exc
    if len(str(text)) > MAX_TEXT:
        raise _wrong(str(name)[:80], f"at most {MAX_TEXT:,} characters", f"{len(str(text)):,}")
    try:
        str(text).encode()
    except UnicodeEncodeError as exc:
        raise _wrong("product", "text in UTF-8", "half a character") from exc


def rows_of(body: bytes, kind: str) -> list[object]:
    """Return the rows of a bulk request: JSON {"products": [...]}, JSON Lines or CSV. Raises UsageError."""
    if kind == "text/csv":
        return _csv_rows(body)
    try:
        text = body.decode("utf-8-sig")
        if kind == "application/json":
            data = json.loads(text)
            rows = data.get("products") if isinstance(data, dict) else data
            if not isinstance(rows, list):
                raise _wrong("products", "a list", type(rows).__name__)
            return rows
        if kind in ("application/x-ndjson", "application/jsonl"):
            return [json.loads(line) for line in io.StringIO(text) if line.strip()]
    except (ValueError, RecursionError) as exc:
        raise _wrong("body", f"{kind} in UTF-8", str(exc)) from exc
    raise _wrong("body", "application/json, application/x-ndjson or text/csv", kind or "no content type")


def _csv_rows(body: bytes) -> list[object]:
    """Return a CSV feed's rows; one that can't be read says why under `UNREAD`."""
    rows: list[object] = []
    file = Path("body")
    try:
        for _, row in csv_rows(text_of(body, file), file, {}, IMAGE_FIELDS | {"delete"}):
            if isinstance(row, BadRow):
                rows.append({"product_id": row.product_id, UNREAD: str(row)})
            else:
                rows.append({name: cell for name, cell in row.items() if cell})
    except FeedError as exc:
        raise UsageError(str(exc), field="body") from exc
    return rows


def last_rows(rows: Sequence[tuple[int, Row]]) -> list[tuple[int, Row]]:
    """Return rows that `check_row` passed without those that a later one of the same product takes the place of."""
    last = {_key(row): line for line, row in rows}
    return [(line, row) for line, row in rows if last[_key(row)] == line]


def _key(row: Row) -> Key:
    return Key(row["shop"], row["product_id"])


def split_deletes(rows: Sequence[tuple[int, Row]]) -> tuple[list[tuple[int, Row]], list[Key]]:
    """Return the rows to store, and the products of those that say `delete`."""
    kept = [(line, row) for line, row in rows if not is_delete(row)]
    gone = [_key(row) for _, row in rows if is_delete(row)]
    return kept, gone


def is_delete(row: Mapping[str, Any]) -> bool:
    said = row.get("delete")
    return isinstance(said, str | int) and str(said).lower() in ("true", "1", "yes")


def failed_json(failed: Sequence[FailedRow], secret: str) -> list[dict[str, Any]]:
    """Return failed rows for an answer, without the path of this machine that a message may hold."""
    return [
        {"line": row.line, "product_id": row.product_id, "reason": row.reason.replace(secret, "")[:500]}
        for row in failed
    ]


def _wrong(field: str, expected: str, found: str) -> UsageError:
    found = found[:80]
    return UsageError(f"{field}: expected {expected}, found {found}", field=field, expected=expected, found=found)
