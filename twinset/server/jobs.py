"""Work that outlives its request: bulk writes, done in the background in small parts, and roll-outs of models.

A job is two files: its rows and how far it is. It is on disk before it is acknowledged, so one that was cut short by a
stop or a kill goes on at the next start; rows done twice are as they were. Of several processes one does all jobs.
"""

import fcntl
import json
import logging
import os
import re
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from twinset.data.feed import FailedRow
from twinset.errors import NotFound, StoreError, TwinsetError, UsageError
from twinset.server.follower import Follower
from twinset.server.intake import UNREAD, Intake, Row, check_row, failed_json, is_delete, last_rows, split_deletes
from twinset.server.rollout_jobs import KINDS, RolloutWork

if TYPE_CHECKING:
    from twinset.server.metrics import Metrics

FOLDER = "jobs"
ROWS = ("products",)
ROLLOUTS = KINDS
PART = 64  # rows between which other writers get their turn
POLL_S = 1.0  # for jobs of other processes
KEEP = 200  # jobs that are done are forgotten beyond these
MAX_FAILED = 1000  # rows listed; more are counted
TOO_DEEP = "product: expected texts and numbers, found values nested too deeply"
_ID = re.compile(r"[0-9]{14}([0-9]{6})?-[0-9a-f]{12}")  # ids were of whole seconds once
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What there is to say of a job."""

    id: str
    shop: str | None  # of the key it was asked for with; None: of all
    kind: str
    state: str  # queued, running, done or failed
    total: int  # rows
    done: int = 0  # rows, those that failed among them
    indexed: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed_rows: int = 0
    failed: list[dict[str, Any]] = field(default_factory=list)
    problem: str = ""  # why it failed as a whole
    created_at: str = ""
    ended_at: str = ""
    options: dict[str, Any] = field(default_factory=dict)  # of a roll-out


class Jobs:
    """The jobs of a folder, and the threads that do them: one for rows, one for roll-outs, which take hours."""

    def __init__(self, folder: Path, follower: Follower, allow_private: bool = False, models: str = "") -> None:
        self.folder = folder
        self.intake = Intake(folder.parent, follower, allow_private)
        self._stopping = threading.Event()
        self._rollouts = RolloutWork(follower, self._stopping, allow_private, models)
        self._wake = {ROWS: threading.Event(), ROLLOUTS: threading.Event()}
        self._threads: list[threading.Thread] = []
        self._damaged: set[str] = set()  # jobs whose files can't be read, once that was logged
        self._id_lock = threading.Lock()
        self._last_at = datetime.min.replace(tzinfo=UTC)  # when the last job was made

    def start(self, metrics: "Metrics") -> None:
        """Begin to do jobs, those that were cut short first."""
        for kinds in (ROWS, ROLLOUTS):
            thread = threading.Thread(target=self._work, args=(kinds, metrics), name=f"jobs {kinds[0]}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End after the part that is being done; the job goes on at the next start."""
        self._stopping.set()
        for wake in self._wake.values():
            wake.set()
        for thread in self._threads:
            thread.join(8)

    def add(self, rows: Sequence[object], shop: str | None) -> Job:
        """Queue rows to be stored or deleted. They are on disk when this returns."""
        job = self._new("products", shop, len(rows))
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(self._rows_file(job.id), "".join(f"{_line(row)}\n" for row in rows))
        return self._queue(job, ROWS)

    def add_rollout(self, kind: str, options: dict[str, Any]) -> Job:
        """Queue the building of a generation, a switch or the way back."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self._queue(replace(self._new(kind, None, 0), options=options), ROLLOUTS)

    def _new(self, kind: str, shop: str | None, total: int) -> Job:
        """Return a job that stands behind those before it: they are done in the order of their ids."""
        with self._id_lock:
            now = self._last_at = max(datetime.now(UTC), self._last_at + timedelta(microseconds=1))
        made_at = now.isoformat(timespec="seconds")
        return Job(f"{now:%Y%m%d%H%M%S%f}-{secrets.token_hex(6)}", shop, kind, "queued", total, created_at=made_at)

    def _queue(self, job: Job, kinds: tuple[str, ...]) -> Job:
        self._save(job)
        self._wake[kinds].set()
        return job

    def get(self, job_id: str, shop: str | None) -> Job:
        """Return a job. Raises NotFound for one that is unknown or another shop's."""
        if _ID.fullmatch(job_id):
            try:
                job = Job(**json.loads((self.folder / f"{job_id}.json").read_text(encoding="utf-8")))
                if shop is None or job.shop == shop:
                    return job
            except FileNotFoundError:
                pass
            except (OSError, ValueError, TypeError) as exc:
                raise StoreError(f"job {job_id}: expected a job's file, found: {exc}; remove it") from exc
        raise NotFound(f"job {job_id[:80]!r}: expected the id of a job, found none; GET /v1/jobs lists them")

    def all(self, shop: str | None) -> list[Job]:
        """Return a shop's jobs, all for None, newest first; those whose files are damaged are left out."""
        found = (self._readable(job_id, shop) for job_id in sorted(self._ids(), reverse=True))
        return [job for job in found if job is not None]

    def _readable(self, job_id: str, shop: str | None) -> Job | None:
        """Return a job, None for one that is another shop's, or whose file can't be read, which is logged once."""
        try:
            return self.get(job_id, shop)
        except NotFound:
            return None
        except StoreError as exc:
            if job_id not in self._damaged:
                self._damaged.add(job_id)
                log.error("%s", exc)
            return None

    def _ids(self) -> list[str]:
        return [file.stem for file in self.folder.glob("*.json") if _ID.fullmatch(file.stem)]

    def _work(self, kinds: tuple[str, ...], metrics: "Metrics") -> None:
        lock: IO[str] | None = None
        wake = self._wake[kinds]
        while not self._stopping.is_set():
            wake.wait(POLL_S)
            wake.clear()
            try:
                if self.folder.is_dir():
                    lock = lock or _lock(self.folder / ("lock" if kinds == ROWS else "rollout.lock"))
                if lock is not None:  # else another process does them
                    self._work_once(kinds, metrics)
            except Exception:  # a full disk, say: the jobs that come later are done all the same
                log.exception("jobs can't be done")
        if lock is not None:
            lock.close()

    def _work_once(self, kinds: tuple[str, ...], metrics: "Metrics") -> None:
        for job_id in sorted(self._ids()):
            if self._stopping.is_set():
                break
            self._attempt(job_id, kinds, metrics)
        if kinds == ROWS:
            self._forget()

    def _attempt(self, job_id: str, kinds: tuple[str, ...], metrics: "Metrics") -> None:
        job = self._readable(job_id, None)
        if job is None or job.kind not in kinds or job.state not in ("queued", "running"):
            return
        try:
            if kinds == ROWS:
                self._do(job, metrics)
            else:
                self._roll_out(job)
        except TwinsetError as exc:
            log.error("job %s failed: %s", job_id, exc)
            general = "the store or the model can't be used; the service's log says more"
            self._fail(job_id, str(exc) if kinds == ROLLOUTS else general)
        except Exception:
            log.exception("job %s failed", job_id)
            self._fail(job_id, "an error of the service; its log says more")

    def _fail(self, job_id: str, problem: str) -> None:
        try:
            self._save(replace(self.get(job_id, None), state="failed", problem=problem, ended_at=_now()))
        except StoreError as exc:
            log.error("%s", exc)

    def _roll_out(self, job: Job) -> None:
        job = replace(job, state="running")
        self._save(job)
        done = self._rollouts.do(job, self._save)
        if done is not None:
            self._save(replace(done, state="done", ended_at=_now()))

    def _do(self, job: Job, metrics: "Metrics") -> None:
        """Do a job from where it is."""
        with open(self._rows_file(job.id), encoding="utf-8") as file:
            rows = [_row(line) for line in file]
        job = replace(job, state="running")
        self._save(job)
        while job.done < len(rows):
            if self._stopping.is_set():
                return
            part = list(enumerate(rows[job.done : job.done + PART], job.done + 1))
            job = self._do_part(job, part, metrics)
            self._save(job)
        self._save(replace(job, state="done", ended_at=_now()))
        self._rows_file(job.id).unlink(missing_ok=True)

    def _do_part(self, job: Job, part: Sequence[tuple[int, object]], metrics: "Metrics") -> Job:
        good: list[tuple[int, Row]] = []
        failed: list[FailedRow] = []
        for line, row in part:
            try:
                good.append((line, self._checked(row, job.shop)))
            except TwinsetError as exc:
                failed.append(FailedRow(line, _named(row), str(exc)))
        rows, gone = split_deletes(last_rows(good))
        report = self.intake.upsert(rows) if rows else None
        deleted = self.intake.delete(gone) if gone else 0
        failed += report.failed if report else []
        indexed, unchanged = (report.indexed, report.unchanged) if report else (0, 0)
        for result, count in (("indexed", indexed), ("unchanged", unchanged), ("deleted", deleted)):
            metrics.jobs.labels(result).inc(count)
        metrics.jobs.labels("failed").inc(len(failed))
        listed = job.failed + failed_json(sorted(failed, key=lambda row: row.line), f"{self.intake.folder.absolute()}/")
        return replace(
            job,
            done=job.done + len(part),
            indexed=job.indexed + indexed,
            unchanged=job.unchanged + unchanged,
            deleted=job.deleted + deleted,
            failed_rows=job.failed_rows + len(failed),
            failed=listed[:MAX_FAILED],
        )

    def _checked(self, row: object, shop: str | None) -> Row:
        if isinstance(row, dict) and is_delete(row):
            return check_row({**row, "image": "https://not.needed"}, shop)
        try:
            return self.intake.keep_pictures(check_row(row, shop))
        except RecursionError as exc:
            raise UsageError(TOO_DEEP) from exc

    def _forget(self) -> None:
        """Remove the oldest jobs that are over."""
        for job_id in sorted(self._ids(), reverse=True)[KEEP:]:
            job = self._readable(job_id, None)
            if job is not None and job.state in ("done", "failed"):
                (self.folder / f"{job_id}.json").unlink(missing_ok=True)
                self._rows_file(job_id).unlink(missing_ok=True)

    def _save(self, job: Job) -> None:
        _write(self.folder / f"{job.id}.json", json.dumps(asdict(job), ensure_ascii=False))

    def _rows_file(self, job_id: str) -> Path:
        return self.folder / f"{job_id}.rows"


def _line(row: object) -> str:
    """Return a row's JSON, of one that is nested too deeply why it can't be stored."""
    try:
        return json.dumps(row)
    except RecursionError:
        return json.dumps({"product_id": _named(row), UNREAD: TOO_DEEP})


def _row(line: str) -> object:
    try:
        return json.loads(line)
    except RecursionError:
        return {UNREAD: TOO_DEEP}


def _named(row: object) -> str:
    """Return the id that a row names, "" for none."""
    product_id = row.get("product_id") if isinstance(row, dict) else None
    return str(product_id)[:80] if isinstance(product_id, str | int) else ""


def _lock(file: Path) -> IO[str] | None:
    """Return the lock of the process that does jobs, None while another has it."""
    handle = open(file, "w", encoding="utf-8")  # noqa: SIM115  # held as long as the process does jobs
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all, on disk when this returns."""
    part = file.with_name(f"{file.name}.part")
    with open(part, "w", encoding="utf-8", errors="backslashreplace") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(part, file)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
