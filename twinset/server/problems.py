"""Errors as RFC 9457 problem documents: one table from exception to status, one shape for all."""

import json
import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from twinset.errors import (
    DataError,
    FetchError,
    ImageError,
    ImageTooLarge,
    MissingExtra,
    ModelError,
    NotFound,
    StoreError,
    TwinsetError,
    UsageError,
)
from twinset.validation import expected_of

MEDIA_TYPE = "application/problem+json"
# The first that fits: subclasses before their bases.
STATUS: tuple[tuple[type[TwinsetError], int], ...] = (
    (ImageTooLarge, 413),
    (ImageError, 415),
    (FetchError, 422),
    (NotFound, 404),
    (StoreError, 503),
    (ModelError, 503),
    (MissingExtra, 503),
    (UsageError, 422),
    (DataError, 422),
)
_EXPECTED_FOUND = re.compile(r"expected (?P<expected>.+?)[,;] found:? (?P<found>.+?)(?:; |$)")
_NAMED = re.compile(r"(image_id|job|event|key|body)\b")
RETRY_AFTER_S = 1
MAX_DETAIL, MAX_QUOTED = 1000, 400  # characters: a request is quoted, not sent back


class Busy(Exception):
    """More requests wait than the service takes on."""

    def __init__(self, retry_after_s: int = RETRY_AFTER_S) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class Loading(Exception):
    """Models and store are not open yet, or no longer."""


class TooMany(Exception):
    """A caller makes more requests than it may."""

    def __init__(self, retry_after_s: int, rate: float) -> None:
        super().__init__()
        self.retry_after_s, self.rate = retry_after_s, rate


def status_of(exc: Exception) -> int:
    """Return the status that an exception of a handler is answered with."""
    if isinstance(exc, HTTPException):
        return exc.status_code
    if isinstance(exc, TwinsetError):
        return next((status for kind, status in STATUS if isinstance(exc, kind)), 422)
    return 429 if isinstance(exc, TooMany) else 503 if isinstance(exc, Busy | Loading) else 500


class _ProblemResponse(JSONResponse):
    """A problem document; what it quotes of a request may be no proper text."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def problem(
    status: int, detail: str, errors: list[dict[str, str]] | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return a problem document."""
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    quoted = [{name: _short(text, MAX_QUOTED) for name, text in entry.items()} for entry in errors or []]
    body |= {"detail": _short(detail, MAX_DETAIL), "errors": quoted}
    if status == 503:
        headers = {"Retry-After": str(RETRY_AFTER_S), **(headers or {})}
    return _ProblemResponse(body, status, headers)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def error_entry(exc: TwinsetError, field: str) -> dict[str, str]:
    """Return field, expected and found of an error, from its attributes or from its message."""
    if isinstance(exc, UsageError) and exc.expected:
        return {"field": exc.field or field, "expected": exc.expected, "found": exc.found}
    match = _EXPECTED_FOUND.search(str(exc))
    if isinstance(exc, UsageError) and exc.field:
        field = exc.field
    if not match:
        return {"field": field, "expected": "", "found": str(exc)}
    return {"field": field, **match.groupdict()}


def add_handlers(app: FastAPI) -> None:
    """Make the app answer every error with a problem document."""

    @app.exception_handler(TwinsetError)
    async def of_ours(request: Request, exc: TwinsetError) -> JSONResponse:
        status = status_of(exc)
        if status == 503:  # its message may name a path of this machine
            return problem(status, "the store or the model can't be read; the service's log says more")
        named = _NAMED.match(str(exc))
        other = "product_id" if status == 404 else "url" if isinstance(exc, FetchError) else "photo"
        field = named[1] if named else other
        return problem(status, str(exc), [error_entry(exc, field)])

    @app.exception_handler(Busy)
    async def of_load(request: Request, exc: Busy) -> JSONResponse:
        detail = f"the service has more requests than it can take; try again in {exc.retry_after_s} s"
        return problem(503, detail, headers={"Retry-After": str(exc.retry_after_s)})

    @app.exception_handler(Loading)
    async def of_loading(request: Request, exc: Loading) -> JSONResponse:
        return problem(503, "the models and the store are being loaded; try again in a second")

    @app.exception_handler(TooMany)
    async def of_rate(request: Request, exc: TooMany) -> JSONResponse:
        detail = f"expected at most {exc.rate:g} requests a second, found more; try again in {exc.retry_after_s} s"
        return problem(429, detail, headers={"Retry-After": str(exc.retry_after_s)})

    @app.exception_handler(RequestValidationError)
    async def of_validation(request: Request, exc: RequestValidationError) -> JSONResponse:
        errors = [
            {
                "field": str(entry["loc"][-1]),
                "expected": expected_of(entry),
                "found": str(entry.get("input", ""))[:80],
            }
            for entry in exc.errors()
        ]
        detail = "; ".join(
            f"{entry['field']}: expected {entry['expected']}, found {entry['found']}" for entry in errors
        )
        return problem(422, detail, errors)

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, exc: HTTPException) -> JSONResponse:
        headers = dict(exc.headers) if exc.headers else None
        return problem(exc.status_code, str(exc.detail), headers=headers)
