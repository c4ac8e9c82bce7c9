"""`twinset evaluate packshots|retrieval` and `twinset bench ...`. The detector's figures: evaluate_detector.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from twinset.cli.base import (
    FILE,
    FOLDER,
    html_option,
    json_option,
    model_option,
    options,
    print_json,
    read_rows,
    store_option,
    strict_option,
    threads_option,
)
from twinset.cli.labelled import read_labelled
from twinset.errors import UsageError

if TYPE_CHECKING:
    from twinset.data.labelled import LabelledImage
    from twinset.evaluate.baselines import Embed
    from twinset.types import Image

common_options = (strict_option, model_option, threads_option, json_option, html_option)
two_threads_option = click.option(
    "--threads", type=click.IntRange(min=1), default=2, show_default=True, help="CPU threads to use."
)


@click.group()
def evaluate() -> None:
    """Measure a model on labelled photos and on a catalogue (needs twinset[train])."""


@evaluate.command("packshots")
@click.argument("feed", type=FILE)
@click.option("--all", "all_products", is_flag=True, help="All products, not only those whose id ends in 0.")
@click.option(
    "--boxes", type=FILE, help="COCO file of boxes drawn in products' pictures; names start from the feed's folder."
)
@options(*common_options)
def packshots(
    feed: Path,
    all_products: bool,
    boxes: Path | None,
    strict: bool,
    model: str,
    threads: int | None,
    as_json: bool,
    html: Path | None,
) -> None:
    """Print how often the detector names a feed's own pictures right.

    Example: twinset evaluate packshots products.csv
    """
    from twinset.cli.progress import terminal_progress
    from twinset.data.coco import read_coco
    from twinset.evaluate import report
    from twinset.evaluate.packshots import evaluate_packshots
    from twinset.evaluate.shots import is_validation
    from twinset.models import load_models

    models = load_models(model, threads)
    rows = read_rows(feed, strict, models.taxonomy)
    drawn = read_coco(boxes, rows.path.parent, models.taxonomy, strict) if boxes else None
    for label_problem in drawn.problems if drawn else ():
        click.echo(f"{label_problem.where}: {label_problem.message}", err=True)
    with terminal_progress("detecting") as progress:
        progress.start(sum(all_products or is_validation(product) for product in rows.products if product.category))
        figures = evaluate_packshots(rows, models, all_products, progress.advance, drawn.images if drawn else ())
    if html:
        report.write_packshots(html, figures)
    for problem in figures.unread:
        click.echo(problem, err=True)
    show_figures(figures.as_json(), *report.packshot_table(figures), as_json)


@evaluate.command("retrieval")
@click.argument("feed", type=FILE)
@click.option("--no-baselines", is_flag=True, help="Leave out ImageNet features and the colour histogram.")
@click.option(
    "--tower",
    "towers",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="An ONNX image tower to compare: its folder, or a file with its settings beside it. Repeatable.",
)
@click.option("--voc", type=FOLDER, help="Street photos with Pascal VOC boxes, whose items are searched for too.")
@click.option("--ccp", type=FOLDER, help="Likewise with CCP masks; products are put on them: synthetic views, too.")
@options(*common_options)
def retrieval(
    feed: Path,
    no_baselines: bool,
    towers: Sequence[Path],
    voc: Path | None,
    ccp: Path | None,
    strict: bool,
    model: str,
    threads: int | None,
    as_json: bool,
    html: Path | None,
) -> None:
    """Print how right the nearest products are, for products whose id ends in 0 among the rest.

    Example: twinset evaluate retrieval products.csv
    """
    from twinset.cli.progress import terminal_progress
    from twinset.evaluate import report
    from twinset.evaluate.retrieval import evaluate_retrieval
    from twinset.models import load_models

    models = load_models(model, threads)
    others = _towers(towers, threads)
    rows = read_rows(feed, strict, models.taxonomy)
    street = read_labelled(voc, None, None, None, "val", strict, taxonomy=models.taxonomy).images if voc else []
    worn = read_labelled(None, ccp, None, None, "val", strict, taxonomy=models.taxonomy).images if ccp else []
    with terminal_progress("embedding") as progress:
        progress.start(len(rows.products) + len(street) + len(worn))
        scenes = _scenes(worn) if ccp else None
        figures = evaluate_retrieval(rows, models, not no_baselines, scenes, progress.advance, others, [*street, *worn])
    if html:
        report.write_retrieval(html, figures)
    for problem in figures.unread:
        click.echo(problem, err=True)
    show_figures(figures.as_json(), *report.retrieval_table(figures), as_json)
    if not as_json:
        click.echo(f"found itself first: {figures.self_found:.4f} of {figures.products} products")
        for line in report.likeness_lines(figures):
            click.echo(line)


def _towers(paths: Sequence[Path], threads: int | None) -> "dict[str, Embed]":
    """Return towers by the names of their folders or files. Raises UsageError for two of one name."""
    from twinset.describe.tower import load_tower

    names = [path.resolve().name if path.is_dir() else path.stem for path in paths]
    if len(set(names)) < len(names):
        raise UsageError(f"--tower: expected names that differ, found {', '.join(names)}", field="tower")
    return {name: load_tower(path, threads).embed for name, path in zip(names, paths, strict=True)}


def _scenes(photos: "Sequence[LabelledImage]") -> "list[Image]":
    """Return parts of street photos as backgrounds."""
    import numpy as np

    from twinset.describe.samples import backgrounds

    return backgrounds(photos, 100, np.random.default_rng(0))


@click.group()
def bench() -> None:
    """Time Twinset on this machine, beside a yardstick in the same run: for sizing hardware."""


models_option = click.option(
    "--model",
    "models",
    multiple=True,
    default=("default",),
    show_default=True,
    help="Weights: a name that `twinset models` lists, or a folder; several stand in one table.",
)


@bench.command("detector")
@models_option
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 2),
    show_default=True,
    help="CPU threads to use.",
)
@click.option("--voc", type=FOLDER, help="Photos to measure mAP50 on, beside the times.")
def bench_detector(models: Sequence[str], threads: Sequence[int], voc: Path | None) -> None:
    """Milliseconds a photo by size, runtime and threads, beside another small detector's size.

    Example: twinset bench detector
    """
    from twinset.bench.detector import run

    run(models, threads, voc)


@bench.command("encoder")
@models_option
@options(two_threads_option)
def bench_encoder(models: Sequence[str], threads: int) -> None:
    """Milliseconds a crop by runtime and batch.

    Example: twinset bench encoder
    """
    from twinset.bench.encoder import run

    run(models, threads)


@bench.command("store")
@click.option("--items", type=click.IntRange(1000), default=100_000, show_default=True, help="Vectors to store.")
@click.option("--store", help="Where to make a store, Milvus for one; it stays. [default: a directory that is removed]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is generated.")
@click.option("--no-faiss", is_flag=True, help="Leave out FAISS: at a million items its index takes minutes.")
def bench_store(items: int, store: str | None, seed: int, no_faiss: bool) -> None:
    """Ingest, query times and recall of the store, changes while queries run; numpy and FAISS beside it.

    Example: twinset bench store --items 100000
    """
    from twinset.bench.store import run

    run(items, store, seed, not no_faiss)


@bench.command("faults")
@click.option("--kills", type=click.IntRange(1), default=12, show_default=True, help="Processes to kill.")
@click.option("--store", help="Where to make a store, Milvus for one; it stays. [default: a directory that is removed]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the moments.")
def bench_faults(kills: int, store: str | None, seed: int) -> None:
    """Kill imports, tidying, copies and roll-outs at random moments: nothing acknowledged may be lost or mixed.

    Example: twinset bench faults --kills 50
    """
    from twinset.bench.faults import run

    run(kills, store, seed)


@bench.command("search")
@click.argument("photos", nargs=-1, required=True, type=FILE)
@options(store_option, model_option, two_threads_option)
@click.option("--requests", type=click.IntRange(10), default=200, show_default=True, help="Requests to time.")
def bench_search(photos: Sequence[Path], store: str, model: str, threads: int, requests: int) -> None:
    """The whole POST /v1/search over HTTP, one client.

    Example: twinset bench search street.jpg --store shop
    """
    from twinset.bench.search import run

    run(photos, store, model, threads, requests)


@bench.command("load")
@click.argument("photos", nargs=-1, required=True, type=FILE)
@options(store_option, model_option, threads_option)
@click.option("--clients", type=click.IntRange(1, 256), default=16, show_default=True, help="Clients at once.")
@click.option("--seconds", type=click.FloatRange(1), default=30, show_default=True, help="Of each load.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the service; repeat for more."
)
def bench_load(
    photos: Sequence[Path],
    store: str,
    model: str,
    threads: int | None,
    clients: int,
    seconds: float,
    settings: Sequence[str],
) -> None:
    """The service under load: one client, several, past capacity; its memory.

    Example: twinset bench load street.jpg --store shop --clients 16
    """
    from twinset.bench.load import run

    run(photos, store, model, threads, clients, seconds, settings)


@bench.command("kill")
@click.argument("photos", nargs=-1, required=True, type=FILE)
@options(store_option, model_option, threads_option)
@click.option("--kills", type=click.IntRange(1), default=5, show_default=True, help="How often.")
@click.option("--seconds", type=click.FloatRange(1), default=5, show_default=True, help="Of load before each, at most.")
def bench_kill(photos: Sequence[Path], store: str, model: str, threads: int | None, kills: int, seconds: float) -> None:
    """kill -9 under load, of a service on a copy of the store: ready again when, which writes missing.

    Example: twinset bench kill street.jpg --store shop
    """
    from twinset.bench.kill import run

    run(photos, store, model, threads, kills, seconds)


@bench.command("learn")
@click.option("--events", type=click.IntRange(100), default=5000, show_default=True, help="Clicks to learn from.")
@click.option("--shoppers", type=click.IntRange(100), default=5000, show_default=True, help="New ones to judge by.")
@click.option("--seed", default=0, show_default=True, help="Of all that is drawn.")
def bench_learn(events: int, shoppers: int, seed: int) -> None:
    """What learning from clicks brings simulated shoppers, with a taste and without.

    Example: twinset bench learn --events 5000
    """
    from twinset.bench.shoppers import run

    run(events, shoppers, seed)


def show_figures(
    figures: dict[str, Any], header: Sequence[object], rows: Sequence[Sequence[object]], as_json: bool
) -> None:
    """Print figures by name as JSON, or their table."""
    if as_json:
        print_json(figures)
        return
    from twinset.tables import print_table

    print_table(header, rows)
