"""The `twinset evaluate` commands that judge how items are described: same-item, colours."""

from pathlib import Path

import click

from twinset.cli.base import (
    FILE,
    FOLDER,
    html_option,
    json_option,
    model_option,
    options,
    read_rows,
    strict_option,
    threads_option,
)
from twinset.cli.evaluate import show_figures


def add_item_commands(group: click.Group) -> None:
    """Add the commands to `twinset evaluate`."""
    group.add_command(same_item)
    group.add_command(colours)


@click.command("same-item")
@click.argument("folder", type=FOLDER)
@click.option("--categories", type=FILE, help="JSON of item_id and category, for a feed that names them.")
@options(model_option, threads_option, json_option, html_option)
def same_item(
    folder: Path, categories: Path | None, model: str, threads: int | None, as_json: bool, html: Path | None
) -> None:
    """Print how often a photo of a product finds its other photos, by FOLDER/pairs.csv.

    Example: twinset evaluate same-item same-item --html pairs.html
    """
    from twinset.cli.progress import terminal_progress
    from twinset.evaluate import report_items
    from twinset.evaluate.same_item import evaluate_same_item, read_categories, read_pairs
    from twinset.models import load_models

    photos = {image for pair in read_pairs(folder) for image in pair.images}
    given = read_categories(categories) if categories else None
    models = load_models(model, threads)
    with terminal_progress("searching") as progress:
        progress.start(2 * len(photos))
        figures = evaluate_same_item(folder, models, {}, given, progress.advance)
    if html:
        report_items.write_same_item(html, folder, figures)
    show_figures(figures.as_json(), *report_items.same_item_table(figures), as_json)


@click.command("colours")
@click.argument("feed", type=FILE)
@options(strict_option, model_option, threads_option, json_option, html_option)
def colours(feed: Path, strict: bool, model: str, threads: int | None, as_json: bool, html: Path | None) -> None:
    """Print how often an item's colour and attributes are what its feed says, for products whose id ends in 0.

    Example: twinset evaluate colours products.csv --html colours.html
    """
    from twinset.cli.progress import terminal_progress
    from twinset.evaluate import report_items
    from twinset.evaluate.colours import evaluate_colours
    from twinset.evaluate.shots import is_validation
    from twinset.models import load_models

    models = load_models(model, threads)
    rows = read_rows(feed, strict, models.taxonomy)
    with terminal_progress("describing") as progress:
        progress.start(sum(map(is_validation, rows.products)))
        figures = evaluate_colours(rows, models, progress.advance)
    if html:
        report_items.write_colours(html, figures)
    for problem in figures.unread:
        click.echo(problem, err=True)
    show_figures(figures.as_json(), *report_items.colour_table(figures), as_json)
