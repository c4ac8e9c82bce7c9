"""The service under load from a second process: closed loop, open loop, past capacity; its memory all the while.

Both processes share the machine's cores, so the load's own CPU time is told: a service alone would do so much more. The
networks limit throughput (cpu_ms is the service's for an answer); beside it stands how many forward passes of the
yardstick the machine does in a second.
"""

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from twinset.bench.load_client import Load, Plan
from twinset.bench.search import service_address, service_command
from twinset.bench.timing import percentiles, print_results, time_ms
from twinset.bench.yardstick import THREADS, open_yardstick
from twinset.errors import DataError

CLOSED_S = 60.0  # of the loads within capacity, at most: only the memory past it needs longer
PASSES = 20  # of the yardstick, before and after
PAST = 2.0  # times the throughput of the closed loop: past capacity
SAMPLE_S = 0.5  # between looks at the service's memory
SERIES = 200  # looks at most in the JSON, spread over the whole time
HEADER = (
    "load",
    "answers_s",
    "p50_ms",
    "p95_ms",
    "of_yardstick",
    "answers",
    "refused",
    "failed",
    "cpu_ms",
    "client_cpus",
)


def run(
    photos: Sequence[Path],
    store: str,
    model: str,
    threads: int | None,
    clients: int,
    seconds: float,
    settings: Sequence[str] = (),
) -> None:
    """Print throughput and latency of one client, of several, and of arrivals past capacity, beside the yardstick."""
    yardstick = open_yardstick()
    passes = time_ms(yardstick, PASSES)
    command = [*service_command(store, model, threads), *(word for entry in settings for word in ("--set", entry))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        try:
            address = service_address(service, store)
            memory = Memory(service.pid)
            names = tuple(str(photo) for photo in photos)
            _measure(Plan(address, names, min(3.0, seconds), 2), service.pid)  # warm
            warm_mb = memory.now_mb()
            within = min(seconds, CLOSED_S)
            one = _measure(Plan(address, names, within, 1), service.pid)
            many = _measure(Plan(address, names, within, clients), service.pid)
            began_past = memory.seconds()
            past = _measure(Plan(address, names, seconds, rate=PAST * many.rate), service.pid)
            grown = {"warm_mb": warm_mb, "end_mb": memory.now_mb(), **memory.stop(began_past)}
        finally:
            service.terminate()
    passes += time_ms(yardstick, PASSES)
    yardstick_ms = percentiles(passes)[0]
    loads = (("closed, 1 client", one), (f"closed, {clients} clients", many), (f"open, {PAST:g}x capacity", past))
    rows = [(name, *_row(measured, yardstick_ms)) for name, measured in loads]
    rows.append(("ViT-B/16 alone", 1000 / yardstick_ms, *percentiles(passes), 1.0, len(passes), 0, 0, None, None))
    facts = {"photos": len(photos), "seconds": seconds, "threads": threads, "settings": list(settings)}
    statuses = {name: measured.load.statuses for name, measured in loads}
    print_results(
        "load", HEADER, rows, model=model, **facts, memory=grown, statuses=statuses, yardstick_threads=THREADS
    )


class Memory:
    """The resident memory of a process, looked at every now and then."""

    def __init__(self, pid: int) -> None:
        self._pid, self._began = pid, time.perf_counter()
        self._looks: list[tuple[float, float]] = []  # (seconds, megabytes)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def now_mb(self) -> float:
        """Return the megabytes of now; 0 where this system doesn't tell."""
        try:
            pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def seconds(self) -> float:
        """Return the time since the first look."""
        return time.perf_counter() - self._began

    def stop(self, since: float = 0.0) -> dict[str, object]:
        """Return what was seen; see `over_time`."""
        self._stopping.set()
        self._thread.join()
        return over_time(self._looks, since)

    def _look(self) -> None:
        while not self._stopping.wait(SAMPLE_S):
            self._looks.append((self.seconds(), self.now_mb()))


def over_time(looks: Sequence[tuple[float, float]], since: float) -> dict[str, object]:
    """Return a memory's highest, its series and its growth a minute after `since`, of (seconds, megabytes)."""
    seen = np.array(looks or [(0.0, 0.0)])
    late = seen[seen[:, 0] >= since]
    slope = float(np.polyfit(late[:, 0], late[:, 1], 1)[0]) if len(late) > 2 else 0.0
    return {
        "highest_mb": float(seen[:, 1].max()),
        "grows_mb_a_minute": round(60 * slope, 3),
        "grows_since_s": round(since, 1),
        "series": [[round(second, 1), round(mb, 1)] for second, mb in seen[:: -(-len(seen) // SERIES)].tolist()],
    }


@dataclass(frozen=True, slots=True)
class Measured:
    """A load, and the CPU seconds the service took for it."""

    load: Load
    service_cpu_s: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.load.times_ms) / self.load.seconds


def _measure(plan: Plan, service: int) -> Measured:
    """Return what a process of its own measured of a service. Raises DataError where nothing was answered."""
    before = _cpu_s(service)
    command = [sys.executable, "-m", "twinset.bench.load_client"]
    ran = subprocess.run(command, input=json.dumps(asdict(plan)), capture_output=True, text=True)
    if ran.returncode:
        raise DataError(f"expected the load's process to end well, found: {ran.stderr.strip()[-300:]}")
    load = Load(**json.loads(ran.stdout))
    if not load.times_ms:
        raise DataError(f"expected answers, found none with status 200: {load.statuses}; start with fewer --clients")
    return Measured(load, _cpu_s(service) - before)


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds a process has taken, NaN where this system doesn't tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return math.nan


def _row(measured: Measured, yardstick_ms: float) -> tuple[object, ...]:
    load = measured.load
    p50, p95 = percentiles(load.times_ms)
    refused = load.statuses.get("503", 0)
    answered = len(load.times_ms)
    failed = sum(load.statuses.values()) - answered - refused
    cpu_ms = 1000 * measured.service_cpu_s / answered
    return measured.rate, p50, p95, p50 / yardstick_ms, answered, refused, failed, cpu_ms, load.cpu_s / load.seconds
