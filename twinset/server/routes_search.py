"""Search and detect: a photo, a link to one, one that is held or a product's own, to the items in it."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response

from twinset.answers import detect_json, facet_json
from twinset.events import SearchedItem
from twinset.images import Photo
from twinset.ranking import features_of
from twinset.rules import DEFAULT_SHOP, Rules
from twinset.server.access import Caller, admit
from twinset.server.bodies import form_of
from twinset.server.engine import Engine, Loaded, engine_of
from twinset.server.http import json_answer, json_bytes
from twinset.server.misses import is_missed
from twinset.server.query import Query, next_place, read_query
from twinset.server.schemas import PROBLEMS, DetectAnswer, SearchAnswer
from twinset.server.shown import hit_answer
from twinset.server.sources import held, photo_of, with_photo
from twinset.server.uploads import PhotoForm, read_form, wrong
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
            if "rules" in form.fields:
                raise wrong("rules", "no rules: POST /v1/rules/preview takes them", "some")
            form = await with_photo(form, engine, caller, count)
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
            form = await with_photo(form, engine, caller, count)

            def work(shop: Shop) -> bytes:
                data, photo = photo_of(form, engine)
                answer = detect_json((photo.width, photo.height), shop.detect(photo, min_score))
                return json_bytes(answer | held(form, engine, caller, data, keep))

            return json_answer(await engine.run(work))


def _search(shop: Shop, engine: Engine, caller: Caller, form: PhotoForm, query: Query) -> bytes:
    """Return a search's answer as JSON."""
    data, photo = photo_of(form, engine)
    items = search_photo(shop, photo, query)
    search_id = uuid.uuid4().hex
    _record(engine, query, search_id, items)
    if not query.narrowed and not query.offset:
        engine.ready().misses.keep(query.shop or DEFAULT_SHOP, photo, items, engine.settings.miss_score)
    with stage("answer"):
        answer = detect_json((photo.width, photo.height), items)
        for entry, item in zip(answer["items"], items, strict=True):
            entry |= item_answer(item, query, engine.ready(), caller)
        answer["search_id"] = search_id
        return json_bytes(answer | held(form, engine, caller, data, query.keep))


def search_photo(shop: Shop, photo: Photo, query: Query, rules: Rules | None = None) -> list[FoundItem]:
    """Return a photo's items with their hits, by the shop's rules or others in their place."""
    return shop.search(
        photo,
        k=query.k,
        category=query.category,
        box=query.box,
        whole=query.whole,
        where=query.where,
        shop=query.shop,
        min_score=query.min_score,
        offset=query.offset,
        facets=query.facets,
        rules=rules,
        words=query.words,
    )


def item_answer(item: FoundItem, query: Query, loaded: Loaded, caller: Caller) -> dict[str, Any]:
    """Return what a search adds to a detected item's JSON."""
    answer: dict[str, Any] = {
        "hits": [hit_answer(hit, loaded, caller) for hit in item.hits],
        "next_offset": item.next_offset,
        "next_cursor": next_place(query, item),
    }
    if item.close_from is not None:
        answer |= {"close_enough": item.close_enough, "close_from": item.close_from}
    return answer | ({"facets": [facet_json(facet) for facet in item.facets]} if query.facets else {})


def _record(engine: Engine, query: Query, search_id: str, items: Sequence[FoundItem]) -> None:
    """Count a search's items and write down what they were, not how they look."""
    best = [max((hit.score for hit in item.hits), default=None) for item in items]
    first = not query.narrowed and not query.offset
    missed = [first and is_missed(item, engine.settings.miss_score) for item in items]
    if not query.offset:
        engine.metrics.items.inc(len(items))
        engine.metrics.misses.inc(sum(missed))
    if not engine.settings.record_searches:
        return
    engine.ready().events.add_searches(
        [
            SearchedItem(
                shop=query.shop or DEFAULT_SHOP,
                search_id=search_id,
                item_no=no,
                kind=query.kind,
                category=item.category,
                colour=item.colours[0].name if item.colours else None,
                best_score=score,
                hits="\n".join(hit.product_id for hit in item.hits),
                features=json.dumps(features_of(item.colours, item.hits).round(4).tolist(), separators=(",", ":")),
                missed=missed[no],
                narrowed=query.narrowed,
            )
            for no, (item, score) in enumerate(zip(items, best, strict=True))
        ]
    )
