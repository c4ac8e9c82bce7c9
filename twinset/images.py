"""Read, cut and write images. Everything past this file sees (H, W, 3) uint8 RGB arrays, upright as EXIF says.

Bytes come from strangers: size is limited before decoding and every failure is an ImageError of one line.
"""

import io
import logging
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twinset.errors import DataError, ImageError, ImageTooLarge
from twinset.types import Box, Image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

log = logging.getLogger(__name__)
MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 50_000_000
MIN_PHOTO_SIDE = 1280  # of a photo's longer side: what is more is not decoded where the format lets it be
READ_FORMATS = "JPEG, PNG, WebP, AVIF, GIF or BMP"
_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP")  # few on purpose: each decoder is an attack surface
# What a folder's photos are called. Those we can't read are among them, so that they are named rather than passed over.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".gif", ".bmp"}
    | {".heic", ".heif", ".tif", ".tiff"}
)

_EXIF_ORIENTATION = 0x0112
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
# What Pillow's decoders raise on damaged data, found by feeding them such data.
_DECODER_ERRORS: tuple[type[Exception], ...] = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, MemoryError, RuntimeError),
    *(struct.error, zlib.error),
)
_quiet_lock = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A photo as it is searched: boxes are said in its own pixels, `pixels` may be fewer, where more show no more."""

    pixels: Image
    width: int
    height: int

    @classmethod
    def of(cls, image: Image) -> "Photo":
        """Return an image as a photo of its own size."""
        return cls(image, image.shape[1], image.shape[0])

    def to_pixels(self, box: Box) -> Box:
        """Return a box of the photo as one of `pixels`."""
        return self._times(box, self.pixels.shape[1] / self.width, self.pixels.shape[0] / self.height)

    def from_pixels(self, box: Box) -> Box:
        """Return a box of `pixels` as one of the photo."""
        return self._times(box, self.width / self.pixels.shape[1], self.height / self.pixels.shape[0])

    @staticmethod
    def _times(box: Box, across: float, down: float) -> Box:
        x1, y1, x2, y2 = box
        return x1 * across, y1 * down, x2 * across, y2 * down


def decode_photo(data: bytes, name: str = "photo", max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Photo:
    """Return a shopper's photo. Raises as `decode_image` does.

    A large JPEG is decoded at a half, a quarter or an eighth of its sides, the longer at least `MIN_PHOTO_SIDE` pixels:
    that takes a fraction of the time, and the networks see no more of it.
    """
    return _decode(data, name, max_bytes, max_pixels, reduce=True)


def read_photo(path: Path) -> Photo:
    """Return the photo in a file; see `decode_photo`. Raises DataError if the file can't be read."""
    return decode_photo(read_image_bytes(path), str(path))


def decode_image(data: bytes, name: str = "image", max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Image:
    """Return the image in `data` upright, alpha laid over white, the first frame of an animation.

    Raises ImageTooLarge, before anything is decoded, above `max_bytes` or `max_pixels`, and ImageError for
    what is not an image we read or is damaged; `name` opens the message.
    """
    return _decode(data, name, max_bytes, max_pixels).pixels


def read_image(path: Path) -> Image:
    """Return the image in a file; see `decode_image`. Raises DataError if the file can't be read."""
    return decode_image(read_image_bytes(path), str(path))


def try_image(path: Path, strict: bool = False) -> Image | None:
    """Return `read_image` of one photo of many. None: it can't be read, which is logged, or if `strict` raised.

    What is wrong with a photo's pixels shows only here: `read_size` looks at its header.
    """
    try:
        return read_image(path)
    except DataError as exc:
        if strict:
            raise
        log.warning("photo left out: %s", exc)
        return None


def read_image_bytes(path: Path) -> bytes:
    """Return a file's bytes, not decoded. Raises ImageTooLarge without reading it, DataError if it can't be read."""
    try:
        _check_bytes(os.stat(path).st_size, str(path), MAX_BYTES)
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:  # ValueError: a null character in the name
        raise _unreadable(path, exc) from exc
    _check_bytes(len(data), str(path), MAX_BYTES)  # a file may grow, a device has no size
    return data


def read_size(path: Path) -> tuple[int, int]:
    """Return (width, height) after EXIF rotation, from a file's header. Raises as `read_image` does."""
    data = read_image_bytes(path)
    picture = _open(data, str(path), MAX_PIXELS)
    if picture.format == "PNG" and b"eXIf" in data:  # which may stand behind the pixels
        with _decoding(picture, str(path)):
            picture.load()
    width, height = picture.size
    return (height, width) if 5 <= _orientation(picture) <= 8 else (width, height)


def walk_images(paths: Sequence[str | Path]) -> Iterator[tuple[str, Path]]:
    """Yield (name, file) for every photo of `paths`: files as given, folders recursively in sorted order.

    The name is the path as given, or folder/relative path. A path that doesn't exist is yielded too, and a folder that
    can't be listed, so that reading it says so. Hidden files and folders are passed over.
    """
    for given in paths:
        root = Path(given)
        if not _is_folder(root):
            yield str(given), root
            continue
        for file in sorted(_inside(root)):
            yield os.path.join(given, file.relative_to(root)), file


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long, a folder that may not be looked into
        return False


def _inside(root: Path) -> Iterator[Path]:
    """Yield the photos in a folder, and folders in it that can't be listed."""
    failed: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=failed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            file = Path(folder, name)
            if not name.startswith(".") and file.suffix.lower() in IMAGE_SUFFIXES and file.is_file():
                yield file
    yield from (Path(exc.filename) for exc in failed)


def crop(image: Image, box: Box, margin: float = 0.0) -> Image:
    """Return the part of the image in `box`, a view, grown by `margin` of the box's sides on every side.

    Cut to the image and at least one pixel wide and high, also for a box outside the image or without area.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    grow_x, grow_y = margin * (x2 - x1), margin * (y2 - y1)
    left, right = _span(x1 - grow_x, x2 + grow_x, width)
    top, bottom = _span(y1 - grow_y, y2 + grow_y, height)
    return image[top:bottom, left:right]


def encode_jpeg(image: Image, quality: int = 85) -> bytes:
    """Return the image as JPEG bytes."""
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _decode(data: bytes, name: str, max_bytes: int, max_pixels: int, reduce: bool = False) -> Photo:
    _check_bytes(len(data), name, max_bytes)
    picture = _open(data, name, max_pixels)
    width, height = picture.size
    with _decoding(picture, name):
        if reduce:
            picture.draft(None, _reduced(width, height))
        picture.load()
        orientation = _orientation(picture)
        pixels = _upright(_to_rgb(picture), orientation)
    return Photo(pixels, height, width) if 5 <= orientation <= 8 else Photo(pixels, width, height)


def _reduced(width: int, height: int) -> tuple[int, int]:
    """Return the smallest sides a decoder may give a photo."""
    factor = next((by for by in (8, 4, 2) if max(width, height) >= by * MIN_PHOTO_SIDE), 1)
    return max(1, width // factor), max(1, height // factor)


def _check_bytes(size: int, name: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise ImageTooLarge(f"{name}: expected at most {max_bytes:,} bytes, found {size:,}; send a smaller image")


def _unreadable(path: Path, exc: OSError | ValueError) -> DataError:
    found = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return DataError(f"{path}: expected an image file, found: {_one_line(found)}; check the path")


def _open(data: bytes, name: str, max_pixels: int) -> "PillowImage":
    """Return the image with its header read and its size checked, nothing decoded."""
    from PIL import Image as Pillow

    try:
        with _quiet():
            picture = Pillow.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
    except Pillow.DecompressionBombError as exc:
        raise ImageTooLarge(
            f"{name}: expected at most {max_pixels:,} pixels, found far more; send a smaller image"
        ) from exc
    except _DECODER_ERRORS as exc:  # UnidentifiedImageError among them
        raise ImageError(
            f"{name}: expected {READ_FORMATS}, found {_describe(data)}; convert it, to JPEG for example"
        ) from exc
    width, height = picture.size
    if width * height > max_pixels:
        raise ImageTooLarge(
            f"{name}: expected at most {max_pixels:,} pixels, found {width} x {height}; send a smaller image"
        )
    if not width or not height:
        raise ImageError(f"{name}: expected an image with pixels, found {width} x {height}; save or send it again")
    return picture


@contextmanager
def _quiet() -> Iterator[None]:
    """Swallow Pillow's warnings about odd headers. The filters are the process's: one thread at a time changes them."""
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _decoding(picture: "PillowImage", name: str) -> Iterator[None]:
    try:
        yield
    except _DECODER_ERRORS as exc:
        raise ImageError(
            f"{name}: expected a whole {picture.format} image, found damaged or truncated data ({_one_line(exc)}); "
            f"save or send it again"
        ) from exc


def _orientation(picture: "PillowImage") -> int:
    """Return the orientation EXIF gives, 1 where it gives none or can't be read. XMP's is unknown to browsers too."""
    from PIL import Image as Pillow

    exif = Pillow.Exif()
    try:
        with _quiet():
            exif.load(picture.info.get("exif", b""))
            value = exif.get(_EXIF_ORIENTATION, 1)
    except _DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) else 1


def _to_rgb(picture: "PillowImage") -> Image:
    from PIL import Image as Pillow

    if picture.mode.startswith("I"):  # 16 bits of grey, which convert() would clip at 255 instead of scaling
        grey = np.clip(np.asarray(picture).astype(np.int64), 0, 65535) // 257
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Pillow.new("RGBA", layer.size, "white")
        picture.alpha_composite(layer)
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _upright(image: Image, orientation: int) -> Image:
    """Return the image turned as EXIF orientation 1-8 asks; other values mean nothing."""
    if 5 <= orientation <= 8:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _span(low: float, high: float, limit: int) -> tuple[int, int]:
    """Return whole pixels low <= i < high within 0..limit, at least one."""
    start = min(max(int(np.floor(low)), 0), limit - 1)
    return start, min(max(int(np.ceil(high)), start + 1), limit)


def _describe(data: bytes) -> str:
    """Return what bytes that Pillow can't open seem to be, for an error message."""
    if not data:
        return "an empty file"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return "HEIC"
    for start, format_name in (
        (b"%PDF", "PDF"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"\xff\xd8", "a damaged JPEG"),
        (b"\x89PNG", "a damaged PNG"),
        (b"GIF8", "a damaged GIF"),
    ):
        if data.startswith(start):
            return format_name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "a damaged WebP"
    head = data[:256]
    return "text" if all(byte >= 32 or byte in b"\t\r\n" for byte in head) else "no known image format"


def _one_line(problem: object) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
