"""What the encoder trains on: a catalogue's items with what their rows say, street photos' items, backgrounds."""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from twinset.data.background import item_box, item_mask
from twinset.data.ccp import read_ccp_mask
from twinset.data.drawn import draw_look, draw_product
from twinset.data.feed import Feed
from twinset.data.labelled import LabelledImage
from twinset.describe.colours import main_colour
from twinset.detect.detector import Detector
from twinset.errors import DataError, FeedError
from twinset.images import crop, read_image, try_image
from twinset.levels import at_level
from twinset.taxonomy import Taxonomy, fold
from twinset.types import Box, Image, Product

log = logging.getLogger(__name__)
MIN_PRODUCTS = 8  # a word or type on fewer products teaches nothing
TITLE_WORDS = 400
GENDERS = {
    "men": 0,
    "mens": 0,
    "man": 0,
    "boys": 2,
    "boy": 2,
    "women": 1,
    "womens": 1,
    "woman": 1,
    "girls": 3,
    "girl": 3,
}
UNKNOWN = -1
WORN_MIN_SCORE = 0.1
MIN_SIDE = 24  # pixels of an item in a street photo: smaller ones show too little

MARGIN = 0.25  # of a box's sides, that a sample's pixels have around it
SURROUNDINGS = 0.1, 0.4  # of a box's sides, that a close-up of an item shows on each; a sample's pixels may end before

PixelLabels = tuple[NDArray[np.uint8], tuple[str, ...]]  # (H, W) label ids of a photo, the labels' names by id


@dataclass(frozen=True, slots=True, eq=False)
class ItemSample:
    """One item: the part of its picture around it, and its labels; UNKNOWN where its row says nothing."""

    pixels: Image  # with a margin around the box
    box: Box  # of the item in `pixels`
    mask: NDArray[np.bool_] | None  # (H, W) True on the item, where that is known
    article_type: int = UNKNOWN
    colour: int = UNKNOWN  # as the feed names it
    base_colour: int = UNKNOWN
    gender: int = UNKNOWN
    category: int = UNKNOWN
    words: tuple[int, ...] = ()
    product_id: str = ""
    title: str = ""
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The classes a catalogue teaches."""

    article_types: tuple[str, ...]
    colours: tuple[str, ...]
    base_colours: tuple[str, ...]
    words: tuple[str, ...]
    categories: tuple[str, ...]


def read_vocabulary(products: Sequence[Product], taxonomy: Taxonomy) -> Vocabulary:
    """Return the article types, colours and title words that enough products have."""
    types = Counter(p.article_type for p in products if p.article_type)
    colours = Counter(p.tags["colour"] for p in products if p.tags.get("colour"))
    words = Counter(word for p in products for word in set(title_words(p.title)))
    kept = [word for word, n in words.most_common(TITLE_WORDS) if n >= MIN_PRODUCTS]
    if not types or not colours:
        raise FeedError("expected a feed with article_type and colour columns to train on, found none")
    return Vocabulary(
        tuple(sorted(t for t, n in types.items() if n >= MIN_PRODUCTS)),
        tuple(sorted(c for c, n in colours.items() if n >= MIN_PRODUCTS)),
        tuple(taxonomy.colours),
        tuple(kept),
        taxonomy.names,
    )


def title_words(title: str) -> list[str]:
    """Return a title's words in lower case."""
    return re.findall(r"[a-z][a-z-]{2,}", title.lower())


def gender_of(title: str) -> int:
    """Return the gender a title names, UNKNOWN for none or several."""
    found = {GENDERS[word] for word in title_words(title) if word in GENDERS}
    return found.pop() if len(found) == 1 else UNKNOWN


def catalogue_samples(
    feed: Feed, boxes: dict[str, Box], vocabulary: Vocabulary, taxonomy: Taxonomy, validation: bool = False
) -> list[ItemSample]:
    """Return samples of a feed's training products, or of its validation products (ids that end in 0).

    The box is the background's for a product alone, else the one in `boxes` by product id, else the whole picture.
    """
    types = {name: i for i, name in enumerate(vocabulary.article_types)}
    colours = {name: i for i, name in enumerate(vocabulary.colours)}
    bases = {name: i for i, name in enumerate(vocabulary.base_colours)}
    words = {word: i for i, word in enumerate(vocabulary.words)}
    categories = {name: i for i, name in enumerate(vocabulary.categories)}

    def load(product: Product) -> ItemSample | None:
        try:
            image = read_image(Path(product.images[0]))
        except DataError as exc:
            log.warning("product %s is left out: %s", product.product_id, exc)
            return None
        alone = item_box(image)
        box = alone or boxes.get(product.product_id) or (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        mask = item_mask(image) if alone else None
        colour = product.tags.get("colour", "")
        base = taxonomy.base_colour(colour) if colour else None
        pixels, moved, cut_mask = cut_sample(image, box, mask)
        return ItemSample(
            pixels,
            moved,
            cut_mask,
            types.get(product.article_type or "", UNKNOWN),
            colours.get(colour, UNKNOWN),
            bases[base] if base else UNKNOWN,
            gender_of(product.title),
            categories.get(product.category or "", UNKNOWN),
            tuple(words[word] for word in set(title_words(product.title)) if word in words),
            product.product_id,
            product.title,
            tuple(product.tags.items()),
        )

    products = [p for p in feed.products if p.product_id.endswith("0") == validation]
    with ThreadPoolExecutor(2) as pool:
        return [sample for sample in pool.map(load, products) if sample is not None]


def street_samples(
    images: Sequence[LabelledImage],
    masks: Path | None,
    vocabulary: Vocabulary,
    taxonomy: Taxonomy,
    strict: bool = False,
) -> list[ItemSample]:
    """Return the labelled items of street photos: their categories; of those from CCP's folder also their pixels, the
    article type these are labelled as, where the vocabulary has it, and the colour that most of them are.

    Photos that can't be read are left out; if `strict`, the first raises DataError.
    """
    kinds = StreetKinds(vocabulary, taxonomy)

    def load(image: LabelledImage) -> list[ItemSample]:
        pixels = try_image(image.path, strict)
        if pixels is None:
            return []
        said = read_ccp_mask(masks, image.path.stem) if masks and image.source == "street-ccp" else None
        masked = label_masks(image, said, taxonomy) if said else {}
        samples = []
        for box, label in zip(image.boxes, image.labels, strict=True):
            x1, y1, x2, y2 = (float(side) for side in box)
            if min(x2 - x1, y2 - y1) >= MIN_SIDE and label in vocabulary.categories:
                cut, moved, mask = cut_sample(pixels, (x1, y1, x2, y2), masked.get(label))
                colour = main_colour(cut[mask]) if mask is not None else None
                samples.append(
                    ItemSample(
                        cut,
                        moved,
                        mask,
                        article_type=kinds.of(said, masked[label], (x1, y1, x2, y2)) if said else UNKNOWN,
                        base_colour=vocabulary.base_colours.index(colour) if colour else UNKNOWN,
                        category=vocabulary.categories.index(label),
                    )
                )
        return samples

    with ThreadPoolExecutor(2) as pool:
        return [sample for samples in pool.map(load, images) for sample in samples]


def types_meant(vocabulary: Vocabulary, taxonomy: Taxonomy) -> dict[str, int]:
    """Return the numbers of a vocabulary's article types by what they mean, the taxonomy's article types, folded.

    Of several that mean the same, tops and vests, it is the one that the taxonomy names first.
    """
    place = {word: i for i, word in enumerate(taxonomy.type_names)}
    known = sorted(enumerate(vocabulary.article_types), key=lambda one: place.get(fold(one[1]), -1), reverse=True)
    return {fold(taxonomy.type_of(name) or name): i for i, name in known}


def drawn_items(count: int, vocabulary: Vocabulary, taxonomy: Taxonomy, seed: int) -> list[ItemSample]:
    """Return the items of `count` drawn pictures, half of them of products and half of looks, the same for a seed.

    Their categories, article types and colours are known. Without them what photos teach is taken for sure of drawings.
    """
    rng = np.random.default_rng(seed)
    types = types_meant(vocabulary, taxonomy)

    def item(image: Image, box: Box, mask: NDArray[np.bool_] | None, kind: str, colour: str) -> ItemSample:
        cut, moved, cut_mask = cut_sample(image, box, mask)
        category, base = taxonomy.category_of(kind), taxonomy.base_colour(colour)
        return ItemSample(
            cut,
            moved,
            cut_mask,
            article_type=types.get(fold(taxonomy.type_of(kind) or kind), UNKNOWN),
            base_colour=vocabulary.base_colours.index(base) if base else UNKNOWN,
            category=vocabulary.categories.index(category) if category in vocabulary.categories else UNKNOWN,
        )

    found = []
    for _ in range(count // 2):
        product = draw_product(None, rng)
        found.append(item(product.image, product.box, item_mask(product.image), product.article_type, product.colour))
    for _ in range(count - count // 2):
        look = draw_look(rng)
        for (x1, y1, x2, y2), kind, colour in zip(look.boxes.tolist(), look.article_types, look.colours, strict=True):
            if min(x2 - x1, y2 - y1) >= MIN_SIDE:
                found.append(item(look.image, (x1, y1, x2, y2), None, kind, colour))
    return found


class StreetKinds:
    """What CCP's labels are called among a vocabulary's article types."""

    def __init__(self, vocabulary: Vocabulary, taxonomy: Taxonomy) -> None:
        meant = types_meant(vocabulary, taxonomy)
        labels = at_level(taxonomy, "article-type").sources["street-ccp"].labels if taxonomy.level == "category" else {}
        self._of = {label: meant[fold(kind)] for label, kind in labels.items() if kind and fold(kind) in meant}

    def of(self, said: PixelLabels, item: NDArray[np.bool_], box: Box) -> int:
        """Return the article type of most of an item's pixels in its box, UNKNOWN where the vocabulary lacks it."""
        (ids, names), (x1, y1, x2, y2) = said, (int(side) for side in box)
        inside = ids[y1:y2, x1:x2][item[y1:y2, x1:x2]]
        most = int(np.bincount(inside, minlength=len(names)).argmax())
        return self._of.get(names[most], UNKNOWN) if len(inside) and most < len(names) else UNKNOWN


def label_masks(image: LabelledImage, said: PixelLabels, taxonomy: Taxonomy) -> dict[str, NDArray[np.bool_]]:
    """Return by label, as a taxonomy has it, the (H, W) pixels that show it."""
    ids, names = said
    of_label = [taxonomy.sources[image.source].labels.get(name) for name in names]
    found = {}
    for category in set(image.labels):
        chosen = np.zeros(256, bool)
        chosen[[i for i, label in enumerate(of_label) if label == category]] = True
        found[category] = chosen[ids]
    return found


def backgrounds(images: Sequence[LabelledImage], count: int, rng: np.random.Generator) -> list[Image]:
    """Return parts of street photos that items can be put on, whatever they show: others' clothes are there in life.

    Photos that can't be read give none.
    """
    found = []
    for i in rng.choice(len(images), min(count, len(images)), replace=False):
        try:
            pixels = read_image(images[int(i)].path)
        except DataError:
            continue
        height, width = pixels.shape[:2]
        side = int(min(height, width) * rng.uniform(0.5, 1.0))
        y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        part = Pillow.fromarray(pixels[y : y + side, x : x + side])
        found.append(np.asarray(part.resize((256, 256), Pillow.Resampling.BILINEAR, reducing_gap=2.0)))
    return found


def all_with_surroundings(samples: Sequence[ItemSample]) -> list[ItemSample]:
    """Return samples of the same items with what is around them: the same every time."""
    rng = np.random.default_rng(0)
    return [with_surroundings(sample, rng) for sample in samples]


def with_surroundings(sample: ItemSample, rng: np.random.Generator) -> ItemSample:
    """Return a sample whose box shows what is around the item, too, as far as the pixels go.

    So photos show an item that fills them, and so a photo is asked what it as a whole is of.
    """
    (x1, y1, x2, y2), (height, width) = sample.box, sample.pixels.shape[:2]
    margin = rng.uniform(*SURROUNDINGS)
    across, down = margin * (x2 - x1), margin * (y2 - y1)
    box = max(x1 - across, 0.0), max(y1 - down, 0.0), min(x2 + across, float(width)), min(y2 + down, float(height))
    return replace(sample, box=box)


def cut_sample(image: Image, box: Box, mask: NDArray[np.bool_] | None) -> tuple[Image, Box, NDArray[np.bool_] | None]:
    """Return the picture around a box, the box in it, and the mask cut alike; at most 256 pixels a side."""
    x1, y1, x2, y2 = box
    left, top = max(0.0, x1 - MARGIN * (x2 - x1)), max(0.0, y1 - MARGIN * (y2 - y1))
    cut = crop(image, box, MARGIN)
    left, top = float(np.floor(left)), float(np.floor(top))
    moved = (x1 - left, y1 - top, x2 - left, y2 - top)
    cut_mask = None
    if mask is not None:
        cut_mask = mask[int(top) : int(top) + cut.shape[0], int(left) : int(left) + cut.shape[1]]
    scale = min(1.0, 256 / max(cut.shape[:2]))
    if scale < 1.0:
        size = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
        cut = np.asarray(Pillow.fromarray(cut).resize(size, Pillow.Resampling.BILINEAR))
        if cut_mask is not None:
            cut_mask = np.asarray(Pillow.fromarray(cut_mask).resize(size, Pillow.Resampling.NEAREST))
        moved = (moved[0] * scale, moved[1] * scale, moved[2] * scale, moved[3] * scale)
    return np.ascontiguousarray(cut), moved, None if cut_mask is None else np.ascontiguousarray(cut_mask)


def worn_boxes(feed: Feed, detector: Detector, batch: int = 16) -> dict[str, Box]:
    """Return by product id the box of the item in training shots on a model, found by the detector for its category."""
    products = [p for p in feed.products if p.category in detector.categories and not p.product_id.endswith("0")]
    found = {}
    for start in range(0, len(products), batch):
        part, images = [], []
        for product in products[start : start + batch]:
            try:
                image = read_image(Path(product.images[0]))
            except DataError:
                continue
            if item_box(image) is None:
                part.append(product)
                images.append(image)
        for product, detections in zip(part, detector.detect_batch(images, WORN_MIN_SCORE), strict=True):
            label = detector.categories.index(str(product.category))
            of_category = np.flatnonzero(detections.labels == label)
            if len(of_category):
                x1, y1, x2, y2 = detections.boxes[of_category[0]].tolist()
                found[product.product_id] = (x1, y1, x2, y2)
    return found
