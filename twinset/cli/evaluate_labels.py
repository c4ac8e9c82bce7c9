"""`twinset evaluate audit|closeups`: figures on views and labels made from labelled photos."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twinset.cli.base import json_option, model_option, options, print_json, strict_option, threads_option
from twinset.cli.labelled import detect_all, labelled_options, read_labelled, refuse_level
from twinset.errors import UsageError

if TYPE_CHECKING:
    from twinset.data.labelled import Labelled, LabelledImage


@click.command("audit")
@labelled_options("val")
@click.option("--planted", type=click.IntRange(4), default=200, show_default=True, help="Errors to plant.")
@click.option("--first", type=click.IntRange(1), default=400, show_default=True, help="Suggestions that count.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the planted errors.")
@options(strict_option, model_option, threads_option, json_option)
def audit(
    voc: Path | None,
    ccp: Path | None,
    coco: Path | None,
    images: Path | None,
    split: str,
    planted: int,
    first: int,
    seed: int,
    strict: bool,
    model: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Print how many wrong labels an audit's first suggestions find, and what accepting by rule gains.

    Errors are planted in the corrected labels; where the labels as given are there too, what was corrected in them is
    looked for likewise. The model must not have seen the photos.

    Example: twinset evaluate audit --voc street-voc
    """
    from twinset.data.audit import LOWEST_SCORE
    from twinset.evaluate.audit import evaluate_audit
    from twinset.models import load_models

    finder = load_models(model, threads)
    refuse_level(finder.taxonomy, "corrections name categories")
    own = finder.taxonomy
    truth = read_labelled(voc, ccp, coco, images, split, strict, taxonomy=own)
    if sum(len(image.boxes) for image in truth.images) < planted:
        raise UsageError(f"--planted: expected no more errors than boxes, found {planted}", field="planted")
    photos, found = detect_all(truth.images, finder, LOWEST_SCORE, strict)
    truth = replace(truth, images=photos)
    as_given = None if coco else read_labelled(voc, ccp, None, None, split, strict, corrected=False, taxonomy=own)
    given = _in_order_of(truth, as_given) if as_given else None
    if given is None:
        untold = "what was corrected by hand, and what accepting by rule gains"
        click.echo(f"no corrected labels beside those given: {untold}, can't be measured", err=True)
    figures = evaluate_audit(truth, given, found, finder.categories, planted, first, seed).as_json()
    if as_json:
        print_json(figures)
        return
    from twinset.tables import print_table

    rows = []
    for name in ("planted", "natural"):
        kinds = {kind: row for kind, row in figures[name].items() if isinstance(row, dict)}
        rows += [(f"{name}: {kind}", row["n"], row["found"]) for kind, row in kinds.items()]
        rows += [(name, figures[name]["n"], figures[name]["found"])] if kinds else []
    print_table(("errors", "n", f"in the first {first}"), rows)
    if given:
        header = ("labels", "mean IoU", "F1 at IoU 0.5", "F1 at IoU 0.75")
        keys = ("mean_iou", "f1_50", "f1_75")
        print_table(header, [(name, *(figures[name][key] for key in keys)) for name in ("given", "corrected")])


@click.command("closeups")
@labelled_options("val")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the margins.")
@options(strict_option, model_option, threads_option, json_option)
def closeups(
    voc: Path | None,
    ccp: Path | None,
    coco: Path | None,
    images: Path | None,
    split: str,
    seed: int,
    strict: bool,
    model: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Print how often items cut out closely, and items seen small, are named right.

    Example: twinset evaluate closeups --voc street-voc
    """
    from twinset.cli.progress import terminal_progress
    from twinset.evaluate.closeups import evaluate_closeups
    from twinset.models import load_finder
    from twinset.tables import print_table

    finder, taxonomy = load_finder(model, threads)
    refuse_level(taxonomy, "close-ups are cut of items of categories")
    labelled = read_labelled(voc, ccp, coco, images, split, strict, taxonomy=taxonomy)
    with terminal_progress("detecting") as progress:
        progress.start(len(labelled.images))
        figures = evaluate_closeups(labelled, finder, seed, progress.advance)
    if as_json:
        print_json(figures.as_json())
        return
    near, small = figures.closeups, figures.small
    rows = [(name, n, right, small.per_category[name][1]) for name, (n, right) in near.per_category.items()]
    print_table(
        ("category", "items", "close-ups right", "small right"), [*rows, ("all", near.n, near.right, small.right)]
    )


def _in_order_of(truth: "Labelled", given: "Labelled") -> "Labelled | None":
    """Return the given labels' photos in the truth's order; None where some are missing, or they are the truth."""
    by_path = {image.path.name: image for image in given.images}
    if any(image.path.name not in by_path for image in truth.images):
        return None
    images = [by_path[image.path.name] for image in truth.images]
    if all(_same_labels(image, right) for image, right in zip(images, truth.images, strict=True)):
        return None
    return replace(given, images=images)


def _same_labels(image: "LabelledImage", other: "LabelledImage") -> bool:
    same = image.labels == other.labels and (image.boxes == other.boxes).all() and (image.crowd == other.crowd).all()
    return bool(same)
