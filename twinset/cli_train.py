"""`twinset train detector|encoder`."""

import dataclasses
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from twinset.cli_base import FILE, FOLDER, read_rows, report_problems, strict_option, threads_option
from twinset.errors import UsageError

if TYPE_CHECKING:
    from twinset.data.labelled import LabelledImage
    from twinset.detect.samples import Sample

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def _common(function: F) -> F:
    options = [
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            required=True,
            help="Folder for checkpoints, log and weights.",
        ),
        click.option("--voc", type=FOLDER, help="Street photos with Pascal VOC boxes."),
        click.option("--ccp", type=FOLDER, help="Street photos with CCP masks."),
        click.option(
            "--catalog", type=FILE, help="A product feed; products whose id ends in 0 are left for validation."
        ),
        click.option("--epochs", type=click.IntRange(1), help="Rounds over the photos."),
        click.option(
            "--minutes", type=click.FloatRange(0), help="Stop after so much training; the schedule ends there."
        ),
        click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Peak rate of the new layers."),
        click.option("--seed", type=int, help="Of everything random."),
        strict_option,
        threads_option,
        click.option(
            "--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change any other setting; see docs/train.md."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.group()
def train() -> None:
    """Train models on labelled photos and catalogues (needs twinset[train])."""


@train.command("detector")
@_common
@click.option("--coco", nargs=2, multiple=True, metavar="FILE IMAGES", help="More photos with boxes, as COCO JSON.")
@click.option(
    "--corrections",
    multiple=True,
    metavar="FILE",
    help="Corrections of the labels, as `twinset data audit` writes them, or a name of those that ship: street-voc.",
)
@click.option("--classed", type=FOLDER, help="Photos of one garment each, in train/CLASS folders.")
@click.option("--drawn", type=click.IntRange(0), default=0, show_default=True, help="Drawn pictures to train on too.")
@click.option("--from", "start_from", help="Start from a model's weights: default, or a detector.onnx.")
def train_detector_command(
    out: Path,
    voc: Path | None,
    ccp: Path | None,
    catalog: Path | None,
    coco: Sequence[tuple[str, str]],
    corrections: Sequence[str],
    classed: Path | None,
    drawn: int,
    start_from: str | None,
    strict: bool,
    threads: int | None,
    changes: Sequence[str],
    **given: Any,
) -> None:
    """Train the anchor-free detector; the same command goes on after an interruption.

    Example: twinset train detector --voc street-voc --ccp street-ccp --catalog products.csv --out runs/detector
    """
    prepare(threads)
    from twinset.data.coco import read_coco
    from twinset.data.folders import read_folders
    from twinset.detect import samples as read
    from twinset.detect.operating import evaluate_on, set_threshold
    from twinset.detect.train import TrainSettings, train_detector
    from twinset.models import model_folder
    from twinset.taxonomy import default_taxonomy

    settings = _changed(TrainSettings(), given, changes)
    taxonomy = default_taxonomy()
    categories = taxonomy.names
    images, dev = street_photos(voc, ccp, strict, corrections)
    found: list[Sample] = read.labelled_samples(images, categories, taxonomy)
    for file, root in coco:
        labelled = read_coco(Path(file), Path(root), taxonomy, strict)
        report_problems(labelled.problems)
        found += read.labelled_samples(labelled.images, categories, taxonomy, labelled.categories)
    if catalog:
        found += read.feed_samples(read_rows(catalog, strict), categories, taxonomy)
    if classed:
        photos = read_folders(classed, "train", taxonomy, strict)
        report_problems(photos.problems)
        found += read.classed_samples(photos, categories)
    if drawn:
        found += read.drawn_samples(drawn, categories, settings.seed)
    start = None
    if start_from:
        start = Path(start_from) if start_from.endswith(".onnx") else model_folder(start_from) / "detector.onnx"
    evaluate = evaluate_on(dev, taxonomy) if dev else None
    weights = train_detector(settings, found, categories, out, evaluate, start)
    if dev:
        set_threshold(weights.parent, dev, taxonomy)
    click.echo(weights)


@train.command("encoder")
@_common
@click.option("--model", default="default", show_default=True, help="Whose detector finds the items worn by models.")
def train_encoder_command(
    out: Path,
    voc: Path | None,
    ccp: Path | None,
    catalog: Path | None,
    model: str,
    strict: bool,
    threads: int | None,
    changes: Sequence[str],
    **given: Any,
) -> None:
    """Train the encoder on a catalogue; the same command goes on after an interruption.

    Example: twinset train encoder --catalog products.csv --ccp street-ccp --voc street-voc --out runs/encoder
    """
    prepare(threads)
    import numpy as np

    from twinset.describe import samples as read
    from twinset.describe.train import EncoderSettings, train_encoder
    from twinset.detect.detector import load_detector
    from twinset.models import WEIGHTS
    from twinset.taxonomy import default_taxonomy

    if catalog is None:
        raise UsageError("--catalog: expected a product feed to train the encoder on, found none", field="catalog")
    settings = _changed(EncoderSettings(), given, changes)
    taxonomy = default_taxonomy()
    feed = read_rows(catalog, strict)
    folder = WEIGHTS / model if (WEIGHTS / model).is_dir() else Path(model)
    boxes = read.worn_boxes(feed, load_detector(folder, threads))
    vocabulary = read.read_vocabulary([p for p in feed.products if not p.product_id.endswith("0")], taxonomy)
    items = read.catalogue_samples(feed, boxes, vocabulary, taxonomy)
    images, _ = street_photos(voc, ccp, strict)
    street = read.street_samples(images, ccp, vocabulary, taxonomy)
    scenes = read.backgrounds(images, 600, np.random.default_rng(settings.seed)) if images else []
    click.echo(train_encoder(settings, items, street, scenes, vocabulary, out))


def street_photos(
    voc: Path | None, ccp: Path | None, strict: bool, corrections: Sequence[str] = ()
) -> "tuple[list[LabelledImage], list[LabelledImage]]":
    """Return the street photos to train on, and those of dev, their labels corrected."""
    from twinset.data.ccp import read_ccp
    from twinset.data.suggestions import apply_suggestions, read_suggestions
    from twinset.data.voc import read_voc
    from twinset.taxonomy import default_taxonomy

    taxonomy = default_taxonomy()
    suggestions = [one for name in corrections for one in read_suggestions(name)]
    parts: list[list[LabelledImage]] = [[], []]
    for part, split in zip(parts, ("train", "dev"), strict=True):
        read = [read_voc(voc, split, taxonomy, strict)] if voc else []
        read += [read_ccp(ccp, split, taxonomy, strict)] if ccp else []
        for labelled in read:
            report_problems(labelled.problems)
            part += apply_suggestions(labelled, suggestions).images
    return parts[0], parts[1]


def _changed(settings: T, given: dict[str, Any], changes: Sequence[str]) -> T:
    """Return the settings with what the flags and --set say. Raises UsageError naming the setting."""
    values = {name: value for name, value in given.items() if value is not None}
    fields = {field.name: field for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    for change in changes:
        name, _, text = change.partition("=")
        name = name.replace("-", "_")
        if name not in fields:
            raise UsageError(f"--set: expected one of {', '.join(fields)}; found {name!r}", field="set")
        before = getattr(settings, name)
        try:
            value = json.loads(text) if not isinstance(before, str) else text
            if dataclasses.is_dataclass(before):
                value = dataclasses.replace(before, **dict(value))  # type: ignore[arg-type, type-var]
            elif isinstance(before, float) and isinstance(value, int):
                value = float(value)
        except (ValueError, TypeError) as exc:
            raise UsageError(f"--set {name}: expected a value like {before!r}, found {text!r}", field="set") from exc
        if type(value) is not type(before):
            raise UsageError(f"--set {name}: expected a value like {before!r}, found {text!r}", field="set")
        values[name] = value
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def prepare(threads: int | None) -> None:
    """Make the process ready for training, or raise MissingExtra."""
    try:
        import torch
    except ImportError as exc:
        from twinset.errors import MissingExtra

        raise MissingExtra("torch", "train") from exc
    from twinset.runtime import cpu_threads

    torch.set_num_threads(threads or cpu_threads())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("onnx_ir").setLevel(logging.WARNING)
