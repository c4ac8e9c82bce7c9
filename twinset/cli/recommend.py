"""`twinset similar`, `colours`, `cheaper`, `look` and `duplicates`: what a shop shows beside a product, and what it has
twice.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twinset.cli.base import (
    explain_option,
    hit_lines,
    html_option,
    json_option,
    k_option,
    min_score_option,
    offset_option,
    options,
    print_json,
    store_option,
    where_option,
)

if TYPE_CHECKING:
    from twinset.store import Store
    from twinset.taxonomy import Taxonomy
    from twinset.types import Hit

product_argument = click.argument("product_id")
shop_option = click.option(
    "--shop", "shop_name", default="default", show_default=True, help="The shop the product belongs to."
)
known_model_option = click.option(
    "--model",
    help="Refuse a store that was filled by another model than this; --where knows its categories. "
    "[default: any will do]",
)
_product = (product_argument, shop_option, store_option)
_shown = (where_option, html_option, json_option, known_model_option)


@click.command()
@options(*_product, k_option)
@click.option(
    "--diversity",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="0: the most alike; towards 1: hits less like each other.",
)
@click.option("--merge-copies", is_flag=True, help="Show near-duplicate listings as one hit.")
@options(min_score_option, offset_option, explain_option, *_shown)
def similar(
    product_id: str,
    shop_name: str,
    store: str,
    k: int,
    diversity: float,
    merge_copies: bool,
    min_score: float,
    offset: int,
    explain: bool,
    where: Sequence[str],
    html: Path | None,
    as_json: bool,
    model: str | None,
) -> None:
    """Print the products most similar to one of the store's.

    Example: twinset similar 1563 --store shop --where colour=blue
    """
    from twinset.answers import similar_json
    from twinset.hits import Wanted, similar_page
    from twinset.recommend import similar_products
    from twinset.store import Key

    Wanted(k, offset, min_score)  # what is wrong with the command comes first
    opened, taxonomy = _opened(store, model, where)
    wanted = Wanted(k, offset, min_score, where, shop_name, explain=explain, taxonomy=taxonomy)
    hits = similar_products(
        product_id,
        opened,
        shop=shop_name,
        k=k,
        where=where,
        min_score=min_score,
        offset=offset,
        diversity=diversity,
        merge_copies=merge_copies,
        taxonomy=taxonomy,
    )
    plan = similar_page(opened, Key(shop_name, product_id), wanted).plan if explain else ""
    _write_html(html, opened, product_id, shop_name, [("similar", hits)])
    if as_json:
        print_json(similar_json(product_id, hits, plan))
        return
    click.echo(f"{product_id}: {len(hits)} similar products")
    for line in [*([f"  plan: {plan}"] if plan else []), *hit_lines(hits, "  ")]:
        click.echo(line)


@click.command()
@options(*_product)
@click.option("--k", type=click.IntRange(1, 100), default=12, show_default=True, help="Colours.")
@options(*_shown)
def colours(
    product_id: str,
    shop_name: str,
    store: str,
    k: int,
    where: Sequence[str],
    html: Path | None,
    as_json: bool,
    model: str | None,
) -> None:
    """Print what a product comes in, or has its like in, in other colours.

    Example: twinset colours 1563 --store shop
    """
    from twinset.answers import colours_json
    from twinset.recommend import other_colours

    opened, taxonomy = _opened(store, model, where)
    found = other_colours(product_id, opened, shop=shop_name, k=k, where=where, taxonomy=taxonomy)
    _write_html(html, opened, product_id, shop_name, [(one.colour, [one.hit]) for one in found])
    if as_json:
        print_json(colours_json(product_id, found))
        return
    click.echo(f"{product_id}: {len(found)} other colours")
    for one in found:
        what = "the same" if one.same_product else "its like"
        click.echo(f"  {one.colour:<12} {what}  {hit_lines([one.hit], '')[0]}")


@click.command()
@options(*_product, k_option, *_shown)
def cheaper(
    product_id: str,
    shop_name: str,
    store: str,
    k: int,
    where: Sequence[str],
    html: Path | None,
    as_json: bool,
    model: str | None,
) -> None:
    """Print products like one of the store's that cost less.

    Example: twinset cheaper 1563 --store shop
    """
    from twinset.answers import cheaper_json
    from twinset.recommend import cheaper_products, price_of

    opened, taxonomy = _opened(store, model, where)
    hits = cheaper_products(product_id, opened, shop=shop_name, k=k, where=where, taxonomy=taxonomy)
    price = price_of(opened.get(product_id, shop_name).product)
    _write_html(html, opened, product_id, shop_name, [("cheaper", hits)])
    if as_json:
        print_json(cheaper_json(product_id, price, hits))
        return
    click.echo(f"{product_id}: {len(hits)} similar products below {'its price' if price is None else f'{price:,.2f}'}")
    for line in hit_lines(hits, "  "):
        click.echo(line)


@click.command()
@options(store_option)
@click.option("--shop", "shop_name", help="Look through one shop. [default: each of all]")
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1, min_open=True),
    help="Likeness of two pictures from which they count as one. [default: 0.99]",
)
@options(html_option, json_option)
def duplicates(store: str, shop_name: str | None, min_score: float | None, html: Path | None, as_json: bool) -> None:
    """List products that a shop seems to have twice, by their first pictures.

    Example: twinset duplicates --store shop --html twice.html
    """
    from twinset.answers import copies_json
    from twinset.copies import COPY_SCORE, find_copies
    from twinset.store import open_store
    from twinset.strips_page import Card, Strip, write_strips

    found = find_copies(open_store(store), shop=shop_name, min_score=COPY_SCORE if min_score is None else min_score)
    if html:
        strips = [
            Strip(f"{one.category or 'no category'}, {one.score:.3f}", tuple(map(Card, one.products))) for one in found
        ]
        write_strips(html, f"{len(found)} groups of near-duplicate listings", strips)
        click.echo(f"wrote {html}", err=True)
    for one in found:
        if as_json:
            print_json(copies_json(one))
        else:
            same = "same picture" if one.same_picture else f"{one.score:.3f}"
            click.echo(f"{same:<12}  {', '.join(product.product_id for product in one.products)}")
            click.echo(f"{'':<12}  {' '.join(one.products[0].title.split())}")
    if not as_json:
        more = sum(len(one.products) - 1 for one in found)
        click.echo(f"{len(found)} groups, {more} listings more than products")


def _opened(store: str, model: str | None, where: Sequence[str]) -> "tuple[Store, Taxonomy]":
    """Return a store and its model's taxonomy; what is wrong with the command comes before what is wrong with it."""
    from twinset.models import model_folder, model_version
    from twinset.shop import taxonomy_for
    from twinset.store import open_store, parse_where

    taxonomy = taxonomy_for(store, model)
    parse_where(where, taxonomy)
    return open_store(store, model_version(model_folder(model)) if model else None), taxonomy


def _write_html(
    html: Path | None, store: "Store", product_id: str, shop: str, strips: "Sequence[tuple[str, Sequence[Hit]]]"
) -> None:
    """Write a page of the product and of strips of hits, if one was asked for."""
    if html is None:
        return
    from twinset.strips_page import Card, Strip, hit_card, write_strips

    product = store.get(product_id, shop).product
    rows = [Strip(heading, tuple(map(hit_card, hits))) for heading, hits in strips]
    write_strips(html, product.title or product_id, [Strip("", (Card(product, mark="query"),)), *rows])
    click.echo(f"wrote {html}", err=True)
