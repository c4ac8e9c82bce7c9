"""Products found by the words they say, on both kinds of store."""

import numpy as np
import pyarrow as pa
import pytest
from test_store import MODEL, ids, make_entry, unit

from twinset.describe.words import read_words
from twinset.store import open_store, parse_where
from twinset.store.milvus import MilvusStore
from twinset.store.milvus_rows import milvus_rows
from twinset.store.milvus_texts import MilvusTexts
from twinset.store.texts import WORD_COLUMNS, TextIndex, Words, word_stems
from twinset.types import Colour


@pytest.fixture
def store(tmp_path, new_uri):
    opened = open_store(new_uri(tmp_path), MODEL, create=True)
    red = (Colour("red", 0.9),)
    opened.upsert(
        [
            make_entry("p1", unit(1), title="Puma Men Red T-shirt", article_type="Tshirts", price=10.0),
            make_entry("p2", unit(2), title="Puma Men Striped Red Tshirts, pack of 2", price=20.0, colours=red),
            make_entry("p3", unit(3), unit(1, 2), title="Baggit Women's Bag", category="bag", tags={"usage": "Party"}),
            make_entry("p4", unit(4), title="Bag 빨간 가방", category="bag", group_id="g"),
            make_entry("p5", unit(5), title="Bag 빨간 가방 small", category="bag", group_id="g"),
        ]
    )
    return opened


def test_what_a_server_client_writes_while_its_words_are_read_is_found_by_the_next_search():
    rows = milvus_rows([make_entry("p1", unit(1), title="Red tee")])

    class Server:
        def write(self, call):  # somebody searches before the server has written
            assert found() == 1
            rows.extend(milvus_rows([make_entry("p2", unit(2), title="Red bag")]))

    store = MilvusStore(Server(), "products", None, MODEL, 256, None)
    store._scan = lambda fields, size: iter([rows])

    def found():
        return len(store._texts.best(plain_words(["red"])))

    store._write(rows, gone=[])
    assert found() == 2


def test_words_that_changed_while_they_were_read_are_read_anew():
    rows = milvus_rows([make_entry("p1", unit(1), title="Red tee")])

    def scan():
        yield list(rows)
        if len(rows) == 1:
            rows.extend(milvus_rows([make_entry("p2", unit(2), title="Red bag")]))
            texts.forget()

    texts = MilvusTexts(scan)
    assert [len(texts.best(plain_words(["red"]))) for _ in range(2)] == [1, 2]


def plain_words(texts):
    """Return words that are to be said as they are, each a group of its own."""
    return Words(tuple((stem,) for text in texts for stem in word_stems(text)))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("Puma Men Red T-shirt", ["p1", "p2"]),
        ("striped puma", ["p2", "p1"]),
        ("party", ["p3"]),
        ("womens BAGS", ["p3", "p4"]),
        ("가방", ["p4"]),
        ("zebra", []),
        ("", []),
    ],
)
def test_products_are_ranked_by_how_many_of_the_words_they_say(store, words, found):
    assert ids(store.search_words(plain_words([words]), 10)) == found


def test_a_product_that_says_all_and_nothing_else_scores_highest(store):
    first, second = store.search_words(plain_words(["puma men red tshirts"]), 10)
    assert (first.product_id, first.score) == ("p1", 1)
    assert 0.9 < second.score < 1


def test_a_colour_that_is_a_trim_is_not_said(store):
    trimmed = (Colour("blue", 0.8), Colour("green", 0.1))
    store.upsert([make_entry("p7", unit(7), title="Thing", colours=trimmed)])
    assert ids(store.search_words(plain_words(["blue"]), 10)) == ["p7"]
    assert ids(store.search_words(plain_words(["green"]), 10)) == []


def test_words_of_a_group_mean_the_same(store):
    asked = Words((("scarlet", "red"), ("top", "tshirt")))
    assert ids(store.search_words(asked, 10)) == ["p1", "p2"]
    rare = Words((("scarlet", "red"),), literal=("striped", "zebra"))
    assert ids(store.search_words(rare, 10)) == ["p2", "p1"]


def test_categories_and_filters_hold_for_words_too(store):
    assert ids(store.search_words(plain_words(["bag", "puma"]), 10, "bag")) == ["p4", "p3"]  # p4 says less else
    assert ids(store.search_words(plain_words(["puma"]), 10, None, parse_where(["price>15"]))) == ["p2"]
    assert ids(store.search_words(plain_words(["puma"]), 1)) == ["p1"]
    assert store.search_words(plain_words(["puma"]), 0) == []


def test_variants_of_a_group_are_one_hit(store):
    (hit,) = store.search_words(plain_words(["빨간"]), 10)
    assert (hit.product_id, hit.variants) == ("p4", 2)


def test_what_was_written_and_deleted_is_seen_by_the_next_search(store):
    store.upsert([make_entry("p6", unit(6), title="Zebra hat")])
    store.delete([entry.key for entry in store.entries() if entry.product.product_id == "p1"])
    assert ids(store.search_words(plain_words(["zebra puma"]), 10)) == ["p6", "p2"]


@pytest.mark.parametrize("words", ["weiß", "Weiss", "WEISS", "ΚΟΚΚΙΝΟΣ", "κοκκινος"])
def test_a_word_is_found_in_whichever_case_it_is_asked_for(store, words):
    store.upsert([make_entry("p8", unit(8), title="Hut weiß, Κοκκινος")])
    assert ids(store.search_words(read_words(words).words(), 10)) == ["p8"]


def test_scores_are_the_same_whenever_products_were_written(tmp_path, new_uri):
    titles = ["red tee", "red bag", "red silk tee", "blue tee", "silk bag", "wool hat", "old red silk"]
    entries = [make_entry(f"p{i}", unit(1, i), title=title) for i, title in enumerate(titles)]
    at_once, by_and_by = (open_store(new_uri(tmp_path / name), MODEL, create=True) for name in ("a", "b"))
    at_once.upsert(entries[:-1])
    for entry in (entries[-1], *entries[:-1]):
        by_and_by.upsert([entry])
        by_and_by.count()  # each is read by itself
    by_and_by.delete([entries[-1].key])
    asked = Words((("red",), ("silk",), ("tee", "shirt")), literal=("hat", "old", "zebra"))
    found = [[(hit.product_id, hit.score) for hit in store.search_words(asked, 10)] for store in (at_once, by_and_by)]
    assert found[0] == found[1] and len(found[0]) == 6


@pytest.mark.parametrize(
    ("text", "stems"),
    [
        ("Women's Dresses", ["women", "dress"]),
        ("T-Shirts t shirt tshirt", ["tshirt", "tshirt", "tshirt"]),
        ("Levi’s glasses_bus", ["levi", "glass", "bus"]),
        ("ＡＢＣ 원피스", ["abc", "원피스"]),
    ],
)
def test_words_are_compared_without_case_and_plural(text, stems):
    assert word_stems(text) == stems


def test_an_index_of_no_rows_finds_nothing():
    columns = {name: pa.array([], pa.string()) for name in WORD_COLUMNS}
    columns["colours"], columns["colour_shares"] = (pa.array([], pa.list_(t)) for t in (pa.string(), pa.float64()))
    assert len(TextIndex(pa.table(columns)).score(plain_words(["red"]))) == 0


def test_scores_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    words = np.array(["red", "blue", "tee", "bag", "men", "women", "silk"])
    titles = [" ".join(rng.choice(words, 4)) for _ in range(50)]
    blank = [None] * 50
    table = pa.table(
        {
            "title": titles,
            "article_type": pa.array(blank, pa.string()),
            "tags": ["{}"] * 50,
            "attributes": ["{}"] * 50,
            "colours": pa.array([[]] * 50, pa.list_(pa.string())),
            "colour_shares": pa.array([[]] * 50, pa.list_(pa.float64())),
        }
    )
    scores = TextIndex(table).score(plain_words(["red silk nothing"]))
    df = {word: sum(word in title.split() for title in titles) for word in ("red", "silk", "nothing")}
    idf = {word: np.log(1 + 50 / (n + 1)) for word, n in df.items()}
    for title, score in zip(titles, scores, strict=True):
        said = [word for word in idf if word in title.split()]
        brief = min(len(said) / len(set(title.split())), 1) if said else 0
        assert score == pytest.approx(sum(idf[w] for w in said) / sum(idf.values()) * (0.95 + 0.05 * brief), abs=1e-5)
