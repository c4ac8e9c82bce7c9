"""Draw cloth, lines and soft shapes on a canvas: what drawn garments are made of. Knows nothing of garments."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageChops, ImageDraw, ImageFilter

Rgb = tuple[int, int, int]
Point = tuple[float, float]
Floats = NDArray[np.float32]
SCALE = 2  # drawn larger and reduced, for smooth edges
CORNER = math.cos(math.radians(52))  # outlines bend smoothly through points, except where they turn more sharply
SHADE_STEP = 4  # shading is soft: computed on every fourth pixel

PALETTE: dict[str, tuple[tuple[str, Rgb], ...]] = {  # base colour -> its tints, by names the taxonomy knows
    "black": (("black", (36, 36, 40)),),
    "white": (("white", (246, 246, 244)), ("ivory", (243, 238, 224))),
    "grey": (("grey", (146, 150, 156)), ("charcoal", (78, 82, 88))),
    "beige": (("beige", (222, 204, 172)), ("khaki", (190, 172, 132))),
    "brown": (("brown", (112, 74, 48)), ("tan", (168, 116, 72))),
    "red": (("red", (200, 38, 44)), ("burgundy", (116, 24, 44))),
    "pink": (("pink", (238, 158, 186)), ("rose", (214, 98, 138))),
    "orange": (("orange", (238, 130, 40)), ("rust", (186, 86, 42))),
    "yellow": (("yellow", (244, 212, 74)), ("mustard", (214, 164, 46))),
    "green": (("green", (58, 132, 82)), ("olive", (104, 110, 60))),
    "blue": (("blue", (56, 104, 180)), ("navy", (32, 44, 84)), ("teal", (34, 118, 128))),
    "purple": (("purple", (112, 66, 148)), ("lavender", (180, 160, 212))),
}
RAINBOW: tuple[Rgb, ...] = ((206, 60, 62), (240, 160, 60), (246, 220, 110), (76, 150, 106), (60, 108, 176))


@dataclass(frozen=True, slots=True)
class Fabric:
    """What a garment is made of."""

    colour: Rgb
    second: Rgb
    pattern: str = "plain"  # plain striped pinstriped checked dotted floral rainbow
    surface: str = "smooth"  # smooth knit denim
    seed: int = 0

    def weave(self, x: Floats, y: Floats) -> Floats:
        """Return the (H, W, 3) cloth at the points (H, W), in units of the garment."""
        rng = np.random.default_rng(self.seed)
        step = float(rng.uniform(0.12, 0.24))
        plain = np.broadcast_to(np.array(self.colour, np.float32), (*x.shape, 3))
        if self.pattern == "rainbow":
            cloth = np.array(RAINBOW, np.float32)[np.floor(y / step).astype(np.int64) % len(RAINBOW)]
        elif self.pattern == "floral":
            cloth = self._floral(x, y, step * 1.7, rng)
        elif self.pattern == "plain":
            cloth = plain
        else:
            share = self._share(x, y, step)[..., None]
            cloth = plain * (1 - share) + np.array(self.second, np.float32) * share
        return cloth * self._surface(x, y)[..., None]

    def _share(self, x: Floats, y: Floats, step: float) -> Floats:
        """Return how much of the second colour there is."""
        if self.pattern == "striped":
            return (y % step < step * 0.42).astype(np.float32)
        if self.pattern == "pinstriped":
            return 0.7 * (x % (step * 0.6) < 0.016).astype(np.float32)
        if self.pattern == "checked":
            bands = 0.4 * (y % step < step / 2) + 0.4 * (x % step < step / 2)
            fine = ((y + step / 4) % step < 0.02) | ((x + step / 4) % step < 0.02)
            return np.asarray(np.where(fine, 0.95, bands), np.float32)
        row = np.floor(y / step)  # dotted
        cx, cy = (x + (row % 2) * step / 2) % step - step / 2, y % step - step / 2
        return (np.hypot(cx, cy) < step * 0.2).astype(np.float32)

    def _floral(self, x: Floats, y: Floats, step: float, rng: np.random.Generator) -> Floats:
        table = rng.uniform(-1, 1, (3, 16, 16)).astype(np.float32)  # of every cell: where its flower is, how turned
        column, row = np.floor(x / step).astype(np.int64), np.floor(y / step).astype(np.int64)
        dx, dy, turn = table[:, row % 16, column % 16]
        cx, cy = x / step - column - 0.5 - 0.14 * dx, y / step - row - 0.5 - 0.14 * dy
        radius = np.hypot(cx, cy)
        angle = np.arctan2(cy, cx) + np.float32(math.pi) * turn
        petals = radius < 0.17 + 0.15 * np.abs(np.cos(2.5 * angle))
        leaf = (np.abs(cx - cy) < 0.07) & (radius < 0.46) & (cx + cy > 0)
        cloth = np.broadcast_to(np.array(self.colour, np.float32), (*x.shape, 3)).copy()
        cloth[leaf] = (84, 124, 78)
        cloth[petals] = self.second
        cloth[radius < 0.1] = (236, 190, 70)
        return cloth

    def _surface(self, x: Floats, y: Floats) -> Floats:
        if self.surface == "knit":
            return 1 - 0.09 * (np.abs(np.sin(x * 60 + 0.8 * np.abs(np.sin(y * 50)))) < 0.45).astype(np.float32)
        if self.surface == "denim":
            return 1 + 0.07 * (np.sin((x + y) * 190) > 0.2).astype(np.float32)
        return np.ones_like(x)


def tinted(colour: Rgb, share: float) -> Rgb:
    """Return the colour darkened (share below 1) or lightened towards white (above 1)."""
    if share <= 1:
        return int(colour[0] * share), int(colour[1] * share), int(colour[2] * share)
    r, g, b = (int(c + (255 - c) * (share - 1)) for c in colour)
    return r, g, b


def closed(half: Sequence[Point]) -> list[Point]:
    """Return the outline of the right half, from top to bottom, and its mirror image about x = 0."""
    return [*half, *((-x, y) for x, y in reversed(half))]


def flipped(points: Sequence[Point], side: int) -> list[Point]:
    """Return points of the right side (1), or their mirror image (-1)."""
    return [(x * side, y) for x, y in points]


def oval(centre: Point, rx: float, ry: float, start: float = 0.0, end: float = 360.0) -> list[Point]:
    """Return an ellipse's outline, or an arc of it in degrees, clockwise from the right."""
    angles = np.linspace(math.radians(start), math.radians(end), 40, endpoint=end - start < 360)
    return [(centre[0] + rx * float(np.cos(a)), centre[1] + ry * float(np.sin(a))) for a in angles]


def bezier(points: Sequence[Point]) -> list[Point]:
    """Return a line through the curve of four control points."""
    t = np.linspace(0, 1, 24)[:, None]
    p = np.array(points, np.float64)
    bent = (1 - t) ** 3 * p[0] + 3 * (1 - t) ** 2 * t * p[1] + 3 * (1 - t) * t**2 * p[2] + t**3 * p[3]
    return [(float(x), float(y)) for x, y in bent]


def spline(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """Return a closed outline bent smoothly through the points (cubic Hermite), sharp where it turns sharply."""
    p = np.array(points, np.float64)
    following = np.roll(p, -1, 0) - p  # [N, 2]
    p, following = p[np.any(following != 0, 1)], following[np.any(following != 0, 1)]
    length = np.linalg.norm(following, axis=1, keepdims=True)
    ahead = following / np.maximum(length, 1e-9)
    behind = np.roll(ahead, 1, 0)
    middle = ahead + behind
    middle /= np.maximum(np.linalg.norm(middle, axis=1, keepdims=True), 1e-9)
    corner = (ahead * behind).sum(1, keepdims=True) < CORNER
    leave, arrive = np.where(corner, ahead, middle), np.roll(np.where(corner, behind, middle), -1, 0)
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b = p[:, None], np.roll(p, -1, 0)[:, None]
    m0, m1 = (leave * length)[:, None], (arrive * length)[:, None]
    h0, h1, h2, h3 = 2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t, -2 * t**3 + 3 * t**2, t**3 - t**2
    return [(float(x), float(y)) for x, y in (h0 * a + h1 * m0 + h2 * b + h3 * m1).reshape(-1, 2)]


class Pen:
    """Draws in units of the garment about an origin; `unit` is pixels a unit, right and down, negative to mirror.

    `covered` holds which pixels this pen has drawn on, `extent` x1 y1 x2 y2 in pixels. Without a canvas it measures only.
    """

    def __init__(self, canvas: Pillow.Image | None, origin: Point, unit: Point, fabric: Fabric) -> None:
        self.canvas, self.origin, self.unit, self.fabric = canvas, origin, unit, fabric
        self.covered = Pillow.new("L", canvas.size if canvas else (1, 1))
        self.extent = (math.inf, math.inf, -math.inf, -math.inf)
        self._folds = np.random.default_rng(fabric.seed + 1)

    def at(self, points: Sequence[Point]) -> list[Point]:
        """Return points in pixels of the canvas."""
        return [(self.origin[0] + x * self.unit[0], self.origin[1] + y * self.unit[1]) for x, y in points]

    def cloth(self, points: Sequence[Point], light: float = 1.0, turn: float = 0.0) -> None:
        """Fill an outline with the fabric, its pattern turned by an angle in degrees, shaded and softly folded."""
        self._fill(points, None, light, turn, tinted(self.fabric.colour, 0.66))

    def solid(self, points: Sequence[Point], colour: Rgb, outline: bool = True) -> None:
        """Fill an outline with one colour, shaded like the cloth."""
        self._fill(points, colour, 1.0, 0.0, tinted(colour, 0.66) if outline else None)

    def line(self, points: Sequence[Point], colour: Rgb | None = None, width: float = 0.02) -> None:
        """Draw a seam, a strap, a cord; the width is in units."""
        pixels = self.at(points)
        thick = max(2, round(width * abs(self.unit[1])))
        self._reach(pixels, thick / 2)
        if self.canvas is None:
            return
        for target, fill in ((self.canvas, colour or tinted(self.fabric.colour, 0.7)), (self.covered, 255)):
            draw = ImageDraw.Draw(target)
            draw.line(pixels, fill=fill, width=thick, joint="curve")
            if thick > 5:
                for x, y in (pixels[0], pixels[-1]):
                    draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=fill)

    def dot(self, centre: Point, radius: float, colour: Rgb) -> None:
        """Draw a button or an eyelet."""
        ((x, y),) = self.at([centre])
        r = max(1.5, radius * abs(self.unit[1]))
        self._reach([(x, y)], r)
        if self.canvas is None:
            return
        ImageDraw.Draw(self.canvas).ellipse((x - r, y - r, x + r, y + r), fill=colour, outline=tinted(colour, 0.6))
        ImageDraw.Draw(self.covered).ellipse((x - r, y - r, x + r, y + r), fill=255)

    def _reach(self, pixels: Sequence[Point], margin: float) -> None:
        x1, y1, x2, y2 = self.extent
        xs, ys = [x for x, _ in pixels], [y for _, y in pixels]
        self.extent = (
            min(x1, min(xs) - margin),
            min(y1, min(ys) - margin),
            max(x2, max(xs) + margin),
            max(y2, max(ys) + margin),
        )

    def _fill(self, points: Sequence[Point], colour: Rgb | None, light: float, turn: float, edge: Rgb | None) -> None:
        pixels = spline(self.at(points))
        self._reach(pixels, SCALE / 2)
        if self.canvas is None:
            return
        xs, ys = [x for x, _ in pixels], [y for _, y in pixels]
        margin = 2 + int(0.1 * abs(self.unit[1]))
        left, top = max(0, int(min(xs)) - margin), max(0, int(min(ys)) - margin)
        right, bottom = min(self.canvas.width, int(max(xs)) + margin), min(self.canvas.height, int(max(ys)) + margin)
        if right <= left or bottom <= top:
            return
        mask = Pillow.new("L", (right - left, bottom - top))
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in pixels], fill=255)
        if colour is None:
            cloth = self._cloth(left, top, mask.size, turn)
        else:
            cloth = np.broadcast_to(np.array(colour, np.float32), (mask.height, mask.width, 3))
        lit = (cloth * (self._shade(mask) * light)[..., None]).clip(0, 255).astype(np.uint8)
        self.canvas.paste(Pillow.fromarray(lit), (left, top), mask)
        self.covered.paste(255, (left, top), mask)
        if edge is not None:
            for target, fill in ((self.canvas, edge), (self.covered, 255)):
                ImageDraw.Draw(target).line([*pixels, pixels[0]], fill=fill, width=SCALE, joint="curve")

    def _cloth(self, left: int, top: int, size_wh: tuple[int, int], turn: float) -> Floats:
        if self.fabric.pattern == "plain" and self.fabric.surface == "smooth":
            return np.broadcast_to(np.array(self.fabric.colour, np.float32), (size_wh[1], size_wh[0], 3))
        x = (np.arange(left, left + size_wh[0], dtype=np.float32) - self.origin[0]) / abs(self.unit[0])
        y = (np.arange(top, top + size_wh[1], dtype=np.float32) - self.origin[1]) / abs(self.unit[1])
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        return self.fabric.weave(
            (x[None] * cos + y[:, None] * sin).astype(np.float32),
            (y[:, None] * cos - x[None] * sin).astype(np.float32),
        )

    def _shade(self, mask: Pillow.Image) -> Floats:
        """Return (H, W) light: rounder towards the edges, from the left, with soft upright folds."""
        size = mask.width // SHADE_STEP + 1, mask.height // SHADE_STEP + 1
        near = mask.resize(size, Pillow.Resampling.BOX).filter(
            ImageFilter.GaussianBlur(0.07 * abs(self.unit[1]) / SHADE_STEP)
        )
        rim = np.clip((np.asarray(near, np.float32) / 255 - 0.4) / 0.55, 0, 1)
        waves = max(2, round(mask.width / (0.16 * abs(self.unit[0])))), max(2, round(mask.height / abs(self.unit[1])))
        noise = self._folds.normal(0, 0.04, (waves[1], waves[0])).astype(np.float32)
        folds = np.asarray(Pillow.fromarray(noise).resize(size, Pillow.Resampling.BICUBIC))
        across = np.linspace(1.03, 0.95, size[0], dtype=np.float32)[None, :]
        shade = Pillow.fromarray(((0.82 + 0.18 * rim) * across * (1 + folds)).astype(np.float32))
        return np.asarray(shade.resize(mask.size, Pillow.Resampling.BILINEAR))


def shadow(canvas: Pillow.Image, covered: Pillow.Image) -> Pillow.Image:
    """Return the canvas with a faint shadow below what is covered."""
    small = ImageChops.offset(covered.reduce(4), 0, SCALE).filter(ImageFilter.GaussianBlur(1.5 * SCALE))
    soft = small.resize(covered.size, Pillow.Resampling.BILINEAR)
    grey = Pillow.composite(Pillow.new("RGB", canvas.size, (222, 222, 224)), canvas, soft.point(lambda v: v // 3))
    return Pillow.composite(canvas, grey, covered)


def mask_box(covered: Pillow.Image) -> tuple[float, float, float, float] | None:
    """Return x1 y1 x2 y2 of the covered pixels in the reduced picture, None if there are none."""
    box = covered.getbbox()
    if box is None:
        return None
    x1, y1, x2, y2 = (side / SCALE for side in box)
    return x1, y1, x2, y2


def to_array(canvas: Pillow.Image) -> NDArray[np.uint8]:
    """Return the canvas reduced to its final size."""
    return np.asarray(canvas.reduce(SCALE))
