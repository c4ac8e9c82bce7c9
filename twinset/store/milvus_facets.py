"""Rows of a Milvus collection as facets.py counts them: the server returns rows, and counts none by itself."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.store.columns import TAGS
from twinset.store.filters import Coded, Column, Sets
from twinset.store.milvus_rows import row_of

_FIELDS = {"category": "item_category", "colour": "colours", "price": "price", "shop": "shop", "in_stock": "in_stock"}


def facet_fields(names: Sequence[str]) -> list[str]:
    """Return the fields a collection must be asked for to count some facets."""
    return sorted({"group", *(_FIELDS.get(name, "row") for name in names)})


class MilvusRows:
    """See `facets.Rows`."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows
        self._full = [row_of(row) for row in rows] if rows and "row" in rows[0] else []
        self._tags: list[dict[str, str]] = [json.loads(row["tags"]) for row in self._full]
        self.groups: NDArray[np.int64] = _codes([row["group"] for row in rows]).codes.astype(np.int64)

    @property
    def tags(self) -> list[str]:
        return sorted({TAGS + name for tags in self._tags for name in tags})

    def column(self, name: str) -> Column:
        """Return a field's values, row by row."""
        if name == "price":
            return np.array([row["price"] for row in self._rows], np.float64)
        if name == "in_stock":
            return np.array([row["in_stock"] for row in self._rows], bool)
        if name == "colour":
            return _sets([row["colours"] for row in self._rows])
        if name.startswith(TAGS):
            return _codes([tags.get(name.removeprefix(TAGS)) for tags in self._tags])
        if name in _FIELDS:
            return _codes([row[_FIELDS[name]] or None for row in self._rows])
        return _codes([row[name] for row in self._full])


def _codes(values: Sequence[Any]) -> Coded:
    known: dict[Any, int] = {}
    codes = np.array([known.setdefault(value, len(known)) for value in values], np.int32)
    return Coded(list(known), codes)


def _sets(values: Sequence[Sequence[str]]) -> Sets:
    names = sorted({name for each in values for name in each})[:64]
    places = {name: i for i, name in enumerate(names)}
    bits = [sum(1 << places[name] for name in set(each) if name in places) for each in values]
    return Sets(names, np.array(bits, np.uint64))
