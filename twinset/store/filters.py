"""Read `--where` conditions and say which products meet them. The stores bring the columns."""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.errors import FilterError
from twinset.taxonomy import default_taxonomy

FIELDS = ("category", "colour", "price", "shop", "in_stock", "tags.NAME")
_CONDITION = re.compile(r"\s*([A-Za-z_][^!<>=]*?)\s*(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TRUTH = {"true": True, "false": False}

Value = str | float | bool
Rows = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. `=` holds for any of the values, `!=` for none of them; the others have one."""

    field: str
    operator: str  # = != < <= > >=
    values: tuple[Value, ...]

    def holds(self, column: Sequence[Any]) -> Rows:
        """Return (N,) which values of a column meet the condition.

        A missing value, None or NaN, meets `!=` alone. A tag is compared by order as a number, and never holds where
        it is none. A value that is a set of names, as an item's colours, equals each of its names.
        """
        if self.operator in _ORDERED:
            numbers = column if isinstance(column, np.ndarray) else np.array([_number(value) for value in column])
            ordered: Rows = _ORDERED[self.operator](numbers.astype(np.float64), self.values[0])
            return ordered
        wanted = set(self.values)
        if isinstance(column, np.ndarray):
            equal = np.isin(column, list(wanted))
        else:
            sets = (value if isinstance(value, frozenset) else {value} for value in column)
            equal = np.fromiter((not wanted.isdisjoint(value) for value in sets), bool, len(column))
        found: Rows = equal if self.operator == "=" else ~equal
        return found


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold. No conditions let everything through."""

    conditions: tuple[Condition, ...] = ()


def parse_where(conditions: Sequence[str]) -> Filter:
    """Return the filter of `field=value[,value]` strings, also `!=`, `<`, `<=`, `>` and `>=`. Raises FilterError."""
    return Filter(tuple(_parse(text) for text in conditions))


def _parse(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if not match:
        raise _error(text, "field=value[,value] or one of != < <= > >=", repr(text))
    field, op, rest = match[1], match[2], match[3]
    words = [word.strip() for word in rest.split(",")]
    if not all(words):
        raise _error(text, f"a value after {op}", repr(rest.strip()))
    if op in _ORDERED and len(words) > 1:
        raise _error(text, f"one value after {op}", f"{len(words)}")
    if op in _ORDERED and field in ("category", "colour", "shop", "in_stock"):
        raise _error(text, f"= or != for {field}", op)
    return Condition(field, op, tuple(_value(text, field, op, word) for word in words))


def _value(text: str, field: str, op: str, word: str) -> Value:
    if field == "price" or (field.startswith("tags.") and op in _ORDERED):
        number = _number(word)
        if math.isnan(number):
            raise _error(text, "a number like 12.50", repr(word))
        return number
    if field == "in_stock":
        if word.lower() not in _TRUTH:
            raise _error(text, "true or false", repr(word))
        return _TRUTH[word.lower()]
    if field == "category":
        names = default_taxonomy().names
        if word not in names:
            raise _error(text, f"one of {', '.join(names)}", repr(word))
        return word
    if field == "colour":
        taxonomy = default_taxonomy()
        colour = taxonomy.base_colour(word)
        if colour is None:
            raise _error(text, f"one of {', '.join(taxonomy.colours)}", repr(word))
        return colour
    if field == "shop" or (field.startswith("tags.") and len(field) > len("tags.")):
        return word
    raise _error(text, f"a field among {', '.join(FIELDS)}", repr(field))


def _error(text: str, expected: str, found: str) -> FilterError:
    shown = text if len(text) <= 60 else text[:57] + "..."
    return FilterError(
        f"where {shown!r}: expected {expected}, found {found}", field="where", expected=expected, found=found
    )


def _number(value: object) -> float:
    """Return what a price or a tag says as a number, NaN where it is none."""
    try:
        number = float(str(value))
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
