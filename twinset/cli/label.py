"""`twinset data pseudo|pick|label-studio|labelled`: what to label next, with a head start, and what came of it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from twinset.cli.base import (
    FILE,
    FOLDER,
    NEW_FILE,
    json_option,
    model_option,
    options,
    print_json,
    report_problems,
    strict_option,
    threads_option,
)
from twinset.cli.labelled import detect_all
from twinset.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from twinset.models import Models
    from twinset.types import Detections

LOWEST = 0.05  # score of detections that are looked at


class Photo(NamedTuple):
    """A photo and its size."""

    path: Path
    width: int
    height: int


folder_argument = click.argument("folder", type=FOLDER)


@click.command("pseudo")
@folder_argument
@click.option("--out", type=NEW_FILE, required=True, help="File for the labels, as COCO JSON: boxes only.")
@click.option("--min-score", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Label from it on.")
@click.option(
    "--doubt",
    type=click.FloatRange(0, 1),
    default=0.15,
    show_default=True,
    help="From it on, undecidable; below, none.",
)
@click.option("--leave-out", default="", metavar="CATEGORIES", help="Categories the model mostly misses, by commas.")
@options(model_option, threads_option, json_option)
def pseudo(
    folder: Path,
    out: Path,
    min_score: float,
    doubt: float,
    leave_out: str,
    model: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Label unlabelled photos with what a detector is sure of, to train on with --coco.

    Example: twinset data pseudo street-unlabelled --min-score 0.5 --leave-out belt,scarf --out pseudo.json
    """
    from twinset.data.coco import write_coco
    from twinset.data.pseudo import MARK, pseudo_labels

    left = [name for name in leave_out.split(",") if name]
    photos, models, found = _look(folder, model, threads, doubt)
    if unknown := set(left) - set(models.categories):
        raise UsageError(
            f"--leave-out: expected some of {', '.join(models.categories)}; found {sorted(unknown)[0]!r}",
            field="leave-out",
        )
    taught = [name for name in models.categories if name not in left]
    labelled = pseudo_labels(photos, found, models.categories, taught, min_score, doubt)
    write_coco(labelled, out, folder, f"{MARK} of {models.version}, from {min_score}, doubtful from {doubt}")
    sure = sum(int((~image.crowd).sum()) for image in labelled.images)
    doubtful = sum(int(image.crowd.sum()) for image in labelled.images)
    if as_json:
        facts = {"photos": len(photos), "labelled": len(labelled.images), "boxes": sure, "undecidable": doubtful}
        print_json(facts | {"out": str(out)})
    else:
        kept = f"{len(labelled.images)} of {len(photos)} photos"
        click.echo(f"{sure} boxes and {doubtful} undecidable ones in {kept}: {out}")


@click.command("pick")
@folder_argument
@click.option("--count", type=click.IntRange(1), default=50, show_default=True, help="Photos to choose.")
@options(model_option, threads_option, json_option)
def pick(folder: Path, count: int, model: str, threads: int | None, as_json: bool) -> None:
    """Print the photos most worth labelling next: doubtful to the detector, and no two alike.

    Example: twinset data pick street-unlabelled --count 50 > to-label.txt
    """
    from twinset.data.pick import pick_photos, uncertainty

    photos, models, found = _look(folder, model, threads)
    doubts = [uncertainty(one, models.min_score) for one in found]
    for index in pick_photos(doubts, _embeddings(photos, models), count):
        if as_json:
            print_json({"image": str(photos[index][0]), "doubt": round(doubts[index], 4)})
        else:
            click.echo(photos[index][0])


@click.command("label-studio")
@folder_argument
@click.option("--out", type=NEW_FILE, required=True, help="File for the tasks; the interface goes beside it, as .xml.")
@click.option("--only", type=FILE, help="A file with photos' paths, one a line, as `twinset data pick` prints.")
@click.option(
    "--prefix", default="/data/local-files/?d=", show_default=True, help="What stands before a photo's path in a task."
)
@options(model_option, threads_option, json_option)
def label_studio(
    folder: Path, out: Path, only: Path | None, prefix: str, model: str, threads: int | None, as_json: bool
) -> None:
    """Write tasks for Label Studio, with what a detector finds as boxes to start from.

    Example: twinset data label-studio street-unlabelled --only to-label.txt --out tasks.json
    """
    from twinset.data.label_studio import labelling_config, make_tasks

    photos, models, found = _look(folder, model, threads, only=only)
    above = [one.above(models.min_score) for one in found]
    tasks = make_tasks(photos, above, models.categories, prefix, folder, models.version)
    out.write_text(json.dumps(tasks), encoding="utf-8")
    interface = out.with_suffix(".xml")
    interface.write_text(labelling_config(models.categories), encoding="utf-8")
    if as_json:
        print_json({"tasks": len(tasks), "out": str(out), "interface": str(interface)})
    else:
        click.echo(f"{len(tasks)} tasks: {out}; labelling interface: {interface}")


@click.command("labelled")
@click.argument("export", type=FILE)
@folder_argument
@click.option("--out", type=NEW_FILE, required=True, help="File for the labels, as COCO JSON.")
@click.option("--taxonomy", "taxonomy_file", type=FILE, help="Categories of your own: an edited taxonomy.toml.")
@options(strict_option, json_option)
def labelled_command(
    export: Path, folder: Path, out: Path, taxonomy_file: Path | None, strict: bool, as_json: bool
) -> None:
    """Turn Label Studio's JSON EXPORT of the photos in FOLDER into COCO JSON, to train on or evaluate with.

    Example: twinset data labelled export.json street-unlabelled --out labelled.json
    """
    from twinset.data.coco import write_coco
    from twinset.data.label_studio import read_label_studio
    from twinset.taxonomy import default_taxonomy, read_taxonomy

    taxonomy = read_taxonomy(taxonomy_file) if taxonomy_file else default_taxonomy()
    labelled = read_label_studio(export, folder, taxonomy.names, taxonomy, strict)
    report_problems(labelled.problems)
    write_coco(labelled, out, folder)
    boxes = sum(len(image.boxes) for image in labelled.images)
    if as_json:
        print_json({"photos": len(labelled.images), "boxes": boxes, "out": str(out)})
    else:
        click.echo(f"{boxes} boxes in {len(labelled.images)} photos: {out}")


label_commands = (pseudo, pick, label_studio, labelled_command)


def _look(
    folder: Path, model: str, threads: int | None, min_score: float = LOWEST, only: Path | None = None
) -> "tuple[list[Photo], Models, list[Detections]]":
    """Return the photos of a folder, and what a model finds in them. Those that can't be read are told and left out."""
    from twinset.data.labelled import Problem
    from twinset.images import read_size, walk_images
    from twinset.models import load_models

    files = [path for _, path in walk_images([folder])]
    if only:
        wanted = _listed(only)
        files = [path for path in files if path.resolve() in wanted]
    photos: list[Photo] = []
    problems: list[Problem] = []
    for path in files:
        try:
            photos.append(Photo(path, *read_size(path)))
        except DataError as exc:
            problems.append(Problem(str(path), str(exc)))
    report_problems(problems)
    if not photos:
        raise DataError(f"{folder}: expected photos, found none that can be read; check the folder")
    models = load_models(model, threads)
    read, found = detect_all(photos, models, min_score)
    return read, models, found


def _listed(file: Path) -> set[Path]:
    """Return the paths in a file, one a line. Raises DataError."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as exc:
        raise DataError(f"{file}: expected UTF-8, found other bytes; save the list as UTF-8") from exc
    return {Path(line).resolve() for line in lines if line.strip()}


def _embeddings(photos: "list[Photo]", models: "Models") -> "NDArray[np.float32]":
    """Return the (N, 256) embeddings of whole photos."""
    import numpy as np

    from twinset.images import read_image

    rows = []
    for path, width, height in photos:
        whole = np.array([[0, 0, width, height]], np.float32)
        rows.append(models.describe(read_image(path), whole)[0].embedding)
    return np.stack(rows)
