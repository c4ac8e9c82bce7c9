"""The columns a stored product has, one row for each of its items, and the way there and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twinset.store.base import DIM, Entry
from twinset.types import Box, Colour, Hit, Item, Product

MAIN_COLOUR_SHARE = 0.25  # an item is of a colour that covers this much of it, or covers most
ROW_KEY = ("shop", "product_id", "image_no")  # what names a row
_PRODUCT_FIELDS = (
    *("product_id", "shop", "title", "price", "sale_price", "currency", "category", "article_type"),
    *("category_given", "url", "in_stock", "group_id", "updated_at"),
)
COLUMNS = (
    pa.field("shop", pa.string(), nullable=False),
    pa.field("product_id", pa.string(), nullable=False),
    pa.field("image_no", pa.int32(), nullable=False),
    pa.field("title", pa.string()),
    pa.field("price", pa.float64()),
    pa.field("sale_price", pa.float64()),
    pa.field("currency", pa.string()),
    pa.field("category", pa.string()),  # the product's, by the feed
    pa.field("article_type", pa.string()),
    pa.field("category_given", pa.bool_()),
    pa.field("url", pa.string()),
    pa.field("in_stock", pa.bool_()),
    pa.field("group_id", pa.string()),
    pa.field("updated_at", pa.string()),
    pa.field("images", pa.list_(pa.string())),
    pa.field("tags", pa.string()),  # a JSON object
    pa.field("item_category", pa.string()),  # searches go by this one
    pa.field("item_score", pa.float64()),
    pa.field("box", pa.list_(pa.float32(), 4)),
    pa.field("colours", pa.list_(pa.string())),
    pa.field("colour_shares", pa.list_(pa.float64())),
    pa.field("attributes", pa.string()),  # a JSON object
    pa.field("model_version", pa.string()),
    pa.field("embedding", pa.list_(pa.float32(), DIM)),
    pa.field("row_hash", pa.string()),
    pa.field("image_hash", pa.string()),
)


def schema(metadata: Mapping[str, str] | None = None) -> pa.Schema:
    """Return the schema of a store's table, with what the store says of itself."""
    return pa.schema(COLUMNS, metadata=dict(metadata or {}))


def table_of(entries: Sequence[Entry]) -> pa.Table:
    """Return the rows of some products."""
    return pa.Table.from_pylist(rows_of(entries), schema=schema())


def rows_of(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the rows of some products, a dict of `COLUMNS` for each item."""
    rows = []
    for entry in entries:
        product = entry.product
        shared = {name: getattr(product, name) for name in _PRODUCT_FIELDS} | {
            "images": list(product.images),
            "tags": _json(product.tags),
            "row_hash": entry.row_hash,
        }
        for item, image_hash in zip(entry.items, entry.image_hashes, strict=True):
            own = {
                "image_no": item.image_no,
                "item_category": item.category,
                "item_score": item.score,
                "box": item.box,
                "colours": [colour.name for colour in item.colours],
                "colour_shares": [colour.share for colour in item.colours],
                "attributes": _json(item.attributes),
                "model_version": item.model_version,
                "embedding": item.embedding,
                "image_hash": image_hash,
            }
            rows.append(shared | own)
    return rows


def entry_of(rows: Sequence[Mapping[str, Any]], vectors: Sequence[NDArray[np.float32]]) -> Entry:
    """Return the product some rows were written of."""
    product = product_of(rows[0])
    items = tuple(
        Item(
            category=row["item_category"],
            score=row["item_score"],
            box=_box(row),
            embedding=vector,
            colours=_colours(row),
            attributes=json.loads(row["attributes"]),
            model_version=row["model_version"],
            product_id=product.product_id,
            shop=product.shop,
            image_no=row["image_no"],
        )
        for row, vector in zip(rows, vectors, strict=True)
    )
    return Entry(product, items, tuple(row["image_hash"] for row in rows), rows[0]["row_hash"])


def main_colours(names: Sequence[str], shares: Sequence[float]) -> frozenset[str]:
    """Return the colours people would call an item: its first, and what else covers a good part of it."""
    pairs = enumerate(zip(names, shares, strict=True))
    return frozenset(name for i, (name, share) in pairs if i == 0 or share >= MAIN_COLOUR_SHARE)


def hit_of(row: Mapping[str, Any], score: float) -> Hit:
    """Return the hit a row is for a query."""
    image = row["images"][row["image_no"]]
    return Hit(score, product_of(row), _box(row), image, row["item_category"], _colours(row))


def product_of(row: Mapping[str, Any]) -> Product:
    """Return the product a row is of."""
    fields = {name: row[name] for name in _PRODUCT_FIELDS}
    return Product(images=tuple(row["images"]), tags=json.loads(row["tags"]), **fields)


def _box(row: Mapping[str, Any]) -> Box:
    x1, y1, x2, y2 = row["box"]
    return x1, y1, x2, y2


def _colours(row: Mapping[str, Any]) -> tuple[Colour, ...]:
    return tuple(Colour(name, share) for name, share in zip(row["colours"], row["colour_shares"], strict=True))


def _json(value: Mapping[str, str]) -> str:
    return json.dumps(dict(value), ensure_ascii=False)
