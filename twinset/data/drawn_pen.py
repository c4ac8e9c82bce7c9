"""Draw fabric, lines and soft shapes on a canvas: what drawn garments are made of. Knows nothing of garments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageChops, ImageDraw, ImageFilter

Rgb = tuple[int, int, int]
Point = tuple[float, float]
MAX_CUT = 0.035  # of a part's side, that smoothing cuts from a corner
SCALE = 2  # drawn larger and reduced, for smooth edges

PALETTE: dict[str, Rgb] = {  # the palette's colours as fabrics have them
    "black": (34, 34, 38),
    "white": (244, 244, 242),
    "grey": (142, 146, 152),
    "beige": (217, 199, 165),
    "brown": (112, 74, 46),
    "red": (196, 36, 42),
    "pink": (236, 143, 178),
    "orange": (236, 124, 32),
    "yellow": (240, 205, 54),
    "green": (58, 130, 74),
    "blue": (44, 88, 168),
    "purple": (120, 66, 150),
}


@dataclass(frozen=True, slots=True)
class Fabric:
    """What a garment is made of."""

    colour: Rgb
    second: Rgb
    pattern: str = "plain"  # plain striped pinstriped checked dotted floral denim
    seed: int = 0

    def texture(self, size_wh: tuple[int, int]) -> Pillow.Image:
        """Return a picture of the cloth, lying flat."""
        width, height = size_wh
        rng = np.random.default_rng(self.seed)
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        step = float(rng.uniform(26, 44))
        share = np.zeros((height, width), np.float32)
        if self.pattern == "striped":
            share = ((y % step) < step * 0.45).astype(np.float32)
        elif self.pattern == "pinstriped":
            share = ((x % (step * 0.7)) < 3.5).astype(np.float32)
        elif self.pattern == "checked":
            share = 0.5 * ((y % step) < step / 2) + 0.5 * ((x % step) < step / 2)
        elif self.pattern == "dotted":
            row = np.floor(y / step)
            cx, cy = (x + (row % 2) * step / 2) % step - step / 2, y % step - step / 2
            share = (np.hypot(cx, cy) < step * 0.2).astype(np.float32)
        elif self.pattern == "floral":
            return self._floral(size_wh, step * 1.8, rng)
        elif self.pattern == "denim":
            share = 0.22 * (((x + y) % 6) < 3)
        share = share.clip(0, 1)[..., None]
        cloth = np.array(self.colour, np.float32) * (1 - share) + np.array(self.second, np.float32) * share
        grain = rng.normal(0, 2.5, (96, 96, 1)).astype(np.float32)  # of the weave
        cloth += np.tile(grain, (height // 96 + 1, width // 96 + 1, 1))[:height, :width]
        return Pillow.fromarray(cloth.clip(0, 255).astype(np.uint8))

    def _floral(self, size_wh: tuple[int, int], step: float, rng: np.random.Generator) -> Pillow.Image:
        cloth = Pillow.new("RGB", size_wh, self.colour)
        draw = ImageDraw.Draw(cloth)
        for cy in np.arange(0, size_wh[1] + step, step):
            for cx in np.arange(0, size_wh[0] + step, step):
                px, py = cx + rng.uniform(-0.3, 0.3) * step, cy + rng.uniform(-0.3, 0.3) * step
                radius, turn = step * rng.uniform(0.14, 0.2), rng.uniform(0, 1)
                for petal in range(5):
                    angle = 2 * np.pi * (petal / 5 + turn)
                    x, y = px + radius * np.cos(angle), py + radius * np.sin(angle)
                    draw.ellipse(
                        (x - radius * 0.8, y - radius * 0.8, x + radius * 0.8, y + radius * 0.8), fill=self.second
                    )
                draw.ellipse(
                    (px - radius * 0.5, py - radius * 0.5, px + radius * 0.5, py + radius * 0.5), fill=(240, 200, 60)
                )
        return cloth


def darker(colour: Rgb, share: float = 0.7) -> Rgb:
    """Return the colour with its light reduced to a share."""
    return int(colour[0] * share), int(colour[1] * share), int(colour[2] * share)


def mirrored(points: Sequence[Point]) -> list[Point]:
    """Return the left half of an outline, top to bottom, closed by its mirror image about x = 0.5."""
    return [*points, *((1 - x, y) for x, y in reversed(points))]


def smooth(points: Sequence[Point], rounds: int = 2) -> list[Point]:
    """Return the closed outline with its corners cut (Chaikin, 1974), those of long sides only a little."""
    outline = np.array(points, np.float64)
    for _ in range(rounds):
        following = np.roll(outline, -1, axis=0)
        length = np.linalg.norm(following - outline, axis=1, keepdims=True)
        cut = np.minimum(0.22, MAX_CUT / np.maximum(length, 1e-9))
        outline = np.stack([(1 - cut) * outline + cut * following, cut * outline + (1 - cut) * following], 1).reshape(
            -1, 2
        )
    return [(float(x), float(y)) for x, y in outline]


class Pen:
    """Draws into a part of a canvas in coordinates that run from 0 to 1 over that part.

    `covered` holds which pixels this pen has drawn on: the item's own.
    """

    def __init__(self, canvas: Pillow.Image, part: tuple[float, float, float, float], fabric: Fabric) -> None:
        self.canvas, self.part, self.fabric = canvas, part, fabric
        self.covered = Pillow.new("L", canvas.size)
        x, y, width, height = part  # cloth is made for the part and a little beyond
        left, top = max(0, int(x - 0.12 * width)), max(0, int(y - 0.12 * height))
        right, bottom = min(canvas.width, int(x + 1.12 * width) + 1), min(canvas.height, int(y + 1.12 * height) + 1)
        self._cloth = Pillow.new("RGB", canvas.size, fabric.colour)
        if right > left and bottom > top:
            self._cloth.paste(fabric.texture((right - left, bottom - top)), (left, top))

    def at(self, points: Sequence[Point]) -> list[Point]:
        """Return points of the part in pixels of the canvas."""
        x0, y0, width, height = self.part
        return [(x0 + x * width, y0 + y * height) for x, y in points]

    def cloth(self, points: Sequence[Point], light: float = 1.0, rounds: int = 2, outline: bool = True) -> None:
        """Fill an outline with the fabric, lit from the left, with a darker edge."""
        self._fill(points, self._cloth, light, rounds, outline, darker(self.fabric.colour, 0.62))

    def solid(self, points: Sequence[Point], colour: Rgb, rounds: int = 2, outline: bool = True) -> None:
        """Fill an outline with one colour, shaded like the cloth."""
        self._fill(points, Pillow.new("RGB", self.canvas.size, colour), 1.0, rounds, outline, darker(colour, 0.62))

    def line(self, points: Sequence[Point], colour: Rgb | None = None, width: float = 3) -> None:
        """Draw a seam, a strap, a cord."""
        colour = colour or darker(self.fabric.colour, 0.62)
        pixels = [(x, y) for x, y in self.at(points)]
        for target, fill in ((self.canvas, colour), (self.covered, 255)):
            ImageDraw.Draw(target).line(pixels, fill=fill, width=max(1, round(width)), joint="curve")

    def curve(self, points: Sequence[Point], colour: Rgb | None = None, width: float = 3) -> None:
        """Draw a line bent through a Bezier curve's four points."""
        t = np.linspace(0, 1, 24)[:, None]
        p = np.array(points, np.float64)
        bent = (1 - t) ** 3 * p[0] + 3 * (1 - t) ** 2 * t * p[1] + 3 * (1 - t) * t**2 * p[2] + t**3 * p[3]
        self.line([(float(x), float(y)) for x, y in bent], colour, width)

    def dot(self, centre: Point, radius: float, colour: Rgb) -> None:
        """Draw a button or an eyelet; the radius is in pixels."""
        ((x, y),) = self.at([centre])
        for target, fill in ((self.canvas, colour), (self.covered, 255)):
            ImageDraw.Draw(target).ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    def oval(self, centre: Point, rx: float, ry: float) -> list[Point]:
        """Return an ellipse's outline; radii in shares of the part."""
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        return [(centre[0] + rx * float(np.cos(a)), centre[1] + ry * float(np.sin(a))) for a in angles]

    def _fill(
        self, points: Sequence[Point], cloth: Pillow.Image, light: float, rounds: int, outline: bool, edge: Rgb
    ) -> None:
        pixels = self.at(smooth(points, rounds))
        mask = Pillow.new("L", self.canvas.size)
        ImageDraw.Draw(mask).polygon(pixels, fill=255)
        box = mask.getbbox()
        if box is None:
            return
        part = cloth.crop(box)
        width, height = part.size
        across = np.linspace(1.06, 0.86, width, dtype=np.float32)[None, :]
        folds = 1 + 0.025 * np.sin(np.linspace(0, 9, width, dtype=np.float32))[None, :]
        shade = np.broadcast_to(across * folds * light, (height, width))[..., None]
        lit = Pillow.fromarray((np.asarray(part, np.float32) * shade).clip(0, 255).astype(np.uint8))
        self.canvas.paste(lit, box[:2], mask.crop(box))
        if outline:
            ImageDraw.Draw(self.canvas).line([*pixels, pixels[0]], fill=edge, width=SCALE + 1, joint="curve")
        self.covered = ImageChops.lighter(self.covered, mask)


def shadow(canvas: Pillow.Image, covered: Pillow.Image) -> Pillow.Image:
    """Return the canvas with a faint shadow below what is covered."""
    soft = ImageChops.offset(covered, 0, 6 * SCALE).filter(ImageFilter.GaussianBlur(6 * SCALE))
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
