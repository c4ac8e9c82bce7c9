"""The service: routes that turn a request into values, call the library, and turn the answer into JSON."""

import asyncio
import hashlib
import logging
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from fastapi import FastAPI, Query, Request, Response
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from twinset import __version__
from twinset.answers import detect_json, hit_json, search_json
from twinset.boxes import parse_box
from twinset.fetch import fetch_url
from twinset.images import MAX_BYTES, MAX_PIXELS, decode_image
from twinset.server.problems import Busy, add_handlers, problem
from twinset.server.schemas import PROBLEMS, DetectAnswer, Problem, SearchAnswer, SimilarAnswer, form_of
from twinset.server.uploads import PhotoForm, read_form
from twinset.shop import Shop
from twinset.types import Hit, Image

log = logging.getLogger(__name__)
T = TypeVar("T")
PAGE = Path(__file__).with_name("page")
MAX_K = 200
CSP = (
    "default-src 'self'; img-src 'self' blob: data: https: http:; style-src 'self'; script-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
_KINDS = ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"), (b"GIF8", "image/gif"), (b"BM", "image/bmp"))


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the service allows."""

    max_bytes: int = MAX_BYTES  # of an uploaded or fetched photo
    max_pixels: int = MAX_PIXELS
    workers: int = 2  # photos at once
    queue: int = 64  # photos that may wait; more get 503
    samples: tuple[Path, ...] = ()  # photos the page offers to try
    allow_private: bool = False  # fetch photos from private addresses: for tests only


class Engine:
    """The shop, once it's loaded, and the turn-taking before it."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.shop: Shop | None = None
        self.problem: BaseException | None = None
        self.waiting = 0
        self.turns = asyncio.Semaphore(settings.workers)

    async def run(self, work: Callable[[Shop], T]) -> T:
        """Return what `work` gives, called in a thread. Raises Busy if too many wait."""
        shop = self.shop
        if shop is None:
            raise HTTPException(503, "the models and the store are being loaded; try again in a second")
        if self.waiting >= self.settings.queue + self.settings.workers:
            raise Busy
        self.waiting += 1
        try:
            async with self.turns:
                return await asyncio.to_thread(work, shop)
        finally:
            self.waiting -= 1


def create_app(open_engine: Callable[[], Shop], settings: ServerSettings | None = None) -> FastAPI:
    """Return the service. `open_engine` is called in a thread as it starts; until it returns, /readyz answers 503."""
    settings = settings or ServerSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = app.state.engine = Engine(settings)

        def load() -> None:
            try:
                engine.shop = open_engine()
            except BaseException as exc:
                engine.problem = exc
                log.error("the service can't start: %s", exc)

        threading.Thread(target=load, daemon=True).start()
        yield

    app = FastAPI(
        title="Twinset",
        version=__version__,
        summary="Show a photo, get the shop's most similar products, item by item.",
        lifespan=lifespan,
    )
    add_handlers(app)
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    app.middleware("http")(_headers)
    _add_health(app)
    _add_search(app, settings)
    _add_products(app)
    _add_page(app, settings)
    app.openapi_tags = [{"name": "search"}, {"name": "products"}, {"name": "service"}]
    _document_problems(app)
    return app


async def _headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["X-Request-Id"] = uuid.uuid4().hex
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    if not request.url.path.startswith("/docs"):  # whose page is FastAPI's
        response.headers["Content-Security-Policy"] = CSP
    return response


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["service"])
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["service"], responses={503: PROBLEMS[503]})
    async def readyz(request: Request) -> Response:
        """Models and store are loaded."""
        engine: Engine = request.app.state.engine
        if engine.shop is None:
            return problem(503, "the models and the store are not loaded")
        return JSONResponse({"status": "ready", "model": engine.shop.models.version})


def _add_search(app: FastAPI, settings: ServerSettings) -> None:
    def photo_of(form: PhotoForm) -> Image:
        data = form.photo
        if form.url is not None:
            data = fetch_url(form.url, settings.max_bytes, allow_private=settings.allow_private, attempts=1).data
        return decode_image(data or b"", "photo", settings.max_bytes, settings.max_pixels)

    @app.post(
        "/v1/search",
        tags=["search"],
        response_model=SearchAnswer,
        responses=PROBLEMS,
        openapi_extra=form_of(search=True),
    )
    async def search(request: Request) -> JSONResponse:
        """The items in a photo, each with the products most like it."""
        form = await read_form(request, settings.max_bytes)
        k = form.whole_number("k", 24, 1, MAX_K)
        category, box, whole = form.text("category"), form.text("box"), form.flag("whole")
        corners = parse_box(box) if box else None
        where = [condition for condition in form.fields.get("where", []) if condition]

        def work(shop: Shop) -> dict[str, Any]:
            image = photo_of(form)
            items = shop.search(image, k=k, category=category, box=corners, whole=whole, where=where)
            answer = search_json((image.shape[1], image.shape[0]), items)
            for entry, item in zip(answer["items"], items, strict=True):
                entry["hits"] = [_hit(hit) for hit in item.hits]
            return answer

        return JSONResponse(await _engine(request).run(work))

    @app.post(
        "/v1/detect",
        tags=["search"],
        response_model=DetectAnswer,
        responses=PROBLEMS,
        openapi_extra=form_of(search=False),
    )
    async def detect(request: Request) -> JSONResponse:
        """The items in a photo."""
        form = await read_form(request, settings.max_bytes)
        min_score = form.share("min_score")

        def work(shop: Shop) -> dict[str, Any]:
            image = photo_of(form)
            return detect_json((image.shape[1], image.shape[0]), shop.detect(image, min_score))

        return JSONResponse(await _engine(request).run(work))


def _add_products(app: FastAPI) -> None:
    not_found: dict[int | str, dict[str, Any]] = {
        404: {"description": "No product has this id", **{"content": PROBLEMS[422]["content"]}}
    }

    @app.get(
        "/v1/products/{product_id}/similar",
        tags=["products"],
        response_model=SimilarAnswer,
        responses={**not_found, 422: PROBLEMS[422], 503: PROBLEMS[503]},
    )
    async def similar(
        request: Request,
        product_id: str,
        k: int = Query(24, ge=1, le=MAX_K),
        shop: str = "default",
        where: list[str] = Query([]),  # noqa: B008
    ) -> JSONResponse:
        """The products most like one of the shop's."""
        hits = await _engine(request).run(lambda engine: engine.similar(product_id, shop=shop, k=k, where=where))
        return JSONResponse({"product_id": product_id, "hits": [_hit(hit) for hit in hits]})

    @app.get("/v1/products/{product_id}", tags=["products"], responses={**not_found, 503: PROBLEMS[503]})
    async def product(request: Request, product_id: str, shop: str = "default") -> JSONResponse:
        """A product as it is stored."""
        entry = await _engine(request).run(lambda engine: engine.store.get(product_id, shop))
        found = entry.product
        names = ("product_id", "shop", "title", "price", "sale_price", "currency", "category", "article_type", "url")
        body = {name: getattr(found, name) for name in names}
        body |= {"in_stock": found.in_stock, "group_id": found.group_id, "tags": dict(found.tags)}
        return JSONResponse({**body, "image": _image_path(product_id, shop)})

    @app.get("/v1/products/{product_id}/image", tags=["products"], responses=not_found, response_class=Response)
    async def product_image(request: Request, product_id: str, shop: str = "default") -> Response:
        """A product's picture."""
        engine = _engine(request)
        if engine.shop is None:
            raise HTTPException(503, "the models and the store are being loaded; try again in a second")
        entry = await asyncio.to_thread(engine.shop.store.get, product_id, shop)
        where = entry.product.images[entry.items[0].image_no]
        if where.lower().startswith(("http://", "https://")):
            return RedirectResponse(where)
        try:
            data = await asyncio.to_thread(engine.shop.product_image, product_id, shop)
        except Exception as exc:  # the message names a path of this machine
            log.warning("%s: no picture: %s", product_id, exc)
            raise HTTPException(404, "the product's picture can't be read") from exc
        tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        headers = {"ETag": tag, "Cache-Control": "public, max-age=3600"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=_kind(data), headers=headers)


def _add_page(app: FastAPI, settings: ServerSettings) -> None:
    @app.get("/v1/shop", tags=["service"], responses={503: PROBLEMS[503]})
    async def shop_facts(request: Request) -> JSONResponse:
        """The shop's categories and colours with their names, and the sample photos, for the page."""
        engine = _engine(request)
        if engine.shop is None:
            raise HTTPException(503, "the models and the store are being loaded; try again in a second")
        taxonomy = engine.shop.models.taxonomy
        return JSONResponse(
            {
                "model": engine.shop.models.version,
                "max_bytes": settings.max_bytes,
                "categories": {c.name: {"en": c.en, "ko": c.ko} for c in taxonomy.categories},
                "colours": {name: {"en": en, "ko": ko} for name, (en, ko) in taxonomy.colours.items()},
                "samples": [f"/v1/samples/{i}" for i in range(len(settings.samples))],
            }
        )

    @app.get(
        "/v1/samples/{number}", tags=["service"], response_class=Response, responses={404: {"description": "None"}}
    )
    async def sample(number: int) -> Response:
        """A photo to try."""
        if not 0 <= number < len(settings.samples):
            raise HTTPException(404, f"expected a sample from 0 to {len(settings.samples) - 1}, found {number}")
        return FileResponse(settings.samples[number])

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/page", StaticFiles(directory=PAGE), name="page")


def _document_problems(app: FastAPI) -> None:
    """Put the problem document among the schemas of the API's description."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        described = describe()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        described["components"]["schemas"] |= schema.pop("$defs", {}) | {"Problem": schema}
        return described

    app.openapi = openapi  # type: ignore[method-assign]


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _hit(hit: Hit) -> dict[str, Any]:
    """Return a hit's JSON with its picture as a path of this service: no path of the machine goes out."""
    answer = hit_json(hit) | {"url": hit.product.url}
    answer["colours"] = [{"name": colour.name, "share": colour.share} for colour in hit.colours]
    return answer | {"image": _image_path(hit.product_id, hit.product.shop)}


def _image_path(product_id: str, shop: str) -> str:
    extra = "" if shop == "default" else f"?shop={quote(shop, safe='')}"
    return f"/v1/products/{quote(product_id, safe='')}/image{extra}"


def _kind(data: bytes) -> str:
    if data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] == b"ftypavif":
        return "image/avif"
    return next((kind for start, kind in _KINDS if data.startswith(start)), "application/octet-stream")
