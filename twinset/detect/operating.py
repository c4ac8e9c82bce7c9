"""Where to operate: the detector's figures on dev while it trains, and the score threshold that serves best there."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from twinset.boxes import box_iou
from twinset.data.labelled import Labelled, LabelledImage
from twinset.detect.detector import Detector, load_config, load_detector
from twinset.images import read_image
from twinset.taxonomy import Taxonomy

MATCH_IOU = 0.5
BATCH = 16


def evaluate_on(images: Sequence[LabelledImage], taxonomy: Taxonomy) -> Callable[[Detector], dict[str, float]]:
    """Return a function that gives a detector's mAP50 on the photos, a figure for each source."""
    from twinset.evaluate.detection import evaluate_detector

    parts = {}
    for source in dict.fromkeys(image.source for image in images):
        labels = taxonomy.sources[source].categories if source in taxonomy.sources else frozenset(taxonomy.names)
        categories = tuple(name for name in taxonomy.names if name in labels)
        parts[source] = Labelled([image for image in images if image.source == source], categories, [])

    def evaluate(detector: Detector) -> dict[str, float]:
        return {f"map_50_{name}": round(evaluate_detector(part, detector).map_50, 4) for name, part in parts.items()}

    return evaluate


def best_threshold(detector: Detector, images: Sequence[LabelledImage], taxonomy: Taxonomy) -> float:
    """Return the score from which on precision and recall of the photos' boxes, IoU 0.5, have the best F1."""
    scores, right, total = [], [], 0
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        found = detector.detect_batch([read_image(image.path) for image in part], 0.05)
        for image, detections in zip(part, found, strict=True):
            source = taxonomy.sources.get(image.source)
            known = source.categories if source else frozenset(taxonomy.names)
            total += int((~image.crowd).sum())
            taken = image.crowd.copy()
            overlaps = box_iou(detections.boxes, image.boxes)
            for row, (label, score) in enumerate(zip(detections.labels, detections.scores, strict=True)):
                name = detector.categories[int(label)]
                same = np.array([truth == name for truth in image.labels], bool)
                fits = same & (overlaps[row] >= MATCH_IOU)
                if name not in known or (fits & image.crowd).any():
                    continue
                free = np.flatnonzero(fits & ~taken)
                scores.append(float(score))
                right.append(len(free) > 0)
                if len(free):
                    taken[free[np.argmax(overlaps[row][free])]] = True
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.cumsum(np.array(right)[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + max(total, 1))
    return round(float(np.array(scores)[order][int(np.argmax(f1))]), 3) if len(order) else detector.min_score


def set_threshold(folder: Path, images: Sequence[LabelledImage], taxonomy: Taxonomy) -> float:
    """Write the best threshold on the photos into the folder's detector.json and return it."""
    detector = load_detector(folder)
    threshold = best_threshold(detector, images, taxonomy)
    file = folder / "detector.json"
    dataclasses.replace(load_config(file), min_score=threshold).save(file)
    return threshold
