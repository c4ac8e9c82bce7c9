"""What a product's page shows beside it: what is like it, in other colours, for less, and what is worn with it."""

from typing import Any

from fastapi import FastAPI, Query, Request, Response

from twinset.answers import look_json
from twinset.recommend import cheaper_products, other_colours, price_of
from twinset.server.access import admit
from twinset.server.engine import engine_of
from twinset.server.http import offset_of, tagged, write_cursor
from twinset.server.query import MAX_DEPTH, MAX_K
from twinset.server.schemas import CheaperAnswer, ColoursAnswer, LookAnswer, SimilarAnswer, problems
from twinset.server.shown import hit_answer
from twinset.server.uploads import wrong
from twinset.shop import Shop

_REFUSALS = problems(404, 422, 503)
_WHERE = Query([], description="A condition such as price<50; repeat it for more.")


def add_strip_routes(app: FastAPI) -> None:
    """Add /v1/products/{product_id}/similar, /colours, /cheaper and /look."""
    _add_alike(app)
    _add_beside(app)


def _add_alike(app: FastAPI) -> None:
    @app.get(
        "/v1/products/{product_id:product_id}/similar",
        tags=["products"],
        response_model=SimilarAnswer,
        responses=_REFUSALS,
    )
    async def similar(
        request: Request,
        product_id: str,
        k: int = Query(24, ge=1, le=MAX_K),
        shop: str | None = None,
        where: list[str] = _WHERE,
        min_score: float = Query(0, ge=0, le=1),
        diversity: float = Query(0, ge=0, le=1, description="Towards 1: hits less like each other; on one page."),
        merge_copies: bool = Query(False, description="Near-duplicate listings are one hit, which names the others."),
        cursor: str | None = None,
    ) -> Response:
        """The products most like one of the shop's, page by page."""
        engine, caller = engine_of(request), admit(request, "search")
        name = caller.shop_for(shop)
        if diversity and cursor:
            raise wrong("cursor", "none beside diversity, which chooses one page", cursor)
        offset = offset_of(cursor, MAX_DEPTH)
        end, more = offset + k, not diversity  # one hit more than a page says that there is a next

        def work(opened: Shop) -> dict[str, Any]:
            found = opened.similar(product_id, name, k + more, where, min_score, offset, diversity, merge_copies)
            hits = [hit_answer(hit, engine.ready(), caller) for hit in found[:k]]
            after = write_cursor(end) if len(found) > k and end < MAX_DEPTH else None
            return {"product_id": product_id, "hits": hits, "next_cursor": after}

        return tagged(request, await engine.run(work))

    @app.get(
        "/v1/products/{product_id:product_id}/cheaper",
        tags=["products"],
        response_model=CheaperAnswer,
        responses=_REFUSALS,
    )
    async def cheaper(
        request: Request,
        product_id: str,
        k: int = Query(24, ge=1, le=MAX_K),
        shop: str | None = None,
        where: list[str] = _WHERE,
    ) -> Response:
        """Products like this one that cost less in its currency; sale prices count."""
        engine, caller = engine_of(request), admit(request, "search")
        name = caller.shop_for(shop)

        def work(opened: Shop) -> dict[str, Any]:
            taxonomy = opened.models.taxonomy
            hits = cheaper_products(product_id, opened.store, shop=name, k=k, where=where, taxonomy=taxonomy)
            price = price_of(opened.store.get(product_id, name).product)
            shown = [hit_answer(hit, engine.ready(), caller) for hit in hits]
            return {"product_id": product_id, "price": price, "hits": shown}

        return tagged(request, await engine.run(work))


def _add_beside(app: FastAPI) -> None:
    @app.get(
        "/v1/products/{product_id:product_id}/colours",
        tags=["products"],
        response_model=ColoursAnswer,
        responses=_REFUSALS,
    )
    async def colours(
        request: Request,
        product_id: str,
        k: int = Query(12, ge=1, le=MAX_K, description="Colours."),
        shop: str | None = None,
        where: list[str] = _WHERE,
    ) -> Response:
        """Also in these colours: for each the same product, or what is most like it there."""
        engine, caller = engine_of(request), admit(request, "search")
        name = caller.shop_for(shop)

        def work(opened: Shop) -> dict[str, Any]:
            taxonomy = opened.models.taxonomy
            found = other_colours(product_id, opened.store, shop=name, k=k, where=where, taxonomy=taxonomy)
            entries = [
                {
                    "colour": one.colour,
                    "same_product": one.same_product,
                    "hit": hit_answer(one.hit, engine.ready(), caller),
                }
                for one in found
            ]
            return {"product_id": product_id, "colours": entries}

        return tagged(request, await engine.run(work))

    @app.get(
        "/v1/products/{product_id:product_id}/look", tags=["products"], response_model=LookAnswer, responses=_REFUSALS
    )
    async def look(
        request: Request,
        product_id: str,
        k: int = Query(6, ge=1, le=100, description="Products a category."),
        categories: int = Query(4, ge=1, le=12, description="Categories at most."),
        shop: str | None = None,
        where: list[str] = _WHERE,
    ) -> Response:
        """Complete the look: products of other categories that are worn with this one, the likeliest category first."""
        engine, caller = engine_of(request), admit(request, "search")
        name = caller.shop_for(shop)

        def work(opened: Shop) -> dict[str, Any]:
            parts = opened.look(product_id, name, k, where, categories)
            answer = look_json(product_id, parts)
            for entry, part in zip(answer["look"], parts, strict=True):
                entry["hits"] = [hit_answer(hit, engine.ready(), caller) for hit in part.hits]
            return answer

        return tagged(request, await engine.run(work))
