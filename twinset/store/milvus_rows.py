"""The fields a collection has, one row for each item of a product, and the way there and back.

A product's rows share `product`, a hash of its key; `key` adds the number of the image. What filters ask for has fields
of its own, all else is in `row`. A row of category `GONE` stands for an item that was replaced by none: it is written
together with the product's new rows, so that these take the old ones' place at once, and removed afterwards.
"""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.errors import StoreError
from twinset.store.base import DIM, Entry, Fingerprint, Key
from twinset.store.columns import ATTRIBUTES, MAIN_COLOUR_SHARE, TAGS
from twinset.store.filters import to_number
from twinset.store.rows import entry_of, table_of

GONE = "-"  # no category has this name
NO_CATEGORY = ""
NOTE, NOTE_END = "note ", "note!"  # keys of notes lie between these
LONGEST_TEXT = 65_535  # bytes, the most a field of Milvus holds
MOST_LABELS = 4096
LABELLED = ("article_type", "group_id")
MOST_COLOURS = 64
HASH_DIGITS = 40
HIT_FIELDS = ("key", "product", "group", "shop", "product_id")
FINGERPRINT_FIELDS = ("shop", "product_id", "image_no", "row_hash", "image_hash")
ENTRY_FIELDS = ("product", "image_no", "row", "embedding")
FIELDS = (
    *(
        "key",
        "product",
        "group",
        "shop",
        "product_id",
        "image_no",
        "lead",
        "item_category",
        "price",
        "in_stock",
        "colours",
    ),
    *("labels", "tag_numbers", "row_hash", "image_hash", "row", "embedding"),
)
INDEX = {"index_type": "HNSW", "metric_type": "IP", "params": {"M": 32, "efConstruction": 400}}
INDEXED_FIELDS = ("product", "group", "item_category", "shop")
_IN_FIELDS = ("row_hash", "image_hash", "embedding")  # and so not in `row`


def schema(client: Any, description: str, dim: int = DIM) -> Any:
    """Return the schema of a collection of vectors of `dim` numbers, with what the store says of itself."""
    from pymilvus import DataType

    text = {"datatype": DataType.VARCHAR, "max_length": LONGEST_TEXT}
    made = client.create_schema(auto_id=False, enable_dynamic_field=False, description=description)
    made.add_field("key", DataType.VARCHAR, is_primary=True, max_length=64)
    made.add_field("product", DataType.VARCHAR, max_length=HASH_DIGITS)
    made.add_field("group", DataType.VARCHAR, max_length=HASH_DIGITS)  # what is one hit
    made.add_field("shop", **text)
    made.add_field("product_id", **text)
    made.add_field("image_no", DataType.INT64)
    made.add_field("lead", DataType.BOOL)  # true for one row of each product
    made.add_field("item_category", DataType.VARCHAR, max_length=256)
    made.add_field("price", DataType.DOUBLE)  # what is paid: the sale price, if there is one; NaN for none
    made.add_field("in_stock", DataType.BOOL)
    made.add_field(
        "colours", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=MOST_COLOURS, max_length=64
    )  # the main ones
    made.add_field(
        "labels", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=MOST_LABELS, max_length=HASH_DIGITS
    )  # `label` of the fields that filters compare as texts, and of each tag
    made.add_field("tag_numbers", DataType.JSON)  # `label` of a tag -> the number its value reads as
    made.add_field("row_hash", **text)
    made.add_field("image_hash", **text)
    made.add_field("row", **text)  # a JSON object, or its zlib in base64
    made.add_field("embedding", DataType.FLOAT_VECTOR, dim=dim)
    return made


def index_params(client: Any) -> Any:
    """Return the indexes a collection has: of vectors, and of the texts that are looked up."""
    params = client.prepare_index_params()
    params.add_index("embedding", **INDEX)
    for name in INDEXED_FIELDS:
        params.add_index(name, index_type="")  # the server's own choice: 2.3 refuses INVERTED
    return params


def product_hash(key: Key) -> str:
    """Return the name a product goes by in a collection."""
    return _hash(key.shop, key.product_id)


def group_hash(key: Key, group_id: str | None) -> str:
    """Return the name of the variant group a product is in; of the product where it is in none."""
    return product_hash(key) if group_id is None else _hash(key.shop, "group", group_id)


def label(field: str, *value: str) -> str:
    """Return what stands for a field of a filter, or for it and its value, whatever is in them."""
    return _hash(field, *value)[:16]


def milvus_rows(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the rows of some products. Raises StoreError for one that is too large for Milvus."""
    rows = []
    leads = {entry.key: min(item.image_no for item in entry.items) for entry in entries}
    vectors = (item.embedding for entry in entries for item in entry.items)
    for row, vector in zip(table_of(entries).drop(["embedding"]).to_pylist(), vectors, strict=True):
        key = Key(row["shop"], row["product_id"])
        product = product_hash(key)
        tags: dict[str, str] = json.loads(row["tags"])
        labels = {name: row[name] for name in LABELLED if row[name] is not None}
        labels |= {TAGS + name: value for name, value in tags.items()}
        labels |= {ATTRIBUTES + name: value for name, value in json.loads(row["attributes"]).items()}
        if len(labels) > MOST_LABELS:
            raise _too_large(key, f"{MOST_LABELS} tags", f"{len(labels)}")
        packed = _packed({name: value for name, value in row.items() if name not in _IN_FIELDS})
        if packed is None:
            raise _too_large(key, f"{LONGEST_TEXT} bytes, compressed,", "more")
        rows.append(
            {
                "key": f"{product}-{row['image_no']}",
                "product": product,
                "group": group_hash(key, row["group_id"]),
                **{name: row[name] for name in FINGERPRINT_FIELDS},
                "lead": row["image_no"] == leads[key],
                "item_category": row["item_category"] or NO_CATEGORY,
                "price": _paid(row),
                "in_stock": row["in_stock"],
                "colours": _main_colours(row["colours"], row["colour_shares"])[:MOST_COLOURS],
                "labels": [label(name, value) for name, value in labels.items()],
                "tag_numbers": _numbers(tags),
                "row": packed,
                "embedding": vector,
            }
        )
    return rows


def gone_row(key: str, dim: int, text: str = "{}") -> dict[str, Any]:
    """Return a row that no search finds: it takes the place of one whose item is no more, or keeps a note."""
    product, _, image_no = key.rpartition("-")
    vector = np.zeros(dim, np.float32)
    vector[0] = 1
    texts = dict.fromkeys(("shop", "product_id", "row_hash", "image_hash"), "")
    return texts | {
        "key": key,
        "product": product,
        "group": "",
        "image_no": int(image_no),
        "lead": False,
        "item_category": GONE,
        "price": math.nan,
        "in_stock": False,
        "colours": [],
        "labels": [],
        "tag_numbers": {},
        "row": text,
        "embedding": vector,
    }


def note_key(name: str) -> str:
    """Return the key of the row that keeps a note."""
    return f"{NOTE}{name}-0"


def note_name(key: str) -> str:
    """Return the name of the note that a row of this key keeps."""
    return key.removeprefix(NOTE).removesuffix("-0")


def note_row(name: str, text: str, dim: int) -> dict[str, Any]:
    """Return the row that keeps a note. Raises StoreError for one that is too large for Milvus."""
    packed = _packed({"note": text})
    if packed is None:
        raise StoreError(f"note {name}: expected a text of at most {LONGEST_TEXT} bytes, found {len(text)} letters")
    return gone_row(note_key(name), dim, packed)


def note_of(stored: Mapping[str, Any]) -> str:
    """Return the note a row keeps."""
    return str(row_of(stored)["note"])


def row_of(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as rows.py has it, without vector and hashes."""
    text = stored["row"]
    if not text.startswith("{"):
        text = zlib.decompress(base64.b64decode(text)).decode()
    row: dict[str, Any] = json.loads(text)
    return row


def entries_of(stored: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Return the products some rows with `ENTRY_FIELDS`, row_hash and image_hash are of, by their hash."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(stored, key=lambda row: (row["product"], row["image_no"])):
        groups.setdefault(row["product"], []).append(row)
    entries = []
    for rows in groups.values():
        full = [row_of(row) | {"row_hash": row["row_hash"], "image_hash": row["image_hash"]} for row in rows]
        entries.append(entry_of(full, [vector_of(row) for row in rows]))
    return entries


def fingerprints_of(stored: Sequence[Mapping[str, Any]]) -> dict[Key, Fingerprint]:
    """Return what tells whether products changed, of rows with `FINGERPRINT_FIELDS`."""
    found: dict[Key, tuple[str, dict[int, str]]] = {}
    for row in stored:
        _, hashes = found.setdefault(Key(row["shop"], row["product_id"]), (row["row_hash"], {}))
        hashes[row["image_no"]] = row["image_hash"]
    return {key: Fingerprint(row_hash, hashes) for key, (row_hash, hashes) in found.items()}


def _main_colours(names: Sequence[str], shares: Sequence[float]) -> list[str]:
    """Return the colours people would call an item, as columns.py does."""
    pairs = enumerate(zip(names, shares, strict=True))
    return sorted({name for i, (name, share) in pairs if i == 0 or share >= MAIN_COLOUR_SHARE})


def _numbers(tags: Mapping[str, str]) -> dict[str, float]:
    numbers = {label(TAGS + name): to_number(value) for name, value in tags.items()}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def _paid(row: Mapping[str, Any]) -> float:
    price = row["price"] if row["sale_price"] is None else row["sale_price"]
    return math.nan if price is None else float(price)


def _packed(value: Mapping[str, Any]) -> str | None:
    """Return a JSON object as a text that fits into a field, None if it can't be made to."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > LONGEST_TEXT:
        text = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    return text if len(text.encode()) <= LONGEST_TEXT else None


def _too_large(key: Key, most: str, found: str) -> StoreError:
    return StoreError(
        f"product {key.product_id!r} of shop {key.shop!r}: expected at most {most} in Milvus, "
        f"found {found}; shorten its tags or its list of images in the feed"
    )


def _hash(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:HASH_DIGITS]


def vector_of(stored: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return a row's vector."""
    return np.array(stored["embedding"], np.float32)
