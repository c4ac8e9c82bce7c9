"""Read photos sorted into a folder per class: FOLDER/SPLIT/CLASS/photo.jpg. One label a photo, no boxes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from twinset.data.labelled import Problem, Problems, in_taxonomy_order, is_dev, split_parts
from twinset.errors import DataError, UsageError
from twinset.images import read_size, walk_images
from twinset.taxonomy import Taxonomy

SOURCE = "cc0-items"


class ClassedImage(NamedTuple):
    """One photo and its class."""

    path: Path
    category: str | None  # None: the class belongs to no category
    label: str  # the class as the folder is called


@dataclass(frozen=True, slots=True)
class Classed:
    """Photos with a class each, in sorted order; iterates over them."""

    images: list[ClassedImage]
    categories: tuple[str, ...]  # of the classes met, in the taxonomy's order
    problems: list[Problem]

    def __iter__(self) -> Iterator[ClassedImage]:
        return iter(self.images)

    def __len__(self) -> int:
        return len(self.images)


def read_folders(
    folder: Path, split: str, taxonomy: Taxonomy, strict: bool = False, source: str | None = SOURCE
) -> Classed:
    """Return the photos of a split: a folder of that name, some joined by +, or all; "val" finds "validation".

    "dev" is every tenth photo of the train folder by a hash of its name, "train" the other nine. A class is looked up
    in the source's label map, then among the taxonomy's types. Raises UsageError for an unknown split.
    """
    labels = taxonomy.sources[source].labels if source else {}
    images: list[ClassedImage] = []
    problems = Problems(strict, [])
    for part in split_parts(split):
        for class_folder in _class_folders(folder, part):
            label = class_folder.name
            try:
                category = labels[label] if label in labels else taxonomy.category_of(label)
            except KeyError:
                problems.add(class_folder, f"unknown label {label!r}; photos left out, name it in the taxonomy")
                continue
            for _, path in walk_images([class_folder]):
                if part in ("train", "dev") and is_dev(path.stem) != (part == "dev"):
                    continue
                try:
                    read_size(path)
                except DataError as exc:
                    problems.add(path, f"{exc}; photo left out")
                    continue
                images.append(ClassedImage(path, category, label))
    met = {image.category for image in images if image.category}
    return Classed(images, in_taxonomy_order(met, taxonomy), problems.found)


def _class_folders(folder: Path, part: str) -> list[Path]:
    name = {"dev": "train", "val": "validation"}.get(part, part)
    root = folder / (name if (folder / name).is_dir() else part)
    if not root.is_dir():
        found = ", ".join(sorted(entry.name for entry in folder.glob("*") if entry.is_dir())) or "no folders"
        raise UsageError(f"split: expected a folder of {folder}, found {part!r}; it has {found}", field="split")
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
