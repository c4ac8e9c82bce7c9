"""`twinset reindex` and `twinset rollout ...`: another model for a store that is in use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twinset.cli.base import (
    FILE,
    html_option,
    json_option,
    options,
    print_json,
    report_error,
    store_option,
    threads_option,
)

if TYPE_CHECKING:
    from twinset.golden import Figures
    from twinset.pipeline import Progress
    from twinset.rollout import Describe, Switched
    from twinset.store.generations import Generation

private_option = click.option(
    "--allow-private", is_flag=True, help="Fetch images from private addresses too: only for a feed you trust."
)
located_option = click.option(
    "--model", help="Where the generation's model is now, if not where it was: a name or a folder."
)
number_option = click.option("--generation", "number", type=int, help="Its number. [default: the newest]")
golden_option = click.option("--golden", type=FILE, help="Golden queries, JSON Lines: photo, wanted, category, box.")


@click.command()
@click.option("--model", required=True, help="The new weights: a name that `twinset models` lists, or a folder.")
@options(private_option, store_option, threads_option, json_option)
def reindex(model: str, allow_private: bool, store: str, threads: int | None, as_json: bool) -> None:
    """Describe a store's products by another model beside the one in use; the same command again goes on.

    Searches go on by the old one until twinset rollout switch. Example: twinset reindex --model new --store shop
    """
    from twinset.models import lasting_source, load_models
    from twinset.reindexing import describer
    from twinset.rollout import failures_json
    from twinset.rollout import reindex as run
    from twinset.store import open_shelf

    shelf = open_shelf(store)
    models = load_models(model, threads)
    describe = describer(models, allow_private)
    with _told("reindexing") as progress:
        generation, state = run(
            shelf, models.version, lasting_source(model), describe, dim=models.dim, progress=progress
        )
    if as_json:
        about = {"generation": generation.number, "model": generation.model, "products": state.total}
        print_json(about | {"done": state.done, "failed": failures_json(state.failed)})
        return
    for failure in state.failed:
        click.echo(f"{failure.product_id} of shop {failure.shop}: {failure.reason}", err=True)
    click.echo(
        f"generation {generation.number} of model {generation.model}: {state.done:,} of {state.total:,} products, "
        f"{state.failed_count:,} failed; next: twinset rollout compare, twinset rollout switch"
    )


@click.group("rollout")
def rollout() -> None:
    """Another model for a store in use: generations side by side, compared, switched at once, and back."""


@rollout.command("status")
@options(store_option, json_option)
def status(store: str, as_json: bool) -> None:
    """Print the generations of a store: their models, how many products, how far the others are behind.

    Example: twinset rollout status --store shop
    """
    from twinset.rollout import statuses
    from twinset.store import open_shelf

    for one in statuses(open_shelf(store)):
        if as_json:
            print_json(one.as_json())
            continue
        use = "in use" if one.in_use else "before" if one.before else one.generation.state
        behind = f"  {one.behind:,} behind" if one.behind else ""
        failed = f"  {one.failed_count:,} failed" if one.failed_count else ""
        name = one.generation.model
        click.echo(f"{one.generation.number:>3}  {use:<8}  {name:<32}  {one.products:,} products{behind}{failed}")
        for failure in one.failed:
            click.echo(f"     {failure.product_id} of shop {failure.shop}: {failure.reason}", err=True)


@rollout.command("compare")
@click.option("--golden", type=FILE, required=True, help="Golden queries, JSON Lines: photo, wanted, category, box.")
@options(html_option, number_option, located_option, store_option, threads_option, json_option)
def compare(
    golden: Path,
    html: Path | None,
    number: int | None,
    model: str | None,
    store: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Run golden queries on the generation in use and on another, and print what a switch would change.

    Example: twinset rollout compare --golden golden.jsonl --html changes.html --store shop
    """
    _print_figures(_compared(store, golden, html, number, model, threads), as_json)


@rollout.command("switch")
@options(number_option, golden_option)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="Refuse if a share of golden queries with a wanted product fell by more.",
)
@click.option("--yes", is_flag=True, help="Switch in spite of golden queries, and without products that failed.")
@options(located_option, private_option, store_option, threads_option, json_option)
def switch(
    number: int | None,
    golden: Path | None,
    max_drop: float,
    yes: bool,
    model: str | None,
    allow_private: bool,
    store: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Bring another generation up to date and put it in use, at once; services that run follow.

    Golden queries that were compared before count. Example: twinset rollout switch --golden golden.jsonl --store shop
    """
    from twinset.golden import check_drop, kept_figures
    from twinset.models import source_of
    from twinset.rollout import switch as run
    from twinset.store import open_shelf
    from twinset.store.generations import all_generations, newest

    shelf = open_shelf(store)
    generation = newest(all_generations(shelf, source_of), number)
    figures = _compared(store, golden, None, number, model, threads) if golden else None
    figures = figures or kept_figures(shelf, generation.number)
    if not yes:
        check_drop(figures, max_drop)
    with _told("catching up") as progress:
        done = run(
            shelf,
            _loader(model, allow_private, threads),
            number=generation.number,
            accept_failed=yes,
            progress=progress,
        )
    _print_switched(done, as_json)


@rollout.command("back")
@click.option("--now", is_flag=True, help="Do not describe what is new since: the feed's next run does.")
@options(located_option, private_option, store_option, threads_option, json_option)
def back(now: bool, model: str | None, allow_private: bool, store: str, threads: int | None, as_json: bool) -> None:
    """Put the generation that was in use before in its place again, with what changed since.

    Example: twinset rollout back --store shop
    """
    from twinset.rollout import back as run
    from twinset.store import open_shelf

    with _told("catching up") as progress:
        done = run(open_shelf(store), _loader(model, allow_private, threads), now=now, progress=progress)
    _print_switched(done, as_json)


@rollout.command("drop")
@click.option("--generation", "number", type=int, help="Its number. [default: the only one not in use]")
@options(store_option, json_option)
def drop(number: int | None, store: str, as_json: bool) -> None:
    """Remove a generation that is not in use, for good.

    Example: twinset rollout drop --store shop
    """
    from twinset.rollout import drop as run
    from twinset.store import open_shelf

    gone = run(open_shelf(store), number)
    if as_json:
        print_json({"dropped": gone.number, "model": gone.model})
    else:
        click.echo(f"generation {gone.number} of model {gone.model} is gone")


def _compared(
    store: str, golden: Path, html: Path | None, number: int | None, model: str | None, threads: int | None
) -> "Figures":
    """Return what golden queries say of a generation; it is kept for the switch."""
    from twinset.golden import compare, figures_of, keep_figures, read_golden
    from twinset.golden_page import write_golden_page
    from twinset.models import source_of
    from twinset.shop import open_generation
    from twinset.store import open_shelf
    from twinset.store.generations import all_generations, newest

    queries = read_golden(golden)
    shelf = open_shelf(store)
    generations = all_generations(shelf, source_of)
    other = newest(generations, number)
    before, after = (
        open_generation(shelf, generations.current, threads),
        open_generation(shelf, other, threads, model),
    )
    with _told("comparing") as progress:
        progress.start(len(queries))
        asked = compare(queries, before, after, progress.advance)
    figures = figures_of(asked)
    keep_figures(shelf, other.number, figures)
    if html:
        write_golden_page(html, asked, figures, (generations.current.model, other.model))
        click.echo(f"wrote {html}", err=True)
    return figures


def _loader(model: str | None, allow_private: bool, threads: int | None) -> "Callable[[Generation], Describe]":
    def load(generation: "Generation") -> "Describe":
        from twinset.models import load_version
        from twinset.reindexing import describer

        return describer(load_version(generation.model, model or generation.source, threads), allow_private)

    return load


def _print_figures(figures: "Figures", as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        print_json(asdict(figures) | {"drop": round(figures.drop, 4)})
        return
    click.echo(f"{'':<14}  {'in use':>7}  {'other':>7}")
    for name, value in figures.before.items():
        click.echo(f"{name:<14}  {value:>7.3f}  {figures.after[name]:>7.3f}")
    click.echo(
        f"{figures.queries} queries: overlap of the first ten {figures.overlap_at_10:.3f}, "
        f"{figures.better} better, {figures.worse} worse"
    )


def _print_switched(done: "Switched", as_json: bool) -> None:
    from twinset.rollout import failures_json

    if as_json:
        about = {"in_use": done.generation.number, "model": done.generation.model, "before": done.before.number}
        print_json(about | {"caught_up": done.caught_up, "failed": failures_json(done.failed)})
        return
    for failure in done.failed:
        report_error(f"{failure.product_id} of shop {failure.shop}: {failure.reason}")
    click.echo(
        f"generation {done.generation.number} of model {done.generation.model} is in use, {done.caught_up:,} changes "
        f"caught up; back: twinset rollout back"
    )


@contextmanager
def _told(what: str) -> "Iterator[Progress]":
    from twinset.cli.progress import terminal_progress

    with terminal_progress(what) as progress:
        yield progress
