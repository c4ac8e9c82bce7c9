"""What a filter is, and which products meet it. where.py reads filters; the stores bring the columns."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FIELDS = (
    *("category", "colour", "price", "shop", "in_stock", "article_type", "product_id", "group_id"),
    "tags.NAME",
    "attributes.NAME",
)
ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Value = str | float | bool
Rows = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A column of few distinct values: row i has `values[codes[i]]`."""

    values: Sequence[Any]
    codes: NDArray[np.int32]  # (N,)

    def equals(self, wanted: set[Any]) -> Rows:
        """Return (N,) which are among the wanted."""
        found: Rows = np.array([value in wanted for value in self.values], bool)[self.codes]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    """A column of sets of names: row i has `names[j]` where bit j of `bits[i]` is set."""

    names: Sequence[str]  # at most 64
    bits: NDArray[np.uint64]  # (N,)

    def equals(self, wanted: set[Any]) -> Rows:
        """Return (N,) which have one of the wanted."""
        bits = sum(1 << i for i, name in enumerate(self.names) if name in wanted)
        found: Rows = (self.bits & np.uint64(bits)) != 0
        return found


class Comparable(Protocol):
    """A column that knows a quick way of its own."""

    def equals(self, wanted: set[Any]) -> Rows:
        """Return (N,) which are among the wanted."""
        ...


Column = Sequence[Any] | NDArray[Any] | Comparable
ColumnOf = Callable[[str], Column]  # a field's values, row by row


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. `=` holds for any of the values, `!=` for none of them; the others have one."""

    field: str
    operator: str  # = != < <= > >=
    values: tuple[Value, ...]

    def holds(self, column: Column) -> Rows:
        """Return (N,) which values of a column meet the condition.

        A missing value, None or NaN, meets `!=` alone. A tag is compared by order as a number, and never holds where
        it is none. A value that is a set of names, as an item's colours, equals each of its names.
        """
        if self.operator in ORDERED:
            return self._ordered(column)
        equal = self._equal(column)
        return equal if self.operator == "=" else ~equal

    def _ordered(self, column: Column) -> Rows:
        if isinstance(column, Coded):
            found: Rows = self._ordered(column.values)[column.codes]
            return found
        assert isinstance(column, Sequence | np.ndarray)  # where.py lets no order through for other columns
        numbers = column if isinstance(column, np.ndarray) else np.array([to_number(value) for value in column])
        found = ORDERED[self.operator](numbers.astype(np.float64), self.values[0])
        return found

    def _equal(self, column: Column) -> Rows:
        wanted = set(self.values)
        if isinstance(column, np.ndarray):
            equal: Rows = np.isin(column, list(wanted))
            return equal
        if not isinstance(column, Sequence):
            return column.equals(wanted)
        sets = (value if isinstance(value, frozenset) else {value} for value in column)
        return np.fromiter((not wanted.isdisjoint(value) for value in sets), bool, len(column))

    def rows(self, column_of: ColumnOf) -> Rows:
        """Return (N,) which rows meet the condition."""
        return self.holds(column_of(self.field))


@dataclass(frozen=True, slots=True)
class And:
    """Holds where all its parts hold."""

    parts: tuple["Node", ...]  # at least one

    def rows(self, column_of: ColumnOf) -> Rows:
        """Return (N,) which rows meet all parts."""
        found: Rows = np.logical_and.reduce([part.rows(column_of) for part in self.parts])
        return found


@dataclass(frozen=True, slots=True)
class Or:
    """Holds where one of its parts holds."""

    parts: tuple["Node", ...]  # at least one

    def rows(self, column_of: ColumnOf) -> Rows:
        """Return (N,) which rows meet any part."""
        found: Rows = np.logical_or.reduce([part.rows(column_of) for part in self.parts])
        return found


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where its part does not, so also for products that lack the field."""

    part: "Node"

    def rows(self, column_of: ColumnOf) -> Rows:
        """Return (N,) which rows don't meet the part."""
        return ~self.part.rows(column_of)


Node = Condition | And | Or | Not


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that must all hold. No conditions let everything through."""

    conditions: tuple[Node, ...] = ()

    def rows(self, column_of: ColumnOf) -> Rows | None:
        """Return (N,) which rows meet the filter, None for all."""
        return And(self.conditions).rows(column_of) if self.conditions else None

    def without(self, field: str) -> "Filter":
        """Return the filter without its conditions on a field that must hold by themselves."""
        return Filter(
            tuple(node for node in self.conditions if not (isinstance(node, Condition) and node.field == field))
        )

    def __and__(self, other: "Filter") -> "Filter":
        return Filter(self.conditions + other.conditions)


def to_number(value: object) -> float:
    """Return what a price or a tag says as a number, NaN where it is none."""
    try:
        number = float(str(value))
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan
