"""Rate limits: a bucket of tokens for each key or address, refilled as time goes."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

BURST_S = 2.0  # a caller that was quiet may make the requests of so many seconds at once
MAX_BUCKETS = 10_000  # those that were quiet longest go first: full ones, nearly always


class RateLimiter:
    """Counts requests by caller. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller -> tokens, at this time

    def wait_s(self, caller: str, rate: float) -> float:
        """Take a token of a caller's bucket and return 0, or the seconds until it has one. A rate of 0 is no limit."""
        if rate <= 0:
            return 0.0
        now, size = self._clock(), max(1.0, rate * BURST_S)
        with self._lock:
            tokens, then = self._buckets.pop(caller, (size, now))
            tokens = min(size, tokens + (now - then) * rate)
            wait = 0.0 if tokens >= 1 else (1 - tokens) / rate
            self._buckets[caller] = (tokens - 1 if not wait else tokens, now)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        return wait
