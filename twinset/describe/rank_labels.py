"""Choose on dev how much labels count in ranking, and what scores mean.

Products are ranked as `likeness.rank_hits` does it, all queries at a time.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from twinset.describe.distance import distances
from twinset.describe.embedded import NOTHING, Embedded, Floats
from twinset.describe.labels import Calibration, Labels, LabelWeights
from twinset.describe.samples import UNKNOWN, Vocabulary

TYPE_COUNTS, COLOUR_COUNTS = (0.0, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0), (0.0, 0.2, 0.5, 1.0, 1.5, 2.5, 4.0, 7.0)
GENDER_COUNTS, CATEGORY_COUNTS = (0.0, 0.1, 0.3, 0.6, 1.0), (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
CLOSE = 0.05  # in the sum of up to seven shares of right first hits: less is chance
CATEGORY_CLOSE = 0.01  # in the sum of two shares of first hits of the right category
CANDIDATES = 100  # as likeness.py has it
ELSEWHERE = np.float32(4)  # the distance of products of another category, where only one is searched
BATCH = 64  # queries compared with their candidates at once
GOOD_KEPT = 0.9  # of good first hits, that score 0.5 or more
ENOUGH_HITS = 15  # a category's own distance is measured on


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Queries' nearest products: distances, and how unlikely their labels are for the query."""

    distances: Floats  # (Q, K)
    unlikely: tuple[Floats, Floats, Floats]  # of article type, colour, gender; (Q, K)
    categories: Floats  # the same of categories where all were searched, else 0
    rows: NDArray[np.int64]  # (Q, K) of the gallery

    def order(self, weights: LabelWeights) -> Floats:
        """Return (Q, K) distances as ranking sees them."""
        type_, colour, gender = self.unlikely
        extra = weights.article_type * type_ + weights.colour * colour + weights.gender * gender
        extra += weights.category * self.categories
        return np.asarray(self.distances * (1 + extra), np.float32)


def rank_nearest(labels: Labels, gallery: Embedded, queries: Embedded, everywhere: bool = False) -> Ranked:
    """Return each query's `CANDIDATES` nearest products by cosine, as far as `likeness.search_alike` sees them.

    They are of the query's category; if `everywhere` of any, and as many of the one its picture is likeliest of.
    """
    most = LabelWeights().most
    cosines = queries.embeddings @ gallery.embeddings.T
    if not everywhere:
        cosines -= 4.0 * (queries.labels("category")[:, None] != gallery.labels("category")[None])
    k = min(CANDIDATES, len(gallery.samples))
    rows = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    if everywhere and labels.category is not None:
        likeliest = labels.log_probabilities("category", queries.embeddings).argmax(1)
        within = cosines - 4.0 * (likeliest[:, None] != gallery.labels("category")[None])
        rows = np.concatenate([rows, np.argpartition(-within, k - 1, axis=1)[:, :k]], axis=1)  # some twice: no harm
    apart = np.concatenate(
        [
            distances(queries.embeddings[i : i + BATCH], gallery.embeddings[rows[i : i + BATCH]], labels.parts)
            for i in range(0, len(rows), BATCH)
        ]
        or [np.zeros((0, k), np.float32)]
    )
    apart[np.take_along_axis(cosines, rows, 1) < -1.5] = ELSEWHERE
    unlikely = tuple(
        _unlikely(labels.log_probabilities(name, queries.embeddings), gallery.labels(field)[rows], most)
        for name, field in (("article_type", "article_type"), ("colour", "base_colour"), ("gender", "gender"))
    )
    categories = np.zeros_like(unlikely[0])
    if everywhere and labels.category is not None:
        said, logs = gallery.labels("category")[rows], labels.log_probabilities("category", queries.embeddings)
        categories = np.where(said == UNKNOWN, 0, _unlikely(logs, said, most)).astype(np.float32)
    return Ranked(apart, (unlikely[0], unlikely[1], unlikely[2]), categories, rows)


def _unlikely(logs: Floats, said: NDArray[np.int64], most: float) -> Floats:
    """Return (Q, K) how many nats less likely what rows say is than the likeliest; for silence what is expected.

    logs (Q, C): of the probabilities of the classes.
    """
    behind = np.minimum(logs.max(1, keepdims=True) - logs, most)  # (Q, C)
    expected = (np.exp(logs) * behind).sum(1, keepdims=True)
    found = np.take_along_axis(behind, np.maximum(said, 0), 1)
    return np.asarray(np.where(said == UNKNOWN, expected, found), np.float32)


def label_weights(
    labels: Labels, gallery: Embedded, queries: Embedded, street: Embedded = NOTHING
) -> tuple[LabelWeights, dict[str, float]]:
    """Return the weights with which the first hit is right most often, by article type, colour, both and gender.

    `street` are items of street photos; of them, too, those count whose type or colour is known. Which weights are best
    by a thousand queries is chance: of all within `CLOSE` of the best those in their middle are taken. What the gallery
    says nothing of has no weight.
    """
    if not len(queries.samples):
        return LabelWeights(), {}
    asked = {"": (queries, rank_nearest(labels, gallery, queries))}
    if len(street.samples):
        asked["_in_street"] = street, rank_nearest(labels, gallery, street)
    trials = []
    counts = {"article_type": TYPE_COUNTS, "base_colour": COLOUR_COUNTS, "gender": GENDER_COUNTS}
    said = [len(tried) if (gallery.labels(name) != UNKNOWN).any() else 1 for name, tried in counts.items()]
    steps = list(itertools.product(*map(range, said)))
    for i, j, k in steps:
        weights, trial = LabelWeights(TYPE_COUNTS[i], COLOUR_COUNTS[j], GENDER_COUNTS[k]), dict[str, float]()
        for where, (part, ranked) in asked.items():
            first, _ = _first(ranked, weights)
            trial |= {f"{name}{where}": share for name, share in _right(gallery, first, part).items()}
        trials.append((weights, trial))
    unweighted = {f"{name}_unweighted": share for name, share in trials[0][1].items()}
    totals = np.array([sum(trial.values()) for _, trial in trials])
    best, figures = trials[_middle(np.array(steps), totals >= totals.max() - CLOSE)]
    return best, unweighted | figures


def _middle(steps: NDArray[np.int64], close: NDArray[np.bool_]) -> int:
    """Return which of the (N, D) steps of a grid, of those that are close to the best, is nearest to their mean."""
    chosen = np.flatnonzero(close)
    apart = np.square(steps[chosen] - steps[chosen].mean(0)).sum(1)
    return int(chosen[apart.argmin()])


def with_category(
    labels: Labels, weights: LabelWeights, gallery: Embedded, asked: Sequence[Embedded]
) -> tuple[LabelWeights, dict[str, float]]:
    """Return the weights with that of the category, and how often first hits are of their query's category then.

    In searches over all categories, of shops' pictures and of street photos, each as one; of the weights within
    `CATEGORY_CLOSE` of the best the greatest: what a detector sees in the place, which searches know beside it, makes
    categories surer than they are here. None where it brings no more than that.
    """
    parts = []
    for queries in asked:
        known = [i for i, sample in enumerate(queries.samples) if sample.category != UNKNOWN]
        if known:
            part = Embedded([queries.samples[i] for i in known], queries.embeddings[known])
            parts.append((part.labels("category"), rank_nearest(labels, gallery, part, everywhere=True)))
    if not parts:
        return weights, {}
    categories = gallery.labels("category")
    trials = []
    for count in CATEGORY_COUNTS:
        trial = replace(weights, category=count)
        shares = [float((categories[_first(ranked, trial)[0]] == own).mean()) for own, ranked in parts]
        trials.append((sum(shares), trial, shares))
    enough = max(total for total, *_ in trials) - CATEGORY_CLOSE
    _, best, shares = trials[0] if trials[0][0] >= enough else [trial for trial in trials if trial[0] >= enough][-1]
    names = ("first_category", "first_category_in_street")
    return best, {name: round(share, 4) for name, share in zip(names, shares, strict=False)}


def _right(gallery: Embedded, first: NDArray[np.int64], queries: Embedded) -> dict[str, float]:
    """Return how often first hits share what is known of their queries, of those whose category the gallery has."""
    shares, met = {}, gallery.labels("category")[first] == queries.labels("category")
    same: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {}
    for name in ("article_type", "base_colour", "gender"):
        own, others = queries.labels(name), gallery.labels(name)[first]
        same[name] = own == others, met & (own != UNKNOWN) & (others != UNKNOWN)
    for name, field in (("type", "article_type"), ("colour", "base_colour"), ("gender", "gender")):
        right, known = same[field]
        if known.any():
            shares[f"first_{name}"] = round(float(right[known].mean()), 4)
    (types, typed), (colours, coloured) = same["article_type"], same["base_colour"]
    if (typed & coloured).any():
        shares["first_both"] = round(float((types & colours)[typed & coloured].mean()), 4)
    return shares


def shop_hits(
    labels: Labels, weights: LabelWeights, gallery: Embedded, parts: Sequence[Embedded]
) -> dict[int, list[float]]:
    """Return by category how far first hits of the query's own article type are, as ranking sees it."""
    good: dict[int, list[float]] = {}
    types = gallery.labels("article_type")
    for queries in (part for part in parts if len(part.samples)):
        first, nearest = _first(rank_nearest(labels, gallery, queries), weights)
        for sample, row, distance in zip(queries.samples, first, nearest, strict=True):
            if types[row] == sample.article_type:
                good.setdefault(sample.category, []).append(float(distance))
    return good


def street_hits(labels: Labels, weights: LabelWeights, gallery: Embedded, queries: Embedded) -> dict[int, list[float]]:
    """Return the same for items of street photos, good where the nearest of all products is of the item's category."""
    good: dict[int, list[float]] = {}
    categories = gallery.labels("category")
    overall = (queries.embeddings @ gallery.embeddings.T).argmax(1)
    _, nearest = _first(rank_nearest(labels, gallery, queries), weights)
    for sample, row, distance in zip(queries.samples, overall, nearest, strict=True):
        if categories[row] == sample.category:
            good.setdefault(sample.category, []).append(float(distance))
    return good


def _first(ranked: Ranked, weights: LabelWeights) -> tuple[NDArray[np.int64], Floats]:
    """Return (Q,) the rows of first hits and their distances as ranking sees them."""
    order = ranked.order(weights)
    place = order.argmin(1)[:, None]
    return np.take_along_axis(ranked.rows, place, 1)[:, 0], np.take_along_axis(order, place, 1)[:, 0]


def calibrate(
    shop: Mapping[int, Sequence[float]], street: Mapping[int, Sequence[float]], vocabulary: Vocabulary
) -> Calibration:
    """Return the distances that `GOOD_KEPT` of good first hits don't exceed, by category.

    Shoppers send street photos, which are farther from a shop's pictures than these from each other: a category that
    has enough of them takes its distance from them, the others from shop views and made street views.
    """
    taken = {**shop, **{category: hits for category, hits in street.items() if len(hits) >= ENOUGH_HITS}}
    many = sum(map(len, street.values())) >= ENOUGH_HITS
    every = [distance for hits in (street if many else shop).values() for distance in hits]
    if not every:
        return Calibration()
    half = {
        vocabulary.categories[category]: round(float(np.quantile(hits, GOOD_KEPT)), 5)
        for category, hits in sorted(taken.items())
        if category != UNKNOWN and len(hits) >= ENOUGH_HITS
    }
    return Calibration(half, round(float(np.quantile(every, GOOD_KEPT)), 5), 0.5)
