"""Around every request: an id, security headers, figures, a log line, and CORS. Plain ASGI: no task a request."""

import json
import logging
import re
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twinset.server.http import keep_slashes
from twinset.server.problems import problem
from twinset.stages import Spans, timed_stages

CSP = (
    "default-src 'self'; img-src 'self' blob: data: https: http:; style-src 'self'; script-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
log = logging.getLogger("twinset.access")


class Surround:
    """Adds what every answer has, and counts it."""

    def __init__(self, app: ASGIApp, state: Any, spans: Spans = nullcontext) -> None:
        self.app, self.state, self.spans = app, state, spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began = time.perf_counter()
        keep_slashes(scope)
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope  # uvicorn leaves out the body

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", []), *_headers(scope, request_id)]}
            await send(message)

        with self.spans(f"{_method(scope)} request"), timed_stages(self.spans) as stages:
            try:
                await self.app(asked, receive, send_with_headers)
            except Exception:
                log.exception("request %s failed", request_id)
                if not status:
                    answer = problem(500, f"an error of the service; its log says more under request {request_id}")
                    await answer(scope, receive, send_with_headers)
        self._count({**scope, "route": asked.get("route")}, status, time.perf_counter() - began, stages, request_id)

    def _count(self, scope: Scope, status: int, seconds: float, stages: dict[str, float], request_id: str) -> None:
        route = getattr(scope.get("route"), "path_format", "other")
        engine = getattr(self.state, "engine", None)
        if engine is not None:
            engine.metrics.requests.labels(route, _method(scope), str(status)).inc()
            engine.metrics.seconds.labels(route).observe(seconds)
            for name, taken in stages.items():
                engine.metrics.stages.labels(name).observe(taken)
        if log.isEnabledFor(logging.INFO):
            entry = {"request_id": request_id, "method": scope["method"], "route": route, "status": status}
            entry |= {"ms": round(seconds * 1000, 1), "caller": scope["state"].get("caller", "")}
            entry |= {"stages_ms": {name: round(taken * 1000, 1) for name, taken in stages.items()}}
            log.info("%s %s %d", scope["method"], route, status, extra={"entry": entry})


class ShopCors(CORSMiddleware):
    """CORS with the origins of settings and keys, asked at each request: keys come and go."""

    def __init__(self, app: ASGIApp, allowed: Callable[[str], bool]) -> None:
        super().__init__(
            app,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=("Authorization", "Content-Type", "X-Api-Key", "X-Request-Id", "If-None-Match"),
            expose_headers=("X-Request-Id", "Retry-After", "ETag"),
            max_age=600,
        )
        self._allowed = allowed

    def is_allowed_origin(self, origin: str) -> bool:
        return self._allowed(origin)


class JsonLines(logging.Formatter):
    """A log line as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "entry", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_logs(format: str) -> None:
    """Send the service's log to stderr, as JSON lines or, with `text`, as warnings for people."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if format == "json" else logging.Formatter("%(levelname)s: %(message)s"))
    for name in ("twinset", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO if format == "json" else logging.WARNING)


def _request_id(scope: Scope) -> str:
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _headers(scope: Scope, request_id: str) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"x-request-id", request_id.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]
    if not scope["path"].startswith("/docs"):  # whose page is FastAPI's
        headers.append((b"content-security-policy", CSP.encode()))
    return headers


def _method(scope: Scope) -> str:
    """Return the method as a figure's label: strangers can't make up new ones."""
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS") else "other"
