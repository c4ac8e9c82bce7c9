"""Box arithmetic on (N, 4) float32 arrays, x1 y1 x2 y2 in pixels.

The one IoU and the one NMS of training, evaluation and serving.
"""

import math

import numpy as np
from numpy.typing import NDArray

from twinset.errors import UsageError
from twinset.types import Box

Boxes = NDArray[np.float32]


def box_area(boxes: Boxes) -> NDArray[np.float32]:
    """Return the (N,) areas in square pixels; a box turned inside out has area 0."""
    size = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    area: NDArray[np.float32] = (size[:, 0] * size[:, 1]).astype(np.float32)
    return area


def box_iou(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Return the (N, M) float32 IoU of every box in `a` (N, 4) with every box in `b` (M, 4).

    Boxes without area have IoU 0 with everything. Empty input gives an empty matrix of the right shape.
    """
    intersection = _intersection(a, b)
    return _ratio(intersection, box_area(a)[:, None] + box_area(b)[None, :] - intersection)


def box_inside(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Return the (N, M) float32 share of the smaller of every two boxes that lies in the larger.

    1 is one inside the other. Boxes without area lie in nothing.
    """
    return _ratio(_intersection(a, b), np.minimum(box_area(a)[:, None], box_area(b)[None, :]))


def _intersection(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])  # (N, M, 2)
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    size = np.clip(bottom_right - top_left, 0, None)
    area: NDArray[np.float32] = size[..., 0] * size[..., 1]
    return area


def _ratio(intersection: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    shares = np.zeros(whole.shape, np.float32)
    np.divide(intersection, whole, out=shares, where=(whole > 0) & (intersection > 0))
    return shares


def nms(boxes: Boxes, scores: NDArray[np.float32], iou_threshold: float) -> NDArray[np.int64]:
    """Return the indices kept by greedy non-maximum suppression, best first, ties by index.

    A box goes when its IoU with a better kept one is above `iou_threshold`.
    """
    order = np.argsort(-scores, kind="stable")
    overlaps = box_iou(boxes[order], boxes[order]) > iou_threshold
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~overlaps[i, i + 1 :]
    return order[alive].astype(np.int64)


def nms_per_label(
    boxes: Boxes, scores: NDArray[np.float32], labels: NDArray[np.int64], iou_threshold: float
) -> NDArray[np.int64]:
    """Return the indices kept by `nms` run within each label, best first over all labels, ties by index."""
    kept = np.zeros(0, np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        kept = np.concatenate([kept, own[nms(boxes[own], scores[own], iou_threshold)]])
    return kept[np.lexsort((kept, -scores[kept]))]


def clip_boxes(boxes: Boxes, width: float, height: float) -> Boxes:
    """Return the boxes cut to an image of `width` x `height` pixels."""
    limit = np.array([width, height, width, height], np.float32)
    return np.clip(boxes, 0, limit).astype(np.float32)


def xyxy_to_xywh(boxes: Boxes) -> Boxes:
    """Return x1 y1 x2 y2 boxes as COCO's x y width height."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float32)


def parse_box(text: str) -> Box:
    """Return the box a user wrote as x1,y1,x2,y2. Raises UsageError."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if (
        len(numbers) != 4
        or not all(map(math.isfinite, numbers))
        or numbers[0] >= numbers[2]
        or numbers[1] >= numbers[3]
    ):
        expected = "x1,y1,x2,y2 in pixels with x1 < x2 and y1 < y2"
        raise UsageError(
            f"box: expected {expected}, found {text[:80]!r}", field="box", expected=expected, found=text[:80]
        )
    x1, y1, x2, y2 = numbers
    return x1, y1, x2, y2
