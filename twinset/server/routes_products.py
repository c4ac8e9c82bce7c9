"""Products: read, list, their picture; stored and removed by those who may write."""

import asyncio
import contextlib
import json
import logging
from typing import Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from twinset.data.feed import FailedRow
from twinset.errors import NotFound, UsageError
from twinset.rules import DEFAULT_SHOP
from twinset.server.access import admit
from twinset.server.bodies import BULK_BODY, PRODUCT_BODY
from twinset.server.engine import Loaded, engine_of
from twinset.server.http import json_answer, json_bytes, read_cursor, tagged, tagged_bytes, write_cursor
from twinset.server.intake import check_row, failed_json, rows_of
from twinset.server.routes_jobs import job_json
from twinset.server.schemas import (
    JobAnswer,
    ProductAnswer,
    ProductsAnswer,
    problems,
)
from twinset.server.shown import product_answer
from twinset.server.uploads import quoted, read_body, wrong
from twinset.server.writing import writing
from twinset.store import Key

log = logging.getLogger(__name__)
MAX_PAGE = 500
PICTURE_CACHE = "public, max-age=60, stale-while-revalidate=86400"  # a minute on, one look shows the old
MAX_ROW_BYTES = 64 * 1024 * 1024  # one product with its pictures as base64
_KINDS = ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"), (b"GIF8", "image/gif"), (b"BM", "image/bmp"))


def add_product_routes(app: FastAPI) -> None:
    """Add what is under /v1/products."""
    _add_reading(app)
    _add_writing(app)


def _add_reading(app: FastAPI) -> None:
    @app.get("/v1/products", tags=["products"], response_model=ProductsAnswer, responses=problems(422, 503))
    async def products(
        request: Request,
        shop: str | None = None,
        limit: int = Query(100, ge=1, le=MAX_PAGE),
        cursor: str | None = None,
    ) -> Response:
        """A shop's products by id, page by page: give `next_cursor` as `cursor` for the next."""
        engine, caller = engine_of(request), admit(request, "search")
        name = caller.shop_for(shop)
        after = read_cursor(cursor, str)
        loaded = engine.ready()

        def work() -> dict[str, Any]:
            store = loaded.shop.store
            ids = sorted(key.product_id for key in store.fingerprints() if key.shop == name)
            ids = [product_id for product_id in ids if after is None or product_id > after[0]]
            page = []
            for found in ids[:limit]:
                with contextlib.suppress(NotFound):  # removed meanwhile
                    page.append(product_answer(store.get(found, name).product, loaded, caller))
            more = len(ids) > limit
            return {"products": page, "next_cursor": write_cursor(ids[limit - 1]) if more else None}

        return tagged(request, await asyncio.to_thread(work))

    @app.get(
        "/v1/products/{product_id:product_id}",
        tags=["products"],
        response_model=ProductAnswer,
        responses=problems(404, 503),
    )
    async def product(request: Request, product_id: str, shop: str | None = None) -> Response:
        """A product as it is stored."""
        engine, caller = engine_of(request), admit(request, "search")
        loaded = engine.ready()
        entry = await asyncio.to_thread(loaded.shop.store.get, product_id, caller.shop_for(shop))
        return tagged(request, product_answer(entry.product, loaded, caller))

    @app.get(
        "/v1/products/{product_id:product_id}/image",
        tags=["products"],
        responses={
            200: {"content": {"image/*": {}}},
            302: {"description": "Elsewhere"},
            **problems(404, 503),
        },
        response_class=Response,
    )
    async def product_image(
        request: Request, product_id: str, shop: str | None = None, signature: str | None = None
    ) -> Response:
        """A product's picture. The links in answers carry the signature that stands for a key here."""
        loaded = engine_of(request).ready()
        name = shop or "default"
        if signature is None or not loaded.links.holds(product_id, name, signature):
            name = admit(request, "search").shop_for(shop)
        entry = await asyncio.to_thread(loaded.shop.store.get, product_id, name)
        where = entry.product.images[entry.items[0].image_no]
        if where.lower().startswith(("http://", "https://")):
            return RedirectResponse(where, 302)
        try:
            data = await asyncio.to_thread(loaded.shop.product_image, product_id, name)
        except Exception as exc:  # the message names a path of this machine
            log.warning("%s: no picture: %s", product_id, exc)
            raise HTTPException(404, "the product's picture can't be read") from exc
        return tagged_bytes(request, data, _kind(data), PICTURE_CACHE)


def _add_writing(app: FastAPI) -> None:
    @app.put(
        "/v1/products/{product_id:product_id}",
        tags=["products"],
        response_model=ProductAnswer,
        responses=problems(401, 403, 413, 415, 422, 429, 503),
        openapi_extra=PRODUCT_BODY,
    )
    async def put_product(request: Request, product_id: str, shop: str | None = None) -> Response:
        """Store one product, in the place of what was stored of it. It is on disk once this answers."""
        engine = engine_of(request)
        with writing(request, "write", "product.put", product_id) as write, engine.upload() as count:
            asked = write.caller.shop_for(shop)
            row = _one_row(await read_body(request, MAX_ROW_BYTES, count), _json(request))
            given = row.get("product_id", product_id)
            if not isinstance(given, str | int) or str(given) != product_id:
                raise wrong("product_id", repr(product_id), quoted(given))
            checked = check_row({**row, "product_id": product_id}, asked)
            name, product_id = checked["shop"], checked["product_id"]
            write.target = f"{name}/{product_id}"
            loaded = engine.ready()
            await engine.write(lambda: _upsert_one(loaded, checked))
        entry = await asyncio.to_thread(loaded.shop.store.get, product_id, name)
        return json_answer(json_bytes(product_answer(entry.product, loaded, write.caller)))

    @app.delete(
        "/v1/products/{product_id:product_id}",
        tags=["products"],
        status_code=204,
        responses=problems(401, 403, 404, 422, 429, 503),
    )
    async def delete_product(request: Request, product_id: str, shop: str | None = None) -> Response:
        """Remove a product. It is gone from the store once this answers."""
        with writing(request, "write", "product.delete", product_id, 204) as write:
            name, product_id = write.caller.shop_for(shop).strip() or DEFAULT_SHOP, product_id.strip()
            write.target = f"{name}/{product_id}"
            engine = engine_of(request)
            intake = engine.ready().jobs.intake
            if not await engine.write(lambda: intake.delete([Key(name, product_id)])):
                raise NotFound(f"product {product_id[:80]!r} of shop {name!r}: expected one that is stored, found none")
        return Response(status_code=204)

    @app.post(
        "/v1/products/bulk",
        tags=["products"],
        status_code=202,
        response_model=JobAnswer,
        responses=problems(401, 403, 413, 422, 429, 503),
        openapi_extra=BULK_BODY,
    )
    async def bulk(request: Request, shop: str | None = None) -> Response:
        """Store and remove many products in the background: answers with the job, which survives a restart."""
        engine = engine_of(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        with writing(request, "write", "product.bulk", "", 202) as write, engine.upload() as count:
            name = None if write.caller.shop is None and shop is None else write.caller.shop_for(shop)
            body = await read_body(request, engine.settings.job_bytes, count)
            rows = await asyncio.to_thread(rows_of, body, kind)
            write.facts["rows"] = len(rows)
            job = await asyncio.to_thread(engine.ready().jobs.add, rows, name)
            write.target = job.id
        return json_answer(json_bytes(job_json(job)), 202, {"Location": f"/v1/jobs/{job.id}"})


def _upsert_one(loaded: Loaded, row: dict[str, Any]) -> None:
    """Store a product. Raises UsageError with what is wrong with its row or its image."""
    intake = loaded.jobs.intake
    report = intake.upsert([(1, intake.keep_pictures(row))])
    if report.failed:
        (failure,) = failed_json([FailedRow(1, "", report.failed[0].reason)], f"{intake.folder.absolute()}/")
        reason, expected = failure["reason"], "a product whose image can be had"
        raise UsageError(f"product: {reason}", field="product", expected=expected, found=reason)


def _one_row(body: bytes, kind: str) -> dict[str, Any]:
    try:
        row = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise wrong("body", f"{kind} in UTF-8", str(exc)) from exc
    if not isinstance(row, dict):
        raise wrong("body", "a product as a JSON object", type(row).__name__)
    return row


def _json(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise wrong("body", "application/json", kind or "no content type")
    return kind


def _kind(data: bytes) -> str:
    if data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] == b"ftypavif":
        return "image/avif"
    return next((kind for start, kind in _KINDS if data.startswith(start)), "application/octet-stream")
