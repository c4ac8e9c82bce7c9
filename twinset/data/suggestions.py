"""Suggested corrections of labels: how they are kept in a file, and carried out. What to suggest is audit.py's.

A file of suggestions holds numbers of boxes, categories and coordinates only, no pictures: it can be shared where the
photos can't.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from twinset.boxes import box_area, clip_boxes
from twinset.data.labelled import Labelled, LabelledImage
from twinset.errors import DataError, UsageError
from twinset.taxonomy import Taxonomy, default_taxonomy
from twinset.types import Box

ACTIONS = ("add", "move", "rename", "remove", "ignore")
FARTHEST = 1e6  # pixels; no photo has as many in a row
SHIPPED = Path(__file__).with_name("corrections")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One correction. `ignore` makes a box, or a new one where `box_no` is None, undecidable (COCO's iscrowd)."""

    source: str  # the photo's data set: names in two may be alike
    image: str  # the photo's name in it
    action: str  # one of ACTIONS
    rule: str  # why
    score: float  # in [0, 1], how likely the label is wrong
    box_no: int | None  # of the photo's boxes as they are read; None: there is none yet
    label: str | None  # the box's category as labelled
    category: str  # after the correction
    box: Box  # after the correction, pixels
    accepted: bool = False  # carried out by `apply_suggestions`


def write_suggestions(file: Path, suggestions: Sequence[Suggestion], **facts: object) -> None:
    """Write suggestions as JSON, one a line so that they can be edited, with facts about how they came to be."""
    head = json.dumps(facts, indent=1)[1:-2] + ",\n" if facts else "\n"
    lines = ",\n".join(json.dumps(_as_json(one), separators=(",", ":")) for one in suggestions)
    file.write_text("{" + head + f' "suggestions": [\n{lines}\n]}}\n', encoding="utf-8")


def read_suggestions(name: str | Path) -> list[Suggestion]:
    """Return the suggestions of a file, or of the corrections that ship under a name. Raises DataError."""
    file = SHIPPED / f"{name}.json"
    file = file if file.is_file() else Path(name)
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["suggestions"]
        found = [_suggestion(entry, f"{file}: suggestion {number}") for number, entry in enumerate(entries, 1)]
    except OSError as exc:
        shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.json")))
        raise DataError(f"{file}: expected suggestions of `twinset data audit`, or {shipped}; {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as exc:
        raise DataError(f"{file}: expected suggestions as `twinset data audit` writes them, found {exc!r}") from exc
    if unknown := {one.action for one in found} - set(ACTIONS):
        raise DataError(f"{file}: expected the actions {', '.join(ACTIONS)}; found {sorted(unknown)[0]!r}")
    return found


def in_taxonomy(suggestions: Sequence[Suggestion], taxonomy: Taxonomy) -> list[Suggestion]:
    """Return the suggestions with their categories as another taxonomy calls them. Raises UsageError.

    Merged categories have one name; of one that was split no name says which part it is.
    """
    if taxonomy.level == "article-type" and suggestions:
        raise UsageError(
            "--corrections: expected none at the level of article types: they name categories; leave them out",
            field="corrections",
        )

    def named(category: str) -> str:
        if category in taxonomy.names and category in default_taxonomy().names:
            return category
        try:
            found = taxonomy.category_of(category)
        except KeyError:
            found = None
        if found is None:
            raise UsageError(
                f"--corrections: expected labels of this taxonomy, found {category!r}, which it does not know; "
                f"leave --corrections out",
                field="corrections",
            )
        return found

    return [replace(one, label=one.label and named(one.label), category=named(one.category)) for one in suggestions]


def check_suggestions(labelled: Labelled, suggestions: Sequence[Suggestion]) -> None:
    """Raise UsageError for a suggestion, edited by hand, with no box in its photo or a category that isn't labelled."""
    images = {(image.source, image.name): image for image in labelled.images}
    for one in suggestions:
        image = images[one.source, one.image]
        box = "new box" if one.box_no is None else f"box {one.box_no}"
        what, do = f"suggestion to {one.action} {box} of {one.image}", "correct it or take the line out"
        if one.category not in labelled.categories:
            expected = ", ".join(labelled.categories)
            raise UsageError(
                f"{what}: expected the category {expected}; found {one.category!r}; {do}", field="suggestions"
            )
        if not box_area(clip_boxes(np.array([one.box], np.float32), image.width, image.height))[0]:
            raise UsageError(
                f"{what}: expected a box in the {image.width} x {image.height} photo, found {list(one.box)}; {do}",
                field="suggestions",
            )


def apply_suggestions(labelled: Labelled, suggestions: Sequence[Suggestion], everything: bool = False) -> Labelled:
    """Return the photos with the accepted suggestions carried out, or all of them with `everything`.

    Suggestions for photos that aren't there are passed over: a file serves every split. Raises UsageError where a box
    has not the label it was audited with.
    """
    of_image: dict[tuple[str, str], list[Suggestion]] = defaultdict(list)
    for one in suggestions:
        if one.accepted or everything:
            of_image[one.source, one.image].append(one)
    images = [_corrected(image, of_image.get((image.source, image.name), [])) for image in labelled.images]
    return replace(labelled, images=images)


def _corrected(image: LabelledImage, suggestions: Sequence[Suggestion]) -> LabelledImage:
    if not suggestions:
        return image
    boxes, labels, crowd = [list(box) for box in image.boxes.tolist()], list(image.labels), image.crowd.tolist()
    keep = [True] * len(labels)
    for one in suggestions:
        if one.box_no is None:
            boxes.append(list(one.box))
            labels.append(one.category)
            crowd.append(one.action == "ignore")
            keep.append(True)
            continue
        if not 0 <= one.box_no < len(image.labels) or image.labels[one.box_no] != one.label:
            found = image.labels[one.box_no] if 0 <= one.box_no < len(image.labels) else "no such box"
            raise UsageError(
                f"{image.name}: expected box {one.box_no} to be {one.label}, found {found}; audit them anew",
                field="corrections",
            )
        boxes[one.box_no], labels[one.box_no] = list(one.box), one.category
        crowd[one.box_no] = crowd[one.box_no] or one.action == "ignore"
        keep[one.box_no] = one.action != "remove"
    cut = clip_boxes(np.array(boxes, np.float32).reshape(-1, 4), image.width, image.height)
    kept = np.flatnonzero(np.array(keep, bool) & (box_area(cut) > 0))
    return replace(image, boxes=cut[kept], labels=tuple(labels[i] for i in kept), crowd=np.array(crowd, bool)[kept])


def _as_json(one: Suggestion) -> dict[str, Any]:
    where = {"source": one.source, "image": one.image, "box_no": one.box_no, "label": one.label}
    what = {"action": one.action, "category": one.category, "box": [round(side, 1) for side in one.box]}
    return where | what | {"rule": one.rule, "score": round(one.score, 4), "accepted": one.accepted}


def _suggestion(entry: dict[str, Any], where: str) -> Suggestion:
    x1, y1, x2, y2 = (float(side) for side in entry["box"])
    if not all(abs(side) < FARTHEST for side in (x1, y1, x2, y2)):
        raise DataError(f"{where}: expected a box in pixels, found {entry['box']}; correct it or take the line out")
    if not isinstance(entry["category"], str):
        raise DataError(f"{where}: expected a category, found {entry['category']!r}; correct it or take the line out")
    number = entry["box_no"]
    return Suggestion(
        source=str(entry["source"]),
        image=str(entry["image"]),
        action=str(entry["action"]),
        rule=str(entry.get("rule", "")),
        score=float(entry.get("score", 1.0)),
        box_no=None if number is None else int(number),
        label=entry["label"],
        category=entry["category"],
        box=(x1, y1, x2, y2),
        accepted=bool(entry.get("accepted", False)),
    )
