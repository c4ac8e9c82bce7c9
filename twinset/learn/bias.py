"""How likely a shopper is to look at a place in a list, whatever stands there.

A hit is clicked when it is looked at and wanted (the position-based model): P(click) = P(looked at | place) *
P(wanted | hit). Both are estimated together from clicks by regression EM: Wang, Golbandi, Bendersky, Metzler, Najork,
Position Bias Estimation for Unbiased Learning to Rank in Personal Search, WSDM 2018.
"""

import numpy as np
from numpy.typing import NDArray

from twinset.learn.shown import Shown

ROUNDS = 60
NEWTON_STEPS = 2  # of the wanting's regression in each round
RIDGE = 1.0
LEAST = 0.05  # of being looked at, beside the place looked at most: a click weighs at most twenty times another
ALONE = 10  # places with an estimate of their own; those behind share one by fives


def propensities(shown: Shown) -> NDArray[np.float64]:
    """Return (K,) how likely each place is looked at, the likeliest 1. Lists without clicks count too.

    Places that no list reaches keep the first guess, the less likely the later.
    """
    every = np.arange(shown.there.shape[1])
    buckets = np.where(every < ALONE, every, ALONE + (every - ALONE) // 5)
    bucket = np.broadcast_to(buckets, shown.there.shape)[shown.there]
    clicked = shown.clicked[shown.there].astype(np.float64)
    facts = np.column_stack([_standard(shown.features[shown.there]), np.ones(len(bucket))])
    looked = 1.0 / (1.0 + np.arange(buckets.max() + 1))
    weights = np.zeros(facts.shape[1])
    counts = np.bincount(bucket, minlength=len(looked))
    for _ in range(ROUNDS):
        wanted = _sigmoid(facts @ weights)
        missed = np.maximum(1 - looked[bucket] * wanted, 1e-9)
        was_looked = np.where(clicked > 0, 1.0, looked[bucket] * (1 - wanted) / missed)
        was_wanted = np.where(clicked > 0, 1.0, wanted * (1 - looked[bucket]) / missed)
        looked = np.where(counts, np.bincount(bucket, was_looked, len(looked)) / np.maximum(counts, 1), looked)
        for _ in range(NEWTON_STEPS):
            weights = _newton_step(facts, was_wanted, weights)
    found = looked[buckets]
    shares: NDArray[np.float64] = np.maximum(found / max(found.max(initial=0), 1e-9), LEAST)
    return shares


def _newton_step(
    facts: NDArray[np.float64], targets: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a logistic regression's weights one step nearer to targets in [0, 1]."""
    guessed = _sigmoid(facts @ weights)
    gradient = facts.T @ (guessed - targets) + RIDGE * weights
    curvature = (facts * (guessed * (1 - guessed))[:, None]).T @ facts + RIDGE * np.eye(len(weights))
    step = np.linalg.solve(curvature, gradient)
    length = np.linalg.norm(step)
    return weights - step * min(1.0, 2.0 / max(float(length), 1e-9))


def _standard(facts: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = facts.std(0) if len(facts) else np.ones(facts.shape[1])
    return (facts - facts.mean(0, keepdims=True) if len(facts) else facts) / np.where(spread > 1e-9, spread, 1.0)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(x, -30, 30)))
    return found
