"""Outfits: what one person wears in a photo, as category and base colour, measured as products are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from twinset.data.ccp import read_ccp
from twinset.data.labelled import LabelledImage, Problem
from twinset.data.voc import read_voc
from twinset.errors import DataError
from twinset.images import read_image
from twinset.models import Models
from twinset.taxonomy import Taxonomy
from twinset.types import Colour

Worn = tuple[str, str]  # category, base colour
BATCH = 16  # photos described together


@dataclass(frozen=True, slots=True)
class Outfit:
    """The items of one photo, two or more."""

    source: str  # the taxonomy's name of the data set
    worn: tuple[Worn, ...]


def read_street(
    voc: Path | None, ccp: Path | None, split: str, taxonomy: Taxonomy, strict: bool = False
) -> tuple[list[LabelledImage], list[Problem]]:
    """Return the street photos of a split, and what is wrong with them. Raises what the readers raise."""
    sets = [read_voc(voc, split, taxonomy, strict)] if voc else []
    sets += [read_ccp(ccp, split, taxonomy, strict)] if ccp else []
    images = [image for labelled in sets for image in labelled.images]
    return images, [problem for labelled in sets for problem in labelled.problems]


def outfits_of(
    images: Sequence[LabelledImage], models: Models, advance: Callable[[int], None] = lambda count: None
) -> Iterator[Outfit]:
    """Yield what is worn in labelled photos, the undecidable left out; photos of fewer than two items give nothing.

    `advance` is told of photos that are done. A photo that can't be read gives nothing.
    """
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        shown = []
        for image in part:
            kept = ~image.crowd
            if kept.sum() < 2:
                continue
            try:
                shown.append((image, kept, read_image(image.path)))
            except DataError:
                continue
        described = models.describe_batch(
            [pixels for _, _, pixels in shown], [image.boxes[kept] for image, kept, _ in shown]
        )
        for (image, kept, _), items in zip(shown, described, strict=True):
            labels = [label for label, ok in zip(image.labels, kept, strict=True) if ok]
            pairs = [
                (label, base_colour(item.colours)) for label, item in zip(labels, items, strict=True) if item.colours
            ]
            if len(pairs) >= 2:
                yield Outfit(image.source, tuple(pairs))
        advance(len(part))


def base_colour(colours: Sequence[Colour]) -> str:
    """Return the first of an item's colours, which people would call it by; "" for an item without."""
    return colours[0].name if colours else ""
