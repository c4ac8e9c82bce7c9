"""Label Studio's JSON, read and written: tasks with a detector's boxes to start from, and what people made of them.

Boxes there are x, y, width, height in percent of the photo (labelstud.io/guide/export, "rectanglelabels").
"""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from twinset.data.labelled import Labelled, LabelledImage, Problems, in_taxonomy_order, make_labelled_image
from twinset.errors import DataError
from twinset.taxonomy import Taxonomy
from twinset.types import Detections

FROM_NAME, TO_NAME = "label", "image"


def labelling_config(categories: Sequence[str]) -> str:
    """Return the labelling interface, to be pasted into a Label Studio project."""
    labels = "\n".join(f'    <Label value="{name}"/>' for name in categories)
    return (
        f'<View>\n  <Image name="{TO_NAME}" value="$image" zoom="true"/>\n'
        f'  <RectangleLabels name="{FROM_NAME}" toName="{TO_NAME}">\n{labels}\n  </RectangleLabels>\n</View>\n'
    )


def make_tasks(
    photos: Sequence[tuple[Path, int, int]],
    found: Sequence[Detections],
    categories: Sequence[str],
    prefix: str,
    root: Path,
    model: str,
) -> list[dict[str, Any]]:
    """Return a task for each photo (file, width, height) with what was found in it as a prediction.

    A task's image is `prefix` and the file's path from `root`, quoted as in any URL: with Label Studio's local storage
    "/data/local-files/?d=".
    """
    tasks = []
    for (path, width, height), detections in zip(photos, found, strict=True):
        rows = zip(detections.boxes.tolist(), detections.labels.tolist(), detections.scores.tolist(), strict=True)
        results = [
            {
                "id": f"{i}",
                "type": "rectanglelabels",
                "from_name": FROM_NAME,
                "to_name": TO_NAME,
                "original_width": width,
                "original_height": height,
                "score": score,
                "value": _percent(box, width, height) | {"rotation": 0, "rectanglelabels": [categories[label]]},
            }
            for i, (box, label, score) in enumerate(rows)
        ]
        score = float(detections.scores.mean()) if len(detections) else 0.0
        predictions = [{"model_version": model, "score": score, "result": results}]
        address = prefix + quote(os.fsencode(path.relative_to(root).as_posix()))  # a name may be no UTF-8
        tasks.append({"data": {"image": address}, "predictions": predictions})
    return tasks


def _percent(box: Sequence[float], width: int, height: int) -> dict[str, float]:
    x1, y1, x2, y2 = box
    return {
        "x": 100 * x1 / width,
        "y": 100 * y1 / height,
        "width": 100 * (x2 - x1) / width,
        "height": 100 * (y2 - y1) / height,
    }


def read_label_studio(
    file: Path, images_root: Path, categories: Sequence[str], taxonomy: Taxonomy, strict: bool = False
) -> Labelled:
    """Return what people labelled, from a JSON export: photos with a finished annotation, the latest of each.

    The photo is looked for by the end of its task's image path below `images_root`; of several tasks of one photo the
    first counts. A box that was turned becomes the upright one around it. `categories` are those the labellers were
    asked for. Raises DataError if the file is no such export.
    """
    try:
        tasks = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(tasks, list) and not all("annotations" in task for task in tasks):
            raise DataError(
                f"{file}: expected a Label Studio JSON export, found a task without annotations; "
                "export it as JSON, not as JSON-MIN"
            )
        problems = Problems(strict, [])
        images: dict[Path, LabelledImage] = {}
        for task in tasks:
            where = f"{file}: task {task.get('id', '?')}"
            image = _image(task, images_root, where, taxonomy, problems)
            if image and image.path in images:
                problems.add(where, f"{image.path} has been labelled in a task before; this one left out")
            elif image:
                images[image.path] = image
    except OSError as exc:
        raise DataError(f"{file}: expected a Label Studio JSON export, found: {exc.strerror}; check the path") from exc
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
        raise DataError(f"{file}: expected a Label Studio JSON export, found {exc!r}; export it as JSON") from exc
    return Labelled(list(images.values()), in_taxonomy_order(set(categories), taxonomy), problems.found)


def _image(
    task: dict[str, Any], root: Path, where: str, taxonomy: Taxonomy, problems: Problems
) -> LabelledImage | None:
    done = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
    if not done:
        return None
    address = str(task["data"]["image"])
    path = _find(root, unquote(address, errors="surrogateescape")) or _find(root, address)
    if path is None:
        problems.add(where, f"expected {address} below {root}, found no such file; photo left out")
        return None
    boxes, labels = [], []
    for number, result in enumerate(done[-1]["result"], 1):
        if result.get("type") != "rectanglelabels":
            continue
        named = result["value"]["rectanglelabels"]
        if len(named) != 1:
            problems.add(f"{where}, region {number}", f"expected one category, found {named}; box left out")
        elif named[0] not in taxonomy.names:
            problems.add(where, f"unknown category {named[0]!r}; box left out")
        else:
            boxes.append(_box(result["value"], result["original_width"] / 100, result["original_height"] / 100))
            labels.append(named[0])
    return make_labelled_image(path, boxes, labels, [False] * len(boxes), "coco", where, problems)


def _box(value: dict[str, Any], width: float, height: float) -> list[float]:
    """Return the box around a region, which may be turned: clockwise in degrees, about the corner x, y."""
    angle = math.radians(value.get("rotation") or 0)
    across, down = value["width"] * width, value["height"] * height
    xs = [0, across * math.cos(angle), -down * math.sin(angle), across * math.cos(angle) - down * math.sin(angle)]
    ys = [0, across * math.sin(angle), down * math.cos(angle), across * math.sin(angle) + down * math.cos(angle)]
    x, y = value["x"] * width, value["y"] * height
    return [x + min(xs), y + min(ys), x + max(xs), y + max(ys)]


def _find(root: Path, address: str) -> Path | None:
    """Return the file below root whose path is the longest end of the address."""
    path = address.partition("?d=")[2] or address
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    ends = (root.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((path for path in ends if path.is_file()), None)
