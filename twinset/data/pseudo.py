"""Pseudo-labels: what a detector is sure of in unlabelled photos, as labels to train on.

What it half sees is neither right nor wrong there: it becomes undecidable (Sohn et al., "A Simple Semi-Supervised
Learning Framework for Object Detection", arXiv 2005.04757, keep the confident boxes only; the doubtful are background).
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from twinset.boxes import box_area
from twinset.data.labelled import Labelled, LabelledImage
from twinset.errors import UsageError
from twinset.types import Detections

MARK = "pseudo-labels"  # how the description in a COCO file of such labels begins
MIN_SIDE = 6.0  # pixels of a photo's box, below which nothing is taught by it


def pseudo_labels(
    photos: Sequence[tuple[Path, int, int]],
    found: Sequence[Detections],
    categories: Sequence[str],
    taught: Sequence[str],
    min_score: float,
    doubt: float,
) -> Labelled:
    """Return photos (file, width, height) labelled with what was found from `min_score` on.

    Detections from `doubt` on are undecidable boxes, those below it background. Only `taught` categories are labelled:
    leave out what the detector mostly misses. Photos in which it is sure of nothing are left out. Raises UsageError.
    """
    if not 0 <= doubt <= min_score <= 1:
        raise UsageError(f"expected 0 <= --doubt <= --min-score <= 1, found {doubt}, {min_score}", field="doubt")
    images = []
    for (path, width, height), detections in zip(photos, found, strict=True):
        names = np.array([categories[label] for label in detections.labels.tolist()], object)
        size = detections.boxes[:, 2:] - detections.boxes[:, :2]
        keep = (detections.scores >= doubt) & np.isin(names, taught) & (size.min(1, initial=np.inf) >= MIN_SIDE)
        sure = detections.scores[keep] >= min_score
        if sure.any() and (box_area(detections.boxes[keep]) > 0).all():
            boxes, labels = detections.boxes[keep], tuple(str(name) for name in names[keep])
            images.append(LabelledImage(path, width, height, boxes, labels, ~sure, "coco"))
    return Labelled(images, tuple(name for name in categories if name in taught), [])


def is_pseudo(file: Path) -> bool:
    """Return whether the labels in a COCO file are what a detector found, as its description says."""
    info = json.loads(file.read_text(encoding="utf-8")).get("info")
    return isinstance(info, dict) and str(info.get("description")).startswith(MARK)
