"""Labelled photos as every reader returns them, and what readers share: checks, problem lists and splits.

A reader goes on past what is wrong and lists it; with `strict` it stops at the first problem instead.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twinset.boxes import Boxes, box_area, clip_boxes
from twinset.errors import DataError, UsageError
from twinset.images import read_size
from twinset.taxonomy import Taxonomy

SLACK = 1.0  # pixels a box may stick out of its image unreported: formats differ on where the last pixel ends


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """One photo and the items drawn in it."""

    path: Path
    width: int  # after EXIF rotation
    height: int
    boxes: Boxes  # (N, 4) xyxy pixels, inside the image, with area
    labels: tuple[str, ...]  # category of each box
    crowd: NDArray[np.bool_]  # (N,) True: undecidable, neither right nor wrong to find
    source: str  # the taxonomy's name of the data set
    file_name: str = ""  # what COCO calls the photo: its folders may hold files of one name

    def __post_init__(self) -> None:
        n = len(self.boxes)
        if self.boxes.shape != (n, 4) or len(self.labels) != n or self.crowd.shape != (n,):
            raise ValueError(
                f"{self.path}: expected boxes (N, 4), N labels, crowd (N,); "
                f"found {self.boxes.shape}, {len(self.labels)}, {self.crowd.shape}"
            )

    @property
    def name(self) -> str:
        """The photo's name within its data set."""
        return self.file_name or self.path.name


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a data set, and where."""

    where: str  # file, or file:line
    message: str


@dataclass(frozen=True, slots=True)
class Labelled:
    """A set of labelled photos. A category that is not among `categories` is unlabelled: its absence says nothing."""

    images: list[LabelledImage]
    categories: tuple[str, ...]  # in the taxonomy's order
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class Problems:
    """The problems a reader met; under `strict` the first one raises DataError."""

    strict: bool
    found: list[Problem]

    def add(self, where: object, message: str) -> None:
        if self.strict:
            raise DataError(f"{where}: {message}")
        self.found.append(Problem(str(where), message))


def make_labelled_image(
    path: Path,
    boxes: Sequence[Sequence[float]],
    labels: Sequence[str],
    crowd: Sequence[bool],
    source: str,
    where: object,
    problems: Problems,
    said_size_wh: tuple[int, int] | None = None,
    file_name: str = "",
) -> LabelledImage | None:
    """Return the photo with its boxes cut to it, or None where it can't be read or has not the size its labels say.

    Boxes that stick out are cut, boxes without area inside the photo dropped; all of it is added to `problems`.
    """
    try:
        width, height = read_size(path)
    except DataError as exc:
        problems.add(where, str(exc))
        return None
    if said_size_wh and said_size_wh != (width, height):
        said = f"{said_size_wh[0]} x {said_size_wh[1]}"
        problems.add(
            where, f"expected a photo of {said} as labelled, {path.name} is {width} x {height}; photo left out"
        )
        return None
    with np.errstate(over="ignore"):  # what float32 can't hold sticks out
        raw = np.array(boxes, np.float32).reshape(-1, 4)
    cut = clip_boxes(raw, width, height)
    keep = box_area(cut) > 0
    for box, inside, label, ok in zip(raw, cut, labels, keep, strict=True):
        found = "[" + ", ".join(f"{side:g}" for side in box) + "]"
        if not ok:
            problems.add(where, f"{label} box {found} has no area inside the {width} x {height} photo; box left out")
        elif np.abs(box - inside).max() > SLACK:
            problems.add(where, f"{label} box {found} sticks out of the {width} x {height} photo; box cut")
    kept_labels = tuple(label for label, ok in zip(labels, keep, strict=True) if ok)
    return LabelledImage(path, width, height, cut[keep], kept_labels, np.array(crowd, bool)[keep], source, file_name)


def in_taxonomy_order(categories: frozenset[str] | set[str], taxonomy: Taxonomy) -> tuple[str, ...]:
    return tuple(name for name in taxonomy.names if name in categories)


def split_parts(split: str) -> list[str]:
    """Return the parts of a split: "train+dev" is two, "all" is train, dev and val."""
    return ["train", "dev", "val"] if split == "all" else split.split("+")


def read_split(lists: Path, part: str, problems: Problems) -> list[str]:
    """Return the photo names of one part of a split, from NAME.txt files in the folder `lists`, each once.

    "dev" is every tenth name of train.txt by a hash of the name, "train" the other nine. Raises UsageError for a
    part that has no file, DataError where there are no such files at all.
    """
    file = lists / ("train.txt" if part == "dev" else f"{part}.txt")
    try:
        names = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as exc:
        others = sorted(other.stem for other in lists.glob("*.txt"))
        if not others:
            raise DataError(
                f"{lists}: expected train.txt and val.txt with photo names, found none; check the folder"
            ) from exc
        found = ", ".join([*others, *(["dev"] if "train" in others else []), "all"])
        raise UsageError(f"split: expected {found} or some joined by +, found {part!r}", field="split") from exc
    if part in ("train", "dev"):
        names = [name for name in names if is_dev(name) == (part == "dev")]
    counts = Counter(names)
    for name in (name for name, count in counts.items() if count > 1):
        problems.add(file, f"duplicate photo {name!r}; read once")
    return list(counts)


def is_dev(name: str) -> bool:
    """Return whether a training photo belongs to `dev`, which settings are chosen on."""
    return int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(), 16) % 10 == 0
