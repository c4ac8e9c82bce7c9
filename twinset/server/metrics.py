"""What Prometheus reads at /metrics: requests, milliseconds by stage, the queue, misses."""

import os
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.045, 0.08, 0.15, 0.3, 0.7, 1.5, 3, 10)
SHARED = "PROMETHEUS_MULTIPROC_DIR"  # set by run.py where several processes count together


class Metrics:
    """The service's figures, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self._registry, "namespace": "twinset"}
        self.requests = Counter("requests", "Requests by route and status", ("route", "method", "status"), **own)
        self.seconds = Histogram("request_seconds", "Of a whole request", ("route",), buckets=SECONDS, **own)
        self.stages = Histogram("stage_seconds", "Of a request, by stage", ("stage",), buckets=SECONDS, **own)
        self.items = Counter("searched_items", "Items of photos that were searched for", **own)
        self.misses = Counter("missed_items", "Searched items the shop carries nothing like", **own)
        self.refused = Counter("refused", "Requests refused: busy, rate, key", ("reason",), **own)
        self.waiting = Gauge("waiting", "Photos in work or waiting", multiprocess_mode="livesum", **own)
        self.held = Gauge("held_photo_bytes", "Bytes of photos held", multiprocess_mode="livesum", **own)
        self.jobs = Counter("job_rows", "Rows of jobs, by how they ended", ("result",), **own)
        self.ready = Gauge("ready", "1 once models and store are loaded", multiprocess_mode="livemin", **own)
        self.self_check = Gauge(
            "self_check_recall",
            "Share of sampled products that find themselves first",
            multiprocess_mode="livemin",
            **own,
        )

    def text(self) -> bytes:
        """Return the figures as Prometheus reads them."""
        if os.environ.get(SHARED):
            shared = CollectorRegistry()
            MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
            return generate_latest(shared)
        return generate_latest(self._registry)
