"""Searches over HTTP beyond the contract: by a product's picture, held photos, page by page, what hits say."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import http_client, wait_until_ready
from fakes import FakeModels, draw_product, make_feed
from test_contract_http import STREET_PNG, is_problem, png
from websites import WAIT_S, Handler, answer

from twinset.indexing import index_feed
from twinset.server.app import ServerSettings, create_app
from twinset.server.http import write_cursor
from twinset.shop import Shop
from twinset.store import open_store


@pytest.fixture(scope="module")
def client(shop_folder, tmp_path_factory):
    models = FakeModels()
    settings = ServerSettings(state=str(tmp_path_factory.mktemp("state")))
    with http_client(
        create_app(lambda: Shop(models, open_store(shop_folder / "store", models.version)), settings)
    ) as c:
        wait_until_ready(c)
        yield c


def search(client, **fields):
    return client.post("/v1/search", json={"photo": base64.b64encode(STREET_PNG).decode()} | fields)


def ids(item) -> list[str]:
    return [hit["product_id"] for hit in item["hits"]]


def test_an_items_hits_come_page_by_page_and_are_those_of_one_long_page(client):
    answer = search(client, k=2, keep=True).json()
    whole = search(client, k=100).json()
    for item, every in zip(answer["items"], whole["items"], strict=True):
        found, cursor = ids(item), item["next_cursor"]
        while cursor:
            (page,) = client.post("/v1/search", json={"image_id": answer["image_id"], "k": 2, "cursor": cursor}).json()[
                "items"
            ]
            assert (page["category"], page["box"]) == (item["category"], item["box"])
            found, cursor = found + ids(page), page["next_cursor"]
        assert found == ids(every) and every["next_cursor"] is None


def test_later_pages_are_no_searches_and_say_nothing_of_what_the_shop_carries(client):
    def counted(report: str, number: str) -> int:
        groups = client.get(f"/v1/reports/{report}", params={"days": 1}).json()["groups"]
        return sum(group[number] for group in groups)

    answer = search(client, k=2, keep=True).json()
    before = counted("searches", "searches"), counted("misses", "misses")
    pages, cursor = 0, answer["items"][0]["next_cursor"]
    while cursor:
        again = {"image_id": answer["image_id"], "k": 2, "cursor": cursor}
        (page,) = client.post("/v1/search", json=again).json()["items"]
        assert page.get("close_enough") is None
        pages, cursor = pages + 1, page["next_cursor"]
    assert pages > 1 and (counted("searches", "searches"), counted("misses", "misses")) == before


def test_searches_that_leave_products_out_themselves_are_no_misses(client):
    def missed(**asked) -> tuple[int, int]:
        report = client.get("/v1/reports/misses", params={"days": 1, **asked}).json()
        assert report["misses"] == sum(group["misses"] for group in report["groups"])
        return report["misses"], report["searches"]

    before = missed(), missed(below=1)
    for fields in ({"where": ["price<0"]}, {"min_score": 0.999}, {"words": "but striped"}):
        assert search(client, **fields).status_code == 200
    for words in ("zebra", "top"):
        assert client.get("/v1/search/words", params={"words": words}).status_code == 200
    assert (missed(), missed(below=1)) == before
    assert search(client).status_code == 200
    misses, searches = before[1]
    assert missed(below=1) == (misses + 3, searches + 3)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"cursor": "nonsense"}, id="nonsense"),
        pytest.param({"cursor": write_cursor(24)}, id="another-lists"),
        pytest.param({"cursor": write_cursor(-1, False, "top", 1.0, 1.0, 9.0, 9.0)}, id="before-the-start"),
        pytest.param(
            {"cursor": write_cursor(24, False, "top", 1.0, 1.0, 9.0, 9.0), "whole": True}, id="whole-beside-it"
        ),
    ],
)
def test_a_cursor_that_is_none_of_ours_is_422(client, fields):
    assert is_problem(search(client, **fields), 422, "cursor")


def test_a_product_is_searched_by_its_own_picture_and_is_not_among_the_hits(client):
    (item,) = client.post("/v1/search", json={"product_id": "p000", "k": 3}).json()["items"]
    assert item["category"] == "top" and item["box"] == [24, 32, 72, 96]
    assert ids(item)[0] == "twin" and "p000" not in ids(item) and len(ids(item)) == 3
    by_photo = client.post("/v1/search", files={"photo": client.get("/v1/products/p000/image").content}, data={"k": 4})
    assert ids(by_photo.json()["items"][0]) == sorted({"p000", *ids(item)}, key=ids(by_photo.json()["items"][0]).index)


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        pytest.param({"product_id": "none"}, 404, "product_id", id="unknown"),
        pytest.param({"product_id": "p000", "shop": "other"}, 404, "product_id", id="of-another-shop"),
        pytest.param({"product_id": "p000", "url": "https://shop.example/a.jpg"}, 422, "photo", id="beside-a-url"),
    ],
)
def test_a_product_that_can_not_be_searched_says_why(client, fields, status, field):
    assert is_problem(client.post("/v1/search", json=fields), status, field)


def test_a_hit_says_what_a_card_shows(client):
    hit = search(client, category="top", k=1).json()["items"][0]["hits"][0]
    assert hit.keys() >= {"shop", "url", "sale_price", "in_stock", "variants", "colours"}
    assert (hit["shop"], hit["in_stock"], hit["variants"], hit["colours"][0]["name"]) == ("default", True, 1, "red")


# --- facets, thresholds, rules ----------------------------------------------------------------------------------------


def test_an_items_facets_count_its_hits(client):
    (item,) = search(client, category="top", k=2, facets=["in_stock", "price"]).json()["items"]
    stock, price = item["facets"]
    every = search(client, category="top", k=100).json()["items"][0]["hits"]
    assert (stock["field"], stock["exact"]) == ("in_stock", True)
    for value in stock["values"]:
        kept = search(client, category="top", k=100, where=[value["where"]]).json()["items"][0]["hits"]
        assert len(kept) == value["count"]
    assert sum(value["count"] for value in stock["values"]) == sum(v["count"] for v in price["values"]) == len(every)
    assert search(client, category="top", facets="in_stock,price", k=2).json()["items"][0]["facets"] == item["facets"]


def test_facets_are_counted_without_a_photo(client):
    facets = client.get("/v1/facets", params={"fields": "category", "where": "price<20"}).json()["facets"]
    assert [facet["field"] for facet in facets] == ["category"]
    assert {v["value"]: v["count"] for v in facets[0]["values"]}["top"] == 3
    named = client.get("/v1/facets", params={"category": "top", "shop": "none"}).json()["facets"]
    assert all(facet["values"] == [] for facet in named)


@pytest.mark.parametrize(
    ("params", "field"),
    [({"fields": "bogus"}, "facets"), ({"category": "sock"}, "category"), ({"where": "bogus=1"}, "where")],
)
def test_facets_that_can_not_be_counted_are_422(client, params, field):
    assert is_problem(client.get("/v1/facets", params=params), 422, field)


def test_hits_less_alike_than_asked_are_left_out(client):
    (item,) = search(client, category="top", k=100).json()["items"]
    scores = [hit["score"] for hit in item["hits"]]
    (kept,) = search(client, category="top", k=100, min_score=scores[2]).json()["items"]
    assert len(kept["hits"]) == sum(score >= scores[2] for score in scores) < len(scores)
    assert is_problem(search(client, min_score=2), 422, "min_score")


@pytest.fixture
def own_client(tmp_path):
    """A service of a shop of its own, to write to."""
    index_feed(make_feed(tmp_path, 30), tmp_path / "store", FakeModels())
    models = FakeModels()
    with http_client(create_app(lambda: Shop(models, open_store(tmp_path / "store", models.version)))) as c:
        wait_until_ready(c)
        c.folder = tmp_path / "store"
        yield c


PIN = {"pin": [{"product_id": "p025", "category": "top"}]}


def test_rules_are_previewed_kept_and_removed(own_client):
    before = ids(search(own_client, category="top", k=3).json()["items"][0])
    assert own_client.get("/v1/rules").json()["rules"] == {"only_in_stock": False, "boost": [], "bury": [], "pin": []}
    photo = base64.b64encode(STREET_PNG).decode()
    form = {"photo": photo, "category": "top", "k": 3, "rules": PIN}
    (item,) = own_client.post("/v1/rules/preview", json=form).json()["items"]
    assert [hit["product_id"] for hit in item["hits_before"]] == before
    assert ids(item)[0] == "p025" and item["hits"][0]["rule"] == "pinned" and "p025" not in before
    assert ids(search(own_client, category="top", k=3).json()["items"][0]) == before
    tag = own_client.get("/v1/rules").headers["etag"]
    assert own_client.put("/v1/rules", json=PIN).json()["rules"]["pin"][0]["product_id"] == "p025"
    assert own_client.get("/v1/rules").headers["etag"] != tag
    assert ids(search(own_client, category="top", k=3).json()["items"][0]) == ids(item)
    assert own_client.put("/v1/rules", json={}).status_code == 200
    assert ids(search(own_client, category="top", k=3).json()["items"][0]) == before
    entries = [json.loads(line) for line in (own_client.folder / "service" / "audit.jsonl").read_text().splitlines()]
    assert [(entry["action"], entry["rules"]) for entry in entries] == [("rules.put", "1 pin"), ("rules.put", "")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param(b'{"pin": [{}]}', "rules.pin.0.product_id", id="pin-of-nothing"),
        pytest.param(b'{"boost": [{"where": "bogus=1", "by": 0.1}]}', "rules.boost.0.where", id="no-filter"),
        pytest.param(b'{"sink": []}', "rules.sink", id="unknown"),
        pytest.param(b"[" * 100_000, "rules", id="deep"),
        pytest.param(b"[]", "rules", id="list"),
        pytest.param(b"\xff", "rules", id="bytes"),
    ],
)
def test_rules_that_can_not_be_are_422(client, body, field):
    assert is_problem(client.put("/v1/rules", content=body), 422, field)


@pytest.mark.parametrize("sign", ["x", "ü"])
def test_rules_that_may_be_kept_may_be_previewed(own_client, sign):
    rules = {"boost": [{"where": f"tags.a={sign * 1000}{i}", "by": 0.1} for i in range(20)]}
    assert own_client.put("/v1/rules", json=rules).status_code == 200
    photo = base64.b64encode(STREET_PNG).decode()
    assert own_client.post("/v1/rules/preview", json={"photo": photo, "rules": rules}).status_code == 200
    form = {"rules": json.dumps(rules)}
    assert own_client.post("/v1/rules/preview", files={"photo": STREET_PNG}, data=form).status_code == 200


@pytest.mark.parametrize("field", ["where", "words"])
def test_other_fields_have_less_room_in_either_form(client, field):
    assert is_problem(search(client, **{field: "x" * 9000}), 422, field)
    long = client.post("/v1/search", files={"photo": STREET_PNG}, data={field: "x" * 9000})
    assert is_problem(long, 422, field)


def test_null_says_nothing_and_a_box_of_nothing_is_refused(client):
    answer = client.post("/v1/search", json={"photo": None, "url": None, "box": None, "product_id": "p000"})
    assert answer.status_code == 200
    assert is_problem(search(client, box=[]), 422, "box")


def test_a_search_takes_no_rules_of_its_own(client):
    assert is_problem(search(client, rules=PIN), 422, "rules")


# --- words ------------------------------------------------------------------------------------------------------------


def test_words_find_products_page_by_page(client):
    first = client.get("/v1/search/words", params={"words": "trousers", "k": 2, "facets": "category"}).json()
    assert [hit["category"] for hit in first["hits"]] == ["trousers"] * 2 and first["search_id"]
    assert first["facets"][0]["field"] == "category"
    rest = client.get("/v1/search/words", params={"words": "trousers", "k": 2, "cursor": first["next_cursor"]}).json()
    longer = client.get("/v1/search/words", params={"words": "trousers", "k": 4}).json()
    assert first["hits"] + rest["hits"] == longer["hits"]
    cheap = client.get("/v1/search/words", params={"words": "trousers", "where": "price<20"}).json()
    assert cheap["hits"] and all(hit["price"] < 20 for hit in cheap["hits"])


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "words"),
        ({"words": " "}, "words"),
        ({"words": "x" * 501}, "words"),
        ({"words": "red", "category": "sock"}, "category"),
        ({"words": "red", "cursor": "nonsense"}, "cursor"),
        ({"words": "red", "facets": "bogus"}, "facets"),
    ],
)
def test_words_that_ask_for_nothing_are_422(client, params, field):
    assert is_problem(client.get("/v1/search/words", params=params), 422, field)


def test_words_beside_a_photo_choose_the_item_and_alone_have_a_route_of_their_own(client):
    (item,) = search(client, words="the bag").json()["items"]
    assert item["category"] == "bag"
    refused = client.post("/v1/search", json={"words": "red shirt"})
    assert is_problem(refused, 422, "photo") and "GET /v1/search/words?words=" in refused.json()["detail"]


# --- photos that are elsewhere ----------------------------------------------------------------------------------------


@pytest.fixture
def fetching_client(shop_folder, tmp_path):
    """A service that works on one photo at a time, and fetches from this machine."""
    models = FakeModels()
    settings = ServerSettings(state=str(tmp_path / "state"), workers=1, allow_private=True)
    with http_client(
        create_app(lambda: Shop(models, open_store(shop_folder / "store", models.version)), settings)
    ) as c:
        wait_until_ready(c)
        yield c


def test_photos_that_take_long_to_fetch_keep_no_other_search_waiting(fetching_client, site, monkeypatch):
    monkeypatch.setattr("twinset.server.engine.FETCHES", 2)
    asked, go = threading.Semaphore(0), threading.Event()

    def slow(handler: Handler) -> None:
        asked.release()
        go.wait(WAIT_S)
        answer(body=STREET_PNG)(handler)

    form = {"url": site.says("/a.png", slow)}
    with ThreadPoolExecutor(2) as pool:
        fetching = [pool.submit(fetching_client.post, path, json=form) for path in ("/v1/search", "/v1/detect")]
        try:
            assert all(asked.acquire(timeout=WAIT_S) for _ in fetching)
            assert search(fetching_client).status_code == 200
            assert fetching_client.post("/v1/search", json={"product_id": "p000"}).status_code == 200
            refused = fetching_client.post("/v1/rules/preview", json=form)
        finally:
            go.set()
        assert [one.result().status_code for one in fetching] == [200, 200]
    assert is_problem(refused, 503) and int(refused.headers["retry-after"]) >= 1
    assert fetching_client.post("/v1/search", json=form).status_code == 200


def test_a_products_picture_that_is_elsewhere_is_asked_for_once(tmp_path, site):
    url = site.says("/a.png", answer(body=png(draw_product("top"))), answer(503))
    models = FakeModels()
    open_store(tmp_path / "store", models.version, create=True)
    settings = ServerSettings(allow_private=True)
    app = create_app(lambda: Shop(models, open_store(tmp_path / "store", models.version)), settings)
    with http_client(app) as client:
        wait_until_ready(client)
        assert client.put("/v1/products/a1", json={"image": url}).status_code == 200
        assert is_problem(client.post("/v1/search", json={"product_id": "a1"}), 404)
    assert site.paths == ["/a.png"] * 2
