"""The service itself: alive, ready, figures, shops and models."""

import asyncio
from collections import Counter

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from twinset.detect.detector import load_config
from twinset.models import model_folder, model_names, model_version
from twinset.server.access import admit, is_local
from twinset.server.engine import engine_of
from twinset.server.http import json_answer, json_bytes, tagged
from twinset.server.routes_rollout import generations_json
from twinset.server.schemas import GenerationEntry, ModelsAnswer, ShopsAnswer, problems


def add_service_routes(app: FastAPI) -> None:
    """Add /healthz, /readyz, /metrics, /v1/shops and /v1/models."""

    @app.get("/healthz", tags=["service"])
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["service"], responses={503: problems(503)[503]})
    async def readyz(request: Request) -> Response:
        """Models and store are loaded, and the service is not about to stop."""
        loaded = engine_of(request).ready()
        return json_answer(json_bytes({"status": "ready", "model": loaded.shop.models.version}))

    @app.get("/metrics", tags=["service"], response_class=Response, responses=problems(401, 403))
    async def metrics(request: Request) -> Response:
        """Figures for Prometheus: for this machine, or with an admin key."""
        engine = engine_of(request)
        if not is_local(request):
            caller = admit(request, "admin")
            if caller.shop is not None:
                raise HTTPException(403, "figures are of all shops: this needs an admin key of --shop '*'")
        engine.metrics.held.set(engine.photos.bytes)
        text = await asyncio.to_thread(engine.metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/shops", tags=["shops"], response_model=ShopsAnswer, responses=problems(503))
    async def shops(request: Request) -> Response:
        """The shops in the store, of those the key may see."""
        engine, caller = engine_of(request), admit(request, "search")
        store = engine.ready().shop.store
        counts = await asyncio.to_thread(lambda: Counter(key.shop for key in store.fingerprints()))
        names = sorted(counts) if caller.shop is None else [caller.shop]  # one without products is nonetheless theirs
        return tagged(request, {"shops": [{"shop": name, "products": counts[name]} for name in names]})

    @app.get("/v1/models", tags=["models"], response_model=ModelsAnswer, responses=problems(503))
    async def models(request: Request) -> Response:
        """The models that ship, the one in use, and the store's generations."""
        engine, caller = engine_of(request), admit(request, "search")
        loaded = engine.ready()
        active = loaded.shop.models
        found = await asyncio.to_thread(_shipped)
        if active.version not in [entry["version"] for entry in found]:
            found.append({"name": active.name, "version": active.version, "categories": list(active.categories)})
        answer: dict[str, object] = {
            "models": [{**entry, "active": entry["version"] == active.version} for entry in found]
        }
        generations = await asyncio.to_thread(generations_json, loaded)
        if len(generations) > 1:
            hidden = () if caller.shop is None else ("products", "done", "failed")  # those of all shops
            kept = [name for name in GenerationEntry.model_fields if name not in hidden]
            answer["generations"] = [{name: one[name] for name in kept} for one in generations]
        return tagged(request, answer)


def _shipped() -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "version": model_version(model_folder(name)),
            "categories": list(load_config(model_folder(name) / "detector.json").categories),
        }
        for name in model_names()
    ]
