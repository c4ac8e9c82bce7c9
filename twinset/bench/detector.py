"""Milliseconds from a photo's JPEG bytes to its items, by size of the network's input, runtime and threads.

Decoding and NMS are included; the convolutions limit it: their time grows with the input's area. Beside it, in the same
run, the yardstick and a network of the size of another small detector, without decoding or NMS.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from twinset.bench.ssdlite import SIDE, open_ssdlite
from twinset.bench.timing import percentiles, print_results, time_ms
from twinset.bench.yardstick import THREADS, yardstick_ms
from twinset.data.drawn import LOOK_WH, draw_look
from twinset.detect.detector import Detector, DetectorConfig, input_size_wh, load_detector
from twinset.images import decode_image, encode_jpeg
from twinset.models import find_detector, model_taxonomy
from twinset.runtime import has_amx, runtimes
from twinset.taxonomy import Taxonomy

AREAS = (256 * 160, 320 * 224, 384 * 256, 512 * 320)
PHOTOS = 8
HEADER = ("network", "runtime", "threads", "input", "p50_ms", "p95_ms", "of_yardstick", "map_50", "note")


def run(models: Sequence[str], threads: Sequence[int], voc: Path | None = None, repeats: int = 60) -> None:
    """Print latency by model, runtime, threads and input, with mAP50 on the photos' val split where they are given.

    Raises ModelError.
    """
    folders = {model: find_detector(model) for model in models}
    rng = np.random.default_rng(0)
    photos = [encode_jpeg(draw_look(rng).image) for _ in range(PHOTOS)]
    yardstick = yardstick_ms()
    rows: list[tuple[object, ...]] = []
    for model, runtime in itertools.product(folders, runtimes()):
        figures: dict[str, float | None] = {}  # the threads change nothing of them
        for count in threads:
            detector = load_detector(folders[model], count, runtime)
            taxonomy = model_taxonomy(folders[model], detector.config)
            for name, config in _inputs(detector.config).items():
                resized = Detector(detector.run, config)
                if name not in figures:
                    figures[name] = _map_50(resized, voc, taxonomy)
                times = _times(resized, photos, repeats)
                note = "as the model is used" if config == detector.config else ""
                rows.append(_row(model, (runtime, count, name), times, yardstick, figures[name], note))
    for count in threads:
        where = ("onnxruntime", count, f"{SIDE}x{SIDE}")
        times = time_ms(open_ssdlite(count), repeats)
        rows.append(_row("SSDLite-MobileNetV3 size", where, times, yardstick, None, "network alone"))
    rows.append(("ViT-B/16 size", "onnxruntime", THREADS, "224x224", yardstick, None, 1.0, None, "the yardstick"))
    photo = f"{LOOK_WH[0]}x{LOOK_WH[1]}"
    facts = {"model": models[0], "models": list(models), "threads": list(threads), "photo": photo}
    print_results("detector", HEADER, rows, **facts, yardstick_ms=yardstick, amx=has_amx())


def _inputs(config: DetectorConfig) -> dict[str, DetectorConfig]:
    """Return a detector's settings with each input it is timed with, by name: single sizes, and as it is used."""
    areas = {*AREAS} if config.views else {*AREAS, config.input_area}
    inputs = {}
    for area in sorted(areas):
        width, height = input_size_wh(*LOOK_WH, area)
        inputs[f"{width}x{height}"] = dataclasses.replace(config, input_area=area, views=())
    return inputs | ({f"{len(config.views)} views": config} if config.views else {})


def _row(
    network: str,
    where: tuple[str, int, str],
    times: list[float],
    yardstick: float,
    map_50: float | None,
    note: str,
) -> tuple[object, ...]:
    p50, p95 = percentiles(times)
    return (network, *where, p50, p95, p50 / yardstick, map_50, note)


def _times(detector: Detector, photos: list[bytes], repeats: int) -> list[float]:
    turn = itertools.cycle(photos)
    return time_ms(lambda: detector.detect(decode_image(next(turn))), repeats)


def _map_50(detector: Detector, voc: Path | None, taxonomy: Taxonomy) -> float | None:
    if voc is None:
        return None
    from twinset.data.voc import read_voc
    from twinset.evaluate.detection import evaluate_detector

    return evaluate_detector(read_voc(voc, "val", taxonomy), detector).map_50
