"""Read and write COCO JSON, the project's own format of labelled photos."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twinset.boxes import xyxy_to_xywh
from twinset.data.labelled import Labelled, LabelledImage, Problems, in_taxonomy_order, make_labelled_image
from twinset.errors import DataError
from twinset.taxonomy import Taxonomy


def read_coco(
    file: Path, images_root: Path, taxonomy: Taxonomy, strict: bool = False, source: str = "coco"
) -> Labelled:
    """Return the photos of a COCO file; `file_name`s are relative to `images_root`.

    Category names are ours or any word the taxonomy knows as a type; a known word of no category is passed over.
    The categories the file declares are those it labels. Raises DataError if the file is not COCO.
    """
    data = _load(file)
    problems = Problems(strict, [])
    try:
        categories = _once(data["categories"], "id", "category", file, problems)
        names = {entry["id"]: _category(str(entry["name"]), file, taxonomy, problems) for entry in categories}
        annotations = defaultdict(list)
        for annotation in _once(data["annotations"], "id", "annotation", file, problems):
            annotations[annotation["image_id"]].append(annotation)
        images = []
        entries = _once(data["images"], "id", "image", file, problems)
        for entry in _once(entries, "file_name", "image", file, problems):
            image = _image(entry, annotations.get(entry["id"], []), names, images_root, source, file, problems)
            if image:
                images.append(image)
        listed = {entry["id"] for entry in entries}
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise DataError(
            f"{file}: expected COCO images, annotations and categories, found {exc!r}; check the file"
        ) from exc
    for image_id in (image_id for image_id in annotations if image_id not in listed):
        problems.add(file, f"annotations of the image id {image_id!r}, which the file does not list; left out")
    return Labelled(images, in_taxonomy_order({name for name in names.values() if name}, taxonomy), problems.found)


def write_coco(labelled: Labelled, file: Path, images_root: Path | None = None, description: str = "") -> None:
    """Write labelled photos as COCO JSON, file names relative to `images_root` (by default the file's folder)."""
    root = (images_root or file.parent).resolve()
    ids = {name: i for i, name in enumerate(labelled.categories, 1)}
    images, annotations = [], list[dict[str, Any]]()
    for image_id, image in enumerate(labelled.images, 1):
        path = image.path.resolve()
        name = path.relative_to(root) if path.is_relative_to(root) else path
        images.append({"id": image_id, "file_name": str(name), "width": image.width, "height": image.height})
        for box, label, crowd in zip(xyxy_to_xywh(image.boxes).tolist(), image.labels, image.crowd, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": ids[label],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(crowd),
                }
            )
    categories = [{"id": i, "name": name} for name, i in ids.items()]
    data = {
        "info": {"description": description},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    file.write_text(json.dumps(data), encoding="utf-8")


def _load(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise DataError(f"{file}: expected a COCO JSON file, found: {exc.strerror}; check the path") from exc
    except (ValueError, RecursionError) as exc:
        raise DataError(f"{file}: expected a COCO JSON file, found {exc}; check the file") from exc
    if not isinstance(data, dict):
        raise DataError(f"{file}: expected a COCO JSON object, found a {type(data).__name__}; check the file")
    return data


def _once(
    entries: Iterable[dict[str, Any]], key: str, kind: str, file: Path, problems: Problems
) -> list[dict[str, Any]]:
    """Return the entries without those that have the `key` of one before; annotations needn't have an id."""
    kept, seen = [], set[Any]()
    for entry in entries:
        value = entry.get(key)
        if value is not None and value in seen:
            problems.add(file, f"duplicate {kind} {key} {value!r}; the later {kind} left out")
            continue
        seen.add(value)
        kept.append(entry)
    return kept


def _category(name: str, file: Path, taxonomy: Taxonomy, problems: Problems) -> str | None:
    if name in taxonomy.names:
        return name
    try:
        return taxonomy.category_of(name)
    except KeyError:
        problems.add(file, f"unknown label {name!r}; its boxes are left out, name it in the taxonomy to read them")
        return None


def _image(
    entry: dict[str, Any],
    annotations: list[dict[str, Any]],
    names: dict[Any, str | None],
    images_root: Path,
    source: str,
    file: Path,
    problems: Problems,
) -> LabelledImage | None:
    where = f"{file}: {entry['file_name']}"
    boxes, labels, crowd = [], [], []
    for annotation in annotations:
        if annotation["category_id"] not in names:
            problems.add(where, f"unknown category id {annotation['category_id']!r}; box left out")
            continue
        box, label = _xyxy(annotation["bbox"]), names[annotation["category_id"]]
        if box is None:
            problems.add(where, f"expected a bbox of 4 numbers, found {annotation['bbox']!r:.80}; box left out")
        elif label:
            boxes.append(box)
            labels.append(label)
            crowd.append(bool(annotation.get("iscrowd", 0)))
    size_wh = (entry["width"], entry["height"]) if entry.get("width") and entry.get("height") else None
    photo, name = images_root / entry["file_name"], entry["file_name"] if source == "coco" else ""
    return make_labelled_image(photo, boxes, labels, crowd, source, where, problems, size_wh, name)


def _xyxy(bbox: Any) -> list[float] | None:
    """Return the box of a bbox, None where that is not four finite numbers."""
    try:
        x, y, width, height = map(float, bbox)
    except (TypeError, ValueError, OverflowError):
        return None
    box = [x, y, x + width, y + height]
    return box if all(map(math.isfinite, box)) else None
