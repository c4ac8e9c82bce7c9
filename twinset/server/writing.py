"""Who writes, and the audit log's lines of it."""

from fastapi import Request
from starlette.exceptions import HTTPException

from twinset.server.access import Caller, admit
from twinset.server.engine import engine_of


def writer(request: Request, role: str, action: str, target: str) -> Caller:
    """Return who writes, if their role may; a refusal is written down too."""
    try:
        return admit(request, role)
    except HTTPException as exc:
        write_down(request, None, action, target, exc.status_code)
        raise


def write_down(request: Request, caller: Caller | None, action: str, target: str, status: int, **more: object) -> None:
    """Write down who did what, and how it ended."""
    engine_of(request).ready().audit.add(
        request_id=request.state.request_id,
        caller=caller.name if caller else "",
        address=request.client.host if request.client else "",
        action=action,
        target=target[:300],
        status=status,
        **more,
    )
