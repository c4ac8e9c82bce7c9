"""Bring a store up to date with a product feed: decode, find the product in its images, describe it, store it.

Nothing is done twice: a product whose row and images are as they were is left alone, and one whose row alone changed
keeps its vectors. What was reported as stored is on disk, so a run that was killed goes on where it stopped.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from twinset.data.feed import FailedRow, Feed, read_feed
from twinset.errors import DataError, FeedError, NotFound
from twinset.pipeline import Content, Job, NoProgress, Progress, Shot, Wanted, Writer, content_of, read_ahead, shoot
from twinset.store import Entry, Fingerprint, Key, Store, open_store
from twinset.store.beside import folder_beside
from twinset.types import Product

if TYPE_CHECKING:
    from twinset.models import Models
    from twinset.sync import SyncReport

REPORT = "index-report.json"  # beside the store
FETCHED = "fetched"  # bodies that came with an ETag
Get = Callable[[Key], Entry]  # what a store has of a product; raises NotFound


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a run did. A row is indexed, unchanged or failed; one that was stored without a bad image of its several is
    both indexed and failed.
    """

    products: int  # rows read in the feed
    indexed: int
    unchanged: int
    failed: list[FailedRow]
    seconds: float
    unknown_types: dict[str, int] = field(default_factory=dict)  # words the taxonomy doesn't know -> products


def index_feed(
    feed: Path,
    store: str | Path,
    models: "Models",
    *,
    rename: Mapping[str, str] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    allow_private: bool = False,
) -> IndexReport:
    """Bring the store at a path up to date with a feed, making it if there is none; see `index_into`."""
    rows = read_feed(feed, models.taxonomy, rename, strict)  # before a store is made for nothing
    opened = open_store(store, models.version, create=True, dim=models.dim)
    return _run(rows, opened, models, strict, progress or NoProgress(), allow_private)


def index_into(
    feed: Path,
    store: Store,
    models: "Models",
    *,
    rename: Mapping[str, str] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    allow_private: bool = False,
) -> IndexReport:
    """Bring a store up to date with a product feed. Products that are gone from the feed stay.

    Rows that can't be read, images among them, are left out, listed in the report and in the store's
    index-report.json, and tried again by the next run; with `strict` the first raises FeedError, what came before it
    is stored. `rename` maps the feed's columns to fields. Images at private addresses need `allow_private`.
    """
    rows = read_feed(feed, models.taxonomy, rename, strict)
    return _run(rows, store, models, strict, progress or NoProgress(), allow_private)


def index_rows(
    rows: Feed,
    store: Store,
    models: "Models",
    *,
    strict: bool = False,
    progress: Progress | None = None,
    allow_private: bool = False,
) -> IndexReport:
    """Bring a store up to date with rows that were read; see `index_into`. Leaves the store's report as it is."""
    began = time.monotonic()
    writer = Writer(store, models, progress or NoProgress())
    failed = list(rows.failed)
    writer.progress.start(len(rows.products))
    try:
        numbered = zip(rows.products, rows.lines, strict=True)
        cache = folder_beside(store.uri) / FETCHED
        for job in read_rows(numbered, store.fingerprints(), _getter(store), cache, allow_private):
            if job.problem and strict:
                raise FeedError(f"{rows.path}:{job.line}: product {job.product.product_id}: {job.problem}")
            if job.problem:
                failed.append(FailedRow(job.line, job.product.product_id, job.problem))
            writer.add(job)
        writer.flush()
    except (KeyboardInterrupt, FeedError):
        writer.flush()
        raise
    if writer.stored:
        store.compact()
    return IndexReport(
        products=len(rows.products) + len(rows.failed),
        indexed=writer.stored,
        unchanged=writer.unchanged,
        failed=sorted(failed, key=lambda row: row.line),
        seconds=time.monotonic() - began,
        unknown_types=dict(rows.unknown_types.most_common()),
    )


# --- the run ----------------------------------------------------------------------------------------------------------


def _run(
    feed: Feed, store: Store, models: "Models", strict: bool, progress: Progress, allow_private: bool
) -> IndexReport:
    report = index_rows(feed, store, models, strict=strict, progress=progress, allow_private=allow_private)
    write_report(folder_beside(store.uri) / REPORT, feed.path, report)
    return report


def write_report(file: Path, feed: Path, report: "IndexReport | SyncReport") -> None:
    """Write what a run did beside the tables."""
    part = file.with_suffix(".part")
    text = json.dumps({"feed": str(feed)} | asdict(report), ensure_ascii=False, indent=2)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
        os.replace(part, file)
    except OSError as exc:
        raise DataError(f"{file}: expected a file that can be written, found: {exc.strerror}; check the disk") from exc


# --- reading ----------------------------------------------------------------------------------------------------------


def read_rows(
    rows: Iterable[tuple[Product, int]], stored: Mapping[Key, Fingerprint], get: Get, cache: Path, allow_private: bool
) -> Iterator[Job]:
    """Yield rows, (product, line), in order with their images read, a few of them ahead of the caller.

    `stored` and `get` say what the store has of them; `cache` is a folder for bodies that came with an ETag.
    """
    return read_ahead(
        rows,
        lambda row: Wanted(row[0], row[0].images),
        lambda row, sources: _prepare(*row, sources, stored, get),
        cache,
        allow_private,
    )


def _getter(store: Store) -> Get:
    return lambda key: store.get(key.product_id, key.shop)


def _prepare(
    product: Product,
    line: int,
    sources: Sequence[Path | Content],
    stored: Mapping[Key, Fingerprint],
    get: Get,
) -> Job:
    """Return a row with its images read, and decoded where they are new."""
    job = Job(product, line, _hash_row(product))
    key = Key(product.shop, product.product_id)
    before = stored.get(key)
    contents = [content_of(source) for source in sources]
    hashes = {no: _hash(data) for no, data in enumerate(contents) if isinstance(data, bytes)}
    if before == Fingerprint(job.row_hash, hashes):
        job.changed = False
        job.problem = next((str(content) for content in contents if isinstance(content, DataError)), "")
        return job
    try:
        known = _known_shots(product, get(key)) if before else {}
    except NotFound:  # somebody removed it since
        before, known = None, {}
    for image_no, (image, content) in enumerate(zip(product.images, contents, strict=True)):
        try:
            shot = _shot(product, image, content, known)
        except DataError as exc:
            job.problem = job.problem or str(exc)
            if image not in known:
                continue
            shot = known[image]  # what is known of an image that is out of reach today still holds
        job.shots.append(replace(shot, image_no=image_no))
    now = Fingerprint(job.row_hash, {shot.image_no: shot.image_hash for shot in job.shots})
    job.changed = bool(job.shots) and before != now
    return job


def _shot(product: Product, image: str, content: Content, known: Mapping[str, Shot]) -> Shot:
    """Return an image's shot: the one that is known for these bytes, or decoded. Raises DataError."""
    image_hash = _hash(content) if isinstance(content, bytes) else ""
    return known[image_hash] if image_hash in known else shoot(product, image, content, image_hash)


def _known_shots(product: Product, entry: Entry) -> dict[str, Shot]:
    """Return what the store has of a product's images, by where they are and by the hash of their bytes."""
    old = entry.product
    if (old.category, old.category_given) != (product.category, product.category_given):
        return {}  # another item of the image may be the product now
    shots = [
        Shot(item.image_no, image_hash, item) for item, image_hash in zip(entry.items, entry.image_hashes, strict=True)
    ]
    by_place = {old.images[shot.image_no]: shot for shot in shots}
    return by_place | {shot.image_hash: shot for shot in shots}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hash_row(product: Product) -> str:
    return _hash(json.dumps(asdict(product), sort_keys=True).encode())
