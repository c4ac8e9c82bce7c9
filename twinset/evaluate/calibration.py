"""How far scores can be believed: of detections scored 0.7, are seven in ten right?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """The detections of a range of scores."""

    low: float
    high: float
    n: int
    score: float  # mean
    right: float  # share, at IoU 0.5


@dataclass(frozen=True, slots=True)
class Calibration:
    ece: float  # expected calibration error: the bins' |score - right|, weighted by their detections
    bins: tuple[Bin, ...]  # those that have detections

    def as_json(self) -> dict[str, object]:
        """Return the figures by name."""
        names = ("low", "high", "n", "score", "right")
        return {"ece": self.ece, "bins": [{name: getattr(one, name) for name in names} for one in self.bins]}


def calibrate(scores: Sequence[float], right: Sequence[bool]) -> Calibration | None:
    """Return the reliability of scores in [0, 1] in ten bins, None of no detections.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2.
    """
    if not len(scores):
        return None
    score, ok = np.array(scores, float), np.array(right, bool)
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    bins = []
    for i in np.unique(place).tolist():
        own = place == i
        means = float(score[own].mean()), float(ok[own].mean())
        bins.append(Bin(i / BINS, (i + 1) / BINS, int(own.sum()), *means))
    ece = sum(one.n * abs(one.score - one.right) for one in bins) / len(score)
    return Calibration(ece, tuple(bins))
