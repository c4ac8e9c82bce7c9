"""One answer of several: the same photo looked at in several sizes and mirrored.

Weighted boxes fusion (Solovyev, Wang, Gabruseva: Image and Vision Computing 107, 2021): boxes on one item become their
mean, weighted by score, and the item's score is the mean over the views, nothing where a view does not see it. A view
may count for small items alone: in a large one big items are of another size than in training (SNIP: Singh and Davis,
CVPR 2018, section 5).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twinset.boxes import Boxes, box_area, box_iou
from twinset.types import Detections


def fuse(views: Sequence[Detections], iou_threshold: float, limits: Sequence[float]) -> Detections:
    """Return what several views of one image found together, best first, ties in the views' order.

    Of a category, a box goes with the best one it overlaps by `iou_threshold` or more, of each view the best. An item
    is the business of those views alone whose limit, in square pixels of the image, the best one does not exceed.
    """
    boxes = np.concatenate([view.boxes for view in views])
    scores = np.concatenate([view.scores for view in views])
    labels = np.concatenate([view.labels for view in views])
    sources = np.concatenate([np.full(len(view.scores), number) for number, view in enumerate(views)])
    fused: list[tuple[NDArray[np.float64], float, int]] = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        own = own[np.argsort(-scores[own], kind="stable")]
        for group in _groups(boxes[own], sources[own], iou_threshold):
            allowed = np.flatnonzero(np.array(limits) >= box_area(boxes[own[group[:1]]]))
            chosen = own[[i for i in group if sources[own[i]] in allowed]]
            if len(chosen):
                weights = scores[chosen]
                mean = np.average(boxes[chosen].astype(np.float64), axis=0, weights=weights)
                fused.append((mean, float(weights.sum()) / len(allowed), int(label)))
    if not fused:
        return Detections(boxes[:0], scores[:0], labels[:0])
    fused.sort(key=lambda item: -item[1])
    means, together, of = zip(*fused, strict=True)
    return Detections(np.array(means, np.float32), np.array(together, np.float32), np.array(of, np.int64))


def mirror(found: Detections, width: int) -> Detections:
    """Return detections of the mirrored image, `width` pixels wide, where they are in the image."""
    boxes = found.boxes.copy()
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return Detections(boxes, found.scores, found.labels)


def _groups(boxes: Boxes, sources: NDArray[np.int64], iou_threshold: float) -> list[list[int]]:
    """Return the (N,) boxes of one category, best first, by item: at most one of each source."""
    alike = box_iou(boxes, boxes) >= iou_threshold
    free = np.ones(len(boxes), bool)
    groups = []
    for first in range(len(boxes)):
        if not free[first]:
            continue
        best = {int(sources[first]): first}
        for near in np.flatnonzero(alike[first] & free):
            best.setdefault(int(sources[near]), int(near))
        groups.append(list(best.values()))
        free &= ~alike[first]
    return groups
