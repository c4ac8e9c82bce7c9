"""The page, its files, and what it needs to know of the shop."""

from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from twinset.server.access import admit
from twinset.server.engine import engine_of
from twinset.server.http import tagged
from twinset.server.schemas import problems
from twinset.server.settings import ServerSettings

PAGE = Path(__file__).with_name("page")
WIDGET = Path(__file__).with_name("widget")
WIDGET_CACHE = {"Cache-Control": "public, max-age=600"}  # an update reaches shops within ten minutes


def add_page_routes(app: FastAPI, settings: ServerSettings) -> None:
    """Add /, /page, the widget's two files, /v1/shop and the sample photos."""

    @app.get("/v1/shop", tags=["service"], responses=problems(503))
    async def shop_facts(request: Request) -> Response:
        """The shop's categories and colours with their names, and the sample photos, for the page."""
        engine = engine_of(request)
        admit(request, "search")
        models = engine.ready().shop.models
        taxonomy = models.taxonomy
        facts = {
            "model": models.version,
            "max_bytes": settings.max_bytes,
            "photo_seconds": settings.photo_s,
            "miss_score": settings.miss_score,
            "words": models.labels is not None,
            "categories": {c.name: {"en": c.en, "ko": c.ko} for c in taxonomy.categories},
            "colours": {name: {"en": en, "ko": ko} for name, (en, ko) in taxonomy.colours.items()},
            "samples": [f"/v1/samples/{i}" for i in range(len(settings.samples))],
        }
        return tagged(request, facts)

    @app.get("/v1/samples/{number}", tags=["service"], response_class=Response, responses=problems(404))
    async def sample(number: int) -> Response:
        """A photo to try."""
        if not 0 <= number < len(settings.samples):
            raise HTTPException(404, f"expected a sample from 0 to {len(settings.samples) - 1}, found {number}")
        return FileResponse(settings.samples[number])

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/widget.js", include_in_schema=False)
    async def widget_script() -> FileResponse:
        return FileResponse(WIDGET / "widget.js", headers=WIDGET_CACHE)

    @app.get("/widget.css", include_in_schema=False)
    async def widget_style() -> FileResponse:
        return FileResponse(WIDGET / "widget.css", headers=WIDGET_CACHE)

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
