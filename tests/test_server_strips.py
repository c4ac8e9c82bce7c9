"""Strips beside a product over HTTP: similar page by page, copies merged, other colours, cheaper, complete the look."""

import pytest
from conftest import http_client, wait_until_ready
from fakes import FakeModels
from test_contract_http import is_problem
from test_recommend import listing
from test_store import MODEL

from twinset.server.app import ServerSettings, create_app
from twinset.shop import Shop
from twinset.store import open_store

STRIPS = ("similar", "colours", "cheaper", "look")


@pytest.fixture(scope="module")
def client(shop_folder, tmp_path_factory):
    models = FakeModels()
    settings = ServerSettings(state=str(tmp_path_factory.mktemp("state")))
    app = create_app(lambda: Shop(models, open_store(shop_folder / "store", models.version)), settings)
    with http_client(app) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """A service of tops at angles from "a": "own" is its copy, "b2" and "b3" are copies of "b"."""
    folder = tmp_path_factory.mktemp("turned")
    angles = {"a": 0, "own": 1, "b": 30, "b2": 31, "b3": 32, "c": 50, "d": -55}
    store = open_store(folder / "store", MODEL, create=True)
    store.upsert([listing(product_id, angle) for product_id, angle in angles.items()])
    with http_client(create_app(lambda: Shop(FakeModels(MODEL), store))) as client:
        wait_until_ready(client)
        yield client


def strip(client, name, product_id, **params):
    return client.get(f"/v1/products/{product_id}/{name}", params=params).json()


def ids(hits) -> list[str]:
    return [hit["product_id"] for hit in hits]


@pytest.mark.parametrize("merged", [False, True])
def test_pages_of_similar_products_are_those_of_one_long_page(turned, merged):
    whole = strip(turned, "similar", "a", k=100, merge_copies=merged)
    assert ids(whole["hits"]) == (["b", "c", "d"] if merged else ["own", "b", "b2", "b3", "c", "d"])
    found, cursor = [], ""
    while cursor is not None:
        page = strip(turned, "similar", "a", k=2, merge_copies=merged, cursor=cursor)
        found, cursor = found + ids(page["hits"]), page["next_cursor"]
    assert found == ids(whole["hits"]) and whole["next_cursor"] is None


def test_a_merged_hit_names_the_listings_it_stands_for(turned):
    hits = strip(turned, "similar", "a", merge_copies=True)["hits"]
    assert {hit["product_id"]: hit["copies"] for hit in hits if "copies" in hit} == {"b": ["b2", "b3"]}


def test_diversity_chooses_one_page_and_takes_no_cursor(turned):
    alike = strip(turned, "similar", "a", k=3)
    varied = strip(turned, "similar", "a", k=3, diversity=0.5)
    assert ids(alike["hits"]) == ["own", "b", "b2"] and "d" in ids(varied["hits"])
    assert alike["next_cursor"] and varied["next_cursor"] is None
    path = "/v1/products/a/similar"
    assert is_problem(turned.get(path, params={"diversity": 0.5, "cursor": alike["next_cursor"]}), 422, "cursor")
    assert is_problem(turned.get(path, params={"diversity": 1.5}), 422, "diversity")


def test_a_look_is_what_the_command_line_prints_with_pictures_that_open(client, run, store):
    answer = strip(client, "look", "p000", k=2, categories=3, where="price<30")
    printed = run("look", "p000", "--k", 2, "--categories", 3, "--where", "price<30", "--store", store, "--json").json
    assert [{**part, "hits": ids(part["hits"])} for part in answer["look"]] == [
        {**part, "hits": ids(part["hits"])} for part in printed["look"]
    ]
    parts = answer["look"]
    assert parts and "top" not in [part["category"] for part in parts]
    assert all(hit["price"] < 30 for part in parts for hit in part["hits"])
    assert client.get(parts[0]["hits"][0]["image"]).content.startswith(b"\x89PNG")
    assert strip(client, "look", "watch") == {"product_id": "watch", "look": []}


@pytest.mark.parametrize("name", STRIPS)
def test_every_strip_says_what_it_does_not_have_or_take(client, name):
    assert is_problem(client.get(f"/v1/products/none/{name}"), 404, "product_id")
    assert is_problem(client.get(f"/v1/products/p000/{name}?shop=other"), 404, "product_id")
    assert is_problem(client.get(f"/v1/products/p000/{name}?where=size>9"), 422, "where")
    assert is_problem(client.get(f"/v1/products/p000/{name}?k=0"), 422, "k")
