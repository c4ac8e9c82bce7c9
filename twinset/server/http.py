"""What handlers share of HTTP: JSON answers with ETags, and cursors that page through lists."""

import base64
import binascii
import hashlib
import json
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import Request, Response
from starlette.convertors import Convertor, register_url_convertor
from starlette.types import Scope

from twinset.server.uploads import wrong

MAX_CURSOR = 8000  # an id of intake's MAX_ID characters takes 1,400 at most; one of a feed may be longer
_SLASH = "\x1f"  # of an id, where paths are told apart by slashes; ids hold no such character


class _ProductId(Convertor[str]):
    """A product's id in a path, `{product_id:product_id}`: `A%2F12` is A/12."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return value.replace(_SLASH, "/")

    def to_string(self, value: str) -> str:
        return value.replace("/", _SLASH)


register_url_convertor("product_id", _ProductId())


def keep_slashes(scope: Scope) -> None:
    """Have a request's path be told apart by its own slashes, not by those its ids hold as %2F."""
    raw = scope.get("raw_path", b"").partition(b"?")[0]
    if b"%2f" in raw.lower():
        parts = (unquote_to_bytes(part).decode("utf-8", "replace").replace("/", _SLASH) for part in raw.split(b"/"))
        scope["path"] = "/".join(parts)


def json_bytes(value: object) -> bytes:
    """Return a value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def json_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer of JSON bytes."""
    return Response(body, status, headers, "application/json")


def tagged(request: Request, value: object) -> Response:
    """Return a value's JSON with an ETag, or 304 where the client has it already."""
    return tagged_bytes(request, json_bytes(value), "application/json", "no-cache")


def tagged_bytes(request: Request, body: bytes, media_type: str, cache: str) -> Response:
    """Return bytes with an ETag, or 304 where the client has them already."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": cache}
    known = [entry.strip().removeprefix("W/") for entry in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def write_cursor(*position: object) -> str:
    """Return a place in a list as a text that means nothing to clients."""
    text = json.dumps(position, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def read_cursor(text: str | None, *kinds: type) -> list[Any] | None:
    """Return the place a cursor names, None for none. Raises UsageError for one that isn't ours."""
    if not text:
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) <= MAX_CURSOR else b""
        position = json.loads(data)
        whole = isinstance(position, list) and len(position) == len(kinds)
        if whole and all(type(entry) is kind for entry, kind in zip(position, kinds, strict=True)):
            return list(position)
    except (binascii.Error, ValueError, RecursionError):
        pass
    raise wrong("cursor", "the next_cursor of an answer", text)


def offset_of(cursor: str | None, limit: int) -> int:
    """Return the place in a list of hits that a cursor names, 0 for none. Raises UsageError for one that isn't ours."""
    (offset,) = read_cursor(cursor, int) or [0]
    if cursor and not 0 < offset < limit:
        raise wrong("cursor", "the next_cursor of an answer", str(offset))
    return int(offset)
