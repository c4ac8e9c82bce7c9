"""Where an encoder's training data is read from: a catalogue, or photos' items in its place, and street photos."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twinset.describe.photos import photo_items
from twinset.describe.samples import (
    ItemSample,
    Vocabulary,
    backgrounds,
    catalogue_samples,
    drawn_items,
    read_vocabulary,
    street_samples,
    worn_boxes,
)
from twinset.detect.detector import load_detector
from twinset.detect.sources import Sources, Tell, read_catalogue, street_photos
from twinset.errors import UsageError
from twinset.taxonomy import Taxonomy
from twinset.types import Image

SCENES = 600  # backgrounds from street photos


@dataclass(frozen=True, slots=True, eq=False)
class EncoderData:
    """What there is to train an encoder on."""

    items: list[ItemSample]
    vocabulary: Vocabulary
    street: list[ItemSample]  # drawn items among them
    street_dev: list[ItemSample]
    scenes: list[Image]


def read_encoder_data(
    sources: Sources,
    detector: Path,
    taxonomy: Taxonomy,
    seed: int,
    tell: Tell,
    threads: int | None = None,
    vocabulary: Vocabulary | None = None,
) -> EncoderData:
    """Return the items of the catalogue, or without one of CCP and classed photos, and those of the street and drawn.

    The `detector` of that folder finds what a catalogue's models wear. Without a `vocabulary` it is what the items
    teach. Raises UsageError where there is nothing to read, and for photos in the place of a vocabulary's catalogue.
    """
    if sources.catalog and sources.classed:
        raise UsageError(
            "--classed: expected it without --catalog, in its place; leave one of them out", field="classed"
        )
    if sources.catalog is None:
        items, known = photo_items(sources.ccp, sources.classed, taxonomy, sources.strict, tell)
        if vocabulary and vocabulary.article_types != known.article_types:
            raise UsageError(
                "--catalog: expected the product feed the encoder was trained on, found none: "
                "it knows that feed's article types, not those of photos",
                field="catalog",
            )
    else:
        feed = read_catalogue(sources.catalog, taxonomy, sources.strict, tell)
        known = vocabulary or read_vocabulary([p for p in feed.products if not p.product_id.endswith("0")], taxonomy)
        items = catalogue_samples(feed, worn_boxes(feed, load_detector(detector, threads)), known, taxonomy)
    images, dev = street_photos(sources, taxonomy, tell)
    street, held_back = (street_samples(part, sources.ccp, known, taxonomy, sources.strict) for part in (images, dev))
    street += drawn_items(sources.drawn, known, taxonomy, seed)
    scenes = backgrounds(images, SCENES, np.random.default_rng(seed)) if images else []
    return EncoderData(items, known, street, held_back, scenes)
