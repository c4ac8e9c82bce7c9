"""The command line: parse, call one library function, print. Results on stdout, everything else on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from twinset import __version__
from twinset.boxes import parse_box
from twinset.cli_evaluate import bench, evaluate
from twinset.cli_train import train
from twinset.errors import TwinsetError, UsageError

F = TypeVar("F", bound=Callable[..., Any])


class Cli(click.Group):
    """Ends expected errors as one line on stderr: exit 2 for wrong usage, 1 for what is wrong with data."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UsageError as exc:
            _fail(exc, 2)
        except TwinsetError as exc:
            _fail(exc, 1)


def _fail(problem: object, code: int) -> None:
    click.echo(f"Error: {' '.join(str(problem).split())}", err=True)
    raise SystemExit(code)


def main() -> None:
    """Run the command line."""
    try:
        cli()
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


store_option = click.option(
    "--store", envvar="TWINSET_STORE", default="twinset-store", show_default=True, help="The store's folder or URI."
)
model_option = click.option(
    "--model", default="default", show_default=True, help="Weights: default, or a folder that holds them."
)
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads to use; by default all this container may use."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
where_option = click.option(
    "--where",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Keep products for which this holds; repeat to add conditions.",
)
k_option = click.option("--k", type=click.IntRange(1, 1000), default=24, show_default=True, help="Hits an item.")
image_arguments = click.argument("paths", nargs=-1, required=True, metavar="PATH...")


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="twinset")
def cli() -> None:
    """Visual search for fashion shops: show a photo, get the shop's most similar products, item by item."""


@cli.command()
@image_arguments
@click.option("--min-score", type=click.FloatRange(0, 1), help="Show items from this score on. [default: the model's]")
@_options(json_option, model_option, threads_option)
def detect(paths: Sequence[str], min_score: float | None, as_json: bool, model: str, threads: int | None) -> None:
    """Print the items in photos, best first. Folders are walked.

    Example: twinset detect street.jpg --json
    """
    from twinset.answers import detect_json
    from twinset.models import load_models
    from twinset.search import detect_image

    models = load_models(model, threads)
    with _Photos(paths) as photos:
        for name, image in photos:
            items = detect_image(image, models, min_score)
            if as_json:
                _print_json(detect_json(_size_wh(image), items, name))
            else:
                click.echo(f"{name}: {len(items)} items")
                for item in items:
                    click.echo(f"  {_item_line(item)}")


@cli.command()
@click.argument("feed", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Stop at the first bad row or unreadable image instead of going on.")
@click.option("--map", "mapping", multiple=True, metavar="COLUMN=FIELD", help="Read a feed's column as another field.")
@_options(store_option, model_option, threads_option, json_option)
def index(
    feed: Path, strict: bool, mapping: Sequence[str], store: str, model: str, threads: int | None, as_json: bool
) -> None:
    """Put a feed's products into the store; a second run does only what changed.

    Example: twinset index products.csv --store shop
    """
    from twinset.answers import index_json
    from twinset.cli_progress import terminal_progress
    from twinset.indexing import index_feed
    from twinset.models import load_models

    rename = dict(_pair(entry) for entry in mapping)
    models = load_models(model, threads)
    with terminal_progress("indexing") as progress:
        report = index_feed(feed, store, models, rename=rename, strict=strict, progress=progress)
    if as_json:
        _print_json(index_json(report))
        return
    for row in report.failed:
        click.echo(f"{feed}:{row.line}: {row.product_id or 'no id'}: {row.reason}", err=True)
    click.echo(
        f"{report.products} products: {report.indexed} indexed, {report.unchanged} unchanged, "
        f"{len(report.failed)} failed, in {report.seconds:.1f} s"
    )


@cli.command()
@image_arguments
@_options(store_option, k_option)
@click.option("--category", help="Keep items of this category; with --box the category of the crop.")
@click.option("--box", metavar="X1,Y1,X2,Y2", help="Search this part of the one photo, in pixels after rotation.")
@click.option("--whole", is_flag=True, help="Search the whole photo, over all categories.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with the pictures.")
@_options(where_option, json_option, model_option, threads_option)
def search(
    paths: Sequence[str],
    store: str,
    k: int,
    category: str | None,
    box: str | None,
    whole: bool,
    html: Path | None,
    where: Sequence[str],
    as_json: bool,
    model: str,
    threads: int | None,
) -> None:
    """Print, for each item in photos, the store's most similar products.

    Example: twinset search street.jpg --store shop --where "price<50"
    """
    from twinset.answers import search_json
    from twinset.search_page import write_search_page
    from twinset.shop import open_shop

    corners = parse_box(box) if box else None
    if corners and whole:
        raise UsageError("expected --box or --whole, found both; leave one out", field="whole")
    if corners and (len(paths) != 1 or Path(paths[0]).is_dir()):
        raise UsageError(f"--box: expected exactly one photo, found {len(paths)} paths or a folder", field="box")
    shop = open_shop(store, model, threads)
    shown = []
    with _Photos(paths) as photos:
        for name, image in photos:
            items = shop.search(image, k=k, category=category, box=corners, whole=whole, where=where)
            if html:
                shown.append((name, image, items))
            if as_json:
                _print_json(search_json(_size_wh(image), items, name))
            else:
                click.echo(f"{name}: {len(items)} items")
                for item in items:
                    click.echo(f"  {_item_line(item)}")
                    _print_hits(item.hits, "    ")
        if html:
            write_search_page(html, shown)
            click.echo(f"wrote {html}", err=True)


@cli.command()
@click.argument("product_id")
@click.option("--shop", "shop_name", default="default", show_default=True, help="The shop the product belongs to.")
@_options(store_option, k_option, where_option, json_option)
def similar(product_id: str, shop_name: str, store: str, k: int, where: Sequence[str], as_json: bool) -> None:
    """Print the products most similar to one of the store's.

    Example: twinset similar 1563 --store shop --where colour=blue
    """
    from twinset.answers import similar_json
    from twinset.recommend import similar_products
    from twinset.store import open_store

    hits = similar_products(product_id, open_store(store), shop=shop_name, k=k, where=where)
    if as_json:
        _print_json(similar_json(product_id, hits))
    else:
        click.echo(f"{product_id}: {len(hits)} similar products")
        _print_hits(hits, "  ")


@cli.command()
@_options(store_option, model_option, threads_option)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen on.")
def serve(store: str, model: str, threads: int | None, host: str, port: int) -> None:
    """Answer over HTTP, with a page to search by photo.

    Example: twinset serve --store shop --port 8000
    """
    from twinset.server.run import serve as run

    run(store, model=model, threads=threads, host=host, port=port)


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen on.")
@click.option("--no-open", is_flag=True, help="Print the page's address without opening it.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Where to keep the drawn shop.")
@model_option
def demo(port: int, no_open: bool, folder: Path | None, model: str) -> None:
    """Draw a sample shop, index it and open its page: no data, no network.

    Example: twinset demo
    """
    from twinset.demo import run_demo

    run_demo(port, not no_open, folder, model)


@cli.command()
@json_option
def models(as_json: bool) -> None:
    """List the models that can be given to --model.

    Example: twinset models
    """
    from twinset.models import model_folder, model_names, model_version

    for name in model_names():
        folder = model_folder(name)
        facts = json.loads((folder / "detector.json").read_text(encoding="utf-8"))
        size = sum(file.stat().st_size for file in folder.glob("*.onnx"))
        entry = {"name": name, "version": model_version(folder), "bytes": size, "categories": facts["categories"]}
        if as_json:
            _print_json(entry)
        else:
            click.echo(f"{name}  {entry['version']}  {size / 1e6:.1f} MB  {len(facts['categories'])} categories")
            click.echo(f"  card: {folder / 'card.md'}")


cli.add_command(train)
cli.add_command(evaluate)
cli.add_command(bench)


class _Photos:
    """The photos of some paths as (name, image). An unreadable one gets a line on stderr, and exit code 1."""

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
        from twinset.errors import DataError
        from twinset.images import read_image, walk_images

        for name, path in walk_images(self.paths):
            try:
                image = read_image(path)
            except DataError as exc:
                click.echo(f"Error: {' '.join(str(exc).split())}", err=True)
                self.failed += 1
                continue
            yield name, image


def _size_wh(image: Any) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _pair(entry: str) -> tuple[str, str]:
    column, separator, name = entry.partition("=")
    if not separator or not column or not name:
        raise UsageError(f"map: expected COLUMN=FIELD, found {entry!r}", field="map")
    return column, name


def _item_line(item: Any) -> str:
    colours = ", ".join(f"{colour.name} {colour.share:.0%}" for colour in item.colours)
    box = ",".join(f"{side:.0f}" for side in item.box)
    name = item.category or "any category"
    score = "     " if item.score is None else f"{item.score:.3f}"
    return f"{name:<10} {score}  {box:<20} {colours}"


def _print_hits(hits: Sequence[Any], indent: str) -> None:
    for hit in hits:
        product = hit.product
        price = "" if product.price is None else f"{product.price:g} {product.currency or ''}".strip()
        click.echo(f"{indent}{hit.score:.3f}  {hit.product_id:<12} {price:>10}  {product.title}")


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))
