"""`twinset rules show|set`: what a merchandiser wants of a shop's hits."""

import json
import sys
from pathlib import Path

import click

from twinset.cli.base import json_option, options, print_json, store_model_option, store_option
from twinset.errors import DataError, NotFound

shop_option = click.option("--shop", default="default", show_default=True, help="The shop whose rules they are.")


@click.group()
def rules() -> None:
    """A shop's rules: only what is in stock; boost, bury and pin products. Searches go by them at once."""


@rules.command("show")
@options(store_option, shop_option)
@click.option("--schema", is_flag=True, help="Print the JSON schema of rules instead.")
@json_option
def show_rules(store: str, shop: str, schema: bool, as_json: bool) -> None:
    """Print a shop's rules, as set takes them.

    Example: twinset rules show --store shop
    """
    from twinset.rules import Rules, load_rules
    from twinset.store import open_store

    shown = Rules.model_json_schema() if schema else load_rules(open_store(store), shop).model_dump(mode="json")
    if as_json:
        print_json(shown)
        return
    click.echo(json.dumps(shown, ensure_ascii=False, indent=2))


@rules.command("set")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@options(store_option, shop_option, store_model_option)
def set_rules(file: Path, store: str, shop: str, model: str | None) -> None:
    """Put the rules in a JSON file, or - for stdin, in the place of a shop's own; {} removes them.

    Example: twinset rules set rules.json --store shop
    """
    from twinset.rules import parse_rules, save_rules
    from twinset.shop import taxonomy_for
    from twinset.store import open_store

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(f"{file}: expected rules as JSON in UTF-8, found: {exc}; check the path") from exc
    read = parse_rules(text, taxonomy_for(store, model))
    opened = open_store(store)
    save_rules(opened, read, shop)
    for pin in read.pin:
        try:
            opened.get(pin.product_id, shop)
        except NotFound:
            click.echo(f"pin of {pin.product_id}: shop {shop} has no such product yet", err=True)
    click.echo(f"rules of shop {shop}: {read.describe() or 'none'}")
