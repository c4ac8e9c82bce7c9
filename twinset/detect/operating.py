"""Where to operate: the score threshold that serves best on dev, and each category's exponent."""

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twinset.boxes import box_iou
from twinset.data.labelled import Labelled
from twinset.detect.detector import Detector, Run, load_config, load_detector
from twinset.images import read_image

Floats = NDArray[np.floating]
MATCH_IOU = 0.5
LOWEST_SCORE = 0.02
MANY_BOXES = 20  # fewer tell a threshold less surely
SIZE_POWER, CUT_COST = 0.3, 0.3  # on dev: mean average precision as without, close-ups named right .68 -> .75
BATCH = 16


def set_threshold(folder: Path, dev: Mapping[str, Labelled]) -> float:
    """Write the best threshold on the photos, and each category's exponent, into the folder's detector.json.

    Returns the threshold: that of all categories together, of scores as the network gives them. Exponents bring what
    is best once they are weighed there. The fewer boxes below 20 a category has, the more its own is that of all.
    """
    file = folder / "detector.json"
    plain = dataclasses.replace(load_config(file), exponents=(), size_power=0.0, cut_cost=0.0)
    weighed = dataclasses.replace(plain, size_power=SIZE_POWER, cut_cost=CUT_COST)
    run = _seen_once(load_detector(folder).run)
    scores, right, _, totals = match_all(Detector(run, plain), dev.values())
    threshold = best_threshold(scores, right, int(totals.sum()))
    scores, right, labels, _ = match_all(Detector(run, weighed), dev.values())
    usual = exponent(scores, right, int(totals.sum()), threshold)
    exponents = []
    for label in range(len(plain.categories)):
        own = labels == label
        exponents.append(exponent(scores[own], right[own], int(totals[label]), threshold, usual))
    dataclasses.replace(weighed, min_score=threshold, exponents=tuple(exponents)).save(file)
    return threshold


def _seen_once(run: Run) -> Run:
    """Return a network that does not look twice at the same images: a closer look may be of other parts, though."""
    outputs: dict[bytes, Sequence[NDArray[np.float32]]] = {}

    def run_unless_seen(images: NDArray[np.uint8]) -> Sequence[NDArray[np.float32]]:
        key = hashlib.sha256(f"{images.shape}".encode() + images.tobytes()).digest()
        if key not in outputs:
            outputs[key] = run(images)
        return outputs[key]

    return run_unless_seen


def take_over_threshold(folder: Path, start: Path) -> None:
    """Write the threshold of another detector.onnx, and what brings scores to it, into the folder's detector.json.

    Exponents are taken over by the categories' names; of one the other did not know it is the middle of all.
    """
    file = folder / "detector.json"
    config, other = load_config(file), load_config(start.with_suffix(".json"))
    exponents = other.exponents
    if exponents:
        known = dict(zip(other.categories, exponents, strict=True))
        usual = round(float(np.median(exponents)), 4)
        exponents = tuple(known.get(name, usual) for name in config.categories)
    dataclasses.replace(
        config,
        min_score=other.min_score,
        exponents=exponents,
        size_power=other.size_power,
        cut_cost=other.cut_cost,
    ).save(file)


def best_threshold(scores: Floats, right: NDArray[np.bool_], total: int) -> float:
    """Return the score from which on (N,) detections have the best F1, `total` being how many there are to find.

    Between the last detection that helps and the next, the middle.
    """
    if not right.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    f1 = 2 * np.cumsum(right[order]) / (np.arange(1, len(order) + 1) + max(total, 1))
    best = int(np.argmax(f1))
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best]
    return round(float(np.clip((ranked[best] + below) / 2, 0.02, 0.98)), 3)


def exponent(scores: Floats, right: NDArray[np.bool_], total: int, threshold: float, usual: float = 1.0) -> float:
    """Return what a category's scores are raised to for `threshold` to be best there: near `usual` for few boxes."""
    if not right.any():
        return usual
    own = math.log(threshold) / math.log(best_threshold(scores, right, total))
    power: float = usual * (own / usual) ** min(1.0, total / MANY_BOXES)
    return round(power, 4)


def match_all(
    detector: Detector, dev: Iterable[Labelled]
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Return every detection's score, whether it is right at IoU 0.5, its label, and (C,) how many boxes there are.

    Boxes and detections of categories that a part of dev does not label are left out, and detections on undecidable
    boxes.
    """
    scores, right, labels = list[float](), list[bool](), list[int]()
    totals = np.zeros(len(detector.categories), np.int64)
    photos = [(image, part.categories) for part in dev for image in part.images]
    for start in range(0, len(photos), BATCH):
        batch = photos[start : start + BATCH]
        found = detector.detect_batch([read_image(image.path) for image, _ in batch], LOWEST_SCORE)
        for (image, known), detections in zip(batch, found, strict=True):
            for truth, crowd in zip(image.labels, image.crowd, strict=True):
                if not crowd and truth in known and truth in detector.categories:
                    totals[detector.categories.index(truth)] += 1
            taken = image.crowd.copy()
            overlaps = box_iou(detections.boxes, image.boxes)
            for row, (label, score) in enumerate(zip(detections.labels, detections.scores, strict=True)):
                name = detector.categories[int(label)]
                fits = np.array([truth == name for truth in image.labels], bool) & (overlaps[row] >= MATCH_IOU)
                if name not in known or (fits & image.crowd).any():
                    continue
                free = np.flatnonzero(fits & ~taken)
                scores.append(float(score))
                right.append(len(free) > 0)
                labels.append(int(label))
                if len(free):
                    taken[free[np.argmax(overlaps[row][free])]] = True
    return np.array(scores), np.array(right, bool), np.array(labels, np.int64), totals
