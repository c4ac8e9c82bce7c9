"""What shoppers did, sent by the shop's pages, and what the shop makes of it."""

import asyncio
import json
import time
from collections import defaultdict
from typing import Any

from fastapi import FastAPI, Query, Request, Response

from twinset.server.access import admit
from twinset.server.bodies import EVENTS_BODY
from twinset.server.engine import engine_of
from twinset.server.events import TYPES, Event
from twinset.server.http import json_answer, json_bytes, tagged
from twinset.server.schemas import ClicksAnswer, EventsAnswer, MissesAnswer, SearchesAnswer, problems
from twinset.server.uploads import read_body, wrong

MAX_EVENTS = 500
MAX_BODY = 256 * 1024
MAX_ID = 256
OLDEST_S = 90 * 24 * 3600.0
DAY_S = 24 * 3600.0


def add_event_routes(app: FastAPI) -> None:
    """Add /v1/events and what is under /v1/reports."""

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

    days = Query(30, ge=1, le=400)
    refusals = problems(401, 403, 422, 503)

    @app.get("/v1/reports/searches", tags=["reports"], response_model=SearchesAnswer, responses=refusals)
    async def searches(request: Request, shop: str | None = None, days: int = days) -> Response:
        """What was searched, by category and colour."""
        rows = await _read(
            request,
            shop,
            "SELECT category, colour, COUNT(*) n, AVG(best_score) score FROM searches WHERE shop = ? AND at >= ? "
            "GROUP BY category, colour ORDER BY n DESC, category, colour LIMIT 200",
            days,
        )
        found = [
            {"category": r["category"], "colour": r["colour"], "searches": r["n"], "mean_best_score": r["score"]}
            for r in rows
        ]
        return tagged(request, {"days": days, "groups": found})

    @app.get("/v1/reports/misses", tags=["reports"], response_model=MissesAnswer, responses=refusals)
    async def misses(
        request: Request,
        shop: str | None = None,
        days: int = days,
        below: float | None = Query(None, ge=0, le=1, description="Of the best hit's score; the setting's by default."),
    ) -> Response:
        """What shoppers looked for and the shop carries nothing like, by category and colour."""
        limit = engine_of(request).settings.miss_score if below is None else below
        rows = await _read(
            request,
            shop,
            "SELECT category, colour, COUNT(*) n, AVG(best_score) score FROM searches WHERE shop = ? AND at >= ? "
            "AND (best_score IS NULL OR best_score < ?) "
            "GROUP BY category, colour ORDER BY n DESC, category, colour LIMIT 200",
            days,
            limit,
        )
        found = [
            {"category": r["category"], "colour": r["colour"], "misses": r["n"], "mean_best_score": r["score"]}
            for r in rows
        ]
        return tagged(request, {"days": days, "below": limit, "groups": found})

    @app.get("/v1/reports/clicks", tags=["reports"], response_model=ClicksAnswer, responses=refusals)
    async def clicks(request: Request, shop: str | None = None, days: int = days) -> Response:
        """Views and clicks by position, and how often a view became a click."""
        rows = await _read(
            request,
            shop,
            "SELECT position, type, COUNT(*) n FROM events WHERE shop = ? AND at >= ? AND position IS NOT NULL "
            "GROUP BY position, type ORDER BY position",
            days,
        )
        counts: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(TYPES, 0))
        for row in rows:
            counts[row["position"]][row["type"]] = row["n"]
        found = [
            {"position": position, **by_type, "click_through": _share(by_type["click"], by_type["view"])}
            for position, by_type in counts.items()
        ]
        return tagged(request, {"days": days, "positions": found})


async def _read(request: Request, shop: str | None, query: str, days: int, *values: object) -> list[Any]:
    """Return rows of the event log about a shop of which the caller is an admin."""
    caller = admit(request, "admin")
    since = time.time() - days * DAY_S
    return await asyncio.to_thread(
        engine_of(request).ready().events.read, query, [caller.shop_for(shop), since, *values]
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


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
        raise wrong(f"events.{no}.type", f"one of {', '.join(TYPES)}", repr(kind))
    if not product_id:
        raise wrong(f"events.{no}.product_id", "a text", repr(product_id))
    at = entry.get("at")
    now = time.time()
    if at is not None and (
        isinstance(at, bool) or not isinstance(at, int | float) or not now - OLDEST_S <= at <= now + 60
    ):
        raise wrong(f"events.{no}.at", "seconds since 1970, of the last 90 days", repr(at))
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
        raise wrong(f"events.{no}.{name}", f"a text of at most {MAX_ID} characters", repr(value))
    return value


def _number(entry: dict[str, Any], no: int, name: str) -> int | None:
    value = entry.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10_000:
        raise wrong(f"events.{no}.{name}", "a whole number from 0", repr(value))
    return value
