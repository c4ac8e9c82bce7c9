"""`twinset store copy|check|backup|restore`: a store as a whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twinset.cli.base import json_option, options, print_json, report_error, state_option, store_option

if TYPE_CHECKING:
    from twinset.store.base import Store
    from twinset.store.copy import CopyReport, Told

folder_argument = click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
remove_option = click.option("--remove", is_flag=True, help="Remove from the target what the source lacks.")


@click.group("store")
def store_group() -> None:
    """A store as a whole: copied to another place, looked through, kept safe."""


@store_group.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@options(remove_option, json_option)
def copy(source: str, target: str, remove: bool, as_json: bool) -> None:
    """Copy products, vectors and rules from one store to another, a directory or Milvus; a second run goes on.

    Example: twinset store copy shop http://localhost:19530
    """
    from twinset.store import open_store
    from twinset.store.copy import copy_to

    opened = open_store(source)
    with _told(opened, "copying") as told:
        report = copy_to(opened, target, remove, told)
    _show(report, f"{source} to {target}", as_json)


@store_group.command("check")
@options(store_option, json_option)
def check(store: str, as_json: bool) -> None:
    """Read a whole store and tell what is wrong with it: exit code 1 if anything is.

    Example: twinset store check --store shop
    """
    from twinset.store import open_store
    from twinset.store.check import check_store

    opened = open_store(store)
    found = check_store(opened)
    if as_json:
        about = {"store": opened.uri, "model": opened.model_version}
        print_json(about | {"products": found.products, "items": found.items, "problems": found.problems})
    else:
        for problem in found.problems:
            report_error(problem)
        state = "whole" if not found.problems else f"{len(found.problems)} problems"
        click.echo(f"store {opened.uri}: {found.products:,} products, {found.items:,} items: {state}")
    if found.problems:
        raise SystemExit(1)


@store_group.command("backup")
@folder_argument
@options(store_option, state_option, json_option)
def backup(folder: Path, store: str, state: str, as_json: bool) -> None:
    """Copy a store into a directory, with the service's folder; the same directory again gets what changed since.

    Example: twinset store backup /backups/shop --store http://localhost:19530
    """
    from twinset.server.backup import FOLDER, copy_state
    from twinset.store import open_store
    from twinset.store.copy import backup as back_up

    opened = open_store(store)
    with _told(opened, "backing up") as told:
        report = back_up(opened, folder, told)
    files = copy_state(_state_folder(store, state), folder / FOLDER)
    _show(report, f"{store} to {folder}", as_json, files)


@store_group.command("restore")
@folder_argument
@options(store_option, state_option, remove_option, json_option)
def restore(folder: Path, store: str, state: str, remove: bool, as_json: bool) -> None:
    """Copy a backup to a store of either kind, made if there is none, and the service's folder; stop the service first.

    Example: twinset store restore /backups/shop --store shop
    """
    from twinset.server.backup import FOLDER, copy_state
    from twinset.store import open_store
    from twinset.store.copy import restore as put_back

    with _told(open_store(folder), "restoring") as told:
        report = put_back(folder, store, remove, told)
    files = copy_state(folder / FOLDER, _state_folder(store, state))
    _show(report, f"{folder} to {store}", as_json, files)


def _state_folder(store: str, state: str) -> Path:
    from twinset.server.settings import ServerSettings, state_folder

    return state_folder(ServerSettings(state=state), store)


@contextmanager
def _told(source: "Store", what: str) -> "Iterator[Told]":
    from twinset.cli.progress import terminal_progress

    with terminal_progress(what) as progress:
        progress.start(source.count())
        yield progress.advance


def _show(report: "CopyReport", what: str, as_json: bool, files: int | None = None) -> None:
    if as_json:
        about = {"products": report.products, "written": report.written, "removed": report.removed}
        print_json(about if files is None else about | {"service_files": files})
    else:
        more = "" if files is None else f"; {files:,} files of the service"
        counts = f"{report.products:,} products, {report.written:,} written, {report.removed:,} removed"
        click.echo(f"{what}: {counts}{more}")
