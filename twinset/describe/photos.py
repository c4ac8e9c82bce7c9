"""Items of photos as what an encoder trains on, where there is no catalogue: CCP's items, and photos of one garment.

Their article types are the taxonomy's, as far as a source's labels name them; their colours are measured.
"""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twinset.data.background import item_box, item_mask
from twinset.data.ccp import read_ccp, read_ccp_mask
from twinset.data.folders import ClassedImage, read_folders
from twinset.data.labelled import LabelledImage
from twinset.describe.colours import main_colour
from twinset.describe.samples import MIN_SIDE, UNKNOWN, ItemSample, Vocabulary, cut_sample, label_masks
from twinset.detect.sources import Tell
from twinset.errors import UsageError
from twinset.images import try_image
from twinset.levels import at_level
from twinset.taxonomy import Source, Taxonomy
from twinset.types import Box, Image

SPLITS = "train+dev"  # the training holds dev back by the photos' names


def photo_items(
    ccp: Path | None, classed: Path | None, taxonomy: Taxonomy, strict: bool, tell: Tell
) -> tuple[list[ItemSample], Vocabulary]:
    """Return the items of training photos, and the classes they teach. `tell` is told the problems met.

    Raises UsageError where there is nothing to read.
    """
    if ccp is None and classed is None:
        raise UsageError(
            "--catalog: expected a product feed to train the encoder on, or --ccp or --classed, found none of them",
            field="catalog",
        )
    worded = _worded(taxonomy)
    vocabulary = Vocabulary(_types(taxonomy), (), tuple(taxonomy.colours), (), taxonomy.names)
    items: list[ItemSample] = []
    with ThreadPoolExecutor(2) as pool:
        if ccp is not None:
            labelled = read_ccp(ccp, SPLITS, worded, strict)
            tell(labelled.problems)
            for found in pool.map(lambda image: list(_labelled(image, ccp, worded, taxonomy, strict)), labelled.images):
                items += found
        if classed is not None:
            photos = read_folders(classed, SPLITS, worded, strict)
            tell(photos.problems)
            alone = pool.map(lambda image: _alone(image, taxonomy, strict), [i for i in photos if i.category])
            items += [item for item in alone if item is not None]
    return items, vocabulary


def _worded(taxonomy: Taxonomy) -> Taxonomy:
    """Return the taxonomy in which sources' labels mean article types, or categories where they name no type."""
    typed = at_level(taxonomy, "article-type").sources
    sources = {
        name: Source(
            name, {label: typed[name].labels.get(label) or category for label, category in source.labels.items()}
        )
        for name, source in taxonomy.sources.items()
    }
    return dataclasses.replace(taxonomy, sources=sources)


def _types(taxonomy: Taxonomy) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(kind.name for kind in taxonomy.article_types), *taxonomy.names]))


def _labelled(
    image: LabelledImage, folder: Path, worded: Taxonomy, taxonomy: Taxonomy, strict: bool
) -> Iterator[ItemSample]:
    """Yield a photo's items, their pixels by its mask; none of one that can't be read."""
    pixels = try_image(image.path, strict)
    if pixels is None:
        return
    masks = label_masks(image, read_ccp_mask(folder, image.path.stem), worded)
    for box, label in zip(image.boxes, image.labels, strict=True):
        x1, y1, x2, y2 = (float(side) for side in box)
        if min(x2 - x1, y2 - y1) >= MIN_SIDE:
            yield _item(pixels, (x1, y1, x2, y2), masks.get(label), label, image.path.stem, taxonomy)


def _alone(image: ClassedImage, taxonomy: Taxonomy, strict: bool) -> ItemSample | None:
    """Return a photo of one garment: its box from a plain background, else all of the photo. None: it can't be read."""
    pixels = try_image(image.path, strict)
    if pixels is None:
        return None
    alone = item_box(pixels)
    box = alone or (0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0]))
    return _item(pixels, box, item_mask(pixels) if alone else None, str(image.category), image.path.stem, taxonomy)


def _item(
    pixels: Image, box: Box, mask: NDArray[np.bool_] | None, label: str, name: str, taxonomy: Taxonomy
) -> ItemSample:
    cut, moved, cut_mask = cut_sample(pixels, box, mask)
    colour = main_colour(cut[cut_mask]) if cut_mask is not None else None
    category = {kind.name: kind.category for kind in taxonomy.article_types}.get(label, label)
    return ItemSample(
        cut,
        moved,
        cut_mask,
        article_type=_types(taxonomy).index(label),
        base_colour=list(taxonomy.colours).index(colour) if colour else UNKNOWN,
        category=taxonomy.names.index(category),
        product_id=name,
    )
