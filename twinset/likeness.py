"""Put what a store found in order: the visual distance, what the item's picture says of labels, and the score shown.

The store brings the nearest products by their vectors. Here they are compared by the parts of these, see
describe/distance.py, and those whose feed contradicts the item's picture (another article type, colour or gender, and
another category where all are searched) are moved back, by weights learned on dev; then distances become scores that
mean the same in every category: 1 for the same picture, 0.5 where a tenth of good first hits of dev's street photos are
no closer.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twinset.describe.distance import distances
from twinset.describe.words import gender_of
from twinset.taxonomy import default_taxonomy, fold
from twinset.types import Colour, FoundItem, Hit, Why

if TYPE_CHECKING:
    from twinset.describe.labels import Calibration, Labels, LabelWeights, Reading
    from twinset.store import Filter, Store

CANDIDATES = 100  # of the store's hits are put in order at a time
SCORE_DECIMALS = 5
BLOCK_DECIMALS = 6
LOW = 0.02  # a score below tells an order alone
ROOM = 0.9  # of `LOW` or of the best of a block, whichever is less: what its last has at least


def search_alike(
    embeddings: NDArray[np.float32],
    categories: Sequence[str | None],
    store: "Store",
    labels: "Labels | None",
    k: int,
    filter: "Filter | None" = None,
    weights: "LabelWeights | None" = None,
    seen: Sequence[Mapping[str, float]] | None = None,
) -> list[list[Hit]]:
    """Return for each of (N, 256) unit vectors its `k` best products, best first.

    `seen` are a detector's scores by category in each one's place, for those that are searched over all categories.
    `weights` of labels take the place of the model's own. Without labels scores are cosines.
    """
    if labels is None:
        return store.search(embeddings, k, categories, filter)
    many = -(-k // CANDIDATES) * CANDIDATES  # whole blocks, so that further pages change nothing of those before
    found = _by_parts(embeddings, store.search(embeddings, many, categories, filter), labels)
    readings = [
        labels.read(embedding, scores) for embedding, scores in zip(embeddings, seen or ({},) * len(found), strict=True)
    ]
    weighed = weights or labels.weights
    likely = {i: likeliest(readings[i], weighed) for i, category in enumerate(categories) if category is None}
    asked = [i for i, category in likely.items() if category]
    within = store.search(embeddings[asked], CANDIDATES, [likely[i] for i in asked], filter) if asked else []
    beside = dict(zip(asked, _by_parts(embeddings[asked], within, labels), strict=True))
    return [
        rank_hits(hits, reading, weighed, labels.calibration, category, k, beside.get(i, ()))
        for i, (category, hits, reading) in enumerate(zip(categories, found, readings, strict=True))
    ]


def _by_parts(embeddings: NDArray[np.float32], found: Sequence[Sequence[Hit]], labels: "Labels") -> list[list[Hit]]:
    return [by_parts(embedding, hits, labels.parts) for embedding, hits in zip(embeddings, found, strict=True)]


def by_parts(embedding: NDArray[np.float32], hits: Sequence[Hit], parts: Sequence[int]) -> list[Hit]:
    """Return hits, in the same order, scored by how near the parts of their embeddings are to those of a unit vector.

    Hits of a model whose embedding has but one part keep their cosines.
    """
    stored = [hit.embedding for hit in hits if hit.embedding is not None]
    if len(parts) < 2 or not hits or len(stored) < len(hits):
        return list(hits)
    near = 1 - distances(embedding, np.stack(stored), parts).astype(np.float64)
    return [hit.scored(score) for hit, score in zip(hits, near.clip(0, 1).round(SCORE_DECIMALS).tolist(), strict=True)]


def likeliest(reading: "Reading", weights: "LabelWeights") -> str | None:
    """Return the category an item of none most likely has, None where that has no weight.

    Among its nearest products of all categories may be none of a category that the shop has little of: the nearest of
    this one are looked at, too.
    """
    if not weights.category or not reading.categories:
        return None
    return max(reading.categories, key=reading.categories.__getitem__)


def rank_hits(
    hits: Sequence[Hit],
    reading: "Reading",
    weights: "LabelWeights",
    calibration: "Calibration",
    category: str | None,
    k: int | None = None,
    beside: Sequence[Hit] = (),
) -> list[Hit]:
    """Return hits with `1 - distance` as scores in their new order, with new scores, the first `k`; ties by product_id.

    Blocks of `CANDIDATES` are put in order each by itself; what comes after scores no more than what came before; see
    `scores_under`. `beside`, the nearest of an item's likeliest category, belong to the first.
    """
    half = calibration.half.get(category or "", calibration.half_any)
    judge = Contradiction(reading, weights, everywhere=category is None)
    ranked: list[Hit] = []
    most = 1.0
    k = len(hits) + len(beside) if k is None else k
    for block in _blocks(hits, beside):
        scores = [closeness((1 - hit.score) * (1 + judge.of(hit)), half) for hit in block]
        scored = list(zip(scores_under(most, scores), block, strict=True))
        scored.sort(key=lambda pair: (-pair[0], pair[1].product_id, pair[1].product.shop))
        ranked += [hit.scored(score) for score, hit in scored[: k - len(ranked)]]
        if len(ranked) >= k:
            break
        most = ranked[-1].score if ranked else most
    return ranked


def _blocks(hits: Sequence[Hit], beside: Sequence[Hit]) -> list[Sequence[Hit]]:
    """Return hits in blocks by their places, each product once: where it is nearer, of two of its pictures."""
    blocks = [hits[start : start + CANDIDATES] for start in range(0, len(hits), CANDIDATES)]
    if not beside:
        return blocks
    first = {hit.one_hit: hit for hit in hits[:CANDIDATES]}
    for hit in beside:
        if hit.one_hit not in first or first[hit.one_hit].score < hit.score:
            first[hit.one_hit] = hit
    return [list(first.values()), *([hit for hit in block if hit.one_hit not in first] for block in blocks[1:])]


def scores_under(most: float, scores: Sequence[float]) -> list[float]:
    """Return a block's scores in the order they were in, none above `most`: what its best has to lose, all lose alike.

    Those below `LOW` stay near it, so that the blocks behind have room for an order of their own.
    """
    best = max(scores, default=0.0)
    share = most / best if best > most else 1.0
    low = min(LOW, most)
    under = (score * share for score in scores)
    return [round(s if s >= low else low * ROOM + s * (1 - ROOM), BLOCK_DECIMALS) for s in under]


def closeness(distance: float, half: float) -> float:
    """Return the score in [0, 1] of a distance: 1 of none, 0.5 at `half`; without `half` what is left of 1."""
    value = 0.5 ** (distance / half) if half > 0 else 1 - distance
    return round(min(max(value, 0.0), 1.0), SCORE_DECIMALS)


class Contradiction:
    """How much products' feeds contradict an item's picture: 0 where they say what the picture most likely is.

    What a feed doesn't say counts as much as a label drawn by the picture's own probabilities would. Categories count
    where products of all of them are searched, `everywhere`; what belongs to none contradicts none.
    """

    def __init__(self, reading: "Reading", weights: "LabelWeights", everywhere: bool = False) -> None:
        types, unsaid = _costs(reading.article_types, weights.article_type, weights.most)
        meant: dict[str, float] = {}  # by the taxonomy's types: feeds have words of their own for them
        for word, cost in types.items():
            meaning = _type_meant(word)
            meant[meaning] = min(cost, meant.get(meaning, cost))
        self._types = meant | types, unsaid
        self._colours = _costs(reading.colours, weights.colour, weights.most)
        self._genders = _costs(reading.genders, weights.gender, weights.most)
        self._categories = _costs(reading.categories, weights.category if everywhere else 0.0, weights.most)

    def of(self, hit: Hit) -> float:
        """Return the nats, weighed, by which what a product's feed says is less likely than the likeliest."""
        product = hit.product
        (types, type_), (colours, colour), (genders, gender) = self._types, self._colours, self._genders
        categories, category = self._categories
        total = 0.0
        if types and product.article_type:
            word = _folded(product.article_type)
            total = types.get(word, types.get(_type_meant(word), type_))
        elif types:
            total = type_
        total += colours.get(_feed_colour(product.tags) or "", colour) if colours else 0.0
        total += genders.get(_feed_gender(product.title) or "", gender) if genders else 0.0
        return total + (categories.get(hit.category, category) if categories and hit.category else 0.0)


def _costs(logs: Mapping[str, float], weight: float, most: float) -> tuple[dict[str, float], float]:
    """Return each label's cost, and that of saying nothing; no costs where they have no weight."""
    if not weight or not logs:
        return {}, 0.0
    best = max(logs.values())
    costs = {name: weight * min(best - log, most) for name, log in logs.items()}
    return costs, sum(math.exp(log) * costs[name] for name, log in logs.items())


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
    shares, others = ({colour.name: colour.share for colour in colours} for colours in (first, second))
    total, other_total = (sum(named.values()) or 1.0 for named in (shares, others))
    common = 0.0
    for name, share in shares.items():
        if name in others:
            common += min(share / total, others[name] / other_total)
    return round(min(max(1 - common, 0.0), 1.0), SCORE_DECIMALS)


@lru_cache(maxsize=4096)
def _folded(word: str) -> str:
    return fold(word)


@lru_cache(maxsize=4096)
def _type_meant(word: str) -> str:
    """Return the taxonomy's article type a word means, as `fold` spells it, else the word."""
    return fold(default_taxonomy().type_of(word) or word)


@lru_cache(maxsize=4096)
def _base_colour(word: str) -> str | None:
    return default_taxonomy().base_colour(word)


def _feed_colour(tags: Mapping[str, str]) -> str | None:
    named = tags.get("colour") or tags.get("color")
    return _base_colour(named) if named else None


@lru_cache(maxsize=65536)
def _feed_gender(title: str) -> str | None:
    return gender_of([title])
