import contextlib
import time

import numpy as np
import pytest

from twinset.errors import FilterError, UsageError
from twinset.store import where as module
from twinset.store.filters import And, Coded, Condition, Filter, Not, Or, Sets
from twinset.store.where import condition_text, parse_where


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        pytest.param("category=top", Condition("category", "=", ("top",)), id="category"),
        pytest.param("category=top,dress", Condition("category", "=", ("top", "dress")), id="two-values"),
        pytest.param("category!=bag", Condition("category", "!=", ("bag",)), id="not"),
        pytest.param("colour=navy", Condition("colour", "=", ("blue",)), id="colour-by-another-name"),
        pytest.param("price<50", Condition("price", "<", (50.0,)), id="less"),
        pytest.param("price >= 12.50", Condition("price", ">=", (12.5,)), id="spaces"),
        pytest.param("price=10,20", Condition("price", "=", (10.0, 20.0)), id="prices"),
        pytest.param("in_stock=True", Condition("in_stock", "=", (True,)), id="truth"),
        pytest.param("shop=a shop", Condition("shop", "=", ("a shop",)), id="shop"),
        pytest.param("tags.season=summer", Condition("tags.season", "=", ("summer",)), id="tag"),
        pytest.param("tags.year<=2020", Condition("tags.year", "<=", (2020.0,)), id="tag-as-number"),
        pytest.param("tags.Length (cm)=6", Condition("tags.Length (cm)", "=", ("6",)), id="parentheses-in-a-tag"),
        pytest.param("tags.sub category=a=b", Condition("tags.sub category", "=", ("a=b",)), id="equals-in-value"),
    ],
)
def test_a_condition_is_read(text, condition):
    assert parse_where([text]).conditions == (condition,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "price",
        "=5",
        "price=",
        "price=10,",
        "price<cheap",
        "price<nan",
        "price<10,20",
        "category=shirtish",
        "category<top",
        "colour=sparkly",
        "in_stock=maybe",
        "in_stock>true",
        "shop<a",
        "attributes.pattern<5",
        "tags.=x",
        "tags.year<new",
        "title=shirt",
        "price==5",
    ],
)
def test_what_cannot_be_read_is_one_line_naming_it(text):
    with pytest.raises(FilterError) as caught:
        parse_where([text])
    message = str(caught.value)
    assert repr(text) in message and "expected" in message and "found" in message and "\n" not in message
    assert isinstance(caught.value, UsageError) and caught.value.field == "where" and caught.value.expected


@pytest.mark.parametrize(
    ("text", "column", "rows"),
    [
        ("price<20", np.array([10.0, 20.0, np.nan]), [True, False, False]),
        ("price>=20", np.array([10.0, 20.0, np.nan]), [False, True, False]),
        ("price!=10", np.array([10.0, 20.0, np.nan]), [False, True, True]),
        ("in_stock=false", np.array([True, False]), [False, True]),
        ("category=top,bag", ["top", None, "bag", "dress"], [True, False, True, False]),
        ("category!=top", ["top", None], [False, True]),
        ("colour=red,blue", [frozenset({"red", "white"}), frozenset(), frozenset({"green"})], [True, False, False]),
        ("colour!=red", [frozenset({"red", "white"}), frozenset()], [False, True]),
        ("tags.year>2000", ["1999", "2001", None, "soon"], [False, True, False, False]),
        ("tags.fit=slim", ["slim", "Slim", None], [True, False, False]),
    ],
)
def test_a_condition_tells_the_rows_it_holds_for(text, column, rows):
    assert parse_where([text]).conditions[0].holds(column).tolist() == rows


@pytest.mark.parametrize("start", ["tags.", "x", "shop=a and tags."])
def test_blanks_without_end_are_read_once(monkeypatch, start):
    monkeypatch.setattr(module, "MAX_LENGTH", 20_000)
    began = time.process_time()
    with contextlib.suppress(FilterError):
        parse_where([start + " " * 19_000])
    assert time.process_time() - began < 1  # each blank read again by all those before it: several seconds


@pytest.mark.parametrize("text", ["shop=", "tags.", "shop=a and tags."])
def test_a_text_may_be_long_but_not_without_end(text):
    assert parse_where(["shop=" + "a" * 1995]).conditions == (Condition("shop", "=", ("a" * 1995,)),)
    with pytest.raises(FilterError, match=r"expected at most 2000 characters, found 2001$"):
        parse_where([text + "a" * (2001 - len(text))])


def test_no_conditions_are_no_filter():
    assert parse_where([]).conditions == ()


# --- and, or, not -----------------------------------------------------------------------------------------------------

RED, BLUE = Condition("colour", "=", ("red",)), Condition("colour", "=", ("blue",))
CHEAP, STOCKED = Condition("price", "<", (20.0,)), Condition("in_stock", "=", (True,))


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("colour=red or price<20", (Or((RED, CHEAP)),)),
        ("colour=red and price<20", (RED, CHEAP)),
        ("colour=red OR price<20 AND in_stock=true", (Or((RED, And((CHEAP, STOCKED)))),)),
        ("(colour=red or price<20) and in_stock=true", (Or((RED, CHEAP)), STOCKED)),
        ("not colour=red", (Not(RED),)),
        ("not colour=red or price<20", (Or((Not(RED), CHEAP)),)),
        ("not (colour=red or not(price < 20))", (Not(Or((RED, Not(CHEAP)))),)),
        ("((colour=red))", (RED,)),
        ("colour=red or not not colour=blue", (Or((RED, Not(Not(BLUE)))),)),
        ("tags.print=salt and pepper", (Condition("tags.print", "=", ("salt and pepper",)),)),
        ("tags.fit=slim or price<20", (Or((Condition("tags.fit", "=", ("slim",)), CHEAP)),)),
        ("tags.x=this or that=3", (Condition("tags.x", "=", ("this or that=3",)),)),
        ("tags.size=M (slim)", (Condition("tags.size", "=", ("M (slim)",)),)),
        ("(tags.size=M (slim) or price<20)", (Or((Condition("tags.size", "=", ("M (slim)",)), CHEAP)),)),
        ('shop="a or price<20",b', (Condition("shop", "=", ("a or price<20", "b")),)),
        ('tags.x="a, b" and price<20', (Condition("tags.x", "=", ("a, b",)), CHEAP)),
        ('tags.size=5" heel', (Condition("tags.size", "=", ('5" heel',)),)),
        (
            "(tags.Length (cm)=6 or price<20) and in_stock=true",
            (Or((Condition("tags.Length (cm)", "=", ("6",)), CHEAP)), STOCKED),
        ),
        ('tags.size="15"""', (Condition("tags.size", "=", ('15"',)),)),
        ('tags.x="a ""b"", c","""" and price<20', (Condition("tags.x", "=", ('a "b", c', '"')), CHEAP)),
        ("product_id=7,8", (Condition("product_id", "=", ("7", "8")),)),
    ],
)
def test_conditions_are_joined(text, conditions):
    assert parse_where([text]) == Filter(conditions)


@pytest.mark.parametrize(
    "value",
    ["plain", "a, b", '15"', '"quoted"', 'a "b" c', '"', '""', 'x" and price<3', " led by a blank", "(", "or x=1"],
)
def test_the_condition_of_a_value_finds_that_value(value):
    text = condition_text("tags.size", value)
    assert text is not None and parse_where([text]).conditions == (Condition("tags.size", "=", (value,)),)
    assert parse_where([f"({text} or price<20)"]).conditions == (Or((Condition("tags.size", "=", (value,)), CHEAP)),)


def test_strings_are_all_to_hold():
    assert parse_where(["colour=red or price<20", "in_stock=true"]) == Filter((Or((RED, CHEAP)), STOCKED))


@pytest.mark.parametrize(
    "text",
    [
        "colour=red or",
        "or colour=red",
        "(colour=red",
        "price<20)",
        "not",
        "()",
        "price<20 and (in_stock=true or )",
        "colour=red or size=5",
        "(" * 30 + "colour=red" + ")" * 30,
    ],
)
def test_what_joins_nothing_is_one_line(text):
    with pytest.raises(FilterError) as caught:
        parse_where([text])
    assert "expected" in str(caught.value) and "found" in str(caught.value) and "\n" not in str(caught.value)


COLUMNS = {
    "price": np.array([10.0, 30.0, np.nan, 15.0]),
    "colour": Sets(("red", "blue"), np.array([1, 3, 0, 2], np.uint64)),
    "shop": Coded(("a", "b", None), np.array([0, 1, 2, 0], np.int32)),
}


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        (["price<20 or colour=blue"], [True, True, False, True]),
        (["not price<20"], [False, True, True, False]),
        (["colour=red", "not colour=blue"], [True, False, False, False]),
        (["colour!=red,blue"], [False, False, True, False]),
        (["shop=a or (colour=blue and not shop=b)"], [True, False, False, True]),
        (["shop!=a"], [False, True, True, False]),
        (["colour=green"], [False] * 4),
    ],
)
def test_a_filter_tells_the_rows_it_keeps(where, rows):
    assert parse_where(where).rows(COLUMNS.__getitem__).tolist() == rows


def test_no_filter_keeps_all():
    assert parse_where([]).rows(COLUMNS.__getitem__) is None
