"""Tables and pages of detection figures, one set of photos after the other, and two reports compared."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from twinset.errors import DataError
from twinset.evaluate.detection import DetectionFigures, Failure
from twinset.evaluate.report import MOST, Row, confusion_html, dashed, picture, pictures_html, table_html, write_page
from twinset.images import read_image
from twinset.types import Image

PHOTO_SIDE = 560  # pixels of the longer side, as inlined
MISSED, WRONG, RIGHT = (200, 30, 30), (230, 140, 0), (30, 140, 60)
COMPARED = ("map_50", "map_50_95", "map_50_many", "precision", "recall")
Table = tuple[Row, list[Row]]


def detection_table(figures: DetectionFigures) -> tuple[Row, list[Row]]:
    """Return the header and the rows of the figures, one a category, the mean last."""
    header = ("category", "boxes", "mAP50", "mAP50:95", "precision", "recall")
    rows: list[Row] = [
        dashed(name, c.n, c.map_50, c.map_50_95, c.precision, c.recall) for name, c in figures.per_category.items()
    ]
    rows.append(dashed("mean", figures.boxes, figures.map_50, figures.map_50_95, figures.precision, figures.recall))
    rows.append(dashed("mean, 10 boxes or more", "", figures.map_50_many, "", "", ""))
    return header, rows


def reliability_table(figures: DetectionFigures) -> Table:
    """Return the header and the rows of scores beside how often they are right, the mean difference last."""
    bins = figures.calibration.bins if figures.calibration else ()
    rows: list[Row] = [(f"{one.low:.1f} to {one.high:.1f}", one.n, one.score, one.right) for one in bins]
    if figures.calibration:
        rows.append(("expected calibration error", "", "", figures.calibration.ece))
    return ("scores", "detections", "mean score", "right"), rows


def size_table(figures: DetectionFigures) -> Table:
    """Return the header and the rows of mAP50 by the size of boxes."""
    return ("boxes", "mAP50"), [dashed(size, value) for size, value in figures.by_size.items()]


def interval_lines(figures: DetectionFigures) -> list[str]:
    """Return the 95 % intervals in words."""
    names = {"map_50": "mAP50", "map_50_many": "mAP50, 10 boxes or more"}
    return [f"{names[name]}: 95 % interval {low:.3f} to {high:.3f}" for name, (low, high) in figures.intervals.items()]


def difference_table(changes: Mapping[str, float]) -> Table:
    """Return the header and the rows of what `differences` found."""
    return ("figure", "difference"), [(name, f"{change:+.3f}") for name, change in changes.items()]


def write_detection(
    file: Path, figures: Mapping[str, DetectionFigures], changes: Mapping[str, Mapping[str, float]] | None = None
) -> None:
    """Write each source's figures and the photos with the most failures: missed red, wrong orange, right green.

    `changes` are, by source, what is different from another report.
    """
    parts = []
    for source, one in figures.items():
        shown = [
            picture(draw_failure(failure, one.categories), PHOTO_SIDE, failure.image.path.name)
            for failure in one.failures[:MOST]
        ]
        parts += [f"<h2>{source}</h2>"] if len(figures) > 1 else []
        parts += [table_html(*detection_table(one)), *(f"<p>{line}</p>" for line in interval_lines(one))]
        if changes and source in changes:
            parts += ["<h2>Beside the other report</h2>", table_html(*difference_table(changes[source]))]
        parts += [table_html(*size_table(one)), table_html(*reliability_table(one)), confusion_html(one.confusion)]
        parts += ["<p>Missed boxes are red, wrong detections orange, right ones green.</p>", pictures_html(shown)]
    write_page(file, "Detector", parts)


def read_report(file: Path) -> dict[str, Any]:
    """Return the figures in a file that `twinset evaluate detector --json` printed. Raises DataError."""
    expected = f"{file}: expected figures of `twinset evaluate detector --json`"
    try:
        figures = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise DataError(f"{expected}, found: {exc}; check the file") from exc
    if not isinstance(figures, dict) or not {"sources", "map_50"} & set(figures):
        raise DataError(f"{expected}, found no map_50; check the file")
    sources = figures.get("sources", {"": figures})
    if not isinstance(sources, dict) or not all(map(_is_report, sources.values())):
        raise DataError(f"{expected}, found others by these names; check the file")
    return figures


def _is_report(one: object) -> bool:
    """Return whether this holds one source's figures, as far as `differences` reads them."""
    if not isinstance(one, dict) or not isinstance(one.get("per_category", {}), dict):
        return False
    categories = one.get("per_category", {}).values()
    if not all(isinstance(category, dict) and "map_50" in category for category in categories):
        return False
    numbers = [*(one.get(name) for name in COMPARED), *(category["map_50"] for category in categories)]
    return all(number is None or type(number) in (int, float) for number in numbers)


def differences(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, float]:
    """Return how much each figure of one report is above another's, by name, categories' mAP50 after the means.

    What only one of them has is left out.
    """
    pairs = {name: (now.get(name), before.get(name)) for name in COMPARED}
    mine, theirs = now.get("per_category", {}), before.get("per_category", {})
    pairs |= {f"map_50 {name}": (mine[name]["map_50"], theirs[name]["map_50"]) for name in mine if name in theirs}
    return {name: a - b for name, (a, b) in pairs.items() if a is not None and b is not None}


def draw_failure(failure: Failure, categories: Sequence[str]) -> Image:
    """Return the photo as large as it is shown, right detections drawn first and what is missed last."""
    picture = Pillow.fromarray(read_image(failure.image.path))
    picture.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    scale = picture.width / failure.image.width
    draw = ImageDraw.Draw(picture)

    def outline(corners: Iterable[float], text: str, colour: tuple[int, int, int]) -> None:
        x1, y1, x2, y2 = (scale * side for side in corners)
        draw.rectangle((x1, y1, x2, y2), outline=colour, width=2)
        below = colour == MISSED  # a wrong detection on the same box has its words above
        at = x1 + 2, min(y2 + 1, picture.height - 12) if below else max(y1 - 12, 0)
        words = draw.textbbox(at, text)
        draw.rectangle((words[0] - 2, words[1] - 1, words[2] + 2, words[3] + 1), fill=colour)
        draw.text(at, text, fill="white")

    names = [categories[label] for label in failure.found.labels.tolist()]
    found = list(enumerate(failure.found.boxes.tolist()))
    for i, corners in sorted(found, key=lambda one: one[0] in failure.wrong):
        outline(corners, f"{names[i]} {failure.found.scores[i]:.2f}", WRONG if i in failure.wrong else RIGHT)
    for i in failure.missed:
        outline(failure.image.boxes[i].tolist(), failure.image.labels[i], MISSED)
    return np.asarray(picture)
