"""The Python client against a service that really listens."""

import re
from pathlib import Path

import httpx
import pytest
from conftest import http_client, wait_until_ready
from fakes import FakeModels, draw_street, make_feed, save_image
from test_contract_http import STREET_PNG
from test_server_products import row

from twinset.client import Client, Problem, Unreachable
from twinset.client.values import Item, read
from twinset.errors import UsageError
from twinset.indexing import index_feed
from twinset.server.app import create_app
from twinset.shop import Shop
from twinset.store import open_store


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder, models = tmp_path_factory.mktemp("client"), FakeModels()
    index_feed(make_feed(folder, 30), folder / "store", models)
    app = create_app(lambda: Shop(models, open_store(folder / "store", models.version)))
    with http_client(app) as http:
        wait_until_ready(http)
        yield http, app


@pytest.fixture
def client(service):
    return Client(http=service[0], sleep=lambda seconds: None)


def test_a_photo_is_searched_as_bytes_as_a_file_and_once_more_as_the_one_held(client, tmp_path):
    photo = client.search(STREET_PNG, k=2, facets=["colour"], keep=True)
    assert (photo.width, photo.height, len(photo.items)) == (160, 200, 3) and photo.search_id and photo.image_id
    item = next(item for item in photo.items if item.category == "top")
    assert item.box == (40, 20, 88, 84) and len(item.hits) == 2 and item.hits[0].colours[0].name == "red"
    assert item.facets[0].field == "colour" and item.facets[0].values[0].where == "colour=red"
    file = save_image(draw_street(), tmp_path / "street.png")
    for by_file in (client.search(file, k=2), client.search(str(file), k=2)):
        assert [each.hits for each in by_file.items] == [each.hits for each in photo.items]
    (again,) = client.search(image_id=photo.image_id, box=(40, 20, 88, 84), k=2).items
    assert again.hits == item.hits
    rest = client.next_page(photo.image_id, item, k=100)
    assert len(rest.hits) == 4 and client.next_page(photo.image_id, rest) is None
    narrow = client.search(image_id=photo.image_id, category="top", k=1, min_score=0.9, facets=["colour"]).items[0]
    more = client.next_page(photo.image_id, narrow, k=50, min_score=0.9, facets=["colour"])
    assert all(hit.score >= 0.9 for hit in more.hits) and more.facets == narrow.facets


def test_conditions_go_as_they_are(client):
    (item,) = client.search(STREET_PNG, category="top", where=["price>=15", "price<=25"], min_score=0.01).items
    assert {hit.product_id for hit in item.hits} == {"p005", "p010", "p015"}
    assert client.search(STREET_PNG, whole=True).items[0].category is None
    assert client.detect(STREET_PNG, min_score=0.9).items == ()
    (counted,) = client.facets(["category"], where=["price<20", "in_stock=true"])
    assert sum(value.count for value in counted.values) == 8


def test_products_are_read_stored_and_removed(client):
    stored = client.put_product("new", row("new", price=5.0, season="summer"))
    assert stored == client.product("new") and stored.tags == {"season": "summer"}
    assert client.product_image("new").startswith(b"\x89PNG")
    assert len(list(client.products(limit=7))) == 31
    assert "new" in [hit.product_id for hit in client.similar("p000", k=20)]
    assert client.search(product_id="new").items[0].hits
    client.delete_product("new")
    with pytest.raises(Problem, match="404") as refused:
        client.product("new")
    assert refused.value.status == 404 and refused.value.errors[0]["field"] == "product_id"


def test_what_stands_beside_a_product(client):
    cheaper = client.cheaper("p020", k=3)
    assert len(cheaper) == 3 and all(hit.price < 30 and hit.category == "top" for hit in cheaper)
    client.put_product("blue", row("blue", "outerwear", price=9, group_id="g"))
    client.put_product("red", row("red", "top", price=9, group_id="g") | {"category": "outerwear"})
    assert [(each["colour"], each["hit"].product_id, each["same_product"]) for each in client.colours("red")] == [
        ("blue", "blue", True)
    ]
    for product_id in ("blue", "red"):
        client.delete_product(product_id)
    look = client.look("p000", k=2, categories=2)
    assert look and all(len(part.hits) <= 2 for part in look) and all(part.category != "top" for part in look)
    assert [hit.product_id for hit in client.similar("p000", k=2, diversity=0.5, merge_copies=True)] == ["p015"]
    for ask in (client.cheaper, client.colours, client.look):
        with pytest.raises(Problem, match="404"):
            ask("none")


def test_a_bulk_request_is_waited_for(client):
    job = client.wait(client.bulk([row("b1", variant=4), {"product_id": "b1", "delete": True}, {"product_id": "x"}]))
    assert job.over and (job.state, job.total, job.failed_rows) == ("done", 3, 1) and job.failed[0].line == 3
    assert job.id in [each.id for each in client.jobs()]


def test_events_reports_and_rules(client):
    photo = client.search(STREET_PNG, category="top")
    event = {"type": "click", "product_id": "p000", "search_id": photo.search_id, "item_no": 0, "position": 0}
    assert client.send_events([event]) == 1
    assert client.miss_crops(days=7)["crops"] == []
    assert client.report("clicks")["positions"][0]["click"] == 1
    assert client.report("quality")["ndcg"] == 1 and client.report("quality", days=7)["clicks"] == 1
    rules = {"pin": [{"product_id": "p020"}]}
    (item,) = client.preview_rules(rules, STREET_PNG, category="top", k=3).items
    assert item.hits[0].product_id == "p020" and item.hits_before[0].rule is None
    assert client.put_rules(rules)["pin"][0]["product_id"] == "p020" and client.rules()["only_in_stock"] is False
    client.put_rules({})


def test_what_the_service_says_of_itself(client):
    assert client.ready() and client.shops() == [{"shop": "default", "products": 30}]
    assert [model["active"] for model in client.models()].count(True) == 1
    assert "top" in client.shop()["categories"]


def test_a_busy_service_is_asked_again_after_as_long_as_it_says():
    waits, answers = [], [503, 429, 200]

    def answer(request: httpx.Request) -> httpx.Response:
        body = {"status": 1, "detail": "busy", "errors": [], "shops": []}
        return httpx.Response(answers.pop(0), json=body, headers={"Retry-After": "3"})

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://shop.example")
    assert Client(http=http, sleep=waits.append).shops() == [] and waits == [3, 3]
    answers[:] = [503] * 3
    with pytest.raises(Problem) as refused:
        Client(http=http, sleep=waits.append).shops()
    assert (refused.value.retry_after_s, len(waits)) == (3, 4)
    http.close()


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout(""),
        httpx.TooManyRedirects("in a circle"),
        httpx.DecodingError("no gzip"),
    ],
)
def test_a_service_that_does_not_answer_is_told_as_that(failure):
    def answer(request: httpx.Request) -> httpx.Response:
        raise failure

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://shop.example")
    with Client(http=http) as client, pytest.raises(Unreachable, match=r"http://shop\.example.*check the address"):
        assert not client.ready()
        client.shops()


@pytest.mark.parametrize("body", [b"<!doctype html>", b"", b"\xff"])
def test_an_answer_that_is_no_json_is_told_as_another_service(body):
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=body)), base_url="http://x")
    with Client(http=http) as client, pytest.raises(Unreachable, match=r"http://x.*expected JSON, found '.*check"):
        client.shops()


def test_a_key_goes_along_and_an_answer_that_is_no_problem_document_is_shown():
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(502, text="bad gateway")

    http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://shop.example")
    with Client(key="tw_1", http=http) as client, pytest.raises(Problem, match="bad gateway"):
        client.shops()
    assert seen == ["Bearer tw_1"] and http.is_closed


def test_ids_can_not_leave_their_place_in_a_path(client):
    with pytest.raises(UsageError):
        client.product("")
    with pytest.raises(Problem, match="404"):
        client.product("../jobs")


def test_keys_that_a_newer_service_adds_are_passed_over():
    data = {"category": "top", "score": 0.5, "box": [1, 2, 3, 4], "hits": [{"product_id": "a", "score": 1, "new": 1}]}
    assert read(Item, data).hits[0].product_id == "a"


def test_every_route_has_a_method(service):
    """What the client asks for, by its source, against what the service describes."""
    from twinset.client import client as module

    text = re.sub(r"\{_part\(\w+\)\}", "{}", Path(module.__file__).read_text(encoding="utf-8"))
    asked = set(re.findall(r'"(/[a-z0-9/{}]+)"', text))
    described = {re.sub(r"\{\w+\}", "{}", path) for path in service[1].openapi()["paths"]}
    left_out = {
        "/healthz",
        "/metrics",
        "/v1/samples/{}",
        *(f"/v1/reports/{n}" for n in ("searches", "misses", "clicks", "quality")),
    }
    assert described - asked - left_out == set() and asked - described == {"/v1/reports/{}"}
