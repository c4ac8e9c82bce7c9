"""Read what a client sends: a multipart form with limits on every part, kept in memory, never on disk."""

import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from twinset.errors import ImageTooLarge, UsageError

FORM_BYTES = 64 * 1024  # beside the photo: fields and the parts' headers
MAX_FIELD_BYTES = 8 * 1024
MAX_FIELDS = 64
FIELDS = ("url", "k", "category", "box", "whole", "where", "min_score")


@dataclass(frozen=True, slots=True)
class PhotoForm:
    """A form's photo, as bytes or as a URL, and its other fields as they came."""

    photo: bytes | None
    url: str | None
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


async def read_form(request: Request, max_bytes: int) -> PhotoForm:
    """Return a request's form. Raises ImageTooLarge once more bytes came than may, UsageError for another body."""
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        raise wrong("body", "multipart/form-data with a photo or a url", kind or "no content type")
    limit = max_bytes + FORM_BYTES
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > limit:
        raise _too_large(max_bytes, int(said))

    async def limited() -> AsyncGenerator[bytes, None]:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(max_bytes, size)
            yield chunk

    parser = MultiPartParser(
        request.headers, limited(), max_files=2, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
    )
    parser.spool_max_size = limit + 1  # so that no photo is written to disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError, LookupError) as exc:
        raise wrong("body", "a whole multipart form", str(exc)) from exc
    try:
        photos = [value for name, value in form.multi_items() if name == "photo"]
        unknown = sorted({name for name in form if name not in (*FIELDS, "photo")})
        if unknown:
            raise wrong(unknown[0], f"photo or one of {', '.join(FIELDS)}", "an unknown field")
        fields: dict[str, list[str]] = {}
        for name, value in form.multi_items():
            if name != "photo":
                if isinstance(value, UploadFile):
                    raise wrong(name, "text", "a file")
                fields.setdefault(name, []).append(value)
        result = PhotoForm(None, None, fields)
        url = result.text("url")
        if len(photos) + (url is not None) != 1:
            found = "both" if photos and url else "neither" if not photos else f"{len(photos)} photos"
            raise wrong("photo", "exactly one of photo (a file) and url", found)
        if url is not None:
            return PhotoForm(None, url, fields)
        photo = photos[0]
        if not isinstance(photo, UploadFile):
            raise wrong("photo", "a file", "text")
        return PhotoForm(await photo.read(), None, fields)
    finally:
        await form.close()


def _too_large(max_bytes: int, found: int) -> ImageTooLarge:
    return ImageTooLarge(f"photo: expected at most {max_bytes:,} bytes, found {found:,}; send a smaller image")
