"""What fills a photo is what the photo as a whole looks like: the detector's scores, weighed by its description.

A detector takes the upper half of a dress for a top where the photo shows little else; the encoder, asked what the
photo is of, sees the dress.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from twinset.boxes import box_area
from twinset.types import Detections, Image

# Log odds of a detection that has this share of the photo rise by so much times the log probability of its category,
# counted from the least on. Chosen on dev's street photos, close-ups of them, and shop pictures.
SHARE, WEIGHT, LEAST = 0.3, 1.3, -2.0
# Where something scores SURE or more, what scores less than LIKELY doesn't rise: in photos of no one thing, backgrounds
# would soon be called bags.
SURE, LIKELY = 0.5, 0.1


def filling(found: Detections, image: Image) -> NDArray[np.bool_]:
    """Return (N,) which detections have a large share of the photo they are in."""
    large: NDArray[np.bool_] = box_area(found.boxes) >= SHARE * image.shape[0] * image.shape[1]
    return large


def least_score(min_score: float) -> float:
    """Return the score with which a detection may still rise to `min_score`."""
    return float(_moved(np.array([min_score]), WEIGHT * LEAST)[0])


def raise_filling(found: Detections, image: Image, looks: Mapping[str, float], categories: Sequence[str]) -> Detections:
    """Return the detections, best first, those that fill the photo with higher scores the more it looks like them.

    `looks` are the log probabilities of categories for the whole photo; `categories` are what labels index into. One
    that `looks` lacks rises as the likeliest does, so that it stays before and behind those it was.
    """
    likeliest = max(looks.values())
    gains = np.array([max(looks.get(name, likeliest), LEAST) - LEAST for name in categories])
    may_rise = filling(found, image) & ((found.scores >= LIKELY) | ~(found.scores >= SURE).any())
    gain = np.where(may_rise, WEIGHT * gains[found.labels], 0)
    scores = _moved(found.scores.astype(np.float64), gain).astype(np.float32)
    best = np.argsort(-scores, kind="stable")
    return Detections(found.boxes[best], scores[best], found.labels[best])


def _moved(scores: NDArray[np.float64], gain: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return (N,) scores whose log odds are greater by `gain`."""
    odds = scores * np.exp(gain)  # times what is left of 1, which may be nothing
    moved: NDArray[np.float64] = odds / (odds + 1 - scores)
    return moved
