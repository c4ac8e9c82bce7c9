"""Whether a photo of a product finds its other photos: the whole chain, on products photographed several times.

Every photo is indexed as a product of its own. Each pair is asked in both directions; of the answer the query and its
item's other views are taken out, but for the target. It is found where it is the first hit of any of the query's items.
"""

import csv
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twinset.errors import DataError
from twinset.evaluate.baselines import Embed, lab_histograms
from twinset.images import crop, read_image
from twinset.indexing import index_feed
from twinset.models import Models
from twinset.search import search_image
from twinset.store import Store, open_store
from twinset.types import Box, FoundItem, Item

K = 24  # hits an item, before those that don't count are taken out
FULL_BODY = "fullbody"  # in the kind of pairs in which one photo shows a whole person


class Pair(NamedTuple):
    """Two photos of one product."""

    item_id: str
    images: tuple[str, str]  # below the folder
    kind: str


class Query(NamedTuple):
    """A photo that is to find another."""

    item_id: str
    image: str
    target: str
    kind: str


@dataclass(frozen=True, slots=True)
class SameItemRow:
    """How often one encoder finds the other photo, over all pairs in both directions."""

    n: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    n_no_full_body: int
    recall_at_1_no_full_body: float
    per_kind: Mapping[str, float]  # recall@1


@dataclass(frozen=True, slots=True)
class Answer:
    """One query as the model answered it."""

    query: Query
    hits: tuple[str, ...]  # of the item whose first hit is best, or that found the target
    right: bool


@dataclass(frozen=True, slots=True)
class SameItemFigures:
    encoders: Mapping[str, SameItemRow]  # the model's first, then the baseline
    photos: int
    answers: tuple[Answer, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name, without pictures."""
        first = next(iter(self.encoders.values()))
        rows = {name: asdict(row) for name, row in self.encoders.items()}
        return {**asdict(first), "photos": self.photos, "encoders": rows}


def read_pairs(folder: Path) -> list[Pair]:
    """Return the pairs of a folder's pairs.csv. Raises DataError."""
    file = folder / "pairs.csv"
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        pairs = [Pair(row["item_id"], (row["image_a"], row["image_b"]), row["kind"]) for row in rows]
        short = next((number for number, pair in enumerate(pairs, 1) if None in (*pair, *pair.images)), None)
    except (OSError, KeyError, ValueError, csv.Error) as exc:
        raise DataError(f"{file}: expected columns item_id, image_a, image_b, kind; found: {exc!r}") from exc
    if short:
        raise DataError(f"{file}: expected item_id, image_a, image_b and kind in each row, found fewer in pair {short}")
    if not pairs:
        raise DataError(f"{file}: expected pairs of photos, found none")
    return pairs


def read_categories(file: Path) -> dict[str, str]:
    """Return the category of each item_id in a JSON object. Raises DataError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise DataError(f"{file}: expected a JSON object of item_id and category, found: {exc}") from exc
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise DataError(f"{file}: expected a JSON object of item_id and category, found something else")
    return found


def evaluate_same_item(
    folder: Path,
    models: Models,
    others: Mapping[str, Embed],
    categories: Mapping[str, str] | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> SameItemFigures:
    """Return the figures of a model on a folder of pairs, and of a Lab histogram and `others` on the same crops.

    `categories` by item_id are what a shop's feed would say; without, the detector decides what a product is.
    `advance` is told of photos indexed and of photos asked, so of each twice. Raises DataError.
    """
    pairs = read_pairs(folder)
    item_of = {image: pair.item_id for pair in pairs for image in pair.images}
    queries = [Query(p.item_id, a, b, p.kind) for p in pairs for a, b in (p.images, p.images[::-1])]
    with tempfile.TemporaryDirectory() as temporary:
        feed = Path(temporary) / "photos.jsonl"
        given = {image: (categories or {}).get(item_id, "") for image, item_id in item_of.items()}
        rows = (
            {"product_id": image, "image": str((folder / image).resolve()), "category": category}
            for image, category in given.items()
        )
        feed.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        store_path = Path(temporary) / "store"
        index_feed(feed, store_path, models, strict=True)
        advance(len(item_of))
        store = open_store(store_path, models.version)
        found: dict[str, list[FoundItem]] = {}
        for image in dict.fromkeys(query.image for query in queries):
            found[image] = search_image(read_image(folder / image), models, store, k=K)
            advance(1)
        answered = {image: [[hit.product_id for hit in item.hits] for item in found[image]] for image in found}
        encoders = {models.name: _row(queries, answered, item_of)}
        for name, embed in {"lab-histogram": lab_histograms, **others}.items():
            encoders[name] = _row(queries, _baseline(folder, found, store, list(item_of), embed), item_of)
    answers = tuple(_answer(query, answered[query.image], item_of) for query in queries)
    return SameItemFigures(encoders, len(item_of), answers)


def kept_hits(hits: Iterable[str], query: Query, item_of: Mapping[str, str]) -> list[str]:
    """Return an item's hits without the query and its item's other views, but with the target."""
    return [hit for hit in hits if hit == query.target or item_of[hit] != query.item_id]


def _row(queries: Sequence[Query], answered: Mapping[str, list[list[str]]], item_of: Mapping[str, str]) -> SameItemRow:
    ranks = np.array(
        [
            min((_place(kept_hits(hits, query, item_of), query.target) for hits in answered[query.image]), default=K)
            for query in queries
        ]
    )
    kinds = np.array([query.kind for query in queries])
    plain = np.array([FULL_BODY not in query.kind for query in queries])
    return SameItemRow(
        len(queries),
        float((ranks < 1).mean()),
        float((ranks < 5).mean()),
        float((ranks < 10).mean()),
        int(plain.sum()),
        float((ranks[plain] < 1).mean()) if plain.any() else 0.0,
        {str(kind): float((ranks[kinds == kind] < 1).mean()) for kind in np.unique(kinds)},
    )


def _place(hits: Sequence[str], target: str) -> int:
    return hits.index(target) if target in hits else K


def _answer(query: Query, items: Sequence[Sequence[str]], item_of: Mapping[str, str]) -> Answer:
    kept = sorted((kept_hits(hits, query, item_of) for hits in items), key=lambda hits: _place(hits, query.target))
    return Answer(query, tuple(kept[0][:6]) if kept else (), bool(kept and kept[0][:1] == [query.target]))


def _baseline(
    folder: Path, found: Mapping[str, list[FoundItem]], store: Store, images: Sequence[str], embed: Embed
) -> dict[str, list[list[str]]]:
    """Return by photo the hits of each item, ranked by another encoder on the same crops within the same category."""
    items: list[Item] = [store.get(image).items[0] for image in images]
    gallery = _embedded(folder, images, [[item.box] for item in items], embed)
    matrix = np.concatenate(gallery)
    categories = np.array([item.category or "" for item in items])
    asked = _embedded(folder, list(found), [[item.box for item in found[image]] for image in found], embed)
    answered: dict[str, list[list[str]]] = {}
    for image, vectors in zip(found, asked, strict=True):
        answered[image] = []
        for item, vector in zip(found[image], vectors, strict=True):
            scores = matrix @ vector - 4 * (categories != (item.category or ""))
            best = np.argsort(-scores, kind="stable")[:K]
            answered[image].append([images[i] for i in best if scores[i] > -2])
    return answered


def _embedded(
    folder: Path, images: Sequence[str], boxes: Sequence[Sequence[Box]], embed: Embed
) -> list[NDArray[np.float32]]:
    rows = []
    for image, corners in zip(images, boxes, strict=True):
        pixels = read_image(folder / image)
        rows.append(embed([crop(pixels, box) for box in corners]) if corners else np.zeros((0, 0), np.float32))
    return rows
