"""A shop's rules: read, kept, and looked at before they are kept."""

import asyncio
import json

from fastapi import FastAPI, Request, Response

from twinset.answers import detect_json
from twinset.rules import Rules, load_rules, parse_rules, save_rules
from twinset.server.access import Caller, admit
from twinset.server.bodies import PREVIEW_FORM, RULES_BODY
from twinset.server.engine import Engine, engine_of
from twinset.server.http import json_answer, json_bytes, tagged
from twinset.server.query import Query, read_query
from twinset.server.routes_search import item_answer, search_photo
from twinset.server.schemas import PROBLEMS, PreviewAnswer, RulesAnswer, problems
from twinset.server.shown import hit_answer
from twinset.server.sources import held, photo_of, with_photo
from twinset.server.uploads import MAX_RULES_BYTES, PhotoForm, read_body, read_form, wrong
from twinset.server.writing import writing
from twinset.shop import Shop


def add_rule_routes(app: FastAPI) -> None:
    """Add what is under /v1/rules."""

    @app.get("/v1/rules", tags=["rules"], response_model=RulesAnswer, responses=problems(503))
    async def rules(request: Request, shop: str | None = None) -> Response:
        """The shop's rules; none where none were kept."""
        engine, caller = engine_of(request), admit(request, "admin")
        name = caller.shop_for(shop)
        found = await asyncio.to_thread(load_rules, engine.ready().shop.store, name)
        return tagged(request, {"shop": name, "rules": found.model_dump(mode="json")})

    @app.put(
        "/v1/rules", tags=["rules"], response_model=RulesAnswer, responses=problems(413, 503), openapi_extra=RULES_BODY
    )
    async def put_rules(request: Request, shop: str | None = None) -> Response:
        """Keep rules in the place of the shop's own: the next search goes by them. {} removes them."""
        engine = engine_of(request)
        with writing(request, "admin", "rules.put", shop or "") as write:
            name = write.target = write.caller.shop_for(shop)
            with engine.upload() as count:
                text = _text(await read_body(request, MAX_RULES_BYTES, count))
                opened = engine.ready().shop
                given = parse_rules(text, opened.models.taxonomy)
            write.facts["rules"] = given.describe()
            await asyncio.to_thread(save_rules, opened.store, given, name)
        return json_answer(json_bytes({"shop": name, "rules": given.model_dump(mode="json")}))

    @app.post(
        "/v1/rules/preview",
        tags=["rules"],
        response_model=PreviewAnswer,
        responses=PROBLEMS,
        openapi_extra=PREVIEW_FORM,
    )
    async def preview(request: Request) -> Response:
        """A search with rules that are not kept, beside the same search with those that are."""
        engine, caller = engine_of(request), admit(request, "admin")
        with engine.upload() as count:
            form = await read_form(request, engine.settings.max_bytes, count)
            query = read_query(form, caller)
            given = parse_rules(form.text("rules") or "{}", engine.ready().shop.models.taxonomy)
            form = await with_photo(form, engine, caller, count)
            return json_answer(await engine.run(lambda shop: _preview(shop, engine, caller, form, query, given)))


def _preview(shop: Shop, engine: Engine, caller: Caller, form: PhotoForm, query: Query, given: Rules) -> bytes:
    data, photo = photo_of(form, engine)
    after, before = search_photo(shop, photo, query, given), search_photo(shop, photo, query)
    answer = detect_json((photo.width, photo.height), after)
    for entry, item, kept in zip(answer["items"], after, before, strict=True):
        entry |= item_answer(item, query, engine.ready(), caller)
        entry["hits_before"] = [hit_answer(hit, engine.ready(), caller) for hit in kept.hits]
    return json_bytes(answer | held(form, engine, caller, data, query.keep))


def _text(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body))
    except (ValueError, RecursionError) as exc:
        raise wrong("rules", "rules as JSON", str(exc)) from exc
