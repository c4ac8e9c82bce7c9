"""How good an audit is: errors planted in labels, differences that were corrected by hand, and what the rules gain.

Only labels that the auditing model never saw tell anything: val's.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twinset.boxes import Boxes, box_iou, clip_boxes
from twinset.data.audit import audit_boxes
from twinset.data.labelled import Labelled, LabelledImage
from twinset.data.suggestions import Suggestion, apply_suggestions
from twinset.evaluate.detection import MATCH_IOU, share
from twinset.types import Detections

KINDS = ("swapped", "shifted", "missing", "blown up")
DIFFERS = 0.6  # IoU below which a corrected box differs from the given one
NEAR = 0.3  # IoU of a suggested box with the right one from which it points there
SHIFT, GROWTH = (0.3, 0.6), (1.5, 2.5)  # of the box's sides


@dataclass(frozen=True, slots=True, eq=False)
class LabelError:
    """One wrong label: its kind, its number among the photo's boxes (None: it is missing), and what would be right."""

    image: str
    kind: str
    box_no: int | None
    category: str
    box: Boxes  # (1, 4)


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """How near labels come to the truth."""

    boxes: int  # of the truth, undecidable ones apart
    mean_iou: float  # of the truth's boxes with the best box of their category
    f1_50: float
    f1_75: float


@dataclass(frozen=True, slots=True)
class AuditFigures:
    first: int  # suggestions that are looked at
    planted: dict[str, tuple[int, int]]  # kind -> found, planted
    natural: dict[str, tuple[int, int]]  # likewise; empty where the labels as given are unknown
    given: LabelFigures | None
    corrected: LabelFigures | None  # given with all accepted suggestions carried out

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name."""
        figures: dict[str, Any] = {"first": self.first}
        for name in ("planted", "natural"):
            counts: dict[str, tuple[int, int]] = getattr(self, name)
            total = [sum(pair[i] for pair in counts.values()) for i in (0, 1)]
            figures[name] = {"n": total[1], "found": share(*total)}
            figures[name] |= {kind: {"n": n, "found": share(found, n)} for kind, (found, n) in counts.items()}
        for name in ("given", "corrected"):
            labels: LabelFigures | None = getattr(self, name)
            figures[name] = labels and {key: getattr(labels, key) for key in LabelFigures.__slots__}
        return figures


def evaluate_audit(
    truth: Labelled,
    given: Labelled | None,
    found: Sequence[Detections],
    categories: Sequence[str],
    planted: int = 200,
    first: int = 400,
    seed: int = 0,
) -> AuditFigures:
    """Return the figures of auditing photos of known truth, `found` being a detector's finds in each from 0.02 on.

    A quarter of the planted errors is of each of KINDS. `given` holds the same photos in the same order, with the
    labels that the truth was corrected from.
    """
    wrong, errors = plant_errors(truth, planted, seed)
    suggested = audit_boxes(wrong.images, found, categories, truth.categories)
    planted_found = count_found(errors, suggested[:first])
    if given is None:
        return AuditFigures(first, planted_found, {}, None, None)
    suggested = audit_boxes(given.images, found, categories, given.categories)
    natural = count_found(natural_errors(given, truth), suggested[:first])
    corrected = apply_suggestions(given, suggested)
    return AuditFigures(first, planted_found, natural, label_figures(given, truth), label_figures(corrected, truth))


def plant_errors(truth: Labelled, count: int, seed: int) -> tuple[Labelled, list[LabelError]]:
    """Return the photos, undecidable boxes left out, with `count` labels made wrong, and which those are."""
    rng = np.random.default_rng(seed)
    images = [_decided(image) for image in truth.images]
    places = [(i, number) for i, image in enumerate(images) for number in range(len(image.boxes))]
    chosen = rng.permutation(len(places))[:count]
    kinds = {places[place]: KINDS[rank * len(KINDS) // len(chosen)] for rank, place in enumerate(chosen.tolist())}
    wrong, errors = [], []
    for i, image in enumerate(images):
        boxes, labels, keep = image.boxes.copy(), list(image.labels), np.ones(len(image.boxes), bool)
        own = {number: kinds[i, number] for number in range(len(labels)) if (i, number) in kinds}
        for number, kind in own.items():
            if kind == "swapped":
                labels[number] = str(rng.choice([name for name in truth.categories if name != labels[number]]))
            elif kind == "missing":
                keep[number] = False
            else:
                boxes[number] = _spoilt(image, number, kind, rng)
        numbers = np.cumsum(keep) - 1  # as the audit will count
        for number, kind in own.items():
            at = None if kind == "missing" else int(numbers[number])
            errors.append(LabelError(image.name, kind, at, image.labels[number], image.boxes[number : number + 1]))
        kept = tuple(label for label, ok in zip(labels, keep, strict=True) if ok)
        wrong.append(replace(image, boxes=boxes[keep], labels=kept, crowd=image.crowd[keep]))
    return replace(truth, images=wrong), errors


def _decided(image: LabelledImage) -> LabelledImage:
    keep = ~image.crowd
    labels = tuple(label for label, ok in zip(image.labels, keep, strict=True) if ok)
    return replace(image, boxes=image.boxes[keep], labels=labels, crowd=image.crowd[keep])


def _spoilt(image: LabelledImage, number: int, kind: str, rng: np.random.Generator) -> Boxes:
    """Return the box shifted to a side or grown around its middle, cut to the photo."""
    low, high = image.boxes[number, :2], image.boxes[number, 2:]
    if kind == "shifted":
        angle = rng.uniform(0, 2 * np.pi)
        step = np.array([np.cos(angle), np.sin(angle)]) * (high - low) * rng.uniform(*SHIFT)
        moved = np.concatenate([low + step, high + step])
    else:
        middle, half = (low + high) / 2, (high - low) / 2 * rng.uniform(*GROWTH)
        moved = np.concatenate([middle - half, middle + half])
    spoilt: Boxes = clip_boxes(moved[None].astype(np.float32), image.width, image.height)[0]
    return spoilt


def natural_errors(given: Labelled, truth: Labelled) -> list[LabelError]:
    """Return where labels differ from the truth they were corrected to: "differs", "class", "missing" or "extra"."""
    errors = []
    for image, right in zip(given.images, truth.images, strict=True):
        overlaps = box_iou(image.boxes, right.boxes)
        same = np.array(image.labels)[:, None] == np.array(right.labels)[None, :]
        agree = same & (overlaps >= DIFFERS)
        settled = agree.any(1) | (overlaps[:, right.crowd] >= NEAR).any(1)
        for number in np.flatnonzero(~right.crowd & ~agree.any(0)).tolist():
            near = ~settled & (overlaps[:, number] >= np.where(same[:, number], 0.1, MATCH_IOU))
            at = int(np.argmax(near * (overlaps[:, number] + same[:, number]))) if near.any() else None
            kind = "missing" if at is None else "differs" if same[at, number] else "class"
            if at is not None:
                settled[at] = True
            box = right.boxes[number : number + 1]
            errors.append(LabelError(image.name, kind, at, right.labels[number], box))
        for at in np.flatnonzero(~settled).tolist():
            errors.append(LabelError(image.name, "extra", at, image.labels[at], image.boxes[at : at + 1]))
    return errors


def count_found(errors: Sequence[LabelError], suggestions: Sequence[Suggestion]) -> dict[str, tuple[int, int]]:
    """Return (found, all) of each kind of error: a suggestion names the box, or its new box is the right one."""
    total, found = Counter[str](), Counter[str]()
    for error in errors:
        total[error.kind] += 1
        found[error.kind] += any(_points_at(error, one) for one in suggestions if one.image == error.image)
    return {kind: (found[kind], n) for kind, n in total.items()}


def _points_at(error: LabelError, one: Suggestion) -> bool:
    if error.box_no is not None and one.box_no == error.box_no:
        return True
    if error.kind == "extra" or one.category != error.category or one.action == "remove":
        return False
    return float(box_iou(np.array([one.box], np.float32), error.box)[0, 0]) >= NEAR


def label_figures(labelled: Labelled, truth: Labelled) -> LabelFigures:
    """Return how near labels come to the truth; what is undecidable in either counts neither way."""
    counts = {MATCH_IOU: [0, 0, 0], 0.75: [0, 0, 0]}  # right, labelled, true
    best: list[float] = []
    for image, right in zip(labelled.images, truth.images, strict=True):
        overlaps = box_iou(image.boxes, right.boxes)
        same = np.array(image.labels)[:, None] == np.array(right.labels)[None, :]
        counted = ~image.crowd & ~(overlaps[:, right.crowd] >= NEAR).any(1)
        alike = np.where(same & ~image.crowd[:, None], overlaps, 0)
        best += alike[:, ~right.crowd].max(0, initial=0).tolist()
        for threshold, (hit, given, true) in counts.items():
            free = ~right.crowd
            for number in np.flatnonzero(counted).tolist():
                fits = free & (alike[number] >= threshold)
                if fits.any():
                    free[np.argmax(fits * alike[number])] = False
                    hit += 1
            ignored = free & (same & image.crowd[:, None] & (overlaps >= NEAR)).any(0)
            true += int((~right.crowd).sum() - ignored.sum())
            counts[threshold] = [hit, given + int(counted.sum()), true]
    f1_50, f1_75 = (2 * hit / max(given + true, 1) for hit, given, true in counts.values())
    return LabelFigures(len(best), float(np.mean(best)) if best else 0.0, f1_50, f1_75)
