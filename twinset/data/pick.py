"""Choose the photos most worth labelling next: those a detector is least sure of, no two of them alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twinset.types import Detections

POOL = 4  # times as many uncertain photos as are wanted, of which the most diverse are taken


def uncertainty(found: Detections, min_score: float) -> float:
    """Return how much a detector doubts what it finds in a photo: the sum of its detections' doubts.

    A detection at the operating threshold has doubt 1, falling to 0 at half of it and where the score is 1.
    """
    below = (found.scores - min_score / 2) / (min_score / 2)
    above = (1 - found.scores) / (1 - min_score)
    return float(np.clip(np.minimum(below, above), 0, 1).sum())


def pick_photos(doubts: Sequence[float], embeddings: NDArray[np.float32], count: int) -> list[int]:
    """Return the indices of `count` photos: among the most doubtful, each as unlike those before it as can be.

    embeddings (N, D) unit length. The first is the most doubtful; then the one farthest from its nearest chosen one is
    taken, again and again (k-centre, Sener & Savarese, "Active Learning for CNNs", ICLR 2018, algorithm 1).
    """
    pool = np.argsort(-np.array(doubts), kind="stable")[: POOL * count]
    if not len(pool) or count < 1:
        return []
    chosen = [0]  # rows of the pool
    nearest = 1 - embeddings[pool] @ embeddings[pool[0]]
    while len(chosen) < min(count, len(pool)):
        nearest[chosen] = -np.inf
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, 1 - embeddings[pool] @ embeddings[pool[chosen[-1]]])
    return [int(pool[row]) for row in chosen]
