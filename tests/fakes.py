"""A model with no weights and shops drawn for it: solid rectangles, whose colour says what they are."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twinset.models import WEIGHTS, Described
from twinset.taxonomy import Taxonomy, default_taxonomy
from twinset.types import Colour, Detections, Image

PAINT = {  # category -> its paint and the palette's name for that
    "top": ((220, 20, 20), "red"),
    "outerwear": ((20, 20, 220), "blue"),
    "dress": ((20, 160, 20), "green"),
    "jumpsuit": ((230, 220, 20), "yellow"),
    "trousers": ((20, 20, 20), "black"),
    "shorts": ((235, 130, 20), "orange"),
    "skirt": ((130, 20, 160), "purple"),
    "shoes": ((110, 60, 20), "brown"),
    "bag": ((235, 130, 180), "pink"),
    "hat": ((20, 200, 220), "blue"),
    "glasses": ((20, 110, 110), "green"),
    "belt": ((190, 200, 150), "beige"),
    "scarf": ((220, 20, 130), "pink"),
}
PAINTS = np.array([paint for paint, _ in PAINT.values()], np.int16)
TOLERANCE = 30
FEED_TYPES = {"top": "Tshirts", "dress": "Dresses", "trousers": "Jeans", "shoes": "Casual Shoes", "bag": "Handbags"}


class FakeModels:
    """Stands in for Models. Finds at most one item of each category: the box around all pixels of its paint."""

    name = "fake"
    min_score = 0.3
    labels = None
    folder = WEIGHTS / "default"
    dim = 256

    def __init__(self, version: str = "fake-000000000000") -> None:
        self.version = version
        self.taxonomy: Taxonomy = default_taxonomy()
        self.categories: tuple[str, ...] = tuple(PAINT)
        self.described = 0  # crops so far

    def detect(self, image: Image, min_score: float | None = None) -> Detections:
        """Score 0.5 and more by the share of the image; specks under a hundredth of it 0.1."""
        limit = self.min_score if min_score is None else min_score
        paint = nearest_paint(image)
        found = []
        for label in range(len(PAINT)):
            rows, columns = np.nonzero(paint == label)
            if len(rows) < 16:
                continue
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            share = (box[2] - box[0]) * (box[3] - box[1]) / paint.size
            score = 0.1 if share < 0.01 else 0.5 + min(share, 0.98) / 2
            if score >= limit:
                found.append((score, label, box))
        found.sort(key=lambda entry: -entry[0])
        return Detections(
            np.array([box for _, _, box in found], np.float32).reshape(-1, 4),
            np.array([score for score, _, _ in found], np.float32),
            np.array([label for _, label, _ in found], np.int64),
        )

    def detect_batch(self, images: Sequence[Image], min_score: float | None = None) -> list[Detections]:
        return [self.detect(image, min_score) for image in images]

    def describe(self, image: Image, boxes: NDArray[np.float32]) -> list[Described]:
        """The crop at 8 x 8 pixels and its proportions: the same crop gives the same vector."""
        height, width = image.shape[:2]
        described = []
        for x1, y1, x2, y2 in boxes:
            left, top = min(max(int(x1), 0), width - 1), min(max(int(y1), 0), height - 1)
            crop = image[top : max(int(y2), top + 1), left : max(int(x2), left + 1)]
            rows, columns = np.arange(8) * crop.shape[0] // 8, np.arange(8) * crop.shape[1] // 8
            vector = np.zeros(256, np.float32)
            vector[:192] = (crop[rows[:, None], columns].astype(np.float32) / 127.5 - 1).ravel()
            vector[192] = 0.1
            vector[193] = np.log(crop.shape[0] / crop.shape[1])
            described.append(Described(vector / np.linalg.norm(vector), colours_of(crop)))
        self.described += len(described)
        return described

    def describe_batch(self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]) -> list[list[Described]]:
        return [self.describe(image, rows) for image, rows in zip(images, boxes, strict=True)]


def nearest_paint(image: Image) -> NDArray[np.int64]:
    """Return (H, W) the index of each pixel's paint, -1 where it has none."""
    distance = np.abs(image[:, :, None, :].astype(np.int16) - PAINTS).max(3)
    nearest = distance.argmin(2)
    return np.where(distance.min(2) <= TOLERANCE, nearest, -1)


def colours_of(crop: Image) -> tuple[Colour, ...]:
    paint = nearest_paint(crop)
    names = np.array([name for _, name in PAINT.values()])[paint[paint >= 0]]
    found, counts = np.unique(names, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return tuple(Colour(str(found[i]), round(float(counts[i] / paint.size), 4)) for i in order)


def draw_item(category: str, variant: int = 0, size_wh: tuple[int, int] = (48, 64)) -> Image:
    """Return one item filling its picture; variants 0-255 differ in a pattern of two shades."""
    width, height = size_wh
    cells = np.array([(variant >> bit) & 1 for bit in range(8)]).reshape(4, 2)
    shade = cells[np.arange(height) * 4 // height][:, np.arange(width) * 2 // width]
    paint = np.array(PAINT[category][0])
    return np.asarray(paint + np.where(shade, 12, -12)[..., None], np.uint8)


def draw_photo(
    *items: tuple[Image, tuple[int, int]], size_wh: tuple[int, int] = (96, 128), background: int = 255
) -> Image:
    """Return a photo with each item's picture pasted at its (x, y)."""
    photo = np.full((size_wh[1], size_wh[0], 3), background, np.uint8)
    for item, (x, y) in items:
        photo[y : y + item.shape[0], x : x + item.shape[1]] = item
    return photo


def draw_product(category: str, variant: int = 0) -> Image:
    """Return a shot of a product alone on white: 96 x 128 with the item at (24, 32, 72, 96)."""
    return draw_photo((draw_item(category, variant), (24, 32)))


def draw_street() -> Image:
    """Return a photo of a top at (40, 20, 88, 84), trousers at (40, 100, 88, 190) and a bag at (110, 80, 140, 110)."""
    return draw_photo(
        (draw_item("top", 3), (40, 20)),
        (draw_item("trousers", 5, (48, 90)), (40, 100)),
        (draw_item("bag", 6, (30, 30)), (110, 80)),
        size_wh=(160, 200),
        background=128,
    )


def save_image(image: Image, path: Path) -> Path:
    from PIL import Image as Pillow

    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(image).save(path)
    return path


def make_feed(folder: Path, n: int = 20) -> Path:
    """Write a shop of `n` products, "p000" and up, in five categories taking turns; return its products.csv.

    Prices are 10, 11, 12...; every fourth is out of stock; `season` is a tag, summer and winter in turn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    feed = folder / "products.csv"
    with feed.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["product_id", "title", "article_type", "price", "currency", "image", "in_stock", "season"])
        for i in range(n):
            category = list(FEED_TYPES)[i % len(FEED_TYPES)]
            image = save_image(draw_product(category, i % 256), folder / "images" / f"p{i:03}.png")
            row = [f"p{i:03}", f"{category.title()} {i}", FEED_TYPES[category], 10 + i, "EUR", f"images/{image.name}"]
            writer.writerow([*row, str(i % 4 != 3).lower(), ("summer", "winter")[i % 2]])
    return feed
