"""`twinset export ...`: model folders made of what a training left."""

import shutil
from pathlib import Path

import click

from twinset.cli_base import FILE, FOLDER, options, read_rows, strict_option, threads_option
from twinset.errors import UsageError


@click.group()
def export() -> None:
    """Turn a training's checkpoint into a folder that --model takes (needs twinset[train])."""


@export.command("encoder")
@click.argument("run", type=FOLDER)
@click.option("--catalog", type=FILE, required=True, help="The product feed it was trained on.")
@click.option("--voc", type=FOLDER, help="Street photos with Pascal VOC boxes, for backgrounds.")
@click.option("--ccp", type=FOLDER, help="Street photos with CCP masks, for backgrounds.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The model's folder.")
@click.option("--model", default="default", show_default=True, help="Whose detector goes with it.")
@options(strict_option, threads_option)
def export_encoder_command(
    run: Path,
    catalog: Path,
    voc: Path | None,
    ccp: Path | None,
    out: Path,
    model: str,
    strict: bool,
    threads: int | None,
) -> None:
    """Write encoder.onnx, encoder.json and labels.json of the training in RUN, and a detector beside them.

    What is chosen on dev is chosen anew: weights of the embedding's parts and of labels, thresholds, scores.

    Example: twinset export encoder runs/encoder --catalog products.csv --ccp street-ccp --out runs/model
    """
    from twinset.cli_train import prepare, street_photos

    prepare(threads)
    import numpy as np

    from twinset.describe import samples as read
    from twinset.describe.train import finish_encoder, load_trainee
    from twinset.detect.detector import load_detector
    from twinset.models import model_folder
    from twinset.taxonomy import default_taxonomy

    folder = model_folder(model)
    if out.resolve() == folder.resolve():
        raise UsageError(f"--out: expected another folder than that of --model {model}, found {out}", field="out")
    trainee, settings, vocabulary = load_trainee(run)
    taxonomy = default_taxonomy()
    feed = read_rows(catalog, strict)
    boxes = read.worn_boxes(feed, load_detector(folder, threads))
    items = read.catalogue_samples(feed, boxes, vocabulary, taxonomy)
    images, _ = street_photos(voc, ccp, strict)
    scenes = read.backgrounds(images, 600, np.random.default_rng(settings.seed)) if images else []
    click.echo(finish_encoder(trainee, settings.size, vocabulary, items, scenes, out))
    for file in ("detector.onnx", "detector.json"):
        shutil.copyfile(folder / file, out / file)
