"""The service put together: what surrounds every request, the routes by noun, and its description."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware

from twinset import __version__
from twinset.server.engine import Engine
from twinset.server.middleware import ShopCors, Surround
from twinset.server.problems import add_handlers
from twinset.server.routes_events import add_event_routes
from twinset.server.routes_facets import add_facet_routes
from twinset.server.routes_jobs import add_job_routes
from twinset.server.routes_merchant import add_merchant_routes
from twinset.server.routes_page import add_page_routes
from twinset.server.routes_products import add_product_routes
from twinset.server.routes_reports import add_report_routes
from twinset.server.routes_rollout import add_rollout_routes
from twinset.server.routes_rules import add_rule_routes
from twinset.server.routes_search import add_search_routes
from twinset.server.routes_service import add_service_routes
from twinset.server.routes_strips import add_strip_routes
from twinset.server.routes_words import add_words_routes
from twinset.server.schemas import Problem
from twinset.server.settings import ServerSettings
from twinset.server.traces import open_spans
from twinset.shop import Shop
from twinset.stages import Spans

__all__ = ["ServerSettings", "create_app"]

GZIP_LEVEL = 4  # the highest levels take longer than they save on an answer's way
_TAGS = ("search", "products", "rules", "events", "reports", "jobs", "shops", "models", "service")


def create_app(
    open_engine: Callable[[], Shop], settings: ServerSettings | None = None, spans: Spans | None = None
) -> FastAPI:
    """Return the service. `open_engine` is called in a thread as it starts; until it returns, /readyz answers 503.

    `spans` opens a span of each request and stage; without it the settings say whether there are any.
    """
    settings = settings or ServerSettings()
    spans = spans or (open_spans() if settings.traces else contextlib.nullcontext)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = app.state.engine = Engine(settings)
        threading.Thread(target=engine.load, args=(open_engine,), daemon=True).start()
        tidying = asyncio.create_task(engine.tidy())
        yield
        tidying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tidying
        await asyncio.to_thread(engine.stop)

    app = FastAPI(
        title="Twinset",
        version=__version__,
        summary="Show a photo, get the shop's most similar products, item by item.",
        lifespan=lifespan,
        redoc_url=None,  # a page of scripts from elsewhere
    )
    add_handlers(app)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=GZIP_LEVEL)
    app.add_middleware(ShopCors, allowed=lambda origin: _is_allowed(app, settings, origin))
    app.add_middleware(Surround, state=app.state, spans=spans)
    add_service_routes(app)
    add_search_routes(app)
    add_words_routes(app)
    add_facet_routes(app)
    add_product_routes(app)
    add_strip_routes(app)
    add_rule_routes(app)
    add_event_routes(app)
    add_report_routes(app)
    add_job_routes(app)
    add_rollout_routes(app)
    add_page_routes(app, settings)
    add_merchant_routes(app)
    app.openapi_tags = [{"name": name} for name in _TAGS]
    _complete_description(app)
    return app


def _is_allowed(app: FastAPI, settings: ServerSettings, origin: str) -> bool:
    """Tell whether pages of an origin may call the API; what a call may do is for its key to say."""
    if origin in settings.cors_origins:
        return True
    engine: Engine | None = getattr(app.state, "engine", None)
    return engine is not None and engine.loaded is not None and origin in engine.loaded.keys.origins()


def _complete_description(app: FastAPI) -> None:
    """Put the problem document and the keys into the API's description."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        described = describe()
        components = described["components"]
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        components["schemas"] |= schema.pop("$defs", {}) | {"Problem": schema}
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{}, {"key": []}]  # without keys the service is open
        return described

    app.openapi = openapi  # type: ignore[method-assign]
