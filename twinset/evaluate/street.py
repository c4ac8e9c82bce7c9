"""Whether street photos' items find products of their category among all of a shop's: as drawn, and as detected."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinset.boxes import Boxes, box_iou
from twinset.data.labelled import LabelledImage
from twinset.evaluate.detection import MATCH_IOU
from twinset.evaluate.likeness import Described, ranked_rows
from twinset.images import try_image
from twinset.models import Models
from twinset.naming import FAINT_SCORE, seen_at
from twinset.search import SAME_ITEM_IOU
from twinset.types import Item, Product


@dataclass(frozen=True, slots=True)
class StreetFigures:
    """Shares of street items whose first hit, over all categories, is of their category."""

    n: int  # items that photos which can be read show, undecidable ones apart
    drawn: float | None  # cut out by the boxes that were drawn. None: there are no items
    n_detected: int  # of them found, with IoU 0.5, whatever they were called
    detected: float | None  # of those, cut out as found. None: none was
    whole_chain: float | None  # of all items: found, and right


def evaluate_street(
    images: Sequence[LabelledImage],
    models: Models,
    described: Described,
    advance: Callable[[int], None] = lambda count: None,
) -> StreetFigures:
    """Return the figures of photos' items searched among the described products, as searches rank them.

    Only products with a category are searched. `advance` is told of photos done.
    """
    truths: list[str] = []
    drawn: list[NDArray[np.float32]] = []
    of: list[int] = []  # the item that a detection shows
    found: list[NDArray[np.float32]] = []
    seen_drawn, seen_found = list[Mapping[str, float]](), list[Mapping[str, float]]()
    for image in images:
        advance(1)
        kept = [i for i, crowd in enumerate(image.crowd) if not crowd]
        pixels, boxes = try_image(image.path), image.boxes[kept]
        if pixels is None:
            continue
        faint = models.detect(pixels, FAINT_SCORE)
        count = int((faint.scores >= models.min_score).sum())
        match = _matched(faint.boxes[:count], boxes)
        detected = faint.boxes[:count][match >= 0]
        of += [len(truths) + item for item in match if item >= 0]
        drawn += [one.embedding for one in models.describe(pixels, boxes)]
        found += [one.embedding for one in models.describe(pixels, detected)]
        seen_drawn += [seen_at(box, faint, models, SAME_ITEM_IOU) for box in boxes]
        seen_found += [seen_at(box, faint, models, SAME_ITEM_IOU) for box in detected]
        truths += [image.labels[i] for i in kept]
    right_drawn = np.array(_categories(drawn, seen_drawn, models, described)) == np.array(truths)
    right_found = np.array(_categories(found, seen_found, models, described)) == np.array([truths[i] for i in of])
    n = len(truths)
    return StreetFigures(
        n,
        float(right_drawn.mean()) if n else None,
        len(of),
        float(right_found.mean()) if of else None,
        float(right_found.sum()) / n if n else None,
    )


def _matched(found: Boxes, drawn: Boxes) -> NDArray[np.int64]:
    """Return for each found box (N, 4), best first, the drawn one (M, 4) it shows, -1 for none; each once."""
    overlaps = box_iou(found, drawn)
    match = np.full(len(found), -1, np.int64)
    for i in range(len(found)):
        free = np.where(np.isin(np.arange(len(drawn)), match), -1.0, overlaps[i])
        if len(drawn) and free.max() >= MATCH_IOU:
            match[i] = int(free.argmax())
    return match


def _categories(
    embeddings: Sequence[NDArray[np.float32]], seen: Sequence[Mapping[str, float]], models: Models, described: Described
) -> list[str]:
    """Return the categories of the first hits, searched over all categories as a shopper's crop is."""
    if not embeddings:
        return []
    gallery = np.array([row for row in described.gallery if described.items[row].category], np.int64)
    start = len(described.products)
    asked = Described(
        [*described.products, *(Product(f"street {i}", ()) for i in range(len(embeddings)))],
        [*described.items, *(Item(None, None, (0, 0, 1, 1), embedding) for embedding in embeddings)],
        np.concatenate([described.matrix, np.stack(embeddings)]),
        np.arange(start, start + len(embeddings)),
        gallery,
    )
    if models.labels is None:
        first = gallery[(np.stack(embeddings) @ described.matrix[gallery].T).argmax(1)]
    else:
        first = ranked_rows(asked, models.labels, asked.queries, gallery, False, 1, seen)[0][:, 0]
    return [described.items[row].category or "" for row in first.tolist()]
