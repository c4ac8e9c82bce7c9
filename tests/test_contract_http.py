"""What clients rely on, line by line: the HTTP service."""

import io
import threading
import time

import numpy as np
import pytest
from conftest import http_client
from fakes import FakeModels, draw_street

import twinset
from twinset.server.app import ServerSettings, create_app
from twinset.shop import Shop
from twinset.store import open_store

TOP_BOX = (40, 20, 88, 84)  # of draw_street
ITEM_KEYS = {"category", "score", "box", "colours"}
HIT_KEYS = {"product_id", "score", "category", "article_type", "title", "price", "currency", "image"}


def png(image) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


STREET_PNG = png(draw_street())


@pytest.fixture(scope="module")
def client(shop_folder):
    models = FakeModels()
    settings = ServerSettings(max_bytes=100_000, max_pixels=1_000_000)
    app = create_app(lambda: Shop(models, open_store(shop_folder / "store", models.version)), settings)
    with http_client(app) as client:
        until = time.monotonic() + 30
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < until
        yield client


def post(client, path="/v1/search", photo=STREET_PNG, **fields):
    return client.post(path, files={"photo": ("street.png", photo)} if photo is not None else {"": b""}, data=fields)


def is_problem(response, status: int, field: str | None = None) -> bool:
    """Tell whether an answer is an RFC 9457 document of this status, naming the field."""
    body = response.json()
    fields = [entry["field"] for entry in body["errors"]]
    return (
        response.status_code == body["status"] == status
        and response.headers["content-type"] == "application/problem+json"
        and bool(body["title"] and body["detail"] and body["type"])
        and all(entry.keys() >= {"field", "expected", "found"} for entry in body["errors"])
        and (field is None or field in fields)
    )


def test_healthz_and_readyz(client):
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_readyz_is_503_until_models_and_store_are_loaded():
    loading = threading.Event()

    def open_engine():
        loading.wait(30)
        raise twinset.TwinsetError("never mind")

    with http_client(create_app(open_engine)) as client:
        try:
            assert client.get("/healthz").status_code == 200
            for answer in (client.get("/readyz"), post(client)):
                assert is_problem(answer, 503) and int(answer.headers["retry-after"]) >= 0
        finally:
            loading.set()


def test_http_search_answers_what_the_command_line_prints_without_image(client, run, store, street):
    by_http = post(client, k=5).json()
    printed = run("search", street, "--store", store, "--k", 5, "--json").json
    assert "image" not in by_http and by_http.keys() >= printed.keys() - {"image"}
    for mine, theirs in zip(by_http["items"], printed["items"], strict=True):
        assert {name: mine[name] for name in ITEM_KEYS} == {name: theirs[name] for name in ITEM_KEYS}
        for hit, other in zip(mine["hits"], theirs["hits"], strict=True):
            assert hit.keys() >= HIT_KEYS
            assert {name: hit[name] for name in HIT_KEYS - {"image"}} == {
                name: other[name] for name in HIT_KEYS - {"image"}
            }


def test_http_search_takes_the_same_options(client):
    (item,) = post(client, category="bag").json()["items"]
    assert item["category"] == "bag"
    (item,) = post(client, box="40,20,88,84").json()["items"]
    assert item["box"] == list(TOP_BOX) and item["category"] == "top"
    (item,) = post(client, whole="true").json()["items"]
    assert item["category"] is None
    (item,) = post(client, category="top", where=["price>=15", "price<=25"]).json()["items"]
    assert {hit["product_id"] for hit in item["hits"]} == {"p005", "p010", "p015"}


def test_http_search_takes_a_url_in_the_place_of_a_photo(client):
    refused = client.post("/v1/search", files={"url": (None, "http://127.0.0.1:9/street.jpg")})
    assert is_problem(refused, 422, "photo") or is_problem(refused, 422, "url")
    neither = client.post("/v1/search", files={"k": (None, "3")})
    assert is_problem(neither, 422)
    assert is_problem(post(client, url="http://example.com/street.jpg"), 422)


def test_http_detect_answers_what_the_command_line_prints_without_image(client, run, street):
    printed = run("detect", street, "--json").json
    del printed["image"]
    assert post(client, "/v1/detect").json() == printed


def test_http_similar(client):
    answer = client.get("/v1/products/p000/similar", params={"k": 2, "shop": "default", "where": "price>25"}).json()
    assert answer["product_id"] == "p000" and len(answer["hits"]) == 2
    assert all(hit["price"] > 25 and hit.keys() >= HIT_KEYS for hit in answer["hits"])


@pytest.mark.parametrize(
    ("photo", "fields", "status", "field"),
    [
        pytest.param(bytes(100_001), {}, 413, "photo", id="bytes"),
        pytest.param(png(np.zeros((1001, 1000, 3), np.uint8)), {}, 413, "photo", id="pixels"),
        pytest.param(b"hello", {}, 415, "photo", id="text"),
        pytest.param(b"", {}, 415, "photo", id="empty"),
        pytest.param(STREET_PNG[:200], {}, 415, "photo", id="truncated"),
        pytest.param(STREET_PNG, {"k": "0"}, 422, "k", id="k"),
        pytest.param(STREET_PNG, {"k": "many"}, 422, "k", id="k-word"),
        pytest.param(STREET_PNG, {"category": "sock"}, 422, "category", id="category"),
        pytest.param(STREET_PNG, {"box": "1,2"}, 422, "box", id="box"),
        pytest.param(STREET_PNG, {"box": "900,900,950,950"}, 422, "box", id="box-outside"),
        pytest.param(STREET_PNG, {"whole": "maybe"}, 422, "whole", id="whole"),
        pytest.param(STREET_PNG, {"where": "bogus=1"}, 422, "where", id="where"),
    ],
)
def test_http_errors_are_problem_documents(client, photo, fields, status, field):
    assert is_problem(post(client, photo=photo, **fields), status, field)


def test_a_photo_in_another_field_is_told_where_it_belongs(client):
    answer = client.post("/v1/search", files={"image": STREET_PNG})
    assert is_problem(answer, 422, "image") and "field photo" in answer.json()["detail"]


def test_an_unknown_product_is_404(client):
    assert is_problem(client.get("/v1/products/unknown/similar"), 404)
    assert is_problem(client.get("/v1/products/p000/similar", params={"shop": "unknown"}), 404)
    assert is_problem(client.get("/v1/products/p000/similar", params={"k": "0"}), 422, "k")
    assert is_problem(client.get("/v1/products/p000/similar", params={"where": "bogus=1"}), 422, "where")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b"", "multipart/form-data", id="no-boundary"),
        pytest.param(b"--x\r\n", "multipart/form-data; boundary=x", id="cut-short"),
        pytest.param(b"\xff\xfe\x00", "multipart/form-data; boundary=\xff", id="odd-boundary"),
        pytest.param(b"{}", "application/json", id="json"),
        pytest.param(STREET_PNG, "image/png", id="bare-photo"),
        pytest.param(b"a=1", "", id="no-type"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/search", "/v1/detect"])
def test_nothing_a_client_sends_gives_a_500(client, path, body, kind):
    answer = client.post(path, content=body, headers={"content-type": kind.encode("latin-1")})
    assert 400 <= answer.status_code < 500 and is_problem(answer, answer.status_code)


def test_an_unknown_path_and_a_wrong_method_are_problems_too(client):
    assert is_problem(client.get("/v1/nothing"), 404) and is_problem(client.get("/v1/search"), 405)
