"""Products on their way into a store: pictures read ahead, found and described in batches, written in commits.

indexing.py feeds it from a shop's feed, reindexing.py from what another model described.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import numpy as np

from twinset.boxes import box_area
from twinset.data.background import item_box
from twinset.errors import DataError
from twinset.fetch import fetching
from twinset.images import decode_image, read_image_bytes
from twinset.naming import FAINT_SCORE, name_item, seen_at
from twinset.runtime import cpu_threads
from twinset.store import Entry
from twinset.types import Box, Detections, Image, Item, Product

if TYPE_CHECKING:
    from twinset.models import Models

WRITE_PRODUCTS = 512  # a commit holds these many,
WRITE_EVERY_S = 10.0  # or what this time brought: what a run that is killed has to do again
BATCH_IMAGES = 32  # described together
KNOWN_LOOKS = 256  # pictures that are not described again when the next product has them too
BATCH_PIXELS = 50_000_000  # a batch is cut short at this many, for the sake of memory
LOOK_AHEAD = 16  # products being read while others are described,
FETCH_AHEAD = 32  # or fewer, when they have these many pictures to be fetched
DETECT_MIN_SCORE = 0.05  # the feed says what is in the image, so a faint detection of it will do
Content = bytes | DataError  # of a picture, or why there is none
R = TypeVar("R")
J = TypeVar("J")


class Progress(Protocol):
    """Told how a run goes."""

    def start(self, total: int) -> None:
        """`total` products are going to be looked at."""
        ...

    def advance(self, count: int = 1) -> None:
        """`count` more products are done: safe on disk, unchanged, or failed."""
        ...


class Sink(Protocol):
    """Where products go: a store, or what is to go into one."""

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Take products, in the place of what was there of them."""
        ...


class NoProgress:
    """Progress nobody looks at."""

    def start(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...


@dataclass(slots=True)
class Shot:
    """One image of a product on its way to be an item."""

    image_no: int
    image_hash: str
    item: Item | None = None  # as stored before, or once described
    pixels: Image | None = None  # to be described
    box: Box | None = None  # of a product alone on a plain background


@dataclass(slots=True)
class Job:
    """One row of the feed on its way into the store."""

    product: Product
    line: int
    row_hash: str
    shots: list[Shot] = field(default_factory=list)  # without those that can't be read
    changed: bool = True  # there is something to write
    problem: str = ""  # why an image can't be read


# --- describing -------------------------------------------------------------------------------------------------------


def describe_products(
    products: Sequence[Product], images: Sequence[Image], boxes: Sequence[Box | None], models: "Models"
) -> list[Item]:
    """Return each product's item on an image of it.

    `boxes` are those of products alone on a plain background, from `item_box`. Elsewhere it is the best detection of
    the feed's category, or the whole image. Where the feed gives no category, the largest of the likely detections
    decides on it too, by score times root of area, and the description may correct it.
    """
    asked = [i for i, product in enumerate(products) if _needs_detector(product, boxes[i])]
    found = dict(zip(asked, models.detect_batch([images[i] for i in asked], FAINT_SCORE), strict=True))
    places = [
        _place(product, image, box, found.get(i), models)
        for i, (product, image, box) in enumerate(zip(products, images, boxes, strict=True))
    ]
    crops = [np.array([box], np.float32) for _, _, box in places]
    items = []
    for i, (product, place, (described,)) in enumerate(
        zip(products, places, models.describe_batch(images, crops), strict=True)
    ):
        category, score, box = place
        if category and not product.category_given:
            category = name_item(category, seen_at(box, found[i], models), described.embedding, models)
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
        names = np.array([models.categories[label] for label in detections.labels], object)
        given = product.category_given
        fit = detections.scores >= (DETECT_MIN_SCORE if given else models.min_score)
        fit &= names == product.category if given else True
        worth = detections.scores * (1 if given else np.sqrt(box_area(detections.boxes)))
        if fit.any():
            best = int(np.where(fit, worth, -1).argmax())
            x1, y1, x2, y2 = (float(side) for side in detections.boxes[best])
            return str(names[best]), float(detections.scores[best]), (x1, y1, x2, y2)
    height, width = image.shape[:2]
    return product.category, None, box or (0.0, 0.0, float(width), float(height))


def _look(product: Product, shot: Shot) -> tuple[object, ...]:
    """Return all that an item's description depends on."""
    return shot.image_hash, product.category, product.category_given


class Writer:
    """Gathers images into batches for the model, and products into commits for the store."""

    def __init__(self, store: Sink, models: "Models", progress: Progress) -> None:
        self.store, self.models, self.progress = store, models, progress
        self.unchanged = self.stored = 0
        self._batch: list[Job] = []  # to be described
        self._images = self._pixels = 0  # in the batch
        self._looks: dict[tuple[object, ...], Item] = {}  # described lately: variants share pictures
        self._entries: list[Entry] = []  # to be written
        self._written_at = time.monotonic()

    def add(self, job: Job) -> None:
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


# --- reading ----------------------------------------------------------------------------------------------------------


class Wanted(NamedTuple):
    """Pictures to be read of a product."""

    product: Product
    images: Sequence[str]  # paths and URLs


def read_ahead(
    rows: Iterable[R],
    wanted: Callable[[R], Wanted],
    prepare: Callable[[R, Sequence[Path | Content]], J],
    cache: Path,
    allow_private: bool,
) -> Iterator[J]:
    """Yield what `prepare` makes of each row and its pictures, in order, a few of them ahead of the caller.

    It is called in threads, with a path or what was fetched for each of the images wanted. Neighbours of one variant
    group fetch a picture once. `cache` is a folder for bodies that came with an ETag.
    """
    family: tuple[str, str, str] | None = None
    bodies: dict[str, Future[Content]] = {}  # of the family's pictures
    waiting: deque[tuple[Future[J], int]] = deque()  # rows, each with how many pictures it has fetched
    fetched = 0  # pictures of those rows
    pool = ThreadPoolExecutor(cpu_threads() + 1, thread_name_prefix="read")
    try:
        with fetching(cache, allow_private) as fetch:
            for row in rows:
                one = wanted(row)
                if _family(one.product) != family:
                    family, bodies = _family(one.product), {}
                new = [url for url in _urls(one) if url not in bodies]
                bodies |= {url: fetch(url) for url in new}
                sources = [bodies[image] if _is_url(image) else Path(image) for image in one.images]
                waiting.append((pool.submit(_prepared, prepare, row, sources), len(new)))
                fetched += len(new)
                while len(waiting) >= LOOK_AHEAD or (fetched >= FETCH_AHEAD and len(waiting) > 1):
                    done, pictures = waiting.popleft()
                    fetched -= pictures
                    yield done.result()
            while waiting:
                yield waiting.popleft()[0].result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _prepared(
    prepare: Callable[[R, Sequence[Path | Content]], J], row: R, sources: Sequence[Path | Future[Content]]
) -> J:
    """Return what `prepare` makes of a row, once its pictures are there."""
    return prepare(row, [source.result() if isinstance(source, Future) else source for source in sources])


def content_of(source: Path | Content) -> Content:
    """Return a picture's bytes, or why there are none."""
    try:
        return read_image_bytes(source) if isinstance(source, Path) else source
    except DataError as exc:
        return exc


def shoot(product: Product, image: str, content: Content, image_hash: str, image_no: int = 0) -> Shot:
    """Return a picture of a product, decoded. Raises DataError."""
    if isinstance(content, DataError):
        raise content
    pixels = decode_image(content, image)
    return Shot(image_no, image_hash, pixels=pixels, box=item_box(pixels) if product.category_given else None)


def _family(product: Product) -> tuple[str, str, str]:
    """Return what neighbours have in common whose pictures may be the same."""
    return product.shop, product.group_id or "", "" if product.group_id else product.product_id


def _urls(wanted: Wanted) -> list[str]:
    return list(dict.fromkeys(filter(_is_url, wanted.images)))


def _is_url(image: str) -> bool:
    return image.lower().startswith(("http://", "https://"))
