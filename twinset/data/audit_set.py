"""What is wrong with a set of labelled photos as a whole: rare categories, odd boxes, copies, doubtful photos.

What is wrong with single boxes by a detector's eye is audit.py's.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from twinset.data.labelled import LabelledImage
from twinset.data.suggestions import Suggestion
from twinset.errors import MissingExtra
from twinset.images import try_image
from twinset.types import Detections

ALIKE_BITS = 6  # of the 64 of two photos' hashes that may differ: re-encoded, rescaled or slightly cropped
WORST = 20  # photos listed
CONFUSED_FROM = 0.3  # suspicion from which a renaming counts
NEARLY_ALL = 0.9  # of a photo: a box of that much is of the photo, not of an item in it
TINY = 6.0  # pixels of the shorter side, and
THIN = 12.0  # times that the longer one: boxes that no garment fills


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two photos that look the same, and the parts of the split they are in."""

    first: str
    second: str
    parts: tuple[str, str]
    bits: int  # of their hashes that differ

    @property
    def across(self) -> bool:
        """Whether one teaches what the other is judged by."""
        return self.parts[0] != self.parts[1]


def find_duplicates(parts: Mapping[str, Sequence[Path]]) -> list[Duplicate]:
    """Return pairs of photos that look the same, those across parts of the split first, then the likest.

    By perceptual hash: the signs of the lowest frequencies (ImageHash's phash). Photos that can't be read are left
    out. Raises MissingExtra.
    """
    hashed = [(part, path, _hash(path)) for part, paths in parts.items() for path in paths]
    files = [(part, path) for part, path, one in hashed if one is not None]
    hashes = np.array([one for _, _, one in hashed if one is not None], bool).reshape(-1, 64)
    found = []
    for i, one in enumerate(hashes):
        bits = (hashes[i + 1 :] != one).sum(1)
        for j in np.flatnonzero(bits <= ALIKE_BITS).tolist():
            (part, path), (other_part, other) = files[i], files[i + 1 + j]
            found.append(Duplicate(path.name, other.name, (part, other_part), int(bits[j])))
    return sorted(found, key=lambda one: (not one.across, one.bits, one.first, one.second))


def count_categories(images: Sequence[LabelledImage], categories: Sequence[str]) -> list[tuple[str, int, int, float]]:
    """Return each category with its boxes, its photos and its share of all boxes, the rarest first."""
    boxes = Counter(label for image in images for label in image.labels)
    photos = Counter(label for image in images for label in set(image.labels))
    total = max(sum(boxes[name] for name in categories), 1)
    rows = [(name, boxes[name], photos[name], boxes[name] / total) for name in categories]
    return sorted(rows, key=lambda row: row[1])


def odd_boxes(images: Sequence[LabelledImage]) -> list[tuple[str, str, float, float, float, str]]:
    """Return boxes that can hardly be of an item, with photo, label, width, height, share of the photo and what is odd.

    Those that cover nearly all of it, the largest first, then tiny and thin ones, the smallest first.
    """
    large, small = [], []
    for image in images:
        for box, label in zip(image.boxes, image.labels, strict=True):
            width, height = float(box[2] - box[0]), float(box[3] - box[1])
            share = width * height / (image.width * image.height)
            row = (image.name, label, width, height, round(share, 4))
            if share >= NEARLY_ALL:
                large.append((*row, "nearly the whole photo"))
            elif min(width, height) < TINY:
                small.append((*row, "tiny"))
            elif max(width, height) > THIN * min(width, height):
                small.append((*row, "thin"))
    return sorted(large, key=lambda row: -row[4]) + sorted(small, key=lambda row: row[4])


def confusing_pairs(suggestions: Sequence[Suggestion]) -> list[tuple[str, str, int]]:
    """Return (labelled, likely right, boxes) of categories that are mixed up, the commonest first."""
    pairs = Counter(
        (one.label, one.category) for one in suggestions if one.action == "rename" and one.score >= CONFUSED_FROM
    )
    return [(label or "", category, count) for (label, category), count in pairs.most_common()]


def photo_qualities(
    images: Sequence[LabelledImage], found: Sequence[Detections], categories: Sequence[str], labelled: Sequence[str]
) -> list[float]:
    """Return each photo's label quality in [0, 1], 1 the best, by cleanlab: overlooked, badly located, swapped boxes.

    Detections' labels index into `categories`; those that aren't `labelled` say nothing. Undecidable boxes are left
    out. Tkachenko, Thyagarajan & Mueller, "ObjectLab", ICML workshop on data-centric machine learning, 2023. Raises
    MissingExtra.
    """
    try:
        from cleanlab.object_detection.rank import get_label_quality_scores
    except ImportError as exc:
        raise MissingExtra("cleanlab", "train") from exc
    labels, predictions = [], []
    for image, one in zip(images, found, strict=True):
        kept = [i for i, label in enumerate(image.labels) if label in categories and not image.crowd[i]]
        names = np.array([categories.index(image.labels[i]) for i in kept], np.int64)
        labels.append({"bboxes": image.boxes[kept].astype(float), "labels": names})
        predictions.append(_by_class(one, [name if name in labelled else "" for name in categories]))
    scores = get_label_quality_scores(labels, predictions, verbose=False)
    return [float(score) for score in scores]


def survey(
    images: Sequence[LabelledImage],
    found: Sequence[Detections],
    categories: Sequence[str],
    labelled: Sequence[str],
    suggestions: Sequence[Suggestion],
    parts: Mapping[str, Sequence[Path]],
) -> dict[str, tuple[tuple[str, ...], list[tuple[object, ...]]]]:
    """Return tables of all that, by name: a header and rows each, what is worst first."""
    qualities = photo_qualities(images, found, categories, labelled)
    worst = sorted((quality, image.name) for quality, image in zip(qualities, images, strict=True))[:WORST]
    copies = find_duplicates(parts)
    return {
        "categories": (("category", "boxes", "photos", "share"), list(count_categories(images, labelled))),
        "confused": (("labelled", "likely", "boxes"), list(confusing_pairs(suggestions))),
        "odd_boxes": (("photo", "label", "width", "height", "share", "odd"), list(odd_boxes(images))),
        "photos": (("photo", "label_quality"), [(name, quality) for quality, name in worst]),
        "duplicates": (
            ("photo", "part", "other", "other_part", "bits"),
            [(one.first, one.parts[0], one.second, one.parts[1], one.bits) for one in copies],
        ),
    }


def _by_class(found: Detections, names: Sequence[str]) -> Any:
    """Return (C,) arrays (M, 5) of boxes and scores, as cleanlab takes them; a class without a name has none."""
    rows = np.concatenate([found.boxes, found.scores[:, None]], 1)
    own = np.empty(len(names), object)
    for label, name in enumerate(names):
        own[label] = rows[(found.labels == label) & bool(name)]
    return own


def _hash(path: Path) -> Any:
    """Return a photo's (64,) bits, None for one that can't be read."""
    try:
        from imagehash import phash
    except ImportError as exc:
        raise MissingExtra("ImageHash", "train") from exc
    pixels = try_image(path)
    return None if pixels is None else phash(Pillow.fromarray(pixels)).hash.ravel()
