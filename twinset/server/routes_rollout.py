"""Another model for the store in use: its generations, and jobs that build one, switch to it and back."""

import asyncio
from dataclasses import asdict, replace
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from twinset.golden import MAX_DROP, kept_figures
from twinset.models import source_of
from twinset.rollout import State, drop, number_before, state_of
from twinset.server.access import Caller, admit
from twinset.server.engine import Loaded, engine_of
from twinset.server.http import json_answer, json_bytes, tagged
from twinset.server.rollout_jobs import offered_model, offered_models
from twinset.server.routes_jobs import job_json
from twinset.server.schemas import JobAnswer, RolloutAnswer, problems
from twinset.server.uploads import read_body, wrong
from twinset.server.writing import writing
from twinset.store import Shelf, open_shelf
from twinset.store.generations import Generation, Generations, all_generations, newest
from twinset.validation import expected_of

MAX_BODY = 16 * 1024


class ReindexBody(BaseModel):
    """What to build."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(description="A model that GET /v1/rollout offers.", examples=["clean"])


class SwitchBody(BaseModel):
    """What to switch to."""

    model_config = ConfigDict(extra="forbid")
    generation: int | None = Field(None, description="Its number; by default the newest.")
    max_drop: float = Field(MAX_DROP, ge=0, le=1, description="That golden queries compared before may show.")
    yes: bool = Field(False, description="In spite of golden queries, and without products that failed.")


class BackBody(BaseModel):
    """How to go back."""

    model_config = ConfigDict(extra="forbid")
    now: bool = Field(False, description="Do not describe what is new since: the feed's next run does.")


def add_rollout_routes(app: FastAPI) -> None:
    """Add what is under /v1/rollout."""

    @app.get("/v1/rollout", tags=["models"], response_model=RolloutAnswer, responses=problems(503))
    async def rollout(request: Request) -> Response:
        """The store's generations: their models, how far they are, what golden queries said of them."""
        _of_all_shops(admit(request, "admin"))
        engine = engine_of(request)
        loaded = engine.ready()
        found = await asyncio.to_thread(generations_json, loaded)
        offered = await asyncio.to_thread(offered_models, engine.settings.models)
        return tagged(request, {"generations": found, "models": list(offered)})

    @app.delete(
        "/v1/rollout/generations/{number}",
        tags=["models"],
        status_code=204,
        responses=problems(401, 403, 422, 503),
    )
    async def drop_generation(request: Request, number: int) -> Response:
        """Remove a generation that is not in use, for good."""
        with writing(request, "admin", "rollout.drop", str(number), 204) as write:
            _of_all_shops(write.caller)
            loaded = engine_of(request).ready()
            await asyncio.to_thread(drop, open_shelf(loaded.shop.store.uri), number)
        return Response(status_code=204)

    _add_jobs(app)


def _add_jobs(app: FastAPI) -> None:
    answers: dict[int | str, dict[str, Any]] = problems(401, 403, 413, 422, 503)

    @app.post(
        "/v1/rollout/reindex",
        tags=["models"],
        status_code=202,
        response_model=JobAnswer,
        responses=answers,
        openapi_extra=_described(ReindexBody),
    )
    async def reindex(request: Request) -> Response:
        """Describe all products by another model, beside the one in use: answers with the job."""
        return await _job(request, "reindex", ReindexBody)

    @app.post(
        "/v1/rollout/switch",
        tags=["models"],
        status_code=202,
        response_model=JobAnswer,
        responses=answers,
        openapi_extra=_described(SwitchBody),
    )
    async def switch(request: Request) -> Response:
        """Bring another generation up to date and put it in use, at once: answers with the job."""
        return await _job(request, "switch", SwitchBody)

    @app.post(
        "/v1/rollout/back",
        tags=["models"],
        status_code=202,
        response_model=JobAnswer,
        responses=answers,
        openapi_extra=_described(BackBody),
    )
    async def back(request: Request) -> Response:
        """Put the generation that was in use before in its place again: answers with the job."""
        return await _job(request, "back", BackBody)


async def _job(request: Request, kind: str, body: type[BaseModel]) -> Response:
    """Queue a job as the body says."""
    with writing(request, "admin", f"rollout.{kind}", "", 202) as write:
        _of_all_shops(write.caller)
        engine = engine_of(request)
        with engine.upload() as count:
            options = write.facts = _read(body, await read_body(request, MAX_BODY, count))
        if kind == "reindex":
            await asyncio.to_thread(offered_model, options["model"], engine.settings.models)
        else:  # known by now, so that a job that is cut short and done again means the same
            options["generation"] = await asyncio.to_thread(_number, engine.ready(), options.get("generation"), kind)
        job = await asyncio.to_thread(engine.ready().jobs.add_rollout, kind, options)
        write.target = job.id
    return json_answer(json_bytes(job_json(job)), 202, {"Location": f"/v1/jobs/{job.id}"})


def _number(loaded: Loaded, asked: int | None, kind: str) -> int:
    shelf = open_shelf(loaded.shop.store.uri)
    if kind == "back":
        return number_before(shelf)
    return newest(all_generations(shelf, source_of), asked).number


def _read(body: type[BaseModel], text: bytes) -> dict[str, Any]:
    try:
        return body.model_validate_json(text or b"{}").model_dump()
    except ValidationError as exc:
        error = exc.errors()[0]
        field = ".".join(map(str, error["loc"])) or "body"
        raise wrong(field, expected_of(error), repr(error["input"])) from exc


def _described(body: type[BaseModel]) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": body.model_json_schema()}}}}


def _of_all_shops(caller: Caller) -> None:
    if caller.shop is not None:
        raise HTTPException(403, "a model is rolled out for all shops: this needs an admin key of --shop '*'")


def generations_json(loaded: Loaded) -> list[dict[str, Any]]:
    """Return what there is to say of a store's generations."""
    shelf = open_shelf(loaded.shop.store.uri)
    generations = all_generations(shelf, source_of)
    return [_generation_json(loaded, shelf, generations, one) for one in generations.listed]


def _generation_json(loaded: Loaded, shelf: Shelf, generations: Generations, one: Generation) -> dict[str, Any]:
    in_use = one.number == generations.in_use
    shop = loaded.shop if in_use else loaded.follower.opened.get(one.number)
    state = state_of(shelf, one.number) or State(0, 0)
    if shop is not None:
        count = shop.store.count()
        state = replace(state, total=count, done=count)
    figures = kept_figures(shelf, one.number)
    return {
        "generation": one.number,
        "model": one.model,
        "state": one.state,
        "in_use": in_use,
        "before": one.number == generations.before,
        "products": state.total,
        "done": state.done,
        "failed": state.failed_count,
        "opened": shop is not None,
        "problem": loaded.follower.problems.get(one.number, ""),
        "golden": asdict(figures) if figures else None,
    }
