"""Where a detector's training data is read from: all its sources at once, in one taxonomy."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from twinset.data.ccp import read_ccp
from twinset.data.coco import read_coco
from twinset.data.feed import Feed, read_feed
from twinset.data.folders import read_folders
from twinset.data.labelled import Labelled, LabelledImage, Problem, in_taxonomy_order, is_dev
from twinset.data.pseudo import is_pseudo
from twinset.data.suggestions import Suggestion, apply_suggestions, in_taxonomy, read_suggestions
from twinset.data.voc import read_voc
from twinset.detect.samples import Sample, classed_samples, drawn_samples, feed_samples, labelled_samples
from twinset.images import try_image
from twinset.taxonomy import Taxonomy

Tell = Callable[[Sequence[Problem]], None]
Dev = Mapping[str, Labelled]  # photos that settings are chosen on, by their source: those with something to find


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
) -> tuple[list[Sample], Dev]:
    """Return the samples to train `categories` on, and the photos of dev. `tell` is told the problems met.

    A detector's own labels are no truth to judge by: photos of `twinset data pseudo` are all trained on.
    """
    images, held_back = street_photos(sources, taxonomy, tell)
    dev = dict(by_source(held_back, categories, taxonomy, sources.strict))
    found = labelled_samples(images, categories, taxonomy, strict=sources.strict)
    for number, (file, root) in enumerate(sources.coco, 1):
        labelled = read_coco(file, root, taxonomy, sources.strict)
        tell(labelled.problems)
        labelled = apply_suggestions(labelled, read_corrections(sources, taxonomy))
        pseudo = is_pseudo(file)
        train = [image for image in labelled.images if pseudo or not is_dev(image.path.stem)]
        rest = [image for image in labelled.images if not pseudo and is_dev(image.path.stem)]
        found += labelled_samples(train, categories, taxonomy, labelled.categories, sources.strict)
        if part := _to_judge(replace(labelled, images=rest), categories, sources.strict):
            dev["coco" if number == 1 else f"coco-{number}"] = part
    if sources.catalog:
        found += feed_samples(read_catalogue(sources.catalog, taxonomy, sources.strict, tell), categories, taxonomy)
    if sources.classed:
        photos = read_folders(sources.classed, "train", taxonomy, sources.strict)
        tell(photos.problems)
        found += classed_samples(photos, categories, sources.strict)
    if sources.drawn:
        found += drawn_samples(sources.drawn, categories, seed)
    return found, dev


def by_source(
    images: Sequence[LabelledImage], categories: Sequence[str], taxonomy: Taxonomy, strict: bool = False
) -> Dev:
    """Return photos of dev by their source. Those that can't be read are left out, and sources with nothing to find."""
    parts = {}
    for name in dict.fromkeys(image.source for image in images):
        source = taxonomy.sources.get(name)
        labelled = in_taxonomy_order(source.categories if source else set(taxonomy.names), taxonomy)
        part = Labelled([image for image in images if image.source == name], labelled, [])
        if judged := _to_judge(part, categories, strict):
            parts[name] = judged
    return parts


def _to_judge(part: Labelled, categories: Sequence[str], strict: bool) -> Labelled | None:
    """Return the photos that can be read, None where they show nothing to find that their source labels."""
    known = set(categories) & set(part.categories)
    images = [image for image in part.images if try_image(image.path, strict) is not None]
    shown = (
        name in known and not crowd for image in images for name, crowd in zip(image.labels, image.crowd, strict=True)
    )
    return replace(part, images=images) if any(shown) else None


def facts_of(sources: Sources, dev: Dev) -> dict[str, Any]:
    """Return what was read as JSON has it: paths, and a digest of the names of dev's photos."""
    given = {name: getattr(sources, name) for name in ("voc", "ccp", "catalog", "classed")}
    names = [f"{source}/{image.path.name}" for source, part in dev.items() for image in part.images]
    return {
        **{name: str(path.resolve()) for name, path in given.items() if path},
        "coco": [[str(path.resolve()) for path in pair] for pair in sources.coco],
        "corrections": list(sources.corrections),
        "drawn": sources.drawn,
        "dev": hashlib.sha256("\n".join(names).encode()).hexdigest()[:16],
    }


def read_catalogue(file: Path, taxonomy: Taxonomy, strict: bool, tell: Tell) -> Feed:
    """Return a product feed. `tell` is told of the rows that are left out."""
    feed = read_feed(file, taxonomy, strict=strict)
    tell([Problem(f"{file}:{row.line}", f"{row.product_id} {row.reason}".strip()) for row in feed.failed])
    return feed


def read_corrections(sources: Sources, taxonomy: Taxonomy) -> list[Suggestion]:
    return [one for name in sources.corrections for one in in_taxonomy(read_suggestions(name), taxonomy)]


def street_photos(sources: Sources, taxonomy: Taxonomy, tell: Tell) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Return the street photos to train on, and those of dev, their labels corrected."""
    suggestions = read_corrections(sources, taxonomy)
    parts: list[list[LabelledImage]] = [[], []]
    for part, split in zip(parts, ("train", "dev"), strict=True):
        read = [read_voc(sources.voc, split, taxonomy, sources.strict)] if sources.voc else []
        read += [read_ccp(sources.ccp, split, taxonomy, sources.strict)] if sources.ccp else []
        for labelled in read:
            tell(labelled.problems)
            part += apply_suggestions(labelled, suggestions).images
    return parts[0], parts[1]
