"""Milliseconds of detection by photo size, without decoding. Convolutions limit it: time grows with the area."""

import dataclasses
from pathlib import Path

import numpy as np

from twinset.bench.yardstick import percentiles, print_results, time_ms, yardstick_ms
from twinset.detect.detector import Detector, input_size_wh
from twinset.models import load_models
from twinset.taxonomy import default_taxonomy

AREAS = (256 * 160, 320 * 224, 384 * 256, 512 * 320)
PHOTO_WH = (400, 600)


def run(model: str, threads: int, voc: Path | None = None) -> None:
    """Print latency by input area, with mAP50 on the photos' val split beside it where they are given."""
    detector = load_models(model, threads).detector
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (PHOTO_WH[1], PHOTO_WH[0], 3), np.uint8)
    yardstick = yardstick_ms()
    rows = []
    for area in AREAS:
        resized = Detector(detector.run, dataclasses.replace(detector.config, input_area=area))
        p50, p95 = percentiles(time_ms(lambda one=resized: one.detect(photo)))  # type: ignore[misc]
        width, height = input_size_wh(*PHOTO_WH, area)
        rows.append((f"{width}x{height}", p50, p95, p50 / yardstick, _map_50(resized, voc)))
    header = ("input", "p50_ms", "p95_ms", "of_yardstick", "map_50")
    print_results("detector", header, rows, model=model, threads=threads, yardstick_ms=yardstick)


def _map_50(detector: Detector, voc: Path | None) -> float | None:
    if voc is None:
        return None
    from twinset.data.voc import read_voc
    from twinset.evaluate.detection import evaluate_detector

    return evaluate_detector(read_voc(voc, "val", default_taxonomy()), detector).map_50
