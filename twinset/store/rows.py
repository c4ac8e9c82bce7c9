"""The columns a stored product has, one row for each of its items, and the way there and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twinset.store.base import DIM, Entry
from twinset.types import Box, Colour, Hit, Item, Product

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
    pa.field("embedding", pa.list_(pa.float32(), DIM)),  # DIM or what the store's model has
    pa.field("row_hash", pa.string()),
    pa.field("image_hash", pa.string()),
)


def schema(metadata: Mapping[str, str] | None = None, dim: int = DIM) -> pa.Schema:
    """Return the schema of a store's table of vectors of `dim` numbers, with what the store says of itself."""
    vector = pa.field("embedding", pa.list_(pa.float32(), dim))
    columns = [vector if column.name == vector.name else column for column in COLUMNS]
    return pa.schema(columns, metadata=dict(metadata or {}))


def table_of(entries: Sequence[Entry]) -> pa.Table:
    """Return the rows of some products, one at least, with vectors of one length."""
    pairs = [(entry, item) for entry in entries for item in entry.items]
    columns: dict[str, Any] = {name: [getattr(entry.product, name) for entry, _ in pairs] for name in _PRODUCT_FIELDS}
    columns |= {name: [getattr(item, name) for _, item in pairs] for name in ("image_no", "box", "model_version")}
    vectors = np.concatenate([item.embedding for _, item in pairs]).astype(np.float32)
    dim = len(pairs[0][1].embedding)
    columns |= {
        "images": [entry.product.images for entry, _ in pairs],
        "tags": [_json(entry.product.tags) for entry, _ in pairs],
        "item_category": [item.category for _, item in pairs],
        "item_score": [item.score for _, item in pairs],
        "colours": [[colour.name for colour in item.colours] for _, item in pairs],
        "colour_shares": [[colour.share for colour in item.colours] for _, item in pairs],
        "attributes": [_json(item.attributes) for _, item in pairs],
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors), dim),
        "row_hash": [entry.row_hash for entry, _ in pairs],
        "image_hash": [image_hash for entry in entries for image_hash in entry.image_hashes],
    }
    return pa.Table.from_pydict(columns, schema=schema(dim=dim))


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


class Variants(NamedTuple):
    """The products of a variant group that could be a hit."""

    products: int
    in_stock: bool  # one of them is


def hit_of(row: Mapping[str, Any], score: float, variants: Variants | None = None) -> Hit:
    """Return the hit a row is for a query, for itself unless it stands for several `variants`.

    It has the row's vector where that came with the row.
    """
    image, product = row["images"][row["image_no"]], product_of(row)
    products, in_stock = variants or (1, product.in_stock)
    attributes = json.loads(row["attributes"])
    return Hit(
        *(score, product, _box(row), image, row["item_category"], _colours(row), products, in_stock),
        attributes=attributes,
        embedding=row.get("embedding"),
    )


def product_of(row: Mapping[str, Any]) -> Product:
    """Return the product a row is of."""
    fields = {name: row[name] for name in _PRODUCT_FIELDS}
    return Product(images=tuple(row["images"]), tags=json.loads(row["tags"]) if row["tags"] != "{}" else {}, **fields)


def _box(row: Mapping[str, Any]) -> Box:
    x1, y1, x2, y2 = row["box"]
    return x1, y1, x2, y2


def _colours(row: Mapping[str, Any]) -> tuple[Colour, ...]:
    return tuple(Colour(name, share) for name, share in zip(row["colours"], row["colour_shares"], strict=True))


def _json(value: Mapping[str, str]) -> str:
    return json.dumps(dict(value), ensure_ascii=False) if value else "{}"
