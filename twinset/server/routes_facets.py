"""Facets: how many products each filter would leave, without a photo."""

import asyncio
from typing import Any

from fastapi import FastAPI, Query, Request, Response

from twinset.answers import facet_json
from twinset.hits import Ranking, Wanted
from twinset.server.access import admit
from twinset.server.engine import engine_of
from twinset.server.http import tagged
from twinset.server.query import shop_of, words_of
from twinset.server.schemas import FacetsAnswer, problems
from twinset.server.uploads import wrong

FIELDS = "category,colour,price,in_stock,tags"


def add_facet_routes(app: FastAPI) -> None:
    """Add GET /v1/facets."""

    @app.get("/v1/facets", tags=["search"], response_model=FacetsAnswer, responses=problems(422, 503))
    async def facets(
        request: Request,
        shop: str | None = None,
        category: str | None = None,
        where: list[str] = Query([]),  # noqa: B008
        fields: list[str] = Query([FIELDS], description="Comma-separated: see docs/search.md."),  # noqa: B008
    ) -> Response:
        """How many products have each value of some fields, by the shop's rules and these conditions."""
        engine, caller = engine_of(request), admit(request, "search")
        opened = engine.ready().shop
        taxonomy = opened.models.taxonomy
        if category is not None and category not in taxonomy.names:
            raise wrong("category", f"one of {', '.join(taxonomy.names)}", category)
        wanted = Wanted(where=where, shop=shop_of(shop, caller), facets=words_of(fields), taxonomy=taxonomy)

        def work() -> list[dict[str, Any]]:
            found = opened.store.facets(category, Ranking(opened.store, wanted).filter, wanted.facets)
            return [facet_json(facet) for facet in found]

        return tagged(request, {"facets": await asyncio.to_thread(work)})
