"""A second look, closer, where all that a photo shows lies in a small part of it: someone far away, a wide landscape.

The network sees a photo at one area, whatever it shows: who fills a tenth of it is seen with a tenth of the pixels.
"""

import numpy as np

from twinset.boxes import clip_boxes, nms_per_label
from twinset.types import Box, Detections, Image

SCORE = 0.1  # from which on detections say where a photo's subject is
SHARE = 0.25  # of the photo up to which that is small
MARGIN = 0.2  # of its sides, around it


def subject(found: Detections, image: Image) -> Box | None:
    """Return the part of an image that all is found in, in whole pixels; None where that is no small one."""
    sure = found.boxes[found.scores >= SCORE]
    if not len(sure):
        return None
    height, width = image.shape[:2]
    (left, top), (right, bottom) = sure[:, :2].min(0), sure[:, 2:].max(0)
    x, y = MARGIN * (right - left), MARGIN * (bottom - top)
    around = np.array([[left - x, top - y, right + x, bottom + y]], np.float32)
    x1, y1, x2, y2 = clip_boxes(around, width, height)[0].round().tolist()
    small = 0 < (x2 - x1) * (y2 - y1) <= SHARE * width * height
    return (x1, y1, x2, y2) if small else None


def put_back(closer: Detections, part: Box, found: Detections, iou_threshold: float, most: int) -> Detections:
    """Return what is found in a part of an image, in the image's pixels, and what was found before and lies outside.

    The best `most` of them, best first.
    """
    x1, y1, x2, y2 = part
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    outside = ~((centres > (x1, y1)) & (centres < (x2, y2))).all(1)
    boxes = np.concatenate([closer.boxes + np.array([x1, y1, x1, y1], np.float32), found.boxes[outside]])
    scores = np.concatenate([closer.scores, found.scores[outside]])
    labels = np.concatenate([closer.labels, found.labels[outside]])
    keep = nms_per_label(boxes, scores, labels, iou_threshold)[:most]
    return Detections(boxes[keep], scores[keep], labels[keep])
