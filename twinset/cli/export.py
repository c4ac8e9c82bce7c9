"""`twinset export ...`: model folders made of what a training left, or of another library's model."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twinset.cli.base import (
    FILE,
    FOLDER,
    json_option,
    options,
    print_json,
    report_problems,
    strict_option,
    threads_option,
)
from twinset.cli.train import drawn_option
from twinset.errors import UsageError

if TYPE_CHECKING:
    from twinset.detect.detector import View
    from twinset.detect.sources import Sources

SMALL = 0.2  # share of the photo that an item of a small view has at most


@click.group()
def export() -> None:
    """Turn what a training left, or another library's model, into a folder for --model (needs twinset[train])."""


@export.command("encoder")
@click.argument("source", metavar="RUN")
@click.option("--catalog", type=FILE, help="The product feed it was trained on.")
@click.option("--classed", type=FOLDER, help="The photos of one garment each it was trained on, without a catalogue.")
@click.option("--voc", type=FOLDER, help="Street photos with Pascal VOC boxes: backgrounds, and what scores mean.")
@click.option("--ccp", type=FOLDER, help="Street photos with CCP masks, likewise.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The model's folder.")
@click.option("--model", default="default", show_default=True, help="Whose detector goes with it.")
@click.option(
    "--reweigh", is_flag=True, help="Of a finished encoder, weigh the embedding's parts anew: vectors change."
)
@click.option(
    "--average",
    multiple=True,
    metavar="MODEL",
    help="Take the mean of its weights and this model's, which RUN started from; may be given several times.",
)
@options(drawn_option, strict_option, threads_option)
def export_encoder_command(
    source: str,
    catalog: Path | None,
    classed: Path | None,
    voc: Path | None,
    ccp: Path | None,
    out: Path,
    model: str,
    reweigh: bool,
    average: Sequence[str],
    drawn: int,
    strict: bool,
    threads: int | None,
) -> None:
    """Write encoder.onnx, encoder.json and labels.json of the training in RUN, and a detector beside them.

    What is chosen on dev is chosen anew: weights of the embedding's parts and of labels, thresholds, scores. RUN may be
    a model, by name or folder, too: its network stays, and stores with it, and labels.json is made anew. With --reweigh
    the parts of the embedding, too, get the weights that do best on dev, and stores have to be indexed anew.

    Example: twinset export encoder runs/encoder --catalog products.csv --ccp street-ccp --out runs/model
    """
    from twinset.cli.train import prepare

    prepare(threads)
    from twinset.describe.average import average_encoder
    from twinset.describe.labels import FILE as LABELS
    from twinset.describe.refit import load_finished, refit_labels
    from twinset.describe.sources import read_encoder_data
    from twinset.describe.train import finish_encoder, load_trainee
    from twinset.detect.sources import Sources
    from twinset.models import find_taxonomy, model_folder, start_file
    from twinset.training import CHECKPOINT

    folder = model_folder(model)
    run = Path(source) if Path(source).is_dir() else model_folder(source)
    if out.resolve() == folder.resolve():
        raise UsageError(f"--out: expected another folder than that of --model {model}, found {out}", field="out")
    finished = None
    if not (run / CHECKPOINT).exists() and (run / LABELS).exists():
        if out.resolve() == run.resolve():
            raise UsageError(f"--out: expected another folder than the model's own, found {out}", field="out")
        if average:
            raise UsageError(
                f"--average: expected a training's folder beside it, found the model {run}", field="average"
            )
        finished = load_finished(run, threads)
        vocabulary, seed = finished.vocabulary, 0
    else:
        trainee, settings, vocabulary = load_trainee(run)
        average_encoder(trainee, settings, vocabulary, [start_file(other, "encoder", "--average") for other in average])
        seed = settings.seed
    sources = Sources(voc, ccp, catalog=catalog, classed=classed, drawn=drawn, strict=strict)
    data = read_encoder_data(sources, folder, find_taxonomy(model), seed, report_problems, threads, vocabulary)
    street = data.street, data.street_dev
    if finished is not None:
        out.mkdir(parents=True, exist_ok=True)
        for file in () if reweigh else ("encoder.onnx", "encoder.json"):
            shutil.copyfile(run / file, out / file)
        click.echo(refit_labels(finished, data.items, data.scenes, out, *street, reweigh=run if reweigh else None))
    else:
        click.echo(finish_encoder(trainee, settings.size, vocabulary, data.items, data.scenes, out, *street))
    for file in ("detector.onnx", "detector.json", "taxonomy.toml"):
        if (folder / file).exists():
            shutil.copyfile(folder / file, out / file)


@export.command("detector")
@click.argument("run")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The model's folder.")
@click.option("--model", default="default", show_default=True, help="Whose encoder goes with it.")
@click.option("--int8", is_flag=True, help="Try an int8 copy; it is taken only if faster here and within 0.5 mAP50.")
@click.option(
    "--average",
    multiple=True,
    metavar="MODEL",
    help="Take the mean of its weights and this model's, which RUN started from; may be given several times.",
)
@click.option(
    "--view",
    "views",
    multiple=True,
    metavar="HxW[:mirrored][:small]",
    help="Have it look at a photo in this size, and so in several: slower, more accurate; `:small` for items up to a "
    "fifth of the photo. May be given several times.",
)
@click.option(
    "--voc", type=FOLDER, help="Photos for --int8: ranges from train's, mAP50 on dev's; for --average, --view: dev's."
)
@click.option("--ccp", type=FOLDER, help="For --average and --view: dev's photos, that its threshold is fitted to.")
@click.option(
    "--corrections", multiple=True, metavar="FILE", help="For --average and --view: corrections of the photos' labels."
)
@options(json_option, threads_option)
def export_detector_command(
    run: str,
    out: Path,
    model: str,
    int8: bool,
    average: Sequence[str],
    views: Sequence[str],
    voc: Path | None,
    ccp: Path | None,
    corrections: Sequence[str],
    as_json: bool,
    threads: int | None,
) -> None:
    """Write the detector of the training in RUN, or of the model RUN, into a model's folder, an encoder beside it.

    With --average or --view the threshold and the exponents of categories are fitted anew to dev's photos.

    Example: twinset export detector runs/detector --int8 --voc street-voc --out runs/model
    """
    from twinset.models import find_detector, model_folder

    folder, detector = model_folder(model), find_detector(run)
    looks = [_view(text) for text in views]
    if looks and all(look.most < 1 for look in looks):
        raise UsageError("--view: expected one without :small too, found none", field="view")
    if (average or looks) and (int8 or not (voc or ccp)):
        name = "average" if average else "view"
        expected = "no --int8 beside it" if int8 else "--voc, --ccp or both beside it, to fit its threshold on"
        raise UsageError(f"--{name}: expected {expected}", field=name)
    if out.resolve() in (folder.resolve(), detector.resolve()):
        raise UsageError(f"--out: expected a folder of its own, found {out}", field="out")
    if int8 and voc is None:
        raise UsageError("--int8: expected --voc beside it to calibrate and measure on, found none", field="voc")
    if average:
        from twinset.cli.train import prepare

        prepare(threads)
        from twinset.detect.average import average_detectors

        others = [find_detector(other) for other in average]
        average_detectors(detector, others, out)  # before anything else is written: it may refuse
    out.mkdir(parents=True, exist_ok=True)
    of_encoder = ((folder, name) for name in ("encoder.onnx", "encoder.json", "labels.json", "looks.json"))
    own = ("taxonomy.toml",) if average else ("detector.onnx", "detector.json", "taxonomy.toml")
    of_detector = ((detector, name) for name in own)
    for source, name in (*of_encoder, *of_detector):
        if (source / name).exists():  # not every model has all
            shutil.copyfile(source / name, out / name)
    if looks:
        from twinset.detect.detector import load_config

        config = load_config(out / "detector.json")
        dataclasses.replace(config, views=tuple(looks)).save(out / "detector.json")
    if average or looks:
        from twinset.detect.sources import Sources

        _fit_threshold(out, Sources(voc, ccp, corrections=tuple(corrections)))
    if int8 and voc:
        _offer_int8(detector, out, voc, as_json, threads)
    elif as_json:
        print_json({"out": str(out)})
    else:
        click.echo(out)


@export.command("tower")
@click.option("--open-clip", metavar="NAME", help="A model of open_clip, such as hf-hub:Marqo/marqo-fashionSigLIP.")
@click.option("--transformers", metavar="NAME", help="A model of transformers, by name or folder.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="The model's folder.")
@click.option("--model", default="default", show_default=True, help="Whose detector goes with it.")
@options(json_option, threads_option)
def export_tower_command(
    open_clip: str | None, transformers: str | None, out: Path, model: str, as_json: bool, threads: int | None
) -> None:
    """Write the image tower of another library's model as a model's folder, a detector beside it.

    Needs open_clip_torch or transformers, which download what they are asked for.

    Example: twinset export tower --open-clip hf-hub:Marqo/marqo-fashionSigLIP --out runs/siglip
    """
    from twinset.models import model_folder

    folder = model_folder(model)
    if out.resolve() == folder.resolve():
        raise UsageError(f"--out: expected another folder than that of --model {model}, found {out}", field="out")
    if bool(open_clip) == bool(transformers):
        raise UsageError("expected one of --open-clip and --transformers, found both or none", field="open_clip")
    from twinset.cli.train import prepare

    prepare(threads)
    from twinset.describe.tower_export import export_tower, open_clip_tower, transformers_tower

    source = open_clip_tower(open_clip) if open_clip else transformers_tower(transformers or "")
    worst = export_tower(source, out)
    for name in ("detector.onnx", "detector.json", "taxonomy.toml"):
        if (folder / name).exists():
            shutil.copyfile(folder / name, out / name)
    if as_json:
        print_json({"out": str(out), "dim": source.config.dim, "from_torch": worst})
    else:
        click.echo(f"{out}: {source.config.dim} numbers, within {worst:.1e} of torch")


def _view(text: str) -> "View":
    """Return a view of a photo from HEIGHTxWIDTH or HEIGHTxWIDTH:mirrored. Raises UsageError."""
    from twinset.detect.detector import SIDE_STEP, View

    size, *how = text.split(":")
    height, _, width = size.lower().partition("x")
    sides = height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= SIDE_STEP
    if not sides or set(how) - {"mirrored", "small"}:
        raise UsageError(
            f"--view: expected HEIGHTxWIDTH in pixels, then :mirrored or :small, such as 512x336:small; found {text!r}",
            field="view",
        )
    return View(int(height) * int(width), "mirrored" in how, SMALL if "small" in how else 1.0)


def _fit_threshold(out: Path, sources: "Sources") -> None:
    """Fit a model's threshold to the photos of dev."""
    from twinset.detect.detector import load_config
    from twinset.detect.operating import set_threshold
    from twinset.detect.sources import by_source, street_photos
    from twinset.models import model_taxonomy

    config = load_config(out / "detector.json")
    taxonomy = model_taxonomy(out, config)
    dev = street_photos(sources, taxonomy, report_problems)[1]
    set_threshold(out, by_source(dev, config.categories, taxonomy))


def _offer_int8(run: Path, out: Path, voc: Path, as_json: bool, threads: int | None) -> None:
    """Put an int8 detector into `out` if it is the better bargain, and print what both measure."""
    from twinset.bench.int8 import compare
    from twinset.data.voc import read_voc
    from twinset.detect.detector import load_config
    from twinset.detect.quantise import CALIBRATION, quantise
    from twinset.evaluate.detection import evaluate_detector
    from twinset.images import read_image
    from twinset.models import model_taxonomy
    from twinset.tables import print_table

    config = load_config(run / "detector.json")
    taxonomy = model_taxonomy(run, config)
    photos = [read_image(image.path) for image in read_voc(voc, "train", taxonomy).images[:CALIBRATION]]
    dev = read_voc(voc, "dev", taxonomy)
    copy = out / "detector.int8"
    quantise(run / "detector.onnx", copy, photos, config)
    both = compare(run / "detector.onnx", copy, config, photos, lambda one: evaluate_detector(dev, one).map_50, threads)
    if both.recommended:
        copy.replace(out / "detector.onnx")
    copy.unlink(missing_ok=True)
    taken = "int8" if both.recommended else "fp32"
    if as_json:
        print_json({"out": str(out), "taken": taken, **dataclasses.asdict(both)})
        return
    rows = [("fp32", both.fp32_ms, both.fp32_map_50), ("int8", both.int8_ms, both.int8_map_50)]
    print_table(("weights", "p50_ms", "mAP50 on dev"), rows)
    click.echo(f"{taken} taken: {out}")
