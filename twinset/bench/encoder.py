"""Milliseconds a crop of description, embedding and colours, by batch: what a photo with so many items costs."""

import numpy as np

from twinset.bench.yardstick import percentiles, print_results, time_ms, yardstick_ms
from twinset.models import load_models

BATCHES = (1, 3, 8, 16)


def run(model: str, threads: int) -> None:
    """Print milliseconds a crop by batch."""
    encoder = load_models(model, threads).encoder
    rng = np.random.default_rng(0)
    yardstick = yardstick_ms()
    rows = []
    for batch in BATCHES:
        crops = [rng.integers(0, 256, (240, 160, 3), np.uint8) for _ in range(batch)]
        p50, p95 = percentiles(time_ms(lambda some=crops: encoder.describe(some)))  # type: ignore[misc]
        rows.append((batch, p50 / batch, p95 / batch, p50 / batch / yardstick))
    header = ("batch", "p50_ms_a_crop", "p95_ms_a_crop", "of_yardstick")
    print_results("encoder", header, rows, model=model, threads=threads, yardstick_ms=yardstick)
