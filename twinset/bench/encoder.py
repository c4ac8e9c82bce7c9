"""Milliseconds a crop of description, embedding and colours, by runtime and batch: what a photo's items cost."""

from collections.abc import Sequence

import numpy as np

from twinset.bench.timing import percentiles, print_results, time_ms
from twinset.bench.yardstick import yardstick_ms
from twinset.data.drawn import draw_look
from twinset.describe.encoder import Encoder, cut_items
from twinset.describe.tower import Tower
from twinset.models import load_models
from twinset.runtime import runtimes
from twinset.types import Image

BATCHES = (1, 3, 8, 16)


def run(models: Sequence[str], threads: int, repeats: int = 40) -> None:
    """Print milliseconds a crop by model, runtime and batch. Raises ModelError."""
    encoders = {
        (model, runtime): load_models(model, threads, runtime).encoder for model in models for runtime in runtimes()
    }
    crops = _drawn_crops(max(BATCHES))
    yardstick = yardstick_ms()
    rows = []
    for where, encoder in encoders.items():
        for batch in BATCHES:
            p50, p95 = percentiles(_times(encoder, crops[:batch], repeats))
            rows.append((*where, batch, p50 / batch, p95 / batch, p50 / batch / yardstick))
    header = ("model", "runtime", "batch", "p50_ms_a_crop", "p95_ms_a_crop", "of_yardstick")
    facts = {"model": models[0], "models": list(models), "threads": threads}
    print_results("encoder", header, rows, **facts, yardstick_ms=yardstick)


def _times(encoder: Encoder | Tower, crops: list[Image], repeats: int) -> list[float]:
    return time_ms(lambda: encoder.describe(crops), repeats)


def _drawn_crops(count: int) -> list[Image]:
    rng = np.random.default_rng(0)
    crops: list[Image] = []
    while len(crops) < count:
        look = draw_look(rng)
        crops += cut_items(look.image, look.boxes)
    return crops[:count]
