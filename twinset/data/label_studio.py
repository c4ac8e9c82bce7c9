"""Label Studio's JSON, read and written: tasks with a detector's boxes to start from, and what people made of them.

Boxes there are x, y, width, height in percent of the photo (labelstud.io/guide/export, "rectanglelabels").
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

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

    A task's image is `prefix` and the file's path from `root`: with Label Studio's local storage
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
        tasks.append({"data": {"image": prefix + path.relative_to(root).as_posix()}, "predictions": predictions})
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

    The photo is looked for by the end of its task's image path below `images_root`. `categories` are those
    the labellers were asked for. Raises DataError if the file is no such export.
    """
    try:
        tasks = json.loads(file.read_text(encoding="utf-8"))
        problems = Problems(strict, [])
        images = [_image(task, images_root, file, taxonomy, problems) for task in tasks]
    except OSError as exc:
        raise DataError(f"{file}: expected a Label Studio JSON export, found: {exc.strerror}; check the path") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise DataError(f"{file}: expected a Label Studio JSON export, found {exc!r}; export it as JSON") from exc
    return Labelled([image for image in images if image], in_taxonomy_order(set(categories), taxonomy), problems.found)


def _image(
    task: dict[str, Any], root: Path, file: Path, taxonomy: Taxonomy, problems: Problems
) -> LabelledImage | None:
    where = f"{file}: task {task.get('id', '?')}"
    done = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
    if not done:
        return None
    address = unquote(str(task["data"]["image"]))
    path = _find(root, address.partition("?d=")[2] or address)
    if path is None:
        problems.add(where, f"expected {address} below {root}, found no such file; photo left out")
        return None
    boxes, labels = [], []
    for result in done[-1]["result"]:
        if result.get("type") != "rectanglelabels":
            continue
        value, width, height = result["value"], result["original_width"] / 100, result["original_height"] / 100
        (label,) = value["rectanglelabels"]
        if label not in taxonomy.names:
            problems.add(where, f"unknown category {label!r}; box left out")
            continue
        x, y = value["x"] * width, value["y"] * height
        boxes.append([x, y, x + value["width"] * width, y + value["height"] * height])
        labels.append(label)
    return make_labelled_image(path, boxes, labels, [False] * len(boxes), "coco", where, problems)


def _find(root: Path, address: str) -> Path | None:
    """Return the file below root whose path is the longest end of the address."""
    parts = [part for part in address.split("/") if part not in ("", ".", "..")]
    ends = (root.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((path for path in ends if path.is_file()), None)
