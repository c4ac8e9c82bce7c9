"""`twinset tune detector`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from twinset.cli.base import json_option, options, print_json, report_problems
from twinset.cli.detector import (
    canvas,
    chosen_taxonomy,
    kept_categories,
    network_options,
    source_options,
    take_sources,
    taxonomy_options,
)
from twinset.cli.train import changed_settings, prepare, training_options
from twinset.errors import UsageError


@click.group()
def tune() -> None:
    """Look for better settings of a training (needs twinset[train])."""


@tune.command("detector")
@training_options
@options(network_options, source_options, taxonomy_options)
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True, help="Trainings of the study.")
@click.option(
    "--pruner",
    type=click.Choice(["median", "hyperband", "none"]),
    default="median",
    show_default=True,
    help="Which trainings are stopped early: those below the median of the others, by halves, or none.",
)
@json_option
def tune_detector_command(
    out: Path,
    size: str | None,
    level: str,
    taxonomy_file: Path | None,
    leave_out: str,
    trials: int,
    pruner: str,
    threads: int | None,
    changes: Sequence[str],
    as_json: bool,
    **given: Any,
) -> None:
    """Try settings of a detector's training, judged on dev; the same command goes on with the study.

    Looks for learning rates, augmentation, assignment and the weights of the losses, and prints the best as flags of
    `twinset train detector`.

    Example: twinset tune detector --voc street-voc --epochs 4 --size 288x192 --trials 20 --out runs/tuning
    """
    prepare(threads)
    from twinset.detect.sources import facts_of, read_sources
    from twinset.detect.train import TrainSettings
    from twinset.detect.tune import as_flags, best_trial, space_of, tune_detector
    from twinset.evaluate.detection import evaluate_on

    sources = take_sources(given)
    settings = changed_settings(TrainSettings(), given | canvas(size), changes)
    taxonomy = chosen_taxonomy(level, taxonomy_file)
    categories = kept_categories(taxonomy, leave_out)
    samples, dev = read_sources(sources, taxonomy, categories, settings.seed, report_problems)
    if not dev:
        raise UsageError(
            "expected --voc, --ccp or --coco with dev photos, which settings are chosen on, found none", field="voc"
        )
    data = facts_of(sources, dev)
    if taxonomy_file or level != "category" or leave_out:
        data["categories"] = categories
    found = tune_detector(settings, samples, categories, evaluate_on(dev), trials, out, pruner, data=data)
    best = best_trial(found)
    flags = as_flags(best.values)
    if as_json:
        rows = [
            {"trial": t.number, "state": t.state, "epochs": t.epochs, "map_50": t.map_50, **t.values} for t in found
        ]
        print_json({"trials": rows, "best": best.number, "map_50": best.map_50, "flags": flags})
        return
    from twinset.tables import print_table

    names = list(space_of(settings))
    table = []
    for t in found:
        values = [f"{t.values[name]:.3g}" if name in t.values else "" for name in names]
        table.append((t.number, t.state, t.epochs, "–" if t.map_50 is None else t.map_50, *values))
    print_table(("trial", "state", "epochs", "mAP50 on dev", *names), table)
    click.echo(f"best, trial {best.number}: {' '.join(flags)}")
