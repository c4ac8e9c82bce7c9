"""Where a detector's training data is read from: all its sources at once, in one taxonomy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from twinset.data.ccp import read_ccp
from twinset.data.coco import read_coco
from twinset.data.feed import Feed, read_feed
from twinset.data.folders import read_folders
from twinset.data.labelled import LabelledImage, Problem
from twinset.data.suggestions import apply_suggestions, in_taxonomy, read_suggestions
from twinset.data.voc import read_voc
from twinset.detect.samples import Sample, classed_samples, drawn_samples, feed_samples, labelled_samples
from twinset.taxonomy import Taxonomy

Tell = Callable[[Sequence[Problem]], None]


@dataclass(frozen=True, slots=True)
class Sources:
    """What to read; None or empty: not that."""

    voc: Path | None = None  # street photos with Pascal VOC boxes
    ccp: Path | None = None  # street photos with CCP masks
    coco: tuple[tuple[Path, Path], ...] = ()  # (file, folder its names start from): further photos with boxes
    catalog: Path | None = None  # a product feed
    classed: Path | None = None  # photos of one garment each, in train/CLASS folders
    drawn: int = 0  # drawn pictures
    corrections: tuple[str, ...] = ()  # files of suggestions, or names of those that ship
    strict: bool = False  # stop at the first problem


def read_sources(
    sources: Sources, taxonomy: Taxonomy, categories: Sequence[str], seed: int, tell: Tell
) -> tuple[list[Sample], list[LabelledImage]]:
    """Return the samples to train `categories` on, and the photos of dev. `tell` is told the problems met."""
    images, dev = street_photos(sources, taxonomy, tell)
    found = labelled_samples(images, categories, taxonomy)
    for file, root in sources.coco:
        labelled = read_coco(file, root, taxonomy, sources.strict)
        tell(labelled.problems)
        found += labelled_samples(labelled.images, categories, taxonomy, labelled.categories)
    if sources.catalog:
        found += feed_samples(read_catalogue(sources.catalog, taxonomy, sources.strict, tell), categories, taxonomy)
    if sources.classed:
        photos = read_folders(sources.classed, "train", taxonomy, sources.strict)
        tell(photos.problems)
        found += classed_samples(photos, categories)
    if sources.drawn:
        found += drawn_samples(sources.drawn, categories, seed)
    return found, dev


def read_catalogue(file: Path, taxonomy: Taxonomy, strict: bool, tell: Tell) -> Feed:
    """Return a product feed. `tell` is told of the rows that are left out."""
    feed = read_feed(file, taxonomy, strict=strict)
    tell([Problem(f"{file}:{row.line}", f"{row.product_id} {row.reason}".strip()) for row in feed.failed])
    return feed


def street_photos(sources: Sources, taxonomy: Taxonomy, tell: Tell) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Return the street photos to train on, and those of dev, their labels corrected."""
    suggestions = [one for name in sources.corrections for one in in_taxonomy(read_suggestions(name), taxonomy)]
    parts: list[list[LabelledImage]] = [[], []]
    for part, split in zip(parts, ("train", "dev"), strict=True):
        read = [read_voc(sources.voc, split, taxonomy, sources.strict)] if sources.voc else []
        read += [read_ccp(sources.ccp, split, taxonomy, sources.strict)] if sources.ccp else []
        for labelled in read:
            tell(labelled.problems)
            part += apply_suggestions(labelled, suggestions).images
    return parts[0], parts[1]
