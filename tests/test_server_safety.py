"""What strangers try, each refused with a clear line; keys and shops are in test_server_access.py.

An address that is private after a redirect, or once it is looked up again, is in test_fetch.py: the connection goes to
the very address that was checked.
"""

import contextlib
import http.client
import io
import json
import socket
from pathlib import Path

import numpy as np
import pytest
from conftest import http_client, wait_until_ready
from fakes import FakeModels, draw_street, make_feed
from PIL import Image as Pillow
from test_contract_http import STREET_PNG, is_problem, png
from test_images import exif_of

import twinset
from twinset.indexing import index_feed
from twinset.server.app import ServerSettings, create_app
from twinset.server.protocol import MAX_HEAD_BYTES
from twinset.shop import Shop
from twinset.store import open_store

PLACE = b"SECRET-PLACE-48.2082N"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("safety")
    index_feed(make_feed(folder, 10), folder / "store", FakeModels())
    return folder


@pytest.fixture(scope="module")
def client(folder):
    models = FakeModels()
    settings = ServerSettings(max_bytes=100_000, max_pixels=1_000_000, cors_origins=("https://shop.example",))
    with http_client(create_app(lambda: Shop(models, open_store(folder / "store", models.version)), settings)) as c:
        wait_until_ready(c)
        yield c


@pytest.mark.parametrize("path", ["/v1/search", "/v1/detect"])
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/a.jpg",
        "http://localhost/a.jpg",
        "http://2130706433/a.jpg",
        "http://[::1]/a.jpg",
        "http://[::ffff:10.0.0.1]/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        "http://0/a.jpg",
        "file:///etc/passwd",
        "ftp://shop.example/a.jpg",
        "/etc/passwd",
    ],
)
def test_an_address_that_is_not_for_the_public_is_refused(client, path, url):
    answer = client.post(path, files={"url": (None, url)})
    assert is_problem(answer, 422, "url") and "root:" not in answer.text
    assert all(answer.json()["errors"][0].values())


def bomb() -> bytes:
    out = io.BytesIO()
    Pillow.new("1", (30_000, 30_000)).save(out, "PNG", compress_level=9)
    return out.getvalue()


def test_too_much_is_refused_before_it_is_decoded(client):
    small = bomb()[:90_000]  # the header alone says how much it would be
    assert is_problem(client.post("/v1/search", files={"photo": small}), 413, "photo")
    assert is_problem(client.post("/v1/search", files={"photo": bytes(100_001)}), 413, "photo")
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    connection.putrequest("POST", "/v1/search")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    assert connection.getresponse().status == 413  # what is said is believed, nothing is waited for
    connection.close()


def test_too_much_of_what_is_no_photo_is_said_of_the_body(client):
    for answer in (
        client.post("/v1/search", json={"photo": "A" * 1_000_000}),
        client.put("/v1/rules", content=bytes(300_000)),
        client.post("/v1/events", content=bytes(300_000)),
        client.post("/v1/rollout/switch", content=bytes(20_000)),
    ):
        assert is_problem(answer, 413, "body") and "image" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("POST", "/v1/search", '{"k": %s}', id="field"),
        pytest.param("POST", "/v1/rules/preview", '{"photo": "", "rules": {"a": %s}}', id="rules-of-a-preview"),
        pytest.param("PUT", "/v1/products/a1", '{"image": "data:image/png;base64,AAAA", "tags": %s}', id="tags"),
    ],
)
def test_values_nested_as_deeply_as_can_be_read_are_no_error_of_the_service(client, method, path, body):
    """At one of these depths JSON is read and can't be written: that takes a call more."""
    for depth in range(930, 1000):
        content = body % ("[" * depth + "]" * depth)
        answer = client.request(method, path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (415, 422), (depth, answer.text)


def test_answers_tell_browsers_what_a_page_may_do(client):
    for path in ("/", "/v1/models", "/v1/nothing"):
        headers = client.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "object-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
    assert client.get("/redoc").status_code == 404  # a page of scripts from elsewhere


def test_pages_of_named_origins_may_read_answers_and_no_other(client):
    allowed = client.get("/v1/models", headers={"Origin": "https://shop.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    for origin in ("https://evil.example", "https://shop.example.evil.example", "null"):
        refused = client.get("/v1/models", headers={"Origin": origin})
        assert "access-control-allow-origin" not in refused.headers


def photo_with_a_place() -> bytes:
    exif = exif_of(1)
    exif[0x010E] = PLACE.decode()  # ImageDescription, as cameras write a place
    out = io.BytesIO()
    Pillow.fromarray(draw_street()).save(out, "JPEG", exif=exif.tobytes())
    return out.getvalue()


def test_a_shoppers_photo_and_where_it_was_taken_stay_nowhere(client, folder, caplog):
    photo = photo_with_a_place()
    assert PLACE in photo
    with caplog.at_level("INFO", logger="twinset.access"):
        found = client.post("/v1/search", files={"photo": ("me-at-home.jpg", photo)}, data={"keep": "true"})
    assert found.status_code == 200 and PLACE not in found.content
    client.get("/v1/reports/searches")  # writes the searches that wait
    kept = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    assert len(kept) > 10
    assert not any(PLACE in data or photo[:64] in data or b"me-at-home" in data for data in kept)
    assert "me-at-home" not in caplog.text


def test_no_answer_names_a_path_of_the_machine(client, folder):
    asks = [
        client.post("/v1/search", files={"photo": b"no photo"}),
        client.post("/v1/search", json={"product_id": "p000", "image_id": "x"}),
        client.get("/v1/products/p000"),
        client.get("/v1/products/nothing"),
        client.get("/v1/products/p000/similar?k=0"),
        client.get("/v1/jobs/20260101000000-000000000000"),
        client.get("/openapi.json"),
        client.get("/v1/shop"),
        client.get("/metrics"),
    ]
    assert not any(str(folder) in answer.text or "/work" in answer.text for answer in asks)


@pytest.mark.parametrize("name", ["keys.json", "events.sqlite", "jobs/20260101000000-000000000000.json"])
def test_a_file_of_the_service_that_is_damaged_is_503_without_its_path(folder, tmp_path, name):
    file = tmp_path / name
    models = FakeModels()
    app = create_app(
        lambda: Shop(models, open_store(folder / "store", models.version)), ServerSettings(state=str(tmp_path))
    )
    with http_client(app) as client:
        wait_until_ready(client)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"damaged" * 1000)
        event = {"events": [{"type": "click", "product_id": "p000"}]}
        ask = {
            "keys.json": lambda: client.get("/v1/models"),
            "events.sqlite": lambda: client.post("/v1/events", json=event),
        }
        answer = ask.get(name, lambda: client.get(f"/v1/{name.removesuffix('.json')}"))()
        assert is_problem(answer, 503) and str(tmp_path) not in answer.text and "Retry-After" in answer.headers


def test_what_a_request_says_is_quoted_short(client):
    long = "x" * 5000
    for answer in (
        client.post("/v1/search", files={"photo": STREET_PNG}, data={"category": long}),
        client.get("/v1/products", params={"limit": long}),
        client.put("/v1/rules", content=json.dumps({long: 1})),
    ):
        assert is_problem(answer, 422) and len(answer.content) < 7000


def test_nothing_unpickles():
    sources = [file.read_text(encoding="utf-8") for file in Path(twinset.__file__).parent.rglob("*.py")]
    assert not any(
        "import pickle" in text or "allow_pickle=True" in text or "weights_only=False" in text for text in sources
    )


def test_an_image_of_no_size_or_one_pixel_is_answered(client):
    assert client.post("/v1/search", files={"photo": png(np.zeros((1, 1, 3), np.uint8))}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/v1/products/a1"), ("POST", "/v1/products/bulk"), ("PUT", "/v1/rules")]
)
def test_a_body_that_stands_still_is_given_up(client, monkeypatch, method, path):
    monkeypatch.setattr("twinset.server.uploads.BODY_S", 0.05)
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    connection.putrequest(method, path)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b'{"a":')
    answer = connection.getresponse()
    assert answer.status == 422 and b"stood still" in answer.read()
    connection.close()


def exchanged(client, data: bytes) -> bytes:
    """Return the service's answers to bytes on a connection of their own, as soon as that is closed."""
    said = b""
    address = client.base_url.host, client.base_url.port
    # An error where it is closed before all was sent.
    with socket.create_connection(address, timeout=10) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(data)
        while part := connection.recv(65536):
            said += part
    return said


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ", id="header"),
        pytest.param(b"GET /", id="address"),
        pytest.param(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Long: ", id="trailer"),
    ],
)
def test_headers_without_an_end_are_cut_off(client, start):
    assert b" 200 OK" not in exchanged(client, start + b"x" * 1_000_000)


def test_headers_that_are_too_long_are_refused_and_shorter_ones_are_not(client):
    ask = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 40_000
    assert exchanged(client, ask + b"x" * (MAX_HEAD_BYTES + 1 - len(ask))).startswith(b"HTTP/1.1 400")
    assert exchanged(client, (ask + b"\r\n\r\n") * 3 + ask + b"\r\nConnection: close\r\n\r\n").count(b" 200 OK") == 4


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/widget.js", "/v1/products/p000/image", "/v1/models"])
def test_head_is_get_without_a_body(client, path):
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "etag", "cache-control"):
        assert head.headers.get(name) == got.headers.get(name)


def test_head_is_counted_as_such_and_stores_nothing(client):
    assert client.head("/v1/search").status_code == 405
    client.head("/healthz")
    assert 'twinset_requests_total{method="HEAD",route="/healthz",status="200"}' in client.get("/metrics").text
