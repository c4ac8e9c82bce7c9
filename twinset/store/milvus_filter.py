"""A filter as the boolean expression that Milvus applies while it searches."""

import json
from collections.abc import Callable, Sequence

from twinset.store.filters import ORDERED, And, Condition, Filter, Node, Not, Or, Value
from twinset.store.milvus_rows import label


def expressions(filter: Filter) -> list[str]:
    """Return expressions that must all hold for the rows of a filter's products, see `Condition.holds`."""
    return [_expression(node) for node in filter.conditions]


def quoted(text: str) -> str:
    """Return a text as Milvus reads it between double quotes."""
    return json.dumps(text, ensure_ascii=False)


def one_of(field: str, texts: Sequence[str]) -> str:
    """Return the expression that holds where a field is one of some texts."""
    return f"{field} in [{', '.join(map(quoted, texts))}]"


def _expression(node: Node) -> str:
    if isinstance(node, And):
        return _joined("and", [_expression(part) for part in node.parts])
    if isinstance(node, Or):
        return _joined("or", [_expression(part) for part in node.parts])
    if isinstance(node, Not):
        return f"not ({_expression(node.part)})"
    return _condition(node)


def _condition(condition: Condition) -> str:
    field, values = condition.field, condition.values
    if condition.operator in ORDERED:
        column = "price" if field == "price" else f'tag_numbers["{label(field)}"]'
        return f"({column} {condition.operator} {float(values[0])!r})"
    equal = _EQUAL[field](values) if field in _EQUAL else _has_label(field, values)
    return equal if condition.operator == "=" else f"not ({equal})"


def _has_label(field: str, values: Sequence[Value]) -> str:
    return f"array_contains_any(labels, {json.dumps([label(field, str(value)) for value in values])})"


def _joined(word: str, parts: Sequence[str]) -> str:
    return f"({f' {word} '.join(parts)})"


def _texts(values: Sequence[Value]) -> list[str]:
    return [str(value) for value in values]


_EQUAL: dict[str, Callable[[Sequence[Value]], str]] = {
    "price": lambda values: _joined("or", [f"price == {float(value)!r}" for value in values]),
    "in_stock": lambda values: _joined("or", [f"in_stock == {str(bool(value)).lower()}" for value in values]),
    "shop": lambda values: one_of("shop", _texts(values)),
    "product_id": lambda values: one_of("product_id", _texts(values)),
    "category": lambda values: one_of("item_category", _texts(values)),
    "colour": lambda values: f"array_contains_any(colours, {json.dumps(_texts(values))})",
}
