"""What filters, grouping and facets ask of a store's rows, worked out of them once.

Written as an Arrow table, these columns can be mapped into memory from a file instead of being read.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from twinset.store.filters import Coded, Column, Sets

MAIN_COLOUR_SHARE = 0.25  # an item is of a colour that covers this much of it, or covers most
TAGS = "tags."
ATTRIBUTES = "attributes."
_CODED = ("shop", "article_type")
_COLOUR_NAMES = b"colour names"


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A column of texts, compared where they lie."""

    texts: pa.ChunkedArray

    def equals(self, wanted: set[Any]) -> NDArray[np.bool_]:
        """Return (N,) which are among the wanted."""
        found: NDArray[np.bool_] = pc.is_in(self.texts, pa.array(sorted(wanted), pa.string())).to_numpy()
        return found


def search_columns(rows: pa.Table) -> pa.Table:
    """Return the columns of stored rows: `product` and `group` number what is one product, and what is one hit."""
    product = _number(rows["shop"], rows["product_id"])
    colours, names = _main_colours(rows["colours"], rows["colour_shares"])
    columns: dict[str, Any] = {
        "product": product,
        "group": _groups(rows, product),
        "price": pc.fill_null(pc.coalesce(rows["sale_price"], rows["price"]), float("nan")),  # what is paid
        "in_stock": pc.fill_null(rows["in_stock"], True).cast(pa.uint8()),
        "category": rows["item_category"].dictionary_encode(),
        "colour": colours,
        **{name: rows[name].dictionary_encode() for name in _CODED},
        **_objects(TAGS, rows["tags"]),
        **_objects(ATTRIBUTES, rows["attributes"]),
    }
    combined = {
        name: pa.array(column) if isinstance(column, np.ndarray) else _whole(column) for name, column in columns.items()
    }
    return pa.table(combined).replace_schema_metadata({_COLOUR_NAMES: json.dumps(names)})


def column_of(columns: pa.Table, rows: pa.Table, name: str) -> Column:
    """Return a filter field's values. A tag that no row has is missing everywhere."""
    if name == "colour":
        names = json.loads(columns.schema.metadata[_COLOUR_NAMES])
        return Sets(names, columns["colour"].to_numpy())
    if name == "price":
        prices: NDArray[np.float64] = columns["price"].to_numpy()
        return prices
    if name == "in_stock":
        return np.asarray(columns["in_stock"].to_numpy() != 0)
    if name in ("product_id", "group_id"):
        return Texts(rows[name])
    if name not in columns.column_names:
        return Coded((None,), np.zeros(len(columns), np.int32))
    return coded(columns[name])


def coded(column: pa.ChunkedArray) -> Coded:
    """Return a dictionary column's values, None the last, and each row's place among them."""
    array = _whole(column)
    values = array.dictionary.to_pylist()
    return Coded((*values, None), pc.fill_null(array.indices, len(values)).to_numpy())


def part_of(column: Column, rows: slice) -> Column:
    """Return a column's values for a range of rows."""
    if isinstance(column, Coded):
        return Coded(column.values, column.codes[rows])
    if isinstance(column, Sets):
        return Sets(column.names, column.bits[rows])
    if isinstance(column, Texts):
        return Texts(column.texts.slice(rows.start, rows.stop - rows.start))
    assert isinstance(column, np.ndarray)  # what column_of else returns
    return column[rows]


def values_at(column: Column, places: NDArray[np.int64]) -> Column:
    """Return a column's values at some places, of a column that facets count."""
    if isinstance(column, Coded):
        return Coded(column.values, column.codes[places])
    if isinstance(column, Sets):
        return Sets(column.names, column.bits[places])
    assert isinstance(column, np.ndarray)
    return column[places]


def _groups(rows: pa.Table, product: NDArray[np.int32]) -> NDArray[np.int32]:
    """Number variant groups, after the products, which stand for themselves where they are in none."""
    grouped = pc.is_valid(rows["group_id"]).to_numpy()
    if not grouped.any():
        return product
    numbers = _number(rows["shop"], pc.fill_null(rows["group_id"], ""))
    return np.where(grouped, numbers + product.max() + 1, product).astype(np.int32)


def _number(*columns: pa.ChunkedArray) -> NDArray[np.int32]:
    """Return numbers from 0 that are equal where all columns are."""
    joined = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        array = _whole(column.dictionary_encode())
        joined = joined * (len(array.dictionary) + 1) + array.indices.to_numpy()
    return np.unique(joined, return_inverse=True)[1].astype(np.int32)


def _main_colours(names: pa.ChunkedArray, shares: pa.ChunkedArray) -> tuple[NDArray[np.uint64], Sequence[str]]:
    """Return a bit for each of the colours people would call an item: its first, and what else covers enough of it."""
    lists = _whole(names)
    parents = pc.list_parent_indices(lists).to_numpy()
    places = _whole(lists.flatten().dictionary_encode())
    palette = places.dictionary.to_pylist()[:64]
    codes = places.indices.to_numpy()
    main = _whole(shares).flatten().to_numpy() >= MAIN_COLOUR_SHARE
    main |= np.diff(parents, prepend=-1) != 0  # the first of each
    main &= codes < 64
    bits = np.zeros(len(lists), np.uint64)
    np.bitwise_or.at(bits, parents[main], np.uint64(1) << codes[main].astype(np.uint64))
    return bits, palette


def _objects(prefix: str, column: pa.ChunkedArray) -> Mapping[str, pa.Array]:
    """Return a column for each name that JSON objects have anywhere."""
    texts = _whole(column.dictionary_encode())
    objects = [json.loads(text) for text in texts.dictionary.to_pylist()]
    names = sorted({name for tags in objects for name in tags})
    found = {}
    for name in names:
        values = pa.array([tags.get(name) for tags in objects], pa.string()).dictionary_encode()
        found[prefix + name] = pa.DictionaryArray.from_arrays(values.indices.take(texts.indices), values.dictionary)
    return found


def _whole(column: Any) -> Any:
    """Return a column as one array."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
