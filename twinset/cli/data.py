"""`twinset data ...`: audit labels, and carry corrections out."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twinset.cli.base import (
    FILE,
    NEW_FILE,
    html_option,
    json_option,
    model_option,
    options,
    print_json,
    strict_option,
    threads_option,
)
from twinset.cli.labelled import detect_all, labelled_options, read_labelled, refuse_level
from twinset.errors import UsageError

if TYPE_CHECKING:
    from twinset.data.labelled import Labelled

Tables = dict[str, tuple[tuple[str, ...], list[tuple[object, ...]]]]  # name -> header and rows
RULES = ("move", "rename", "missing", "ignore")


@click.group()
def data() -> None:
    """Check and correct labels."""


@data.command("audit")
@labelled_options("train+dev")
@click.option("--out", type=NEW_FILE, required=True, help="File for the suggestions, likeliest first.")
@click.option("--as-given", is_flag=True, help="Audit the source's labels even where corrected ones stand beside them.")
@click.option("--accept", default=",".join(RULES), show_default=True, help="Rules whose safe suggestions are accepted.")
@click.option("--min-suspicion", type=click.FloatRange(0, 1), default=0.2, show_default=True, help="Leave out others.")
@click.option("--accepted-only", is_flag=True, help="Write only what is accepted.")
@click.option(
    "--survey",
    "surveyed",
    is_flag=True,
    help="Look at the set as a whole too: rare and confused categories, odd boxes, doubtful photos, copies.",
)
@options(strict_option, model_option, threads_option, json_option, html_option)
def audit(
    voc: Path | None,
    ccp: Path | None,
    coco: Path | None,
    images: Path | None,
    split: str,
    out: Path,
    as_given: bool,
    accept: str,
    min_suspicion: float,
    accepted_only: bool,
    surveyed: bool,
    strict: bool,
    model: str,
    threads: int | None,
    as_json: bool,
    html: Path | None,
) -> None:
    """Suggest corrections of labels, by what a detector finds in the photos. No label is changed.

    Example: twinset data audit --voc street-voc --split train+dev --out suggestions.json --html audit.html
    """
    from twinset.data.audit import LOWEST_SCORE, accept_only, audit_boxes
    from twinset.data.suggestions import write_suggestions
    from twinset.models import load_models

    settings = accept_only([rule for rule in accept.split(",") if rule])
    finder = load_models(model, threads)
    refuse_level(finder.taxonomy, "corrections name categories")
    labelled = read_labelled(voc, ccp, coco, images, split, strict, corrected=not as_given, taxonomy=finder.taxonomy)
    photos, found = detect_all(labelled.images, finder, LOWEST_SCORE, strict)
    labelled = replace(labelled, images=photos)
    suggestions = audit_boxes(labelled.images, found, finder.categories, labelled.categories, settings)
    kept = [one for one in suggestions if one.accepted or (one.score >= min_suspicion and not accepted_only)]
    write_suggestions(out, kept, photos=len(labelled.images), split=split, model=finder.version, accept=accept)
    tables: Tables = {}
    if surveyed:
        from twinset.data.audit_set import survey

        parts = _parts(voc, ccp, labelled, strict)
        tables = survey(labelled.images, found, finder.categories, labelled.categories, suggestions, parts)
    if html:
        from twinset.evaluate.audit_page import write_audit

        write_audit(html, labelled, kept, tables)
    _report(kept, tables, as_json)


def _parts(voc: Path | None, ccp: Path | None, labelled: "Labelled", strict: bool) -> dict[str, list[Path]]:
    """Return the photos of every part of the split that there is, whichever is audited; of a COCO file as one part."""
    if not voc and not ccp:
        return {"all": [image.path for image in labelled.images]}
    parts: dict[str, list[Path]] = {}
    for part, (of_voc, of_ccp) in itertools.product(("train", "dev", "val"), ((voc, None), (None, ccp))):
        if of_voc or of_ccp:
            with contextlib.suppress(UsageError):  # a split without that part
                read = read_labelled(of_voc, of_ccp, None, None, part, strict)
                parts.setdefault(part, []).extend(image.path for image in read.images)
    return parts


def _report(suggestions: "Sequence[object]", tables: Tables, as_json: bool) -> None:
    """Print how many suggestions there are by rule, and how many of them are accepted; then the survey's tables."""
    from twinset.tables import print_table

    total = Counter((one.rule, one.action) for one in suggestions)  # type: ignore[attr-defined]
    accepted = Counter((one.rule, one.action) for one in suggestions if one.accepted)  # type: ignore[attr-defined]
    rows = [(rule, action, n, accepted[rule, action]) for (rule, action), n in sorted(total.items())]
    if as_json:
        names = ("rule", "action", "suggested", "accepted")
        found = {"by_rule": [dict(zip(names, row, strict=True)) for row in rows]}
        for name, (header, lines) in tables.items():
            found[name] = [dict(zip(header, row, strict=True)) for row in lines]
        print_json({"suggestions": len(suggestions), **found})
        return
    print_table(("rule", "action", "suggested", "accepted"), rows)
    for name, (header, lines) in tables.items():
        click.echo(f"{name}: {len(lines)}")
        print_table(header, lines)


@data.command("apply")
@click.argument("suggestions", metavar="SUGGESTIONS")
@labelled_options("train+dev")
@click.option("--out", type=NEW_FILE, required=True, help="File for the corrected labels, as COCO JSON.")
@click.option("--as-given", is_flag=True, help="Correct the source's labels, as they were audited with --as-given.")
@click.option("--all", "everything", is_flag=True, help="Carry out every suggestion, not only what is accepted.")
@click.option("--taxonomy", "taxonomy_file", type=FILE, help="Taxonomy of the model they are from, if it has its own.")
@options(strict_option, json_option)
def apply(
    suggestions: str,
    voc: Path | None,
    ccp: Path | None,
    coco: Path | None,
    images: Path | None,
    split: str,
    out: Path,
    as_given: bool,
    everything: bool,
    taxonomy_file: Path | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Write labels with the accepted SUGGESTIONS (a file, or the corrections that ship: street-voc) carried out.

    Example: twinset data apply suggestions.json --voc street-voc --out corrected.json
    """
    from twinset.data.coco import write_coco
    from twinset.data.suggestions import apply_suggestions, check_suggestions, read_suggestions
    from twinset.taxonomy import read_taxonomy

    read = read_suggestions(suggestions)
    taxonomy = read_taxonomy(taxonomy_file) if taxonomy_file else None
    labelled = read_labelled(voc, ccp, coco, images, split, strict, corrected=not as_given, taxonomy=taxonomy)
    names = {(image.source, image.name) for image in labelled.images}
    if read and not any((one.source, one.image) in names for one in read):
        click.echo(f"none of the {len(read)} suggestions is of these photos, but of {read[0].source}", err=True)
    done = [one for one in read if (one.source, one.image) in names and (one.accepted or everything)]
    check_suggestions(labelled, done)
    corrected = apply_suggestions(labelled, read, everything)
    write_coco(corrected, out)
    if as_json:
        print_json({"images": len(labelled.images), "corrections": len(done), "out": str(out)})
    else:
        click.echo(f"{len(done)} corrections in {len(labelled.images)} photos: {out}")
