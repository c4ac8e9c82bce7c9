"""Index with a Ray cluster: its workers read, decode and describe blocks of rows, this process alone writes.

One writer, so that commits never conflict and come in the feed's order, as they do without a cluster. A worker that
dies takes its block along and nothing else: Ray gives the block to another. Pictures must be within the workers' reach:
URLs, or paths of a file system that all share. So must the model: one that ships, or a folder at the same path.
"""

import logging
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinset.data.feed import FailedRow, Feed, read_feed
from twinset.errors import ClusterError, FeedError, MissingExtra, ModelMismatch
from twinset.indexing import REPORT, IndexReport, read_rows, write_report
from twinset.pipeline import NoProgress, Progress, Writer
from twinset.store import Entry, Fingerprint, Key, Store, open_store
from twinset.store.beside import folder_beside
from twinset.types import Product

if TYPE_CHECKING:
    from twinset.models import Models

BLOCK = 256  # rows a task takes and a commit holds
AHEAD = 2  # blocks on their way for each CPU of the cluster
Load = Callable[[], "Models"]  # called once in each worker process; equal ones give the same


@dataclass(frozen=True, slots=True)
class LoadNamed:
    """Loads a model that ships, or the one in a folder that all workers have, for one CPU."""

    name: str

    def __call__(self) -> "Models":
        from twinset.models import load_models

        return load_models(self.name, 1)


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a feed, and what the store has of their products."""

    rows: Sequence[tuple[Product, int]]  # with their lines
    known: Mapping[Key, Entry]
    allow_private: bool
    strict: bool


@dataclass(slots=True)
class Described:
    """What a worker made of a block."""

    entries: list[Entry] = field(default_factory=list)
    failed: list[FailedRow] = field(default_factory=list)
    unchanged: int = 0

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Take what a `Writer` would have a store write."""
        self.entries += entries


def index_spread(
    feed: Path,
    store: str | Path,
    models: "Models",
    load: Load,
    address: str,
    *,
    rename: Mapping[str, str] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    allow_private: bool = False,
) -> IndexReport:
    """Bring the store at a path up to date with a feed as `indexing.index_feed` does, by the cluster at an address.

    `load` gives `models` in a worker; `address` is what ray.init takes: "auto", "HOST:6379", "ray://HOST:10001".
    """
    rows = read_feed(feed, models.taxonomy, rename, strict)
    opened = open_store(store, models.version, create=True, dim=models.dim)
    report = spread_rows(
        rows,
        opened,
        load,
        models.version,
        address,
        strict=strict,
        progress=progress or NoProgress(),
        allow_private=allow_private,
    )
    write_report(folder_beside(opened.uri) / REPORT, rows.path, report)
    return report


def spread_rows(
    feed: Feed,
    store: Store,
    load: Load,
    version: str,
    address: str,
    *,
    strict: bool,
    progress: Progress,
    allow_private: bool,
) -> IndexReport:
    """Bring a store up to date with rows that were read. Raises ClusterError, and what `index_rows` does."""
    began = time.monotonic()
    progress.start(len(feed.products))
    failed, stored, unchanged = list(feed.failed), 0, 0
    for block, done in _described(_blocks(feed, store, allow_private, strict), load, version, address):
        store.upsert(done.entries)
        stored, unchanged = stored + len(done.entries), unchanged + done.unchanged
        failed += done.failed
        progress.advance(len(block.rows))
        if strict and done.failed:
            first = done.failed[0]
            raise FeedError(f"{feed.path}:{first.line}: product {first.product_id}: {first.reason}")
    if stored:
        store.compact()
    return IndexReport(
        products=len(feed.products) + len(feed.failed),
        indexed=stored,
        unchanged=unchanged,
        failed=sorted(failed, key=lambda row: row.line),
        seconds=time.monotonic() - began,
        unknown_types=dict(feed.unknown_types.most_common()),
    )


def describe_block(block: Block, load: Load, version: str) -> Described:
    """Return what is to be stored of a block's rows: what a worker does."""
    models = _models(load)
    if models.version != version:
        raise ModelMismatch(
            f"a worker of the cluster has model {models.version}, expected {version}; install the same Twinset there"
        )
    done = Described()
    writer = Writer(done, models, NoProgress())
    cache = Path(tempfile.gettempdir()) / "twinset-fetched"
    stored = {key: _fingerprint(entry) for key, entry in block.known.items()}
    for job in read_rows(block.rows, stored, block.known.__getitem__, cache, block.allow_private):
        if job.problem:
            done.failed.append(FailedRow(job.line, job.product.product_id, job.problem))
            if block.strict:
                break
        writer.add(job)
    writer.flush()
    done.unchanged = writer.unchanged
    return done


@lru_cache(maxsize=1)
def _models(load: Load) -> "Models":
    return load()


def _fingerprint(entry: Entry) -> Fingerprint:
    numbers = (item.image_no for item in entry.items)
    return Fingerprint(entry.row_hash, dict(zip(numbers, entry.image_hashes, strict=True)))


def _blocks(feed: Feed, store: Store, allow_private: bool, strict: bool) -> Iterator[Block]:
    rows = list(zip(feed.products, feed.lines, strict=True))
    for start in range(0, len(rows), BLOCK):
        mine = rows[start : start + BLOCK]
        keys = {Key(product.shop, product.product_id) for product, _ in mine}
        yield Block(mine, {entry.key: entry for entry in store.entries(keys)}, allow_private, strict)


def _described(blocks: Iterator[Block], load: Load, version: str, address: str) -> Iterator[tuple[Block, Described]]:
    """Yield the blocks in order with what the cluster made of them, some of them on their way meanwhile."""
    ray, started = _connected(address)
    task = ray.remote(num_cpus=1, max_retries=-1)(describe_block)  # retried where the worker died, not where it raised
    at_once = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: deque[tuple[Block, Any]] = deque()
    try:
        for block in blocks:
            waiting.append((block, task.remote(block, load, version)))
            if len(waiting) >= at_once:
                yield _next(waiting, ray)
        while waiting:
            yield _next(waiting, ray)
    finally:
        for _, reference in waiting:
            ray.cancel(reference)
        if started:
            ray.shutdown()


def _next(waiting: deque[tuple[Block, Any]], ray: Any) -> tuple[Block, Described]:
    block, reference = waiting.popleft()
    try:
        return block, ray.get(reference)
    except ray.exceptions.RayTaskError as exc:
        raise exc.cause from exc
    except ray.exceptions.RayError as exc:
        raise ClusterError(
            f"rows from line {block.rows[0][1]}: expected the Ray cluster's answer, found: {_line(exc)}; "
            f"what came before is stored, run it again for the rest"
        ) from exc


def _connected(address: str) -> tuple[Any, bool]:
    """Return ray, connected, and whether this is what connected it. Raises MissingExtra, ClusterError."""
    try:
        import ray
    except ModuleNotFoundError as exc:
        raise MissingExtra("ray", "ray") from exc
    if ray.is_initialized():
        return ray, False
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as exc:
        raise ClusterError(
            f"--ray {address}: expected a Ray cluster, found: {_line(exc)}; start one: ray start --head"
        ) from exc
    return ray, True


def _line(problem: object) -> str:
    return " ".join(str(problem).split())[:300]
