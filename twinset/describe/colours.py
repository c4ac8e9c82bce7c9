"""Measure an item's colours: its own pixels, by the encoder's soft mask, named from the taxonomy's palette.

Names are told by lightness, chroma and hue in CIE Lab (D65), the space in which equal steps look equal.
"""

import numpy as np
from numpy.typing import NDArray

from twinset.types import Colour, Image

MIN_SHARE = 0.08  # of the item's pixels; a colour with less is a button, a label, a shadow
MIN_WEIGHT = 0.5  # of the mask: pixels the network is not sure of say nothing
CELL = 4  # pixels of the crop averaged before they are named: a fabric's grain is not its colour
NAMES = ("black", "white", "grey", "beige", "brown", "red", "pink", "orange", "yellow", "green", "blue", "purple")
NEUTRALS = frozenset({"black", "white", "grey", "beige", "brown"})
_INDEX = {name: i for i, name in enumerate(NAMES)}
MAIN_SHARE = 0.5  # of an item's pixels: its one colour
MULTICOLOUR_COUNT = 3  # bright colours, a tenth or more each, that make an item multicolour
MULTICOLOUR_SHARE = 0.1


def measure_colours(pixels: Image, mask: NDArray[np.float32], inner: tuple[int, int, int, int]) -> tuple[Colour, ...]:
    """Return the colours of the item in a square crop, descending share; the shares of those left out are missing.

    mask (S/8, S/8) in [0, 1] says which pixels are the item's; `inner` is the part that is picture, x1 y1 x2 y2.
    """
    size = pixels.shape[0] // CELL * CELL
    rows = sum((pixels[i:size:CELL, :size] for i in range(1, CELL)), pixels[0:size:CELL, :size].astype(np.uint16))
    cells = sum((rows[:, i::CELL] for i in range(1, CELL)), rows[:, ::CELL]) / CELL**2  # as mean((1, 3)), sooner
    step = cells.shape[0] // mask.shape[0]
    weight = mask.repeat(step, 0).repeat(step, 1)
    inside = np.zeros(weight.shape, bool)
    x1, y1, x2, y2 = inner
    inside[_cells(y1, y2), _cells(x1, x2)] = True
    sure = (weight >= MIN_WEIGHT) & inside
    chosen = sure if np.count_nonzero(sure) >= 8 else inside
    named = name_pixels(rgb_to_lab(cells[chosen]))
    shares = np.bincount(named, weights=np.maximum(weight[chosen], 1e-3), minlength=len(NAMES))
    shares = shares / shares.sum()
    order = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] >= MIN_SHARE]
    colours = [Colour(NAMES[i], round(float(shares[i]), 4)) for i in order]
    bright = [colour for colour in colours if colour.name not in NEUTRALS and colour.share >= MULTICOLOUR_SHARE]
    if len(bright) >= MULTICOLOUR_COUNT:
        colours.insert(0, Colour("multicolour", round(float(shares[order].sum()), 4)))
    return tuple(colours)


def main_colour(pixels: NDArray[np.uint8]) -> str | None:
    """Return the palette's name for most of some (N, 3) pixels, None where no colour has `MAIN_SHARE` of them."""
    if not len(pixels):
        return None
    counts = np.bincount(name_pixels(rgb_to_lab(pixels.astype(np.float32))), minlength=len(NAMES))
    best = int(counts.argmax())
    return NAMES[best] if counts[best] >= MAIN_SHARE * len(pixels) else None


def _cells(low: int, high: int) -> slice:
    """Return the cells that lie wholly within low..high, the one in the middle where there is none."""
    start, stop = -(-low // CELL), high // CELL
    return slice(start, stop) if start < stop else slice((low + high) // 2 // CELL, (low + high) // 2 // CELL + 1)


def rgb_to_lab(rgb: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return (N, 3) CIE L a b of (N, 3) sRGB values in [0, 255]."""
    linear = np.asarray(rgb, np.float32) / 255
    linear = np.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    xyz = linear @ np.array(
        [[0.4124564, 0.2126729, 0.0193339], [0.3575761, 0.7151522, 0.1191920], [0.1804375, 0.0721750, 0.9503041]]
    )
    scaled = xyz / np.array([0.95047, 1.0, 1.08883])
    f = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    lab: NDArray[np.float32] = np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    ).astype(np.float32)
    return lab


def name_pixels(lab: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return for each (N, 3) Lab colour the index in NAMES of what people call it."""
    lightness = lab[:, 0]
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    rules = (  # the first that holds
        ("blue", (hue >= 240) & (hue < 300) & (chroma >= 5) & (lightness >= 6) & (lightness < 38)),
        ("black", (lightness < 14) | (lightness < 38) & (chroma < 7)),
        ("white", (lightness > 84) & (chroma < 8)),
        ("brown", (hue >= 20) & (hue < 90) & (chroma >= 5) & (chroma < 16) & (lightness < 46)),
        ("beige", (hue >= 40) & (hue < 105) & (chroma >= 7) & (chroma < 30) & (lightness >= 58)),
        ("grey", chroma < 8),
        ("red", (hue < 14) & (lightness < 45) | (hue >= 345) & (lightness < 32)),
        ("pink", (hue < 12) | (hue >= 330) | (hue < 42) & (lightness > 62)),
        ("brown", (hue >= 38) & (hue < 84) & (lightness < 56) & (chroma < 52)),
        ("brown", (hue >= 12) & (hue < 40) & (lightness < 34) & (chroma < 22)),
        ("red", hue < 42),
        ("orange", hue < 70),
        ("yellow", (hue < 104) & (lightness >= 50)),
        ("green", hue < 195),
        ("blue", hue < 296),
    )
    named = np.full(len(lab), _INDEX["purple"])
    for name, holds in reversed(rules):
        named = np.where(holds, _INDEX[name], named)
    return named.astype(np.int64)
