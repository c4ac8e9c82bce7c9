"""Find items in photos: preprocessing, network, postprocessing. Training, evaluation and serving share this file."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from twinset.boxes import Boxes, box_area, clip_boxes, nms_per_label
from twinset.detect import closer
from twinset.detect.fuse import fuse, mirror
from twinset.errors import ModelError
from twinset.images import crop
from twinset.runtime import open_session
from twinset.types import Detections, Image

STRIDES = (8, 16, 32)
SIDE_STEP = 32  # sides are multiples of it
MAX_CANDIDATES = 1000  # best scores that go into NMS
MAX_ITEMS = 100
BATCH = 8  # through the network at a time; more take memory and no less time
MAX_ASPECT = 4.0  # of the network's input; a longer strip is squeezed
FAINT = 1e-3  # what a single view has to score to count among several
EDGE = 0.015  # of the picture's sides: a box that comes so near to one is cut off there

# (B, H, W, 3) uint8 -> distances (B, P, 4) from each point to its box's sides, input pixels; scores (B, P, C).
# A network with A anchors at a point gives P * A rows, those of a point one after the other.
Run = Callable[[NDArray[np.uint8]], Sequence[NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class View:
    """One of the ways a photo is looked at."""

    area: int  # pixels it is scaled to
    mirrored: bool = False
    most: float = 1.0  # share of the photo up to which an item is looked for


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """What stands beside the weights in detector.json."""

    categories: tuple[str, ...]
    input_area: int = 384 * 256  # pixels the photo is scaled to, whatever its shape
    min_score: float = 0.3  # operating threshold: best F1 on dev
    iou_threshold: float = 0.6  # of NMS, within a category
    # A category's scores are raised to its exponent, so that `min_score` is the best threshold for each: rare and small
    # things are found with lower scores. Empty: as they are.
    exponents: tuple[float, ...] = ()
    # Before that, a score's log odds change by `size_power` times the logarithm of the box's share of the picture, and
    # fall by `cut_cost` for each side at which the picture cuts the item off: what fills a picture is what it is of.
    size_power: float = 0.0
    cut_cost: float = 0.0
    level: str = "category"  # of the taxonomy, that the categories are of: see levels.py
    taxonomy: str = ""  # name of the taxonomy's file beside this one; empty: the one Twinset ships
    views: tuple[View, ...] = ()  # whose detections are fused (fuse.py); empty: one of `input_area`

    def __post_init__(self) -> None:
        if self.exponents and len(self.exponents) != len(self.categories):
            raise ModelError(
                f"expected {len(self.categories)} exponents, one a category, found {len(self.exponents)}; "
                f"install Twinset again"
            )
        if self.size_power < 0 or self.cut_cost < 0:
            raise ModelError(
                f"expected size_power and cut_cost of 0 or more, found {self.size_power} and {self.cut_cost}; "
                f"install Twinset again"
            )
        if self.views and max(view.most for view in self.views) < 1:
            raise ModelError("expected a view for items of any size, found none; install Twinset again")

    def save(self, file: Path, **facts: object) -> None:
        file.write_text(json.dumps({**asdict(self), **facts}, indent=2) + "\n", encoding="utf-8")


def load_config(file: Path) -> DetectorConfig:
    """Return the settings in a detector.json. Raises ModelError."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return DetectorConfig(
            tuple(data["categories"]),
            int(data["input_area"]),
            float(data["min_score"]),
            float(data["iou_threshold"]),
            tuple(float(exponent) for exponent in data.get("exponents", ())),
            float(data.get("size_power", 0)),
            float(data.get("cut_cost", 0)),
            str(data.get("level", "category")),
            str(data.get("taxonomy", "")),
            tuple(
                View(int(view["area"]), bool(view["mirrored"]), float(view["most"])) for view in data.get("views", ())
            ),
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{file}: expected a detector's settings, found: {exc!r}; install Twinset again") from exc


class Detector:
    """Finds items with a network that is given as a function, so that training can evaluate itself."""

    def __init__(self, run: Run, config: DetectorConfig) -> None:
        self.run, self.config = run, config
        self.categories, self.min_score = config.categories, config.min_score

    def detect(self, image: Image, min_score: float | None = None) -> Detections:
        """Return the items in an image, best first; without `min_score` those above the operating threshold."""
        return self.detect_batch([image], min_score)[0]

    def detect_batch(self, images: Sequence[Image], min_score: float | None = None) -> list[Detections]:
        """Return `detect` of each image; those that scale to the same size go through the network together.

        Where all that an image shows is in a small part of it, that part is looked at again by itself.
        """
        threshold = self.min_score if min_score is None else min_score
        lowest = min(threshold, closer.SCORE)
        found = self._found(images, lowest)
        parts = {i: part for i, image in enumerate(images) if (part := closer.subject(found[i], image))}
        again = self._found([crop(images[i], part) for i, part in parts.items()], lowest) if parts else []
        for (i, part), one in zip(parts.items(), again, strict=True):
            found[i] = closer.put_back(one, part, found[i], self.config.iou_threshold, MAX_ITEMS)
        return [one.above(threshold) for one in found]

    def _found(self, images: Sequence[Image], threshold: float) -> list[Detections]:
        """Return what all views of each image show."""
        if not self.config.views:
            return self._look(images, threshold, self.config)
        plain = replace(self.config, exponents=())  # what is fused is weighed as one view's scores are
        views = []
        for view in self.config.views:
            turned = [image[:, ::-1] if view.mirrored else image for image in images]
            found = self._look(turned, FAINT, replace(plain, input_area=view.area))
            widths = (image.shape[1] for image in images)
            views.append([mirror(d, w) if view.mirrored else d for d, w in zip(found, widths, strict=True)])
        answers = []
        for image, *seen in zip(images, *views, strict=True):
            limits = [view.most * image.shape[0] * image.shape[1] for view in self.config.views]
            answers.append(self._above(fuse(seen, self.config.iou_threshold, limits), threshold))
        return answers

    def _above(self, found: Detections, threshold: float) -> Detections:
        """Return fused detections with their categories' exponents, the best of those that reach the threshold."""
        exponents = np.array(self.config.exponents or [1.0] * len(self.categories), np.float32)
        scores = (found.scores ** exponents[found.labels]).astype(np.float32)
        best = np.argsort(-scores, kind="stable")[:MAX_ITEMS]
        best = best[scores[best] >= max(threshold, 1e-9)]
        return Detections(found.boxes[best], scores[best], found.labels[best])

    def _look(self, images: Sequence[Image], threshold: float, config: DetectorConfig) -> list[Detections]:
        """Return what one view of each image shows."""
        sizes = [input_size_wh(image.shape[1], image.shape[0], config.input_area) for image in images]
        found: dict[int, Detections] = {}
        alike = ([i for i, size in enumerate(sizes) if size == chosen] for chosen in dict.fromkeys(sizes))
        for chosen in (group[start : start + BATCH] for group in alike for start in range(0, len(group), BATCH)):
            size_wh = sizes[chosen[0]]
            distances, scores = self.run(np.stack([resize(images[i], size_wh) for i in chosen]))
            for row, i in enumerate(chosen):
                image_wh = images[i].shape[1], images[i].shape[0]
                found[i] = postprocess(distances[row], scores[row], size_wh, image_wh, threshold, config)
        return [found[i] for i in range(len(images))]


def load_detector(folder: Path, threads: int | None = None, runtime: str | None = None) -> Detector:
    """Return the detector in a folder of weights, on the runtime that `open_session` chooses. Raises ModelError."""
    session = open_session(folder / "detector.onnx", threads, lower_precision=True, runtime=runtime)
    return Detector(session, load_config(folder / "detector.json"))


def input_size_wh(width: int, height: int, area: int) -> tuple[int, int]:
    """Return the sides, multiples of 32, nearest to the image's aspect ratio at the given area."""
    aspect = min(max(width / height, 1 / MAX_ASPECT), MAX_ASPECT)
    ideal_w, ideal_h = (area * aspect) ** 0.5, (area / aspect) ** 0.5
    return (
        max(SIDE_STEP, round(ideal_w / SIDE_STEP) * SIDE_STEP),
        max(SIDE_STEP, round(ideal_h / SIDE_STEP) * SIDE_STEP),
    )


def resize(image: Image, size_wh: tuple[int, int]) -> Image:
    """Return the image stretched to a size, smoothed as it shrinks."""
    if (image.shape[1], image.shape[0]) == size_wh:
        return image
    scaled: Image = np.asarray(Pillow.fromarray(image).resize(size_wh, Pillow.Resampling.BILINEAR, reducing_gap=2.0))
    return scaled


@lru_cache(maxsize=64)
def points_of(size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Return the (P, 2) x y centres of the network's points, level by level, row by row."""
    levels = []
    for stride in STRIDES:
        y, x = np.meshgrid(np.arange(size_wh[1] // stride), np.arange(size_wh[0] // stride), indexing="ij")
        levels.append((np.stack([x.ravel(), y.ravel()], 1) + 0.5) * stride)
    return np.concatenate(levels).astype(np.float32)


def postprocess(
    distances: NDArray[np.float32],
    scores: NDArray[np.float32],
    size_wh: tuple[int, int],
    image_wh: tuple[int, int],
    min_score: float,
    config: DetectorConfig,
) -> Detections:
    """Return one image's detections from the network's outputs: threshold, NMS within each category, the best 100.

    distances (P, 4) left, top, right, bottom in input pixels; scores (P, C) as the network gives them. P may be a
    multiple of the points' number: so many boxes a point.
    """
    exponents = np.array(config.exponents or [1.0] * len(config.categories), np.float32)
    lowest = np.maximum(
        max(min_score, 1e-9) ** (1 / exponents), 1e-3
    )  # of what the network gives: weighing only lowers
    point, label = np.nonzero(scores >= lowest.astype(np.float32))
    score = scores[point, label]
    if len(score) > MAX_CANDIDATES:
        best = np.argsort(-(score ** exponents[label]), kind="stable")[:MAX_CANDIDATES]
        point, label, score = point[best], label[best], score[best]
    points = points_of(size_wh)
    centres = points[point // (len(scores) // len(points))]
    sides = distances[point]
    scale = np.array([image_wh[0] / size_wh[0], image_wh[1] / size_wh[1]] * 2, np.float32)
    boxes = np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], 1) * scale
    boxes = clip_boxes(boxes, image_wh[0], image_wh[1])
    score = weigh_scores(score, boxes, image_wh, config) ** exponents[label]
    kept = (box_area(boxes) > 0) & (score >= max(min_score, 1e-9))
    boxes, score, label = boxes[kept], score[kept].astype(np.float32), label[kept].astype(np.int64)
    keep = nms_per_label(boxes, score, label, config.iou_threshold)[:MAX_ITEMS]
    return Detections(boxes[keep], score[keep], label[keep])


def weigh_scores(
    scores: NDArray[np.float32], boxes: Boxes, image_wh: tuple[int, int], config: DetectorConfig
) -> NDArray[np.float32]:
    """Return the (N,) scores of boxes (N, 4) in an image, lower for small ones and for those its edges cut off."""
    if not config.size_power and not config.cut_cost:
        return scores
    width, height = image_wh
    share = np.clip(box_area(boxes) / (width * height), 1e-6, 1)
    slack = np.array([EDGE * width, EDGE * height])
    cut = (boxes[:, :2] < slack).sum(1) + (boxes[:, 2:] > np.array(image_wh) - slack).sum(1)
    odds = scores / np.maximum(1 - scores, 1e-6) * share**config.size_power * np.exp(-config.cut_cost * cut)
    weighed: NDArray[np.float32] = (odds / (1 + odds)).astype(np.float32)
    return weighed
