"""`twinset train detector`, and the options that say what a detector learns from."""

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from twinset.cli.base import FILE, FOLDER, options, report_problems
from twinset.cli.train import changed_settings, drawn_option, prepare, training_options
from twinset.errors import UsageError

if TYPE_CHECKING:
    from twinset.detect.sources import Sources
    from twinset.taxonomy import Taxonomy

F = TypeVar("F", bound=Callable[..., Any])
OWN_TAXONOMY = "taxonomy.toml"  # in a run's folder

source_options = options(
    click.option("--coco", nargs=2, multiple=True, metavar="FILE IMAGES", help="More photos with boxes, as COCO JSON."),
    click.option(
        "--corrections",
        multiple=True,
        metavar="FILE",
        help="Corrections of the labels: a file of `twinset data audit`, or a name of those that ship: street-voc.",
    ),
    click.option("--classed", type=FOLDER, help="Photos of one garment each, in train/CLASS folders."),
    drawn_option,
)
backbone_options = options(
    click.option(
        "--backbone", type=click.Choice(["lite0", "lite2"]), help="EfficientNet-Lite's size. [default: lite0]"
    ),
    click.option("--size", metavar="HxW", help="Pixels of the canvas, multiples of 32. [default: 384x256]"),
)
network_options = options(
    click.option(
        "--head",
        type=click.Choice(["anchor-free", "ssd"]),
        help="How boxes are found: from points, or from anchors (SSD). [default: anchor-free]",
    ),
    backbone_options,
)
taxonomy_options = options(
    click.option(
        "--level",
        type=click.Choice(["group", "category", "article-type"]),
        default="category",
        show_default=True,
        help="How fine the categories are.",
    ),
    click.option("--taxonomy", "taxonomy_file", type=FILE, help="Categories of your own: an edited taxonomy.toml."),
    click.option("--leave-out", default="", metavar="CATEGORIES", help="Categories not to learn, by commas."),
)


@click.command("detector")
@training_options
@options(network_options, source_options, taxonomy_options)
@click.option("--from", "start_from", help="Start from a model's weights: default, or a detector.onnx.")
def train_detector_command(
    out: Path,
    size: str | None,
    level: str,
    taxonomy_file: Path | None,
    leave_out: str,
    start_from: str | None,
    threads: int | None,
    changes: Sequence[str],
    **given: Any,
) -> None:
    """Train a detector; the same command goes on after an interruption.

    Example: twinset train detector --voc street-voc --ccp street-ccp --catalog products.csv --out runs/detector
    """
    prepare(threads)
    from twinset.detect.operating import set_threshold, take_over_threshold
    from twinset.detect.sources import read_sources
    from twinset.detect.train import TrainSettings, train_detector
    from twinset.evaluate.detection import evaluate_on
    from twinset.models import start_file

    sources = take_sources(given)
    settings = changed_settings(TrainSettings(), given | canvas(size), changes)
    taxonomy = chosen_taxonomy(level, taxonomy_file)
    categories = kept_categories(taxonomy, leave_out)
    start = start_file(start_from, "detector") if start_from else None
    samples, dev = read_sources(sources, taxonomy, categories, settings.seed, report_problems)
    if not dev:
        values = f"those of {start}" if start else "the usual ones"
        click.echo(f"no dev photos with such boxes: threshold and weights of scores are {values}", err=True)
    weights = train_detector(settings, samples, categories, out, evaluate_on(dev) if dev else None, start)
    if dev:
        set_threshold(weights.parent, dev)
    elif start:
        take_over_threshold(weights.parent, start)
    if taxonomy_file or level != "category":
        note_taxonomy(weights.parent, level, taxonomy_file)
    click.echo(weights)


def take_sources(given: dict[str, Any]) -> "Sources":
    """Return the sources that a command was given, taken out of its values."""
    from twinset.detect.sources import Sources

    values = {field.name: given.pop(field.name) for field in dataclasses.fields(Sources)}
    values["coco"] = tuple((Path(file), Path(root)) for file, root in values["coco"])
    return Sources(**values | {"corrections": tuple(values["corrections"])})


def canvas(size: str | None) -> dict[str, int]:
    """Return the settings that HEIGHTxWIDTH names, none for None. Raises UsageError."""
    if size is None:
        return {}
    height, _, width = size.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise UsageError(f"--size: expected HEIGHTxWIDTH in pixels such as 384x256, found {size!r}", field="size")
    return {"height": int(height), "width": int(width)}


def chosen_taxonomy(level: str, file: Path | None) -> "Taxonomy":
    """Return the taxonomy to train in. Raises DataError for the file."""
    from twinset.levels import at_level
    from twinset.taxonomy import default_taxonomy, read_taxonomy

    return at_level(read_taxonomy(file) if file else default_taxonomy(), level)


def kept_categories(taxonomy: "Taxonomy", leave_out: str) -> tuple[str, ...]:
    """Return the taxonomy's categories without those left out. Raises UsageError."""
    left = [name for name in leave_out.split(",") if name]
    if unknown := [name for name in left if name not in taxonomy.names]:
        raise UsageError(
            f"--leave-out: expected some of {', '.join(taxonomy.names)}; found {unknown[0]!r}", field="leave-out"
        )
    kept = tuple(name for name in taxonomy.names if name not in left)
    if not kept:
        raise UsageError("--leave-out: expected a category to be left to learn, found none", field="leave-out")
    return kept


def note_taxonomy(folder: Path, level: str, file: Path | None) -> None:
    """Write into a detector.json what its categories are of, with the taxonomy's file beside it."""
    from twinset.detect.detector import load_config

    if file and file.resolve() != (folder / OWN_TAXONOMY).resolve():
        shutil.copyfile(file, folder / OWN_TAXONOMY)
    settings = folder / "detector.json"
    config = load_config(settings)
    dataclasses.replace(config, level=level, taxonomy=OWN_TAXONOMY if file else "").save(settings)
