"""Suggested corrections as one HTML file to look at, the likeliest first: boxes as labelled red, as suggested green."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from twinset.data.labelled import Labelled, LabelledImage
from twinset.data.suggestions import Suggestion
from twinset.evaluate.report import picture, table_html, write_page
from twinset.images import crop, read_image
from twinset.types import Image

MOST = 200  # suggestions shown
SIDE = 260  # pixels of a picture's longer side
MARGIN = 0.6  # of the boxes' sides, around what is shown
MIN_SIDE = 60.0  # pixels of a photo that are shown at least
LABELLED, SUGGESTED = (200, 30, 30), (30, 140, 60)


def write_audit(
    file: Path,
    labelled: Labelled,
    suggestions: Sequence[Suggestion],
    tables: Mapping[str, tuple[Sequence[object], Sequence[Sequence[object]]]] | None = None,
) -> None:
    """Write the first suggestions with pictures, then tables. Raises DataError where the file can't be written."""
    images = {(image.source, image.name): image for image in labelled.images}
    shown = [
        picture(draw_suggestion(images[one.source, one.image], one), SIDE, caption(one)) for one in suggestions[:MOST]
    ]
    rows = [(rule, sum(one.rule == rule for one in suggestions)) for rule in sorted({one.rule for one in suggestions})]
    note = f"<p>The likeliest {len(shown)} of {len(suggestions)}. The box as labelled is red, as suggested green.</p>"
    pictures = f'<div class="pictures">{"".join(shown)}</div>'
    parts = [table_html(("rule", "suggestions"), rows), note, pictures]
    for name, (header, lines) in (tables or {}).items():
        parts += [f"<h2>{name}</h2>", table_html(header, lines)]
    write_page(file, "Audit of labels", parts)


def caption(one: Suggestion) -> str:
    """Return what is suggested, in words."""
    box = "new box" if one.box_no is None else f"box {one.box_no}"
    change = one.category if one.label in (None, one.category) else f"{one.label} to {one.category}"
    accepted = ", accepted" if one.accepted else ""
    return f"{one.score:.2f} {one.action} {change}: {one.rule}{accepted}; {one.image}, {box}"


def draw_suggestion(image: LabelledImage, one: Suggestion) -> Image:
    """Return the part of the photo around the box as labelled and as suggested, both outlined."""
    boxes = [list(one.box)] if one.action in ("add", "move") or one.box_no is None else []
    if one.box_no is not None:
        boxes.append(image.boxes[one.box_no].tolist())
    drawn = Pillow.fromarray(read_image(image.path))
    pen = ImageDraw.Draw(drawn)
    for box in reversed(boxes):
        is_labelled = one.box_no is not None and box == boxes[-1]
        pen.rectangle(tuple(box), outline=LABELLED if is_labelled else SUGGESTED, width=2)
    corners = np.array(boxes)
    low, high = corners[:, :2].min(0), corners[:, 2:].max(0)
    grow = np.maximum(MIN_SIDE - (high - low), 0) / 2
    x1, y1, x2, y2 = np.concatenate([low - grow, high + grow]).tolist()
    return np.ascontiguousarray(crop(np.asarray(drawn), (x1, y1, x2, y2), MARGIN))
