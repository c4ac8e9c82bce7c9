"""Time the stages of a request: whoever serves it opens `timed_stages`, the code that does it enters `stage`.

Outside of that block a stage costs nothing but the call.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

Spans = Callable[[str], AbstractContextManager[Any]]  # opens a span by its name

_stages: ContextVar[dict[str, float] | None] = ContextVar("stages", default=None)
_spans: ContextVar[Spans] = ContextVar("spans", default=nullcontext)


@contextmanager
def timed_stages(spans: Spans = nullcontext) -> Iterator[dict[str, float]]:
    """Yield the seconds of each stage that is entered in the block, also by threads that are given its context.

    `spans` opens one for each stage.
    """
    seconds: dict[str, float] = {}
    token, spans_token = _stages.set(seconds), _spans.set(spans)
    try:
        yield seconds
    finally:
        _stages.reset(token)
        _spans.reset(spans_token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the block's seconds towards a stage, if anybody counts."""
    seconds = _stages.get()
    if seconds is None:
        yield
        return
    began = time.perf_counter()
    try:
        with _spans.get()(name):
            yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began
