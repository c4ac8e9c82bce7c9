"""Time things, and print what was measured: a table for people, one JSON line for scripts."""

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np

from twinset.runtime import cpu_threads
from twinset.tables import print_table


def time_ms(run: Callable[[], object], repeats: int = 30, warm_up: int = 5) -> list[float]:
    """Return the milliseconds of each of `repeats` calls, after a warm-up."""
    for _ in range(warm_up):
        run()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1000)
    return times


def percentiles(times: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile."""
    return statistics.median(times), float(np.percentile(times, 95))


def print_results(name: str, header: Sequence[str], rows: Sequence[Sequence[object]], **facts: object) -> None:
    """Print the table, then one JSON line with the rows, the facts and the machine."""
    print_table(header, rows)
    named = [dict(zip(header, row, strict=True)) for row in rows]
    click.echo(json.dumps({"benchmark": name, "rows": named, **facts, "machine": machine()}))


def machine() -> dict[str, object]:
    """Return what the figures depend on beside the code's settings: processor, versions, commit."""
    packages = {name: version(name) for name in ("twinset", "onnxruntime", "numpy", "lancedb")}
    return {"cpu": _cpu(), "cpus": cpu_threads(), "python": platform.python_version(), **packages, "commit": _commit()}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _commit() -> str | None:
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # installed from a wheel
