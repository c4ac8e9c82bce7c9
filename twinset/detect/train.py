"""Train a detector, with either head. Resumable by the same command; one JSON line an epoch in log.jsonl."""

import copy
import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twinset.backbone import WHEELS, denormals_as_zero
from twinset.detect.augment import AugmentSettings, Batch, make_batch
from twinset.detect.build import build_net
from twinset.detect.detector import Detector, DetectorConfig, load_config
from twinset.detect.export import ServingNet, export_detector
from twinset.detect.losses import Losses, LossSettings, Targets, detection_loss
from twinset.detect.network import DetectorNet, make_points
from twinset.detect.samples import Sample
from twinset.detect.ssd import SsdHead, SsdSettings, place_anchors, ssd_loss
from twinset.errors import DataError, Diverged, UsageError
from twinset.training import (
    ABOVE_0,
    AT_LEAST_0,
    AT_LEAST_1,
    CHECKPOINT,
    SHARE,
    check_range,
    keep_freed_memory,
    keep_settings,
    load_checkpoint,
    make_optimizer,
    prefetch,
    save_checkpoint,
    say_if_finished,
    set_rates,
    share_done,
    update_average,
)

log = logging.getLogger(__name__)
HEADS = ("anchor-free", "ssd")
FIND_AREA = 320 * 224  # pixels of the input when boxes of worn products are looked for
FIND_MIN_SCORE = 0.15
FIND_MIN_SHARE = 0.02  # of the image


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How the detector is trained. Saved beside the weights."""

    head: str = "anchor-free"  # or ssd
    backbone: str = "lite0"  # or lite2
    height: int = 384  # pixels of the training canvas; multiples of 32
    width: int = 256
    small_until: float = (
        0.5  # share of the training done at three quarters of the canvas's sides, which is 1.8 times as fast
    )
    batch: int = 16
    epochs: int = 20
    minutes: float = 0.0  # stop after so much training even if epochs are left; 0: no limit
    learning_rate: float = 2e-3  # of neck and head, at its peak
    backbone_rate: float = 0.25  # of the learning rate, for the backbone
    weight_decay: float = 0.02
    warmup: int = 300  # steps
    frozen_blocks: int = 3  # of the backbone, from its input
    ema: float = 0.999  # decay of the average of the weights that is kept and exported
    repeat_below: float = 0.2  # street photos with a category in fewer of them than this share are seen oftener
    packshots: int = 1000  # products alone, an epoch
    worn: int = 700  # shots on a model, an epoch
    others: int = 100  # pictures with nothing of our categories, an epoch
    worn_from: float = 0.2  # share of the training after which shots on a model join, with boxes the detector finds
    seed: int = 0
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    loss: LossSettings = field(default_factory=LossSettings)  # of the anchor-free head
    ssd: SsdSettings = field(default_factory=SsdSettings)

    def __post_init__(self) -> None:
        for name, allowed in (("head", HEADS), ("backbone", tuple(WHEELS))):
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"--{name}: expected {' or '.join(allowed)}, found {getattr(self, name)!r}", field=name
                )
        if self.height % 32 or self.width % 32 or min(self.height, self.width) < 32:
            raise UsageError(f"size: expected multiples of 32, found {self.width} x {self.height}", field="size")
        check_range(self, (2, math.inf), "batch")
        check_range(self, AT_LEAST_1, "epochs", "warmup")
        check_range(self, ABOVE_0, "learning_rate")
        check_range(self, AT_LEAST_0, "minutes", "backbone_rate", "weight_decay", "frozen_blocks", "seed")
        check_range(self, AT_LEAST_0, "packshots", "worn", "others")
        check_range(self, SHARE, "small_until", "ema", "repeat_below", "worn_from")


Evaluate = Callable[[Detector], dict[str, float]]


@denormals_as_zero()
def train_detector(
    settings: TrainSettings,
    samples: Sequence[Sample],
    categories: tuple[str, ...],
    out: Path,
    evaluate: Evaluate | None = None,
    start_from: Path | None = None,
) -> Path:
    """Train on the samples and return the exported detector.onnx in `out`, where checkpoints are kept too.

    A checkpoint found in `out` is gone on from, with the settings and categories it has. `start_from` is an exported
    detector.onnx whose weights training starts with. `evaluate` is asked once an epoch; its figures go to the log.
    Raises DataError on a loss that is not finite and where there are too few samples, UsageError for other settings.
    """
    keep_freed_memory()
    pools = _Pools(samples)
    out.mkdir(parents=True, exist_ok=True)
    keep_settings(out, settings)
    torch.manual_seed(settings.seed)
    net = build_net(settings, categories, start_from)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net).eval()
    config = DetectorConfig(categories, settings.height * settings.width)
    start = _start_detector(average, config, start_from) if start_from else None
    optimizer = make_optimizer(net, "backbone.", settings)
    state = load_checkpoint(out / CHECKPOINT, net, average, optimizer, {"categories": categories})
    say_if_finished(out, settings, state)
    while (share := share_done(settings, state["epoch"], state["seconds"])) < 1.0:
        began, epoch = time.monotonic(), state["epoch"]
        rng = np.random.default_rng((settings.seed, epoch))
        net.eval()
        chosen = pools.choose(settings, rng, share, torch_detector(average, config), start)
        net.train()
        size_wh = canvas_wh(settings, share)
        points, strides = make_points(size_wh[1], size_wh[0])
        steps = len(chosen) // settings.batch
        if not steps:
            raise DataError(
                f"expected at least {settings.batch} photos to fill a batch, found {len(chosen)}; "
                f"give more or --set batch={max(len(chosen), 2)}"
            )
        sums: dict[str, float] = {}
        for step, batch in enumerate(prefetch(batches(chosen, pools.mates, size_wh, settings, rng))):
            share = share_done(settings, epoch + step / steps, state["seconds"] + time.monotonic() - began)
            set_rates(optimizer, settings, share, state["step"])
            loss, parts = batch_loss(net, batch, points, strides, settings)
            if not math.isfinite(loss.item()):
                raise Diverged(
                    f"{out}: the loss is {loss.item()} at step {state['step']}; lower --learning-rate and rerun"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], 10.0)
            optimizer.step()
            state["step"] += 1
            update_average(average, net, settings.ema, state["step"])
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value / steps
            if share >= 1.0:
                break
        state.update(epoch=epoch + 1, seconds=state["seconds"] + time.monotonic() - began)
        line = {
            "epoch": epoch + 1,
            "share": round(share, 4),
            "images": len(chosen),
            **{k: round(v, 4) for k, v in sums.items()},
        }
        line["images_per_s"] = round(len(chosen) / (time.monotonic() - began), 1)
        if evaluate:
            line.update(evaluate(torch_detector(average, config)))
        save_checkpoint(out / CHECKPOINT, net, average, optimizer, state)  # last, and its line at once
        with (out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        log.info("%s", line)
    difference = export_detector(copy.deepcopy(average), out / "detector.onnx")
    log.info("exported %s, within %.1e of torch", out / "detector.onnx", difference)
    config.save(out / "detector.json")
    return out / "detector.onnx"


def batch_loss(net: DetectorNet, batch: Batch, points: Tensor, strides: Tensor, settings: TrainSettings) -> Losses:
    """Return the network's loss on a batch and its parts. points (P, 2), strides (P,): `make_points` of the canvas."""
    pixels = torch.from_numpy(batch.pixels).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
    first, second = net(pixels)
    arrays = (batch.boxes, batch.labels, batch.valid, batch.ignored, batch.labelled)
    targets = Targets(*(torch.from_numpy(array) for array in arrays))
    if isinstance(net.head, SsdHead):
        return ssd_loss(first, second, place_anchors(points, strides, net.head.sides), targets, settings.ssd)
    return detection_loss(first, second, points, strides, targets, settings.loss)


def canvas_wh(settings: TrainSettings, share: float) -> tuple[int, int]:
    """Return the canvas's width and height after that share of the training."""
    if share >= settings.small_until:
        return settings.width, settings.height
    return round(settings.width * 0.75 / 32) * 32, round(settings.height * 0.75 / 32) * 32


def torch_detector(net: DetectorNet, config: DetectorConfig) -> Detector:
    """Return a detector that runs on torch, for evaluation while training."""
    serving = ServingNet(net)

    def run(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        serving.eval()
        with torch.no_grad():
            distances, scores = serving(torch.from_numpy(pixels))
        return distances.numpy(), scores.numpy()

    return Detector(run, config)


@dataclass(frozen=True, slots=True)
class StartDetector:
    """The detector a training starts from, and the classes it knew before."""

    detector: Detector
    known: frozenset[int]


def find_worn(samples: Sequence[Sample], average: Detector, start: StartDetector | None) -> list[Sample]:
    """Return `find_boxes` of the samples, by the detector that training started from for the classes it knew.

    Found by the weights in training throughout, boxes come out a little shorter with every epoch that learns from
    those before. `average` finds all else.
    """
    known = start.known if start else frozenset()
    found = find_boxes([s for s in samples if s.wanted not in known], _smaller(average))
    return found + (find_boxes([s for s in samples if s.wanted in known], _smaller(start.detector)) if start else [])


def _smaller(detector: Detector) -> Detector:
    return Detector(detector.run, dataclasses.replace(detector.config, input_area=FIND_AREA, views=()))


def _start_detector(net: DetectorNet, config: DetectorConfig, file: Path) -> StartDetector:
    before = load_config(file.with_suffix(".json")).categories
    known = frozenset(i for i, name in enumerate(config.categories) if name in before)
    return StartDetector(torch_detector(copy.deepcopy(net), config), known)


def find_boxes(samples: Sequence[Sample], detector: Detector, batch: int = 16) -> list[Sample]:
    """Return the samples with the best box of the class each is known to show; those without one are left out."""
    found = []
    for start in range(0, len(samples), batch):
        part = samples[start : start + batch]
        answers = detector.detect_batch([sample.pixels for sample in part], FIND_MIN_SCORE)
        for sample, detections in zip(part, answers, strict=True):
            of_class = np.flatnonzero(detections.labels == sample.wanted)
            if not len(of_class):
                continue
            box = detections.boxes[of_class[:1]]
            area = float((box[0, 2] - box[0, 0]) * (box[0, 3] - box[0, 1]))
            if area >= FIND_MIN_SHARE * sample.pixels.shape[0] * sample.pixels.shape[1]:
                found.append(dataclasses.replace(sample, boxes=box, labels=np.array([sample.wanted])))
    return found


class _Pools:
    """The samples by kind, and an epoch's choice of them."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.street = [s for s in samples if s.street]
        self.packshots = [s for s in samples if not s.street and s.wanted < 0 and len(s.boxes)]
        self.others = [s for s in samples if not s.street and s.wanted < 0 and not len(s.boxes)]
        self.worn = [s for s in samples if s.wanted >= 0]
        if not self.street and not self.packshots:
            raise DataError("expected labelled photos or a feed with products on a plain background, found none")
        self.mates = [*self.street, *self.packshots[: len(self.street) // 3]] or self.packshots

    def choose(
        self,
        settings: TrainSettings,
        rng: np.random.Generator,
        share: float,
        average: Detector,
        start: StartDetector | None,
    ) -> list[Sample]:
        times = repeat_factors(self.street, settings.repeat_below)
        whole = np.floor(times + rng.random(len(times))).astype(int).tolist()
        chosen = [sample for sample, count in zip(self.street, whole, strict=True) for _ in range(count)]
        chosen += _balanced(self.packshots, [int(s.labels[0]) for s in self.packshots], settings.packshots, rng)
        chosen += _balanced(self.others, [0] * len(self.others), settings.others, rng)
        if share >= settings.worn_from and self.worn:
            picked = _balanced(self.worn, [s.wanted for s in self.worn], settings.worn, rng)
            chosen += find_worn(picked, average, start)
        order = rng.permutation(len(chosen))
        return [chosen[int(i)] for i in order]


def repeat_factors(samples: Sequence[Sample], below: float) -> NDArray[np.float64]:
    """Return how often each sample is to be seen in an epoch, so that rare categories are seen oftener.

    A category in the share f of the samples that label it asks for max(1, sqrt(below / f)); a sample gets the most of
    what its categories ask for (Gupta et al., "LVIS", CVPR 2019, section 4.1).
    """
    if not samples:
        return np.zeros(0)
    shown = np.zeros((len(samples), len(samples[0].labelled)))
    for row, sample in zip(shown, samples, strict=True):
        row[sample.labels if sample.ignored is None else sample.labels[~sample.ignored]] = 1
    share = shown.sum(0) / np.maximum(np.sum([sample.labelled > 0 for sample in samples], axis=0), 1)
    wanted = np.sqrt(below / np.maximum(share, 1e-9))
    factors: NDArray[np.float64] = np.maximum((shown * wanted).max(1), 1.0)
    return factors


def _balanced(samples: Sequence[Sample], classes: Sequence[int], count: int, rng: np.random.Generator) -> list[Sample]:
    """Return `count` samples, rare classes oftener than their share: by the root of their number."""
    if not samples:
        return []
    weight = 1 / np.sqrt(np.bincount(classes))[classes]
    take = rng.choice(len(samples), min(count, len(samples)), replace=False, p=weight / weight.sum())
    return [samples[int(i)] for i in take]


def batches(
    chosen: Sequence[Sample],
    mates: Sequence[Sample],
    size_wh: tuple[int, int],
    settings: TrainSettings,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """Yield whole batches; the last samples that fill none wait for another epoch."""
    for start in range(0, len(chosen) - settings.batch + 1, settings.batch):
        yield make_batch(chosen[start : start + settings.batch], mates, size_wh, settings.augment, rng)
