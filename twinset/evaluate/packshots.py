"""Whether the detector names a shop's own pictures right: close, centred, on white, unlike any street photo."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from twinset.boxes import Boxes, box_iou
from twinset.data.background import item_box
from twinset.data.feed import Feed
from twinset.data.labelled import LabelledImage
from twinset.errors import UsageError
from twinset.evaluate.detection import MATCH_IOU, MIN_SCORE, NOTHING, Finder, share
from twinset.evaluate.shots import is_validation, read_shots
from twinset.types import Detections, Product


@dataclass(frozen=True, slots=True)
class PackshotFigures:
    """Shares of the products whose best detection has the category the feed gives. None: of no products."""

    n: int
    right: float | None
    n_alone: int
    right_alone: float | None  # of products alone on a plain background
    box_right_alone: float | None  # there, the best detection's box has IoU 0.5 or more with the product's
    n_worn: int
    right_worn: float | None  # of shots on a model, where other items are worn too, and of other backgrounds
    n_drawn: int
    box_right_drawn: float | None  # of products whose box was drawn by hand, the best detection's has IoU 0.5 with it
    unread: tuple[str, ...]  # products without a picture that can be read, and why; not among `n`
    per_category: dict[str, tuple[int, float]]
    confusion: dict[str, dict[str, int]]  # category -> category of the best detection, or "nothing"
    wrong: tuple[tuple[Product, str], ...]  # and what was found instead

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name, without pictures."""
        shots = ("n_alone", "right_alone", "box_right_alone", "n_worn", "right_worn", "n_drawn", "box_right_drawn")
        names = ("n", "right", *shots, "confusion")
        per = {name: {"n": n, "right": right} for name, (n, right) in self.per_category.items()}
        return {name: getattr(self, name) for name in names} | {"unread": len(self.unread), "per_category": per}


class _Seen(NamedTuple):
    product: Product
    best: str  # category of the best detection, or "nothing"
    alone: bool
    box_right: bool  # of one alone
    drawn_right: bool | None  # None: none was drawn

    @property
    def right(self) -> bool:
        return self.best == self.product.category


def evaluate_packshots(
    feed: Feed,
    finder: Finder,
    all_products: bool = False,
    advance: Callable[[int], None] = lambda count: None,
    drawn: Sequence[LabelledImage] = (),
) -> PackshotFigures:
    """Return the figures on a feed's validation products (ids that end in 0) that have a category.

    With `all_products` every product counts: for a shop whose feed was never trained on. The best detection counts at
    any score. `advance` is told of products done. `drawn` are boxes of some products' pictures, by the
    pictures' paths; those of the product's category are its own. Raises UsageError where there are no products.
    """
    products = [p for p in feed.products if p.category in finder.categories and (all_products or is_validation(p))]
    if not products:
        raise UsageError(f"{feed.path}: expected products with a category whose id ends in 0, found none")
    seen: list[_Seen] = []
    unread: list[str] = []
    by_hand = {image.path.resolve(): image for image in drawn}
    for part in read_shots(products, unread):
        found = finder.detect_batch([shot.image for shot in part], MIN_SCORE)
        for shot, detections in zip(part, found, strict=True):
            best = finder.categories[int(detections.labels[0])] if len(detections) else NOTHING
            box = item_box(shot.image)
            on_plain = np.array([] if box is None else [box], np.float32).reshape(-1, 4)
            own = _own_boxes(shot.product, by_hand)
            drawn_right = _is_on(detections, own) if len(own) else None
            seen.append(_Seen(shot.product, best, box is not None, _is_on(detections, on_plain), drawn_right))
        advance(len(part))
    confusion: dict[str, Counter[str]] = {name: Counter() for name in finder.categories}
    for one in seen:
        confusion[str(one.product.category)][one.best] += 1
    confusion = {name: row for name, row in confusion.items() if row}
    alone = [one for one in seen if one.alone]
    worn = [one for one in seen if not one.alone]
    judged = [one.drawn_right for one in seen if one.drawn_right is not None]
    return PackshotFigures(
        n=len(seen),
        right=share(sum(one.right for one in seen), len(seen)),
        n_alone=len(alone),
        right_alone=share(sum(one.right for one in alone), len(alone)),
        box_right_alone=share(sum(one.box_right for one in alone), len(alone)),
        n_worn=len(worn),
        right_worn=share(sum(one.right for one in worn), len(worn)),
        n_drawn=len(judged),
        box_right_drawn=share(sum(judged), len(judged)),
        unread=tuple(unread),
        per_category={name: (row.total(), row[name] / row.total()) for name, row in confusion.items()},
        confusion={name: dict(row.most_common()) for name, row in confusion.items()},
        wrong=tuple((one.product, one.best) for one in seen if not one.right),
    )


def _own_boxes(product: Product, drawn: Mapping[Path, LabelledImage]) -> Boxes:
    """Return the (N, 4) boxes of the product's category that were drawn in its picture."""
    image = drawn.get(Path(product.images[0]).resolve())
    if image is None:
        return np.zeros((0, 4), np.float32)
    return image.boxes[
        [label == product.category and not crowd for label, crowd in zip(image.labels, image.crowd, strict=True)]
    ]


def _is_on(detections: Detections, boxes: Boxes) -> bool:
    """Return whether the best detection's box is one of these (N, 4)."""
    if not len(boxes) or not len(detections):
        return False
    return bool(box_iou(detections.boxes[:1], boxes).max() >= MATCH_IOU)
