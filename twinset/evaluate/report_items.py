"""Tables and pages of the evaluations of descriptions: same-item, colours."""

from pathlib import Path

from twinset.errors import DataError
from twinset.evaluate.colours import ColourFigures
from twinset.evaluate.report import (
    MOST,
    PRODUCT_SIDE,
    Row,
    confusion_html,
    picture,
    product_html,
    table_html,
    write_page,
)
from twinset.evaluate.same_item import SameItemFigures
from twinset.images import read_image


def same_item_table(figures: SameItemFigures) -> tuple[Row, list[Row]]:
    """Return the header and the rows of the figures, one an encoder."""
    kinds = list(next(iter(figures.encoders.values())).per_kind)
    rows: list[Row] = [
        (
            name,
            row.n,
            row.recall_at_1,
            row.recall_at_5,
            row.recall_at_10,
            row.recall_at_1_no_full_body,
            *(row.per_kind[kind] for kind in kinds),
        )
        for name, row in figures.encoders.items()
    ]
    return ("encoder", "n", "R@1", "R@5", "R@10", "R@1 no full body", *(f"R@1 {kind}" for kind in kinds)), rows


def write_same_item(file: Path, folder: Path, figures: SameItemFigures) -> None:
    """Write the figures and every query with its target and hits, those that are wrong first."""
    rows = []
    for answer in sorted(figures.answers, key=lambda answer: answer.right):
        query = answer.query
        shown = [
            _photo(folder, query.image, f"query, {query.kind}, {'found' if answer.right else 'not found first'}"),
            _photo(folder, query.target, "target"),
            *(_photo(folder, image, "target" if image == query.target else "") for image in answer.hits),
        ]
        rows.append(f'<div class="row">{"".join(shown)}</div>')
    write_page(file, "Same item", [table_html(*same_item_table(figures)), "<h2>Query, target, then hits</h2>", *rows])


def _photo(folder: Path, image: str, caption: str) -> str:
    try:
        return picture(read_image(folder / image), PRODUCT_SIDE, f"{caption} {image}".strip())
    except DataError:
        return ""


def colour_table(figures: ColourFigures) -> tuple[Row, list[Row]]:
    """Return the header and the rows of the figures: one a colour, then the attributes that are told."""
    rows: list[Row] = [("first colour right", figures.n, figures.right)]
    rows.append(("right among the colours", figures.n, figures.right_among))
    rows += [(f"  {name}", share.n, share.right) for name, share in figures.per_colour.items()]
    rows += [(name, share.n, share.right) for name, share in figures.attributes.items()]
    return ("", "products", "right"), rows


def write_colours(file: Path, figures: ColourFigures) -> None:
    """Write the figures and products whose first colour is not the feed's."""
    pictures = [
        product_html(product, f"{product.tags.get('colour', '')}, named {found}: {product.title}")
        for product, found in figures.wrong[: 2 * MOST]
    ]
    shown = f'<div class="pictures">{"".join(pictures)}</div>'
    write_page(file, "Colours", [table_html(*colour_table(figures)), confusion_html(figures.confusion), shown])
