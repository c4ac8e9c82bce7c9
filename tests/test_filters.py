import numpy as np
import pytest

from twinset.errors import FilterError, UsageError
from twinset.store.filters import Condition, parse_where


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


def test_no_conditions_are_no_filter():
    assert parse_where([]).conditions == ()
