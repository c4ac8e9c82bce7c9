"""Read products as shop systems export them: Google Merchant Center, Shopify, WooCommerce, or a feed of our own.

Each format's file turns its rows into ours, a column for each field of a product; feed.py checks them as its own.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from twinset.data.feed import (
    NO_UTF8,
    BadRow,
    FailedRow,
    Feed,
    Row,
    csv_cells,
    delimiter_of,
    feed_of,
    is_utf8,
    read_feed,
    read_header,
    read_text,
)
from twinset.errors import FeedError
from twinset.taxonomy import Taxonomy
from twinset.types import Product

Rows = Iterator[tuple[int, Row | BadRow]]


DEFAULT_SHOP = "default"


@dataclass(frozen=True, slots=True)
class Export:
    """What an export doesn't say itself."""

    path: Path
    shop: str = DEFAULT_SHOP
    currency: str | None = None  # of prices without one
    site: str = ""  # https://shop.example: where the links of products start


def read_export(export: Export, format: str, taxonomy: Taxonomy, strict: bool = False) -> Feed:
    """Return the products of one shop in a file of a format among `FORMATS`. Raises FeedError.

    In a feed of our own a row of no shop, or of `default`, is of this one; one of another shop is a bad row. What is a
    draft or hidden is left out.
    """
    if format == "twinset":
        return _of_shop(read_feed(export.path, taxonomy, strict=strict), export.shop)
    rows = ((line, _of(row, export)) for line, row in FORMATS[format](export))
    return feed_of(rows, export.path, taxonomy, strict=strict)


def _google(export: Export) -> Rows:
    from twinset.data.exports_google import google_rows

    return google_rows(export)


def _shopify(export: Export) -> Rows:
    from twinset.data.exports_shopify import shopify_rows

    return shopify_rows(export)


def _woocommerce(export: Export) -> Rows:
    from twinset.data.exports_woocommerce import woocommerce_rows

    return woocommerce_rows(export)


FORMATS: dict[str, Callable[[Export], Rows]] = {
    "google": _google,
    "shopify": _shopify,
    "woocommerce": _woocommerce,
}


def _of(row: Row | BadRow, export: Export) -> Row | BadRow:
    if isinstance(row, BadRow):
        return row
    return {"currency": export.currency} | {name: value for name, value in row.items() if value} | {"shop": export.shop}


def _of_shop(feed: Feed, shop: str) -> Feed:
    pairs = list(zip(feed.products, feed.lines, strict=True))
    others = [
        FailedRow(line, product.product_id, f"expected shop {shop}, found {product.shop}; sync that one with --shop")
        for product, line in pairs
        if product.shop not in (shop, DEFAULT_SHOP)
    ]
    kept: list[tuple[Product, int]] = []
    lines_by_id: dict[str, int] = {}
    for product, line in pairs:
        if product.shop not in (shop, DEFAULT_SHOP):
            continue
        if product.product_id in lines_by_id:  # once of this shop, once of none
            reason = f"duplicate product_id, first on line {lines_by_id[product.product_id]}"
            others.append(FailedRow(line, product.product_id, reason))
            continue
        lines_by_id[product.product_id] = line
        kept.append((replace(product, shop=shop), line))
    failed = sorted([*feed.failed, *others], key=lambda row: row.line)
    return replace(feed, products=[product for product, _ in kept], lines=[line for _, line in kept], failed=failed)


# --- what the formats share -------------------------------------------------------------------------------------------


def table_rows(path: Path, needed: tuple[str, ...], kind: str) -> Iterator[tuple[int, dict[str, str] | BadRow]]:
    """Yield (line, cells by column) of a CSV or TSV, columns by their lower-case names.

    A short row is filled up with empty cells, as spreadsheets leave them off. Raises FeedError without the needed
    columns, or for a header that can't be read.
    """
    lines = list(io.StringIO(read_text(path), newline=""))
    rows = csv_cells(lines, delimiter_of(lines, "\t,;"))
    columns = [name.lower() for name in read_header(rows, path)]
    missing = [name for name in needed if not set(name.split(" or ")) & set(columns)]
    if missing:
        raise FeedError(
            f"{path}: expected an export of {kind} with the column {missing[0]!r}, found "
            f"{', '.join(columns[:8]) or 'an empty file'}; check the file and --format"
        )
    for line, cells in rows:
        if isinstance(cells, BadRow):
            yield line, cells
        elif len(cells) > len(columns) and any(cells[len(columns) :]):
            yield line, BadRow(f"expected {len(columns)} columns, found {len(cells)}")
        elif not all(cell.isascii() or is_utf8(cell) for cell in cells):
            yield line, BadRow(NO_UTF8)
        else:
            named = zip(columns, [cell.strip() for cell in cells] + [""] * (len(columns) - len(cells)), strict=False)
            yield line, {column: cell for column, cell in named if column}


def on_sale(start: str, end: str, now: datetime | None = None) -> bool:
    """Return whether a sale goes on: dates as ISO 8601, "" for none; one that can't be read doesn't count."""
    now = now or datetime.now(UTC)
    first, last = _time(start), _time(end)
    return not ((first and now < first) or (last and now > last))


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def tag_columns(pairs: Iterator[tuple[str, str]]) -> Row:
    """Return attributes as tags, by their lower-case names: colours as `colour`."""
    return {f"tags.{'colour' if name.lower() == 'color' else name.lower()}": value for name, value in pairs if value}
