"""Tables and pages of the evaluations of descriptions: same-item."""

from pathlib import Path

from twinset.errors import DataError
from twinset.evaluate.report import PRODUCT_SIDE, Row, picture, table_html, write_page
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
