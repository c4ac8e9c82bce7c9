"""Evaluations as one HTML file to look at: the figures, then the worst failures as pictures."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from twinset.errors import DataError
from twinset.evaluate.packshots import PackshotFigures
from twinset.evaluate.retrieval import EncoderFigures, RetrievalFigures
from twinset.images import encode_jpeg, read_image
from twinset.types import Image, Product

PRODUCT_SIDE = 150
MOST = 60  # failures shown
_STYLE = """
body { margin: 24px; font: 15px/1.45 system-ui, sans-serif; color: #1d2430; background: #f6f5f2; }
table { border-collapse: collapse; background: #fff; margin-bottom: 24px; }
td, th { border: 1px solid #d9dee6; padding: 4px 12px; text-align: right; }
td:first-child, th:first-child { text-align: left; }
.pictures { display: flex; flex-wrap: wrap; gap: 16px; } figure { margin: 0; max-width: 560px; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
.row { display: flex; gap: 8px; margin-bottom: 12px; align-items: end; }
.row figure { width: 150px; } .row figure:first-child { border-right: 3px solid #1f3a5f; padding-right: 8px; }
"""
Row = Sequence[object]


def packshot_table(figures: PackshotFigures) -> tuple[Row, list[Row]]:
    """Return the header and the rows of the figures, one a category, the totals last."""
    rows: list[Row] = [(name, n, right) for name, (n, right) in figures.per_category.items()]
    rows.append(dashed("alone on a plain background", figures.n_alone, figures.right_alone))
    rows.append(dashed("  its box right too", figures.n_alone, figures.box_right_alone))
    rows.append(dashed("on a model and others", figures.n_worn, figures.right_worn))
    if figures.n_drawn:
        rows.append(dashed("  box right, where drawn", figures.n_drawn, figures.box_right_drawn))
    rows.append(dashed("all", figures.n, figures.right))
    return ("category", "products", "right"), rows


def retrieval_table(figures: RetrievalFigures) -> tuple[Row, list[Row]]:
    """Return the header and the rows of the figures: one an encoder, then one an encoder within the category."""
    names = EncoderFigures.__slots__
    rows: list[Row] = [
        (name + note, *(getattr(encoder, field) for field in names))
        for note, encoders in (
            ("", figures.encoders),
            (", within category", figures.within_category),
            (" (within category)", figures.slices),
        )
        for name, encoder in encoders.items()
    ]
    return ("encoder", *(field.replace("_", " ") for field in names)), rows


def likeness_lines(figures: RetrievalFigures) -> list[str]:
    """Return, in words, how often titles find their products, nothing is close enough, and views find their product."""
    lines = [f"title finds its product in the first ten: {figures.words.title_at_10:.3f} of {figures.words.n}"]
    if figures.words.pictures_alone_at_10 is not None:
        lines.append(f"by pictures alone: {figures.words.pictures_alone_at_10:.3f}")
    if figures.street_like:
        one, ten = figures.street_like
        lines.append(f"synthetic street-like views find their product: first {one:.3f}, in the first ten {ten:.3f}")
    if figures.street:
        street = figures.street
        lines.append(
            "street items' first hit of all products has their category: "
            f"{street.drawn or 0:.3f} of {street.n} cut out as drawn, {street.detected or 0:.3f} of "
            f"{street.n_detected} as detected, {street.whole_chain or 0:.3f} of all with those not found"
        )
    if figures.rejection:
        place = figures.rejection.thresholds.index(figures.rejection.at)
        lines.append(f"at {figures.rejection.at} good queries kept: {figures.rejection.kept[place]:.3f}")
        lines += [
            f"  {name} taken out: nothing close enough for {shares[place]:.3f} of {figures.rejection.queries[name]}"
            for name, shares in figures.rejection.rejected.items()
        ]
    return lines


def write_packshots(file: Path, figures: PackshotFigures) -> None:
    """Write the figures and products whose best detection has another category."""
    pictures = [
        product_html(product, f"{product.category}, found {best}: {product.title}")
        for product, best in figures.wrong[: 2 * MOST]
    ]
    write_page(
        file,
        "Packshots",
        [table_html(*packshot_table(figures)), confusion_html(figures.confusion), pictures_html(pictures)],
    )


def write_retrieval(file: Path, figures: RetrievalFigures) -> None:
    """Write the figures and the queries whose first hits are least like them."""
    rows = []
    for example in figures.worst:
        shown = [product_html(product, _caption(product)) for product in (example.query, *example.hits)]
        rows.append(f'<div class="row">{"".join(shown)}</div>')
    write_page(
        file,
        "Retrieval",
        [table_html(*retrieval_table(figures)), "<h2>Worst queries, each before its hits</h2>", *rows],
    )


def format_cell(value: object) -> str:
    """Return a figure as tables show it."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def dashed(*cells: object) -> Row:
    return tuple("–" if cell is None else cell for cell in cells)


def _caption(product: Product) -> str:
    return f"{product.article_type or ''}, {product.tags.get('colour', '')}: {product.title}"


def product_html(product: Product, caption: str) -> str:
    """Return a product's picture, or its caption alone where that can't be read."""
    try:
        return picture(read_image(Path(product.images[0])), PRODUCT_SIDE, caption)
    except DataError:
        return f"<figure><figcaption>{escape(caption)}</figcaption></figure>"


def picture(image: Image, side: int, caption: str) -> str:
    """Return an image, inlined at most `side` pixels long, and its caption."""
    small = Pillow.fromarray(image)
    small.thumbnail((side, side))
    data = base64.b64encode(encode_jpeg(np.asarray(small), 80)).decode()
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" width="{small.width}" height="{small.height}" alt="">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def pictures_html(pictures: Sequence[str]) -> str:
    return f'<div class="pictures">{"".join(pictures)}</div>'


def table_html(header: Row, rows: Iterable[Row]) -> str:
    """Return a table."""
    head = "".join(f"<th>{escape(format_cell(cell))}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(format_cell(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def confusion_html(confusion: dict[str, dict[str, int]]) -> str:
    """Return a table of what was found by what is true."""
    columns = sorted({name for row in confusion.values() for name in row})
    rows = [(name, *(row.get(column, "") for column in columns)) for name, row in confusion.items()]
    return "<h2>True category by what was found</h2>" + table_html(("", *columns), rows)


def write_page(file: Path, title: str, parts: Sequence[str]) -> None:
    """Write a page of these parts, complete in itself. Raises DataError."""
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{''.join(parts)}</html>"
    )
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as exc:
        raise DataError(f"{file}: expected a file that can be written, found: {exc.strerror}") from exc
