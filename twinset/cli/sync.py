"""`twinset sync`: a store that follows a shop's feed."""

from pathlib import Path

import click

from twinset.cli.base import (
    FILE,
    json_option,
    options,
    print_json,
    report_failed,
    report_types,
    store_model_option,
    store_option,
    threads_option,
)


@click.command()
@click.argument("feed", type=FILE)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["twinset", "google", "shopify", "woocommerce"]),
    default="twinset",
    show_default=True,
    help="What wrote the feed: Google Merchant Center (TSV or XML), Shopify or WooCommerce (CSV).",
)
@click.option("--shop", default="default", show_default=True, help="The shop whose products they are, all of them.")
@click.option(
    "--max-loss",
    type=click.FloatRange(0, 1),
    default=0.2,
    show_default=True,
    help="Stop at a feed that lacks more than this share of the stored products.",
)
@click.option("--yes", is_flag=True, help="Remove what is gone from the feed, however much.")
@click.option("--dry-run", is_flag=True, help="Tell what would be removed, and change nothing.")
@click.option("--currency", help="Of prices that name none, such as EUR.")
@click.option("--site", default="", help="https://shop.example, for links to products that the export lacks.")
@click.option(
    "--allow-private", is_flag=True, help="Fetch images from private addresses too: only for a feed you trust."
)
@options(store_option, store_model_option, threads_option, json_option)
def sync(
    feed: Path,
    kind: str,
    shop: str,
    max_loss: float,
    yes: bool,
    dry_run: bool,
    currency: str | None,
    site: str,
    allow_private: bool,
    store: str,
    model: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Make a shop's products those of its feed: add, change, and remove what is gone.

    Example: twinset sync products_export.csv --format shopify --store shop
    """
    from twinset.answers import sync_json
    from twinset.cli.progress import terminal_progress
    from twinset.data.exports import Export, read_export
    from twinset.models import load_models
    from twinset.shop import model_for, taxonomy_for
    from twinset.store import open_store
    from twinset.sync import all_ids_read, gone_keys, sync_feed

    max_loss = 1.0 if yes else max_loss
    rows = read_export(Export(feed, shop, currency, site), kind, taxonomy_for(store, model))
    if dry_run:
        opened = open_store(store)
        lacking = gone_keys(rows, opened.fingerprints(), shop, max_loss)
        report_failed(feed, rows.failed)
        _tell_unsure(feed, 0 if all_ids_read(rows) else len(lacking))
        for key in lacking if all_ids_read(rows) else ():
            if as_json:
                print_json({"product_id": key.product_id, "shop": key.shop})
            else:
                click.echo(key.product_id)
        return
    models = load_models(model or model_for(store), threads)
    opened = open_store(store, models.version, create=True, dim=models.dim)
    with terminal_progress("syncing") as progress:
        report = sync_feed(
            rows, opened, models, shop=shop, max_loss=max_loss, progress=progress, allow_private=allow_private
        )
    report_types(feed, report.unknown_types)
    _tell_unsure(feed, report.unsure)
    if as_json:
        print_json(sync_json(report))
        return
    report_failed(feed, report.failed)
    click.echo(
        f"{report.products} products: {report.added} added, {report.changed} changed, {report.unchanged} unchanged, "
        f"{report.removed} removed, {len(report.failed)} failed, in {report.seconds:.1f} s"
    )


def _tell_unsure(feed: Path, count: int) -> None:
    if count:
        click.echo(
            f"{feed}: {count} products it lacks are not removed: a row whose product_id can't be read may be theirs",
            err=True,
        )
