"""What the items of a photo are called: by all that the detector says of a place, and by what the items look like."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twinset.boxes import Boxes, box_area, box_inside, box_iou
from twinset.types import Box, Detections

if TYPE_CHECKING:
    from twinset.models import Models

RIVAL_IOU = 0.8  # two detections of different categories are of one garment from this overlap on
INSIDE = 0.85  # two of one category are of one item where this share of the smaller box lies in the other,
NO_SMALLER = 0.4  # and the smaller has this share of the other's area: a child before its mother is somebody else
FAINT_SCORE = 0.01  # from which on detections say what else an item may be


def seen_at(box: Boxes | Box, detections: Detections, models: "Models", overlap: float = RIVAL_IOU) -> dict[str, float]:
    """Return by category the best score of the detections that lie on a box (4,), with this IoU or more."""
    on = box_iou(np.array([box], np.float32), detections.boxes)[0] >= overlap
    scores: dict[str, float] = {}
    for label, score in zip(detections.labels[on], detections.scores[on], strict=True):  # best first
        scores.setdefault(models.categories[label], float(score))
    return scores


def name_item(found: str, seen: Mapping[str, float], embedding: NDArray[np.float32], models: "Models") -> str:
    """Return the category of an item: what it was found as, or what its place and its embedding (256,) say together."""
    return models.labels.category_of(embedding, found, seen) if models.labels else found


def one_for_each_garment(boxes: NDArray[np.float32], names: Sequence[str], models: "Models") -> list[int]:
    """Return the numbers of the (N, 4) boxes, best first, that no better one shows already.

    A box does so that lies on it and is of a category worn instead of its own, a skirt that is also shorts, or that is
    of its own category and inside it or around it, a hat's crown and the whole hat: chosen on dev's street photos.
    """
    apart = {category.name: category.apart for category in models.taxonomy.categories}
    overlaps, areas = box_iou(boxes, boxes) >= RIVAL_IOU, box_area(boxes)
    nested = (box_inside(boxes, boxes) >= INSIDE) & (areas[:, None] >= NO_SMALLER * areas)
    nested &= nested.T
    kept: list[int] = []
    for i, name in enumerate(names):
        alike = any(nested[i, j] for j in kept if names[j] == name)
        rivals = (names[j] for j in kept if overlaps[i, j])
        if not alike and not any(name in apart[rival] or rival in apart[name] for rival in rivals):
            kept.append(i)
    return kept
