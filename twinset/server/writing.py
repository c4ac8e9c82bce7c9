"""Who writes, and the audit log's lines of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fastapi import Request

from twinset.server.access import FAILURES_PER_S, Caller, admit
from twinset.server.engine import engine_of
from twinset.server.problems import status_of


@dataclass(slots=True)
class Write:
    """What a handler does; it fills in what it learns on the way."""

    caller: Caller
    target: str
    status: int  # of the answer, once it is done
    facts: dict[str, object] = field(default_factory=dict)


@contextmanager
def writing(request: Request, role: str, action: str, target: str, status: int = 200) -> Iterator[Write]:
    """Yield the write of a caller whose role may; how the block ends is written down, and that it was refused too.

    Of those whose key or place allows no writing a few lines a second are kept, lest strangers fill the disk.
    """
    try:
        caller = admit(request, role)
    except Exception as exc:
        address = request.client.host if request.client else "unknown"
        if not engine_of(request).limiter.wait_s(f"refused {address}", FAILURES_PER_S):
            _write_down(request, "", action, target, status_of(exc))
        raise
    write = Write(caller, target, status)
    try:
        yield write
    except Exception as exc:
        _write_down(request, caller.name, action, write.target, status_of(exc), **write.facts)
        raise
    _write_down(request, caller.name, action, write.target, write.status, **write.facts)


def _write_down(request: Request, caller: str, action: str, target: str, status: int, **more: object) -> None:
    loaded = engine_of(request).loaded
    if loaded is not None:
        loaded.audit.add(
            request_id=request.state.request_id,
            caller=caller,
            address=request.client.host if request.client else "",
            action=action,
            target=target[:300],
            status=status,
            **more,
        )
