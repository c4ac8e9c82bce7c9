"""Bring a store up to date with a product feed: decode, find the product in its images, describe it, store it.

Nothing is done twice: a product whose row and images are as they were is left alone, and one whose row alone changed
keeps its vectors. What was reported as stored is on disk, so a run that was killed goes on where it stopped.
"""

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from twinset.data.background import item_box
from twinset.data.feed import FailedRow, Feed, read_feed
from twinset.errors import DataError, FeedError
from twinset.fetch import fetch_all
from twinset.images import decode_image, read_image_bytes
from twinset.runtime import cpu_threads
from twinset.store import Entry, Fingerprint, Key, Store, open_store
from twinset.store.beside import folder_beside
from twinset.types import Box, Detections, Image, Item, Product

if TYPE_CHECKING:
    from twinset.models import Models
    from twinset.sync import SyncReport

WRITE_PRODUCTS = 512  # a commit holds these many,
WRITE_EVERY_S = 10.0  # or what this time brought: what a run that is killed has to do again
BATCH_IMAGES = 32  # described together
KNOWN_LOOKS = 256  # pictures that are not described again when the next product has them too
BATCH_PIXELS = 50_000_000  # a batch is cut short at this many, for the sake of memory
LOOK_AHEAD = 16  # products being read while others are described
DETECT_MIN_SCORE = 0.05  # the feed says what is in the image, so a faint detection of it will do
REPORT = "index-report.json"  # beside the store
FETCHED = "fetched"  # bodies that came with an ETag


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


class Progress(Protocol):
    """Told how a run goes."""

    def start(self, total: int) -> None:
        """`total` products are going to be looked at."""
        ...

    def advance(self, count: int = 1) -> None:
        """`count` more products are done: safe on disk, unchanged, or failed."""
        ...


class NoProgress:
    """Progress nobody looks at."""

    def start(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...


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
    opened = open_store(store, models.version, create=True)
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
    writer = _Writer(store, models, progress or NoProgress())
    failed = list(rows.failed)
    writer.progress.start(len(rows.products))
    try:
        for job in _read(rows, store, allow_private):
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


def describe_products(
    products: Sequence[Product], images: Sequence[Image], boxes: Sequence[Box | None], models: "Models"
) -> list[Item]:
    """Return each product's item on an image of it.

    `boxes` are those of products alone on a plain background, from `item_box`. Elsewhere it is the best detection of
    the feed's category, or the whole image; where the feed gives no category, the best detection decides on it too, and
    the description may correct it.
    """
    asked = [i for i, product in enumerate(products) if _needs_detector(product, boxes[i])]
    found = dict(zip(asked, models.detect_batch([images[i] for i in asked], DETECT_MIN_SCORE), strict=True))
    places = [
        _place(product, image, box, found.get(i), models)
        for i, (product, image, box) in enumerate(zip(products, images, boxes, strict=True))
    ]
    crops = [np.array([box], np.float32) for _, _, box in places]
    items = []
    for product, place, (described,) in zip(products, places, models.describe_batch(images, crops), strict=True):
        category, score, box = place
        if models.labels and category and not product.category_given:
            category = models.labels.category_of(described.embedding, category)
        looks = described.embedding, described.colours, described.attributes
        items.append(Item(category, score, box, *looks, models.version))
    return items


def _needs_detector(product: Product, box: Box | None) -> bool:
    if not product.category_given:
        return True
    return product.category is not None and box is None


def _place(
    product: Product, image: Image, box: Box | None, detections: Detections | None, models: "Models"
) -> tuple[str | None, float | None, Box]:
    """Return the category, the detection's score and the box of a product on an image."""
    if detections is not None:
        names = [models.categories[label] for label in detections.labels]
        for name, score, row in zip(names, detections.scores, detections.boxes, strict=True):
            if name == product.category if product.category_given else score >= models.min_score:
                x1, y1, x2, y2 = (float(side) for side in row)
                return name, float(score), (x1, y1, x2, y2)
    height, width = image.shape[:2]
    return product.category, None, box or (0.0, 0.0, float(width), float(height))


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Shot:
    """One image of a product on its way to be an item."""

    image_no: int
    image_hash: str
    item: Item | None = None  # as stored before, or once described
    pixels: Image | None = None  # to be described
    box: Box | None = None  # of a product alone on a plain background


@dataclass(slots=True)
class _Job:
    """One row of the feed on its way into the store."""

    product: Product
    line: int
    row_hash: str
    shots: list[_Shot] = field(default_factory=list)  # without those that can't be read
    changed: bool = True  # there is something to write
    problem: str = ""  # why an image can't be read


def _run(
    feed: Feed, store: Store, models: "Models", strict: bool, progress: Progress, allow_private: bool
) -> IndexReport:
    report = index_rows(feed, store, models, strict=strict, progress=progress, allow_private=allow_private)
    write_report(folder_beside(store.uri) / REPORT, feed.path, report)
    return report


def _look(product: Product, shot: _Shot) -> tuple[object, ...]:
    """Return all that an item's description depends on."""
    return shot.image_hash, product.category, product.category_given


class _Writer:
    """Gathers images into batches for the model, and products into commits for the store."""

    def __init__(self, store: Store, models: "Models", progress: Progress) -> None:
        self.store, self.models, self.progress = store, models, progress
        self.unchanged = self.stored = 0
        self._batch: list[_Job] = []  # to be described
        self._images = self._pixels = 0  # in the batch
        self._looks: dict[tuple[object, ...], Item] = {}  # described lately: variants share pictures
        self._entries: list[Entry] = []  # to be written
        self._written_at = time.monotonic()

    def add(self, job: _Job) -> None:
        """Take a row that was read."""
        if not job.changed:
            self.unchanged += not job.problem
            self.progress.advance(1)
            return
        self._batch.append(job)
        new = [shot.pixels for shot in job.shots if shot.pixels is not None]
        self._images += len(new)
        self._pixels += sum(pixels.shape[0] * pixels.shape[1] for pixels in new)
        if self._images >= BATCH_IMAGES or self._pixels >= BATCH_PIXELS or len(self._batch) >= WRITE_PRODUCTS:
            self._describe()
            late = time.monotonic() - self._written_at >= WRITE_EVERY_S
            if len(self._entries) >= WRITE_PRODUCTS or late:
                self._write()

    def flush(self) -> None:
        """Describe and store all that was taken."""
        self._describe()
        self._write()

    def _describe(self) -> None:
        jobs, self._batch, self._images, self._pixels = self._batch, [], 0, 0
        new = [(job.product, shot, shot.pixels) for job in jobs for shot in job.shots if shot.pixels is not None]
        fresh = {_look(product, shot): (product, shot.box, pixels) for product, shot, pixels in new}
        fresh = {look: value for look, value in fresh.items() if look not in self._looks}
        products, boxes, images = zip(*fresh.values(), strict=True) if fresh else ((), (), ())
        self._looks |= zip(fresh, describe_products(products, images, boxes, self.models), strict=True)
        for product, shot, _ in new:
            item = self._looks[_look(product, shot)]
            shot.item = replace(item, product_id=product.product_id, shop=product.shop)
            shot.pixels = None
        for look in list(self._looks)[:-KNOWN_LOOKS]:
            del self._looks[look]
        for job in jobs:
            described = tuple(replace(shot.item, image_no=shot.image_no) for shot in job.shots if shot.item is not None)
            hashes = tuple(shot.image_hash for shot in job.shots)
            self._entries.append(Entry(job.product, described, hashes, job.row_hash))

    def _write(self) -> None:
        entries, self._entries = self._entries, []
        self.store.upsert(entries)
        self._written_at = time.monotonic()
        self.stored += len(entries)
        if entries:
            self.progress.advance(len(entries))


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


def _read(feed: Feed, store: Store, allow_private: bool) -> Iterator[_Job]:
    """Yield the feed's rows in order with their images read, a few of them ahead of the caller."""
    stored = store.fingerprints()
    families = (list(family) for _, family in groupby(feed.products, _family))
    urls = (url for family in families for url in _urls(family))
    fetched = fetch_all(urls, cache=folder_beside(store.uri) / FETCHED, allow_private=allow_private)
    family: tuple[str, str, str] | None = None
    bodies: dict[str, bytes | DataError] = {}  # of the family's pictures: each is fetched once
    waiting: deque[Future[_Job]] = deque()
    pool = ThreadPoolExecutor(cpu_threads() + 1, thread_name_prefix="read")
    try:
        for product, line in zip(feed.products, feed.lines, strict=True):
            if _family(product) != family:
                family, bodies = _family(product), {}
            for url in _urls([product]):
                if url not in bodies:
                    bodies[url] = next(fetched)[1]
            sources = [bodies[image] if _is_url(image) else Path(image) for image in product.images]
            waiting.append(pool.submit(_prepare, product, line, sources, stored, store))
            if len(waiting) >= LOOK_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _family(product: Product) -> tuple[str, str, str]:
    """Return what neighbours in a feed have in common whose pictures may be the same."""
    return product.shop, product.group_id or "", "" if product.group_id else product.product_id


def _urls(products: Sequence[Product]) -> list[str]:
    return list(dict.fromkeys(image for product in products for image in product.images if _is_url(image)))


def _prepare(
    product: Product,
    line: int,
    sources: Sequence[Path | bytes | DataError],
    stored: Mapping[Key, Fingerprint],
    store: Store,
) -> _Job:
    """Return a row with its images read, and decoded where they are new."""
    job = _Job(product, line, _hash_row(product))
    before = stored.get(Key(product.shop, product.product_id))
    contents = [_content(source) for source in sources]
    hashes = {no: _hash(data) for no, data in enumerate(contents) if isinstance(data, bytes)}
    if before == Fingerprint(job.row_hash, hashes):
        job.changed = False
        return job
    known = _known_shots(product, store) if before else {}
    for image_no, (image, content) in enumerate(zip(product.images, contents, strict=True)):
        try:
            shot = _shoot(product, image, content, known)
        except DataError as exc:
            job.problem = job.problem or str(exc)
            if image not in known:
                continue
            shot = known[image]  # what is known of an image that is out of reach today still holds
        job.shots.append(replace(shot, image_no=image_no))
    now = Fingerprint(job.row_hash, {shot.image_no: shot.image_hash for shot in job.shots})
    job.changed = bool(job.shots) and before != now
    return job


def _content(source: Path | bytes | DataError) -> bytes | DataError:
    try:
        return read_image_bytes(source) if isinstance(source, Path) else source
    except DataError as exc:
        return exc


def _shoot(product: Product, image: str, content: bytes | DataError, known: Mapping[str, _Shot]) -> _Shot:
    """Return an image's shot: the one that is known for these bytes, or decoded. Raises DataError."""
    if isinstance(content, DataError):
        raise content
    image_hash = _hash(content)
    if image_hash in known:
        return known[image_hash]
    pixels = decode_image(content, image)
    return _Shot(0, image_hash, pixels=pixels, box=item_box(pixels) if product.category_given else None)


def _known_shots(product: Product, store: Store) -> dict[str, _Shot]:
    """Return what the store has of a product's images, by where they are and by the hash of their bytes."""
    entry = store.get(product.product_id, product.shop)
    old = entry.product
    if (old.category, old.category_given) != (product.category, product.category_given):
        return {}  # another item of the image may be the product now
    shots = [
        _Shot(item.image_no, image_hash, item) for item, image_hash in zip(entry.items, entry.image_hashes, strict=True)
    ]
    by_place = {old.images[shot.image_no]: shot for shot in shots}
    return by_place | {shot.image_hash: shot for shot in shots}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hash_row(product: Product) -> str:
    return _hash(json.dumps(asdict(product), sort_keys=True).encode())


def _is_url(image: str) -> bool:
    return image.lower().startswith(("http://", "https://"))
