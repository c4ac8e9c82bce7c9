"""Search by words alone. Beside a photo they are a field of POST /v1/search."""

import uuid
from typing import Any

from fastapi import FastAPI, Query, Request, Response

from twinset.answers import facet_json
from twinset.events import SearchedItem
from twinset.hits import Page, Wanted
from twinset.rules import DEFAULT_SHOP
from twinset.server.access import admit
from twinset.server.engine import engine_of
from twinset.server.http import json_answer, json_bytes, offset_of, write_cursor
from twinset.server.query import MAX_DEPTH, MAX_K, shop_of, words_of
from twinset.server.schemas import WordsAnswer, problems
from twinset.server.shown import hit_answer
from twinset.shop import Shop
from twinset.word_search import words_page

MAX_WORDS = 500  # characters


def add_words_routes(app: FastAPI) -> None:
    """Add GET /v1/search/words."""

    @app.get("/v1/search/words", tags=["search"], response_model=WordsAnswer, responses=problems(422, 503))
    async def search_words(
        request: Request,
        words: str = Query(max_length=MAX_WORDS, examples=["red striped shirt"]),
        k: int = Query(24, ge=1, le=MAX_K),
        category: str | None = None,
        where: list[str] = Query([]),  # noqa: B008
        min_score: float = Query(0, ge=0, le=1),
        facets: list[str] = Query([], description="Fields to count the hits by, comma-separated."),  # noqa: B008
        shop: str | None = None,
        cursor: str | None = None,
    ) -> Response:
        """The products that say the words, or look like them, page by page."""
        engine, caller = engine_of(request), admit(request, "search")
        offset = offset_of(cursor, MAX_DEPTH)
        name, counted = shop_of(shop, caller), words_of(facets)

        def work(opened: Shop) -> bytes:
            wanted = Wanted(k, offset, min_score, where, name, counted, taxonomy=opened.models.taxonomy)
            page = words_page(words, opened.models, opened.store, wanted, category)
            search_id = uuid.uuid4().hex
            if engine.settings.record_searches:
                engine.ready().events.add_searches([_searched(page, wanted, search_id, category)])
            answer: dict[str, Any] = {"words": words, "search_id": search_id}
            answer["hits"] = [hit_answer(hit, engine.ready(), caller) for hit in page.hits]
            answer |= {"facets": [facet_json(facet) for facet in page.facets]} if wanted.facets else {}
            more = page.next_offset is not None and page.next_offset < MAX_DEPTH
            return json_bytes(answer | {"next_cursor": write_cursor(page.next_offset) if more else None})

        return json_answer(await engine.run(work))


def _searched(page: Page, wanted: Wanted, search_id: str, category: str | None) -> SearchedItem:
    """Return what is written down of a search by words: not the words."""
    return SearchedItem(
        shop=wanted.shop or DEFAULT_SHOP,
        search_id=search_id,
        item_no=0,
        kind="page" if wanted.offset else "words",
        category=category,
        colour=None,
        best_score=page.hits[0].score if page.hits else None,
        hits="\n".join(hit.product_id for hit in page.hits),
        missed=False,  # words that no product says are no piece the shop lacks
        narrowed=True,
    )
