"""Fit an order of hits to clicks, and judge it on lists that were held out.

The fit is listwise: in each list the clicked hits should have the largest share of a softmax over the list's worths,
each click weighing the inverse of how likely its place is looked at (Joachims, Swaminathan, Schnabel, Unbiased
Learning-to-Rank with Biased Feedback, WSDM 2017). The loss is convex; Newton's method finds its minimum.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinset.learn.shown import Shown
from twinset.ranking import FEATURES

STEPS = 30
RIDGE = 5.0  # of weights of features scaled to a spread of 1 within lists
AT = 5  # hits that most shoppers see
LEVEL = 0.01  # of significance, of both tests
SHUFFLES = 1000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an order would have brought on lists held out."""

    clicks_at_5: float  # of a hundred lists, as they were shown
    learned_clicks_at_5: float
    p_better: float  # how likely so much would be found if the order were no better
    p_related: float  # how likely if clicks had nothing to do with the hits but their places

    @property
    def gain(self) -> float:
        return self.learned_clicks_at_5 / self.clicks_at_5 - 1 if self.clicks_at_5 else 0.0

    @property
    def holds(self) -> bool:
        """Whether the order is better beyond chance."""
        return self.gain > 0 and self.p_better < LEVEL and self.p_related < LEVEL


def fit(shown: Shown, looked: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (5,) weights of FEATURES. `looked` (K,) says how likely each place is looked at."""
    facts, spread = _scaled(shown)
    targets = shown.clicked / looked
    totals = targets.sum(1)
    weights = np.zeros(len(FEATURES))
    for _ in range(STEPS):
        worth = np.where(shown.there, facts @ weights, -np.inf)
        shares = np.exp(worth - worth.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        means = np.einsum("lk,lkf->lf", shares, facts)
        gradient = totals @ means - np.einsum("lk,lkf->f", targets, facts) + RIDGE * weights
        heavy = shares * totals[:, None]
        curvature = np.einsum("lk,lkf,lkg->fg", heavy, facts, facts) - (means * totals[:, None]).T @ means
        step = np.linalg.solve(curvature + RIDGE * np.eye(len(weights)), gradient)
        weights = weights - step * min(1.0, 2.0 / max(float(np.linalg.norm(step)), 1e-9))
        if np.abs(step).max() < 1e-6:
            break
    return weights / spread


def judge(shown: Shown, weights: NDArray[np.float64], looked: NDArray[np.float64], seed: int = 0) -> Verdict:
    """Return what the order by `weights` would have brought, compared with the order that was shown.

    A click on a hit that moves from a place to another counts as often as the new place is looked at more. Two tests:
    a paired one of the lists' gains, and one against clicks that are swapped between lists at their places, which
    holds whatever is wrong with `looked`.
    """
    worth = np.where(shown.there, shown.features @ weights, -np.inf)
    places = np.argsort(np.argsort(-worth, axis=1, kind="stable"), axis=1)
    value = np.where((places < AT) & shown.there, looked[places] / looked, 0.0)  # of a click, at its new place
    before = shown.clicked[:, :AT].sum(1).astype(np.float64)
    after = (value * shown.clicked).sum(1)
    count = max(len(shown), 1)
    return Verdict(
        100 * float(before.sum()) / count,
        100 * float(after.sum()) / count,
        _p_above_zero(after - before),
        _p_shuffled(shown, value, float(after.sum()), seed),
    )


def _p_above_zero(gains: NDArray[np.float64]) -> float:
    """Return how likely a mean so high is of gains whose true mean is 0."""
    if len(gains) < 2 or not gains.std():
        return 1.0
    z = float(gains.mean() / (gains.std(ddof=1) / math.sqrt(len(gains))))
    return 0.5 * math.erfc(z / math.sqrt(2))


def _p_shuffled(shown: Shown, value: NDArray[np.float64], found: float, seed: int) -> float:
    """Return the share of swaps of clicks between lists of one length that bring as much."""
    random = np.random.default_rng(seed)
    lengths = shown.there.sum(1)
    alike = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
    as_good = 1
    for _ in range(SHUFFLES):
        swapped = np.arange(len(shown))
        for rows in alike:
            swapped[rows] = random.permutation(rows)
        as_good += float((value * shown.clicked[swapped]).sum()) >= found
    return as_good / (SHUFFLES + 1)


def _scaled(shown: Shown) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return features less their list's mean and scaled to a spread of 1, and what they were divided by."""
    there = shown.there[..., None]
    means = (shown.features * there).sum(1, keepdims=True) / np.maximum(there.sum(1, keepdims=True), 1)
    centred = (shown.features - means) * there
    spread = np.sqrt((centred**2).sum((0, 1)) / max(int(shown.there.sum()), 1))
    spread = np.where(spread > 1e-9, spread, 1.0)
    return centred / spread, spread
