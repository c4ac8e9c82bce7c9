"""Turn samples into training batches: views of the photos, moved, scaled, mirrored and recoloured, on one canvas.

Shoppers send torso close-ups, items cut out, landscape photos, screenshots: so views zoom in threefold and out to a
third, some hold one item and little else, and some are mosaics of four (Bochkovskiy et al., "YOLOv4", arXiv 2004.10934,
section 3.3).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from twinset.boxes import Boxes, box_area, clip_boxes
from twinset.detect.samples import Sample
from twinset.training import ABOVE_0, AT_LEAST_0, SHARE, check_range
from twinset.types import Image


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    mosaic: float = 0.2  # share of views made of four samples
    close_up: float = 0.2  # share of the other views of street photos that is one item cut out
    margin: tuple[float, float] = (0.05, 0.5)  # around it, of the box's sides
    zoom_in: float = 0.35  # share of the rest of them that looks at one item, up to `max_zoom`
    max_zoom: float = 3.0
    zoom_out: float = 0.1  # share of what is left of them then, down to `min_zoom`
    min_zoom: float = 0.3
    scale: tuple[float, float] = (0.65, 1.35)  # of the size the photo is served at
    aspect: float = 0.1  # largest stretch of one side against the other
    min_visible: float = 0.25  # share of a box that must remain for it to stay
    colour: float = 0.25  # largest change of brightness, contrast, saturation; channels change by a third of it
    grey: float = 0.03  # share without colour

    def __post_init__(self) -> None:
        check_range(self, SHARE, "mosaic", "zoom_in", "close_up", "zoom_out", "min_visible", "aspect", "colour", "grey")
        check_range(self, ABOVE_0, "scale", "min_zoom")
        check_range(self, AT_LEAST_0, "margin")
        check_range(self, (self.scale[1], math.inf), "max_zoom")
        check_range(self, (0, self.scale[0]), "min_zoom")


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    pixels: NDArray[np.uint8]  # (B, H, W, 3)
    boxes: NDArray[np.float32]  # (B, M, 4) xyxy pixels of the canvas
    labels: NDArray[np.int64]  # (B, M)
    valid: NDArray[np.bool_]  # (B, M) False: padding
    ignored: NDArray[np.bool_]  # (B, M) True: undecidable
    labelled: NDArray[np.float32]  # (B, C)


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    pixels: Image
    boxes: Boxes
    labels: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    labelled: NDArray[np.float32]


def make_batch(
    chosen: Sequence[Sample],
    mates: Sequence[Sample],
    size_wh: tuple[int, int],
    settings: AugmentSettings,
    rng: np.random.Generator,
) -> Batch:
    """Return one view of each chosen sample; mosaics take their other three parts from `mates`."""
    views = []
    for sample in chosen:
        if rng.random() < settings.mosaic and sample.wanted < 0:
            others = [mates[int(i)] for i in rng.integers(len(mates), size=3)]
            view = _mosaic([sample, *others], size_wh, settings, rng)
        else:
            view = _view(sample, size_wh, settings, rng)
        views.append(_recoloured(view, settings, rng))
    most = max(1, *(len(view.boxes) for view in views))
    boxes = np.zeros((len(views), most, 4), np.float32)
    labels = np.zeros((len(views), most), np.int64)
    valid = np.zeros((len(views), most), bool)
    ignored = np.zeros((len(views), most), bool)
    for i, view in enumerate(views):
        n = len(view.boxes)
        boxes[i, :n], labels[i, :n], valid[i, :n], ignored[i, :n] = view.boxes, view.labels, True, view.ignored
    pixels = np.stack([view.pixels for view in views])
    return Batch(pixels, boxes, labels, valid, ignored, np.stack([view.labelled for view in views]))


def _view(sample: Sample, size_wh: tuple[int, int], settings: AugmentSettings, rng: np.random.Generator) -> _View:
    """Return the sample at a random scale and place, or closely around one of its items."""
    width, height = size_wh
    shown = np.flatnonzero(~_ignored(sample) & sample.street)
    if len(shown) and rng.random() < settings.close_up:
        side = np.sqrt(box_area(sample.boxes[shown]))  # what fills a photo anyway is what close-ups are of
        return _close_up(sample, sample.boxes[rng.choice(shown, p=side / side.sum())], size_wh, settings, rng)
    source_h, source_w = sample.pixels.shape[:2]
    served = np.sqrt(width * height / (source_w * source_h))  # canvas pixels per source pixel, as serving has it
    centre = None
    if sample.street and len(sample.boxes) and rng.random() < settings.zoom_in:
        zoom = np.exp(rng.uniform(np.log(settings.scale[1]), np.log(settings.max_zoom)))
        box = sample.boxes[rng.integers(len(sample.boxes))]
        spread = (box[2:] - box[:2]) * rng.uniform(-0.4, 0.4, 2)
        centre = (box[:2] + box[2:]) / 2 + spread
    elif sample.street and rng.random() < settings.zoom_out:
        zoom = np.exp(rng.uniform(np.log(settings.min_zoom), np.log(settings.scale[0])))
    else:
        low, high = settings.scale if sample.street else (settings.scale[0] * 0.6, settings.scale[1])
        zoom = np.exp(rng.uniform(np.log(low), np.log(high)))
    stretch = np.exp(rng.uniform(-settings.aspect, settings.aspect) / 2)
    scale = np.array([served * zoom * stretch, served * zoom / stretch])
    slack = np.array(size_wh) - scale * (source_w, source_h)  # negative where the photo is larger than the canvas
    offset = rng.uniform(0, 1, 2) * slack if centre is None else np.array(size_wh) / 2 - scale * centre
    if centre is not None:
        offset = np.clip(offset, np.minimum(slack, 0), np.maximum(slack, 0))
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = _fill(sample, rng)
    _paste(canvas, sample.pixels, scale, offset, (0, 0, width, height))
    boxes, keep = _moved(sample.boxes, scale, offset, (0, 0, width, height), settings.min_visible)
    view = _View(canvas, boxes, sample.labels[keep], _ignored(sample)[keep], sample.labelled)
    return _mirrored(view) if rng.random() < 0.5 else view


def _close_up(
    sample: Sample,
    box: NDArray[np.float32],
    size_wh: tuple[int, int],
    settings: AugmentSettings,
    rng: np.random.Generator,
) -> _View:
    """Return the part of the photo around one box (4,), between as large as fits the canvas and as serving has it."""
    source_h, source_w = sample.pixels.shape[:2]
    margin = np.tile((box[2:] - box[:2]) * rng.uniform(*settings.margin), 2) * [-1, -1, 1, 1]
    x1, y1, x2, y2 = np.clip(np.round(box + margin), 0, [source_w, source_h] * 2).astype(int).tolist()
    part = (0, 0, x2 - x1, y2 - y1)
    boxes, keep = _moved(sample.boxes, np.ones(2), -np.array([x1, y1]), part, settings.min_visible)
    wh = np.maximum(part[2:], 1)
    fits, served = (np.array(size_wh) / wh).min(), np.sqrt(np.prod(size_wh) / np.prod(wh))
    scale = np.full(2, np.exp(rng.uniform(np.log(0.8 * fits), np.log(served))))
    offset = rng.uniform(0, 1, 2) * (size_wh - scale * wh)
    canvas = np.full((size_wh[1], size_wh[0], 3), rng.integers(256), np.uint8)
    _paste(canvas, sample.pixels[y1:y2, x1:x2], scale, offset, (0, 0, *size_wh))
    moved, stay = _moved(boxes, scale, offset, (0, 0, *size_wh), settings.min_visible)
    view = _View(canvas, moved, sample.labels[keep][stay], _ignored(sample)[keep][stay], sample.labelled)
    return _mirrored(view) if rng.random() < 0.5 else view


def _mosaic(
    samples: Sequence[Sample], size_wh: tuple[int, int], settings: AugmentSettings, rng: np.random.Generator
) -> _View:
    """Return four samples around a random middle. Only what all four label counts as labelled."""
    width, height = size_wh
    middle_x, middle_y = (int(side * rng.uniform(0.35, 0.65)) for side in size_wh)
    canvas = np.full((height, width, 3), 114, np.uint8)
    boxes, labels, ignored = [], [], []
    for i, sample in enumerate(samples):
        left, right = (0, middle_x) if i % 2 == 0 else (middle_x, width)
        top, bottom = (0, middle_y) if i < 2 else (middle_y, height)
        source_h, source_w = sample.pixels.shape[:2]
        fit = max((right - left) / source_w, (bottom - top) / source_h)
        scale = np.full(2, fit * rng.uniform(0.8, 1.3))
        slack = np.array([right - left, bottom - top]) - scale * (source_w, source_h)
        offset = np.array([left, top]) + rng.uniform(0, 1, 2) * slack
        part = (left, top, right, bottom)
        canvas[top:bottom, left:right] = _fill(sample, rng)
        _paste(canvas, sample.pixels, scale, offset, part)
        moved, keep = _moved(sample.boxes, scale, offset, part, settings.min_visible)
        boxes.append(moved)
        labels.append(sample.labels[keep])
        ignored.append(_ignored(sample)[keep])
    labelled = np.min([sample.labelled for sample in samples], axis=0)
    view = _View(canvas, np.concatenate(boxes), np.concatenate(labels), np.concatenate(ignored), labelled)
    known = labelled[view.labels] > 0
    view = _View(view.pixels, view.boxes[known], view.labels[known], view.ignored[known], labelled)
    return _mirrored(view) if rng.random() < 0.5 else view


def _paste(
    canvas: Image,
    pixels: Image,
    scale: NDArray[np.float64],
    offset: NDArray[np.float64],
    part: tuple[int, int, int, int],
) -> None:
    """Draw the scaled picture with its corner at `offset` into the part x1 y1 x2 y2 of the canvas."""
    source_h, source_w = pixels.shape[:2]
    start = np.maximum(np.round(offset), part[:2]).astype(int)
    end = np.minimum(np.round(offset + scale * (source_w, source_h)), part[2:]).astype(int)
    if (end - start < 1).any():
        return
    box = np.concatenate([(start - offset) / scale, (end - offset) / scale])
    box = np.clip(box, 0, [source_w, source_h] * 2)
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        return
    x1, y1, x2, y2 = box.tolist()
    size = (int(end[0] - start[0]), int(end[1] - start[1]))
    scaled = Pillow.fromarray(pixels).resize(size, Pillow.Resampling.BILINEAR, (x1, y1, x2, y2))
    canvas[start[1] : end[1], start[0] : end[0]] = np.asarray(scaled)


def _moved(
    boxes: Boxes,
    scale: NDArray[np.float64],
    offset: NDArray[np.float64],
    part: tuple[int, int, int, int],
    min_visible: float,
) -> tuple[Boxes, NDArray[np.bool_]]:
    """Return the boxes that stay visible in a part of the canvas, cut to it, and which those are."""
    moved = (boxes * np.tile(scale, 2) + np.tile(offset, 2)).astype(np.float32)
    shift = np.array(part[:2] * 2, np.float32)
    cut = clip_boxes(moved - shift, part[2] - part[0], part[3] - part[1]) + shift
    keep = (box_area(cut) >= min_visible * np.maximum(box_area(moved), 1e-6)) & ((cut[:, 2:] - cut[:, :2]).min(1) >= 3)
    return cut[keep], keep


def _mirrored(view: _View) -> _View:
    boxes = view.boxes.copy()
    boxes[:, [0, 2]] = view.pixels.shape[1] - view.boxes[:, [2, 0]]
    return replace(view, pixels=np.ascontiguousarray(view.pixels[:, ::-1]), boxes=boxes)


def _ignored(sample: Sample) -> NDArray[np.bool_]:
    return np.zeros(len(sample.boxes), bool) if sample.ignored is None else sample.ignored


def _fill(sample: Sample, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the colour beside the picture: its corner's for a product shot, so that the shot goes on, or any grey."""
    if not sample.street and rng.random() < 0.7:
        corner: NDArray[np.uint8] = sample.pixels[0, 0]
        return corner
    return np.full(3, rng.integers(256), np.uint8)


def _recoloured(view: _View, settings: AugmentSettings, rng: np.random.Generator) -> _View:
    """Return the view with other brightness, contrast, white balance and saturation, by one table a channel."""
    gain = 1 + settings.colour * rng.uniform(-1, 1) + settings.colour / 3 * rng.uniform(-1, 1, 3)
    shift = 255 * settings.colour / 2 * rng.uniform(-1, 1)
    levels = np.clip((np.arange(256)[:, None] - 128) * gain + 128 + shift, 0, 255).astype(np.uint8)  # (256, 3)
    pixels = np.stack([levels[:, c][view.pixels[..., c]] for c in range(3)], axis=-1)
    saturation = 0.0 if rng.random() < settings.grey else 1 + settings.colour * rng.uniform(-1.5, 1)
    if abs(saturation - 1) > 0.05:
        grey = Pillow.fromarray(pixels).convert("L").convert("RGB")
        pixels = np.asarray(Pillow.blend(grey, Pillow.fromarray(pixels), saturation))
    return replace(view, pixels=pixels)
