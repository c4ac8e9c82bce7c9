"""Draw someone standing in a street, wearing given garments, and say what of each can be seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageChops, ImageDraw, ImageFilter

from twinset.data.drawn_garments import Cut, draw_belt, draw_waist_belt
from twinset.data.drawn_kinds import Kind
from twinset.data.drawn_pen import SCALE, Fabric, Pen, Rgb, darker, mask_box, mirrored, to_array
from twinset.types import Box, Image

MIN_VISIBLE = 0.12  # share of an item's pixels; one that is nearly hidden is not labelled
SKINS: tuple[Rgb, ...] = ((246, 216, 190), (224, 180, 144), (198, 146, 106), (150, 100, 68), (104, 68, 46))
HAIRS: tuple[Rgb, ...] = ((34, 26, 24), (84, 54, 34), (140, 92, 50), (206, 168, 100), (120, 118, 116), (150, 62, 36))
# Parts of a body of 1 x 1 that a category covers: x, y, width, height. The body is half as wide as it is high.
PARTS: dict[str, tuple[float, float, float, float]] = {
    "top": (0.1, 0.165, 0.8, 0.36),
    "outerwear": (0.06, 0.155, 0.88, 0.42),
    "dress": (0.06, 0.16, 0.88, 0.62),
    "jumpsuit": (0.06, 0.165, 0.88, 0.77),
    "trousers": (0.15, 0.465, 0.7, 0.475),
    "shorts": (0.15, 0.465, 0.7, 0.2),
    "skirt": (0.16, 0.465, 0.68, 0.28),
    "belt": (0.33, 0.468, 0.34, 0.022),
    "scarf": (0.26, 0.145, 0.48, 0.3),
    "glasses": (0.365, 0.066, 0.27, 0.036),
    "hat": (0.3, -0.035, 0.4, 0.105),
    "bag": (0.74, 0.46, 0.34, 0.17),
}


@dataclass(frozen=True, slots=True)
class Worn:
    """A garment: its kind, cut and fabric."""

    kind: Kind
    cut: Cut
    fabric: Fabric


def draw_figure(
    outfit: Sequence[Worn], rng: np.random.Generator, size_wh: tuple[int, int]
) -> tuple[Image, list[tuple[Box, str]]]:
    """Return a picture and (box, category) of what is worn, as far as it can be seen. Inner garments come first."""
    width, height = size_wh[0] * SCALE, size_wh[1] * SCALE
    canvas = _street((width, height), rng)
    tall = height * rng.uniform(0.8, 0.93)
    body = ((width - tall * 0.5) / 2 + width * rng.uniform(-0.06, 0.06), (height - tall) * 0.6, tall * 0.5, tall)
    skin = SKINS[int(rng.integers(len(SKINS)))]
    hair = HAIRS[int(rng.integers(len(HAIRS)))]
    _person(Pen(canvas, body, Fabric(skin, skin)), skin, hair, rng)
    drawn: list[tuple[Pillow.Image, str, int]] = []  # visible pixels, category, pixels once
    for worn in outfit:
        layers = _wear(canvas, body, worn)
        for layer in layers:
            drawn = [(ImageChops.subtract(mask, layer), category, count) for mask, category, count in drawn]
        covered = layers[0]
        for layer in layers[1:]:
            covered = ImageChops.lighter(covered, layer)
        drawn.append((covered, worn.kind.category, _count(covered)))
    items = []
    for mask, category, count in drawn:
        box = mask_box(mask)
        if box is not None and _count(mask) >= MIN_VISIBLE * count:
            items.append((_inside(box, size_wh), category))
    picture = canvas.filter(ImageFilter.GaussianBlur(SCALE * 0.3))
    pixels = to_array(picture).astype(np.float32) + 3 * rng.standard_normal((size_wh[1], size_wh[0], 1), np.float32)
    return pixels.clip(0, 255).astype(np.uint8), items


def _count(mask: Pillow.Image) -> int:
    return int(np.count_nonzero(np.asarray(mask)))


def _inside(box: Box, size_wh: tuple[int, int]) -> Box:
    x1, y1, x2, y2 = box
    return max(0.0, x1), max(0.0, y1), min(float(size_wh[0]), x2), min(float(size_wh[1]), y2)


def _wear(canvas: Pillow.Image, body: tuple[float, float, float, float], worn: Worn) -> list[Pillow.Image]:
    """Draw one garment on the body and return the pixels of its parts."""
    kind = worn.kind
    if kind.category == "shoes":
        pens = []
        for x, flip in ((0.4, True), (0.52, False)):
            part = _part(body, (x - 0.06 if flip else x, 0.925, 0.15, 0.15 * 0.5 / kind.aspect))
            side = Pillow.new("RGB", canvas.size)
            pen = Pen(side, part, worn.fabric)
            kind.draw(pen, worn.cut)
            covered = pen.covered
            if flip:
                box = (round(part[0]), 0, round(part[0] + part[2]), canvas.height)
                for picture in (side, covered):
                    picture.paste(picture.crop(box).transpose(Pillow.Transpose.FLIP_LEFT_RIGHT), box[:2])
            canvas.paste(side, (0, 0), covered)
            pens.append(covered)
        return pens
    draw = draw_waist_belt if kind.draw is draw_belt else kind.draw
    pen = Pen(canvas, _part(body, PARTS[kind.category]), worn.fabric)
    draw(pen, worn.cut)
    return [pen.covered]


def _part(
    body: tuple[float, float, float, float], share: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    x, y, width, height = body
    return x + share[0] * width, y + share[1] * height, share[2] * width, share[3] * height


def _person(pen: Pen, skin: Rgb, hair: Rgb, rng: np.random.Generator) -> None:
    """Draw a body, its arms hanging, and a head."""
    long_hair = rng.random() < 0.5
    if long_hair:
        pen.solid(mirrored([(0.5, 0.0), (0.39, 0.02), (0.34, 0.12), (0.34, 0.22), (0.5, 0.23)]), hair)
    for flip in (False, True):
        arm = [
            (0.31, 0.18),
            (0.26, 0.2),
            (0.2, 0.34),
            (0.13, 0.49),
            (0.12, 0.54),
            (0.16, 0.55),
            (0.19, 0.5),
            (0.3, 0.34),
        ]
        leg = [
            (0.33, 0.47),
            (0.31, 0.6),
            (0.35, 0.75),
            (0.37, 0.95),
            (0.43, 0.95),
            (0.45, 0.75),
            (0.49, 0.55),
            (0.5, 0.47),
        ]
        for limb in (arm, leg):
            pen.solid([(1 - x, y) for x, y in limb] if flip else limb, skin, outline=False)
    pen.solid(
        mirrored([(0.46, 0.11), (0.45, 0.16), (0.31, 0.18), (0.34, 0.34), (0.33, 0.5), (0.5, 0.52)]),
        skin,
        outline=False,
    )
    pen.solid(pen.oval((0.5, 0.075), 0.105, 0.066), skin, rounds=0, outline=False)
    for x in (0.46, 0.54):
        pen.dot((x, 0.078), 3.5, (40, 34, 34))
    pen.curve([(0.47, 0.108), (0.485, 0.116), (0.515, 0.116), (0.53, 0.108)], (176, 84, 80), 4)
    fringe = [(0.5, 0.005), (0.4, 0.015), (0.385, 0.075), (0.42, 0.045), (0.5, 0.035 + 0.012 * rng.random())]
    pen.solid(mirrored(fringe), hair)


def _street(size_wh: tuple[int, int], rng: np.random.Generator) -> Pillow.Image:
    """Return a blurred street: sky, walls with windows and doors, pavement."""
    width, height = size_wh
    sky = np.linspace(rng.uniform(0.85, 1.0), rng.uniform(0.7, 0.9), height)[:, None, None] * rng.uniform(190, 250, 3)
    street = Pillow.fromarray(np.broadcast_to(sky, (height, width, 3)).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(street)
    ground = int(height * rng.uniform(0.68, 0.86))
    x = int(-rng.integers(0, width // 4))
    while x < width:
        house = int(rng.integers(width // 4, width // 2 + width // 4))
        top = int(height * rng.uniform(0.0, 0.35))
        wall = tuple(int(v) for v in rng.uniform(70, 225) + rng.uniform(-35, 35, 3))
        wall_rgb: Rgb = (max(0, wall[0]), max(0, wall[1]), max(0, wall[2]))
        draw.rectangle((x, top, x + house, ground), fill=wall_rgb)
        pane = darker(wall_rgb, float(rng.uniform(0.45, 0.8)))
        step = int(rng.integers(70, 130))
        for wy in range(top + 24, ground - step, step):
            for wx in range(x + 24, x + house - step // 2, step):
                draw.rectangle((wx, wy, wx + step // 2, wy + int(step * 0.6)), fill=pane)
        x += house
    pavement = int(rng.uniform(90, 200))
    draw.rectangle((0, ground, width, height), fill=(pavement, pavement, min(255, pavement + 6)))
    for _ in range(int(rng.integers(2, 6))):
        y = int(rng.integers(ground, height))
        draw.line((0, y, width, y + int(rng.integers(-20, 20))), fill=(int(pavement * 0.85),) * 3, width=4)
    return street.filter(ImageFilter.GaussianBlur(float(rng.uniform(2, 7))))
