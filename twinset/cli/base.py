"""What every command shares: how errors end, the options that mean the same everywhere, and JSON on stdout."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from twinset.errors import DataError, TwinsetError, UsageError

if TYPE_CHECKING:
    from twinset.data.feed import FailedRow, Feed
    from twinset.data.labelled import Problem
    from twinset.taxonomy import Taxonomy

F = TypeVar("F", bound=Callable[..., Any])
STOPPED = 130  # the shell's code for Ctrl-C


class Cli(click.Group):
    """Ends expected errors as one line on stderr: exit 2 for wrong usage, 1 for what is wrong with data."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        extra["standalone_mode"] = False  # click's own way takes three lines
        try:
            code = super().main(*args, **extra)
        except click.exceptions.NoArgsIsHelpError as exc:
            exc.show()
            raise SystemExit(2) from None
        except click.UsageError as exc:
            fail(f"{exc.format_message()} See {exc.ctx.command_path if exc.ctx else 'twinset'} --help", 2)
        except click.ClickException as exc:
            fail(exc.format_message(), exc.exit_code)
        except click.Abort:
            click.echo("stopped", err=True)
            raise SystemExit(STOPPED) from None
        except UsageError as exc:
            fail(exc, 2)
        except TwinsetError as exc:
            fail(exc, 1)
        except OSError as exc:  # a full disk, a terminal that's gone
            where = f"{exc.filename}: " if exc.filename else ""
            fail(f"{where}{exc.strerror or exc}", 1)
        raise SystemExit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader, `head` for one, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None


def report_error(problem: object) -> None:
    """Print an error's line on stderr."""
    click.echo(f"Error: {' '.join(str(problem).split())}", err=True)


def fail(problem: object, code: int) -> NoReturn:
    """Print an error's line and end."""
    report_error(problem)
    raise SystemExit(code)


def report_problems(problems: "Sequence[Problem]") -> None:
    """Print what is wrong with a data set, a line each, and how much it is."""
    for problem in problems:
        click.echo(f"{problem.where}: {problem.message}", err=True)
    if problems:
        click.echo(f"{len(problems)} problems; the rest is read", err=True)


def report_types(feed: Path, unknown: Mapping[str, int]) -> None:
    """Print the words of a feed that a taxonomy doesn't know, a line each."""
    for word, count in unknown.items():
        click.echo(
            f"{feed}: unknown type {word!r} of {count} products: the detector decides on their category", err=True
        )


def report_failed(feed: Path, failed: "Sequence[FailedRow]") -> None:
    """Print a feed's rows that were left out, a line each, and why."""
    for row in failed:
        named = f" product {row.product_id}:" if row.product_id else ""
        click.echo(f"{feed}:{row.line}:{named} {row.reason}", err=True)


def read_rows(file: Path, strict: bool, taxonomy: "Taxonomy | None" = None) -> "Feed":
    """Return a product feed, its bad rows told on stderr. `taxonomy` is by default the one that ships."""
    from twinset.data.feed import read_feed
    from twinset.data.labelled import Problem
    from twinset.taxonomy import default_taxonomy

    feed = read_feed(file, taxonomy or default_taxonomy(), strict=strict)
    report_problems([Problem(f"{file}:{row.line}", f"{row.product_id} {row.reason}".strip()) for row in feed.failed])
    return feed


def print_json(value: object) -> None:
    """Print one line of JSON. What stdout's encoding can't write is escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a file's name that is no UTF-8, or a terminal that isn't
        text = json.dumps(value, allow_nan=False)
    click.echo(text)


class _Existing(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions
    """A path to a file or a folder. One that is missing is wrong data, exit code 1, where click says wrong usage."""

    def __init__(self, kind: str) -> None:
        self.name = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        try:
            there = path.is_dir() if self.name == "folder" else path.is_file()
            found = "something else" if path.exists() else "nothing"
        except (OSError, ValueError) as exc:  # not allowed; a null character
            there, found = False, str(exc)
        if not there:
            raise DataError(f"{path}: expected a {self.name}, found {found}; check the path")
        return path


FILE = _Existing("file")
FOLDER = _Existing("folder")


class _NewFile(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions
    """A path that a file can be written to, asked before minutes of work."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if path.is_dir() or not path.parent.is_dir():
            found = "a folder" if path.is_dir() else f"no folder {path.parent}"
            raise DataError(f"{path}: expected a file that can be written, found {found}; check the path")
        return path


NEW_FILE = _NewFile()


def check_category(category: str | None, taxonomy: "Taxonomy") -> None:
    """Raise UsageError for a --category that a taxonomy doesn't have."""
    if category is not None and category not in taxonomy.names:
        names = ", ".join(taxonomy.names)
        raise UsageError(f"--category: expected one of {names}; found {category!r}", field="category")


def options(*chosen: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator of several options, shown in this order."""

    def decorate(function: F) -> F:
        for option in reversed(chosen):
            function = option(function)
        return function

    return decorate


store_option = click.option(
    "--store",
    envvar="TWINSET_STORE",
    show_envvar=True,
    default="twinset-store",
    show_default=True,
    help="The store: a folder, s3://bucket/shop, or a Milvus server as http://host:19530.",
)
state_option = click.option(
    "--state",
    envvar="TWINSET_STATE",
    show_envvar=True,
    default="",
    help="Folder of keys, events and jobs.  [default: service/ in the store's folder]",
)
model_option = click.option(
    "--model", default="default", show_default=True, help="Weights: a name that `twinset models` lists, or a folder."
)
store_model_option = click.option(
    "--model",
    help="Weights: a name that `twinset models` lists, or a folder. [default: the store's, if one was rolled out]",
)
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads to use; by default all this container may use."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
html_option = click.option("--html", type=NEW_FILE, help="Write a page with the pictures, complete in itself.")
strict_option = click.option(
    "--strict", is_flag=True, help="Stop at the first bad label, row or image instead of going on."
)
where_option = click.option(
    "--where",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Keep products for which this holds; repeat to add conditions.",
)
min_score_option = click.option(
    "--min-score", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Leave out hits below this score."
)
offset_option = click.option(
    "--offset", type=click.IntRange(0), default=0, show_default=True, help="Leave out the first hits: for a next page."
)
explain_option = click.option("--explain", is_flag=True, help="Tell how the store answers each search.")
facet_option = click.option(
    "--facet",
    "facets",
    multiple=True,
    metavar="FIELD",
    help="Count the hits by a field: category, colour, shop, in_stock, price, article_type, tags or tags.NAME.",
)
k_option = click.option("--k", type=click.IntRange(1, 1000), default=24, show_default=True, help="Hits an item.")


def item_line(item: Any) -> str:
    """Return an item of a photo as a line of a table."""
    colours = ", ".join(f"{colour.name} {colour.share:.0%}" for colour in item.colours)
    box = ",".join(f"{side:.0f}" for side in item.box)
    score = "" if item.score is None else f"{item.score:.3f}"
    return f"{item.category or 'any category':<12} {score:<5}  {box:<19}  {colours}".rstrip()


def facet_lines(facets: Sequence[Any], indent: str) -> list[str]:
    """Return facets as lines of words."""
    lines = []
    for facet in facets:
        about = "" if facet.exact else "about "
        counts = ", ".join(f"{value.value} {about}{value.count:,}" for value in facet.values)
        lines.append(f"{indent}{facet.field}: {counts}".rstrip())
    return lines


def hit_lines(hits: Sequence[Any], indent: str) -> list[str]:
    """Return hits as the lines of a table."""
    prices = [
        "" if p.price is None else f"{p.price:,.2f} {p.currency or ''}".strip() for p in (h.product for h in hits)
    ]
    id_width = max((len(hit.product_id) for hit in hits), default=0)
    price_width = max(map(len, prices), default=0)
    lines = []
    for hit, price in zip(hits, prices, strict=True):
        title = " ".join(hit.product.title.split())
        more = [f"{hit.variants} variants"] * (hit.variants > 1)
        more += ["out of stock"] * (not hit.in_stock) + [hit.rule] * (hit.rule is not None)
        notes = f"  [{', '.join(more)}]" if more else ""
        line = f"{indent}{hit.score:.3f}  {hit.product_id:<{id_width}}  {price:>{price_width}}  {title}"
        lines.append(f"{line.rstrip()}{notes}")
    return lines
