"""What the detector trains on: each source read into samples that say which classes they label."""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from twinset.boxes import Boxes
from twinset.data.background import item_box
from twinset.data.feed import Feed
from twinset.data.folders import Classed
from twinset.data.labelled import LabelledImage
from twinset.errors import DataError
from twinset.images import read_image, try_image
from twinset.taxonomy import Taxonomy
from twinset.types import Image, Product

log = logging.getLogger(__name__)
T = TypeVar("T")
MAX_SIDE = 640  # pixels kept of a photo's longer side: zooming in threefold still shows real detail
READERS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One training image. A class with `labelled` 0 is neither right nor wrong to find in it."""

    pixels: Image
    boxes: Boxes  # (N, 4) xyxy pixels
    labels: NDArray[np.int64]  # (N,)
    labelled: NDArray[np.float32]  # (C,) 1 where the source labels the class
    street: bool  # a photo of life rather than of one product
    wanted: int = -1  # class the image as a whole is labelled with; the detector is to find its box
    ignored: NDArray[np.bool_] | None = None  # (N,) True: undecidable, neither right nor wrong to find; None: no box is


def labelled_samples(
    images: Sequence[LabelledImage],
    categories: Sequence[str],
    taxonomy: Taxonomy,
    known: Sequence[str] | None = None,
    strict: bool = False,
) -> list[Sample]:
    """Return samples of photos with boxes. `known` are the categories they label, by default what their source does.

    Photos that can't be read are left out; if `strict`, the first raises DataError.
    """

    def load(image: LabelledImage) -> Sample | None:
        picture = try_image(image.path, strict)
        if picture is None:
            return None
        pixels, scale = _shrunken(picture)
        index = [i for i, label in enumerate(image.labels) if label in categories]
        source = taxonomy.sources.get(image.source)
        own = known if known is not None else source.categories if source else categories
        labels = np.array([categories.index(image.labels[i]) for i in index], np.int64)
        return Sample(
            pixels, image.boxes[index] * scale, labels, _mask(own, categories), True, ignored=image.crowd[index]
        )

    return _map(load, images)


def feed_samples(feed: Feed, categories: Sequence[str], taxonomy: Taxonomy) -> list[Sample]:
    """Return samples of a feed's training products: those whose id ends in 0 are for validation and left out.

    A product alone on a plain background has its box, and nothing else is in the picture. Of a shot on a model only
    the category is known (`wanted`), and which others it doesn't show. Pictures that can't be read are left out.
    """
    apart = {category.name: category.apart for category in taxonomy.categories}

    def load(product: Product) -> Sample | None:
        if product.category is not None and product.category not in categories:
            return None
        try:
            pixels, _ = _shrunken(read_image(Path(product.images[0])))
        except DataError as exc:
            log.warning("product %s is left out: %s", product.product_id, exc)
            return None
        none = np.zeros(0, np.int64)
        box = item_box(pixels)
        if box is not None:
            if product.category is None:
                return Sample(pixels, np.zeros((0, 4), np.float32), none, np.ones(len(categories), np.float32), False)
            label = np.array([categories.index(product.category)])
            return Sample(pixels, np.array([box], np.float32), label, np.ones(len(categories), np.float32), False)
        if product.category is None:
            return None
        mask = _mask({product.category, *apart[product.category]}, categories)
        wanted = categories.index(product.category)
        return Sample(pixels, np.zeros((0, 4), np.float32), none, mask, False, wanted)

    products = [p for p in feed.products if not p.product_id.endswith("0") and (p.category or p.category_given)]
    return _map(load, products)


def classed_samples(images: Classed, categories: Sequence[str], strict: bool = False) -> list[Sample]:
    """Return samples of photos of one garment each whose box is to be found; `strict` as of `labelled_samples`."""

    def load(entry: tuple[Path, str | None]) -> Sample | None:
        picture = try_image(entry[0], strict)
        if picture is None:
            return None
        pixels, _ = _shrunken(picture)
        wanted = categories.index(str(entry[1]))
        mask = _mask({str(entry[1])}, categories)
        none = np.zeros(0, np.int64)
        return Sample(pixels, np.zeros((0, 4), np.float32), none, mask, False, wanted)

    return _map(load, [(e.path, e.category) for e in images if e.category in categories])


def drawn_samples(count: int, categories: Sequence[str], seed: int) -> list[Sample]:
    """Return samples of drawn products and looks, half of each, so that drawings are seen too."""
    from twinset.data.drawn import draw_look, draw_product

    rng = np.random.default_rng(seed)
    samples = []
    for i in range(count):
        mask = np.ones(len(categories), np.float32)
        if i % 2:
            look = draw_look(rng)
            keep = [j for j, label in enumerate(look.labels) if label in categories]
            labels = np.array([categories.index(look.labels[j]) for j in keep], np.int64)
            boxes = np.asarray(look.boxes, np.float32).reshape(-1, 4)[keep]
            samples.append(Sample(look.image, boxes, labels, mask, True))
        else:
            product = draw_product(None, rng)
            if product.category in categories:
                label = np.array([categories.index(product.category)])
                pixels, scale = _shrunken(product.image)
                samples.append(Sample(pixels, np.array([product.box], np.float32) * scale, label, mask, False))
    return samples


def _shrunken(image: Image) -> tuple[Image, float]:
    scale = min(1.0, MAX_SIDE / max(image.shape[:2]))
    if scale == 1.0:
        return image, 1.0
    size_wh = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(Pillow.fromarray(image).resize(size_wh, Pillow.Resampling.BILINEAR)), scale


def _mask(known: Iterable[str], categories: Sequence[str]) -> NDArray[np.float32]:
    return np.array([name in set(known) for name in categories], np.float32)


def _map(load: Callable[[T], Sample | None], entries: Sequence[T]) -> list[Sample]:
    """Return the samples of the entries that have one."""
    with ThreadPoolExecutor(READERS) as pool:
        return [sample for sample in pool.map(load, entries) if sample is not None]
