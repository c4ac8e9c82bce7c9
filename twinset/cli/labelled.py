"""The options that name labelled photos, the same for every command that reads some."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from twinset.cli.base import FILE, FOLDER, options, report_problems
from twinset.errors import UsageError

if TYPE_CHECKING:
    from twinset.data.labelled import Labelled
    from twinset.evaluate.detection import Finder, Photo
    from twinset.taxonomy import Taxonomy
    from twinset.types import Detections

F = TypeVar("F", bound=Callable[..., Any])
P = TypeVar("P", bound="Photo")

source_options = (
    click.option("--voc", type=FOLDER, help="Photos with Pascal VOC boxes."),
    click.option("--ccp", type=FOLDER, help="Photos with CCP masks."),
    click.option(
        "--coco", type=FILE, help="Photos with boxes as COCO JSON, beside the file unless --images says where."
    ),
    click.option("--images", type=FOLDER, help="Folder the COCO file's names start from."),
)


def split_option(default: str) -> Callable[[F], F]:
    """Return the option that names a part of the photos."""
    return click.option(
        "--split", default=default, show_default=True, help="train, dev, val, several joined by +, or all."
    )


def labelled_options(split: str) -> Callable[[F], F]:
    """Return the options of labelled photos, `split` being the part that is read unless said."""
    return options(*source_options, split_option(split))


def read_labelled(
    voc: Path | None,
    ccp: Path | None,
    coco: Path | None,
    images: Path | None,
    split: str,
    strict: bool,
    corrected: bool = True,
    taxonomy: "Taxonomy | None" = None,
) -> "Labelled":
    """Return the photos that the options name, problems told on stderr. Raises UsageError unless they name one set.

    `taxonomy` is that of the labels, by default the one that ships.
    """
    from twinset.data.ccp import read_ccp
    from twinset.data.coco import read_coco
    from twinset.data.voc import read_voc
    from twinset.taxonomy import default_taxonomy

    if sum(source is not None for source in (voc, ccp, coco)) != 1:
        raise UsageError("expected exactly one of --voc, --ccp and --coco", field="voc")
    taxonomy = taxonomy or default_taxonomy()
    if voc:
        labelled = read_voc(voc, split, taxonomy, strict, corrected)
    elif ccp:
        labelled = read_ccp(ccp, split, taxonomy, strict, corrected)
    else:
        assert coco
        labelled = read_coco(coco, images or coco.parent, taxonomy, strict)
    report_problems(labelled.problems)
    return labelled


def refuse_level(taxonomy: "Taxonomy", why: str) -> None:
    """Raise UsageError for a model whose categories are groups or article types."""
    if taxonomy.level != "category":
        raise UsageError(
            f"--model: expected one trained with --level category, since {why}, found --level {taxonomy.level}",
            field="model",
        )


def detect_all(
    photos: Sequence[P], finder: "Finder", min_score: float, strict: bool = False
) -> "tuple[list[P], list[Detections]]":
    """Return the photos that can be read, and what is found in each, with progress on stderr.

    Those that can't be read are told there. Raises DataError where none can, or if `strict` one can't.
    """
    from twinset.cli.progress import terminal_progress
    from twinset.evaluate.detection import detect_files

    with terminal_progress("detecting") as progress:
        progress.start(len(photos))
        read, found, unread = detect_files(photos, finder, min_score, strict, progress.advance)
    for problem in unread:
        click.echo(problem, err=True)
    return read, found
