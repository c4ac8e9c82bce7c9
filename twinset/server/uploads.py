"""Read what a client sends: a multipart form or JSON, with limits on every part, kept in memory, never on disk."""

import asyncio
import base64
import binascii
import json
import math
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from twinset.errors import ImageTooLarge, UsageError

MAX_FIELD_BYTES = 8 * 1024
MAX_RULES_BYTES = 256 * 1024
FORM_BYTES = 64 * 1024 + MAX_RULES_BYTES  # beside the photo: fields and the parts' headers
MAX_FIELDS = 64
FIELDS = (
    *("url", "image_id", "product_id", "keep", "k", "cursor", "category", "box", "whole", "where"),
    *("min_score", "facets", "shop", "words", "rules"),
)
BODY_S = 60.0  # a form may take to arrive, and each part of a longer body


@dataclass(frozen=True, slots=True)
class PhotoForm:
    """A form's photo, as bytes, a URL, the id of one that is held or a product's, and its other fields as they came."""

    photo: bytes | None = None
    url: str | None = None
    image_id: str | None = None
    product_id: str | None = None
    fields: dict[str, list[str]] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return a field that may be given once, None if it's missing or empty. Raises UsageError if it's repeated."""
        values = [value for value in self.fields.get(name, []) if value != ""]
        if len(values) > 1:
            raise wrong(name, "one value", f"{len(values)} values")
        return values[0] if values else None

    def whole_number(self, name: str, default: int, low: int, high: int) -> int:
        text = self.text(name)
        return default if text is None else parse_whole(name, text, low, high)

    def flag(self, name: str) -> bool:
        text = (self.text(name) or "false").lower()
        if text not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
            raise wrong(name, "true or false", text)
        return text in ("true", "1", "yes", "on")

    def share(self, name: str) -> float | None:
        text = self.text(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise wrong(name, "a number from 0 to 1", text)
        return value


def parse_whole(name: str, text: str, low: int, high: int) -> int:
    """Return a whole number within limits. Raises UsageError."""
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
        raise wrong(name, f"a whole number from {low} to {high}", text)
    return int(text)


def wrong(name: str, expected: str, found: str) -> UsageError:
    found = found[:80]
    return UsageError(f"{name}: expected {expected}, found {found!r}", field=name, expected=expected, found=found)


def quoted(value: object) -> str:
    """Return a JSON value as errors quote it: a list or an object by its type, however deep others are nested in it."""
    return type(value).__name__ if isinstance(value, list | dict) else repr(value)


def form_bytes(max_bytes: int) -> int:
    """Return the most bytes of a form with a photo of at most `max_bytes`, as multipart or in base64 as JSON."""
    return max_bytes * 4 // 3 + FORM_BYTES


async def read_form(request: Request, max_bytes: int, count: Callable[[int], None] | None = None) -> PhotoForm:
    """Return a request's form. `count` is told of bytes as they come.

    Raises ImageTooLarge once more bytes came than may, UsageError for another body or one that doesn't end.
    """
    kind = request.headers.get("content-type", "")
    name = kind.partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(BODY_S):
            if name == "application/json":
                body = await read_body(request, form_bytes(max_bytes), count)
                return _json_form(body, max_bytes)
            if name == "multipart/form-data":
                return await _multipart_form(request, max_bytes, count)
    except TimeoutError as exc:
        raise wrong("body", f"a body within {BODY_S:g} s", "one that was still arriving") from exc
    raise wrong("body", "multipart/form-data or application/json with a photo", kind or "no content type")


async def read_body(request: Request, max_bytes: int, count: Callable[[int], None] | None = None) -> bytes:
    """Return a request's body. Raises ImageTooLarge once more bytes came than may, UsageError if it stands still.

    It may take as long as it likes, hundreds of MB over a slow line, if only some more of it comes within `BODY_S`.
    """
    return b"".join([chunk async for chunk in _limited(request, max_bytes, "body", max_bytes, count)])


async def _limited(
    request: Request, limit: int, name: str, max_bytes: int, count: Callable[[int], None] | None
) -> AsyncGenerator[bytes, None]:
    """Yield a body's chunks, at most `limit` bytes; the error is about `name`, of which there may be `max_bytes`."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > limit:
        raise _too_large(name, max_bytes, int(said))
    size = 0
    chunks = request.stream()
    try:
        while (chunk := await _next(chunks)) is not None:
            size += len(chunk)
            if count is not None:
                count(len(chunk))
            if size > limit:
                raise _too_large(name, max_bytes, size)
            yield chunk
    except ClientDisconnect as exc:
        raise wrong("body", "a whole body", "a connection that was closed") from exc


async def _next(chunks: AsyncGenerator[bytes, None]) -> bytes | None:
    """Return a body's next chunk, None behind the last. Raises UsageError if it doesn't come."""
    try:
        async with asyncio.timeout(BODY_S):
            return await anext(chunks, None)
    except TimeoutError as exc:
        raise wrong("body", f"more of the body within {BODY_S:g} s", "one that stood still") from exc


async def _multipart_form(request: Request, max_bytes: int, count: Callable[[int], None] | None) -> PhotoForm:
    limit = max_bytes + FORM_BYTES
    chunks = _limited(request, limit, "photo", max_bytes, count)
    parser = MultiPartParser(request.headers, chunks, max_files=2, max_fields=MAX_FIELDS, max_part_size=MAX_RULES_BYTES)
    parser.spool_max_size = limit + 1  # so that no photo is written to disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, LookupError) as exc:
        raise wrong("body", "a whole multipart form", str(exc)) from exc
    try:
        photos: list[bytes | str] = []
        fields: dict[str, list[str]] = {}
        for name, value in form.multi_items():
            if name == "photo":
                photos.append(await value.read() if isinstance(value, UploadFile) else value)
            elif isinstance(value, UploadFile):
                raise wrong(name, "text; a photo goes into the field photo", "a file")
            elif len(value) > _room(name):
                raise wrong(name, f"at most {_room(name):,} characters", f"{len(value):,}")
            else:
                fields.setdefault(name, []).append(value)
    finally:
        await form.close()
    for photo in photos:
        if isinstance(photo, str):
            raise wrong("photo", "a file", "text")
    return _form([photo for photo in photos if isinstance(photo, bytes)], fields)


def _json_form(body: bytes, max_bytes: int) -> PhotoForm:
    """Return the form that a JSON object says, its photo as base64."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise wrong("body", "a JSON object", str(exc)) from exc
    if not isinstance(data, dict):
        raise wrong("body", "a JSON object", type(data).__name__)
    photos: list[bytes] = []
    fields: dict[str, list[str]] = {}
    for name, value in data.items():
        if value is None:
            continue
        if name == "photo":
            photos.append(_from_base64(value, max_bytes))
        else:
            entries = value if isinstance(value, list) and name in ("where", "facets") else [value]
            fields[name] = [_json_text(name, entry) for entry in entries]
    return _form(photos, fields)


def _from_base64(value: object, max_bytes: int) -> bytes:
    if not isinstance(value, str):
        raise wrong("photo", "base64", type(value).__name__)
    _, _, text = value.partition(",") if value.startswith("data:") else ("", "", value)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise wrong("photo", "base64", str(exc)) from exc
    if len(data) > max_bytes:
        raise _too_large("photo", max_bytes, len(data))
    return data


def _json_text(name: str, value: object) -> str:
    """Return a JSON value as a form's field has it: a box may be a list of numbers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if name == "box" and isinstance(value, list) and value and all(isinstance(side, int | float) for side in value):
        return ",".join(str(side) for side in value)
    if name == "rules" and isinstance(value, dict):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except RecursionError as exc:
            raise wrong(name, "rules", str(exc)) from exc
    if not isinstance(value, str | int | float):
        raise wrong(name, "text or a number", quoted(value))
    if len(str(value)) > _room(name):
        raise wrong(name, f"at most {_room(name):,} characters", f"{len(str(value)):,}")
    return str(value)


def _room(name: str) -> int:
    return MAX_RULES_BYTES if name == "rules" else MAX_FIELD_BYTES


def _form(photos: list[bytes], fields: dict[str, list[str]]) -> PhotoForm:
    """Return the form with exactly one photo. Raises UsageError."""
    unknown = sorted(set(fields) - set(FIELDS))
    if unknown:
        raise wrong(unknown[0], f"photo or one of {', '.join(FIELDS)}", "an unknown field")
    for name, values in fields.items():
        if any("\ud800" <= character <= "\udfff" for value in values for character in value):
            raise wrong(name, "text in UTF-8", "half a character")
    form = PhotoForm(fields=fields)
    named = {name: form.text(name) for name in ("url", "image_id", "product_id")}
    given = ["photo"] * len(photos) + [name for name, value in named.items() if value is not None]
    if not given and form.text("words"):
        raise wrong("photo", "a photo beside words; GET /v1/search/words?words=... searches by words alone", "none")
    if len(given) != 1:
        raise wrong(
            "photo", "exactly one of photo (a file), url, image_id and product_id", " and ".join(given) or "none"
        )
    return PhotoForm(photos[0] if photos else None, **named, fields=fields)


def _too_large(name: str, max_bytes: int, found: int) -> ImageTooLarge:
    less = "a smaller image" if name == "photo" else "less at once"
    return ImageTooLarge(f"{name}: expected at most {max_bytes:,} bytes, found {found:,}; send {less}")
