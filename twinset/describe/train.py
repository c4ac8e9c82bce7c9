"""Train the encoder on a catalogue. Resumable by the same command; one JSON line an epoch in log.jsonl."""

import copy
import dataclasses
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from twinset.backbone import load_imagenet
from twinset.data.labelled import is_dev
from twinset.describe.augment import SHOP_VIEW, STREET_VIEW, View, ViewSettings, make_view
from twinset.describe.encoder import Encoder, EncoderConfig
from twinset.describe.network import EncoderNet, ServingEncoder, Tasks, join
from twinset.describe.samples import UNKNOWN, ItemSample, Vocabulary
from twinset.detect.export import TOLERANCE, export_onnx
from twinset.errors import DataError, ModelError, UsageError
from twinset.runtime import OnnxSession
from twinset.training import (
    load_checkpoint,
    make_optimizer,
    prefetch,
    prepare_process,
    save_checkpoint,
    set_rates,
    update_average,
)
from twinset.types import Image

log = logging.getLogger(__name__)
COLOUR_WEIGHTS = (0.2, 0.3, 0.4, 0.5, 0.6)  # tried on dev


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How the encoder is trained. Saved beside the weights."""

    backbone: str = "lite0"
    size: int = 160  # pixels of the square input's side; a multiple of 32
    products: int = 28  # in a batch, two views each
    street: int = 8  # items of street photos in a batch: they teach the mask
    epochs: int = 12
    minutes: float = 0.0  # stop after so much training even if epochs are left; 0: no limit
    learning_rate: float = 2e-3  # of the heads, at its peak
    backbone_rate: float = 0.25  # of the learning rate, for the backbone
    weight_decay: float = 0.02
    warmup: int = 200  # steps
    frozen_blocks: int = 2  # of the backbone, from its input
    ema: float = 0.998
    temperature: float = 0.1  # of the instance loss
    type_weight: float = 1.0
    colour_weight: float = 1.0
    gender_weight: float = 0.3
    words_weight: float = 0.3
    instance_weight: float = 0.4
    mask_weight: float = 1.0
    smoothing: float = 0.05  # of the types' and colours' labels
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size % 32:
            raise UsageError(f"size: expected a multiple of 32, found {self.size}", field="size")
        if self.epochs < 1 or self.products < 2:
            raise UsageError(f"expected epochs >= 1 and products >= 2, found {self.epochs}, {self.products}")


class Trainee(nn.Module):
    """The network and the classifiers that train it."""

    def __init__(self, net: EncoderNet, tasks: Tasks) -> None:
        super().__init__()
        self.net, self.tasks = net, tasks


class ItemBatch(NamedTuple):
    pixels: NDArray[np.uint8]  # (2P + S, size, size, 3): shop views, street views, street items
    masks: NDArray[np.float32]
    mask_known: NDArray[np.bool_]
    labels: dict[str, NDArray[np.int64]]  # task -> (P,)
    words: NDArray[np.float32]  # (P, W) shares


def train_encoder(
    settings: EncoderSettings,
    samples: Sequence[ItemSample],
    street: Sequence[ItemSample],
    scenes: Sequence[Image],
    vocabulary: Vocabulary,
    out: Path,
) -> Path:
    """Train on a catalogue's samples and return the exported encoder.onnx in `out`, where checkpoints are kept too.

    Every tenth product, by a hash of its id, is held back as dev: the embedding's balance of kind and colour is chosen
    on it. A checkpoint found in `out` is gone on from. Raises DataError on a loss that is not finite.
    """
    prepare_process()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    train = [s for s in samples if not is_dev(s.product_id)]
    dev = [s for s in samples if is_dev(s.product_id) and s.article_type != UNKNOWN]
    if len(train) < settings.products:
        raise DataError(f"expected at least {settings.products} products to train on, found {len(train)}")
    trainee = build_trainee(settings, vocabulary)
    average = copy.deepcopy(trainee).eval()
    optimizer = make_optimizer(trainee, "net.backbone.", settings)
    state = load_checkpoint(out / "checkpoint.pt", trainee, average, optimizer)
    state = state or {"epoch": 0, "step": 0, "share": 0.0, "seconds": 0.0}
    (out / "settings.json").write_text(json.dumps(dataclasses.asdict(settings), indent=2), encoding="utf-8")
    (out / "vocabulary.json").write_text(json.dumps(dataclasses.asdict(vocabulary), indent=1), encoding="utf-8")
    steps = len(train) // settings.products
    while state["epoch"] < settings.epochs and state["share"] < 1.0:
        began, epoch, share = time.monotonic(), state["epoch"], state["share"]
        rng = np.random.default_rng((settings.seed, epoch))
        trainee.train()
        sums: dict[str, float] = {}
        for step, batch in enumerate(prefetch(_batches(train, street, scenes, len(vocabulary.words), settings, rng))):
            spent = state["seconds"] + time.monotonic() - began
            share = (epoch + step / steps) / settings.epochs
            share = max(share, spent / 60 / settings.minutes if settings.minutes else 0.0)
            set_rates(optimizer, settings, share, state["step"])
            parts = _losses(trainee, batch, settings)
            loss = sum(parts.values(), torch.zeros(()))
            if not math.isfinite(loss.item()):
                raise DataError(f"{out}: the loss is {loss.item()} at step {state['step']}; lower --learning-rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_([p for p in trainee.parameters() if p.requires_grad], 10.0)
            optimizer.step()
            state["step"] += 1
            update_average(average, trainee, settings.ema, state["step"])
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value.item() / steps
            if share >= 1.0:
                break
        state.update(epoch=epoch + 1, share=share, seconds=state["seconds"] + time.monotonic() - began)
        save_checkpoint(out / "checkpoint.pt", trainee, average, optimizer, state)
        line: dict[str, float] = {"epoch": epoch + 1, "share": round(share, 4)}
        line |= {name: round(value, 4) for name, value in sums.items()}
        line["products_per_s"] = round(steps * settings.products / (time.monotonic() - began), 1)
        with (out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        log.info("%s", line)
    colour_weight, figures = choose_colour_weight(average.net, train, dev, settings.size)
    log.info("colour weight %.1f on dev: %s", colour_weight, figures)
    difference = export_encoder(copy.deepcopy(average.net), colour_weight, settings.size, out / "encoder.onnx")
    log.info("exported %s, within %.1e of torch", out / "encoder.onnx", difference)
    EncoderConfig(settings.size, colour_weight=colour_weight).save(out / "encoder.json", dev=figures)
    return out / "encoder.onnx"


def build_trainee(settings: EncoderSettings, vocabulary: Vocabulary) -> Trainee:
    """Return the network with ImageNet's backbone, and a classifier for each task."""
    backbone = load_imagenet(settings.backbone)
    backbone.freeze(settings.frozen_blocks)
    sizes = {"type": len(vocabulary.article_types), "gender": 4, "words": max(1, len(vocabulary.words))}
    sizes |= {"colour": len(vocabulary.colours), "colour_base": len(vocabulary.base_colours)}
    trainee = Trainee(EncoderNet(backbone), Tasks(sizes))
    trainee.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return trainee


def export_encoder(net: EncoderNet, colour_weight: float, size: int, file: Path) -> float:
    """Write the encoder to `file` and return its largest difference from torch. Raises ModelError above 1e-3."""
    serving = ServingEncoder(net, colour_weight).eval()
    dynamic: dict[int, object] = {0: torch.export.Dim("batch", min=1, max=1024)}
    export_onnx(serving, torch.zeros(2, size, size, 3, dtype=torch.uint8), file, dynamic, ["embedding", "mask"])
    pixels = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), np.uint8)
    with torch.no_grad():
        expected = [output.numpy() for output in serving(torch.from_numpy(pixels))]
    worst = max(float(np.abs(e - f).max()) for e, f in zip(expected, OnnxSession(file)(pixels), strict=True))
    if worst > TOLERANCE:
        raise ModelError(f"{file}: expected ONNX within {TOLERANCE} of torch, found {worst:.5f}; report this as a bug")
    return worst


def torch_encoder(net: EncoderNet, config: EncoderConfig) -> Encoder:
    """Return an encoder that runs on torch."""
    serving = ServingEncoder(net, config.colour_weight).eval()

    def run(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.no_grad():
            embedding, mask = serving(torch.from_numpy(pixels))
        return embedding.numpy(), mask.numpy()

    return Encoder(run, config)


def choose_colour_weight(
    net: EncoderNet, gallery: Sequence[ItemSample], queries: Sequence[ItemSample], size: int
) -> tuple[float, dict[str, float]]:
    """Return the share of colour in the embedding that finds both type and colour best on dev, and its figures."""
    best, best_figures = 0.4, dict[str, float]()
    if not queries:
        return best, best_figures
    embedded = [_embed(net, part, size) for part in (gallery, queries)]
    for weight in COLOUR_WEIGHTS:
        vectors = [join(kind, colour, weight) for kind, colour in embedded]
        first = (vectors[1] @ vectors[0].T).argmax(1).tolist()
        pairs = [(query, gallery[i]) for query, i in zip(queries, first, strict=True)]
        right_type = np.array([query.article_type == hit.article_type for query, hit in pairs])
        right_colour = np.array([query.base_colour == hit.base_colour for query, hit in pairs])
        figures = {
            "type": float(right_type.mean()),
            "colour": float(right_colour.mean()),
            "both": float((right_type & right_colour).mean()),
        }
        log.info("colour weight %.1f: %s", weight, figures)
        if sum(figures.values()) > sum(best_figures.values()):
            best, best_figures = weight, figures
    return best, best_figures


@torch.no_grad()
def _embed(net: EncoderNet, samples: Sequence[ItemSample], size: int, batch: int = 64) -> tuple[Tensor, Tensor]:
    """Return the kind and colour vectors of the items as they are indexed: unmoved, unlit."""
    still = ViewSettings(box=0, light=0, tint=0, bend=0, degrade=0)
    rng = np.random.default_rng(0)
    net.eval()
    kinds, colours = [], []
    for start in range(0, len(samples), batch):
        views = [make_view(sample, size, still, (), rng).pixels for sample in samples[start : start + batch]]
        kind, colour, _ = net(_as_input(np.stack(views)))
        kinds.append(kind)
        colours.append(colour)
    return torch.cat(kinds), torch.cat(colours)


def _as_input(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)


def _batches(
    train: Sequence[ItemSample],
    street: Sequence[ItemSample],
    scenes: Sequence[Image],
    words: int,
    settings: EncoderSettings,
    rng: np.random.Generator,
) -> Iterator[ItemBatch]:
    types = np.array([s.article_type for s in train])
    counts = np.bincount(types + 1)
    weight = counts[types + 1] ** -0.3  # rare types oftener than their share
    order = rng.choice(len(train), len(train), p=weight / weight.sum())
    for start in range(0, len(train) - settings.products + 1, settings.products):
        chosen = [train[int(i)] for i in order[start : start + settings.products]]
        views: list[View] = [make_view(s, settings.size, SHOP_VIEW, scenes, rng) for s in chosen]
        views += [make_view(s, settings.size, STREET_VIEW, scenes, rng) for s in chosen]
        if street:
            picked = rng.integers(len(street), size=settings.street)
            views += [make_view(street[int(i)], settings.size, STREET_VIEW, (), rng) for i in picked]
        said = np.zeros((len(chosen), max(1, words)), np.float32)
        for i, sample in enumerate(chosen):
            said[i, list(sample.words)] = 1 / max(1, len(sample.words))
        labels = {
            "type": np.array([s.article_type for s in chosen]),
            "gender": np.array([s.gender for s in chosen]),
            "colour": np.array([s.colour for s in chosen]),
            "colour_base": np.array([s.base_colour for s in chosen]),
        }
        yield ItemBatch(
            np.stack([v.pixels for v in views]),
            np.stack([v.mask for v in views]),
            np.array([v.mask_known for v in views]),
            labels,
            said,
        )


def _losses(trainee: Trainee, batch: ItemBatch, settings: EncoderSettings) -> dict[str, Tensor]:
    products = len(batch.words)
    kind, colour, mask = trainee.net(_as_input(batch.pixels))
    known = torch.from_numpy(batch.mask_known)
    losses = {}
    if known.any():
        goal = torch.from_numpy(batch.masks)[known]
        losses["mask"] = settings.mask_weight * F.binary_cross_entropy_with_logits(mask[known], goal)
    kind, colour = kind[: 2 * products], colour[: 2 * products]
    logits = trainee.tasks(kind, colour)
    weights = {
        "type": settings.type_weight,
        "gender": settings.gender_weight,
        "colour": settings.colour_weight / 2,
        "colour_base": settings.colour_weight / 2,
    }
    for task, weight in weights.items():
        labels = torch.from_numpy(batch.labels[task]).repeat(2)
        if (labels != UNKNOWN).any():
            losses[task] = weight * F.cross_entropy(
                logits[task], labels, ignore_index=UNKNOWN, label_smoothing=settings.smoothing
            )
    said = torch.from_numpy(batch.words).repeat(2, 1)
    losses["words"] = -settings.words_weight * (said * logits["words"].log_softmax(1)).sum(1).mean()
    both = join(kind, colour, 0.4)
    losses["instance"] = settings.instance_weight * _instance_loss(both, products, settings.temperature)
    return losses


def _instance_loss(embeddings: Tensor, products: int, temperature: float) -> Tensor:
    """Return the loss of telling each product's other view from all else (NT-Xent, SimCLR, ICML 2020)."""
    similarity = embeddings @ embeddings.T / temperature
    similarity = similarity.masked_fill(torch.eye(2 * products, dtype=torch.bool), -1e4)
    other = torch.cat([torch.arange(products) + products, torch.arange(products)])
    return F.cross_entropy(similarity, other)
