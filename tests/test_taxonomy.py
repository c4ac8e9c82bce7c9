import copy
import json
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import twinset.taxonomy
from twinset.errors import DataError
from twinset.taxonomy import default_taxonomy, fold, parse_taxonomy, read_taxonomy

TAXONOMY = default_taxonomy()
PALETTE = "black white grey beige brown red pink orange yellow green blue purple multicolour"
THIRTEEN = "top outerwear dress jumpsuit trousers shorts skirt shoes bag hat glasses belt scarf"

SMALL: dict[str, Any] = {
    "categories": {
        "top": {"group": "clothes", "en": "Top", "ko": "상의"},
        "bag": {"group": "bag", "en": "Bag", "ko": "가방", "apart": ["top"]},
    },
    "article_types": {"tee": {"category": "top", "en": "T-shirt", "ko": "티셔츠", "also": ["T Shirts"]}},
    "no_category": {"words": ["watch"]},
    "sources": {"street": {"shirt": "top", "skin": ""}},
    "colours": {"grey": {"en": "Grey", "ko": "회색", "also": ["silver"]}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """SMALL with one entry changed, named as in TOML."""
    data = copy.deepcopy(SMALL)
    *parents, last = path.split(".")
    entry = data
    for name in parents:
        entry = entry[name]
    entry[last] = value
    return data


def test_thirteen_categories_in_the_agreed_order():
    assert TAXONOMY.names == tuple(THIRTEEN.split())
    groups = {category.group for category in TAXONOMY.categories}
    assert groups == {"clothes/top", "clothes/bottom", "clothes/one-piece", "shoes", "bag", "accessory"}


def test_thirteen_colours_in_english_and_korean():
    assert list(TAXONOMY.colours) == PALETTE.split()
    assert TAXONOMY.colours["red"] == ("Red", "빨강")


def test_every_category_has_article_types_and_both_names():
    assert {kind.category for kind in TAXONOMY.article_types} == set(TAXONOMY.names)
    for named in (*TAXONOMY.categories, *TAXONOMY.article_types):
        assert named.en and any("가" <= character <= "힣" for character in named.ko), named.name


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("street-voc", {"jumpsuit", "belt", "scarf"}),
        ("street-ccp", set()),
        ("cc0-items", {"jumpsuit", "bag", "glasses", "belt", "scarf"}),
    ],
)
def test_source_says_which_categories_it_does_not_label(source, missing):
    assert set(TAXONOMY.names) - TAXONOMY.sources[source].categories == missing


@pytest.mark.parametrize(
    ("word", "category"),
    [
        pytest.param("Tshirts", "top", id="catalogue"),
        pytest.param("T-Shirts", "top", id="hyphen"),
        pytest.param(" t shirts ", "top", id="spaces"),
        pytest.param("Ｔｓｈｉｒｔｓ", "top", id="full-width"),
        pytest.param("티셔츠", "top", id="korean"),
        pytest.param(unicodedata.normalize("NFD", "티셔츠"), "top", id="korean-by-letters"),
        pytest.param("outerwear", "outerwear", id="category"),
        pytest.param("아우터", "outerwear", id="category-in-korean"),
        pytest.param("Watches", None, id="none"),
        pytest.param("시계", None, id="none-in-korean"),
    ],
)
def test_word_of_a_feed_gives_its_category(word, category):
    assert TAXONOMY.category_of(word) == category


@pytest.mark.parametrize("word", ["", "  ", "!?", "spaceship"])
def test_unknown_word_is_told_from_one_of_no_category(word):
    with pytest.raises(KeyError):
        TAXONOMY.category_of(word)


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("Navy Blue", "blue"),
        ("off-white", "white"),
        ("GOLD", "yellow"),
        ("네이비", "blue"),
        ("블랙", "black"),
        ("", None),
    ],
)
def test_colour_name_gives_a_colour_of_the_palette(name, colour):
    assert TAXONOMY.base_colour(name) == colour


@given(st.text())
def test_fold_forgets_case_and_how_unicode_spells_a_word(word):
    assert fold(unicodedata.normalize("NFD", word)) == fold(unicodedata.normalize("NFC", word)) == fold(word)
    assert " " not in fold(word)


def test_words_and_labels_come_from_the_file_alone():
    small = parse_taxonomy(SMALL)
    assert (small.category_of("t-shirts"), small.category_of("Watch"), small.category_of("가방")) == (
        "top",
        None,
        "bag",
    )
    assert small.sources["street"].labels == {"shirt": "top", "skin": None}
    assert small.sources["street"].categories == {"top"}
    assert small.base_colour("Silver") == "grey"
    assert small.categories[1].apart == ("top",)


def test_categories_are_merged_by_the_file_alone():
    text = Path(twinset.taxonomy.__file__).with_name("taxonomy.toml").read_text(encoding="utf-8")
    data = json.loads(json.dumps(tomllib.loads(text)).replace('"jumpsuit"', '"dress"'))
    merged = parse_taxonomy(data)
    assert merged.names == tuple(name for name in THIRTEEN.split() if name != "jumpsuit")
    assert merged.category_of("Rompers") == merged.sources["street-ccp"].labels["romper"] == "dress"


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        pytest.param("article_types.tee.category", "tops", "article_types.tee names the category 'tops'", id="type"),
        pytest.param("sources.street.shirt", "shirt", "sources.street.shirt names the category 'shirt'", id="label"),
        pytest.param("categories.bag.apart", ["tops"], "categories.bag.apart names the category 'tops'", id="apart"),
        pytest.param("no_category.words", ["Tee"], "no_category names the word 'Tee'", id="word-twice"),
        pytest.param(
            "colours.gray", {"en": "Silver", "ko": "은색"}, "colours.gray names the word 'Silver'", id="colour-twice"
        ),
        pytest.param("categories.top", {"group": "clothes", "en": "Top"}, "missing 1 required", id="no-korean-name"),
        pytest.param("categories.top.colour", "red", "unexpected keyword", id="unknown-key"),
        pytest.param("sources", [], "expected categories, article_types", id="not-a-table"),
        pytest.param("no_category", {}, "KeyError('words')", id="missing-key"),
    ],
)
def test_wrong_entry_is_named(path, value, named):
    with pytest.raises(DataError) as error:
        parse_taxonomy(changed(path, value), "my.toml")
    assert str(error.value).startswith("my.toml: ") and named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="missing"),
        pytest.param(b"[categories", id="not-toml"),
        pytest.param("ko = '상의'".encode("cp949"), id="not-utf-8"),
    ],
)
def test_file_that_is_no_taxonomy_is_named(tmp_path, content):
    file = tmp_path / "my.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"my\.toml: expected a taxonomy in TOML"):
        read_taxonomy(file)
