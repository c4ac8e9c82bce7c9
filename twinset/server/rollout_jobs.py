"""Jobs that roll a model out: build a generation, switch to it, go back. rollout.py does the work."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinset.errors import UsageError
from twinset.golden import check_drop, kept_figures
from twinset.models import load_models, load_version, model_names, source_of
from twinset.reindexing import describer
from twinset.rollout import Describe, Failure, State, Switched, left_out, reindex, switch
from twinset.server.follower import Follower
from twinset.store import open_shelf
from twinset.store.generations import Generation, all_generations

if TYPE_CHECKING:
    from twinset.server.jobs import Job

KINDS = ("reindex", "switch", "back")
SAVE_EVERY_S = 1.0
Save = Callable[["Job"], None]


class RolloutWork:
    """Does such jobs. They are as far as the store says, so one that was cut short begins anew and goes on."""

    def __init__(self, follower: Follower, stopping: threading.Event, allow_private: bool, models: str) -> None:
        self._follower, self._stopping, self._allow_private = follower, stopping, allow_private
        self._models = models  # a folder of models

    def do(self, job: "Job", save: Save) -> "Job | None":
        """Return a job as it is at the end, None if the service stops before. Raises what goes wrong."""
        shelf = open_shelf(self._follower.shop.store.uri)
        progress = _Saving(job, save)
        if job.kind == "reindex":
            source, stop = offered_model(job.options["model"], self._models), self._stopping.is_set
            models = load_models(source, self._follower.shop.threads)
            describe = describer(models, self._allow_private, stop)
            _, state = reindex(shelf, models.version, source, describe, dim=models.dim, progress=progress, stop=stop)
            return None if stop() else _reindexed(job, state)
        number = int(job.options["generation"])
        if number == all_generations(shelf, source_of).in_use:  # cut short after the switch
            return job
        accepted = job.kind == "back" or bool(job.options["yes"])
        if not accepted:
            check_drop(kept_figures(shelf, number), float(job.options["max_drop"]))
        load = left_out if job.options.get("now") else self._load
        done = switch(shelf, load, number=number, accept_failed=accepted, progress=progress)
        self._follower.follow()
        return _switched(job, done)

    def _load(self, generation: Generation) -> Describe:
        models = load_version(generation.model, generation.source, self._follower.shop.threads)
        return describer(models, self._allow_private)


class _Saving:
    """Progress that is the job's."""

    def __init__(self, job: "Job", save: Save) -> None:
        self._job, self._save = job, save
        self._saved_at = 0.0

    def start(self, total: int) -> None:
        self._job = replace(self._job, total=total, done=0)
        self._save(self._job)

    def advance(self, count: int = 1) -> None:
        self._job = replace(self._job, done=min(self._job.done + count, self._job.total))
        if time.monotonic() - self._saved_at >= SAVE_EVERY_S:
            self._saved_at = time.monotonic()
            self._save(self._job)


def _reindexed(job: "Job", state: State) -> "Job":
    failed = [_failed_json(failure) for failure in state.failed]
    return replace(
        job, total=state.total, done=state.total, indexed=state.done, failed=failed, failed_rows=state.failed_count
    )


def _switched(job: "Job", done: Switched) -> "Job":
    failed = [_failed_json(failure) for failure in done.failed]
    count = done.caught_up
    return replace(job, total=count, done=count, indexed=count, failed=failed, failed_rows=len(failed))


def _failed_json(failure: Failure) -> dict[str, Any]:
    return {"line": 0, "product_id": failure.product_id, "reason": failure.reason}


def offered_models(folder: str) -> dict[str, str]:
    """Return the models that may be rolled out over HTTP, by name: those that ship, and the folders in one folder."""
    found = {name: name for name in model_names()}
    if folder and Path(folder).is_dir():
        own = sorted(path for path in Path(folder).iterdir() if (path / "encoder.onnx").is_file())
        found |= {path.name: str(path.resolve()) for path in own if path.name not in found}
    return found


def offered_model(name: object, folder: str) -> str:
    """Return what to load for a model's name. Raises UsageError for one that is not offered."""
    offered = offered_models(folder)
    if not isinstance(name, str) or name not in offered:
        names = ", ".join(offered)
        raise UsageError(
            f"model: expected one of {names}, found {str(name)[:80]!r}; put its folder into that of the setting models",
            field="model",
            expected=f"one of {names}",
            found=repr(str(name)[:80]),
        )
    return offered[name]
