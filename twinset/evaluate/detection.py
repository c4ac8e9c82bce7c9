"""Detection figures on labelled photos: COCO's, by faster-coco-eval, and precision and recall at the threshold."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from twinset.boxes import box_iou
from twinset.data.labelled import Labelled, LabelledImage
from twinset.errors import DataError, UsageError
from twinset.evaluate.calibration import Calibration, calibrate
from twinset.evaluate.precision import MANY_BOXES, average_precisions, coco_classes, intervals
from twinset.images import read_image
from twinset.types import Detections, Image

MIN_SCORE = 0.01  # detections below it don't move a mean average precision
MATCH_IOU = 0.5
BELIEVED = 0.05  # score from which detections tell something about scores
NOTHING = "nothing"  # in a confusion: found on no item, or an item with nothing found on it
BATCH = 16
P = TypeVar("P", bound="Photo")


class Photo(Protocol):
    """A photo in a file."""

    @property
    def path(self) -> Path: ...


class Finder(Protocol):
    """What finds items: a model, or a detector in training."""

    @property
    def categories(self) -> tuple[str, ...]: ...
    @property
    def min_score(self) -> float: ...
    def detect_batch(self, images: Sequence[Image], min_score: float | None = None) -> list[Detections]: ...


@dataclass(frozen=True, slots=True)
class CategoryFigures:
    n: int  # boxes
    map_50: float
    map_50_95: float
    precision: float | None  # at the operating threshold; None: nothing was found
    recall: float | None


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong on one photo at the operating threshold."""

    image: LabelledImage
    found: Detections
    missed: tuple[int, ...]  # of the photo's boxes
    wrong: tuple[int, ...]  # of the detections


@dataclass(frozen=True, slots=True)
class DetectionFigures:
    categories: tuple[str, ...]  # that the detections' labels index into
    n: int  # photos
    boxes: int  # undecidable ones (COCO's iscrowd) apart
    map_50: float
    map_50_95: float
    map_50_many: float | None  # mean over the categories with ten boxes or more; None: there are none
    precision: float | None  # at the operating threshold, `min_score`, as all that follows
    recall: float | None
    min_score: float
    per_category: dict[str, CategoryFigures]  # those that have boxes, in the taxonomy's order
    confusion: dict[str, dict[str, int]]  # true category -> found there; "nothing" for a miss, and for what isn't there
    failures: tuple[Failure, ...]  # worst first
    by_size: dict[str, float | None]  # small, medium, large as COCO has them -> mAP50; None: no boxes of that size
    calibration: Calibration | None  # of scores from 0.05 on; None: nothing was found
    intervals: dict[str, tuple[float, float]]  # mean average precision -> its 95 % interval, if they were asked for
    unread: tuple[str, ...] = ()  # photos that can't be read, and why; not among `n`

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name, without pictures."""
        names = ("n", "boxes", "map_50", "map_50_95", "map_50_many", "precision", "recall", "min_score")
        per = {
            name: {key: getattr(c, key) for key in ("n", "map_50", "map_50_95", "precision", "recall")}
            for name, c in self.per_category.items()
        }
        figures = {name: getattr(self, name) for name in names} | {"per_category": per, "confusion": self.confusion}
        figures["by_size"] = self.by_size
        figures["calibration"] = self.calibration and self.calibration.as_json()
        figures["unread"] = len(self.unread)
        return figures | {"intervals": {name: list(ends) for name, ends in self.intervals.items()}}


def evaluate_detector(
    labelled: Labelled,
    finder: Finder,
    advance: Callable[[int], None] = lambda count: None,
    rounds: int = 0,
    strict: bool = False,
) -> DetectionFigures:
    """Return the figures of a detector on photos, over the categories that both its labels and the detector know.

    `advance` is told of photos done; `rounds` of the bootstrap give intervals, none without. Photos that can't be read
    are left out. Raises UsageError for photos without boxes, DataError where none can be read, or if `strict` one
    can't, MissingExtra without faster-coco-eval.
    """
    categories = tuple(name for name in labelled.categories if name in finder.categories)
    images = labelled.images
    if not any(name in categories for image in images for name in image.labels):
        raise UsageError("expected labelled photos with boxes, found none; check the folder and the split")
    coco_classes()  # before minutes of detection
    read, answers, unread = detect_files(images, finder, MIN_SCORE, strict, advance)
    found = [_known(one, finder.categories, categories) for one in answers]
    figures = detection_figures(read, found, categories, finder.min_score, rounds)
    return replace(figures, unread=tuple(unread))


def detect_files(
    photos: Sequence[P], finder: Finder, min_score: float, strict: bool, advance: Callable[[int], None]
) -> tuple[list[P], list[Detections], list[str]]:
    """Return the photos that can be read, what is found in each, and of the others what is wrong.

    `advance` is told of photos done. Raises DataError where none can be read, or if `strict` one can't.
    """
    read: list[P] = []
    found: list[Detections] = []
    unread: list[str] = []
    for start in range(0, len(photos), BATCH):
        part = photos[start : start + BATCH]
        pixels = []
        for photo in part:
            try:
                pixels.append(read_image(photo.path))
                read.append(photo)
            except DataError as exc:
                if strict:
                    raise
                unread.append(f"{exc}; photo left out")
        found += finder.detect_batch(pixels, min_score)
        advance(len(part))
    if unread and not read:
        raise DataError(f"expected photos that can be read, found none of {len(photos)}: {unread[0]}")
    return read, found, unread


def detection_figures(
    images: Sequence[LabelledImage],
    found: Sequence[Detections],
    categories: Sequence[str],
    min_score: float,
    rounds: int = 0,
) -> DetectionFigures:
    """Return the figures of detections at any score, one for each photo, labels indexing into `categories`.

    Boxes of other categories don't count. Raises MissingExtra without faster-coco-eval.
    """
    precisions = average_precisions(images, found, categories)
    confusion: dict[str, Counter[str]] = {name: Counter() for name in (*categories, NOTHING)}
    counts = {name: [0, 0, 0] for name in categories}  # right, found, true
    failures = []
    for image, detections in zip(images, found, strict=True):
        kept = detections.above(min_score)
        match = _match(image, kept, categories)
        for label, right in zip(kept.labels.tolist(), match.right, strict=True):
            if right is not None:
                counts[categories[label]][0] += right
                counts[categories[label]][1] += 1
        for i, name in enumerate(image.labels):
            if name in counts and not image.crowd[i]:
                counts[name][2] += 1
                confusion[name][match.seen_as[i]] += 1
        confusion[NOTHING].update(match.strays)
        missed = tuple(i for i, seen in match.seen_as.items() if seen != image.labels[i])
        wrong = tuple(i for i, right in enumerate(match.right) if right is False)
        if missed or wrong:
            failures.append(Failure(image, kept, missed, wrong))
    failures.sort(key=lambda failure: -len(failure.missed) - len(failure.wrong))
    per_category = {
        name: CategoryFigures(
            true, precisions.map_50[name], precisions.map_50_95[name], share(right, seen), share(right, true)
        )
        for name, (right, seen, true) in counts.items()
        if true
    }
    right, seen, true = np.sum(list(counts.values()), axis=0).tolist()
    many = [c.map_50 for c in per_category.values() if c.n >= MANY_BOXES]
    return DetectionFigures(
        tuple(categories),
        len(images),
        true,
        _mean([c.map_50 for c in per_category.values()]),
        _mean([c.map_50_95 for c in per_category.values()]),
        _mean(many) if many else None,
        share(right, seen),
        share(right, true),
        min_score,
        per_category,
        {name: dict(row) for name, row in confusion.items() if row},
        tuple(failures),
        precisions.by_size,
        _calibration(images, found, categories),
        intervals(images, found, categories, rounds) if rounds else {},
    )


def _calibration(
    images: Sequence[LabelledImage], found: Sequence[Detections], categories: Sequence[str]
) -> Calibration | None:
    scores, right = list[float](), list[bool]()
    for image, detections in zip(images, found, strict=True):
        kept = detections.above(BELIEVED)
        for score, is_right in zip(kept.scores.tolist(), _match(image, kept, categories).right, strict=True):
            if is_right is not None:
                scores.append(score)
                right.append(is_right)
    return calibrate(scores, right)


def share(part: float, whole: float) -> float | None:
    """Return part / whole, None of nothing."""
    return part / whole if whole else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _known(found: Detections, ours: Sequence[str], kept: Sequence[str]) -> Detections:
    """Return the detections of the kept categories, labels counted in those."""
    index = np.array([kept.index(name) if name in kept else -1 for name in ours], np.int64)
    labels = index[found.labels]
    keep = labels >= 0
    return Detections(found.boxes[keep], found.scores[keep], labels[keep])


@dataclass(frozen=True, slots=True)
class _Match:
    right: list[bool | None]  # of each detection; None: on an undecidable box
    seen_as: dict[int, str]  # true box -> category found there, or "nothing"
    strays: list[str]  # categories of the wrong detections that stand on no missed box


def _match(image: LabelledImage, found: Detections, categories: Sequence[str]) -> _Match:
    """Pair detections, best first, with boxes of their category at IoU 0.5; then say what stands on the missed ones."""
    overlaps = box_iou(found.boxes, image.boxes)
    names = [categories[label] for label in found.labels.tolist()]
    taken = np.zeros(len(image.boxes), bool)
    right: list[bool | None] = []
    for row, name in enumerate(names):
        fits = np.array([truth == name for truth in image.labels], bool) & (overlaps[row] >= MATCH_IOU)
        free = np.flatnonzero(fits & ~taken & ~image.crowd)
        if len(free):
            taken[free[np.argmax(overlaps[row][free])]] = True
            right.append(True)
        else:
            undecidable = (overlaps[row] >= MATCH_IOU) & image.crowd
            right.append(None if undecidable.any() else False)
    seen_as = {}
    stray = [row for row, is_right in enumerate(right) if is_right is False]
    for i in np.flatnonzero(~image.crowd).tolist():
        if image.labels[i] not in categories:
            continue
        over = [] if taken[i] else [row for row in stray if overlaps[row, i] >= MATCH_IOU]
        seen_as[i] = image.labels[i] if taken[i] else names[over[0]] if over else NOTHING
        stray = [row for row in stray if row not in over[:1]]
    return _Match(right, seen_as, [names[row] for row in stray])


def evaluate_on(parts: Mapping[str, Labelled]) -> Callable[[Finder], dict[str, float]]:
    """Return a function that gives a detector's mAP50 on photos, a figure for each source."""

    def evaluate(detector: Finder) -> dict[str, float]:
        return {f"map_50_{name}": round(evaluate_detector(part, detector).map_50, 4) for name, part in parts.items()}

    return evaluate
