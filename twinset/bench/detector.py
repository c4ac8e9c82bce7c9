"""Milliseconds from a photo's JPEG bytes to its items, by size of the network's input: decoding and NMS are included.

The convolutions limit it: their time grows with the input's area.
"""

import dataclasses
import itertools
from pathlib import Path

import numpy as np

from twinset.bench.timing import percentiles, print_results, time_ms
from twinset.bench.yardstick import yardstick_ms
from twinset.data.drawn import LOOK_WH, draw_look
from twinset.detect.detector import Detector, input_size_wh
from twinset.images import decode_image, encode_jpeg
from twinset.models import load_models
from twinset.taxonomy import default_taxonomy

AREAS = (256 * 160, 320 * 224, 384 * 256, 512 * 320)
PHOTOS = 8


def run(model: str, threads: int, voc: Path | None = None, repeats: int = 60) -> None:
    """Print latency by input area, with mAP50 on the photos' val split beside it where they are given."""
    detector = load_models(model, threads).detector
    rng = np.random.default_rng(0)
    photos = [encode_jpeg(draw_look(rng).image) for _ in range(PHOTOS)]
    yardstick = yardstick_ms()
    rows = []
    for area in sorted({*AREAS, detector.config.input_area}):
        resized = Detector(detector.run, dataclasses.replace(detector.config, input_area=area))
        p50, p95 = percentiles(_times(resized, photos, repeats))
        width, height = input_size_wh(*LOOK_WH, area)
        own = "the model's" if area == detector.config.input_area else ""
        rows.append((f"{width}x{height}", p50, p95, p50 / yardstick, _map_50(resized, voc), own))
    header = ("input", "p50_ms", "p95_ms", "of_yardstick", "map_50", "note")
    photo = f"{LOOK_WH[0]}x{LOOK_WH[1]}"
    print_results("detector", header, rows, model=model, threads=threads, photo=photo, yardstick_ms=yardstick)


def _times(detector: Detector, photos: list[bytes], repeats: int) -> list[float]:
    turn = itertools.cycle(photos)
    return time_ms(lambda: detector.detect(decode_image(next(turn))), repeats)


def _map_50(detector: Detector, voc: Path | None) -> float | None:
    if voc is None:
        return None
    from twinset.data.voc import read_voc
    from twinset.evaluate.detection import evaluate_detector

    return evaluate_detector(read_voc(voc, "val", default_taxonomy()), detector).map_50
