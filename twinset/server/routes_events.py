"""What shoppers did, sent by the shop's pages."""

import asyncio
import json
import time
from typing import Any

from fastapi import FastAPI, Request, Response

from twinset.events import TYPES, Event
from twinset.server.access import admit
from twinset.server.bodies import EVENTS_BODY
from twinset.server.engine import engine_of
from twinset.server.http import json_answer, json_bytes
from twinset.server.schemas import EventsAnswer, problems
from twinset.server.uploads import quoted, read_body, wrong

MAX_EVENTS = 500
MAX_BODY = 256 * 1024
MAX_ID = 256
OLDEST_S = 90 * 24 * 3600.0


def add_event_routes(app: FastAPI) -> None:
    """Add /v1/events."""

    @app.post(
        "/v1/events",
        tags=["events"],
        status_code=202,
        response_model=EventsAnswer,
        responses=problems(401, 403, 413, 422, 429, 503),
        openapi_extra=EVENTS_BODY,
    )
    async def events(request: Request) -> Response:
        """Write down what shoppers did with products. It is on disk once this answers."""
        engine, caller = engine_of(request), admit(request, "search")
        with engine.upload() as count:
            entries = _entries(await read_body(request, MAX_BODY, count))
        found = [_event(entry, no, caller.shop_for(_shop(entry, no))) for no, entry in enumerate(entries)]
        await asyncio.to_thread(engine.ready().events.add, found)
        return json_answer(json_bytes({"stored": len(found)}), 202)


def _entries(body: bytes) -> list[Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise wrong("body", "a JSON object", str(exc)) from exc
    entries = data.get("events") if isinstance(data, dict) else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_EVENTS:
        found = f"{len(entries)}" if isinstance(entries, list) else type(entries).__name__
        raise wrong("events", f"a list of 1 to {MAX_EVENTS} events", found)
    return entries


def _shop(entry: object, no: int) -> str | None:
    if not isinstance(entry, dict):
        raise wrong(f"events.{no}", "a JSON object", type(entry).__name__)
    return _text(entry, no, "shop")


def _event(entry: dict[str, Any], no: int, shop: str) -> Event:
    """Return an event as it may be stored. Raises UsageError."""
    unknown = sorted(set(entry) - {"type", "product_id", "shop", "search_id", "item_no", "position", "visitor", "at"})
    if unknown:
        raise wrong(f"events.{no}.{unknown[0]}", "a field of events", "an unknown one")
    kind, product_id = entry.get("type"), _text(entry, no, "product_id")
    if kind not in TYPES:
        raise wrong(f"events.{no}.type", f"one of {', '.join(TYPES)}", quoted(kind))
    if not product_id:
        raise wrong(f"events.{no}.product_id", "a text", quoted(product_id))
    at = entry.get("at")
    now = time.time()
    if at is not None and (
        isinstance(at, bool) or not isinstance(at, int | float) or not now - OLDEST_S <= at <= now + 60
    ):
        raise wrong(f"events.{no}.at", "seconds since 1970, of the last 90 days", quoted(at))
    return Event(
        type=str(kind),
        product_id=product_id,
        shop=shop,
        search_id=_text(entry, no, "search_id"),
        item_no=_number(entry, no, "item_no"),
        position=_number(entry, no, "position"),
        visitor=_text(entry, no, "visitor"),
        at=float(at or 0),
    )


def _text(entry: dict[str, Any], no: int, name: str) -> str | None:
    value = entry.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_ID or any("\ud800" <= c <= "\udfff" for c in value):
        raise wrong(f"events.{no}.{name}", f"a text of at most {MAX_ID} characters", quoted(value))
    return value


def _number(entry: dict[str, Any], no: int, name: str) -> int | None:
    value = entry.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10_000:
        raise wrong(f"events.{no}.{name}", "a whole number from 0", quoted(value))
    return value
