"""Search and detect: a photo, a link to one, or one that is held, to the items in it."""

import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response

from twinset.answers import detect_json, hit_json, search_json
from twinset.boxes import parse_box
from twinset.fetch import fetch_url
from twinset.images import decode_image
from twinset.server.access import Caller, admit
from twinset.server.engine import Engine, Loaded, engine_of
from twinset.server.events import SearchedItem
from twinset.server.http import json_answer, json_bytes
from twinset.server.schemas import PROBLEMS, DetectAnswer, SearchAnswer, form_of
from twinset.server.uploads import PhotoForm, read_form
from twinset.shop import Shop
from twinset.stages import stage
from twinset.types import FoundItem, Hit, Image

MAX_K = 200
FETCH_S = 10.0


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
            k = form.whole_number("k", 24, 1, MAX_K)
            category, box, whole = form.text("category"), form.text("box"), form.flag("whole")
            corners = parse_box(box) if box else None
            keep = form.flag("keep")
            where = _conditions(caller, form)
            search_id = uuid.uuid4().hex

            def work(shop: Shop) -> bytes:
                data, image = _photo(engine, caller, form)
                items = shop.search(image, k=k, category=category, box=corners, whole=whole, where=where)
                kind = "whole" if whole else "crop" if corners else "photo"
                _record(engine, caller, form, search_id, kind, items)
                with stage("answer"):
                    answer = search_json((image.shape[1], image.shape[0]), items)
                    for entry, item in zip(answer["items"], items, strict=True):
                        entry["hits"] = [hit_answer(hit, engine.ready(), caller) for hit in item.hits]
                    answer["search_id"] = search_id
                    return json_bytes(answer | _held(engine, caller, form, data, keep))

            return json_answer(await engine.run(work))

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
                data, image = _photo(engine, caller, form)
                answer = detect_json((image.shape[1], image.shape[0]), shop.detect(image, min_score))
                return json_bytes(answer | _held(engine, caller, form, data, keep))

            return json_answer(await engine.run(work))


def hit_answer(hit: Hit, loaded: Loaded, caller: Caller) -> dict[str, Any]:
    """Return a hit's JSON with its picture as a path of this service: no path of the machine goes out."""
    answer = hit_json(hit) | {"url": hit.product.url}
    answer["colours"] = [{"name": colour.name, "share": colour.share} for colour in hit.colours]
    return answer | {"image": loaded.links.path(hit.product_id, hit.product.shop, caller.signed)}


def _conditions(caller: Caller, form: PhotoForm) -> list[str]:
    """Return a form's conditions with the shop it may see, or asks for, among them."""
    where = caller.where([condition for condition in form.fields.get("where", []) if condition])
    asked = form.text("shop")
    if asked is not None and caller.shop_for(asked) != caller.shop:
        where.append(f"shop={asked}")
    return where


def _photo(engine: Engine, caller: Caller, form: PhotoForm) -> tuple[bytes, Image]:
    """Return a form's photo, as sent and decoded."""
    settings = engine.settings
    data = form.photo or b""
    if form.image_id is not None:
        data = engine.photos.get(form.image_id, caller.name)
    if form.url is not None:
        with stage("fetch"):
            fetched = fetch_url(form.url, settings.max_bytes, FETCH_S, allow_private=settings.allow_private, attempts=1)
        data = fetched.data or b""
    with stage("decode"):
        return data, decode_image(data, "photo", settings.max_bytes, settings.max_pixels)


def _held(engine: Engine, caller: Caller, form: PhotoForm, data: bytes, keep: bool) -> dict[str, Any]:
    """Return what an answer says of the photo's being held: nothing, where nobody asked for it."""
    if form.image_id is not None:
        return {"image_id": form.image_id}
    if not keep:
        return {}
    return {"image_id": engine.photos.put(data, caller.name), "image_seconds": engine.photos.seconds}


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
