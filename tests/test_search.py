"""A photo or a product in, products out: search_image, similar_products, Shop, the JSON and the page."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from fakes import PAINT, FakeModels, draw_item, draw_photo, draw_product, draw_street, make_feed, save_image

from twinset.answers import detect_json, hit_json, index_json, search_json, similar_json
from twinset.data.feed import FailedRow
from twinset.describe.labels import Head, Labels, LabelWeights
from twinset.errors import DataError, FilterError, NotFound, StoreError, UsageError
from twinset.images import Photo
from twinset.indexing import IndexReport, index_feed
from twinset.likeness import search_alike
from twinset.naming import name_item, one_for_each_garment, seen_at
from twinset.recommend import similar_products
from twinset.search import detect_image, search_image
from twinset.search_page import write_search_page
from twinset.shop import Shop
from twinset.store import open_store
from twinset.types import Colour, Detections, FoundItem, Hit, Product

STREET = draw_street()
TOP_BOX, TROUSERS_BOX = (40, 20, 88, 84), (40, 100, 88, 190)
PHOTO_SIZE = (160, 200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def models():
    return FakeModels()


@pytest.fixture(scope="module")
def store(folder, models):
    """p000 to p029 in five categories, and a watch that looks like a belt."""
    feed = make_feed(folder, 30)
    save_image(draw_product("belt", 9), folder / "images" / "watch.png")
    with feed.open("a", encoding="utf-8") as file:
        file.write("watch,Watch,Watches,99,EUR,images/watch.png,true,winter\n")
    assert index_feed(feed, folder / "store", models).indexed == 31
    return open_store(folder / "store", models.version)


def ids(hits):
    return [hit.product_id for hit in hits]


# --- detecting --------------------------------------------------------------------------------------------------------


def test_items_are_found_best_first_with_their_colours(models):
    items = detect_image(STREET, models)
    assert [(item.category, item.box) for item in items[:2]] == [("trousers", TROUSERS_BOX), ("top", TOP_BOX)]
    assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)
    assert items[1].colours == (Colour("red", 1.0),) and all(item.hits == () for item in items)


def test_min_score_decides_what_is_an_item(models):
    photo = draw_photo((draw_item("bag", 0, (10, 10)), (20, 20)), size_wh=PHOTO_SIZE)
    assert detect_image(photo, models) == []
    assert [item.category for item in detect_image(photo, models, 0)] == ["bag"]
    with pytest.raises(UsageError, match="min_score"):
        detect_image(photo, models, 1.5)


def test_boxes_are_said_in_the_photos_own_pixels_however_it_was_decoded(models, store):
    height, width = STREET.shape[:2]
    large = Photo(STREET, 2 * width, 4 * height)

    def grown(box):
        return box[0] * 2, box[1] * 4, box[2] * 2, box[3] * 4

    items = detect_image(STREET, models)
    assert [item.box for item in detect_image(large, models)] == [grown(item.box) for item in items]
    (item,) = search_image(large, models, store, box=grown(TOP_BOX), k=3)
    (same,) = search_image(STREET, models, store, box=TOP_BOX, k=3)
    assert (item.hits, item.box) == (same.hits, grown(same.box))
    (whole,) = search_image(large, models, store, whole=True)
    assert whole.box == (0, 0, 2 * width, 4 * height)
    with pytest.raises(UsageError, match=f"within {2 * width} x {4 * height} pixels"):
        search_image(large, models, store, box=(3 * width, 0, 4 * width, 10))


def test_a_garment_found_twice_is_one_item(models):
    boxes = np.array([[0, 0, 50, 100], [0, 2, 50, 100], [1, 0, 50, 100], [0, 0, 50, 40], [0, 0, 50, 99]], np.float32)
    names = ["skirt", "shorts", "bag", "dress", "bag"]  # nothing is worn instead of a bag; the dress lies elsewhere
    assert one_for_each_garment(boxes, names, models) == [0, 2, 3]
    assert one_for_each_garment(boxes[:0], [], models) == []


@pytest.mark.parametrize(
    ("other", "name", "kept"),
    [
        pytest.param([30, 0, 100, 70], "hat", [0], id="part of it"),
        pytest.param([-40, 0, 100, 120], "hat", [0], id="more than it"),
        pytest.param([30, 0, 100, 70], "bag", [0, 1], id="another category"),
        pytest.param([30, 0, 140, 70], "hat", [0, 1], id="beside it"),
        pytest.param([30, 30, 60, 60], "hat", [0, 1], id="much smaller"),
        pytest.param([-100, -100, 200, 200], "hat", [0, 1], id="much larger"),
    ],
)
def test_an_item_inside_another_of_its_category_is_that_item(models, other, name, kept):
    boxes = np.array([[0, 0, 100, 100], other], np.float32)
    assert one_for_each_garment(boxes, ["hat", name], models) == kept


def test_what_else_is_seen_in_a_place_has_the_best_score_of_each_category(models):
    boxes = np.array([[0, 0, 50, 100], [0, 2, 50, 100], [1, 0, 50, 100], [0, 0, 50, 40]], np.float32)
    labels = np.array([models.categories.index(name) for name in ("skirt", "dress", "dress", "top")])
    found = Detections(boxes, np.array([0.8, 0.6, 0.5, 0.4], np.float32), labels)
    assert seen_at(boxes[0], found, models) == pytest.approx({"skirt": 0.8, "dress": 0.6})
    assert seen_at((200, 0, 210, 9), found, models) == {}


def test_an_item_takes_the_category_that_place_and_looks_say(models):
    def says(*names, weights=None):
        zeros = np.zeros((len(names), 256), np.float32)
        return Head(names, zeros if weights is None else weights, np.zeros(len(names), np.float32))

    embedding = np.eye(256, dtype=np.float32)[7]
    looks = says("top", "outerwear", weights=np.stack([0 * embedding, 3 * embedding]))
    knowing = FakeModels()
    knowing.labels = Labels(says("Tshirts"), says("red"), says("men"), says("tee"), category=looks)
    faint, own = 0.5 * knowing.min_score, knowing.min_score + 0.01
    assert name_item("top", {"top": own, "outerwear": faint}, embedding, knowing) == "outerwear"
    assert name_item("top", {"top": own}, embedding, knowing) == "top"
    assert name_item("top", {"top": own, "outerwear": faint}, embedding, models) == "top"  # without labels


# --- searching --------------------------------------------------------------------------------------------------------


def test_each_item_is_searched_within_its_category(models, store):
    items = search_image(STREET, models, store, k=4)
    assert [item.category for item in items] == ["trousers", "top", "bag"]
    for item in items:
        assert len(item.hits) == 4 and {hit.category for hit in item.hits} == {item.category}
        scores = [hit.score for hit in item.hits]
        assert scores == sorted(scores, reverse=True) and 0 <= min(scores) <= max(scores) <= 1


@pytest.mark.parametrize("i", [0, 1, 2, 3, 4, 29])
def test_an_indexed_product_finds_itself_first(models, store, i):
    category = ["top", "dress", "trousers", "shoes", "bag"][i % 5]
    (item,) = search_image(draw_product(category, i), models, store)
    assert (item.hits[0].product_id, item.hits[0].score) == (f"p{i:03}", 1.0)
    assert len(item.hits) == 6 and len(set(ids(item.hits))) == 6


def test_category_keeps_items_of_that_category(models, store):
    assert [item.category for item in search_image(STREET, models, store, category="top")] == ["top"]
    assert search_image(STREET, models, store, category="scarf") == []


def test_a_box_is_one_item_of_the_category_of_the_detection_it_shows(models, store):
    (item,) = search_image(STREET, models, store, box=(38, 22, 90, 86))
    assert item.category == "top" and item.score == detect_image(STREET, models)[1].score
    assert item.box == (38, 22, 90, 86) and {hit.category for hit in item.hits} == {"top"}


def test_a_box_however_loose_is_called_what_its_detection_is_without_a_box(store):
    """To these labels what stands upright is a dress; the loose box is as wide as it is high."""

    class Unsure(FakeModels):
        def detect(self, image, min_score=None):
            found = super().detect(image, min_score)
            boxes, scores = np.append(found.boxes, [TOP_BOX], 0), np.append(found.scores, 0.2)
            labels = np.append(found.labels, self.categories.index("dress"))
            return Detections(boxes.astype(np.float32), scores.astype(np.float32), labels)

    def silent(*names):
        return Head(names, np.zeros((len(names), 256), np.float32), np.zeros(len(names), np.float32))

    upright = np.zeros((2, 256), np.float32)
    upright[1, 193] = 2000
    looks = Head(("top", "dress"), upright, np.array([0, -20], np.float32))
    models, loose = Unsure(), (32, 20, 96, 84)
    models.labels = Labels(silent("Tshirts"), silent("red"), silent("men"), silent("tee"), category=looks)
    (item,) = (one for one in search_image(STREET, models, store, k=1) if one.box == TOP_BOX)
    (crop,) = search_image(STREET, models, store, k=1, box=loose)
    assert item.category == "dress" and (crop.category, crop.score, crop.box) == ("dress", item.score, loose)
    (wide,) = models.describe(STREET, np.array([loose], np.float32))
    assert name_item("top", {"top": item.score, "dress": 0.2}, wide.embedding, models) == "top"


def test_a_box_that_shows_no_detection_is_searched_over_all_categories(models, store):
    (item,) = search_image(STREET, models, store, box=(0, 0, 60, 60), k=50)
    assert (item.category, item.score) == (None, None)
    assert {hit.category for hit in item.hits} == {"top", "dress", "trousers", "shoes", "bag", None}


def test_a_category_beside_a_box_is_that_of_the_crop(models, store):
    (item,) = search_image(STREET, models, store, box=TOP_BOX, category="dress")
    assert (item.category, item.score) == ("dress", None) and {hit.category for hit in item.hits} == {"dress"}
    (item,) = search_image(STREET, models, store, box=TOP_BOX, category="top")
    assert item.category == "top" and item.score > 0.5


def test_a_box_is_cut_to_the_photo(models, store):
    (item,) = search_image(STREET, models, store, box=(-10, 150, 1000, 1000))
    assert item.box == (0, 150, 160, 200)


def test_the_whole_photo_is_one_item_of_no_category(models, store):
    (item,) = search_image(STREET, models, store, whole=True, k=50)
    assert (item.category, item.score, item.box) == (None, None, (0, 0, 160, 200)) and len(item.hits) == 31


def test_what_a_detector_sees_in_a_place_decides_which_categories_come_first_among_all(store):
    def silent(*names):
        return Head(names, np.zeros((len(names), 256), np.float32), np.zeros(len(names), np.float32))

    heads = silent("Tshirts"), silent("red"), silent("men"), silent("tee")
    labels = Labels(*heads, weights=LabelWeights(category=8.0), category=silent(*PAINT))
    height, width = STREET.shape[:2]
    (looks,) = FakeModels().describe(STREET, np.array([[0, 0, width, height]], np.float32))
    by_looks, by_both = (
        search_alike(looks.embedding[None], [None], store, labels, 12, seen=[seen])[0]
        for seen in ({}, {"trousers": 0.5})
    )
    assert [hit.category for hit in by_looks[:6]] == ["shoes"] * 6
    assert [hit.category for hit in by_both[:6]] == ["trousers"] * 6


@pytest.mark.parametrize(
    ("part", "where", "seen"),
    [
        pytest.param(STREET[96:194, 30:98], {"whole": True}, {"trousers": 0.824}, id="fills-the-photo"),
        pytest.param(STREET, {"whole": True}, {}, id="fills-little-of-it"),
        pytest.param(
            draw_photo((draw_item("bag", 0, (10, 10)), (20, 20)), size_wh=PHOTO_SIZE),
            {"box": (20, 20, 30, 30)},
            {"bag": 0.1},
            id="faintly-in-a-crop",
        ),
    ],
)
def test_searches_over_all_categories_are_told_what_is_seen_in_the_place(store, monkeypatch, part, where, seen):
    asked = []
    monkeypatch.setattr("twinset.search.search_alike", lambda *args: asked.append(args[-1]) or [[]])
    (item,) = search_image(part, FakeModels(), store, **where)
    assert item.category is None and asked == [[pytest.approx(seen, abs=1e-3)]]


def test_filters_hold_for_every_hit(models, store):
    where = ["price<30", "in_stock=true", "tags.season=summer"]
    (item,) = search_image(STREET, models, store, category="trousers", where=where)
    assert sorted(ids(item.hits)) == ["p002", "p012"]
    assert search_image(STREET, models, store, category="trousers", where=["price>1000"])[0].hits == ()


def test_a_photo_with_nothing_to_wear_has_no_items(models, store):
    assert search_image(np.full((50, 40, 3), 255, np.uint8), models, store) == []
    (item,) = search_image(np.zeros((1, 1, 3), np.uint8), models, store, whole=True)
    assert item.box == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("k", {"k": 0}),
        ("category", {"category": "shirtish"}),
        ("box", {"box": (10, 10, 10, 40)}),
        ("box", {"box": (40, 10, 10, 40)}),
        ("box", {"box": (500, 500, 600, 600)}),
        ("box", {"box": (0, 0, float("nan"), 10)}),
        ("box", {"box": (0, 0, 10)}),
        ("whole", {"whole": True, "box": TOP_BOX}),
        ("whole", {"whole": True, "category": "top"}),
        ("where", {"where": ["title=shirt"]}),
    ],
)
def test_values_that_cannot_be_are_named(models, store, field, arguments):
    with pytest.raises(UsageError) as caught:
        search_image(STREET, models, store, **arguments)
    assert caught.value.field == field and caught.value.expected and "\n" not in str(caught.value)


# --- similar products -------------------------------------------------------------------------------------------------


def test_similar_products_are_of_the_same_category_and_never_the_product_itself(store):
    hits = similar_products("p000", store)
    assert sorted(ids(hits)) == ["p005", "p010", "p015", "p020", "p025"]
    assert [(-hit.score, hit.product_id) for hit in hits] == sorted((-hit.score, hit.product_id) for hit in hits)
    assert ids(similar_products("p000", store, k=2)) == ids(hits)[:2]
    assert sorted(ids(similar_products("p000", store, where=["price>=30"]))) == ["p020", "p025"]


def test_a_product_of_no_category_is_compared_with_all(store):
    hits = similar_products("watch", store, k=50)
    assert len(hits) == 30 and "watch" not in ids(hits)


def test_a_product_with_several_items_is_like_what_is_like_any_of_them(tmp_path, models):
    for name, image in {"a0": ("top", 0), "a1": ("top", 255), "b": ("top", 255), "c": ("top", 1)}.items():
        save_image(draw_product(*image), tmp_path / f"{name}.png")
    rows = [("a", ["a0.png", "a1.png"]), ("b", ["b.png"]), ("c", ["c.png"])]
    feed = tmp_path / "feed.jsonl"
    feed.write_text("".join(json.dumps({"product_id": p, "images": i, "category": "top"}) + "\n" for p, i in rows))
    index_feed(feed, tmp_path / "store", models)
    hits = similar_products("a", open_store(tmp_path / "store"))
    assert ids(hits) == ["b", "c"] and hits[0].score == 1.0


@pytest.mark.parametrize(
    ("error", "arguments"),
    [(NotFound, {"product_id": "nothing"}), (NotFound, {"product_id": "p000", "shop": "other"})],
)
def test_an_unknown_product_has_no_similar_ones(store, error, arguments):
    with pytest.raises(error, match=arguments["product_id"]):
        similar_products(store=store, **arguments)


def test_similar_checks_its_values(store):
    with pytest.raises(UsageError, match="k"):
        similar_products("p000", store, k=0)
    with pytest.raises(FilterError):
        similar_products("p000", store, where=["price"])


# --- a shop -----------------------------------------------------------------------------------------------------------


def test_a_shop_searches_files_and_arrays_alike(folder, models, store):
    shop = Shop(models, store)
    file = save_image(STREET, folder / "street.png")
    assert shop.search(file, k=3) == shop.search(str(file), k=3) == shop.search(STREET, k=3)
    assert shop.search(STREET, k=3) == search_image(STREET, models, store, k=3)
    assert shop.detect(file) == detect_image(STREET, models)
    assert shop.similar("p000", k=2) == similar_products("p000", store, k=2)
    with pytest.raises(DataError, match=r"nothing\.jpg"):
        shop.search(folder / "nothing.jpg")


def test_a_shop_gives_a_products_image(folder, models, store):
    data = Shop(models, store).product_image("p003")
    assert data == (folder / "images" / "p003.png").read_bytes()
    with pytest.raises(NotFound):
        Shop(models, store).product_image("p003", shop="other")


def test_a_shop_indexes_into_its_store(tmp_path, models):
    shop = Shop(models, open_store(tmp_path / "store", models.version, create=True))
    assert shop.index(make_feed(tmp_path / "feed", 5)).indexed == 5
    assert len(shop.search(STREET)) == 3 and shop.index(str(tmp_path / "feed" / "products.csv")).unchanged == 5


def test_opening_a_shop_without_a_store_says_so(tmp_path, models, monkeypatch):
    import twinset

    monkeypatch.setattr("twinset.models.load_models", lambda name, threads: models)
    with pytest.raises(StoreError, match="twinset index FEED"):
        twinset.open_shop(tmp_path / "store")
    assert twinset.open_shop(tmp_path / "store", create=True).store.count() == 0
    assert twinset.open_shop(tmp_path / "store").store.model_version == models.version


def test_importing_twinset_loads_nothing_heavy():
    heavy = "torch", "lancedb", "pyarrow", "onnxruntime", "fastapi", "PIL"
    code = f"import twinset, sys; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# --- answers ----------------------------------------------------------------------------------------------------------

PRODUCT = Product("7", ("/a.jpg",), title="Tee", price=9.5, currency="EUR", category="top", article_type="Tshirts")
HIT = Hit(0.123456789, PRODUCT, (0, 0, 10, 10), "/a.jpg", "top", (Colour("red", 1.0),))


def test_json_has_the_promised_keys_and_no_others():
    item = FoundItem("top", 0.98765432, (1.23456, 2, 3, 4), (Colour("red", 0.75),), (HIT,))
    hit = {"product_id": "7", "score": 0.123457, "category": "top", "article_type": "Tshirts", "title": "Tee"}
    hit |= {"price": 9.5, "sale_price": None, "currency": "EUR", "image": "/a.jpg", "shop": "default"}
    hit |= {"group_id": None, "variants": 1, "in_stock": True, "rule": None}
    found = {
        "category": "top",
        "score": 0.987654,
        "box": [1.2346, 2, 3, 4],
        "colours": [{"name": "red", "share": 0.75}],
    }
    assert hit_json(HIT) == hit
    assert detect_json((160, 200), [item], "a.jpg") == {"image": "a.jpg", "width": 160, "height": 200, "items": [found]}
    assert search_json((160, 200), [item]) == {
        "width": 160,
        "height": 200,
        "items": [found | {"hits": [hit], "next_offset": None}],
    }
    assert similar_json("8", [HIT]) == {"product_id": "8", "hits": [hit]}
    report = IndexReport(3, 1, 1, [FailedRow(4, "x", "bad")], 1.23456)
    failed = [{"line": 4, "product_id": "x", "reason": "bad"}]
    counts = {"products": 3, "indexed": 1, "unchanged": 1, "failed": failed, "seconds": 1.235}
    assert index_json(report) == counts


def test_answers_of_a_real_search_are_json(models, store):
    items = search_image(STREET, models, store, whole=True, k=2)
    answer = json.loads(json.dumps(search_json((160, 200), items), allow_nan=False))
    assert answer["items"][0]["category"] is None and answer["items"][0]["score"] is None
    assert len(answer["items"][0]["hits"]) == 2


# --- the page ---------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def test_the_page_holds_photo_boxes_and_hits_and_needs_no_other_file(tmp_path, models, store):
    items = search_image(STREET, models, store, k=3)
    write_search_page(
        tmp_path / "page.html", [("street.png", Photo.of(STREET), items), ("again.png", Photo.of(STREET), [])]
    )
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    tags = Tags(page)
    assert len(tags.all("rect")) == 3 and tags.all("rect")[0]["height"] == "90.0"
    images = tags.all("img")
    assert len(images) == 2 + 9 and all(image["src"].startswith("data:image/jpeg;base64,") for image in images)
    assert not re.search(r'(src|href)="(?!data:)', page) and "url(" not in page and "<script" not in page
    text = " ".join(tags.text)
    assert items[0].hits[0].product.title in text and "22.00 EUR" in text and "No item found." in text
    assert f"{items[0].hits[0].score:.3f}" in text


def test_words_of_strangers_are_text_on_the_page(tmp_path):
    evil = '<script>alert("1")</script>'
    product = Product(evil, (evil,), title=evil, price=1.0, currency=evil)
    items = [FoundItem(evil, 0.5, (1, 1, 9, 9), (Colour(evil, 1.0),), (Hit(0.5, product, (0, 0, 1, 1), evil, None),))]
    write_search_page(tmp_path / "page.html", [(evil, Photo.of(STREET), items)])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page and page.count("&lt;script&gt;") >= 5 and "no picture" in page


def test_a_page_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(DataError, match="page"):
        write_search_page(tmp_path / "nowhere" / "page.html", [])


def test_the_fakes_find_what_they_draw(models):
    for category in PAINT:
        detections = models.detect(draw_product(category, 77))
        assert [models.categories[label] for label in detections.labels] == [category]
        assert detections.boxes.tolist() == [[24, 32, 72, 96]]
