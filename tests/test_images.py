import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from twinset import images
from twinset.errors import DataError, ImageError, ImageTooLarge
from twinset.images import crop, decode_image, decode_photo, encode_jpeg, read_image, read_size, walk_images

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION = 0x0112
# What EXIF 2.32 says of each orientation: where the stored picture's first row, and its first column, belong.
FIRST_ROW_AND_COLUMN = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
WITH_EXIF = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100},
}


def quarters(width: int = 48, height: int = 32) -> np.ndarray:
    """A picture of four colours: red top left, green top right, blue bottom left, white bottom right."""
    picture = np.full((height, width, 3), WHITE, np.uint8)
    picture[: height // 2, : width // 2] = RED
    picture[: height // 2, width // 2 :] = GREEN
    picture[height // 2 :, : width // 2] = BLUE
    return picture


def encoded(picture: np.ndarray, format_name: str, mode: str = "RGB", **settings: object) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(picture).convert(mode).save(buffer, format_name, **settings)
    return buffer.getvalue()


def exif_of(orientation: int) -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[ORIENTATION] = orientation
    return exif


def stored_as(picture: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels a camera stores of an upright picture, which it marks with an orientation."""
    first_row, first_column = FIRST_ROW_AND_COLUMN[orientation]
    height, width = picture.shape[:2]
    rows = {"top": range(height), "bottom": range(height)[::-1], "left": range(width), "right": range(width)[::-1]}
    if first_row in ("top", "bottom"):
        return np.array([[picture[y, x] for x in rows[first_column]] for y in rows[first_row]])
    return np.array([[picture[y, x] for y in rows[first_column]] for x in rows[first_row]])


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes = b"") -> bytes:
    """A PNG written here: `rows` are the bytes of the image, each row behind a 0 for "no filter"."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def quarters_seen(picture: np.ndarray) -> list[tuple[int, ...]]:
    """The colours in the middle of a picture's quarters, row by row, to the nearest of 0 and 255."""
    height, width = picture.shape[:2]
    middles = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [tuple(int(value > 127) * 255 for value in picture[middle]) for middle in middles]


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_name", "mode", "settings"),
    [
        pytest.param("JPEG", "RGB", {}, id="jpeg"),
        pytest.param("JPEG", "RGB", {"progressive": True}, id="jpeg-progressive"),
        pytest.param("JPEG", "CMYK", {}, id="jpeg-cmyk"),
        pytest.param("PNG", "RGB", {}, id="png"),
        pytest.param("PNG", "RGBA", {}, id="png-alpha"),
        pytest.param("PNG", "P", {}, id="png-palette"),
        pytest.param("WEBP", "RGB", {}, id="webp"),
        pytest.param("WEBP", "RGBA", {"lossless": True}, id="webp-lossless"),
        pytest.param("AVIF", "RGB", {}, id="avif"),
        pytest.param("GIF", "RGB", {}, id="gif"),
        pytest.param("BMP", "RGB", {}, id="bmp"),
    ],
)
def test_format_is_read(format_name, mode, settings):
    image = decode_image(encoded(quarters(), format_name, mode, **settings))
    assert (image.shape, image.dtype) == ((32, 48, 3), np.uint8)
    assert quarters_seen(image) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("format_name", ["GIF", "PNG", "WEBP", "AVIF", "MPO"])
def test_first_frame_of_an_animation_is_read(format_name):
    frames = [Pillow.fromarray(frame) for frame in (quarters(), 255 - quarters())]
    buffer = io.BytesIO()
    frames[0].save(buffer, format_name, save_all=True, append_images=frames[1:])
    assert quarters_seen(decode_image(buffer.getvalue())) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_images_have_three_equal_channels(mode):
    image = decode_image(encoded(np.full((4, 6, 3), 255, np.uint8), "PNG", mode))
    assert (image.shape, image.min()) == ((4, 6, 3), 255)


def test_16_bits_of_grey_become_8():
    rows = b"\0" + struct.pack(">4H", 0, 257, 0x8080, 65535)
    image = decode_image(png(4, 1, 16, 0, rows))
    assert image[0].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


def test_16_bits_of_colour_become_8():
    rows = b"\0" + struct.pack(">6H", 65535, 0, 0x8080, 0, 65535, 257)
    assert decode_image(png(2, 1, 16, 2, rows))[0].tolist() == [[255, 0, 128], [0, 255, 1]]


@pytest.mark.parametrize("format_name", ["PNG", "WEBP"])
def test_what_is_transparent_lies_on_white(format_name):
    layer = np.zeros((1, 3, 4), np.uint8)  # red, half red, nothing
    layer[0, :, 0], layer[0, :, 3] = 255, (255, 128, 0)
    buffer = io.BytesIO()
    Pillow.fromarray(layer).save(buffer, format_name, **({"lossless": True} if format_name == "WEBP" else {}))
    red, half, nothing = decode_image(buffer.getvalue())[0].tolist()
    assert (red, nothing) == ([255, 0, 0], [255, 255, 255])
    assert half == pytest.approx([255, 127, 127], abs=1)


def test_transparent_colour_of_a_palette_lies_on_white():
    picture = Pillow.new("P", (2, 1))
    picture.putpalette([0, 0, 0, 0, 0, 255])
    picture.putdata([0, 1])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=b"\x00\xff")
    assert decode_image(buffer.getvalue())[0].tolist() == [list(WHITE), list(BLUE)]


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_jpeg_we_write_is_read_back(red, green, blue):
    image = np.full((16, 16, 3), (red, green, blue), np.uint8)
    assert np.abs(decode_image(encode_jpeg(image, 100)).astype(int) - image).max() <= 4


# --- orientation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", WITH_EXIF)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_is_turned_as_exif_says(tmp_path, orientation, format_name):
    stored = stored_as(quarters(), orientation)
    file = tmp_path / "photo.img"
    file.write_bytes(encoded(stored, format_name, exif=exif_of(orientation), **WITH_EXIF[format_name]))
    image = read_image(file)
    assert image.shape == (32, 48, 3)
    assert quarters_seen(image) == [RED, GREEN, BLUE, WHITE]
    assert read_size(file) == (48, 32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_is_turned_as_pillow_turns_it(orientation):
    noise = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    data = encoded(noise, "PNG", exif=exif_of(orientation))
    expected = ImageOps.exif_transpose(Pillow.open(io.BytesIO(data)))
    assert np.array_equal(decode_image(data), np.asarray(expected))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_without_a_meaning_turns_nothing(orientation):
    assert quarters_seen(decode_image(encoded(quarters(), "PNG", exif=exif_of(orientation))))[0] == RED


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\0\0no exif at all", id="garbage"),
        pytest.param(b"Exif\0\0II*\0\xff\xff\xff\xff", id="points-nowhere"),
        pytest.param(b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01\x12", id="ends-early"),
    ],
)
def test_damaged_exif_costs_the_orientation_not_the_photo(tmp_path, format_name, exif):
    file = tmp_path / "photo.img"
    file.write_bytes(encoded(quarters(), format_name, exif=exif))
    assert quarters_seen(read_image(file)) == [RED, GREEN, BLUE, WHITE]
    assert read_size(file) == (48, 32)


def test_exif_behind_the_pixels_of_a_png_counts(tmp_path):
    data = encoded(quarters(), "PNG")
    end = data.index(b"IEND") - 4
    file = tmp_path / "photo.png"
    file.write_bytes(data[:end] + png_chunk(b"eXIf", exif_of(6).tobytes().removeprefix(b"Exif\0\0")) + data[end:])
    assert read_size(file) == (32, 48)
    assert quarters_seen(read_image(file)) == [BLUE, RED, WHITE, GREEN]  # a quarter turn clockwise


@pytest.mark.parametrize("format_name", ["JPEG", "WEBP", "AVIF"])
def test_size_is_that_of_the_decoded_image_whatever_xmp_says(tmp_path, format_name):
    file = tmp_path / "photo.img"
    file.write_bytes(encoded(quarters(), format_name, xmp=b'<rdf tiff:Orientation="6"/>'))
    assert read_size(file) == read_image(file).shape[1::-1] == (48, 32)  # XMP turns a photo nowhere on the web


# --- bad input --------------------------------------------------------------------------------------------------------

JPEG = encoded(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8), "JPEG")
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
READ = "expected JPEG, PNG, WebP, AVIF, GIF or BMP, found "


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", READ + "an empty file; convert it", id="empty"),
        pytest.param(b"just some words\n", READ + "text; convert it", id="text"),
        pytest.param(b"<!doctype html><title>404</title>", READ + "text; convert it", id="html"),
        pytest.param(bytes(1000), READ + "no known image format; convert it", id="zeros"),
        pytest.param(HEIC, READ + "HEIC; convert it, to JPEG for example", id="heic"),
        pytest.param(b"%PDF-1.7\n", READ + "PDF; convert it", id="pdf"),
        pytest.param(encoded(quarters(), "TIFF"), READ + "TIFF; convert it", id="tiff"),
        pytest.param(
            JPEG[: len(JPEG) // 2], "expected a whole JPEG image, found damaged or truncated", id="half-a-jpeg"
        ),
        pytest.param(JPEG[:100], READ + "a damaged JPEG", id="head-of-a-jpeg"),
        pytest.param(b"\x89PNG\r\n\x1a\n", READ + "a damaged PNG", id="head-of-a-png"),
        pytest.param(encoded(quarters(), "PNG")[:-30], "expected a whole PNG image, found", id="most-of-a-png"),
        pytest.param(b"GIF89a", READ + "a damaged GIF", id="head-of-a-gif"),
        pytest.param(encoded(quarters(), "WEBP")[:30], READ + "a damaged WebP", id="head-of-a-webp"),
        pytest.param(png(0, 5, 8, 2), "found", id="no-pixels"),
    ],
)
def test_what_is_no_image_says_so_in_one_line(tmp_path, data, message):
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    with pytest.raises(ImageError) as error:
        read_image(file)
    assert str(error.value).startswith(f"{file}: ") and message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("side", [8_000, 12_000, 40_000, 2**31 - 1])
def test_header_of_too_many_pixels_is_refused_before_decoding(tmp_path, side):
    file = tmp_path / "photo.png"
    file.write_bytes(png(side, side, 8, 2))  # there is no such image behind the header: decoding would fail otherwise
    for read in (read_image, read_size):
        with pytest.raises(ImageTooLarge, match=r"^[^\n]*expected at most 50,000,000 pixels, found [^\n]*$"):
            read(file)


@pytest.mark.parametrize(("max_pixels", "ok"), [(48 * 32, True), (48 * 32 - 1, False)])
def test_as_many_pixels_as_allowed_and_no_more(max_pixels, ok):
    data = encoded(quarters(), "PNG")
    if ok:
        assert decode_image(data, max_pixels=max_pixels).shape == (32, 48, 3)
        return
    with pytest.raises(ImageTooLarge, match="found 48 x 32; send a smaller image"):
        decode_image(data, max_pixels=max_pixels)


def test_as_many_bytes_as_allowed_and_no_more(tmp_path, monkeypatch):
    file = tmp_path / "photo.jpg"
    file.write_bytes(JPEG)
    found = f"expected at most {len(JPEG) - 1:,} bytes, found {len(JPEG):,}"
    assert decode_image(JPEG, max_bytes=len(JPEG)).shape == (64, 64, 3)
    with pytest.raises(ImageTooLarge, match=found):
        decode_image(JPEG, max_bytes=len(JPEG) - 1)
    monkeypatch.setattr(images, "MAX_BYTES", len(JPEG))
    assert read_image(file).shape == (64, 64, 3)
    monkeypatch.setattr(images, "MAX_BYTES", len(JPEG) - 1)
    with pytest.raises(ImageTooLarge, match=found):
        read_image(file)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs /dev/zero, a file without a size or an end")
def test_file_without_an_end_is_read_up_to_the_limit(monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    with pytest.raises(ImageTooLarge):
        read_image(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["missing.jpg", ".", "a\0b.jpg", "x" * 300 + ".jpg"])
def test_file_that_cannot_be_read_is_named(tmp_path, name):
    for read in (read_image, read_size):
        with pytest.raises(DataError, match=r"expected an image file, found: [^\n]*; check the path$"):
            read(tmp_path / name)


SEEDS = [
    *(encoded(quarters(), name, exif=exif_of(6)) for name in WITH_EXIF),
    encoded(quarters(), "GIF"),
    encoded(quarters(), "BMP"),
    encoded(quarters(), "PNG", "P"),
    encoded(quarters(), "JPEG", "CMYK"),
    png(4, 1, 16, 0, b"\0" + bytes(8)),
]


@given(st.sampled_from(SEEDS), st.data())
def test_damage_gives_an_image_or_an_image_error(tmp_path_factory, data, drawn):
    damaged = bytearray(data)
    reach = drawn.draw(st.sampled_from([40, len(data)]))  # the header is small and matters most
    for _ in range(drawn.draw(st.integers(0, 4))):
        damaged[drawn.draw(st.integers(0, min(reach, len(data)) - 1))] = drawn.draw(st.integers(0, 255))
    damaged = damaged[: drawn.draw(st.sampled_from([len(data), drawn.draw(st.integers(0, len(data)))]))]
    file = tmp_path_factory.getbasetemp() / "damaged.img"
    file.write_bytes(damaged)
    try:
        image = decode_image(file.read_bytes(), max_pixels=1_000_000)
    except ImageError as error:
        assert "\n" not in str(error)
        return
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    assert read_size(file) == image.shape[1::-1]


def test_reading_in_threads_leaves_the_warning_filters_alone():
    before = list(warnings.filters)
    found: list[tuple[int, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(decode_image(JPEG).shape)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(64, 64, 3)] * 8
    assert list(warnings.filters) == before


# --- folders ----------------------------------------------------------------------------------------------------------


def test_folder_is_walked_in_sorted_order_with_its_path_before_the_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.JPG",
        "a/z.png",
        "a/deep/er.webp",
        "note.txt",
        "c.heic",
        ".hidden.jpg",
        ".git/d.jpg",
        "e.jpg/f.gif",
    ):
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        Path("photos", name).touch()
    found = list(walk_images(["photos"]))
    assert [name for name, _ in found] == [
        "photos/a/deep/er.webp",
        "photos/a/z.png",
        "photos/b.JPG",
        "photos/c.heic",
        "photos/e.jpg/f.gif",
    ]
    assert [str(file) for _, file in found] == [name for name, _ in found]


def test_files_are_given_as_named_whether_they_exist_or_not(tmp_path):
    (tmp_path / "note.txt").touch()
    given = [f"{tmp_path}/missing.jpg", f"{tmp_path}/note.txt", str(tmp_path)]
    assert [name for name, _ in walk_images(given)] == given[:2]


def test_a_path_that_can_not_be_looked_at_stops_no_other(tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    (photos / "locked").mkdir(parents=True)
    (photos / "a.png").write_bytes(b"")
    real = os.scandir

    def scandir(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    found = [path for _, path in walk_images(["a" * 300 + ".jpg", photos])]
    assert found == [Path("a" * 300 + ".jpg"), photos / "a.png", photos / "locked"]


# --- crops ------------------------------------------------------------------------------------------------------------

GRID = np.stack([*np.meshgrid(np.arange(20), np.arange(10)), np.zeros((10, 20))], 2).astype(np.uint8)  # x, y, 0


def span_of(image: np.ndarray) -> tuple[int, int, int, int]:
    """The pixels of GRID in a crop, as x1 y1 x2 y2."""
    return int(image[0, 0, 0]), int(image[0, 0, 1]), int(image[-1, -1, 0]) + 1, int(image[-1, -1, 1]) + 1


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        pytest.param((2, 3, 6, 8), 0.0, (2, 3, 6, 8), id="whole-pixels"),
        pytest.param((2.4, 3.9, 5.1, 7.0), 0.0, (2, 3, 6, 7), id="every-pixel-touched"),
        pytest.param((4, 4, 8, 6), 0.5, (2, 3, 10, 7), id="margin"),
        pytest.param((2, 2, 18, 8), 1.0, (0, 0, 20, 10), id="margin-past-the-image"),
        pytest.param((-5, -5, 3, 3), 0.0, (0, 0, 3, 3), id="out-at-the-top"),
        pytest.param((15, 8, 99, 99), 0.0, (15, 8, 20, 10), id="out-at-the-bottom"),
        pytest.param((5, 5, 5, 5), 0.0, (5, 5, 6, 6), id="point"),
        pytest.param((50, 50, 60, 60), 0.0, (19, 9, 20, 10), id="beyond"),
        pytest.param((-60, -60, -50, -50), 0.0, (0, 0, 1, 1), id="before"),
        pytest.param((6, 8, 2, 3), 0.0, (6, 8, 7, 9), id="inside-out"),
    ],
)
def test_crop_holds_the_pixels_of_the_box(box, margin, expected):
    assert span_of(crop(GRID, box, margin)) == expected


coordinates = st.floats(-30, 50, allow_nan=False)


@pytest.mark.parametrize(
    ("size_wh", "seen_wh"),
    [((2559, 400), (2559, 400)), ((2560, 400), (1280, 200)), ((300, 5124), (75, 1281)), ((10240, 160), (1280, 20))],
)
def test_large_photo_is_decoded_smaller_and_keeps_its_size(size_wh, seen_wh):
    photo = decode_photo(encoded(quarters(*size_wh), "JPEG"))
    assert (photo.width, photo.height) == size_wh
    assert (photo.pixels.shape[1], photo.pixels.shape[0]) == seen_wh
    assert quarters_seen(photo.pixels) == quarters_seen(quarters(*size_wh))


@pytest.mark.parametrize("size_wh", [(50_000, 3), (3, 50_000)])
def test_photo_much_longer_than_wide_keeps_a_pixel_of_its_shorter_side(size_wh):
    photo = decode_photo(encoded(np.full((size_wh[1], size_wh[0], 3), 128, np.uint8), "JPEG"))
    assert (photo.width, photo.height) == size_wh
    assert sorted(photo.pixels.shape[:2]) == [2, 25_000]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_large_photo_is_turned_with_its_boxes(orientation):
    data = encoded(quarters(2800, 1400), "JPEG", exif=exif_of(orientation))
    photo, full = decode_photo(data), decode_image(data)
    height, width = full.shape[:2]
    assert (photo.width, photo.height) == (width, height) and photo.pixels.shape[:2] == (height // 2, width // 2)
    assert quarters_seen(photo.pixels) == quarters_seen(full)
    box = photo.to_pixels((0, 100, width, height))
    assert box == pytest.approx((0, 50, width / 2, height / 2))
    assert photo.from_pixels(box) == pytest.approx((0, 100, width, height))


@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
def test_photo_whose_format_or_size_gives_nothing_is_decoded_whole(format_name):
    data = encoded(quarters(2600 if format_name == "PNG" else 600, 40), format_name)
    assert np.array_equal(decode_photo(data).pixels, decode_image(data))


@given(coordinates, coordinates, coordinates, coordinates, st.floats(0, 2))
def test_crop_is_never_empty(x1, y1, x2, y2, margin):
    assert crop(GRID, (x1, y1, x2, y2), margin).size > 0
