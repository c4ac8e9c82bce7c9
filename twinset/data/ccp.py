"""Read Clothing Co-Parsing: photos with a mask of labels per pixel, from which the boxes are made.

The rule that turns masks into boxes is the one all published figures use (CONTRACT, Ground truth).
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.data.coco import read_coco
from twinset.data.labelled import (
    Labelled,
    LabelledImage,
    Problems,
    in_taxonomy_order,
    make_labelled_image,
    read_split,
    split_parts,
)
from twinset.errors import DataError, MissingExtra
from twinset.taxonomy import Source, Taxonomy, default_taxonomy

SOURCE = "street-ccp"
MIN_PIXELS = 80  # fewer make no box
STRAY_SHARE = 0.1  # connected parts below this share of an item's pixels are strays
BOX_PER_LABEL = frozenset({"top", "outerwear"})  # layers: a shirt under a sweater is two tops
DROP_STRAYS = frozenset({"shoes", "bag", "glasses", "hat", "belt", "scarf"})

Mask = NDArray[np.uint8]
# What scipy raises for files that are missing, damaged or none of MATLAB's, beside its own MatReadError
DAMAGED = (OSError, ValueError, LookupError, TypeError, EOFError, MemoryError, NameError, RuntimeError, zlib.error)


def read_ccp(folder: Path, split: str, taxonomy: Taxonomy, strict: bool = False, corrected: bool = True) -> Labelled:
    """Return the photos of a split: train, dev, val, some joined by +, or all, boxes made from the masks.

    Where the folder holds SPLIT.coco.json, labels corrected by hand, those are read instead (unless `corrected` is
    False). Raises UsageError for an unknown split, MissingExtra without scipy.
    """
    source = taxonomy.sources[SOURCE]
    images: list[LabelledImage] = []
    problems = Problems(strict, [])
    for part in split_parts(split):
        truth = folder / f"{part}.coco.json"
        if corrected and truth.exists() and taxonomy.level != "article-type":  # they name categories
            read = read_coco(truth, folder, taxonomy, strict, SOURCE)
            images += read.images
            problems.found.extend(read.problems)
            continue
        names = read_label_names(folder)
        for unknown in [name for name in names if name not in source.labels]:
            problems.add(folder / "label_list.mat", f"unknown label {unknown!r}; its pixels are passed over")
        for photo_id in read_split(folder, part, problems):
            image = _read_photo(folder, photo_id, names, source, problems)
            if image:
                images.append(image)
    return Labelled(images, in_taxonomy_order(source.categories, taxonomy), problems.found)


def read_ccp_mask(folder: Path, photo_id: str) -> tuple[Mask, tuple[str, ...]]:
    """Return the (H, W) label ids of one photo's pixels, and the labels' names by id. Raises DataError."""
    return _read_mask(folder, photo_id), read_label_names(folder)


def read_label_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the label ids, in order. Raises DataError, and MissingExtra without scipy."""
    file = folder / "label_list.mat"
    try:
        return tuple(str(cell[0]) for cell in _load_mat(file, "label_list").ravel())
    except (TypeError, IndexError) as exc:
        raise DataError(f"{file}: expected a cell with each label's name, found others; check the file") from exc


def mask_boxes(mask: Mask, names: tuple[str, ...], source: Source) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Return (category, box) of every item in a mask of label ids, boxes from the first to past the last pixel.

    What is one item follows the categories Twinset ships, whatever the source calls them: merged ones keep their boxes.
    """
    shipped = default_taxonomy().sources[SOURCE].labels
    groups: dict[tuple[str, str, str], list[int]] = {}
    for label_id in np.unique(mask).tolist():
        name = names[label_id] if label_id < len(names) else ""
        category, kind = source.labels.get(name), shipped.get(name) or ""
        if category:
            groups.setdefault((category, kind, name if kind in BOX_PER_LABEL else ""), []).append(label_id)
    found = []
    for (category, kind, _), label_ids in groups.items():
        chosen = np.zeros(256, bool)
        chosen[label_ids] = True
        box = _pixels_box(chosen[mask], kind in DROP_STRAYS)
        if box:
            found.append((category, box))
    return found


def _pixels_box(pixels: NDArray[np.bool_], drop_strays: bool) -> tuple[int, int, int, int] | None:
    if np.count_nonzero(pixels) < MIN_PIXELS:
        return None
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    x, y = int(columns[0]), int(rows[0])
    if drop_strays:
        pixels = _without_strays(pixels[y : rows[-1] + 1, x : columns[-1] + 1])
        rows, columns = np.flatnonzero(pixels.any(1)) + y, np.flatnonzero(pixels.any(0)) + x
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _without_strays(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    parts, _ = ndimage.label(pixels)
    sizes = np.bincount(parts.ravel())
    keep = sizes >= STRAY_SHARE * sizes[1:].sum()
    keep[0] = False
    kept: NDArray[np.bool_] = keep[parts]
    return kept if kept.any() else pixels  # all parts small: nothing stands out as the item


def _read_photo(
    folder: Path, photo_id: str, names: tuple[str, ...], source: Source, problems: Problems
) -> LabelledImage | None:
    where = _mask_file(folder, photo_id)
    try:
        mask = _read_mask(folder, photo_id)
    except DataError as exc:
        problems.add(where, f"{exc}; photo left out")
        return None
    if mask.max(initial=0) >= len(names):
        problems.add(where, f"expected label ids below {len(names)}, found {mask.max()}; those pixels are passed over")
    items = mask_boxes(mask, names, source)
    boxes, labels = [box for _, box in items], [category for category, _ in items]
    photo = folder / "photos" / f"{photo_id}.jpg"
    size_wh = mask.shape[1], mask.shape[0]
    return make_labelled_image(photo, boxes, labels, [False] * len(boxes), source.name, where, problems, size_wh)


def _mask_file(folder: Path, photo_id: str) -> Path:
    return folder / "annotations" / "pixel-level" / f"{photo_id}.mat"


def _read_mask(folder: Path, photo_id: str) -> Mask:
    file = _mask_file(folder, photo_id)
    mask = _load_mat(file, "groundtruth")
    if mask.ndim != 2 or mask.dtype.kind not in "iu" or mask.min(initial=0) < 0 or mask.max(initial=0) > 255:
        raise DataError(f"{file}: expected (H, W) label ids, found {mask.shape} {mask.dtype}; check the file")
    return mask.astype(np.uint8)


def _load_mat(file: Path, variable: str) -> NDArray[Any]:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as exc:
        raise MissingExtra("scipy", "train") from exc
    try:
        value: NDArray[Any] = loadmat(file, variable_names=[variable])[variable]
    except (*DAMAGED, MatReadError) as exc:
        raise DataError(f"{file}: expected a MATLAB file with {variable}, found: {exc}; check the file") from exc
    return value
