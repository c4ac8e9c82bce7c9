"""Keys, roles, shops, rates, origins, and what is written down of them: over HTTP, as strangers meet them."""

import hashlib
import hmac
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from conftest import http_client, wait_until_ready
from fakes import FakeModels, make_feed
from fastapi import FastAPI
from test_contract_http import STREET_PNG, is_problem

from twinset.errors import NotFound, StoreError, UsageError
from twinset.indexing import index_feed
from twinset.server.app import ServerSettings, create_app
from twinset.server.engine import Engine
from twinset.server.keys import KeyFile
from twinset.server.limits import RateLimiter
from twinset.server.links import ImageLinks
from twinset.shop import Shop
from twinset.store import open_store


@pytest.fixture(scope="module")
def two_shops(tmp_path_factory) -> Path:
    """A store with p000 to p009 in shop `red`, and the same again in shop `blue`."""
    folder = tmp_path_factory.mktemp("two")
    feed = make_feed(folder, 10)
    lines = feed.read_text(encoding="utf-8").splitlines()
    for shop in ("red", "blue"):
        rows = [lines[0] + ",shop", *(f"{line},{shop}" for line in lines[1:])]
        only_blue = [rows[1].replace("p000", "only-blue", 1)] if shop == "blue" else []
        (folder / f"{shop}.csv").write_text("\n".join(rows + only_blue), encoding="utf-8")
        index_feed(folder / f"{shop}.csv", folder / "store", FakeModels())
    return folder / "store"


class Service:
    """A running service of two shops with its keys."""

    def __init__(self, client: httpx.Client, state: Path, app: FastAPI) -> None:
        self.client, self.state, self.app = client, state, app
        self.file = KeyFile(state / "keys.json")

    def key(self, shop: str = "red", role: str = "search", **more) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.file.add(shop, role, **more)[1]}"}

    def search(self, headers, **fields):
        return self.client.post("/v1/search", files={"photo": STREET_PNG}, data=fields, headers=headers)


@pytest.fixture
def service(two_shops, tmp_path):
    models = FakeModels()
    settings = ServerSettings(state=str(tmp_path / "state"), rate=0, public_rate=0)
    app = create_app(lambda: Shop(models, open_store(two_shops, models.version)), settings)
    with http_client(app) as client:
        wait_until_ready(client)
        yield Service(client, tmp_path / "state", app)


def shops_of(answer) -> set[str]:
    return {
        httpx.URL(hit["image"]).params.get("shop", "default") for item in answer.json()["items"] for hit in item["hits"]
    }


def test_without_keys_this_machine_may_do_all(service):
    assert service.search({}).status_code == 200
    assert service.client.get("/v1/jobs").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"X-Forwarded-For": "203.0.113.7"}, id="sent-on-by-a-proxy"),
        pytest.param({"Origin": "https://evil.example"}, id="another-sites-page"),
        pytest.param({"Host": "evil.example"}, id="a-name-that-resolves-to-us"),
    ],
)
def test_without_keys_nobody_else_may_write(service, headers):
    assert service.search(headers).status_code == 200
    assert is_problem(service.client.delete("/v1/products/p000?shop=red", headers=headers), 403)
    assert service.client.get("/v1/products/p000?shop=red").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Bearer nonsense"}, id="nonsense"),
        pytest.param({"Authorization": "Bearer tw_00000000_" + "A" * 43}, id="unknown"),
        pytest.param({"X-Api-Key": "tw_00000000_" + "A" * 43}, id="unknown-in-the-other-header"),
        pytest.param({"Authorization": "Basic dXNlcjpwYXNz"}, id="another-scheme"),
    ],
)
def test_with_keys_a_wrong_one_is_401(service, headers):
    service.key()
    answer = service.search(headers)
    assert is_problem(answer, 401) and answer.headers["www-authenticate"] == "Bearer"


def test_a_key_with_one_letter_changed_is_401(service):
    text = service.file.add("red", "search")[1]
    changed = text[:-1] + ("A" if text[-1] != "A" else "B")
    assert service.search({"Authorization": f"Bearer {text}"}).status_code == 200
    assert service.search({"Authorization": f"Bearer {changed}"}).status_code == 401


def test_a_removed_key_stops_at_once(service):
    kept, text = service.file.add("red", "search")
    service.key()
    headers = {"X-Api-Key": text}
    assert service.search(headers).status_code == 200
    service.file.remove(kept.id)
    assert service.search(headers).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/v1/products/p000", "search"),
        ("GET", "/v1/jobs", "write"),
        ("DELETE", "/v1/products/none", "write"),
        ("POST", "/v1/products/bulk", "write"),
        ("GET", "/v1/reports/misses", "admin"),
        ("GET", "/v1/reports/quality", "admin"),
    ],
)
def test_a_role_may_do_its_own_and_what_is_below(service, method, path, role):
    roles = ("search", "write", "admin")
    for held in roles:
        status = service.client.request(method, path, headers=service.key(role=held)).status_code
        assert (status == 403) == (roles.index(held) < roles.index(role)), held


def test_a_key_sees_its_own_shop_alone(service):
    red, blue, both = service.key("red"), service.key("blue"), service.key("*")
    assert shops_of(service.search(red)) == {"red"}
    assert shops_of(service.search(blue)) == {"blue"}
    assert shops_of(service.search(both)) == {"red", "blue"}
    assert shops_of(service.search(both, shop="red")) == {"red"}
    assert is_problem(service.search(red, shop="blue"), 403)
    assert shops_of(service.search(red, where="shop=blue")) == set()
    assert [s["shop"] for s in service.client.get("/v1/shops", headers=red).json()["shops"]] == ["red"]


def test_a_key_of_a_shop_without_products_is_told_its_shop(service):
    answer = service.client.get("/v1/shops", headers=service.key("green", "admin"))
    assert answer.json()["shops"] == [{"shop": "green", "products": 0}]


@pytest.mark.parametrize("path", ["", "/similar", "/image"])
def test_another_shops_product_is_out_of_sight(service, path):
    red, blue = service.key("red"), service.key("blue")
    url = f"/v1/products/only-blue{path}"
    assert service.client.get(url, headers=blue).status_code == 200
    assert service.client.get(url, headers=red).status_code == 404
    assert service.client.get(url, params={"shop": "blue"}, headers=red).status_code == 403


def test_another_shops_product_can_not_be_removed(service):
    write = service.key("red", "write")
    assert service.client.delete("/v1/products/only-blue", headers=write).status_code == 404
    assert service.client.delete("/v1/products/only-blue", params={"shop": "blue"}, headers=write).status_code == 403
    assert service.client.get("/v1/products/only-blue", headers=service.key("blue")).status_code == 200


def test_another_shops_photo_and_job_are_out_of_sight(service):
    red, blue = service.key("red", "write"), service.key("blue", "write")
    image_id = service.search(red, keep="true").json()["image_id"]
    form = {"image_id": (None, image_id)}
    assert service.client.post("/v1/search", files=form, headers=red).status_code == 200
    assert is_problem(service.client.post("/v1/search", files=form, headers=blue), 404, "image_id")
    rows = [{"product_id": "none", "delete": True}]
    job = service.client.post("/v1/products/bulk", json=rows, headers=red).json()["id"]
    assert service.client.get(f"/v1/jobs/{job}", headers=red).status_code == 200
    assert service.client.get(f"/v1/jobs/{job}", headers=blue).status_code == 404
    assert service.client.get("/v1/jobs", headers=blue).json()["jobs"] == []


def test_pictures_open_by_the_links_in_answers_and_by_no_other(service):
    red = service.key("red")
    (link, *_) = [hit["image"] for item in service.search(red).json()["items"] for hit in item["hits"]]
    picture = service.client.get(link)
    assert picture.status_code == 200 and "max-age=60," in picture.headers["Cache-Control"]  # it may be replaced
    assert service.client.get(link, headers={"If-None-Match": picture.headers["ETag"]}).status_code == 304
    signature = httpx.URL(link).params["signature"]
    other = {"shop": "blue", "signature": signature}
    assert service.client.get("/v1/products/only-blue/image", params=other).status_code == 401
    assert service.client.get("/v1/products/only-blue/image", params={"shop": "blue"}).status_code == 401


def test_links_are_never_signed_with_a_secret_that_is_not_whole(tmp_path):
    (tmp_path / "secret").touch()  # as a process leaves it that was killed, or is about to fill it
    links = [ImageLinks(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        (path,) = set(threads.map(lambda each: each.path("p000", "red", signed=True), links))
    empty = hmac.new(b"", b"3:redp000", hashlib.sha256).hexdigest()[:32]
    assert not links[0].holds("p000", "red", empty)
    assert links[1].holds("p000", "red", path.rpartition("=")[2])
    assert len((tmp_path / "secret").read_bytes()) == 32 and (tmp_path / "secret").stat().st_mode & 0o077 == 0
    (tmp_path / "secret").write_bytes(b"half")
    for ask in (ImageLinks(tmp_path).check, lambda: ImageLinks(tmp_path).holds("p000", "red", empty)):
        with pytest.raises(StoreError, match=r"expected the 32 bytes .* found: 4 bytes"):
            ask()


def test_a_service_with_a_damaged_secret_does_not_start(two_shops, tmp_path):
    (tmp_path / "secret").write_bytes(b"half")
    engine = Engine(ServerSettings(state=str(tmp_path)))
    engine.load(lambda: Shop(FakeModels(), open_store(two_shops)))
    assert engine.loaded is None and "secret" in str(engine.problem)


def test_a_public_shop_is_searched_without_a_key(two_shops, tmp_path):
    models = FakeModels()
    settings = ServerSettings(state=str(tmp_path), public_shop="red", public_rate=0)
    KeyFile(tmp_path / "keys.json").add("blue", "admin")
    with http_client(create_app(lambda: Shop(models, open_store(two_shops)), settings)) as client:
        wait_until_ready(client)
        answer = client.post("/v1/search", files={"photo": STREET_PNG})
        assert shops_of(answer) == {"red"}
        assert client.get("/v1/products/only-blue").status_code == 404
        assert client.get("/v1/jobs").status_code == 401


def test_a_key_beyond_its_rate_is_429_and_says_when(service):
    headers = service.key(rate=0.5)
    answers = [service.client.get("/v1/models", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 429, 429]
    assert is_problem(answers[1], 429) and 1 <= int(answers[1].headers["retry-after"]) <= 2
    assert service.client.get("/v1/models", headers=service.key()).status_code == 200


def test_guessing_keys_is_slowed_down(service):
    service.key()
    statuses = [service.search({"X-Api-Key": f"guess-{i}"}).status_code for i in range(30)]
    assert statuses[0] == 401 and 429 in statuses


def test_buckets_refill_as_time_goes():
    now = [0.0]
    limiter = RateLimiter(lambda: now[0])
    assert [limiter.wait_s("a", 2.0) for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert limiter.wait_s("b", 2.0) == 0
    now[0] = 0.5
    assert [limiter.wait_s("a", 2.0) for _ in range(2)] == [0, 0.5]
    assert [limiter.wait_s("c", 0.0) for _ in range(100)] == [0] * 100


def test_pages_of_a_keys_origins_may_call_and_no_other(service):
    headers = service.key(origins=["https://red.example"])
    asked = {"Origin": "https://red.example", "Access-Control-Request-Method": "POST"}
    allowed = service.client.options("/v1/search", headers=asked)
    assert allowed.headers["access-control-allow-origin"] == "https://red.example"
    refused = service.client.options("/v1/search", headers=asked | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in refused.headers
    assert service.search(headers | {"Origin": "https://red.example"}).status_code == 200
    assert is_problem(service.search(headers | {"Origin": "https://evil.example"}), 403)


def test_the_key_file_holds_no_key(service):
    kept, text = service.file.add("red", "admin", "the till")
    content = service.file.file.read_text(encoding="utf-8")
    assert text not in content and text.rpartition("_")[2] not in content and kept.sha256 in content
    assert service.file.file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("shop", "role", "origins"),
    [("", "search", []), ("a,b", "search", []), ("red", "owner", []), ("red", "search", ["https://a.example/path"])],
)
def test_keys_that_can_not_be_are_refused(tmp_path, shop, role, origins):
    with pytest.raises(UsageError):
        KeyFile(tmp_path / "keys.json").add(shop, role, origins=origins)


def test_removing_an_unknown_key_says_so(tmp_path):
    with pytest.raises(NotFound, match="twinset keys list"):
        KeyFile(tmp_path / "keys.json").remove("00000000")


def test_writes_are_written_down_and_so_are_refusals(service):
    kept, text = service.file.add("red", "write")
    service.client.delete("/v1/products/none", headers={"X-Api-Key": text, "X-Request-Id": "mine-1"})
    service.client.delete("/v1/products/p000", headers=service.key("red", "search"))
    done, refused = audited(service)
    assert {name: done[name] for name in ("request_id", "caller", "action", "target", "status")} == {
        "request_id": "mine-1",
        "caller": kept.id,
        "action": "product.delete",
        "target": "red/none",
        "status": 404,
    }
    assert (refused["status"], refused["caller"]) == (403, "")


def audited(service) -> list[dict]:
    """Return the audit log's lines."""
    return [json.loads(line) for line in (service.state / "audit.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("method", "path", "body", "action", "status"),
    [
        pytest.param("PUT", "/v1/products/p000?shop=blue", "{}", "product.put", 403, id="put-of-another-shop"),
        pytest.param("PUT", "/v1/products/p000", "{}", "product.put", 422, id="put-of-nothing"),
        pytest.param("DELETE", "/v1/products/p000?shop=blue", "", "product.delete", 403, id="delete-of-another-shop"),
        pytest.param("POST", "/v1/products/bulk", "{", "product.bulk", 422, id="bulk-of-nothing"),
        pytest.param("PUT", "/v1/rules", '{"sink": []}', "rules.put", 422, id="rules"),
        pytest.param("DELETE", "/v1/rollout/generations/1", "", "rollout.drop", 403, id="generation"),
        pytest.param("POST", "/v1/rollout/switch", "", "rollout.switch", 403, id="switch"),
    ],
)
def test_a_write_that_is_refused_on_the_way_is_written_down(service, method, path, body, action, status):
    kept, text = service.file.add("red", "admin")
    headers = {"X-Api-Key": text, "Content-Type": "application/json"}
    assert is_problem(service.client.request(method, path, content=body, headers=headers), status)
    (entry,) = audited(service)
    assert (entry["caller"], entry["action"], entry["status"]) == (kept.id, action, status)


def test_a_key_beyond_its_rate_is_written_down(service):
    headers = service.key("red", "write", rate=0.5)
    statuses = [service.client.delete("/v1/products/none", headers=headers).status_code for _ in range(2)]
    assert statuses == [404, 429] == [entry["status"] for entry in audited(service)]


@pytest.mark.parametrize("role", [None, "search"], ids=["no-key", "a-key-that-may-not"])
def test_strangers_can_not_fill_the_audit_log(service, role):
    service.key()
    headers = service.key(role=role) if role else {}
    service.app.state.engine.limiter = RateLimiter(lambda: 0.0)
    statuses = [service.client.put("/v1/rules", json={}, headers=headers).status_code for _ in range(20)]
    assert statuses == ([403] * 20 if role else [401] * 4 + [429] * 16)
    assert [entry["status"] for entry in audited(service)] == statuses[:4]


def test_events_are_only_ever_added(service):
    entry = {"type": "click", "product_id": "p000", "position": 0}
    assert service.client.post("/v1/events", json={"events": [entry]}, headers=service.key()).status_code == 202
    with sqlite3.connect(service.state / "events.sqlite") as database:
        assert database.execute("SELECT shop, type, product_id FROM events").fetchall() == [("red", "click", "p000")]
        for statement in ("DELETE FROM events", "UPDATE events SET type = 'view'"):
            with pytest.raises(sqlite3.IntegrityError, match="only added to"):
                database.execute(statement)
    database.close()
