"""Search and detect: a photo, a link to one, one that is held or a product's own, to the items in it."""

import uuid
from collections.abc import Sequence
from dataclasses import replace

from fastapi import FastAPI, Request, Response

from twinset.answers import detect_json, search_json
from twinset.server.access import Caller, admit
from twinset.server.bodies import form_of
from twinset.server.engine import Engine, engine_of
from twinset.server.events import SearchedItem
from twinset.server.http import json_answer, json_bytes
from twinset.server.query import Query, next_place, read_query
from twinset.server.schemas import PROBLEMS, DetectAnswer, SearchAnswer
from twinset.server.shown import hit_answer
from twinset.server.sources import held, photo_of
from twinset.server.uploads import PhotoForm, read_form
from twinset.shop import Shop
from twinset.stages import stage
from twinset.types import FoundItem


def add_search_routes(app: FastAPI) -> None:
    """Add POST /v1/search and /v1/detect."""

    @app.post(
        "/v1/search",
        tags=["search"],
        response_model=SearchAnswer,
        responses=PROBLEMS,
        openapi_extra=form_of(search=True),
    )
    async def search(request: Request) -> Response:
        """The items in a photo, each with the products most like it."""
        engine, caller = engine_of(request), admit(request, "search")
        with engine.upload() as count:
            form = await read_form(request, engine.settings.max_bytes, count)
            query = read_query(form, caller)
            return json_answer(await engine.run(lambda shop: _search(shop, engine, caller, form, query)))

    @app.post(
        "/v1/detect",
        tags=["search"],
        response_model=DetectAnswer,
        responses=PROBLEMS,
        openapi_extra=form_of(search=False),
    )
    async def detect(request: Request) -> Response:
        """The items in a photo."""
        engine, caller = engine_of(request), admit(request, "search")
        with engine.upload() as count:
            form = await read_form(request, engine.settings.max_bytes, count)
            min_score, keep = form.share("min_score"), form.flag("keep")

            def work(shop: Shop) -> bytes:
                data, image = photo_of(form, engine, caller)
                answer = detect_json((image.shape[1], image.shape[0]), shop.detect(image, min_score))
                return json_bytes(answer | held(form, engine, caller, data, keep))

            return json_answer(await engine.run(work))


def _search(shop: Shop, engine: Engine, caller: Caller, form: PhotoForm, query: Query) -> bytes:
    """Return a search's answer as JSON."""
    data, image = photo_of(form, engine, caller)
    itself = form.text("product_id")
    found = shop.search(
        image,
        k=query.offset + query.k + (1 if itself is None else 2),  # one tells of a next page, one may be left out
        category=query.category,
        box=query.box,
        whole=query.whole,
        where=query.where,
    )
    rest = [[hit for hit in item.hits if hit.product_id != itself][query.offset :] for item in found]
    items = [replace(item, hits=tuple(hits[: query.k])) for item, hits in zip(found, rest, strict=True)]
    search_id = uuid.uuid4().hex
    _record(engine, caller, form, search_id, query.kind, items)
    with stage("answer"):
        answer = search_json((image.shape[1], image.shape[0]), items)
        for entry, item, hits in zip(answer["items"], items, rest, strict=True):
            entry["hits"] = [hit_answer(hit, engine.ready(), caller) for hit in item.hits]
            entry["next_cursor"] = next_place(query, item) if len(hits) > query.k else None
        answer["search_id"] = search_id
        return json_bytes(answer | held(form, engine, caller, data, query.keep))


def _record(
    engine: Engine, caller: Caller, form: PhotoForm, search_id: str, kind: str, items: Sequence[FoundItem]
) -> None:
    """Count a search's items and write down what they were, not how they look."""
    best = [item.hits[0].score if item.hits else None for item in items]
    engine.metrics.items.inc(len(items))
    engine.metrics.misses.inc(sum(score is None or score < engine.settings.miss_score for score in best))
    if not engine.settings.record_searches:
        return
    shop = caller.shop or form.text("shop") or "default"
    engine.ready().events.add_searches(
        [
            SearchedItem(
                shop=shop,
                search_id=search_id,
                item_no=no,
                kind=kind,
                category=item.category,
                colour=item.colours[0].name if item.colours else None,
                best_score=score,
                hits="\n".join(hit.product_id for hit in item.hits),
            )
            for no, (item, score) in enumerate(zip(items, best, strict=True))
        ]
    )
