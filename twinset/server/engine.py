"""What a running service holds: the shop once it is loaded, whose turn it is before that, and what it writes down."""

import asyncio
import contextvars
import logging
import math
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from fastapi import Request

from twinset.errors import NotFound
from twinset.events import FILE as EVENTS_FILE
from twinset.events import EventLog
from twinset.server.audit import FILE as AUDIT_FILE
from twinset.server.audit import AuditLog
from twinset.server.follower import Follower, warm
from twinset.server.jobs import FOLDER as JOBS_FOLDER
from twinset.server.jobs import Jobs
from twinset.server.keys import FILE as KEYS_FILE
from twinset.server.keys import KeyFile
from twinset.server.limits import RateLimiter
from twinset.server.links import ImageLinks
from twinset.server.metrics import Metrics
from twinset.server.misses import FOLDER as MISSES_FOLDER
from twinset.server.misses import MissCrops
from twinset.server.photos import PhotoShelf
from twinset.server.problems import Busy, Loading
from twinset.server.settings import ServerSettings, state_folder
from twinset.server.uploads import form_bytes
from twinset.shop import Shop
from twinset.stages import stage

log = logging.getLogger(__name__)
T = TypeVar("T")
UPLOAD_BYTES = 256 * 1024 * 1024  # of all bodies being read or worked on, or the largest allowed; more get 503
FETCHES = 8  # photos fetched at once from elsewhere; more get 503
WRITES = 4  # at once on their way into the store, which they enter in turn; more wait
TIDY_S = 15.0
SAME_SCORE = 0.999  # what fp32 leaves of 1


class Loaded:
    """What there is once models and store are open: the shop, and what is kept beside its store."""

    def __init__(self, shop: Shop, settings: ServerSettings) -> None:
        folder = state_folder(settings, shop.store.uri)
        self.follower = Follower(shop)
        self.folder = folder
        self.keys = KeyFile(folder / KEYS_FILE)
        self.audit = AuditLog(folder / AUDIT_FILE)
        self.events = EventLog(folder / EVENTS_FILE)
        self.misses = MissCrops(folder / MISSES_FOLDER, settings.miss_crops)
        self.links = ImageLinks(folder)
        self.jobs = Jobs(folder / JOBS_FOLDER, self.follower, settings.allow_private, settings.models)
        self.keys.all()  # keys that can't be read stop the start rather than every request
        self.links.check()  # as does a secret

    @property
    def shop(self) -> Shop:
        """The generation in use, its model and its store. Take it once for all that belongs together."""
        return self.follower.shop


class Engine:
    """The service's state. Handlers reach it by `engine_of`."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.loaded: Loaded | None = None
        self.problem: BaseException | None = None
        self.stopping = False
        self.metrics = Metrics()
        self.photos = PhotoShelf(settings.photo_s, settings.photo_bytes)
        self.limiter = RateLimiter()
        self.waiting = 0
        self._uploading = 0
        self._turns = asyncio.Semaphore(settings.workers)
        self._fetching = 0
        self._fetchers = ThreadPoolExecutor(FETCHES, "fetch")  # those who compute have threads of their own
        self._writers = ThreadPoolExecutor(WRITES, "write")  # so have those who wait for a job's part to be stored
        self._workers = ThreadPoolExecutor(settings.workers, "work")
        self._mean_s = 0.05  # of a photo's work, for Retry-After

    @property
    def shop(self) -> Shop | None:
        return self.loaded.shop if self.loaded else None

    def ready(self) -> Loaded:
        """Return what is loaded. Raises Loading until it is, and again as the service stops."""
        if self.loaded is None or self.stopping:
            raise Loading
        return self.loaded

    def load(self, open_engine: Callable[[], Shop]) -> None:
        """Open the shop and search it once, so that the first shopper waits no longer than the next."""
        try:
            shop = open_engine()
            loaded = Loaded(shop, self.settings)
            warm(shop)
            loaded.follower.start()
            self.loaded = loaded
            self.metrics.ready.set(1)
            loaded.jobs.start(self.metrics)
            self.metrics.self_check.set(check_self(shop))
        except BaseException as exc:
            self.problem = exc
            log.error("the service can't start: %s", exc)

    async def run(self, work: Callable[[Shop], T]) -> T:
        """Return what `work` gives, called in a thread in its turn. Raises Busy if too many wait, or too long."""
        shop = self.ready().shop
        if self.waiting >= self.settings.queue + self.settings.workers:
            raise self.busy()
        self.waiting += 1
        self.metrics.waiting.inc()
        try:
            with stage("queue"):
                try:
                    await asyncio.wait_for(self._turns.acquire(), self.settings.wait_s)
                except TimeoutError:
                    raise self.busy() from None
            try:
                began = time.perf_counter()
                answer = await _call(self._workers, lambda: work(shop))
                self._mean_s += 0.05 * (time.perf_counter() - began - self._mean_s)
                return answer
            finally:
                self._turns.release()
        finally:
            self.waiting -= 1
            self.metrics.waiting.dec()

    async def fetch(self, work: Callable[[], bytes]) -> bytes:
        """Return what `work` fetches, called in a thread that is nobody's turn. Raises Busy if too many fetch."""
        if self._fetching >= FETCHES:
            raise self.busy()
        self._fetching += 1
        try:
            with stage("fetch"):
                return await _call(self._fetchers, work)
        finally:
            self._fetching -= 1

    async def write(self, work: Callable[[], T]) -> T:
        """Return what `work` gives, called in a thread that may wait until others have written to the store."""
        return await _call(self._writers, work)

    def busy(self) -> Busy:
        """Return the error of a request too many, with the seconds after which there should be room."""
        self.metrics.refused.labels("busy").inc()
        return Busy(max(1, math.ceil(self._mean_s * self.waiting / self.settings.workers)))

    @contextmanager
    def upload(self) -> Iterator[Callable[[int], None]]:
        """Yield a function to be told of bytes that come; they count until the block ends. It raises Busy."""
        mine = 0
        most = max(UPLOAD_BYTES, form_bytes(self.settings.max_bytes), self.settings.job_bytes)

        def count(size: int) -> None:
            nonlocal mine
            mine += size
            self._uploading += size
            if self._uploading > most:
                raise self.busy()

        try:
            yield count
        finally:
            self._uploading -= mine

    async def tidy(self) -> None:
        """Let go of old photos for ever."""
        while True:
            await asyncio.sleep(TIDY_S)
            self.photos.tidy()
            self.metrics.held.set(self.photos.bytes)

    def stop(self) -> None:
        """Take no more work, and end the jobs at the next row that is safe to end at."""
        self.stopping = True
        self.metrics.ready.set(0)
        for pool in (self._fetchers, self._writers, self._workers):
            pool.shutdown(wait=False)
        if self.loaded:
            self.loaded.follower.stop()
            self.loaded.jobs.stop()
            self.loaded.events.close()


async def _call(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Return what `work` gives in a thread of a pool; its stages count towards the request."""
    return await asyncio.get_running_loop().run_in_executor(pool, contextvars.copy_context().run, work)


def engine_of(request: Request) -> Engine:
    """Return the service a request came to."""
    engine: Engine = request.app.state.engine
    return engine


def check_self(shop: Shop, sample: int = 32) -> float:
    """Return the share of some products that come first in a search for themselves, NaN for an empty store."""
    keys = list(shop.store.fingerprints())
    right = 0
    chosen = random.sample(keys, min(sample, len(keys)))
    for key in chosen:
        try:
            item = shop.store.get(key.product_id, key.shop).items[0]
            (hits,) = shop.store.search(item.embedding[None], 1, [item.category])
        except NotFound:  # deleted meanwhile
            continue
        right += bool(hits) and hits[0].score >= SAME_SCORE
    return right / len(chosen) if chosen else math.nan
