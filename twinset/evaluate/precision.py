"""Average precision by faster-coco-eval, never our own: of each category, by the size of boxes, and how sure it is."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinset.boxes import box_area, xyxy_to_xywh
from twinset.data.labelled import LabelledImage
from twinset.errors import MissingExtra
from twinset.types import Detections

SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}  # COCO's, square pixels
MANY_BOXES = 10  # a category with fewer has no average precision to speak of
CONFIDENCE = 0.95  # of the intervals


@dataclass(frozen=True, slots=True)
class Precisions:
    """Average precisions of each category that has boxes; means are over categories."""

    map_50: dict[str, float]
    map_50_95: dict[str, float]
    by_size: dict[str, float | None]  # SIZES -> mean AP at IoU 0.5; None: there are no boxes of the size


def average_precisions(
    images: Sequence[LabelledImage], found: Sequence[Detections], categories: Sequence[str]
) -> Precisions:
    """Return the precisions of detections at any score, labels indexing into `categories`. Raises MissingExtra."""
    counted = count_boxes(images, categories)
    names = [name for name in categories if counted[name]]
    results = _results(found)
    if not results:
        sizes = {size: 0.0 if _any_of_size(images, names, size) else None for size in SIZES}
        return Precisions(dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0), sizes)
    coco, coco_eval = coco_classes()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco(_truth(images, categories))
        run = coco_eval(truth, truth.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
    # (IoU, recall, category, area), up to 100 detections; areas are all, small, medium, large
    precision = run.eval["precision"][..., -1]
    rows = [list(categories).index(name) for name in names]
    at_50 = {name: _mean(precision[0, :, k, 0]) for name, k in zip(names, rows, strict=True)}
    at_all = {name: _mean(precision[:, :, k, 0]) for name, k in zip(names, rows, strict=True)}
    by_size = {}
    for area, size in enumerate(SIZES, 1):
        means = [_mean(precision[0, :, k, area]) for k in rows if (precision[0, :, k, area] > -1).any()]
        by_size[size] = sum(means) / len(means) if means else None
    return Precisions(at_50, at_all, by_size)


def intervals(
    images: Sequence[LabelledImage], found: Sequence[Detections], categories: Sequence[str], rounds: int, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return the 95 % intervals of mAP50, and of that over the categories with ten boxes, photos drawn anew each round.

    Percentile bootstrap (Efron & Tibshirani, "An Introduction to the Bootstrap", chapter 13). What stays open with
    another training or another choice of categories is not in them.
    """
    rng = np.random.default_rng(seed)
    counted = count_boxes(images, categories)
    many = {name for name in categories if counted[name] >= MANY_BOXES}
    means: dict[str, list[float]] = {"map_50": [], "map_50_many": []}
    for _ in range(rounds):
        drawn = rng.integers(len(images), size=len(images)).tolist()
        at_50 = average_precisions([images[i] for i in drawn], [found[i] for i in drawn], categories).map_50
        for name, kept in (("map_50", set(at_50)), ("map_50_many", many & set(at_50))):
            if kept:
                means[name].append(sum(at_50[category] for category in kept) / len(kept))
    tail = 100 * (1 - CONFIDENCE) / 2
    return {
        name: (float(np.percentile(drawn, tail)), float(np.percentile(drawn, 100 - tail)))
        for name, drawn in means.items()
        if drawn
    }


def count_boxes(images: Sequence[LabelledImage], categories: Sequence[str]) -> dict[str, int]:
    """Return how many boxes each category has, undecidable ones apart."""
    counted = dict.fromkeys(categories, 0)
    for image in images:
        for label, crowd in zip(image.labels, image.crowd, strict=True):
            if label in counted and not crowd:
                counted[label] += 1
    return counted


def coco_classes() -> tuple[Any, Any]:
    """Return faster-coco-eval's COCO and COCOeval_faster. Raises MissingExtra."""
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as exc:
        raise MissingExtra("faster-coco-eval", "train") from exc
    return COCO, COCOeval_faster


def _truth(images: Sequence[LabelledImage], categories: Sequence[str]) -> dict[str, Any]:
    ids = {name: i for i, name in enumerate(categories, 1)}
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, 1):
        for box, label, crowd in zip(xyxy_to_xywh(image.boxes).tolist(), image.labels, image.crowd, strict=True):
            if label in ids:
                entry = {"id": len(annotations) + 1, "image_id": image_id, "category_id": ids[label], "bbox": box}
                annotations.append({**entry, "area": box[2] * box[3], "iscrowd": int(crowd)})
    return {
        "images": [{"id": i, "width": im.width, "height": im.height} for i, im in enumerate(images, 1)],
        "categories": [{"id": i, "name": name} for name, i in ids.items()],
        "annotations": annotations,
    }


def _results(found: Sequence[Detections]) -> list[dict[str, Any]]:
    return [
        {"image_id": image_id, "category_id": kind + 1, "bbox": box, "score": score}
        for image_id, one in enumerate(found, 1)
        for box, score, kind in zip(
            xyxy_to_xywh(one.boxes).tolist(), one.scores.tolist(), one.labels.tolist(), strict=True
        )
    ]


def _any_of_size(images: Sequence[LabelledImage], names: Sequence[str], size: str) -> bool:
    low, high = SIZES[size]
    return any(
        label in names and not crowd and low <= area < high
        for image in images
        for area, label, crowd in zip(box_area(image.boxes).tolist(), image.labels, image.crowd, strict=True)
    )


def _mean(precision: Any) -> float:
    return float(precision.mean()) if (precision > -1).any() else 0.0
