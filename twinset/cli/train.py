"""`twinset train encoder`, and what the training commands share. The detector's are in detector.py."""

import dataclasses
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from twinset.cli.base import FILE, FOLDER, options, report_problems, strict_option, threads_option
from twinset.errors import UsageError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


drawn_option = click.option(
    "--drawn", type=click.IntRange(0), default=0, show_default=True, help="Drawn pictures to learn from, too."
)


def training_options(function: F) -> F:
    chosen = [
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
        click.option("--seed", type=click.IntRange(0), help="Of everything random."),
        strict_option,
        threads_option,
        click.option(
            "--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change any other setting; see docs/train.md."
        ),
    ]
    return options(*chosen)(function)


@click.group()
def train() -> None:
    """Train models on labelled photos and catalogues (needs twinset[train])."""


@train.command("encoder")
@training_options
@click.option("--classed", type=FOLDER, help="Without a catalogue: photos of one garment each, in train/CLASS folders.")
@options(drawn_option)
@click.option(
    "--model",
    default="default",
    show_default=True,
    help="Whose detector finds the items worn by models, and whose categories it learns.",
)
@click.option("--from", "start_from", help="Start from a model's weights: default, a folder, or an encoder.onnx.")
def train_encoder_command(
    out: Path,
    voc: Path | None,
    ccp: Path | None,
    catalog: Path | None,
    classed: Path | None,
    drawn: int,
    model: str,
    start_from: str | None,
    strict: bool,
    threads: int | None,
    changes: Sequence[str],
    **given: Any,
) -> None:
    """Train the encoder on a catalogue; the same command goes on after an interruption.

    Without --catalog it learns from the items of --ccp and --classed, whose colours are measured.

    Example: twinset train encoder --catalog products.csv --ccp street-ccp --voc street-voc --out runs/encoder
    """
    prepare(threads)
    from twinset.describe.sources import read_encoder_data
    from twinset.describe.train import EncoderSettings, train_encoder
    from twinset.detect.sources import Sources
    from twinset.models import find_taxonomy, model_folder, start_file

    settings = changed_settings(EncoderSettings(), given, changes)
    start = start_file(start_from, "encoder") if start_from else None
    sources = Sources(voc, ccp, catalog=catalog, classed=classed, drawn=drawn, strict=strict)
    taxonomy = find_taxonomy(model)
    data = read_encoder_data(sources, model_folder(model), taxonomy, settings.seed, report_problems, threads)
    street = data.street, data.scenes
    click.echo(train_encoder(settings, data.items, *street, data.vocabulary, out, data.street_dev, start))


def changed_settings(settings: T, given: dict[str, Any], changes: Sequence[str]) -> T:
    """Return the settings with what the flags and --set say. Raises UsageError naming the setting."""
    values = {name: value for name, value in given.items() if value is not None}
    fields = {field.name: field for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    for change in changes:
        name, _, text = change.partition("=")
        name = name.replace("-", "_")
        if name not in fields:
            raise UsageError(f"--set: expected one of {', '.join(fields)}; found {name!r}", field="set")
        before = values.get(name, getattr(settings, name))
        try:
            values[name] = _as_before(json.loads(text) if not isinstance(before, str) else text, before)
        except UsageError as exc:
            raise UsageError(f"--set {name}: {exc}", field="set") from exc
        except (ValueError, TypeError) as exc:
            raise UsageError(f"--set {name}: expected a value like {before!r}, found {text!r}", field="set") from exc
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def _as_before(value: Any, before: Any) -> Any:
    """Return a value of JSON as one of the type that a setting had before. Raises TypeError, UsageError."""
    if dataclasses.is_dataclass(before) and not isinstance(before, type):
        old = {field.name: getattr(before, field.name) for field in dataclasses.fields(before)}
        if not isinstance(value, dict) or set(value) - set(old):
            raise TypeError
        return dataclasses.replace(before, **{name: _as_before(part, old[name]) for name, part in value.items()})
    if isinstance(before, tuple):
        if not isinstance(value, list):
            raise TypeError
        return tuple(_as_before(part, one) for part, one in zip(value, before, strict=True))
    if isinstance(before, float) and type(value) is int:
        return float(value)
    if type(value) is not type(before):
        raise TypeError
    return value


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
