"""What words ask for, and what a shop answers to them, alone and beside a photo."""

import json
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeModels, draw_item, draw_photo, draw_product, draw_street, save_image
from test_store import make_entry

from twinset.describe.labels import AttributeHead, AttributeValue, Head, Labels
from twinset.describe.words import gender_of, read_words
from twinset.errors import UsageError
from twinset.hits import Wanted
from twinset.rules import Rules, parse_rules
from twinset.shop import Shop
from twinset.store import open_store
from twinset.types import Colour, Hit, Product
from twinset.word_search import reordered, words_page


def asked(text):
    """Return what is wanted and unwanted, and other words."""
    found = read_words(text)
    wanted = {f"{concept.field}={concept.value}" for concept in found.wanted}
    unwanted = {f"{concept.field}={concept.value}" for concept in found.unwanted}
    return wanted, unwanted | set(found.without), set(found.rest)


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted", "rest"),
    [
        ("", set(), set(), set()),
        ("like this but red", {"colour=red"}, set(), set()),
        ("navy", {"colour=blue"}, set(), set()),
        ("Sky-Blue", {"colour=blue"}, set(), set()),
        ("without stripes", set(), {"attributes.pattern=striped"}, set()),
        ("no logo, in blue", {"colour=blue"}, {"logo"}, set()),
        (
            "without stripes or checks but blue",
            {"colour=blue"},
            {"attributes.pattern=striped", "attributes.pattern=checked"},
            set(),
        ),
        ("Puma Men T-shirt", {"gender=men", "article_type=t-shirt"}, set(), {"puma"}),
        ("slim fit jeans", {"attributes.fit=slim", "article_type=jeans"}, set(), set()),
        ("빨간 원피스", {"colour=red", "category=dress"}, set(), set()),
        ("줄무늬 없는 파란색 셔츠", {"colour=blue", "article_type=shirt"}, {"attributes.pattern=striped"}, set()),
        ("이런 거 검정색으로", {"colour=black"}, set(), set()),
        ("여성용 하얀 운동화", {"gender=women", "colour=white", "article_type=casual-shoes"}, set(), set()),
        ("without", set(), set(), set()),
        ("말고", set(), set(), set()),
    ],
)
def test_words_are_read(text, wanted, unwanted, rest):
    assert asked(text) == (wanted, unwanted, rest)


def test_the_category_is_that_of_all_types_named():
    assert read_words("striped shirt").category == "top"
    assert read_words("shirt with jeans").category is None
    assert read_words("red").category is None


@pytest.mark.parametrize(
    ("text", "gender"),
    [("Men's shoes", "men"), ("girls top", "girls"), ("Men and women", None), ("Womens tee", "women")],
)
def test_a_title_names_a_gender_or_none(text, gender):
    assert gender_of([text]) == gender


# --- a shop -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    rows = [
        ("tee", "Nike Striped Tee", "Tshirts", draw_product("top", 0)),
        ("plain", "Nike Solid Tee", "Tshirts", draw_product("top", 3)),
        ("shirt", "Arrow Shirt", "Shirts", draw_product("top", 1)),
        ("bag", "Baggit Bag", "Handbags", draw_product("bag", 0)),
    ]
    lines = ["product_id,title,article_type,image"]
    for product_id, title, kind, picture in rows:
        save_image(picture, tmp_path / f"{product_id}.png")
        lines.append(f"{product_id},{title},{kind},{product_id}.png")
    (tmp_path / "products.csv").write_text("\n".join(lines), encoding="utf-8")
    models = FakeModels()
    shop = Shop(models, open_store(tmp_path / "store", models.version, create=True))
    shop.index(tmp_path / "products.csv")
    return shop


def ids(hits):
    return [hit.product_id for hit in hits]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("Nike Solid Tee", ["plain", "tee"]),
        ("나이키 분홍색 가방", ["bag"]),
        ("tee without stripes", ["plain"]),
        ("red but not nike", ["shirt"]),
    ],
)
def test_words_find_products(shop, words, found):
    hits = shop.search_words(words)
    assert ids(hits)[: len(found)] == found
    assert "tee" not in ids(hits) or "without" not in words
    assert all(0 <= hit.score <= 1 for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_words_go_with_a_category_and_filters(shop):
    assert ids(shop.search_words("nike bag", category="bag")) == ["bag"]
    assert ids(shop.search_words("nike", where=["article_type=Shirts"])) == []
    assert len(shop.search_words("nike", k=1)) == 1


@pytest.mark.parametrize("words", ["", "  ", "like this", "not red", "without stripes"])
def test_words_that_ask_for_nothing_are_refused(shop, words):
    with pytest.raises(UsageError, match="expected what to look for"):
        shop.search_words(words)


def test_variants_are_one_hit_and_facets_count_what_is_looked_among(tmp_path):
    models = FakeModels()
    store = open_store(tmp_path / "store", models.version, create=True)
    rng = np.random.default_rng(0)
    for i in range(400):
        colour = ("red", "blue")[i % 2]
        vector = rng.normal(size=256).astype(np.float32)
        group = {"group_id": "g"} if i < 2 else {}
        fields = {"title": f"{colour} {('linen', 'silk', 'wool')[i % 3]} shirt", **group}
        store.upsert(
            [make_entry(f"p{i:03}", vector / np.linalg.norm(vector), colours=(Colour(colour, 1.0),), **fields)]
        )
    page = words_page("shirt", models, store, Wanted(400))
    assert len({hit.one_hit for hit in page.hits}) == len(page.hits) == 399
    page = words_page("shirt not red", models, store, Wanted(400, facets=("colour",)))
    assert [(value.value, value.count) for value in page.facets[0].values] == [("blue", 200)] and len(page.hits) == 200
    paged = [
        hit for start in range(0, 399, 37) for hit in words_page("linen shirt", models, store, Wanted(37, start)).hits
    ]
    assert paged == list(words_page("linen shirt", models, store, Wanted(399)).hits)


LINEN = (("linen",),)


def test_pages_of_a_photos_hits_with_words_follow_each_other():
    titles = ("linen shirt", "shirt", "shirt")
    hits = [
        Hit(1 - i / 400, Product(f"p{i:03}", ("a.png",), title=titles[i % 3]), (0, 0, 1, 1), "a.png", "top")
        for i in range(300)
    ]
    whole = reordered(hits, read_words("linen"), LINEN)
    assert [hit.score for hit in whole] == sorted((hit.score for hit in whole), reverse=True)
    for many in (100, 200):
        assert reordered(hits[:many], read_words("linen"), LINEN) == whole[:many]


def test_a_photos_further_hits_with_words_come_by_their_likeness_too():
    titles = ("linen shirt", "shirt")
    hits = [
        Hit(0.9 - i / 1000, Product(f"p{999 - i}", ("a.png",), title=titles[i % 2]), (0, 0, 1, 1), "a.png", "top")
        for i in range(300)
    ]
    ordered = reordered(hits, read_words("linen"), LINEN)
    for title in titles:
        assert [hit.product_id for hit in ordered if hit.product.title == title] == [
            hit.product_id for hit in hits if hit.product.title == title
        ]


def test_words_that_no_product_says_change_nothing_beside_a_photo(shop):
    photo = draw_product("top", 0)
    plain, worded = (shop.search(photo, words=words) for words in ("", "something much cheaper"))
    assert [(hit.product_id, hit.score) for hit in worded[0].hits] == [
        (hit.product_id, hit.score) for hit in plain[0].hits
    ]


def test_a_photo_with_words_keeps_what_they_leave(shop):
    photo = draw_photo((draw_item("top", 0), (24, 32)))
    (item,) = shop.search(photo)
    assert ids(item.hits) == ["tee", "shirt", "plain"]
    (item,) = shop.search(photo, words="without stripes")
    assert ids(item.hits) == ["shirt", "plain"]
    (item,) = shop.search(photo, words="but solid")
    assert ids(item.hits)[0] == "plain"
    (item,) = shop.search(photo, words="but blue")
    assert item.hits == ()
    (item,) = shop.search(photo, words="not red")
    assert item.hits == ()


@pytest.fixture
def mens_first(tmp_path: Path) -> Shop:
    """Shirts like a photo's top, the nearest 250 of which are for men, as are those that say little else."""
    models = FakeModels()
    (looks,) = models.describe(draw_product("top", 0), np.array([[24, 32, 72, 96]], np.float32))
    aside = np.eye(256, dtype=np.float32)[255]
    entries = []
    for i in range(300):
        vector = looks.embedding + aside * np.float32(i / 1000)
        title = "men shirt" if i < 250 else "women long linen shirt"
        entries.append(make_entry(f"p{i:03}", vector / np.linalg.norm(vector), title=title))
    store = open_store(tmp_path / "men", models.version, create=True)
    store.upsert(entries)
    return Shop(models, store)


@pytest.mark.parametrize("alone", [False, True])
def test_what_is_unwanted_takes_no_hits_place(mens_first, alone):
    def page(k, offset):
        if alone:
            found = words_page("shirt not men", mens_first.models, mens_first.store, Wanted(k, offset))
        else:
            (found,) = mens_first.search(draw_product("top", 0), k, words="not men", offset=offset)
        return ids(found.hits), found.next_offset

    wanted = [f"p{i}" for i in range(250, 300)]
    assert page(20, 0) == (wanted[:20], 20) and page(20, 20) == (wanted[20:40], 40)
    assert page(20, 40) == (wanted[40:], None) and page(200, 0) == (wanted, None)


def test_words_that_name_a_category_choose_the_item(shop):
    assert {item.category for item in shop.search(draw_street())} == {"top", "trousers", "bag"}
    (item,) = shop.search(draw_street(), words="the bag")
    assert (item.category, ids(item.hits)) == ("bag", ["bag"])


def test_the_command_searches_by_words(shop, run, fake_models, tmp_path):
    ran = run("search", "--words", "nike tee", "--store", tmp_path / "store", "--json")
    assert [hit["product_id"] for hit in json.loads(ran.stdout)["hits"]][:2] == ["plain", "tee"]
    assert "Nike Solid Tee" in run("search", "--words", "nike", "--store", tmp_path / "store").stdout
    photo = save_image(draw_product("top", 0), tmp_path / "photo.png")
    ran = run("search", photo, "--words", "without stripes", "--store", tmp_path / "store", "--json")
    assert [hit["product_id"] for hit in json.loads(ran.stdout)["items"][0]["hits"]] == ["shirt", "plain"]
    assert run("search", "--store", tmp_path / "store").code == 2
    assert run("search", "--words", "", "--store", tmp_path / "store").code == 2


# --- words that can be seen -------------------------------------------------------------------------------------------


def axes(*numbers: int) -> np.ndarray:
    rows = np.zeros((len(numbers), 256), np.float32)
    rows[np.arange(len(numbers)), numbers] = 4
    return rows


@pytest.fixture
def labels() -> Labels:
    def head(names, *numbers):
        return Head(names, axes(*numbers), np.zeros(len(names), np.float32))

    striped = AttributeValue("striped", 0.9, 0.9, 20)
    return Labels(
        head(("Tshirts", "Shirts", "Watches"), 0, 1, 2),
        head(("red", "blue"), 3, 4),
        head(("men", "women"), 5, 6),
        head(("denim",), 7),
        {"pattern": AttributeHead((striped,), head(("striped",), 8))},
    )


def test_words_have_a_vector_where_they_can_be_seen(labels):
    vector = labels.vector(read_words("blue shirt"))
    assert vector[[1, 4]] == pytest.approx([0.5**0.5, 0.5**0.5])
    assert labels.vector(read_words("striped"))[8] == pytest.approx(1)
    assert labels.vector(read_words("상의"))[[0, 1]] == pytest.approx([0.5**0.5, 0.5**0.5])  # of all its types
    assert labels.vector(read_words("acme")) is None


def test_another_colour_takes_the_place_of_an_items_own(labels):
    red_shirt = (axes(1)[0] + axes(3)[0]) / np.linalg.norm(axes(1)[0] + axes(3)[0])
    blue = labels.recoloured(red_shirt, ["blue"])
    assert np.linalg.norm(blue) == pytest.approx(1)
    assert blue @ axes(4)[0] > blue @ axes(3)[0]
    assert blue[1] == pytest.approx(red_shirt[1], abs=0.15)
    assert (labels.recoloured(red_shirt, ["purple"]) == red_shirt).all()


def test_pictures_bring_products_that_say_nothing(shop, labels):
    models = FakeModels()
    embedding = shop.store.get("bag").items[0].embedding
    weights = np.stack([4 * embedding, *axes(1, 2)])
    models.labels = Labels(
        Head(labels.article_type.names, weights, np.zeros(3)), labels.colour, labels.gender, labels.words
    )
    hits = words_page("tshirts", models, shop.store, Wanted()).hits
    assert "bag" not in ids(hits)  # another category than the words name
    hits = words_page("striped tshirts jeans", models, shop.store, Wanted()).hits
    assert ids(hits)[0] == "tee" and "bag" in ids(hits)


@pytest.mark.parametrize("where", [[], ["price<50"]])
def test_a_bury_raises_no_product(tmp_path, labels, where):
    models = FakeModels()
    models.labels = labels
    store = open_store(tmp_path / "store", models.version, create=True)
    shirt, other = axes(1, 20) / 4
    vectors = [(shirt * (20 - i) + other * i) for i in range(12)]
    store.upsert(
        [
            make_entry(f"p{i:02}", vector / np.linalg.norm(vector), title="shirt" if i % 2 else "thing", price=float(i))
            for i, vector in enumerate(vectors)
        ]
    )

    def found(rules):
        hits = words_page("shirt", models, store, Wanted(where=where, rules=rules)).hits
        return ids(hits), {hit.product_id: hit.score for hit in hits}

    before, scores = found(Rules())
    assert before[:6] == [f"p{i:02}" for i in range(1, 12, 2)] and len(before) == 12
    for name in before:
        buried, after = found(parse_rules(json.dumps({"bury": [{"where": f"product_id={name}", "by": 0.001}]})))
        assert buried.index(name) >= before.index(name) and after == scores
