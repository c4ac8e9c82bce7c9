"""Audit labelled boxes against a detector's: which labels are likely wrong, what to do, and what is safe to do at once.

Every box gets at most one suggestion, the likeliest; so does every detection that no box explains.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.boxes import box_iou
from twinset.data.labelled import LabelledImage
from twinset.data.suggestions import Suggestion
from twinset.errors import UsageError
from twinset.types import Box, Detections

LOWEST_SCORE = 0.02  # of detections that are looked at
TOUCHES = 0.1  # IoU from which a detection may be of a box of its category that fits badly
SAME = 0.3  # IoU from which a box explains a detection of its category
FITS = (0.5, 0.85)  # IoU up to which a box is wholly rough, and from which it is not
SUPPORTS = (0.3, 0.7)  # IoU from which a detection begins to support a box, and from which it does so wholly
OVER = 0.55  # IoU from which a detection of another category contradicts a box
UNSEEN = 0.3  # score of the best detection near a box, below which the box is the likelier made up
NEVER = 2.0  # a score no detection has
UNSEEN_WEIGHT, MISSING_WEIGHT = 0.5, 0.9  # what the detector overlooks is the likelier its own fault


@dataclass(frozen=True, slots=True)
class AcceptSettings:
    """Which suggestions are accepted unseen. Measured by `twinset evaluate audit`; see docs/audit.md."""

    # category -> score of the detection from which it replaces a box that is rough. Small things are drawn badly.
    move: dict[str, float] = field(default_factory=lambda: {"glasses": 0.3, "bag": 0.5, "shoes": 0.5, "shorts": 0.5})
    move_iou: float = 0.65  # below which a box is rough enough
    # (labelled, right) categories: what labellers mix up more than the detector does
    rename: tuple[tuple[str, str], ...] = (
        ("outerwear", "top"),
        ("skirt", "shorts"),
        ("trousers", "shorts"),
        ("dress", "skirt"),
    )
    rename_margin: float = 0.5  # of the right category's score over the labelled one's
    rename_iou: float = 0.6
    missing: float = 0.5  # score from which what no box explains is there
    add: tuple[str, ...] = ("top", "outerwear", "skirt", "shorts", "shoes", "glasses")  # others are made undecidable
    # category -> score of the best detection near a box below which the box is made undecidable
    ignore: dict[str, float] = field(default_factory=lambda: {"glasses": 0.2, "shoes": 0.02})


def accept_only(rules: Sequence[str]) -> AcceptSettings:
    """Return the settings that accept by these rules only: move, rename, missing, ignore. Raises UsageError."""
    off: dict[str, dict[str, Any]] = {
        "move": {"move": {}},
        "rename": {"rename": ()},
        "missing": {"missing": NEVER},
        "ignore": {"ignore": {}},
    }
    if unknown := set(rules) - set(off):
        raise UsageError(f"--accept: expected {', '.join(off)}, found {sorted(unknown)[0]!r}", field="accept")
    changes: dict[str, Any] = {}
    for rule in set(off) - set(rules):
        changes |= off[rule]
    return replace(AcceptSettings(), **changes)


@dataclass(frozen=True, slots=True, eq=False)
class _Photo:
    """A photo's labels beside what was found in it, undecidable boxes left out of the former."""

    image: LabelledImage
    found: Detections
    names: list[str]  # of the detections
    overlaps: NDArray[np.float32]  # (D, N) IoU of detections with boxes
    same: NDArray[np.float32]  # (D, N) likewise, 0 where the categories differ


def audit_boxes(
    images: Sequence[LabelledImage],
    found: Sequence[Detections],
    categories: Sequence[str],
    labelled: Sequence[str],
    accept: AcceptSettings | None = None,
) -> list[Suggestion]:
    """Return suggestions for the boxes of photos, likeliest first.

    `found` is what a detector finds in each photo from score 0.02 on, its labels indexing into `categories`; detections
    of categories that are not `labelled` say nothing. Boxes that are undecidable are left alone.
    """
    suggestions: list[Suggestion] = []
    for image, detections in zip(images, found, strict=True):
        photo = _photo(image, detections, categories, labelled)
        suggestions += _audit_photo(photo, accept or AcceptSettings())
    return sorted(suggestions, key=lambda one: (-one.score, one.image, -1 if one.box_no is None else one.box_no))


def _photo(image: LabelledImage, found: Detections, categories: Sequence[str], labelled: Sequence[str]) -> _Photo:
    keep = np.array([categories[label] in labelled for label in found.labels.tolist()], bool)
    if image.crowd.any():  # what stands on an undecidable box is undecidable
        keep &= box_iou(found.boxes, image.boxes[image.crowd]).max(1) < SAME
    found = Detections(found.boxes[keep], found.scores[keep], found.labels[keep])
    names = [categories[label] for label in found.labels.tolist()]
    overlaps = box_iou(found.boxes, image.boxes)
    alike = np.array(names)[:, None] == np.array(image.labels)[None, :]
    return _Photo(image, found, names, overlaps, (overlaps * alike).astype(np.float32))


def _audit_photo(photo: _Photo, accept: AcceptSettings) -> list[Suggestion]:
    suggestions, used = [], set[int]()
    for number in np.flatnonzero(~photo.image.crowd).tolist():
        candidates = [_moved(photo, number, accept), _renamed(photo, number, accept), _unseen(photo, number, accept)]
        row, best = max((one for one in candidates if one), key=lambda one: one[1].score)
        suggestions.append(best)
        if best.action == "rename":
            used.add(row)
    for row in range(len(photo.names)):
        if row not in used and photo.same[row].max(initial=0) < SAME:
            suggestions.append(_missing(photo, row, accept))
    return suggestions


Found = tuple[int, Suggestion]  # a detection's row (-1: none), and what it suggests


def _moved(photo: _Photo, number: int, accept: AcceptSettings) -> Found | None:
    """Suggest the best detection of the box's category that stands on it, rather than on a neighbour of its kind."""
    own = np.flatnonzero((photo.same[:, number] >= TOUCHES) & (photo.same.argmax(1) == number))
    if not len(own):
        return None
    row = int(own[np.argmax(photo.found.scores[own])])
    score, iou = float(photo.found.scores[row]), float(photo.overlaps[row, number])
    label = photo.image.labels[number]
    safe = score >= accept.move.get(label, NEVER) and iou < accept.move_iou
    one = _suggestion(photo, "move", "rough", score * (1 - _ramp(iou, *FITS)), number)
    return row, replace(one, box=_box(photo, row), accepted=safe)


def _renamed(photo: _Photo, number: int, accept: AcceptSettings) -> Found | None:
    """Suggest the category of the best detection on the box that no box of its own category explains."""
    others = (photo.overlaps[:, number] >= OVER) & (photo.same.max(1, initial=0) < SAME)
    rows = np.flatnonzero(others)
    if not len(rows):
        return None
    row = int(rows[np.argmax(photo.found.scores[rows])])
    score = float(photo.found.scores[row])
    support = max(
        (
            float(photo.found.scores[i]) * _ramp(float(photo.same[i, number]), *SUPPORTS)
            for i in np.flatnonzero(photo.same[:, number] > 0)
        ),
        default=0.0,
    )
    own = max(_scores(photo, photo.same[:, number] > 0.5), default=0.0)
    safe = score - own >= accept.rename_margin and float(photo.overlaps[row, number]) >= accept.rename_iou
    safe = safe and (photo.image.labels[number], photo.names[row]) in accept.rename
    one = _suggestion(photo, "rename", "other category", max(score - support, 0.0), number)
    return row, replace(one, category=photo.names[row], accepted=safe)


def _unseen(photo: _Photo, number: int, accept: AcceptSettings) -> Found:
    """Suggest to look at a box on which the detector sees nothing of its category."""
    near = max(_scores(photo, photo.same[:, number] >= 0.2), default=0.0)
    score = UNSEEN_WEIGHT * (1 - _ramp(near, 0, UNSEEN))
    safe = near < accept.ignore.get(photo.image.labels[number], 0.0)
    one = _suggestion(photo, "ignore" if safe else "remove", "not seen", score, number)
    return -1, replace(one, accepted=safe)


def _missing(photo: _Photo, row: int, accept: AcceptSettings) -> Suggestion:
    """Suggest a box for a detection, or where that is not sure enough that no training counts it as background."""
    score = float(photo.found.scores[row])
    apart = photo.overlaps[row].max(initial=0) < accept.rename_iou and photo.same[row].max(initial=0) == 0
    safe = score >= accept.missing and bool(apart)
    action = "ignore" if safe and photo.names[row] not in accept.add else "add"
    return Suggestion(
        photo.image.source,
        photo.image.name,
        action,
        "missing",
        MISSING_WEIGHT * score,
        None,
        None,
        photo.names[row],
        _box(photo, row),
        safe,
    )


def _suggestion(photo: _Photo, action: str, rule: str, score: float, number: int) -> Suggestion:
    label = photo.image.labels[number]
    x1, y1, x2, y2 = (float(side) for side in photo.image.boxes[number])
    image = photo.image
    return Suggestion(image.source, image.name, action, rule, score, number, label, label, (x1, y1, x2, y2))


def _scores(photo: _Photo, rows: NDArray[np.bool_]) -> list[float]:
    return [float(score) for score in photo.found.scores[rows]]


def _box(photo: _Photo, row: int) -> Box:
    x1, y1, x2, y2 = (float(side) for side in photo.found.boxes[row])
    return x1, y1, x2, y2


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 up to `low`, 1 from `high` on, and a straight line between."""
    return float(np.clip((value - low) / (high - low), 0, 1))
