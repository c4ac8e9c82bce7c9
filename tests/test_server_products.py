"""Products over HTTP: stored, listed, removed, in bulk; what strangers may not make the service do on the way."""

import base64
import fcntl
import json
import os
import threading
import time
from datetime import datetime
from urllib.parse import quote

import pytest
from conftest import http_client, wait_until_ready
from fakes import FakeModels, draw_product
from test_contract_http import is_problem, png

from twinset.server import routes_products
from twinset.server.app import ServerSettings, create_app
from twinset.server.jobs import Jobs
from twinset.shop import Shop
from twinset.store import Key, open_store


def picture(category: str = "top", variant: int = 0) -> str:
    return "data:image/png;base64," + base64.b64encode(png(draw_product(category, variant))).decode()


JSON = {"Content-Type": "application/json"}
ROOMY = b"[{}" + b" " * 1_000_000 + b"]"  # more than a photo of the service below with its form


def row(product_id: str, category: str = "top", variant: int = 0, **more) -> dict:
    return {"product_id": product_id, "image": picture(category, variant), "title": "A thing", **more}


@pytest.fixture
def store_folder(tmp_path):
    open_store(tmp_path / "store", FakeModels().version, create=True)
    return tmp_path / "store"


@pytest.fixture
def client(store_folder):
    models = FakeModels()
    settings = ServerSettings(max_bytes=100_000, max_pixels=1_000_000)
    with http_client(create_app(lambda: Shop(models, open_store(store_folder, models.version)), settings)) as client:
        wait_until_ready(client)
        yield client


def wait_for_job(client, job_id: str) -> dict:
    until = time.monotonic() + 30
    while (job := client.get(f"/v1/jobs/{job_id}").json())["state"] in ("queued", "running"):
        assert time.monotonic() < until
        time.sleep(0.02)
    return job


def test_a_product_that_was_put_is_read_found_and_removed(client):
    put = client.put("/v1/products/a1", json=row("a1", price=12.5, article_type="Tshirts", season="summer"))
    assert put.status_code == 200
    assert put.json() == client.get("/v1/products/a1").json()
    assert (put.json()["price"], put.json()["category"], put.json()["tags"]) == (12.5, "top", {"season": "summer"})
    assert client.get(put.json()["image"]).content == png(draw_product("top"))
    photo = png(draw_product("top"))
    (item,) = client.post("/v1/search", files={"photo": photo}).json()["items"]
    assert [hit["product_id"] for hit in item["hits"]] == ["a1"]
    assert client.delete("/v1/products/a1").status_code == 204
    assert is_problem(client.get("/v1/products/a1"), 404) and is_problem(client.delete("/v1/products/a1"), 404)
    (item,) = client.post("/v1/search", files={"photo": photo}).json()["items"]
    assert item["hits"] == []


def test_putting_a_product_again_takes_its_place(client):
    client.put("/v1/products/a1", json=row("a1", price=12.5))
    client.put("/v1/products/a1", json=row("a1", price=10))
    assert client.get("/v1/products/a1").json()["price"] == 10
    assert len(client.get("/v1/products").json()["products"]) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"image": "/etc/passwd"}, "image", id="path"),
        pytest.param({"image": "../../secret.png"}, "image", id="relative-path"),
        pytest.param({"image": "file:///etc/passwd"}, "image", id="file-url"),
        pytest.param({"images": ["https://shop.example/a.jpg|/etc/passwd"]}, "image", id="path-behind-a-bar"),
        pytest.param({"image": None, "images": '["/etc/passwd"]'}, "image", id="path-in-a-json-text"),
        pytest.param({"image": None}, "image", id="no-image"),
        pytest.param({"image": ["https://shop.example/a.jpg"] * 21}, "image", id="many-images"),
        pytest.param({"image": "data:image/png;base64,!!!"}, "image", id="no-base64"),
        pytest.param({"image": "http://127.0.0.1:9/a.jpg"}, "product", id="private-address"),
        pytest.param({"image": "http://169.254.169.254/latest/meta-data"}, "product", id="metadata-address"),
        pytest.param({"image": "http://[::ffff:127.0.0.1]/a.jpg"}, "product", id="private-address-in-ipv6"),
        pytest.param({"product_id": "other"}, "product_id", id="another-id"),
        pytest.param({"price": "cheap"}, "price", id="price"),
        pytest.param({"in_stock": "perhaps"}, "in_stock", id="in-stock"),
        pytest.param({"title": "x" * 9000}, "title", id="long-title"),
        pytest.param({"shop": "a\nb"}, "shop", id="shop"),
    ],
)
def test_a_product_that_can_not_be_is_422_and_says_why(client, change, field):
    answer = client.put("/v1/products/a1", json=row("a1") | change)
    assert is_problem(answer, 422, field), answer.text
    assert client.get("/v1/products/a1").status_code == 404


@pytest.mark.parametrize("body", ["", "{}, {}", "[]", "null", "{", "[" * 100_000])
def test_a_body_that_is_no_one_product_is_422(client, body):
    answer = client.put("/v1/products/a1", content=body, headers={"Content-Type": "application/json"})
    assert is_problem(answer, 422), answer.text


def test_ids_with_slashes_and_other_signs_are_reached(client):
    for product_id in ("A/12", "../x", "a%2Fb", "a?b#c", 'q"x', "/", "é/ü"):
        path = f"/v1/products/{quote(product_id, safe='')}"
        put = client.put(path, json=row(product_id))
        assert put.status_code == 200 and put.json() == client.get(path).json(), put.text
        assert put.json()["product_id"] == product_id
        assert client.get(put.json()["image"]).status_code == 200
        assert client.get(f"{path}/similar").json()["hits"] == []
        (item,) = client.post("/v1/search", json={"product_id": product_id}).json()["items"]
        assert item["hits"] == []  # itself
        assert client.delete(path).status_code == 204
    assert is_problem(client.get("/v1/products/a/similar/b"), 404)


def test_a_search_by_a_products_picture_leaves_out_that_product_alone(client):
    client.put("/v1/products/a1", json=row("a1"))
    client.put("/v1/products/a1?shop=kids", json=row("a1", shop="kids"))
    (item,) = client.post("/v1/search", json={"product_id": "a1"}).json()["items"]
    assert [(hit["product_id"], hit["shop"]) for hit in item["hits"]] == [("a1", "kids")]


def test_blanks_around_an_id_and_a_shop_are_nothing(client):
    put = client.put("/v1/products/%20a1?shop=%20kids%20", json=row(" a1"))
    assert (put.status_code, put.json()["product_id"], put.json()["shop"]) == (200, "a1", "kids")
    assert client.put("/v1/products/a2?shop=%20", json=row("a2")).status_code == 200
    assert client.get("/v1/products/a2?shop=default").json()["product_id"] == "a2"
    assert client.delete("/v1/products/%20a1?shop=%20kids").status_code == 204


def test_a_product_that_is_removed_while_products_are_listed_is_left_out(client, monkeypatch):
    for product_id in ("a1", "a2"):
        client.put(f"/v1/products/{product_id}", json=row(product_id))
    gone = "twinset.store.lance.LanceStore.fingerprints"
    known = {Key("default", name): "" for name in ("a1", "a1b", "a2")}
    monkeypatch.setattr(gone, lambda self: known)
    assert [each["product_id"] for each in client.get("/v1/products").json()["products"]] == ["a1", "a2"]


def test_the_pictures_of_a_product_that_can_not_be_are_not_kept(client, store_folder):
    answer = client.put("/v1/products/a1", json=row("a1", price="cheap"))
    assert answer.json()["errors"] == [
        {"field": "price", "expected": "a number like 12.50 or nothing", "found": "'cheap'"}
    ]
    done(client, [row("a1", price="cheap")])
    assert not (store_folder / "service" / "images").exists()


def test_pictures_of_products_have_the_limits_of_photos(client, store_folder):
    from io import BytesIO

    from PIL import Image

    bomb = BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    image = "data:image/png;base64," + base64.b64encode(bomb.getvalue()).decode()
    assert is_problem(client.put("/v1/products/a1", json={"image": image}), 413)
    text = "data:image/png;base64," + base64.b64encode(b"hello").decode()
    assert is_problem(client.put("/v1/products/a1", json={"image": text}), 415)
    assert not list(store_folder.glob("service/images/*"))


def test_a_picture_that_can_not_be_fetched_is_told_in_full(client):
    answer = client.put("/v1/products/a1", json={"image": f"https://{'long.' * 20}invalid/a.jpg"})
    assert is_problem(answer, 422, "product") and answer.json()["detail"].endswith("check the URL")


def test_no_path_of_the_machine_is_in_any_answer(client, store_folder):
    answers = [client.put("/v1/products/a1", json=row("a1"))]
    answers += [client.put("/v1/products/a2", json=row("a2") | {"image": "/no/such.png"})]
    (store_folder / "service" / "images").rename(store_folder / "service" / "gone")
    answers += [client.get(f"/v1/products/a1{path}") for path in ("", "/image", "/similar")]
    answers += [client.get("/v1/products/..%2f..%2fetc%2fpasswd"), client.get("/page/../app.py")]
    answers += [client.get("/page/%2e%2e/app.py"), client.get("/v1/jobs/..%2f..%2fkeys")]
    for answer in answers:
        assert (
            str(store_folder.parent) not in answer.text and "root:" not in answer.text and "import" not in answer.text
        )


def test_lists_come_page_by_page(client):
    rows = [row(f"p{i:02}", variant=i) for i in range(7)]
    job = client.post("/v1/products/bulk", json={"products": rows}).json()
    assert wait_for_job(client, job["id"])["indexed"] == 7
    seen, cursor = [], None
    while True:
        page = client.get("/v1/products", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        seen += [[product["product_id"] for product in page["products"]]]
        if not (cursor := page["next_cursor"]):
            break
    assert seen == [["p00", "p01", "p02"], ["p03", "p04", "p05"], ["p06"]]
    first = client.get("/v1/products/p00/similar", params={"k": 4}).json()
    rest = client.get("/v1/products/p00/similar", params={"k": 4, "cursor": first["next_cursor"]}).json()
    whole = client.get("/v1/products/p00/similar", params={"k": 6}).json()
    assert first["hits"] + rest["hits"] == whole["hits"] and rest["next_cursor"] is None
    for bad in ("nonsense", "WzFd", "W10", "x" * 5000):
        assert is_problem(client.get("/v1/products", params={"cursor": bad}), 422, "cursor")


@pytest.mark.parametrize("sign", ["a", "수", "𝒳"])
def test_lists_go_on_after_the_longest_ids(client, sign):
    ids = [sign * 255 + no for no in "12"]
    for product_id in ids:
        assert client.put(f"/v1/products/{quote(product_id)}", json=row(product_id)).status_code == 200
    first = client.get("/v1/products", params={"limit": 1}).json()
    rest = client.get("/v1/products", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [page["products"][0]["product_id"] for page in (first, rest)] == ids


def test_an_answer_that_has_not_changed_is_304(client):
    client.put("/v1/products/a1", json=row("a1"))
    paths = ("/v1/products/a1", "/v1/products/a1/image", "/v1/products", "/v1/shops", "/v1/models")
    for path in (*paths, "/v1/reports/misses/crops"):
        tag = client.get(path).headers["etag"]
        again = client.get(path, headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content) == (304, b""), path
    tag = client.get("/v1/products/a1").headers["etag"]
    client.put("/v1/products/a1", json=row("a1", price=1))
    assert client.get("/v1/products/a1", headers={"If-None-Match": tag}).status_code == 200


def test_a_bulk_request_stores_removes_and_lists_what_failed(client):
    client.put("/v1/products/old", json=row("old"))
    rows = [row("new"), {"product_id": "old", "delete": True}, {"product_id": "bad", "image": "/etc/passwd"}, "text"]
    answer = client.post("/v1/products/bulk", json={"products": rows})
    assert answer.status_code == 202 and answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    job = wait_for_job(client, answer.json()["id"])
    assert (job["state"], job["total"], job["done"]) == ("done", 4, 4)
    assert (job["indexed"], job["deleted"], job["failed_rows"]) == (1, 1, 2)
    assert [(failed["line"], failed["product_id"]) for failed in job["failed"]] == [(3, "bad"), (4, "")]
    assert [product["product_id"] for product in client.get("/v1/products").json()["products"]] == ["new"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-ndjson", "\n".join(json.dumps(row(f"n{i}")) for i in range(2))),
        ("text/csv", "product_id,image,price\n" + "".join(f'n{i},"{picture()}",{i}\n' for i in range(2))),
        ("application/json; charset=utf-8", json.dumps([row("n0"), row("n1")])),
    ],
)
def test_bulk_takes_json_json_lines_and_csv(client, kind, body):
    answer = client.post("/v1/products/bulk", content=body, headers={"Content-Type": kind})
    assert wait_for_job(client, answer.json()["id"])["indexed"] == 2


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b'{"products": 1}'),
        ("application/x-ndjson", b"{\n"),
        ("text/csv", b"\xff\xfe"),
        ("text/plain", b"a"),
        ("application/json", b"[" * 100_000),
    ],
)
def test_a_bulk_request_that_can_not_be_read_is_422(client, kind, body):
    answer = client.post("/v1/products/bulk", content=body, headers={"Content-Type": kind})
    assert is_problem(answer, 422)


def test_a_job_that_was_cut_short_goes_on_at_the_next_start(store_folder):
    models = FakeModels()
    shop = Shop(models, open_store(store_folder, models.version))
    before = Jobs(store_folder / "service" / "jobs", shop)
    job = before.add([row(f"c{i}", variant=i) for i in range(5)], None)
    assert before.get(job.id, None).state == "queued"  # nobody has started it: the process was killed
    with http_client(create_app(lambda: Shop(models, open_store(store_folder, models.version)))) as client:
        wait_until_ready(client)
        assert wait_for_job(client, job.id)["indexed"] == 5


def test_the_largest_request_that_is_allowed_has_room(client, monkeypatch):
    monkeypatch.setattr("twinset.server.engine.UPLOAD_BYTES", 1000)
    assert client.post("/v1/products/bulk", content=ROOMY, headers=JSON).status_code == 202
    photo = base64.b64encode(png(draw_product("top")) + bytes(90_000)).decode()
    assert client.post("/v1/search", json={"photo": photo}).status_code == 200


def test_writers_take_turns(client):
    failures = []

    def put(no: int) -> None:
        answer = client.put(f"/v1/products/w{no}", json=row(f"w{no}", variant=no))
        if answer.status_code != 200:
            failures.append(answer.text)

    threads = [threading.Thread(target=put, args=(no,)) for no in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and len(client.get("/v1/products").json()["products"]) == 6


def test_searches_are_answered_while_writers_wait_for_their_turn(client, store_folder, monkeypatch):
    client.put("/v1/products/a1", json=row("a1"))
    come, check_row = threading.Semaphore(0), routes_products.check_row
    monkeypatch.setattr(routes_products, "check_row", lambda *args: (come.release(), check_row(*args))[1])
    several = min(32, (os.cpu_count() or 1) + 4) + 1  # more than asyncio.to_thread has threads
    puts = [
        threading.Thread(target=client.put, args=(f"/v1/products/w{no}",), kwargs={"json": row(f"w{no}")})
        for no in range(several)
    ]
    with open(store_folder / "service" / "write.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a job does while it fetches pictures
        for put in puts:
            put.start()
        assert all(come.acquire(timeout=30) for _ in puts)
        found = client.post("/v1/search", files={"photo": png(draw_product("top"))}, timeout=10)
    for put in puts:
        put.join()
    assert [hit["product_id"] for hit in found.json()["items"][0]["hits"]] == ["a1"]
    assert len(client.get("/v1/products").json()["products"]) == several + 1


# --- jobs -------------------------------------------------------------------------------------------------------------


def done(client, rows, **more) -> dict:
    """Return the job of a bulk request once it is over."""
    return wait_for_job(client, client.post("/v1/products/bulk", json=rows, **more).json()["id"])


def test_a_damaged_job_file_keeps_no_job_from_being_done(client, store_folder, monkeypatch):
    monkeypatch.setattr("twinset.server.jobs.KEEP", 1)
    damaged = store_folder / "service" / "jobs" / "20200101000000-aaaaaaaaaaaa.json"
    damaged.parent.mkdir(parents=True)
    damaged.touch()
    jobs = [done(client, [row(f"p{no}")]) for no in range(3)]
    assert [job["indexed"] for job in jobs] == [1, 1, 1]
    listed = client.get("/v1/jobs")
    assert listed.status_code == 200 and listed.json()["jobs"][0]["id"] == jobs[-1]["id"]
    assert damaged.exists()


def test_jobs_are_done_whatever_went_wrong_between_them(client, monkeypatch):
    def fail(self: Jobs) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Jobs, "_forget", fail)
    assert [done(client, [row(f"p{no}")])["state"] for no in range(2)] == ["done", "done"]


def test_ids_of_jobs_rise_within_a_second_and_those_of_whole_seconds_are_read(tmp_path, monkeypatch):
    class Still(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 1, 12, tzinfo=tz)

    monkeypatch.setattr("twinset.server.jobs.datetime", Still)
    jobs = Jobs(tmp_path, Shop(FakeModels(), None))
    ids = [jobs.add([row("a1")], None).id for _ in range(5)]
    old = tmp_path / "20260101120000-ffffffffffff.json"
    old.write_text((tmp_path / f"{ids[0]}.json").read_text().replace(ids[0], old.stem))
    assert [job.id for job in jobs.all(None)] == [*reversed(ids), old.stem]


def test_a_row_that_is_nested_as_deeply_as_can_be_read_fails_alone(client):
    good, jobs = json.dumps(row("good")), []
    for depth in range(960, 1000):
        deep = f'{{"product_id": "deep", "image": "https://a.example/a.jpg", "tags": {"[" * depth + "]" * depth}}}'
        answer = client.post("/v1/products/bulk", content=f"[{deep}, {good}]", headers=JSON)
        assert answer.status_code == 202 or is_problem(answer, 422, "body"), (depth, answer.text)
        jobs += [answer.json()["id"]] if answer.status_code == 202 else []
    for job in (wait_for_job(client, job_id) for job_id in jobs):
        assert (job["state"], job["done"], job["failed_rows"], job["failed"][0]["product_id"]) == ("done", 2, 1, "deep")


@pytest.mark.parametrize(
    ("rows", "price", "counts"),
    [
        pytest.param([{"delete": True}, {"price": 2}], 2, (2, 1, 0, 0), id="removed-and-stored"),
        pytest.param([{"price": 1}, {"price": 2}], 2, (2, 1, 0, 0), id="stored-twice"),
        pytest.param([{"price": 1}, {"delete": True}], None, (2, 0, 1, 0), id="stored-and-removed"),
        pytest.param([{"price": 1}, {"title": "x" * 9000}], 1, (2, 1, 0, 1), id="wrong-at-last"),
    ],
)
def test_of_several_rows_of_one_product_the_last_holds(client, rows, price, counts):
    client.put("/v1/products/x", json=row("x"))
    job = done(client, [row("x") | each for each in rows])
    assert (job["done"], job["indexed"], job["deleted"], job["failed_rows"]) == counts
    assert client.get("/v1/products/x").json().get("price") == price


def csv_job(client, text: str) -> dict:
    answer = client.post("/v1/products/bulk", content=text.encode(), headers={"Content-Type": "text/csv"})
    assert answer.status_code == 202, answer.text
    return wait_for_job(client, answer.json()["id"])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'product_id;image;price\nx;"{picture()}";1\n', id="semicolons"),
        pytest.param(f'product_id\timage\tprice\r\nx\t"{picture()}"\t1\r\n', id="tabs"),
        pytest.param(f'\ufeffproduct_id,images,price\nx,"{picture()}|{picture("bag")}",1\n', id="images-with-a-bar"),
        pytest.param(f'product_id,images,price\nx,"[""{picture()}"", ""{picture("bag")}""]",1\n', id="images-as-json"),
    ],
)
def test_csv_is_a_feeds(client, text):
    job = csv_job(client, text)
    assert (job["indexed"], job["failed"]) == (1, [])
    assert client.get("/v1/products/x").json() | {"price": 1, "tags": {}} == client.get("/v1/products/x").json()


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("bad,https://a.example/a.jpg,1,more", id="a-cell-too-many"),
        pytest.param('bad,"https://a.example/a.jpg,1', id="a-quote-that-never-closes"),
        pytest.param(f'bad,"data:image/png;base64,{"A" * 140_000}",1', id="a-long-cell"),
        pytest.param("bad,[not json,1", id="a-picture-that-is-none"),
    ],
)
def test_a_row_of_csv_that_can_not_be_read_fails_alone(client, bad):
    job = csv_job(client, f'product_id,images,price\n{bad}\nx,"{picture()}",1\n')
    assert (job["state"], job["total"], job["indexed"], job["failed_rows"]) == ("done", 2, 1, 1)
    assert job["failed"][0]["line"] == 1 and "expected" in job["failed"][0]["reason"]


def test_csv_removes_products_without_a_column_of_images(client):
    client.put("/v1/products/x", json=row("x"))
    assert csv_job(client, "product_id,delete\nx,true\n")["deleted"] == 1
    assert is_problem(client.post("/v1/products/bulk", content=b"id\nx\n", headers={"Content-Type": "text/csv"}), 422)
