"""Jobs: how far they are."""

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Query, Request, Response

from twinset.server.access import admit
from twinset.server.engine import engine_of
from twinset.server.http import read_cursor, tagged, write_cursor
from twinset.server.jobs import Job
from twinset.server.schemas import JobAnswer, JobsAnswer, problems


def add_job_routes(app: FastAPI) -> None:
    """Add what is under /v1/jobs."""

    @app.get("/v1/jobs", tags=["jobs"], response_model=JobsAnswer, responses=problems(401, 403, 422, 503))
    async def jobs(request: Request, limit: int = Query(50, ge=1, le=200), cursor: str | None = None) -> Response:
        """The shop's jobs, newest first, without the rows that failed."""
        caller = admit(request, "write")
        before = read_cursor(cursor, str)
        found = await asyncio.to_thread(engine_of(request).ready().jobs.all, caller.shop)
        found = [job for job in found if before is None or job.id < before[0]]
        page = [job_json(job) | {"failed": []} for job in found[:limit]]
        more = len(found) > limit
        return tagged(request, {"jobs": page, "next_cursor": write_cursor(found[limit - 1].id) if more else None})

    @app.get("/v1/jobs/{job_id}", tags=["jobs"], response_model=JobAnswer, responses=problems(401, 403, 404, 503))
    async def job(request: Request, job_id: str) -> Response:
        """A job: how far it is, and which rows failed and why."""
        caller = admit(request, "write")
        found = await asyncio.to_thread(engine_of(request).ready().jobs.get, job_id, caller.shop)
        return tagged(request, job_json(found))


def job_json(job: Job) -> dict[str, Any]:
    """Return a job's JSON."""
    return asdict(job)
