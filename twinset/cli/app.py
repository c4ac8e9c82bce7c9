"""The command line: parse, call one library function, print. Results on stdout, everything else on stderr."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from twinset import __version__
from twinset.boxes import parse_box
from twinset.cli.base import (
    FILE,
    Cli,
    check_category,
    explain_option,
    facet_lines,
    facet_option,
    hit_lines,
    html_option,
    item_line,
    json_option,
    k_option,
    min_score_option,
    model_option,
    offset_option,
    options,
    print_json,
    report_error,
    report_failed,
    report_types,
    store_model_option,
    store_option,
    strict_option,
    threads_option,
    where_option,
)
from twinset.cli.bench import bench_commands
from twinset.cli.config import config, read_config, serve_options
from twinset.cli.data import data
from twinset.cli.detector import train_detector_command
from twinset.cli.evaluate import bench, evaluate
from twinset.cli.evaluate_detector import evaluate_detector_command
from twinset.cli.evaluate_items import add_item_commands
from twinset.cli.evaluate_labels import audit, closeups
from twinset.cli.export import export
from twinset.cli.keys import keys
from twinset.cli.label import label_commands
from twinset.cli.learn import learn
from twinset.cli.looks import evaluate_looks_command, look, train_looks_command
from twinset.cli.new import new
from twinset.cli.recommend import cheaper, colours, duplicates, similar
from twinset.cli.rollout import reindex, rollout
from twinset.cli.rules import rules
from twinset.cli.store import store_group
from twinset.cli.sync import sync
from twinset.cli.train import train
from twinset.cli.tune import tune
from twinset.errors import DataError, UsageError
from twinset.runtime import RUNTIME

photo_arguments = click.argument("paths", nargs=-1, required=True, metavar="PATH...")


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a stream somebody put in its place
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    cli()


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="twinset")
def cli() -> None:
    """Visual search for fashion shops: show a photo, get the shop's most similar products, item by item."""


@cli.command()
@photo_arguments
@click.option("--min-score", type=click.FloatRange(0, 1), help="Show items from this score on. [default: the model's]")
@options(json_option, model_option, threads_option)
def detect(paths: Sequence[str], min_score: float | None, as_json: bool, model: str, threads: int | None) -> None:
    """Print the items in photos, best first. Folders are walked.

    Example: twinset detect street.jpg --json
    """
    from twinset.answers import detect_json
    from twinset.models import load_models
    from twinset.search import detect_image

    models = load_models(model, threads)
    with _Photos(paths) as photos:
        for name, photo in photos:
            items = detect_image(photo, models, min_score)
            if as_json:
                print_json(detect_json((photo.width, photo.height), items, name))
            else:
                click.echo(_photo_line(name, items))
                for item in items:
                    click.echo(f"  {item_line(item)}")


@cli.command()
@click.argument("feed", type=FILE)
@strict_option
@click.option("--map", "mapping", multiple=True, metavar="COLUMN=FIELD", help="Read a feed's column as another field.")
@click.option(
    "--allow-private", is_flag=True, help="Fetch images from private addresses too: only for a feed you trust."
)
@click.option(
    "--ray", "address", metavar="ADDRESS", help="Describe on this Ray cluster: auto, HOST:6379, ray://HOST:10001."
)
@options(store_option, store_model_option, threads_option, json_option)
def index(
    feed: Path,
    strict: bool,
    mapping: Sequence[str],
    allow_private: bool,
    address: str | None,
    store: str,
    model: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Put a feed's products into the store; a second run does only what changed.

    Example: twinset index products.csv --store shop
    """
    from twinset.answers import index_json
    from twinset.cli.progress import terminal_progress
    from twinset.indexing import index_feed
    from twinset.models import load_models
    from twinset.shop import model_for
    from twinset.spread import LoadNamed, index_spread

    rename = _renames(mapping)
    name = model or model_for(store)
    models = load_models(name, threads)
    run = partial(index_spread, load=LoadNamed(name), address=address) if address else index_feed
    with terminal_progress("indexing") as progress:
        report = run(feed, store, models, rename=rename, strict=strict, progress=progress, allow_private=allow_private)
    report_types(feed, report.unknown_types)
    if as_json:
        print_json(index_json(report))
        return
    report_failed(feed, report.failed)
    click.echo(
        f"{report.products} products: {report.indexed} indexed, {report.unchanged} unchanged, "
        f"{len(report.failed)} failed, in {report.seconds:.1f} s"
    )


@cli.command()
@click.argument("paths", nargs=-1, metavar="[PATH...]")
@options(store_option, k_option)
@click.option("--words", metavar="TEXT", help="What to look for; beside photos what should be otherwise.")
@click.option(
    "--category", metavar="CATEGORY", help="Keep items of this category; with --box the category of the crop."
)
@click.option("--box", metavar="X1,Y1,X2,Y2", help="Search this part of the one photo, in pixels after rotation.")
@click.option("--whole", is_flag=True, help="Search the whole photo, over all categories.")
@options(where_option)
@click.option("--shop", "shop_name", help="Search this shop alone, by its rules. [default: all, by default's rules]")
@options(min_score_option, offset_option, facet_option, explain_option)
@options(html_option, json_option, store_model_option, threads_option)
def search(
    paths: Sequence[str],
    store: str,
    k: int,
    words: str | None,
    category: str | None,
    box: str | None,
    whole: bool,
    where: Sequence[str],
    shop_name: str | None,
    min_score: float,
    offset: int,
    facets: Sequence[str],
    explain: bool,
    html: Path | None,
    as_json: bool,
    model: str | None,
    threads: int | None,
) -> None:
    """Print, for each item in photos, the store's most similar products; with --words alone, those that are meant.

    Example: twinset search street.jpg --store shop --words "like this but red" --where "price<50"
    """
    from twinset.answers import search_json, words_json
    from twinset.hits import Wanted
    from twinset.search_page import write_search_page
    from twinset.shop import open_shop, taxonomy_for
    from twinset.word_search import words_page

    taxonomy = taxonomy_for(store, model)
    check_category(category, taxonomy)  # what is wrong with the command comes first
    wanted = Wanted(k, offset, min_score, where, shop_name, facets, explain, taxonomy=taxonomy)
    if not paths and words is None:
        raise UsageError("expected photos, --words or both, found neither", field="words")
    corners = _check_search(paths, category, box, whole)
    if not paths and html:
        raise UsageError("--html: expected photos to show, found words alone", field="html")
    shop = open_shop(store, model, threads)
    if not paths:
        page = words_page(words or "", shop.models, shop.store, wanted, category)
        if as_json:
            print_json(words_json(words or "", page))
        plan = [f"plan: {page.plan}"] if explain else []
        for line in () if as_json else [*plan, *hit_lines(page.hits, ""), *facet_lines(page.facets, "")]:
            click.echo(line)
        return
    shown = []
    with _Photos(paths) as photos:
        for name, photo in photos:
            items = shop.search(
                photo,
                k=k,
                category=category,
                box=corners,
                whole=whole,
                where=where,
                shop=shop_name,
                min_score=min_score,
                offset=offset,
                facets=facets,
                explain=explain,
                words=words or "",
            )
            if html:
                shown.append((name, photo, items))
            if as_json:
                print_json(search_json((photo.width, photo.height), items, name))
            else:
                click.echo(_photo_line(name, items))
                for item in items:
                    click.echo(f"  {item_line(item)}")
                    plan = [f"    plan: {item.plan}"] if explain else []
                    for line in [*plan, *hit_lines(item.hits, "    "), *facet_lines(item.facets, "    ")]:
                        click.echo(line)
        if html and shown:
            write_search_page(html, shown)
            click.echo(f"wrote {html}", err=True)


@cli.command()
@serve_options
def serve(config: Path | None, settings: Sequence[str], **flags: Any) -> None:
    """Answer over HTTP, with a page to search by photo.

    Example: twinset serve --store shop --port 8000
    """
    from twinset.server.run import serve as run

    asked = read_config(config, settings)
    os.environ[RUNTIME] = asked.runtime  # of this process and of those it starts
    with contextlib.suppress(KeyboardInterrupt):
        run(
            asked.store,
            model=asked.model or None,
            threads=asked.threads or None,
            host=asked.host,
            port=asked.port,
            settings=asked.settings,
            processes=asked.processes,
            log_format=asked.log_format,
        )


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen on.")
@click.option("--no-open", is_flag=True, help="Print the page's address without opening it.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Where to keep the drawn shop.")
@options(model_option, threads_option)
def demo(port: int, no_open: bool, folder: Path | None, model: str, threads: int | None) -> None:
    """Draw a sample shop, index it and open its page: no data, no network.

    Example: twinset demo
    """
    from twinset.demo import run_demo

    with contextlib.suppress(KeyboardInterrupt):
        run_demo(port, not no_open, folder, model, threads)


@cli.command()
@json_option
def models(as_json: bool) -> None:
    """List the models that can be given to --model.

    Example: twinset models
    """
    from twinset.detect.detector import load_config
    from twinset.models import model_folder, model_names, model_version

    for name in model_names():
        folder = model_folder(name)
        categories = load_config(folder / "detector.json").categories
        size = sum(file.stat().st_size for file in folder.glob("*.onnx"))
        card = folder / "card.md"
        entry = {"name": name, "version": model_version(folder), "bytes": size, "categories": categories}
        if as_json:
            print_json(entry | {"card": str(card)})
        else:
            click.echo(f"{name}  {entry['version']}  {size / 1e6:.1f} MB  {len(categories)} categories")
            click.echo(f"  card: {card}")


for command in (similar, colours, cheaper, look, duplicates):
    cli.add_command(command)
cli.add_command(train)
train.add_command(train_detector_command)
train.add_command(train_looks_command)
evaluate.add_command(evaluate_detector_command)
evaluate.add_command(evaluate_looks_command)
cli.add_command(tune)
cli.add_command(export)
cli.add_command(data)
add_item_commands(evaluate)
for command in label_commands:
    data.add_command(command)
cli.add_command(evaluate)
evaluate.add_command(audit)
evaluate.add_command(closeups)
cli.add_command(bench)
for command in bench_commands:
    bench.add_command(command)
cli.add_command(sync)
cli.add_command(store_group)
cli.add_command(reindex)
cli.add_command(rollout)
cli.add_command(rules)
cli.add_command(keys)
cli.add_command(learn)
cli.add_command(config)
cli.add_command(new)


class _Photos:
    """The photos of some paths as (name, photo). An unreadable one gets a line on stderr, and exit code 1."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self.failed = 0

    def __enter__(self) -> Iterator[tuple[str, Any]]:
        return self._read()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None and self.failed:
            sys.stdout.flush()
            raise SystemExit(1)

    def _read(self) -> Iterator[tuple[str, Any]]:
        from twinset.images import read_photo, walk_images

        empty = True
        for name, path in walk_images(self.paths):
            empty = False
            try:
                photo = read_photo(path)
            except DataError as exc:
                report_error(exc)
                self.failed += 1
                continue
            yield name, photo
        if empty:
            raise DataError(f"{', '.join(self.paths)}: expected photos, found a folder without any; check the path")


def _check_search(
    paths: Sequence[str], category: str | None, box: str | None, whole: bool
) -> tuple[float, float, float, float] | None:
    """Return --box as numbers. Raises UsageError for what can't be asked, before models and a store are loaded."""
    from twinset.images import walk_images

    corners = None if box is None else parse_box(box)
    if whole and (corners or category):
        other = "--box" if corners else "--category"
        raise UsageError(f"--whole: expected no {other} beside it, found both; leave one out", field="whole")
    if corners and (count := len(list(walk_images(paths)))) != 1:
        raise UsageError(f"--box: expected exactly one photo, found {count}; search them one by one", field="box")
    return corners


def _photo_line(name: str, items: Sequence[Any]) -> str:
    return f"{name}: {len(items)} item{'' if len(items) == 1 else 's'}"


def _renames(mapping: Sequence[str]) -> dict[str, str]:
    """Return what columns are called instead, from texts COLUMN=FIELD. Raises UsageError."""
    renames: dict[str, str] = {}
    for entry in mapping:
        column, separator, name = entry.partition("=")
        if not separator or not column or not name:
            raise UsageError(f"--map: expected COLUMN=FIELD, found {entry!r}", field="map")
        if column in renames:
            raise UsageError(
                f"--map: expected one field for column {column!r}, found several; map it once", field="map"
            )
        renames[column] = name
    return renames
