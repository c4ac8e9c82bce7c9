"""`twinset keys add|list|remove`: API keys of the service."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twinset.cli.base import json_option, options, print_json, state_option, store_option

if TYPE_CHECKING:
    from twinset.server.keys import Key, KeyFile


@click.group()
def keys() -> None:
    """API keys, one shop each. As long as there are none, anybody may search and this machine may write."""


@keys.command("add")
@click.option("--shop", default="default", show_default=True, help="The shop it opens; '*' for all.")
@click.option(
    "--role",
    type=click.Choice(["search", "write", "admin"]),
    default="search",
    show_default=True,
    help="search: what shoppers do; write: products too; admin: reports too.",
)
@click.option("--origin", "origins", multiple=True, help="A page's origin it works on; repeat for more. [default: any]")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Requests a second. [default: the service's]")
@click.option("--note", default="", help="What it's for.")
@options(store_option, state_option, json_option)
def add_key(
    shop: str,
    role: str,
    origins: Sequence[str],
    rate: float | None,
    note: str,
    store: str,
    state: str,
    as_json: bool,
) -> None:
    """Make a key and print it, this once: only its hash is kept.

    Example: twinset keys add --store shop --role write --note "nightly import"
    """
    kept, text = _file(store, state).add(shop, role, note, origins, rate)
    if as_json:
        print_json({"key": text} | _key_json(kept))
        return
    click.echo(text)
    click.echo(f"key {kept.id}: {kept.role} for shop {kept.shop}; keep it, it can't be shown again", err=True)


@keys.command("list")
@options(store_option, state_option, json_option)
def list_keys(store: str, state: str, as_json: bool) -> None:
    """List the keys by id, shop and role, without what opens.

    Example: twinset keys list --store shop
    """
    for key in _file(store, state).all():
        if as_json:
            print_json(_key_json(key))
        else:
            more = "  ".join(part for part in (" ".join(key.origins), key.note) if part)
            click.echo(f"{key.id}  {key.role:<6}  {key.shop}  {key.created_at}  {more}".rstrip())


@keys.command("remove")
@click.argument("key_id")
@options(store_option, state_option)
def remove_key(key_id: str, store: str, state: str) -> None:
    """Remove a key by the id that list shows; the service refuses it from then on.

    Example: twinset keys remove 1a2b3c4d --store shop
    """
    removed = _file(store, state).remove(key_id)
    click.echo(f"removed key {removed.id}: {removed.role} for shop {removed.shop}")


def _file(store: str, state: str) -> "KeyFile":
    """Return the keys beside a store. Raises StoreError where there is none: a mistyped path would open the service."""
    from twinset.errors import StoreError
    from twinset.server.keys import FILE, KeyFile
    from twinset.server.settings import ServerSettings, state_folder

    if not state and "://" not in store and not Path(store).is_dir():
        raise StoreError(f"store {store}: expected a directory written by twinset index, found none; check --store")
    return KeyFile(state_folder(ServerSettings(state=state), store) / FILE)


def _key_json(key: "Key") -> dict[str, object]:
    names = ("id", "shop", "role", "created_at", "note", "origins", "rate")
    return {name: getattr(key, name) for name in names}
