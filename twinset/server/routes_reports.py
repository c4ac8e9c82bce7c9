"""What the shop makes of what shoppers searched and did: searches, misses, clicks, and how good the order was."""

import asyncio
import time
from collections import defaultdict
from typing import Any

from fastapi import FastAPI, Query, Request, Response

from twinset.events import TYPES
from twinset.learn.learning import BIAS, measure, quality_json
from twinset.learn.shown import read_shown
from twinset.server.access import admit
from twinset.server.engine import engine_of
from twinset.server.http import tagged
from twinset.server.schemas import ClicksAnswer, MissesAnswer, QualityAnswer, SearchesAnswer, problems

DAY_S = 24 * 3600.0
MOST_LISTS = 50_000  # the newest, that the report of quality looks at
_DAYS = Query(30, ge=1, le=400)
_REFUSALS = problems(401, 403, 422, 503)
_OF_SHOP = "FROM searches WHERE shop = ? AND at >= ? AND kind != 'page'"  # later pages of hits are no searches
_SEARCHED = f"SELECT category, colour, COUNT(*) n, AVG(best_score) score {_OF_SHOP} "
_COUNTED = f"SELECT COUNT(*) n {_OF_SHOP} "
_UNNARROWED = "AND kind != 'words' AND COALESCE(narrowed, 0) = 0"  # searches that left no product out themselves
_GROUPED = "GROUP BY category, colour ORDER BY n DESC, category, colour LIMIT 200"


def add_report_routes(app: FastAPI) -> None:
    """Add /v1/reports/searches, /misses, /clicks and /quality."""
    _add_searched(app)
    _add_clicked(app)


def _add_searched(app: FastAPI) -> None:
    @app.get("/v1/reports/searches", tags=["reports"], response_model=SearchesAnswer, responses=_REFUSALS)
    async def searches(request: Request, shop: str | None = None, days: int = _DAYS) -> Response:
        """What was searched, by category and colour."""
        rows = await _read(
            request,
            shop,
            _SEARCHED + _GROUPED,
            days,
        )
        found = [
            {"category": r["category"], "colour": r["colour"], "searches": r["n"], "mean_best_score": r["score"]}
            for r in rows
        ]
        return tagged(request, {"days": days, "groups": found})

    @app.get("/v1/reports/misses", tags=["reports"], response_model=MissesAnswer, responses=_REFUSALS)
    async def misses(
        request: Request,
        shop: str | None = None,
        days: int = _DAYS,
        below: float | None = Query(
            None,
            ge=0,
            le=1,
            description="Go by the best hit's score. By default the model says what is close, or miss_score. Searches "
            "with filters, words or a least score count in neither case.",
        ),
    ) -> Response:
        """What shoppers looked for and the shop carries nothing like, by category and colour, and how many in all."""
        name = admit(request, "admin").shop_for(shop)
        log = engine_of(request).ready().events
        since = time.time() - days * DAY_S
        limit = engine_of(request).settings.miss_score if below is None else below
        by_score = "(best_score IS NULL OR best_score < ?)"
        missed = by_score if below is not None else f"COALESCE(missed, {by_score})"
        these = f"{_UNNARROWED} AND {missed}"

        def work() -> dict[str, Any]:
            looked = log.read(_COUNTED + _UNNARROWED, [name, since])  # no row where nothing is written down yet
            lacking = log.read(_COUNTED + these, [name, since, limit])
            found = [
                {"category": r["category"], "colour": r["colour"], "misses": r["n"], "mean_best_score": r["score"]}
                for r in log.read(f"{_SEARCHED} {these} {_GROUPED}", [name, since, limit])
            ]
            searches, misses = (sum(row["n"] for row in rows) for rows in (looked, lacking))
            return {"searches": searches, "misses": misses, "groups": found}

        return tagged(request, {"days": days, "below": limit} | await asyncio.to_thread(work))


def _add_clicked(app: FastAPI) -> None:
    @app.get("/v1/reports/clicks", tags=["reports"], response_model=ClicksAnswer, responses=_REFUSALS)
    async def clicks(request: Request, shop: str | None = None, days: int = _DAYS) -> Response:
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

    @app.get("/v1/reports/quality", tags=["reports"], response_model=QualityAnswer, responses=_REFUSALS)
    async def quality(request: Request, shop: str | None = None, days: int = _DAYS) -> Response:
        """How good the order of hits was by what shoppers chose, with how likely each place is looked at."""
        name = admit(request, "admin").shop_for(shop)
        log = engine_of(request).ready().events
        since = time.time() - days * DAY_S

        def work() -> dict[str, Any]:
            return quality_json(measure(read_shown(log, name, since, MOST_LISTS)))

        return tagged(request, {"days": days, "position_bias": BIAS} | await asyncio.to_thread(work))


async def _read(request: Request, shop: str | None, query: str, days: int, *values: object) -> list[Any]:
    """Return rows of the event log about a shop of which the caller is an admin."""
    caller = admit(request, "admin")
    since = time.time() - days * DAY_S
    return await asyncio.to_thread(
        engine_of(request).ready().events.read, query, [caller.shop_for(shop), since, *values]
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
