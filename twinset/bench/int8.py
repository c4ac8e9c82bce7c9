"""Whether an int8 detector is worth having on this machine: its time and its accuracy beside those of fp32."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from twinset.bench.timing import percentiles, time_ms
from twinset.detect.detector import Detector, DetectorConfig
from twinset.runtime import OnnxSession
from twinset.types import Image

MOST_LOST = 0.005  # of mAP50, from which int8 isn't worth it


@dataclass(frozen=True, slots=True)
class Bargain:
    """An fp32 and an int8 detector side by side."""

    fp32_ms: float  # median a photo
    int8_ms: float
    fp32_map_50: float
    int8_map_50: float

    @property
    def recommended(self) -> bool:
        """Whether int8 is faster and within half a point of mAP50."""
        return self.int8_ms < self.fp32_ms and self.fp32_map_50 - self.int8_map_50 <= MOST_LOST


def compare(
    fp32: Path,
    int8: Path,
    config: DetectorConfig,
    photos: Sequence[Image],
    map_50: Callable[[Detector], float],
    threads: int | None,
) -> Bargain:
    """Return both files' latency on photos, turn by turn, and mAP50, on ONNX Runtime."""
    detectors = [Detector(OnnxSession(file, threads), config) for file in (fp32, int8)]
    times: list[list[float]] = [[], []]
    turn = itertools.cycle(photos)
    for _ in range(4):  # in turns, so that a busy moment hits both
        for mine, detector in zip(times, detectors, strict=True):
            mine += time_ms(lambda detector=detector: detector.detect(next(turn)), 10, 2)  # type: ignore[misc]
    medians = [percentiles(mine)[0] for mine in times]
    figures = [map_50(detector) for detector in detectors]
    return Bargain(medians[0], medians[1], figures[0], figures[1])
