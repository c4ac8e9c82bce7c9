"""Whether the detector names items right that fill the picture, and those seen small: as shoppers' photos show them.

Both are made from labelled photos: close-ups cut around a box with a seeded margin, small ones by shrinking the photo
to a third on a grey canvas of its own size.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as Pillow

from twinset.boxes import Boxes, box_iou
from twinset.data.labelled import Labelled, LabelledImage
from twinset.errors import UsageError
from twinset.evaluate.detection import MIN_SCORE, NOTHING, Finder, share
from twinset.images import crop, try_image
from twinset.types import Detections, Image

CATEGORIES = ("top", "outerwear", "dress", "trousers", "skirt", "shoes", "bag")
MARGIN = (0.1, 0.4)  # of the box's sides, around a close-up
SHRUNK = 3
CANVAS = 114  # grey
ON_ITEM = 0.3  # IoU from which a detection in a shrunk photo is of the item


@dataclass(frozen=True, slots=True)
class ViewFigures:
    """Shares of items whose best detection has their category. None: of no items."""

    n: int
    right: float | None
    per_category: dict[str, tuple[int, float]]
    confusion: dict[str, dict[str, int]]  # category -> category of the best detection, or "nothing"


@dataclass(frozen=True, slots=True)
class CloseupFigures:
    closeups: ViewFigures  # the best detection of the picture counts
    small: ViewFigures  # the best detection on the item's box counts

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {
            name: {
                "n": view.n,
                "right": view.right,
                "per_category": {key: {"n": n, "right": right} for key, (n, right) in view.per_category.items()},
                "confusion": view.confusion,
            }
            for name, view in (("closeups", self.closeups), ("small", self.small))
        }


def evaluate_closeups(
    labelled: Labelled, finder: Finder, seed: int = 0, advance: Callable[[int], None] = lambda count: None
) -> CloseupFigures:
    """Return the figures on every decidable box of CATEGORIES in photos that can be read.

    `advance` is told of photos done.

    Raises UsageError where there are no such boxes.
    """
    rng = np.random.default_rng(seed)
    near: list[tuple[str, str]] = []
    small: list[tuple[str, str]] = []
    for image in labelled.images:
        numbers = [i for i, label in enumerate(image.labels) if label in CATEGORIES and not image.crowd[i]]
        pixels = try_image(image.path) if numbers else None
        if pixels is not None:
            views = [cut_closeup(pixels, image.boxes[i], rng) for i in numbers]
            found = finder.detect_batch(views, MIN_SCORE)
            near += [(image.labels[i], _best(one, finder)) for i, one in zip(numbers, found, strict=True)]
            small += _named_small(image, numbers, pixels, finder)
        advance(1)
    if not near:
        raise UsageError(f"expected boxes of {', '.join(CATEGORIES)}, found none; check the folder and the split")
    return CloseupFigures(_figures(near), _figures(small))


def cut_closeup(pixels: Image, box: Boxes, rng: np.random.Generator) -> Image:
    """Return the part of the picture around a box (4,), a seeded margin on all sides."""
    x1, y1, x2, y2 = (float(side) for side in box)
    return np.ascontiguousarray(crop(pixels, (x1, y1, x2, y2), float(rng.uniform(*MARGIN))))


def shrink(pixels: Image) -> tuple[Image, float, tuple[int, int]]:
    """Return the picture at a third in the middle of a canvas of its size, its scale, and its corner there (x, y)."""
    height, width = pixels.shape[:2]
    size_wh = max(width // SHRUNK, 1), max(height // SHRUNK, 1)
    corner = (width - size_wh[0]) // 2, (height - size_wh[1]) // 2
    canvas = np.full_like(pixels, CANVAS)
    little = np.asarray(Pillow.fromarray(pixels).resize(size_wh, Pillow.Resampling.BILINEAR, reducing_gap=2.0))
    canvas[corner[1] : corner[1] + size_wh[1], corner[0] : corner[0] + size_wh[0]] = little
    return canvas, size_wh[0] / width, corner


def _named_small(image: LabelledImage, numbers: Sequence[int], pixels: Image, finder: Finder) -> list[tuple[str, str]]:
    canvas, scale, corner = shrink(pixels)
    (found,) = finder.detect_batch([canvas], MIN_SCORE)
    overlaps = box_iou(found.boxes, (image.boxes * scale + np.array(corner * 2)).astype(np.float32))
    named = []
    for i in numbers:
        on = np.flatnonzero(overlaps[:, i] >= ON_ITEM)  # best first, as detections are
        best = finder.categories[int(found.labels[on[0]])] if len(on) else NOTHING
        named.append((image.labels[i], best))
    return named


def _best(found: Detections, finder: Finder) -> str:
    return finder.categories[int(found.labels[0])] if len(found) else NOTHING


def _figures(named: Sequence[tuple[str, str]]) -> ViewFigures:
    confusion = {name: Counter(best for true, best in named if true == name) for name in CATEGORIES}
    rows = {name: row for name, row in confusion.items() if row}
    return ViewFigures(
        len(named),
        share(sum(true == best for true, best in named), len(named)),
        {name: (row.total(), row[name] / row.total()) for name, row in rows.items()},
        {name: dict(row.most_common()) for name, row in rows.items()},
    )
