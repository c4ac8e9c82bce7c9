"""What a model with labels does beyond its vectors: ranking, rejecting, words, finding items by street-like views.

All on products that were described once; see retrieval.py.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twinset.data.background import item_mask
from twinset.describe.distance import distances
from twinset.describe.labels import Labels
from twinset.describe.words import read_words
from twinset.errors import MissingExtra
from twinset.hits import Wanted
from twinset.likeness import CANDIDATES, SCORE_DECIMALS, by_parts, likeliest, rank_hits
from twinset.models import Models
from twinset.store import Entry, open_store
from twinset.types import Hit, Image, Item, Product
from twinset.word_search import words_page

THRESHOLDS = tuple(round(0.01 * i, 2) for i in range(101))
TAKEN_OUT = ("Backpacks", "Sandals", "Caps")  # article types, one after the other
VIEW_SEED = 0
GOOD_KEPT = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """Products and their items, row by row, and which of them are asked."""

    products: Sequence[Product]
    items: Sequence[Item]
    matrix: NDArray[np.float32]  # (N, 256)
    queries: NDArray[np.int64]
    gallery: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Answers "nothing close enough" by threshold: of good queries, and of those whose article type was taken out."""

    thresholds: tuple[float, ...]
    kept: tuple[float, ...]  # of queries whose first hit has their article type
    rejected: Mapping[str, tuple[float, ...]]  # article type -> share of its queries
    queries: Mapping[str, int]
    at: float  # the highest threshold that keeps `GOOD_KEPT` of the good ones


@dataclass(frozen=True, slots=True)
class WordFigures:
    """How often a product is among the first ten for its own title."""

    n: int
    title_at_10: float
    pictures_alone_at_10: float | None  # titles unseen: brands can't be told; None without labels


def ranked_rows(
    described: Described,
    labels: Labels,
    queries: NDArray[np.int64],
    gallery: NDArray[np.int64],
    within: bool,
    k: int,
    seen: Sequence[Mapping[str, float]] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return (Q, K) gallery rows as the product ranks them, and the first hits' scores (Q,).

    `seen` are a detector's scores by category in each query's place.
    """
    categories = np.array([item.category or "" for item in described.items])
    rows, firsts = [], []
    for query, scores in zip(queries.tolist(), seen or ({},) * len(queries), strict=True):
        category = described.items[query].category if within else None
        similarity = described.matrix[gallery] @ described.matrix[query]
        if within:
            similarity -= 4.0 * (categories[gallery] != (category or ""))  # cosines span 2
        nearest = np.argsort(-similarity, kind="stable")[:CANDIDATES]
        inside = [int(i) for i in nearest if similarity[i] > -2]
        reading = labels.read(described.matrix[query], scores)
        likely = None if within else likeliest(reading, labels.weights)
        others = _nearest_of(likely, categories[gallery], similarity)
        hits = {i: _hit(described, int(gallery[i]), float(similarity[i])) for i in [*inside, *others]}
        numbers = {_key(hit): int(gallery[i]) for i, hit in hits.items()}
        near, beside = (
            by_parts(described.matrix[query], [hits[i] for i in those], labels.parts) for those in (inside, others)
        )
        order = rank_hits(near, reading, labels.weights, labels.calibration, category, beside=beside)
        rest = [int(gallery[i]) for i in nearest if similarity[i] <= -2]
        rows.append(([numbers[_key(hit)] for hit in order] + rest)[:k])
        firsts.append(order[0].score if order else 0.0)
    return np.array(rows), np.array(firsts)


def _nearest_of(category: str | None, categories: NDArray[np.str_], similarity: NDArray[np.float32]) -> list[int]:
    """Return the numbers of a category's nearest products, none for None."""
    own = np.flatnonzero(categories == category) if category else np.zeros(0, np.int64)
    nearest: list[int] = own[np.argsort(-similarity[own], kind="stable")[:CANDIDATES]].tolist()
    return nearest


def reject(described: Described, labels: Labels) -> Rejection:
    """Return how often nothing is close enough, within the query's category."""
    types = np.array([product.article_type or "" for product in described.products])
    rows, scores = ranked_rows(described, labels, described.queries, described.gallery, True, 1)
    good = scores[types[rows[:, 0]] == types[described.queries]]
    kept = tuple(float((good >= threshold).mean()) if len(good) else 0.0 for threshold in THRESHOLDS)
    rejected, counts = {}, {}
    for name in TAKEN_OUT:
        asked = described.queries[types[described.queries] == name]
        others = described.gallery[types[described.gallery] != name]
        if len(asked) and len(others):
            _, firsts = ranked_rows(described, labels, asked, others, True, 1)
            rejected[name] = tuple(float((firsts < threshold).mean()) for threshold in THRESHOLDS)
            counts[name] = len(asked)
    at = max((t for t, share in zip(THRESHOLDS, kept, strict=True) if share >= GOOD_KEPT), default=0.0)
    return Rejection(THRESHOLDS, kept, rejected, counts, at)


def find_by_words(described: Described, models: Models) -> WordFigures:
    """Return how often products are found by their titles: by texts and pictures together, and by pictures alone."""
    asked = [int(row) for row in described.queries if described.products[row].title.strip()]
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "store", models.version, create=True)
        store.upsert([_entry(p, item) for p, item in zip(described.products, described.items, strict=True)])
        found = 0
        for row in asked:
            product = described.products[row]
            hits = words_page(product.title, models, store, Wanted(10)).hits
            found += any(hit.product_id == product.product_id for hit in hits)
    seen: list[bool] = []
    for row in asked if models.labels else ():
        assert models.labels is not None
        vector = models.labels.vector(read_words(described.products[row].title))
        if vector is None:
            seen.append(False)
            continue
        scores = described.matrix @ vector
        seen.append(bool((scores > scores[row]).sum() < 10))
    n = max(1, len(asked))
    return WordFigures(len(asked), found / n, float(np.mean(seen)) if seen else None)


def street_like_recall(
    described: Described, images: Mapping[int, Image], scenes: Sequence[Image], models: Models
) -> tuple[float, float]:
    """Return how often a street-like view finds its own product first, and among the first ten, of all products.

    They are compared as searches compare them, by parts, but labels have no say.

    Synthetic: views are made of the products' own pictures by `augment.STREET_VIEW`, with the seed `VIEW_SEED`, where
    `scenes` are put behind items whose background is plain. `images` are those of the queries, by row.
    """
    try:
        from twinset.describe.augment import STREET_VIEW, make_view
    except ImportError as exc:
        raise MissingExtra("torch", "train") from exc
    from twinset.describe.samples import ItemSample, cut_sample

    rng = np.random.default_rng(VIEW_SEED)
    ranks = []
    for row, image in images.items():
        sample = ItemSample(*cut_sample(image, described.items[row].box, item_mask(image)))
        view = make_view(sample, models.encoder.config.size, STREET_VIEW, scenes, rng)
        (seen,) = models.encoder.describe([view.pixels])
        nearest = np.argsort(-(described.matrix @ seen.embedding), kind="stable")[:CANDIDATES]
        apart = distances(seen.embedding, described.matrix[nearest], models.labels.parts if models.labels else ())
        own = apart[nearest == row]
        ranks.append(int((apart < own[0] - 1e-6).sum()) if len(own) else CANDIDATES)
    found = np.array(ranks)
    return (float((found < 1).mean()), float((found < 10).mean())) if len(found) else (0.0, 0.0)


def _hit(described: Described, row: int, cosine: float) -> Hit:
    item, product = described.items[row], described.products[row]
    score = min(max(round(cosine, SCORE_DECIMALS), 0.0), 1.0)
    return Hit(score, product, item.box, product.images[0], item.category, embedding=described.matrix[row])


def _key(hit: Hit) -> tuple[str, str]:
    return hit.product.shop, hit.product_id


def _entry(product: Product, item: Item) -> Entry:
    return Entry(product, (item,), ("",), "")
