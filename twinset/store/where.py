"""Read `--where` strings: `field=value[,value]`, and such conditions joined by `and`, `or`, `not` and parentheses.

    where     = all ("or" all)*
    all       = one ("and" one)*
    one       = "not" one | "(" where ")" | condition
    condition = field (= != < <= > >=) value ("," value)*

Values are free text up to the end, or to an `and` or `or` that a condition follows, or to the parenthesis that closes a
group: `tags.print=salt and pepper` is one value. In double quotes a value is what they hold, commas and all; a quote in
it is written twice.
"""

import math
import re
from collections.abc import Sequence

from twinset.errors import FilterError
from twinset.store.filters import FIELDS, ORDERED, And, Condition, Filter, Node, Not, Or, Value, to_number
from twinset.taxonomy import Taxonomy, default_taxonomy

MAX_LENGTH = 2000  # characters of a string
MAX_DEPTH = 20  # of parentheses and nots
# Names run up to the operator, blanks and all: a blank that could belong to two parts of a pattern costs a square.
_FIELD = re.compile(r"\s*((?:tags|attributes)\.[^!<>=]*|[A-Za-z_][^!<>=()]*)(!=|<=|>=|=|<|>)")
_WORD = r"(?i:{})(?=[\s(])"
_NOT = re.compile(r"\s*" + _WORD.format("not"))
_NAMES = "|".join(re.escape(name) for name in FIELDS if not name.endswith(".NAME"))
_NAMES = rf"(?:{_NAMES})\s*|(?:tags|attributes)\.[^!<>=]+"
_STARTS = rf"(?=\s*(?:\(\s*)*(?:(?i:not)[\s(]+)*(?:{_NAMES})[!<>=])"  # of a condition
_JOINED = {word: re.compile(r"\s*\b" + _WORD.format(word) + _STARTS, re.DOTALL) for word in ("and", "or")}
_VALUE_ENDS = re.compile(r"\s" + _WORD.format("and|or") + _STARTS, re.DOTALL)
_PIECE = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*|([^,]*))(,|$)', re.DOTALL)
_PLAIN = re.compile(r"[\w.-]+( [\w.-]+)?")  # a value that is never misread
_TRUTH = {"true": True, "false": False}
_UNORDERED = ("category", "colour", "shop", "in_stock", "article_type", "product_id", "group_id")
_TEXTS = ("shop", "article_type", "product_id", "group_id")


def parse_where(conditions: Sequence[str], taxonomy: Taxonomy | None = None, strict: bool = True) -> Filter:
    """Return the filter of `--where` strings, all of which must hold. Raises FilterError.

    Categories and colours are those of `taxonomy`, by default of the one that ships. Without `strict` names that it
    doesn't know are taken as they are.
    """
    known = taxonomy or default_taxonomy()
    return Filter(tuple(part for text in conditions for part in _parts(_Reader(text, known, strict).read())))


def condition_text(field: str, value: str) -> str | None:
    """Return the `--where` string of the products whose field has a value, None where none can say it."""
    text = f"{field}={value}" if _PLAIN.fullmatch(value) else f"{field}={quoted(value)}"
    try:
        read = parse_where([text], strict=False).conditions  # its category is one of a model's own, perhaps
    except FilterError:
        return None
    (first, *rest) = read
    same = isinstance(first, Condition) and first.field == field and len(first.values) == 1 and not rest
    if same and isinstance(first, Condition) and isinstance(first.values[0], str) and first.values[0] != value:
        return None
    return text if same else None


def quoted(value: str) -> str:
    """Return a value as conditions have it in double quotes."""
    return '"' + value.replace('"', '""') + '"'


def _parts(node: Node) -> tuple[Node, ...]:
    return node.parts if isinstance(node, And) else (node,)


class _Reader:
    """Reads one string from left to right."""

    def __init__(self, text: str, taxonomy: Taxonomy, strict: bool) -> None:
        self.text, self.place, self.depth, self.groups = text, 0, 0, 0
        self.taxonomy, self.strict = taxonomy, strict

    def read(self) -> Node:
        if len(self.text) > MAX_LENGTH:
            raise self._error(f"at most {MAX_LENGTH} characters", str(len(self.text)))
        node = self._where()
        if self.text[self.place :].strip():
            raise self._error("the end, and, or or", repr(self.text[self.place :].strip()))
        return node

    def _where(self) -> Node:
        parts = [self._all()]
        while self._take(_JOINED["or"]):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self) -> Node:
        parts = [*_parts(self._one())]
        while self._take(_JOINED["and"]):
            parts += _parts(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(f"at most {MAX_DEPTH} levels", "more")
        node = self._inner()
        self.depth -= 1
        return node

    def _inner(self) -> Node:
        if self._take(_NOT):
            return Not(self._one())
        if not self._take(re.compile(r"\s*\(")):
            return self._condition()
        self.groups += 1
        node = self._where()
        if not self._take(re.compile(r"\s*\)")):
            raise self._error("a closing parenthesis", repr(self.text[self.place :].strip() or "the end"))
        self.groups -= 1
        return node

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.place)
        if match:
            self.place = match.end()
        return match

    def _condition(self) -> Condition:
        match = self._take(_FIELD)
        if not match:
            rest = self.text[self.place :]
            raise self._error("field=value[,value] or one of != < <= > >=", repr(rest))
        field, op = match[1].rstrip(), match[2]
        rest = self.text[self.place : self._value_end()]
        self.place += len(rest)
        words = _words(rest)
        if not all(words):
            raise self._error(f"a value after {op}", repr(rest.strip()))
        if op in ORDERED and len(words) > 1:
            raise self._error(f"one value after {op}", f"{len(words)}")
        if op in ORDERED and (field in _UNORDERED or field.startswith("attributes.")):
            raise self._error(f"= or != for {field}", op)
        return Condition(field, op, tuple(self._value(field, op, word) for word in words))

    def _value_end(self) -> int:
        """Return where the value that starts here ends."""
        inside, closed, open_here = False, -1, 0
        for i in range(self.place, len(self.text)):
            letter = self.text[i]
            if letter == '"' and (
                inside or closed == i - 1 >= 0 or self.text[self.place : i].rstrip()[-1:] in ("", ",")
            ):
                inside, closed = not inside, i if inside else -1
            elif inside:
                continue
            elif letter.isspace() and _VALUE_ENDS.match(self.text, i):
                return i
            elif self.groups and letter in "()":
                open_here += 1 if letter == "(" else -1
                if open_here < 0:
                    return i
        return len(self.text)

    def _value(self, field: str, op: str, word: str) -> Value:
        if field == "price" or (field.startswith("tags.") and op in ORDERED):
            number = to_number(word)
            if math.isnan(number):
                raise self._error("a number like 12.50", repr(word))
            return number
        if field == "in_stock":
            if word.lower() not in _TRUTH:
                raise self._error("true or false", repr(word))
            return _TRUTH[word.lower()]
        if field == "category":
            names = self.taxonomy.names
            if self.strict and word not in names:
                raise self._error(f"one of {', '.join(names)}", repr(word))
            return word
        if field == "colour":
            colour = self.taxonomy.base_colour(word)
            if self.strict and colour is None:
                raise self._error(f"one of {', '.join(self.taxonomy.colours)}", repr(word))
            return colour or word
        if field in _TEXTS or (field.startswith(("tags.", "attributes.")) and not field.endswith(".")):
            return word
        raise self._error(f"a field among {', '.join(FIELDS)}", repr(field))

    def _error(self, expected: str, found: str) -> FilterError:
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return FilterError(
            f"where {shown!r}: expected {expected}, found {found}", field="where", expected=expected, found=found
        )


def _words(text: str) -> list[str]:
    """Return the values of a comma-separated list."""
    words, place = [], 0
    while match := _PIECE.match(text, place):
        words.append(match[1].replace('""', '"') if match[1] is not None else match[2].strip())
        place = match.end()
        if not match[3]:
            break
    return words
