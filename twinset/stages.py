"""Time the stages of a request: whoever serves it opens `timed_stages`, the code that does it enters `stage`.

Outside of that block a stage costs nothing but the call.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_stages: ContextVar[dict[str, float] | None] = ContextVar("stages", default=None)


@contextmanager
def timed_stages() -> Iterator[dict[str, float]]:
    """Yield the seconds of each stage that is entered in the block, also by threads that are given its context."""
    seconds: dict[str, float] = {}
    token = _stages.set(seconds)
    try:
        yield seconds
    finally:
        _stages.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the block's seconds towards a stage, if anybody counts."""
    seconds = _stages.get()
    if seconds is None:
        yield
        return
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began
