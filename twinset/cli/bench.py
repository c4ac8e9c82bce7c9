"""`twinset bench new-category` and `bench lessons`: benchmarks that train."""

from collections.abc import Sequence
from pathlib import Path

import click

from twinset.cli.base import (
    FILE,
    FOLDER,
    check_category,
    options,
    read_rows,
    report_problems,
    strict_option,
    threads_option,
)
from twinset.cli.detector import backbone_options, canvas, network_options
from twinset.cli.train import changed_settings, prepare

run_option = click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the trainings."
)
photo_options = options(
    click.option("--voc", type=FOLDER, required=True, help="Street photos with Pascal VOC boxes: train and val."),
    click.option("--corrections", multiple=True, metavar="FILE", help="Corrections of train's labels; see data audit."),
)
budget_options = options(
    click.option("--epochs", type=click.IntRange(1), help="Rounds over the photos, of each training."),
    click.option("--minutes", type=click.FloatRange(0), help="Stop each training after so much of it."),
)
set_option = click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change any other setting of training."
)


@click.command("new-category")
@click.option("--category", metavar="CATEGORY", default="hat", show_default=True, help="The category that is new.")
@click.option("--photos", type=click.IntRange(1), default=200, show_default=True, help="Photos that show it.")
@click.option(
    "--tune-minutes",
    type=click.FloatRange(0, min_open=True),
    default=20,
    show_default=True,
    help="To learn it in, at most.",
)
@click.option("--tune-epochs", type=click.IntRange(1), default=60, show_default=True, help="Likewise, in rounds.")
@run_option
@options(photo_options, network_options, budget_options, set_option, strict_option, threads_option)
def bench_new_category(
    category: str,
    photos: int,
    tune_minutes: float,
    tune_epochs: int,
    out: Path,
    voc: Path,
    corrections: Sequence[str],
    head: str | None,
    backbone: str | None,
    size: str | None,
    epochs: int | None,
    minutes: float | None,
    changes: Sequence[str],
    strict: bool,
    threads: int | None,
) -> None:
    """Average precision of a category learned late, from few photos, beside one known all along.

    Trains three detectors: without the category, on from there with it, and with it from the start.

    Example: twinset bench new-category --voc street-voc --category hat --minutes 60 --out runs/new-category
    """
    from twinset.taxonomy import default_taxonomy

    taxonomy = default_taxonomy()
    check_category(category, taxonomy)
    prepare(threads)
    from twinset.bench.new_category import run, tuning_settings
    from twinset.data.voc import read_voc
    from twinset.detect.sources import Sources, street_photos
    from twinset.detect.train import TrainSettings

    given = {"head": head, "backbone": backbone, "epochs": epochs, "minutes": minutes, **canvas(size)}
    settings = changed_settings(TrainSettings(), given, changes)
    sources = Sources(voc, corrections=tuple(corrections), strict=strict)
    images, _ = street_photos(sources, taxonomy, report_problems)
    val = read_voc(voc, "val", taxonomy, strict)
    run(category, images, val, taxonomy, settings, tuning_settings(settings, tune_minutes, tune_epochs), photos, out)


@click.command("lessons")
@click.option("--voc", type=FOLDER, required=True, help="Street photos with Pascal VOC boxes: train and val.")
@click.option("--ccp", type=FOLDER, help="Street photos with CCP masks: fine labels against merged ones.")
@click.option("--catalog", type=FILE, help="A product feed: close-ups of bags left in against left out.")
@click.option(
    "--pictures", type=click.IntRange(1), default=4000, show_default=True, help="That each training sees, about."
)
@run_option
@options(backbone_options, set_option, strict_option, threads_option)
def bench_lessons(
    voc: Path,
    ccp: Path | None,
    catalog: Path | None,
    pictures: int,
    out: Path,
    backbone: str | None,
    size: str | None,
    changes: Sequence[str],
    strict: bool,
    threads: int | None,
) -> None:
    """One label or all, fine or merged, bags left in or out, SSD or anchor-free: what each costs at equal budget.

    Example: twinset bench lessons --voc street-voc --ccp street-ccp --catalog products.csv --out runs/lessons
    """
    prepare(threads)
    from twinset.bench import lessons
    from twinset.data.ccp import SOURCE, read_ccp
    from twinset.data.voc import read_voc
    from twinset.detect.train import TrainSettings
    from twinset.taxonomy import default_taxonomy

    plain = TrainSettings(small_until=0.0, warmup=50, ema=0.99, repeat_below=0.0)  # each photo once a round
    settings = changed_settings(plain, {"backbone": backbone, **canvas(size)}, changes)
    taxonomy = default_taxonomy()
    parts = {split: read_voc(voc, split, taxonomy, strict) for split in ("train", "val")}
    for part in parts.values():
        report_problems(part.problems)
    feed = read_rows(catalog, strict) if catalog else None
    trainings = lessons.street_lessons(parts["train"].images, parts["val"], taxonomy, settings, feed)
    if ccp:
        own = lessons.fine_taxonomy(taxonomy, SOURCE)
        fine, merged = (read_ccp(ccp, "train", labels, strict) for labels in (own, taxonomy))
        report_problems(merged.problems)
        val = read_ccp(ccp, "val", taxonomy, strict)
        trainings += lessons.fine_lessons(fine.images, merged.images, val, taxonomy, settings)
    lessons.run(trainings, pictures, out)


bench_commands = (bench_new_category, bench_lessons)
