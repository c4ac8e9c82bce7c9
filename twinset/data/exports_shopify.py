"""Rows of Shopify's product CSV: a row for each variant or picture, those of one product neighbours by their handle.

Both headers are read: the one with `Handle`, and the newer with `URL handle`.
"""

from collections.abc import Iterator
from itertools import groupby

from twinset.data.exports import Export, Rows, table_rows, tag_columns
from twinset.data.feed import BadRow, Row

_NEWER = {  # the newer header's names by the older's
    "handle": "url handle",
    "image src": "product image url",
    "variant image": "variant image url",
    "variant sku": "sku",
    "variant price": "price",
    "variant compare at price": "compare-at price",
    "variant inventory tracker": "inventory tracker",
    "variant inventory qty": "inventory quantity",
    "variant inventory policy": "continue selling when out of stock",
    "published": "published on online store",
}
_NO = {"false", "no", "0"}
Cells = dict[str, str]


def shopify_rows(export: Export) -> Rows:
    """Yield (line, our columns) of each variant, first the bad rows: none of them splits its product."""
    rows: list[tuple[int, Cells]] = []
    for line, cells in table_rows(export.path, ("title", "handle or url handle"), "Shopify"):
        if isinstance(cells, BadRow):
            yield line, cells
        elif not _of(cells, "handle"):
            yield line, BadRow("expected a handle, found none")
        else:
            rows.append((line, cells))
    for handle, lines in groupby(rows, lambda row: _of(row[1], "handle")):
        yield from _product(handle, list(lines), export)


def _product(handle: str, rows: list[tuple[int, Cells]], export: Export) -> Rows:
    """Yield a product's variants. The first has all its pictures, the others their own or the first."""
    first = rows[0][1]
    if not first.get("title"):  # the row that has it, and whether the product may be shown, was lost
        lost = f"expected a first row of {handle!r} with its title, found none"
        yield from ((line, BadRow(lost)) for line, _ in rows)
        return
    if _of(first, "published").lower() in _NO or first.get("status", "").lower() in ("draft", "archived"):
        return
    pictures = [cells for _, cells in rows if _of(cells, "image src")]
    pictures.sort(
        key=lambda cells: int(cells.get("image position", "")) if cells.get("image position", "").isdigit() else 0
    )
    images = [_of(cells, "image src") for cells in pictures]
    variants = [(line, cells) for line, cells in rows if _of(cells, "variant price") or cells.get("option1 value")]
    for number, (line, cells) in enumerate(variants or rows[:1]):
        own = _of(cells, "variant image")
        shown = ([own] if own else []) + (images if number == 0 else [] if own else images[:1])
        yield line, _variant(handle, first, cells, shown, len(variants) > 1, export)


def _variant(handle: str, first: Cells, cells: Cells, images: list[str], grouped: bool, export: Export) -> Row:
    values = [cells.get(f"option{no} value", "") for no in (1, 2, 3)]
    words = [value for value in values if value and value != "Default Title"]
    price, before = _of(cells, "variant price"), _of(cells, "variant compare at price")
    reduced = _number(before) > _number(price)
    return {
        "product_id": _of(cells, "variant sku").lstrip("'") or "-".join([handle, *words]),  # ' keeps a number a text
        "images": images,
        "title": " ".join([first.get("title", ""), *([f"({', '.join(words)})"] if words else [])]),
        "price": before if reduced else price,
        "sale_price": price if reduced else "",
        "category": first.get("type", ""),
        "article_type": first.get("type", ""),
        "product_type": first.get("product category", "") or first.get("google shopping / google product category", ""),
        "url": f"{export.site.rstrip('/')}/products/{handle}" if export.site else "",
        "in_stock": "true" if _in_stock(cells) else "false",
        "group_id": handle if grouped else "",
        "tags.brand": first.get("vendor", ""),
        "tags.tags": first.get("tags", ""),
        **tag_columns(_options(first, values)),
    }


def _options(first: Cells, values: list[str]) -> Iterator[tuple[str, str]]:
    """Yield a variant's options; their names stand in the product's first row."""
    for no, value in enumerate(values, 1):
        name = first.get(f"option{no} name", "")
        if name and (name, value) != ("Title", "Default Title"):
            yield name, value


def _in_stock(cells: Cells) -> bool:
    """Return whether a variant can be bought: one whose stock isn't tracked always can."""
    amount = _of(cells, "variant inventory qty")
    policy = _of(cells, "variant inventory policy").lower()
    tracker = "variant inventory tracker"
    untracked = any(name in cells for name in (tracker, _NEWER[tracker])) and not _of(cells, tracker)
    return untracked or not amount or policy in ("continue", "true") or _number(amount) > 0


def _of(cells: Cells, name: str) -> str:
    return cells.get(name) or cells.get(_NEWER[name], "")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
