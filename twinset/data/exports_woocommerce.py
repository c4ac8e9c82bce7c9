"""Rows of WooCommerce's product CSV: variations name their parent by its SKU, or as `id:44`."""

import re
from collections.abc import Iterator

from twinset.data.exports import Export, Rows, on_sale, table_rows, tag_columns
from twinset.data.feed import BadRow, Row

Cells = dict[str, str]
_UNSEEN = {"variable", "grouped"}  # they only hold others together


def woocommerce_rows(export: Export) -> Rows:
    """Yield (line, our columns) of each simple product and each variation."""
    rows = list(table_rows(export.path, ("id", "type", "name"), "WooCommerce"))
    parents: dict[str, Cells] = {}
    for _, cells in rows:
        if isinstance(cells, dict) and "variable" in _kinds(cells):
            parents |= {f"id:{cells['id']}": cells} | ({cells["sku"]: cells} if cells.get("sku") else {})
    seen: set[str] = set()
    for line, cells in rows:
        if isinstance(cells, BadRow):
            yield line, cells
        elif not _kinds(cells) & _UNSEEN and _published(cells):
            parent = parents.get(cells.get("parent", "")) if "variation" in _kinds(cells) else None
            if parent and not _published(parent):
                continue
            first = parent is not None and parent["id"] not in seen
            if parent:
                seen.add(parent["id"])
            yield line, _row(cells, parent, first, export)


def _row(cells: Cells, parent: Cells | None, first: bool, export: Export) -> Row:
    """Return a product. A parent's first variation has all its pictures, the others their own or the first."""
    family = parent or cells
    own, shared = _images(cells), _images(family)
    start, end = cells.get("date sale price starts", ""), cells.get("date sale price ends", "")
    paths = [path.strip() for path in re.split(r"(?<!\\),", family.get("categories", "")) if path.strip()]
    return {
        "product_id": cells["id"],
        "images": list(dict.fromkeys([*own, *(shared if first or parent is None else [] if own else shared[:1])])),
        "title": cells["name"],
        "price": cells.get("regular price", ""),
        "sale_price": cells.get("sale price", "") if on_sale(start, end) else "",
        "category": " > ".join(paths),
        "article_type": paths[0].rpartition(">")[2].strip() if paths else "",
        "url": cells.get("external url", "") or (f"{export.site.rstrip('/')}/?p={cells['id']}" if export.site else ""),
        "in_stock": "false" if cells.get("in stock?") == "0" else "true",  # or 1, or backorder
        "group_id": parent["id"] if parent else "",
        "tags.sku": cells.get("sku", ""),
        "tags.tags": family.get("tags", ""),
        "tags.brand": family.get("brands", ""),
        **tag_columns(_attributes(cells)),
    }


def _attributes(cells: Cells) -> Iterator[tuple[str, str]]:
    number = 1
    while f"attribute {number} name" in cells:
        yield cells[f"attribute {number} name"], cells.get(f"attribute {number} value(s)", "")
        number += 1


def _images(cells: Cells) -> list[str]:
    return [image.strip() for image in cells.get("images", "").split(",") if image.strip()]


def _kinds(cells: Cells) -> set[str]:
    """Return the words of a type such as "simple, downloadable, virtual"."""
    return {word.strip() for word in cells["type"].lower().split(",")}


def _published(cells: Cells) -> bool:
    hidden = cells.get("visibility in catalog", "") == "hidden" and "variation" not in _kinds(cells)
    return cells.get("published", "1") == "1" and not hidden
