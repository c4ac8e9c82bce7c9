"""Searches over HTTP beyond the contract: by a product's picture, held photos, page by page, what hits say."""

import base64

import pytest
from conftest import http_client, wait_until_ready
from fakes import FakeModels
from test_contract_http import STREET_PNG, is_problem

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
