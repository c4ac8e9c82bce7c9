"""The store against a plain loop over all items, and what it says when it can't be opened."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twinset.errors import ModelMismatch, NotFound, StoreError
from twinset.store import Entry, Filter, Key, open_store, parse_where
from twinset.store.filters import Condition
from twinset.store.lance import LanceStore
from twinset.types import Colour, Item, Product

MODEL = "fake-000000000000"
CATEGORIES = ("top", "dress", "bag", None)
COLOURS = ("red", "blue", "white")
OLD_STORE = Path(__file__).with_name("data") / "store-v1"


def unit(*numbers: float) -> np.ndarray:
    vector = np.zeros(256, np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


def make_entry(product_id: str, *vectors: np.ndarray, category: str | None = "top", colours=(), **fields) -> Entry:
    images = tuple(f"/images/{product_id}-{i}.png" for i in range(len(vectors)))
    product = Product(product_id, images, category=category, category_given=True, **fields)
    items = tuple(
        Item(category, 0.9, (1, 2, 30, 40), vector, colours, {}, MODEL, product_id, product.shop, i)
        for i, vector in enumerate(vectors)
    )
    return Entry(product, items, tuple(f"hash-{product_id}-{i}" for i in range(len(vectors))), f"row-{product_id}")


def random_entries(n: int, seed: int = 0, grouped: bool = False) -> list[Entry]:
    rng = np.random.default_rng(seed)
    entries = []
    for i in range(n):
        vectors = [unit(*rng.normal(size=256) + 0.5) for _ in range(1 + i % 3)]
        colours = (Colour(COLOURS[i % 3], 0.6), Colour(COLOURS[(i + 1) % 3], 0.3 if i % 2 else 0.1))
        fields = {"article_type": "Tee" if i % 3 else None, "group_id": f"g{i // 4}" if grouped and i % 2 else None}
        fields |= {"price": None if i % 7 == 0 else float(i), "in_stock": i % 5 != 0, "shop": ("default", "b")[i % 2]}
        category = CATEGORIES[i % 4]
        entries.append(make_entry(f"p{i}", *vectors, category=category, colours=colours, tags={"no": str(i)}, **fields))
    return entries


@pytest.fixture
def store(uri):
    return open_store(uri, MODEL, create=True)


@pytest.fixture
def directory(tmp_path):
    return open_store(tmp_path / "store", MODEL, create=True)


def ids(hits):
    return [hit.product_id for hit in hits]


def by_hand(entries, query, k, category=None, holds=lambda entry: True):
    """The same search as a plain loop."""
    found = []
    for entry in entries:
        scores = [
            min(max(round(float(item.embedding @ query), 5), 0.0), 1.0)
            for item in entry.items
            if category is None or item.category == category
        ]
        if scores and holds(entry):
            product = entry.product
            found.append((-max(scores), product.product_id, (product.shop, product.group_id or product.product_id)))
    best = {}
    for score, product_id, one_hit in sorted(found):
        best.setdefault(one_hit, (product_id, -score))
    return list(best.values())[:k]


FILTERS = {
    "price<40": lambda e: e.product.price is not None and e.product.price < 40,
    "in_stock=true": lambda e: e.product.in_stock,
    "shop=b": lambda e: e.product.shop == "b",
    "tags.no=8,12,16": lambda e: e.product.tags["no"] in ("8", "12", "16"),
    "colour=red": lambda e: any(
        colour.name == "red" and (i == 0 or colour.share >= 0.25) for i, colour in enumerate(e.items[0].colours)
    ),
    "category=dress,bag": lambda e: e.product.category in ("dress", "bag"),
    "category!=dress": lambda e: e.product.category != "dress",
}


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("where", [(), *((text,) for text in FILTERS), ("price<40", "in_stock=true", "colour=red")])
@pytest.mark.parametrize("k", [1, 5, 500])
def test_search_is_what_a_plain_loop_finds(scanned, category, where, k):
    store, entries = scanned
    queries = np.stack([entries[6].items[0].embedding, unit(*np.linspace(-1, 2, 256))])
    found = store.search(queries, k, [category, category], parse_where(where))
    for query, hits in zip(queries, found, strict=True):
        expected = by_hand(entries, query, k, category, lambda e: all(FILTERS[text](e) for text in where))
        assert ids(hits) == [product_id for product_id, _ in expected]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=2e-5)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory, new_uri):
    entries = random_entries(120, grouped=True)
    store = open_store(new_uri(tmp_path_factory.mktemp("scanned")), MODEL, create=True)
    store.upsert(entries[:50])
    store.upsert(entries[50:])
    return store, entries


def test_filters_and_facets_go_by_what_is_paid(store):
    """The sale price, where there is one: of a variant group the variant that meets it is the hit."""
    prices = {"a": (30.0, None), "b": (90.0, 25.0), "c": (20.0, 60.0), "d": (None, 10.0), "e": (None, None)}
    store.upsert([make_entry(name, unit(1), price=price, sale_price=sale) for name, (price, sale) in prices.items()])
    store.upsert([make_entry(f"v{i}", unit(0, 1), group_id="g", price=50.0, sale_price=40.0 * i) for i in (1, 2)])

    def found(where):
        return ids(store.search(unit(1)[None], 5, ["top"], parse_where([where]))[0])

    assert found("price<=30")[:3] == ["a", "b", "d"] and found("price=90") == [] and "e" in found("price!=1")
    assert found("price>=60") == ["c", "v2"]
    (hit, *_) = store.search(unit(0, 1)[None], 5, ["top"], parse_where(["price=40"]))[0]
    assert (hit.product_id, hit.variants, hit.product.price, hit.product.sale_price) == ("v1", 1, 50.0, 40.0)
    (facet,) = store.facets("top", Filter(), ["price"])
    assert sum(value.count for value in facet.values) == 6  # e has no price, the group is in two bands
    assert all((value.high or 0) <= 90 for value in facet.values)


def test_a_hit_says_which_image_and_where_on_it(store):
    store.upsert([make_entry("a", unit(0, 1), unit(1, 0), colours=(Colour("red", 0.75),), title="Shirt", price=9.5)])
    (hit,) = store.search(unit(1, 0)[None], 5, ["top"])[0]
    assert (hit.product_id, hit.score, hit.image) == ("a", 1.0, "/images/a-1.png")
    assert hit.box == (1, 2, 30, 40) and hit.category == "top" and hit.colours == (Colour("red", 0.75),)
    assert hit.product.title == "Shirt" and hit.product.price == 9.5
    np.testing.assert_array_equal(hit.embedding, unit(1, 0))


def test_a_hit_of_a_variant_group_has_the_embedding_of_its_own_row(store):
    store.upsert([make_entry(name, unit(*place), group_id="g") for name, place in (("a", (0, 1)), ("b", (1, 0)))])
    (hit,) = store.search(unit(1, 0)[None], 5, ["top"])[0]
    assert (hit.product_id, hit.variants) == ("b", 2)
    np.testing.assert_array_equal(hit.embedding, unit(1, 0))


def test_scores_are_cosines_cut_to_0_and_1_and_equal_ones_go_by_id(store):
    store.upsert([make_entry(name, unit(1, 0)) for name in ("c", "a", "10", "9")] + [make_entry("d", unit(-1, 0))])
    store.upsert([make_entry("e", unit(1, 1))])
    hits = store.search(unit(1, 0)[None], 10, ["top"])[0]
    assert ids(hits) == ["10", "9", "a", "c", "e", "d"]
    assert [hit.score for hit in hits] == [1.0, 1.0, 1.0, 1.0, pytest.approx(0.5**0.5, abs=1e-5), 0.0]


def test_a_product_comes_back_as_it_was_stored(store):
    fields = {"title": "Tee", "sale_price": 3.0, "currency": "EUR", "url": "https://x.example/a", "group_id": "g"}
    entry = make_entry("it's", unit(1), unit(2, 1), tags={"색": "파랑"}, article_type="Tshirts", **fields)
    store.upsert([entry])
    found = store.get("it's")
    assert found.product == entry.product and found.row_hash == entry.row_hash
    assert found.image_hashes == entry.image_hashes
    for item, stored in zip(entry.items, found.items, strict=True):
        assert np.array_equal(item.embedding, stored.embedding)
        assert (stored.image_no, stored.box, stored.model_version) == (item.image_no, item.box, MODEL)


def test_writing_again_takes_the_place_of_what_was_there(store):
    store.upsert(
        [make_entry("a", unit(1), unit(0, 1)), make_entry("b", unit(1), shop="other"), make_entry("c", unit(1))]
    )
    store.upsert([make_entry("a", unit(0, 0, 1), title="New")])
    assert store.count() == 3 and len(store.get("a").items) == 1 and store.get("a").product.title == "New"
    assert store.search(unit(0, 1)[None], 5, ["top"])[0][0].score == 0
    assert store.get("b", "other").product.shop == "other"
    assert store.fingerprints()[Key("default", "a")].image_hashes == {0: "hash-a-0"}


def test_writing_and_removing_nothing_changes_nothing(store):
    store.upsert([])
    assert store.delete([]) == 0 and store.count() == 0


def test_one_id_in_two_shops_is_two_products(store):
    store.upsert([make_entry("a", unit(1)), make_entry("a", unit(1), shop="b")])
    assert [hit.product.shop for hit in store.search(unit(1)[None], 5, ["top"])[0]] == ["b", "default"]
    assert store.delete([Key("b", "a"), Key("b", "nothing")]) == 1
    assert store.count() == 1 and store.get("a").product.shop == "default"


def soon(found, expected, within_s):
    """Whether what is found is, or within some seconds becomes, what is expected."""
    until = time.monotonic() + within_s
    while found() != expected:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def test_a_reader_sees_what_a_writer_wrote_at_its_next_query(store, uri, store_kind):
    within_s = 0 if store_kind == "directory" else 2
    reader = open_store(uri, MODEL)
    assert reader.count() == 0 and reader.search(unit(1)[None], 5, ["top"]) == [[]]
    store.upsert([make_entry("a", unit(1))])
    assert ids(store.search(unit(1)[None], 5, ["top"])[0]) == ["a"]
    assert soon(lambda: ids(reader.search(unit(1)[None], 5, ["top"])[0]), ["a"], within_s)
    store.compact()
    store.delete([Key("default", "a")])
    assert store.search(unit(1)[None], 5, ["top"]) == [[]]
    assert soon(lambda: reader.search(unit(1)[None], 5, ["top"]), [[]], within_s)
    assert reader.count() == 0 and reader.fingerprints() == {}


def test_many_threads_search_while_one_writes(store, uri):
    reader, entries = open_store(uri, MODEL), random_entries(60)

    def search_until_all_are_there():
        seen = [0]
        while seen[-1] < len(entries):
            seen.append(len(reader.search(unit(1)[None], 100, [None])[0]))
        return seen

    with ThreadPoolExecutor(4) as pool:
        searches = [pool.submit(search_until_all_are_there) for _ in range(4)]
        for start in range(0, len(entries), 10):
            store.upsert(entries[start : start + 10])
        for search in searches:
            seen = search.result()
            assert seen == sorted(seen) and set(seen) <= set(range(0, 61, 10))  # whole commits


def test_products_of_no_category_are_found_over_all_categories_only(store):
    store.upsert([make_entry("watch", unit(1), category=None), make_entry("shirt", unit(1, 1))])
    assert ids(store.search(unit(1)[None], 5, ["top"])[0]) == ["shirt"]
    assert ids(store.search(unit(1)[None], 5, [None])[0]) == ["watch", "shirt"]
    assert ids(store.search(unit(1)[None], 5, [None], exclude=Key("default", "watch"))[0]) == ["shirt"]


@pytest.mark.parametrize(
    "vector",
    [
        pytest.param(np.full(256, np.nan, np.float32), id="nan"),
        pytest.param(np.full(256, np.inf, np.float32), id="inf"),
        pytest.param(np.zeros(256, np.float32), id="zero"),
        pytest.param(unit(1) * np.float32(1.01), id="too-long"),
        pytest.param(np.ones(1, np.float32), id="one-number"),
    ],
)
def test_a_bad_vector_is_refused_before_anything_is_written(store, vector):
    with pytest.raises(ValueError, match="bad"):
        store.upsert([make_entry("good", unit(1)), make_entry("bad", vector)])
    assert store.count() == 0
    with pytest.raises(ValueError, match="query"):
        store.search(vector[None], 5, ["top"])


def test_entries_that_contradict_themselves_are_refused(store):
    entry = make_entry("a", unit(1), unit(1))
    for wrong in (
        [entry, entry],
        [replace(entry, items=())],
        [replace(entry, items=(entry.items[0],) * 2)],
        [replace(entry, image_hashes=())],
        [replace(entry, items=(replace(entry.items[0], image_no=2),), image_hashes=("x",))],
    ):
        with pytest.raises(ValueError, match="expected"):
            store.upsert(wrong)
    assert store.count() == 0


def test_a_note_is_what_was_written_last(store, uri, store_kind):
    assert store.read_note("rules") is None
    store.write_note("rules", "first")
    store.write_note("rules", "규칙 2\n")
    assert store.read_note("rules") == "규칙 2\n" and store.read_note("other") is None
    assert soon(lambda: open_store(uri).read_note("rules"), "규칙 2\n", 0 if store_kind == "directory" else 2)
    with pytest.raises(ValueError, match="name"):
        store.write_note("../rules", "")
    assert store.count() == 0 and not list(store.entries()) and store.search(unit(1)[None], 5, [None]) == [[]]


def test_every_product_can_be_read_whole_and_so_can_some(scanned):
    store, entries = scanned
    found = {entry.key: entry for entry in store.entries()}
    assert len(found) == 120 and found.keys() == {entry.key for entry in entries}
    for entry in entries:
        stored = found[entry.key]
        assert (stored.product, stored.row_hash, stored.image_hashes) == (
            entry.product,
            entry.row_hash,
            entry.image_hashes,
        )
        assert [item.image_no for item in stored.items] == [item.image_no for item in entry.items]
        for item, other in zip(entry.items, stored.items, strict=True):
            assert np.array_equal(item.embedding, other.embedding) and item.colours == other.colours
    some = [Key("default", "p0"), Key("b", "p1"), Key("b", "nothing")]
    assert sorted(entry.key for entry in store.entries(some)) == sorted(some[:2])


def test_both_stores_answer_alike_however_filters_are_joined(scanned, directory):
    store, entries = scanned
    directory.upsert(entries)
    random, query = np.random.default_rng(3), unit(*np.linspace(-1, 2, 256))[None]
    single = [*FILTERS, "tags.no<30", "tags.no>=9", "tags.none<3", "price=7,14,20", "article_type=Tee", "group_id!=g3"]
    single += ["price>=-5", "price=-1,8", "product_id=p3,p9", "in_stock!=true", "tags.no!=8,9"]

    def any_node(depth):
        if depth == 0:
            return random.choice(single)
        joined = f" {random.choice(['and', 'or'])} ".join(f"({any_node(depth - 1)})" for _ in range(2))
        return joined if random.random() < 0.6 else f"not ({joined})"

    for where in (*single, *(any_node(1 + i % 3) for i in range(60))):
        filter = parse_where([where])
        for category, k in ((None, 500), (None, 5), ("top", 3)):
            ask = (query, k, [category], filter, Key("b", "p5"))
            (found,), (expected,) = (other.search(*ask) for other in (store, directory))
            shown = [[(hit.product_id, hit.score, hit.variants) for hit in hits] for hits in (found, expected)]
            assert shown[0] == shown[1], where
        kept = [other.plan("top", filter).partition(";")[0] for other in (store, directory)]
        assert kept[0] == kept[1], where


@pytest.mark.parametrize(
    "name", ["it's", 'a"b', "back\\slash", "한글 🧦", "line\nbreak", "a\x00b", "x" * 300, "\\u0041", "%_"]
)
def test_any_text_names_a_product_a_shop_a_tag_and_its_value(scanned, name):
    store, _ = scanned
    tags = {name: name, "size": "7.5"}
    entry = make_entry(name, unit(0, 0, 3), category="hat", shop=name, tags=tags, title=name)
    store.upsert([entry])
    try:
        assert store.get(name, name).product == entry.product
        for filter in (
            Filter((Condition("shop", "=", (name,)),)),
            Filter((Condition(f"tags.{name}", "=", ("other", name)),)),
            Filter((Condition("tags.size", ">", (7.0,)), Condition("tags.size", "<=", (7.5,)))),
        ):
            assert ids(store.search(unit(1)[None], 5, ["hat"], filter)[0]) == [name]
        for filter in (
            Filter((Condition("shop", "!=", (name,)),)),
            Filter((Condition(f"tags.{name}", "!=", (name,)),)),
            Filter((Condition(f"tags.{name}", "<", (1e9,)),)),
        ):
            assert store.search(unit(1)[None], 5, ["hat"], filter) == [[]]
    finally:
        assert store.delete([entry.key]) == 1


def test_an_unknown_product_is_named(store):
    with pytest.raises(NotFound, match="'nothing'"):
        store.get("nothing")


# --- opening ----------------------------------------------------------------------------------------------------------


def one_line(caught) -> str:
    message = str(caught.value)
    assert "\n" not in message and "expected" in message and "found" in message
    return message


def test_a_missing_collection_says_how_to_make_it_and_is_not_made(uri):
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            open_store(uri, MODEL)
        assert f"twinset index FEED --store {uri}" in one_line(caught)


@pytest.mark.parametrize("there", [False, True], ids=["no-folder", "empty-folder"])
def test_a_missing_store_says_how_to_make_one_and_is_not_made(tmp_path, there):
    folder = tmp_path / "shop"
    if there:
        folder.mkdir()
    with pytest.raises(StoreError) as caught:
        open_store(folder, MODEL)
    assert "twinset index FEED" in one_line(caught)
    assert folder.exists() == there and not list(tmp_path.glob("shop/*"))


def test_a_store_of_another_model_is_refused(store, uri):
    store.upsert([make_entry("a", unit(1))])
    with pytest.raises(ModelMismatch) as caught:
        open_store(uri, "other-1", create=True)
    assert MODEL in one_line(caught) and "other-1" in one_line(caught)
    assert open_store(uri).model_version == MODEL  # who asks for none gets any


def test_a_store_of_a_newer_format_is_refused(uri, monkeypatch):
    for module in ("lance_shelf", "milvus_shelf"):
        monkeypatch.setattr(f"twinset.store.{module}.FORMAT", 2)
    open_store(uri, MODEL, create=True)
    monkeypatch.undo()
    with pytest.raises(StoreError) as caught:
        open_store(uri, MODEL)
    assert "upgrade" in one_line(caught)


@pytest.mark.parametrize("part", ["_versions", "data"])
@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_a_damaged_store_is_one_line(tmp_path, part, damage):
    store = open_store(tmp_path / "store", MODEL, create=True)
    store.upsert(random_entries(20))
    files = sorted((tmp_path / "store" / "products.lance" / part).iterdir())
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[:20] if damage == "cut" else b"noise" * 50)
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path / "store", MODEL)
    assert "store" in one_line(caught)


def test_files_that_vanish_under_an_open_store_are_one_line(directory, tmp_path):
    directory.upsert([make_entry("a", unit(1))])
    (tmp_path / "store").rename(tmp_path / "away")
    with pytest.raises(StoreError) as caught:
        directory.search(unit(1)[None], 5, ["top"])
    one_line(caught)


def test_a_store_whose_making_was_killed_is_made_again(tmp_path):
    (tmp_path / "store" / "products.lance" / "_versions").mkdir(parents=True)
    store = open_store(tmp_path / "store", MODEL, create=True)
    store.upsert([make_entry("a", unit(1))])
    assert open_store(tmp_path / "store", MODEL).count() == 1


def test_a_place_where_no_store_can_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("not a store")
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path / "file", MODEL, create=True)
    assert "--store" in one_line(caught)


@pytest.mark.parametrize(
    "url", ["ftp://host/shop", "http://", "http://host:port", "http://host/a/b", "http://host/a-b"]
)
def test_a_url_that_is_no_store_is_one_line(url):
    pytest.importorskip("pymilvus")
    with pytest.raises(StoreError) as caught:
        open_store(url, MODEL)
    assert url in one_line(caught)


def test_a_store_of_format_1_keeps_loading():
    store = open_store(OLD_STORE)
    expected = json.loads((OLD_STORE / "expected.json").read_text())
    assert isinstance(store, LanceStore) and store.model_version == MODEL
    hits = store.search(np.array([expected["query"]], np.float32), 3, [None])[0]
    assert [hit.product_id for hit in hits] == [product_id for product_id, _ in expected["hits"]]
    assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected["hits"]], abs=1e-5)
    assert store.get("p2").product.tags == {"no": "2"}
