"""`twinset look`, and `train looks` and `evaluate looks` behind it."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twinset.cli.base import (
    FOLDER,
    hit_lines,
    html_option,
    json_option,
    model_option,
    options,
    print_json,
    report_problems,
    store_model_option,
    store_option,
    strict_option,
    threads_option,
    where_option,
)
from twinset.errors import UsageError

if TYPE_CHECKING:
    from twinset.looks.outfits import Outfit
    from twinset.models import Models

voc_option = click.option("--voc", type=FOLDER, help="Street photos with Pascal VOC boxes.")
ccp_option = click.option("--ccp", type=FOLDER, help="Street photos with CCP masks.")


@click.command()
@click.argument("product_id")
@click.option("--shop", "shop_name", default="default", show_default=True, help="The shop the product belongs to.")
@options(store_option)
@click.option("--k", type=click.IntRange(1, 100), default=6, show_default=True, help="Products a category.")
@click.option("--categories", type=click.IntRange(1, 12), default=4, show_default=True, help="Categories to show.")
@options(where_option, html_option, json_option, store_model_option)
def look(
    product_id: str,
    shop_name: str,
    store: str,
    k: int,
    categories: int,
    where: Sequence[str],
    html: Path | None,
    as_json: bool,
    model: str | None,
) -> None:
    """Print products of other categories that go with one of the store's.

    Example: twinset look 1563 --store shop --where in_stock=true
    """
    from twinset.answers import look_json
    from twinset.looks.complete import complete_look
    from twinset.looks.model import load_looks
    from twinset.shop import folder_for, taxonomy_for
    from twinset.store import open_store, parse_where
    from twinset.strips_page import Card, Strip, hit_card, write_strips

    taxonomy = taxonomy_for(store, model)
    parse_where(where, taxonomy)
    looks = load_looks(folder_for(store, model))
    opened = open_store(store)
    parts = complete_look(
        product_id, opened, looks, shop=shop_name, k=k, where=where, categories=categories, taxonomy=taxonomy
    )
    if html:
        product = opened.get(product_id, shop_name).product
        strips = [Strip(f"{part.category}, {part.share:.0%}", tuple(map(hit_card, part.hits))) for part in parts]
        write_strips(html, product.title or product_id, [Strip("", (Card(product, mark="query"),)), *strips])
        click.echo(f"wrote {html}", err=True)
    if as_json:
        print_json(look_json(product_id, parts))
        return
    click.echo(f"{product_id}: {len(parts)} categories go with it")
    for part in parts:
        click.echo(f"  {part.category}  {', '.join(part.colours)}")
        for line in hit_lines(part.hits, "    "):
            click.echo(line)


@click.command("looks")
@options(voc_option, ccp_option)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for looks.json.")
@options(strict_option, model_option, threads_option)
def train_looks_command(
    voc: Path | None, ccp: Path | None, out: Path, strict: bool, model: str, threads: int | None
) -> None:
    """Learn what is worn together from labelled street photos (needs numpy alone, for --ccp scipy).

    Example: twinset train looks --voc street-voc --ccp street-ccp --out runs/looks
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    from twinset.evaluate.looks import evaluate_looks
    from twinset.looks.model import save_looks
    from twinset.looks.train import LookSettings, train_looks
    from twinset.models import load_models

    models = load_models(model, threads)
    train, dev = (_outfits(voc, ccp, split, models, strict) for split in ("train", "dev"))
    trained = train_looks(LookSettings(), train, models.taxonomy.names, tuple(models.taxonomy.colours))
    facts: dict[str, object] = {"outfits": len(train), "described_by": models.version}
    if dev:
        figures = evaluate_looks(dev, trained)
        facts["dev"] = {"top_3": figures.model.top_3, "gain": figures.gain}
    click.echo(save_looks(trained, out, **facts))


@click.command("looks")
@options(voc_option, ccp_option)
@click.option("--split", default="val", show_default=True, help="train, dev, val, several joined by +, or all.")
@options(strict_option, model_option, threads_option, json_option)
def evaluate_looks_command(
    voc: Path | None, ccp: Path | None, split: str, strict: bool, model: str, threads: int | None, as_json: bool
) -> None:
    """Print how often a hidden item of street outfits is guessed, beside guesses by frequency.

    Example: twinset evaluate looks --voc street-voc --ccp street-ccp
    """
    from twinset.evaluate.looks import evaluate_looks
    from twinset.looks.model import load_looks
    from twinset.models import load_models, model_folder
    from twinset.tables import print_table

    looks = load_looks(model_folder(model))
    figures = evaluate_looks(_outfits(voc, ccp, split, load_models(model, threads), strict), looks)
    if as_json:
        print_json(figures.as_json())
        return
    ways = {
        "model": figures.model,
        "frequency": figures.frequency,
        "frequency, unworn categories": figures.frequency_unworn,
    }
    header = ("way", "top 1", "top 3", "top 3 colours of the category")
    print_table(header, [(name, one.top_1, one.top_3, one.colour_top_3) for name, one in ways.items()])
    print_table(("category", "items", "top 3", "by frequency"), [(k, *row) for k, row in figures.per_category.items()])
    click.echo(f"{figures.n} items of {figures.outfits} outfits; {figures.gain:.2f} times as often as frequency")


def _outfits(voc: Path | None, ccp: Path | None, split: str, models: "Models", strict: bool) -> "list[Outfit]":
    """Return the outfits of a split's photos, problems told on stderr."""
    from twinset.cli.progress import terminal_progress
    from twinset.looks.outfits import outfits_of, read_street

    if voc is None and ccp is None:
        raise UsageError("expected --voc, --ccp or both, found neither", field="voc")
    images, problems = read_street(voc, ccp, split, models.taxonomy, strict)
    report_problems(problems)
    with terminal_progress("describing") as progress:
        progress.start(len(images))
        return list(outfits_of(images, models, progress.advance))
