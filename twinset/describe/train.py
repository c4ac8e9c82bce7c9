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

from twinset.backbone import denormals_as_zero, load_imagenet
from twinset.data.labelled import is_dev
from twinset.describe.augment import SHOP_VIEW, STREET_VIEW, View, make_view
from twinset.describe.balance import STILL, choose_weights, embed_parts
from twinset.describe.embedded import Embedded
from twinset.describe.encoder import EncoderConfig, load_encoder
from twinset.describe.fit import fit_labels, trained_heads
from twinset.describe.labels import FILE as LABELS
from twinset.describe.labels import save_labels
from twinset.describe.network import EncoderNet, ServingEncoder, Tasks, join
from twinset.describe.samples import UNKNOWN, ItemSample, Vocabulary, all_with_surroundings, with_surroundings
from twinset.describe.start import start_from_exported
from twinset.detect.export import TOLERANCE, export_onnx
from twinset.errors import DataError, ModelError, UsageError
from twinset.images import crop
from twinset.runtime import OnnxSession
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
from twinset.types import Image

log = logging.getLogger(__name__)
TRAINED_WEIGHTS = (0.4, 0.2, 0.0, 0.4)  # of kind, colour, shades and look in the instance loss
SHADES_SAMPLES = 1500  # that shades is fitted to


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How the encoder is trained. Saved beside the weights."""

    backbone: str = "lite0"
    size: int = 160  # pixels of the square input's side; a multiple of 32
    products: int = 28  # in a batch, two views each
    alike: int = 12  # of them, of one type and colour: to be told from each other
    street: int = 10  # items of street photos in a batch: they teach categories in the street, and the mask
    wide: float = 0.0  # share of them that are shown with what is around them
    epochs: int = 12
    minutes: float = 0.0  # stop after so much training even if epochs are left; 0: no limit
    learning_rate: float = 2e-3  # of the heads, at its peak
    backbone_rate: float = 0.25  # of the learning rate, for the backbone
    weight_decay: float = 0.02
    warmup: int = 200  # steps
    frozen_blocks: int = 5  # of the backbone, from its input
    ema: float = 0.998
    temperature: float = 0.07  # of the instance loss
    type_weight: float = 1.0
    colour_weight: float = 1.0
    category_weight: float = 0.3
    gender_weight: float = 0.3
    words_weight: float = 0.3
    instance_weight: float = 0.5
    mask_weight: float = 1.0
    smoothing: float = 0.05  # of the types' and colours' labels
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size % 32 or self.size < 32:
            raise UsageError(f"size: expected a multiple of 32, found {self.size}", field="size")
        check_range(self, (2, math.inf), "products")
        check_range(self, (0, self.products), "alike")
        check_range(self, AT_LEAST_1, "epochs", "warmup")
        check_range(self, ABOVE_0, "learning_rate", "temperature")
        check_range(self, AT_LEAST_0, "street", "minutes", "backbone_rate", "weight_decay", "frozen_blocks", "seed")
        check_range(self, AT_LEAST_0, *(name for name in self.__slots__ if name.endswith("_weight")))
        check_range(self, SHARE, "ema", "smoothing", "wide")


class Trainee(nn.Module):
    """The network and the classifiers that train it."""

    def __init__(self, net: EncoderNet, tasks: Tasks) -> None:
        super().__init__()
        self.net, self.tasks = net, tasks


class ItemBatch(NamedTuple):
    pixels: NDArray[np.uint8]  # (2P + S, size, size, 3): shop views, street views, street items
    masks: NDArray[np.float32]
    mask_known: NDArray[np.bool_]
    labels: dict[str, NDArray[np.int64]]  # task -> (2P + S,), UNKNOWN where a view says nothing
    words: NDArray[np.float32]  # (P, W) shares


@denormals_as_zero()
def train_encoder(
    settings: EncoderSettings,
    samples: Sequence[ItemSample],
    street: Sequence[ItemSample],
    scenes: Sequence[Image],
    vocabulary: Vocabulary,
    out: Path,
    street_dev: Sequence[ItemSample] = (),
    start_from: Path | None = None,
) -> Path:
    """Train on a catalogue's samples and return the exported encoder.onnx in `out`, where checkpoints are kept too.

    Every tenth product, by a hash of its id, is held back as dev: the weights of the embedding's parts are chosen
    on it. What scores mean is fitted to `street_dev`, items of street photos held back. A checkpoint found in `out` is
    gone on from, with the settings and classes it has. `start_from` is an exported encoder.onnx that training starts
    with. Raises DataError on a loss that is not finite, UsageError for other settings.
    """
    keep_freed_memory()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    train = [s for s in samples if not is_dev(s.product_id)]
    if len(train) < settings.products:
        raise DataError(f"expected at least {settings.products} products to train on, found {len(train)}")
    keep_settings(out, settings)
    trainee = build_trainee(settings, vocabulary)
    if start_from:
        start_from_exported(trainee.net, trainee.tasks, vocabulary, start_from)
    else:
        fit_shades(trainee.net, train, settings.size)
    average = copy.deepcopy(trainee).eval()
    optimizer = make_optimizer(trainee, "net.backbone.", settings)
    state = load_checkpoint(out / CHECKPOINT, trainee, average, optimizer, dataclasses.asdict(vocabulary))
    say_if_finished(out, settings, state)
    (out / "vocabulary.json").write_text(json.dumps(dataclasses.asdict(vocabulary), indent=1), encoding="utf-8")
    steps = len(train) // settings.products
    while (share := share_done(settings, state["epoch"], state["seconds"])) < 1.0:
        began, epoch = time.monotonic(), state["epoch"]
        rng = np.random.default_rng((settings.seed, epoch))
        trainee.train()
        sums: dict[str, float] = {}
        for step, batch in enumerate(prefetch(_batches(train, street, scenes, len(vocabulary.words), settings, rng))):
            share = share_done(settings, epoch + step / steps, state["seconds"] + time.monotonic() - began)
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
        state.update(epoch=epoch + 1, seconds=state["seconds"] + time.monotonic() - began)
        save_checkpoint(out / CHECKPOINT, trainee, average, optimizer, state)
        line: dict[str, float] = {"epoch": epoch + 1, "share": round(share, 4)}
        line |= {name: round(value, 4) for name, value in sums.items()}
        line["products_per_s"] = round(steps * settings.products / (time.monotonic() - began), 1)
        with (out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        log.info("%s", line)
    return finish_encoder(average, settings.size, vocabulary, samples, scenes, out, street, street_dev)


def finish_encoder(
    trainee: Trainee,
    size: int,
    vocabulary: Vocabulary,
    samples: Sequence[ItemSample],
    scenes: Sequence[Image],
    out: Path,
    street: Sequence[ItemSample] = (),
    street_dev: Sequence[ItemSample] = (),
) -> Path:
    """Return the encoder.onnx written to `out`, encoder.json and labels.json beside it: all that is chosen on dev."""
    train = [s for s in samples if not is_dev(s.product_id)]
    dev = [s for s in samples if is_dev(s.product_id) and s.article_type != UNKNOWN]
    shown, asked = embed_parts(trainee.net, train, size), embed_parts(trainee.net, dev, size)
    moved = embed_parts(trainee.net, dev, size, STREET_VIEW, scenes)
    weights, figures = choose_weights(shown, asked, moved, lambda w: trained_heads(trainee.tasks, w, vocabulary))
    log.info("weights of kind, colour, shades and look %s on dev: %s", weights, figures)
    out.mkdir(parents=True, exist_ok=True)
    difference = export_encoder(copy.deepcopy(trainee.net), weights, size, out / "encoder.onnx")
    log.info("exported %s, within %.1e of torch", out / "encoder.onnx", difference)
    EncoderConfig(size, weights=weights).save(out / "encoder.json", dev=figures)
    (out / LABELS).unlink(missing_ok=True)
    measured = [described.colours for described in load_encoder(out).describe([crop(s.pixels, s.box) for s in dev])]
    further = embed_parts(trainee.net, [*street, *all_with_surroundings([*train, *street])], size)
    worn = embed_parts(trainee.net, street_dev, size)
    around = embed_parts(trainee.net, all_with_surroundings([*dev, *street_dev]), size)
    *parts, more, seen, wide = (
        Embedded(part.samples, part.joined(weights)) for part in (shown, asked, moved, further, worn, around)
    )
    heads = trained_heads(trainee.tasks, weights, vocabulary)
    labels, label_figures = fit_labels(
        heads, vocabulary, *parts, measured=measured, further=more, street_dev=seen, around_dev=wide
    )
    save_labels(labels, out, dev=label_figures)
    return out / "encoder.onnx"


def load_trainee(run: Path) -> tuple[Trainee, EncoderSettings, Vocabulary]:
    """Return the averaged network a training left in its folder, its settings and its classes. Raises DataError."""
    try:
        settings = EncoderSettings(**json.loads((run / "settings.json").read_text(encoding="utf-8")))
        named = json.loads((run / "vocabulary.json").read_text(encoding="utf-8"))
        vocabulary = Vocabulary(**{name: tuple(words) for name, words in named.items()})
        saved = torch.load(run / CHECKPOINT, weights_only=True)["average"]
        trainee = build_trainee(settings, vocabulary)
        trainee.load_state_dict(saved)
    except Exception as exc:  # a file that is empty, cut, something else or of another network ends in many ways
        raise DataError(
            f"{run}: expected settings.json, vocabulary.json and checkpoint.pt of a training, found: {exc!r}"
        ) from exc
    return trainee.eval(), settings, vocabulary


def build_trainee(settings: EncoderSettings, vocabulary: Vocabulary) -> Trainee:
    """Return the network with ImageNet's backbone, and a classifier for each task."""
    backbone = load_imagenet(settings.backbone)
    backbone.freeze(settings.frozen_blocks)
    sizes = {"type": len(vocabulary.article_types), "gender": 4, "words": max(1, len(vocabulary.words))}
    sizes["category"] = len(vocabulary.categories)
    sizes |= {"colour": len(vocabulary.colours), "colour_base": len(vocabulary.base_colours)}
    trainee = Trainee(EncoderNet(backbone), Tasks(sizes))
    trainee.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return trainee


def fit_shades(net: EncoderNet, samples: Sequence[ItemSample], size: int) -> None:
    """Fit the network's shades to samples, to those whose mask is known if there are any."""
    known = [sample for sample in samples if sample.mask is not None] or list(samples)
    rng = np.random.default_rng(0)
    chosen = [known[int(i)] for i in rng.permutation(len(known))[:SHADES_SAMPLES]]
    views = [make_view(sample, size, STILL, (), rng) for sample in chosen]
    net.fit_shades(_as_input(np.stack([v.pixels for v in views])), torch.from_numpy(np.stack([v.mask for v in views])))


def export_encoder(net: EncoderNet, weights: Sequence[float], size: int, file: Path) -> float:
    """Write the encoder to `file` and return its largest difference from torch. Raises ModelError above 1e-3."""
    serving = ServingEncoder(net, weights).eval()
    dynamic: dict[int, object] = {0: torch.export.Dim("batch", min=1, max=1024)}
    export_onnx(serving, torch.zeros(2, size, size, 3, dtype=torch.uint8), file, dynamic, ["embedding", "mask"])
    pixels = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), np.uint8)
    with torch.no_grad():
        expected = [output.numpy() for output in serving(torch.from_numpy(pixels))]
    worst = max(float(np.abs(e - f).max()) for e, f in zip(expected, OnnxSession(file)(pixels), strict=True))
    if worst > TOLERANCE:
        raise ModelError(f"{file}: expected ONNX within {TOLERANCE} of torch, found {worst:.5f}; report this as a bug")
    return worst


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
    groups = _alike(train)
    for start in range(0, len(train) - settings.products + 1, settings.products):
        chosen = [train[int(i)] for i in order[start : start + settings.products]]
        mates = groups[(chosen[0].article_type, chosen[0].base_colour)]
        picked = rng.permutation(len(mates))[: settings.alike]
        chosen[1 : 1 + len(picked)] = [train[mates[int(i)]] for i in picked if train[mates[int(i)]] is not chosen[0]]
        views = [make_view(s, settings.size, SHOP_VIEW, scenes, rng) for s in chosen]
        views += [make_view(s, settings.size, STREET_VIEW, scenes, rng) for s in chosen]
        seen = [*chosen, *chosen]
        if street:
            others = draw_street(street, settings, rng)
            views += [make_view(s, settings.size, STREET_VIEW, (), rng) for s in others]
            seen += others
        yield _batch(chosen, seen, views, words)


def draw_street(street: Sequence[ItemSample], settings: EncoderSettings, rng: np.random.Generator) -> list[ItemSample]:
    """Return a batch's items of street photos, a share of them with what is around them."""
    drawn = [street[int(i)] for i in rng.integers(len(street), size=settings.street)]
    return [with_surroundings(sample, rng) if rng.random() < settings.wide else sample for sample in drawn]


def _alike(samples: Sequence[ItemSample]) -> dict[tuple[int, int], list[int]]:
    """Return the samples' numbers by article type and base colour."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, sample in enumerate(samples):
        groups.setdefault((sample.article_type, sample.base_colour), []).append(i)
    return groups


def _batch(chosen: Sequence[ItemSample], seen: Sequence[ItemSample], views: Sequence[View], words: int) -> ItemBatch:
    said = np.zeros((len(chosen), max(1, words)), np.float32)
    for i, sample in enumerate(chosen):
        said[i, list(sample.words)] = 1 / max(1, len(sample.words))
    labels = {
        "type": np.array([s.article_type for s in seen]),
        "gender": np.array([s.gender for s in seen]),
        "category": np.array([s.category for s in seen]),
        "colour": np.array([s.colour for s in seen]),
        "colour_base": np.array([s.base_colour for s in seen]),
    }
    return ItemBatch(
        np.stack([v.pixels for v in views]),
        np.stack([v.mask for v in views]),
        np.array([v.mask_known for v in views]),
        labels,
        said,
    )


def _losses(trainee: Trainee, batch: ItemBatch, settings: EncoderSettings) -> dict[str, Tensor]:
    products = len(batch.words)
    kind, colour, shades, look, mask = trainee.net(_as_input(batch.pixels))
    known = torch.from_numpy(batch.mask_known)
    losses = {}
    if known.any():
        goal = torch.from_numpy(batch.masks)[known]
        losses["mask"] = settings.mask_weight * F.binary_cross_entropy_with_logits(mask[known], goal)
    logits = trainee.tasks(kind, colour)
    weights = {
        "type": settings.type_weight,
        "gender": settings.gender_weight,
        "category": settings.category_weight,
        "colour": settings.colour_weight / 2,
        "colour_base": settings.colour_weight / 2,
    }
    for task, weight in weights.items():
        labels = torch.from_numpy(batch.labels[task])
        if (labels != UNKNOWN).any():
            losses[task] = weight * F.cross_entropy(
                logits[task], labels, ignore_index=UNKNOWN, label_smoothing=settings.smoothing
            )
    said = torch.from_numpy(batch.words).repeat(2, 1)
    losses["words"] = -settings.words_weight * (said * logits["words"][: 2 * products].log_softmax(1)).sum(1).mean()
    whole = join((kind, colour, shades, look), TRAINED_WEIGHTS)
    losses["instance"] = settings.instance_weight * _instance_loss(
        whole[: 2 * products], products, settings.temperature
    )
    return losses


def _instance_loss(embeddings: Tensor, products: int, temperature: float) -> Tensor:
    """Return the loss of telling each product's other view from all else (NT-Xent, SimCLR, ICML 2020)."""
    similarity = embeddings @ embeddings.T / temperature
    similarity = similarity.masked_fill(torch.eye(2 * products, dtype=torch.bool), -1e4)
    other = torch.cat([torch.arange(products) + products, torch.arange(products)])
    return F.cross_entropy(similarity, other)
