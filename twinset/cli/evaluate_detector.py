"""`twinset evaluate detector`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from twinset.cli.base import (
    FILE,
    html_option,
    json_option,
    model_option,
    options,
    print_json,
    strict_option,
    threads_option,
)
from twinset.cli.labelled import labelled_options, read_labelled
from twinset.errors import DataError

if TYPE_CHECKING:
    from twinset.data.labelled import Labelled
    from twinset.evaluate.detection import DetectionFigures
    from twinset.taxonomy import Taxonomy


@click.command("detector")
@labelled_options("val")
@click.option(
    "--min-score", type=click.FloatRange(0, 1), help="Threshold of precision and recall. [default: the model's]"
)
@click.option(
    "--bootstrap",
    "rounds",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Draws of photos for the 95 % intervals; 0: none.",
)
@click.option(
    "--compare",
    type=FILE,
    help="Figures of another run, as --json printed them: print the differences too, and show them with --html.",
)
@options(strict_option, model_option, threads_option, json_option, html_option)
def evaluate_detector_command(
    voc: Path | None,
    ccp: Path | None,
    coco: Path | None,
    images: Path | None,
    split: str,
    min_score: float | None,
    rounds: int,
    compare: Path | None,
    strict: bool,
    model: str,
    threads: int | None,
    as_json: bool,
    html: Path | None,
) -> None:
    """Print mAP, precision, recall and calibration on labelled photos, source by source where several are given.

    Example: twinset evaluate detector --voc street-voc --split val
    """
    from twinset.cli.progress import terminal_progress
    from twinset.evaluate.detection import evaluate_detector
    from twinset.evaluate.report_detection import read_report, write_detection
    from twinset.models import load_finder

    before = read_report(compare) if compare else None
    finder, taxonomy = load_finder(model, threads, min_score)
    parts = _read(voc, ccp, coco, images, split, strict, taxonomy)
    figures = {}
    for source, labelled in parts.items():
        with terminal_progress("detecting") as progress:
            progress.start(len(labelled.images))
            figures[source] = evaluate_detector(labelled, finder, progress.advance, rounds, strict)
    for problem in (problem for one in figures.values() for problem in one.unread):
        click.echo(problem, err=True)
    changes = {source: _differences(one, source, before, compare) for source, one in figures.items()} if before else {}
    if html:
        write_detection(html, figures, changes)
    if as_json:
        _print_json(figures, changes)
        return
    for source, one in figures.items():
        if len(figures) > 1:
            click.echo(f"{source}:")
        _print_tables(one, changes.get(source))


def _read(
    voc: Path | None,
    ccp: Path | None,
    coco: Path | None,
    images: Path | None,
    split: str,
    strict: bool,
    taxonomy: "Taxonomy",
) -> "dict[str, Labelled]":
    """Return each source's photos by its name. Raises UsageError where there is none."""
    given = [(voc, None, None), (None, ccp, None), (None, None, coco)]
    chosen = [one for one in given if any(one)] or [(None, None, None)]  # which is refused in its own words
    read = [read_labelled(*one, images, split, strict, taxonomy=taxonomy) for one in chosen]
    names = [name for name, file in (("street-voc", voc), ("street-ccp", ccp), ("coco", coco)) if file]
    return dict(zip(names, read, strict=True))


def _differences(
    figures: "DetectionFigures", source: str, before: Mapping[str, Any], file: Path | None
) -> dict[str, float]:
    """Return what is different from the other report's figures of a source. Raises DataError where it has none."""
    from twinset.evaluate.report_detection import differences

    other = before.get("sources", {}).get(source) if "sources" in before else before
    if other is None:
        raise DataError(f"{file}: expected figures of {source}, found {', '.join(before['sources'])}")
    return differences(figures.as_json(), other)


def _print_json(figures: "Mapping[str, DetectionFigures]", changes: Mapping[str, Mapping[str, float]]) -> None:
    """Print one source's figures by name, or those of several by source."""
    shown = {
        source: one.as_json() | ({"difference": changes[source]} if source in changes else {})
        for source, one in figures.items()
    }
    print_json(next(iter(shown.values())) if len(shown) == 1 else {"sources": shown})


def _print_tables(figures: "DetectionFigures", changes: Mapping[str, float] | None) -> None:
    from twinset.evaluate import report_detection as report
    from twinset.tables import print_table

    print_table(*report.detection_table(figures))
    for line in report.interval_lines(figures):
        click.echo(line)
    print_table(*report.size_table(figures))
    print_table(*report.reliability_table(figures))
    if changes is not None:
        print_table(*report.difference_table(changes))
