"""What a product's page shows beside it: the same in other colours, and what is like it and costs less."""

from typing import Any

from fastapi import FastAPI, Query, Request, Response

from twinset.recommend import cheaper_products, other_colours, price_of
from twinset.server.access import admit
from twinset.server.engine import engine_of
from twinset.server.http import tagged
from twinset.server.query import MAX_K
from twinset.server.schemas import CheaperAnswer, ColoursAnswer, problems
from twinset.server.shown import hit_answer
from twinset.shop import Shop

_REFUSALS = problems(404, 422, 503)


def add_strip_routes(app: FastAPI) -> None:
    """Add /v1/products/{product_id}/colours and /cheaper."""

    @app.get("/v1/products/{product_id}/colours", tags=["products"], response_model=ColoursAnswer, responses=_REFUSALS)
    async def colours(
        request: Request,
        product_id: str,
        k: int = Query(12, ge=1, le=MAX_K, description="Colours."),
        shop: str | None = None,
        where: list[str] = Query([]),  # noqa: B008
    ) -> Response:
        """Also in these colours: for each the same product, or what is most like it there."""
        engine, caller = engine_of(request), admit(request, "search")
        name = caller.shop_for(shop)
        found = await engine.run(lambda opened: other_colours(product_id, opened.store, shop=name, k=k, where=where))
        answer = [
            {
                "colour": each.colour,
                "same_product": each.same_product,
                "hit": hit_answer(each.hit, engine.ready(), caller),
            }
            for each in found
        ]
        return tagged(request, {"product_id": product_id, "colours": answer})

    @app.get("/v1/products/{product_id}/cheaper", tags=["products"], response_model=CheaperAnswer, responses=_REFUSALS)
    async def cheaper(
        request: Request,
        product_id: str,
        k: int = Query(24, ge=1, le=MAX_K),
        shop: str | None = None,
        where: list[str] = Query([]),  # noqa: B008
    ) -> Response:
        """Products like this one that cost less in its currency; sale prices count."""
        engine, caller = engine_of(request), admit(request, "search")
        name = caller.shop_for(shop)

        def work(opened: Shop) -> dict[str, Any]:
            hits = cheaper_products(product_id, opened.store, shop=name, k=k, where=where)
            price = price_of(opened.store.get(product_id, name).product)
            shown = [hit_answer(hit, engine.ready(), caller) for hit in hits]
            return {"product_id": product_id, "price": price, "hits": shown}

        return tagged(request, await engine.run(work))
