"""A sample shop drawn by code: products on white, people wearing them in the street. For demos, tests and training.

Every picture comes from a numpy generator, so the same seed draws the same shop.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from twinset.data.drawn_figure import Worn, draw_figure
from twinset.data.drawn_kinds import KINDS, Kind, pen_for
from twinset.data.drawn_pen import PALETTE, SCALE, Fabric, Pen, Rgb, mask_box, shadow, to_array
from twinset.images import encode_jpeg
from twinset.types import Box, Image

PRODUCT_WH = (450, 600)
LOOK_WH = (400, 600)
CURRENCY = "EUR"
_ADJECTIVES = ("Classic", "Everyday", "Soft", "Slim", "Relaxed", "Studio", "City", "Weekend", "Fine", "Nordic")


@dataclass(frozen=True, slots=True, eq=False)
class DrawnProduct:
    """A product's picture and row of the feed."""

    image: Image
    box: Box  # of the item, pixels
    category: str
    article_type: str
    colour: str
    title: str
    price: float
    worn: Worn  # what draws it again, on a figure


@dataclass(frozen=True, slots=True, eq=False)
class DrawnLook:
    """Someone in the street and what they wear."""

    image: Image
    boxes: NDArray[np.float32]  # (N, 4) xyxy pixels of what is visible
    labels: tuple[str, ...]  # categories; article types and colours likewise
    article_types: tuple[str, ...]
    colours: tuple[str, ...]


def draw_product(
    article_type: str | None, rng: np.random.Generator, size_wh: tuple[int, int] = PRODUCT_WH
) -> DrawnProduct:
    """Return a drawn product of an article type of `KINDS`, any if None. Raises KeyError for another type."""
    kinds = {kind.article_type: kind for kind in KINDS}
    kind = KINDS[int(rng.integers(len(KINDS)))] if article_type is None else kinds[article_type]
    worn, colour = _sewn(kind, rng)
    return _pictured(worn, colour, rng, size_wh)


def draw_look(rng: np.random.Generator, size_wh: tuple[int, int] = LOOK_WH) -> DrawnLook:
    """Return a look of random garments."""
    outfit = [_sewn(_any(rng, category), rng) for category in outfit_categories(rng)]
    return _look(outfit, rng, size_wh)


def outfit_categories(rng: np.random.Generator) -> list[str]:
    """Return the categories someone wears together, inner garments first."""
    base = rng.random()
    if base < 0.25:
        worn = ["dress"]
    elif base < 0.33:
        worn = ["jumpsuit"]
    else:
        worn = [str(rng.choice(["trousers", "trousers", "shorts", "skirt"])), "top"]
        if rng.random() < 0.35:
            worn.append("belt")
    if rng.random() < 0.35:
        worn.append("outerwear")
    worn.append("shoes")
    for category, share in (("scarf", 0.2), ("glasses", 0.35), ("hat", 0.3), ("bag", 0.6)):
        if rng.random() < share:
            worn.append(category)
    return worn


def draw_shop(folder: Path, products: int = 160, looks: int = 12, seed: int = 0) -> Path:
    """Draw a shop into a folder and return its feed, products.csv.

    Writes images/, looks/ (street photos made of the shop's own products), products.csv and looks.coco.json, whose
    images name the products worn in `product_ids`.
    """
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "looks").mkdir(exist_ok=True)
    drawn: list[tuple[str, DrawnProduct]] = []
    for i in range(products):
        product_id = f"D{i + 1:04d}"
        product = draw_product(KINDS[i % len(KINDS)].article_type, rng)
        (folder / "images" / f"{product_id}.jpg").write_bytes(encode_jpeg(product.image, 90))
        drawn.append((product_id, product))
    _write_looks(folder, drawn, looks, rng)
    feed = folder / "products.csv"
    with feed.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["product_id", "title", "article_type", "colour", "price", "currency", "in_stock", "image"])
        for product_id, product in drawn:
            stock = "false" if rng.random() < 0.06 else "true"
            image = f"images/{product_id}.jpg"
            row = [product_id, product.title, product.article_type, product.colour, f"{product.price:.2f}"]
            writer.writerow([*row, CURRENCY, stock, image])
    return feed


def _write_looks(folder: Path, drawn: Sequence[tuple[str, DrawnProduct]], looks: int, rng: np.random.Generator) -> None:
    by_category: dict[str, list[tuple[str, DrawnProduct]]] = {}
    for entry in drawn:
        by_category.setdefault(entry[1].category, []).append(entry)
    names = sorted(by_category)
    images, annotations = [], list[dict[str, object]]()
    for i in range(looks):
        categories = [category for category in outfit_categories(rng) if category in by_category]
        chosen = [by_category[c][int(rng.integers(len(by_category[c])))] for c in categories]
        look = _look([(product.worn, product.colour) for _, product in chosen], rng, LOOK_WH)
        name = f"looks/look-{i + 1:02d}.jpg"
        (folder / name).write_bytes(encode_jpeg(look.image, 90))
        height, width = look.image.shape[:2]
        row = {"id": i + 1, "file_name": name, "width": width, "height": height}
        images.append({**row, "product_ids": [product_id for product_id, _ in chosen]})
        for (x1, y1, x2, y2), label in zip(look.boxes.tolist(), look.labels, strict=True):
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i + 1, "category_id": names.index(label) + 1, **box}
            )
    coco = {
        "images": images,
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
        "annotations": annotations,
    }
    (folder / "looks.coco.json").write_text(json.dumps(coco), encoding="utf-8")


def _any(rng: np.random.Generator, category: str) -> Kind:
    kinds = [kind for kind in KINDS if kind.category == category]
    return kinds[int(rng.integers(len(kinds)))]


def _sewn(kind: Kind, rng: np.random.Generator) -> tuple[Worn, str]:
    """Return a garment of a kind in a random cut and fabric, and its colour's name."""
    names = kind.colours or tuple(PALETTE)
    colour = names[int(rng.integers(len(names)))]
    others = [
        name for name in PALETTE if name != colour and (name in ("white", "black", "beige") or rng.random() < 0.4)
    ]
    second = others[int(rng.integers(len(others)))]
    pattern = kind.patterns[int(rng.integers(len(kind.patterns)))]
    shade = rng.uniform(0.88, 1.1)
    fabric = Fabric(_shaded(PALETTE[colour], shade), PALETTE[second], pattern, int(rng.integers(2**31)))
    cut = kind.cuts[int(rng.integers(len(kind.cuts)))]
    return Worn(kind, cut, pen_for(kind, fabric)), colour


def _shaded(colour: Rgb, shade: float) -> Rgb:
    r, g, b = (min(255, int(channel * shade)) for channel in colour)
    return r, g, b


def _pictured(worn: Worn, colour: str, rng: np.random.Generator, size_wh: tuple[int, int]) -> DrawnProduct:
    width, height = size_wh[0] * SCALE, size_wh[1] * SCALE
    kind = worn.kind
    share = rng.uniform(0.62, 0.86)
    part_w = min(width * share, height * share * kind.aspect)
    part_h = part_w / kind.aspect
    x, y = (width - part_w) / 2 * rng.uniform(0.8, 1.2), (height - part_h) / 2 * rng.uniform(0.85, 1.15)
    canvas = Pillow.new("RGB", (width, height), (255, 255, 255))
    pen = Pen(canvas, (x, y, part_w, part_h), worn.fabric)
    kind.draw(pen, worn.cut)
    covered = pen.covered
    if kind.category not in ("shoes",) or rng.random() < 0.5:
        pass
    else:  # the other shoe of the pair, behind
        behind = Pillow.new("RGB", (width, height), (255, 255, 255))
        other = Pen(behind, (x + part_w * 0.06, y - part_h * 0.35, part_w, part_h), worn.fabric)
        kind.draw(other, worn.cut)
        behind.paste(canvas, (0, 0), pen.covered)
        canvas = behind
        covered = Pillow.composite(pen.covered, other.covered, pen.covered)
    image = to_array(shadow(canvas, covered))
    box = mask_box(covered)
    assert box is not None  # every kind draws something
    title = _title(worn, colour, rng)
    low, high = kind.price
    price = float(rng.integers(low, high + 1)) - (0.01 if rng.random() < 0.7 else 0.5)
    return DrawnProduct(image, box, kind.category, kind.article_type, colour.capitalize(), title, round(price, 2), worn)


def _title(worn: Worn, colour: str, rng: np.random.Generator) -> str:
    kind = worn.kind
    gender = kind.genders[int(rng.integers(len(kind.genders)))]
    pattern = "" if worn.fabric.pattern in ("plain", "denim") else f" {worn.fabric.pattern}"
    adjective = _ADJECTIVES[int(rng.integers(len(_ADJECTIVES)))]
    return f"{adjective} {gender} {colour}{pattern} {kind.word}"


def _look(outfit: Sequence[tuple[Worn, str]], rng: np.random.Generator, size_wh: tuple[int, int]) -> DrawnLook:
    """Return a look of garments, of each category one, and their colours' names."""
    image, items = draw_figure([worn for worn, _ in outfit], rng, size_wh)
    boxes = np.array([box for box, _ in items], np.float32).reshape(-1, 4)
    of = {worn.kind.category: (worn.kind.article_type, colour.lower()) for worn, colour in outfit}
    labels = tuple(label for _, label in items)
    return DrawnLook(image, boxes, labels, *(tuple(of[label][i] for label in labels) for i in (0, 1)))
