"""Search a store with a photo: find its items, describe them, take the nearest products of each one's category."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twinset.boxes import box_iou, clip_boxes
from twinset.describe.words import Asked, lexicon_of, read_words
from twinset.errors import UsageError
from twinset.hits import MOST_HITS, Page, Ranking, Wanted, find_pages
from twinset.images import Photo
from twinset.likeness import CANDIDATES, explain_hit, search_alike
from twinset.naming import FAINT_SCORE, name_item, one_for_each_garment, seen_at
from twinset.stages import stage
from twinset.types import Box, Detections, FoundItem, Hit, Image
from twinset.word_search import refined, refined_filter, reordered, said_groups

if TYPE_CHECKING:
    from twinset.describe.encoder import Described
    from twinset.describe.labels import LabelWeights
    from twinset.models import Models
    from twinset.rules import Rules
    from twinset.store import Filter, Store

SAME_ITEM_IOU = 0.5  # a shopper's crop that overlaps a detection this much shows what was detected
WHOLE_IOU = 0.3  # what a detection that fills this much of a photo is called says what the whole photo is of


class _Found(NamedTuple):
    """An item on its way to hits."""

    item: FoundItem
    embedding: NDArray[np.float32]  # (256,)
    seen: Mapping[str, float] = MappingProxyType({})  # scores by category in its place, if it is searched over all


def detect_image(image: Image | Photo, models: "Models", min_score: float | None = None) -> list[FoundItem]:
    """Return the items in a photo, best first, without hits; without `min_score` above the operating threshold."""
    photo = image if isinstance(image, Photo) else Photo.of(image)
    if min_score is not None and not 0 <= min_score <= 1:
        raise _usage("min_score", "a number from 0 to 1", str(min_score))
    return [_in_photo(one.item, photo) for one in _items(photo.pixels, models, min_score)]


def search_image(
    image: Image | Photo,
    models: "Models",
    store: "Store",
    *,
    k: int = 24,
    category: str | None = None,
    box: Box | None = None,
    whole: bool = False,
    where: Sequence[str] = (),
    shop: str | None = None,
    min_score: float = 0.0,
    offset: int = 0,
    facets: Sequence[str] = (),
    explain: bool = False,
    rules: "Rules | None" = None,
    words: str = "",
    weights: "LabelWeights | None" = None,
) -> list[FoundItem]:
    """Return the items in a photo, best first, each with up to `k` products of its category most like it.

    `category` keeps items of one category. `box`, the shopper's own crop, gives exactly one item: of `category`, else
    of the detection it overlaps, else of no category, and then all are searched, as they are for the `whole` photo;
    what the detector faintly sees in that place has a say in which categories come first.
    `where` are CONTRACT's filter strings. `shop` searches that shop alone, by its rules; None searches all, by the
    rules of the shop `default`. Hits score `min_score` or more; `offset` leaves out the first so many, which were shown
    before. `facets` are fields to count hits by, and `explain` asks how the search is answered. `rules` stand in the
    place of the shop's own. `words` change what is looked for: "like this but red", "without stripes". `weights` of
    labels take the place of those the model learned. Raises UsageError for values that can't be.
    """
    photo = image if isinstance(image, Photo) else Photo.of(image)
    wanted = Wanted(k, offset, min_score, where, shop, facets, explain, rules, models.taxonomy)
    check_category(category, models)
    asked = read_words(words, lexicon_of(models.taxonomy))
    if whole and (box is not None or category is not None):
        raise _usage("whole", "no box and no category beside it", "box" if box is not None else "category")
    if whole:
        height, width = photo.pixels.shape[:2]
        box = (0.0, 0.0, float(width), float(height))
        seen = seen_at(box, _detect(photo.pixels, models, FAINT_SCORE), models, WHOLE_IOU)
        (described,) = _describe(photo.pixels, models, np.array([box], np.float32))
        found = [_in_box(box, described, None, None, seen)]
    elif box is not None:
        found = [_found_in_box(photo.pixels, models, photo.to_pixels(check_box(box, photo)), category)]
    else:
        found = [one for one in _items(photo.pixels, models) if category is None or one.item.category == category]
    if not found:
        return []
    found = _of_words(found, asked)
    embeddings = np.stack([refined(one.embedding, asked, models.labels) for one in found])
    categories = [asked.category or one.item.category for one in found]
    seen_in_place = [one.seen for one in found]
    groups = said_groups(asked, store) if words else []

    def search(filter: "Filter", k: int) -> list[list[Hit]]:
        many = -(-k // CANDIDATES) * CANDIDATES if words else k  # whole blocks, as `reordered` has them
        kept = refined_filter(filter, asked)
        while True:
            hits = search_alike(embeddings, categories, store, models.labels, many, kept, weights, seen_in_place)
            if not words:
                return hits
            left = [reordered(mine, asked, groups) for mine in hits]
            few = (len(mine) < k and len(every) == many for mine, every in zip(left, hits, strict=True))
            if many >= MOST_HITS or not any(few):
                return [mine[:k] for mine in left]
            many = min(2 * many, MOST_HITS)  # those that say what is unwanted took others' places

    with stage("store"):
        colours = [one.item.colours for one in found]
        pages = find_pages(
            Ranking(store, wanted), search, categories, colours, lambda filter: refined_filter(filter, asked)
        )
    answered = (
        _answered(replace(one.item, offset=offset), page, models) for one, page in zip(found, pages, strict=True)
    )
    return [_in_photo(item, photo) for item in answered]


def _of_words(found: list[_Found], asked: Asked) -> list[_Found]:
    """Return the items of the category that words name, all of them where none is of it."""
    named = [one for one in found if asked.category and one.item.category == asked.category]
    return named or found


def _answered(item: FoundItem, page: Page, models: "Models") -> FoundItem:
    """Return an item with its hits, each with why it is one."""
    answered = replace(item, hits=page.hits, next_offset=page.next_offset, facets=page.facets, plan=page.plan)
    if models.labels is None:
        return answered
    hits = tuple(hit.scored(hit.score, explain_hit(hit, item)) for hit in page.hits)
    return replace(answered, hits=hits, close_from=models.labels.calibration.min_score)


def _in_photo(item: FoundItem, photo: Photo) -> FoundItem:
    """Return an item with its box in the photo's own pixels."""
    if photo.pixels.shape[:2] == (photo.height, photo.width):
        return item
    return replace(item, box=photo.from_pixels(item.box))


def check_category(category: str | None, models: "Models") -> None:
    """Raise UsageError for a category the taxonomy does not know."""
    if category is not None and category not in models.taxonomy.names:
        raise _usage("category", f"one of {', '.join(models.taxonomy.names)}", repr(category))


def check_box(box: Box, photo: Photo) -> Box:
    """Return the box cut to the photo. Raises UsageError for one without area there."""
    width, height = photo.width, photo.height
    if len(box) == 4 and all(math.isfinite(side) for side in box):
        x1, y1, x2, y2 = (float(side) for side in clip_boxes(np.array([box], np.float32), width, height)[0])
        if x1 < x2 and y1 < y2:
            return x1, y1, x2, y2
    raise _usage("box", f"x1,y1,x2,y2 with x1 < x2 and y1 < y2 within {width} x {height} pixels", str(box))


def _detect(image: Image, models: "Models", min_score: float | None = None) -> Detections:
    with stage("detect"):
        return models.detect(image, min_score)


def _items(image: Image, models: "Models", min_score: float | None = None) -> list[_Found]:
    """Return the items in a photo: with `min_score` as the detector alone finds them.

    Without it an item's description may correct its category, and a garment found twice is one item.
    """
    detections = _detect(image, models, FAINT_SCORE if min_score is None else min_score)
    count = len(detections.scores) if min_score is not None else int((detections.scores >= models.min_score).sum())
    described = _describe(image, models, detections.boxes[:count])
    names = [models.categories[label] for label in detections.labels[:count]]
    kept = list(range(count))
    if min_score is None:
        seen = [seen_at(box, detections, models) for box in detections.boxes[:count]]
        embeddings = [entry.embedding for entry in described]
        names = [name_item(*one, models) for one in zip(names, seen, embeddings, strict=True)]
        kept = one_for_each_garment(detections.boxes[:count], names, models)
    found = []
    for i in kept:
        score, box, entry = float(detections.scores[i]), _box(detections.boxes[i]), described[i]
        item = FoundItem(names[i], score, box, entry.colours, (), attributes=entry.attributes)
        found.append(_Found(item, entry.embedding))
    return found


def _describe(image: Image, models: "Models", boxes: NDArray[np.float32]) -> "list[Described]":
    with stage("describe"):
        return models.describe(image, boxes)


def _found_in_box(image: Image, models: "Models", box: Box, category: str | None) -> _Found:
    """Return the item in a shopper's box: of `category`, else of that of the detection it shows, else of none.

    A detection is called what it is in a search without a box: by its own place and looks, not by the shopper's crop.
    """
    detections = _detect(image, models, FAINT_SCORE)
    if category is not None:
        detections = _of_category(detections, models, category)
    shown = _overlapping(detections, models, box)
    score = None if shown is None else float(detections.scores[shown])
    boxes = np.array([box], np.float32)
    if category is not None or shown is None:
        (described,) = _describe(image, models, boxes)
        seen = seen_at(box, detections, models, SAME_ITEM_IOU) if category is None else {}
        return _in_box(box, described, category, score, seen)
    own = detections.boxes[shown]
    described, looks = _describe(image, models, np.concatenate([boxes, own[None]]))
    found = models.categories[detections.labels[shown]]
    name = name_item(found, seen_at(own, detections, models), looks.embedding, models)
    return _in_box(box, described, name, score, {})


def _in_box(
    box: Box, described: "Described", category: str | None, score: float | None, seen: Mapping[str, float]
) -> _Found:
    item = FoundItem(category, score, box, described.colours, (), attributes=described.attributes)
    return _Found(item, described.embedding, seen)


def _overlapping(detections: Detections, models: "Models", box: Box) -> int | None:
    """Return the number of the detection a box shows, None for none."""
    count = int((detections.scores >= models.min_score).sum())
    overlaps = box_iou(np.array([box], np.float32), detections.boxes[:count])[0]
    return int(overlaps.argmax()) if overlaps.max(initial=0) >= SAME_ITEM_IOU else None


def _of_category(detections: Detections, models: "Models", category: str) -> Detections:
    kept = np.array([models.categories[label] == category for label in detections.labels], bool)
    return Detections(detections.boxes[kept], detections.scores[kept], detections.labels[kept])


def _box(row: NDArray[np.float32]) -> Box:
    x1, y1, x2, y2 = (float(side) for side in row)
    return x1, y1, x2, y2


def _usage(field: str, expected: str, found: str) -> UsageError:
    return UsageError(f"{field}: expected {expected}, found {found}", field=field, expected=expected, found=found)
