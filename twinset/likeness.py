"""Put what a store found in order: the visual distance, what the item's picture says of labels, and the score shown.

The store brings the nearest products by their vectors. Here those whose feed contradicts the item's picture (another
article type, colour or gender) are moved back, by weights learned on dev; then distances become scores that mean the
same in every category: 1 for the same picture, 0.5 where a tenth of good first hits on dev are no closer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twinset.describe.words import gender_of
from twinset.taxonomy import default_taxonomy, fold
from twinset.types import Colour, FoundItem, Hit, Why

if TYPE_CHECKING:
    from twinset.describe.labels import Calibration, Labels, LabelWeights, Reading
    from twinset.store import Filter, Store

CANDIDATES = 200  # of the store's hits are put in order; more are asked for where more are wanted
SCORE_DECIMALS = 5
TAG_COLOURS = ("colour", "color")


def search_alike(
    embeddings: NDArray[np.float32],
    categories: Sequence[str | None],
    store: "Store",
    labels: "Labels | None",
    k: int,
    filter: "Filter | None" = None,
    weights: "LabelWeights | None" = None,
) -> list[list[Hit]]:
    """Return for each of (N, 256) unit vectors its `k` best products, best first.

    `weights` of labels take the place of the model's own. Without labels scores are cosines.
    """
    if labels is None:
        return store.search(embeddings, k, categories, filter)
    found = store.search(embeddings, max(k, CANDIDATES), categories, filter)
    return [
        rank_hits(hits, labels.read(embedding), weights or labels.weights, labels.calibration, category)[:k]
        for embedding, category, hits in zip(embeddings, categories, found, strict=True)
    ]


def rank_hits(
    hits: Sequence[Hit], reading: "Reading", weights: "LabelWeights", calibration: "Calibration", category: str | None
) -> list[Hit]:
    """Return hits with cosines as scores in their new order, with their new scores; ties by product_id."""
    half = calibration.half.get(category or "", calibration.half_any)
    scored = [(closeness((1 - hit.score) * (1 + contradiction(hit, reading, weights)), half), hit) for hit in hits]
    scored.sort(key=lambda pair: (-pair[0], pair[1].product_id, pair[1].product.shop))
    return [replace(hit, score=score) for score, hit in scored]


def closeness(distance: float, half: float) -> float:
    """Return the score in [0, 1] of a distance: 1 of none, 0.5 at `half`; without `half` what is left of 1."""
    value = 0.5 ** (distance / half) if half > 0 else 1 - distance
    return round(min(max(value, 0.0), 1.0), SCORE_DECIMALS)


def contradiction(hit: Hit, reading: "Reading", weights: "LabelWeights") -> float:
    """Return how much a product's feed contradicts the item's picture: 0 where it says what the picture most likely is.

    What the feed doesn't say counts as much as a label drawn by the picture's own probabilities would.
    """
    product = hit.product
    total = 0.0
    for weight, logs, said in (
        (weights.article_type, reading.article_types, fold(product.article_type or "")),
        (weights.colour, reading.colours, _feed_colour(product.tags) or ""),
        (weights.gender, reading.genders, _feed_gender(product.title) or ""),
    ):
        if weight and logs:
            total += weight * _unlikeliness(logs, said, weights.most)
    return total


def explain_hit(hit: Hit, item: FoundItem) -> Why:
    """Return what a hit and an item have in common."""
    shared = {name: value for name, value in item.attributes.items() if hit.attributes.get(name) == value}
    different = {
        name: (value, hit.attributes[name])
        for name, value in item.attributes.items()
        if name in hit.attributes and hit.attributes[name] != value
    }
    return Why(hit.category == item.category, colour_distance(item.colours, hit.colours), shared, different)


def colour_distance(first: Sequence[Colour], second: Sequence[Colour]) -> float:
    """Return the share in [0, 1] of two items' colours that they don't have in common."""
    shares = [{colour.name: colour.share for colour in colours} for colours in (first, second)]
    totals = [sum(named.values()) or 1.0 for named in shares]
    common = sum(min(share / totals[0], shares[1].get(name, 0.0) / totals[1]) for name, share in shares[0].items())
    return round(min(max(1 - common, 0.0), 1.0), SCORE_DECIMALS)


def _unlikeliness(logs: Mapping[str, float], said: str, most: float) -> float:
    """Return how many nats less likely what is said is than the likeliest."""
    best = max(logs.values())
    if said in logs:
        return min(best - logs[said], most)
    return float(sum(np.exp(log) * min(best - log, most) for log in logs.values()))


def _feed_colour(tags: Mapping[str, str]) -> str | None:
    named = next((tags[name] for name in TAG_COLOURS if tags.get(name)), None)
    return default_taxonomy().base_colour(named) if named else None


@lru_cache(maxsize=65536)
def _feed_gender(title: str) -> str | None:
    return gender_of([title])
