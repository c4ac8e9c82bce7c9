"""Count what a search's hits have in each field, so that a shopper sees which filters lead somewhere.

A value is counted with the filter as it is, but for the conditions on its own field: with `colour=red` chosen, the
count of blue is that of the hits there would be with `colour=blue`. The stores bring the rows.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twinset.errors import UsageError
from twinset.store.filters import Coded, Column, Filter, Sets
from twinset.store.where import condition_text
from twinset.types import Facet, FacetValue

FACETS = ("category", "colour", "shop", "in_stock", "price", "article_type", "tags", "tags.NAME")
TAGS = "tags"  # each tag that products have
MOST_VALUES = 50  # of a facet, and tags that are counted
PRICE_BANDS = 5
_PRICE_SHARES = np.linspace(0, 1, PRICE_BANDS + 1)[1:-1]


class Rows(Protocol):
    """Rows of one part of a store that meet a filter."""

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) numbers of what is one hit, the same in all parts."""
        ...

    @property
    def tags(self) -> Sequence[str]:
        """The fields of the tags they may have."""
        ...

    def column(self, name: str) -> Column:
        """Return a field's values, row by row."""
        ...


@dataclass(frozen=True, slots=True)
class Selected:
    """All rows that meet a filter, or a sample of them."""

    parts: Sequence[Rows]
    share: float = 1.0  # of all that meet it


Select = Callable[[Filter], Selected]


def check_facets(fields: Sequence[str]) -> None:
    """Raise UsageError for a field that can't be counted."""
    for name in fields:
        if name not in FACETS[:-1] and not (name.startswith("tags.") and name != "tags."):
            expected = f"fields among {', '.join(FACETS)}"
            raise UsageError(
                f"facets: expected {expected}, found {name!r}", field="facets", expected=expected, found=repr(name)
            )


def count_facets(fields: Sequence[str], filter: Filter, select: Select) -> list[Facet]:
    """Return what was asked for, in that order, tags sorted. Raises UsageError for a field that can't be counted."""
    check_facets(fields)
    known: dict[Filter, Selected] = {}

    def selected(wanted: Filter) -> Selected:
        if wanted not in known:
            known[wanted] = select(wanted)
        return known[wanted]

    facets = []
    for field in fields:
        names = _tag_fields(selected(filter)) if field == TAGS else [field]
        for name in names:
            found = selected(filter if name == "shop" else filter.without(name))  # no shop is told of another
            values = _price_bands(found) if name == "price" else _values(name, found)
            if values or field != TAGS:
                facets.append(Facet(name, values, found.share == 1))
    return facets


def _tag_fields(found: Selected) -> list[str]:
    return sorted({name for rows in found.parts for name in rows.tags})[:MOST_VALUES]


def _values(name: str, found: Selected) -> tuple[FacetValue, ...]:
    counts = _count([(_value_rows(rows.column(name)), rows.groups) for rows in found.parts])
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_VALUES]
    return tuple(
        FacetValue(value, _scaled(count, found), where)
        for value, count in ranked
        if (where := condition_text(name, value)) is not None
    )


def _price_bands(found: Selected) -> tuple[FacetValue, ...]:
    """Return counts for a few bands of about as many products each, between round prices."""
    prices = [np.asarray(rows.column("price"), np.float64) for rows in found.parts]
    every = np.concatenate(prices) if prices else np.zeros(0)
    every = every[~np.isnan(every)]
    if not len(every):
        return ()
    edges = [-math.inf, *_round_edges(every), math.inf]
    numbers = [np.searchsorted(edges[1:-1], price, side="right") for price in prices]
    pairs = [
        ((np.flatnonzero(~np.isnan(price)), number[~np.isnan(price)]), rows.groups)
        for price, number, rows in zip(prices, numbers, found.parts, strict=True)
    ]
    bands = list(pairwise(edges))
    counts = _count([((places, list(range(len(bands))), codes), groups) for (places, codes), groups in pairs])
    return tuple(_band(bands[i], _scaled(counts[i], found)) for i in sorted(counts))


def _round_edges(prices: NDArray[np.float64]) -> list[float]:
    """Return prices of one figure that part others into about as many each."""
    edges = {float(f"{price:.0e}") for price in np.quantile(prices, _PRICE_SHARES)}
    low, high = float(prices.min()), float(prices.max())
    return sorted(edge for edge in edges if low < edge <= high)


def _band(ends_at: tuple[float, float], count: int) -> FacetValue:
    low, high = ends_at
    ends = [f"price>={low:g}"] * (low != -math.inf) + [f"price<{high:g}"] * (high != math.inf)
    value = f"{low:g}-{high:g}" if len(ends) == 2 else (ends[0].removeprefix("price") if ends else "any")
    return FacetValue(
        value,
        count,
        " and ".join(ends) or "price>=0",
        None if low == -math.inf else low,
        None if high == math.inf else high,
    )


_Valued = tuple[NDArray[np.int64], Sequence[Any], NDArray[np.integer[Any]]]


def _value_rows(column: Column) -> _Valued:
    """Return rows, values, and which of these each of the rows has; a row of several values is there several times."""
    if isinstance(column, Coded):
        there = np.array([value is not None for value in column.values], bool)
        rows = np.flatnonzero(there[column.codes])
        return rows, column.values, column.codes[rows]
    if isinstance(column, Sets):
        found = [np.flatnonzero(column.bits >> np.uint64(i) & np.uint64(1)) for i in range(len(column.names))]
        codes = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
        return np.concatenate([np.zeros(0, np.int64), *found]), column.names, codes
    assert isinstance(column, np.ndarray)  # in_stock
    return np.arange(len(column)), ("false", "true"), column.astype(np.int64)


def _count(parts: Sequence[tuple[_Valued, NDArray[np.int64]]]) -> dict[Any, int]:
    """Return for each value how many groups have it, a group in several parts counted once."""
    numbers: dict[Any, int] = {}
    pairs = []
    for (rows, values, codes), groups in parts:
        known = np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)
        pairs.append(known[codes] + (groups[rows] << 32) if len(rows) else np.zeros(0, np.int64))
    every = np.sort(pairs[0] if len(pairs) == 1 else np.concatenate([np.zeros(0, np.int64), *pairs]))
    once = every[np.flatnonzero(np.diff(every, prepend=-1))]  # several times quicker than np.unique
    counts = np.bincount(once & 0xFFFFFFFF, minlength=len(numbers)).tolist()
    return {value: counts[i] for value, i in numbers.items() if counts[i]}


def _scaled(count: int, found: Selected) -> int:
    return round(count / found.share)
