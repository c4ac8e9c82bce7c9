"""The merchant's page, and pictures of what the shop does not carry for it."""

import asyncio
import time

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse

from twinset.server.access import admit
from twinset.server.engine import engine_of
from twinset.server.http import tagged
from twinset.server.routes_page import PAGE
from twinset.server.routes_reports import DAY_S
from twinset.server.schemas import MissCropsAnswer, problems


def add_merchant_routes(app: FastAPI) -> None:
    """Add /merchant and GET /v1/reports/misses/crops."""

    @app.get("/merchant", include_in_schema=False)
    async def merchant() -> FileResponse:
        return FileResponse(PAGE / "merchant.html", headers={"Cache-Control": "no-cache"})

    @app.get(
        "/v1/reports/misses/crops",
        tags=["reports"],
        response_model=MissCropsAnswer,
        responses=problems(401, 403, 422, 503),
    )
    async def crops(
        request: Request,
        shop: str | None = None,
        days: int = Query(30, ge=1, le=400),
        limit: int = Query(60, ge=1, le=200),
    ) -> Response:
        """Pictures of missed items, newest first; none unless the setting `miss_crops` is above 0."""
        engine, caller = engine_of(request), admit(request, "admin")
        since = time.time() - days * DAY_S
        misses, name = engine.ready().misses, caller.shop_for(shop)
        found = await asyncio.to_thread(misses.newest, name, since, limit)
        return tagged(request, {"days": days, "kept": misses.most, "crops": found})
