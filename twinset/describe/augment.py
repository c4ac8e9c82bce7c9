"""Turn item samples into views: one as a shop shows it, one as a shopper might photograph it.

The street view moves the item on to another background, turns and bends the picture, hides a part of it, changes the
light, and blurs and compresses it, so that what stays the same is the item.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageFilter

from twinset.describe.encoder import FILL
from twinset.describe.network import MASK_STRIDE
from twinset.describe.samples import ItemSample
from twinset.types import Box, Image


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """How far a view may be from the picture it is made of."""

    box: float = 0.1  # sides move by up to this share of the box
    light: float = 0.15  # brightness and contrast
    tint: float = 0.04  # white balance; more would teach that colours don't matter
    background: float = 0.0  # probability of another background, where the item's pixels are known
    bend: float = 0.04  # corners move by up to this share of the side
    occlusion: float = 0.0  # probability of a patch over the item
    degrade: float = 0.1  # probability of blur or compression, each
    close: float = 0.0  # probability of a close-up, of half to nine tenths of the box's sides
    turn: float = 0.0  # radians the picture is turned by at most
    shade: float = 0.0  # how much darker one side may be than the other


SHOP_VIEW = ViewSettings()
STREET_VIEW = ViewSettings(
    box=0.15,
    light=0.3,
    tint=0.06,
    background=0.75,
    bend=0.1,
    occlusion=0.35,
    degrade=0.4,
    close=0.3,
    turn=0.2,
    shade=0.3,
)


class View(NamedTuple):
    pixels: Image  # (S, S, 3)
    mask: NDArray[np.float32]  # (S/8, S/8) share of item
    mask_known: bool


def make_view(
    sample: ItemSample, size: int, settings: ViewSettings, scenes: Sequence[Image], rng: np.random.Generator
) -> View:
    """Return a view of the item on a square canvas. `scenes` are pictures to put it on and to cover it with."""
    picture = Pillow.fromarray(sample.pixels)
    known = sample.mask is not None
    alpha = Pillow.fromarray(sample.mask if sample.mask is not None else np.ones(sample.pixels.shape[:2], bool))
    alpha = alpha.convert("L")
    if known and scenes and rng.random() < settings.background:
        scene = _scene(scenes, picture.size, rng)
        picture = Pillow.composite(picture, scene, alpha.filter(ImageFilter.GaussianBlur(0.7)))
    x1, y1, x2, y2 = _closer(sample.box, rng) if rng.random() < settings.close else sample.box
    width, height = x2 - x1, y2 - y1
    move = rng.uniform(-0.6 * settings.box, settings.box, 4) * (width, height, width, height)
    left, top, right, bottom = x1 - move[0], y1 - move[1], x2 + move[2], y2 + move[3]
    left, top = max(left, 0.0), max(top, 0.0)
    right, bottom = min(right, float(picture.width)), min(bottom, float(picture.height))
    aspect = (right - left) / (bottom - top) * np.exp(rng.uniform(-0.1, 0.1))
    inner_w, inner_h = (size, max(8, round(size / aspect))) if aspect >= 1 else (max(8, round(size * aspect)), size)
    corners = np.array([[left, top], [left, bottom], [right, bottom], [right, top]])
    corners = _turned(corners, rng.uniform(-settings.turn, settings.turn))
    corners += rng.uniform(-settings.bend, settings.bend, (4, 2)) * (right - left, bottom - top)
    corners = np.clip(corners, 0, (picture.width, picture.height))
    quad = tuple(float(value) for value in corners.reshape(-1))
    reduced = max(1, int(min((right - left) / inner_w, (bottom - top) / inner_h)))
    if reduced > 1:
        picture, alpha = picture.reduce(reduced), alpha.reduce(reduced)
        quad = tuple(value / reduced for value in quad)
    inner = picture.transform((inner_w, inner_h), Pillow.Transform.QUAD, quad, Pillow.Resampling.BILINEAR)
    inner_alpha = alpha.transform((inner_w, inner_h), Pillow.Transform.QUAD, quad, Pillow.Resampling.BILINEAR)
    if rng.random() < settings.occlusion and scenes:
        _cover(inner, inner_alpha, scenes, rng)
    if rng.random() < 0.5:
        inner = inner.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
        inner_alpha = inner_alpha.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.full((size, size, 3), FILL, np.uint8)
    mask = np.zeros((size, size), np.float32)
    y, x = (size - inner_h) // 2, (size - inner_w) // 2
    pixels[y : y + inner_h, x : x + inner_w] = _lit(_degraded(inner, settings, rng), settings, rng)
    mask[y : y + inner_h, x : x + inner_w] = np.asarray(inner_alpha, np.float32) / 255
    cells = size // MASK_STRIDE
    _shade(pixels[y : y + inner_h, x : x + inner_w], settings.shade * rng.random(), rng)
    return View(pixels, mask.reshape(cells, MASK_STRIDE, cells, MASK_STRIDE).mean((1, 3)), known)


def _closer(box: Box, rng: np.random.Generator) -> Box:
    """Return a part of a box, half to nine tenths of its sides."""
    x1, y1, x2, y2 = box
    width, height = (x2 - x1) * rng.uniform(0.5, 0.9), (y2 - y1) * rng.uniform(0.5, 0.9)
    left, top = rng.uniform(x1, x2 - width), rng.uniform(y1, y2 - height)
    return left, top, left + width, top + height


def _turned(corners: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Return (4, 2) corners turned about their middle."""
    middle = corners.mean(0)
    cos, sin = np.cos(angle), np.sin(angle)
    turned: NDArray[np.float64] = (corners - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle
    return turned


def _shade(pixels: Image, depth: float, rng: np.random.Generator) -> None:
    """Darken a picture in place, from nothing on one side to `depth` on the other."""
    if depth < 0.02:
        return
    height, width = pixels.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.linspace(-0.5, 0.5, width)[None, :], np.linspace(-0.5, 0.5, height)[:, None]
    ramp = np.clip(0.5 + (x * np.cos(angle) + y * np.sin(angle)) / 1.41, 0, 1)
    pixels[:] = (pixels * (1 - depth * ramp[..., None])).astype(np.uint8)


def _scene(scenes: Sequence[Image], size_wh: tuple[int, int], rng: np.random.Generator) -> Pillow.Image:
    """Return a random part of a random scene at a size."""
    scene = Pillow.fromarray(scenes[int(rng.integers(len(scenes)))])
    side = rng.uniform(0.4, 1.0)
    width, height = scene.width * side, scene.height * side
    x, y = rng.uniform(0, scene.width - width), rng.uniform(0, scene.height - height)
    return scene.resize(size_wh, Pillow.Resampling.BILINEAR, (x, y, x + width, y + height))


def _cover(picture: Pillow.Image, alpha: Pillow.Image, scenes: Sequence[Image], rng: np.random.Generator) -> None:
    """Put a patch of a scene over up to a quarter of the picture, in place."""
    width = max(2, int(picture.width * rng.uniform(0.15, 0.5)))
    height = max(2, int(picture.height * rng.uniform(0.15, 0.5)))
    x = int(rng.integers(-width // 3, picture.width - width // 2))
    y = int(rng.integers(-height // 3, picture.height - height // 2))
    picture.paste(_scene(scenes, (width, height), rng), (x, y))
    alpha.paste(0, (x, y, x + width, y + height))


def _degraded(picture: Pillow.Image, settings: ViewSettings, rng: np.random.Generator) -> Pillow.Image:
    if rng.random() < settings.degrade:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5)))
    if rng.random() < settings.degrade:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=int(rng.integers(25, 80)))
        picture = Pillow.open(buffer)
    return picture


def _lit(picture: Pillow.Image, settings: ViewSettings, rng: np.random.Generator) -> Image:
    """Return the pixels in another light: one table a channel."""
    gain = 1 + settings.light * rng.uniform(-1, 0.6) + settings.tint * rng.uniform(-1, 1, 3)
    gamma = np.exp(settings.light * rng.uniform(-1, 1))
    table = np.clip(255 * (np.arange(256)[:, None] / 255) ** gamma * gain, 0, 255).astype(np.uint8)  # (256, 3)
    pixels = np.asarray(picture)
    lit: Image = np.stack([table[:, c][pixels[..., c]] for c in range(3)], axis=-1)
    return lit
