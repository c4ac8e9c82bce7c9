"""Odd and broken input from end to end: a clear line or a right answer, on the command line and over HTTP.

What the decoder itself makes of bytes is held by test_images.py; here every way in is walked with the same files.
"""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import http_client, is_one_error_line, stored, wait_until_ready, write_feed
from fakes import FakeModels, draw_photo, draw_product, draw_street, save_image
from test_contract_http import is_problem, post
from test_images import HEIC, encoded, exif_of, png, stored_as

from twinset.server.app import ServerSettings, create_app
from twinset.shop import Shop
from twinset.store import open_store

STREET = draw_street()
STREET_BOXES = {"trousers": (40, 100, 88, 190), "top": (40, 20, 88, 84), "bag": (110, 80, 140, 110)}
ALL_OF_IT = (40, 20, 140, 190)  # what stands on the street photo's plain background, as a product's picture
READ = "expected JPEG, PNG, WebP, AVIF, GIF or BMP, found "
OTHER_MODEL = "fake-111111111111"


def sixteen_bits(image: np.ndarray) -> bytes:
    """Return a PNG of 16 bits a channel."""
    height, width = image.shape[:2]
    rows = (image.astype(">u2") * 257).reshape(height, -1)
    return png(width, height, 16, 2, b"".join(b"\0" + row.tobytes() for row in rows))


# file name, bytes, HTTP status, what the line says was found and what it says to do
REFUSED = [
    pytest.param("empty.jpg", b"", 415, READ + "an empty file; convert it", id="empty"),
    pytest.param("text.jpg", b"not a photo\n", 415, READ + "text; convert it", id="text-named-jpg"),
    pytest.param(
        "huge.png",
        png(40_000, 40_000, 8, 2),
        413,
        "pixels, found far more; send a smaller image",
        id="header-of-40000x40000",
    ),
    pytest.param(
        "cut.jpg",
        encoded(STREET, "JPEG")[:-400],
        415,
        "expected a whole JPEG image, found damaged or truncated data",
        id="truncated-jpeg",
    ),
    pytest.param("phone.heic", HEIC, 415, READ + "HEIC; convert it, to JPEG for example", id="heic"),
    pytest.param("phone.jpg", HEIC, 415, READ + "HEIC; convert it, to JPEG for example", id="heic-named-jpg"),
]
TURNED = encoded(stored_as(STREET, 6), "JPEG", quality=95, exif=exif_of(6))
# file name, bytes of the street photo, how far a box may be off by what its compression smears
READABLE = [
    pytest.param("cmyk.jpg", encoded(STREET, "JPEG", "CMYK", quality=95), 2, id="cmyk-jpeg"),
    pytest.param("deep.png", sixteen_bits(STREET), 0, id="16-bit-png"),
    pytest.param("street.gif", encoded(STREET, "GIF"), 0, id="gif"),
    pytest.param("street.webp", encoded(STREET, "WEBP", quality=95), 2, id="webp"),
    pytest.param("street.avif", encoded(STREET, "AVIF", quality=95), 2, id="avif"),
    pytest.param("turned.jpg", TURNED, 2, id="exif-rotated"),
    pytest.param("misnamed.jpg", encoded(STREET, "PNG"), 0, id="png-named-jpg"),
]
NOTHING_TO_WEAR = [
    pytest.param(draw_photo(size_wh=(160, 200)), id="blank"),
    pytest.param(draw_photo(size_wh=(1, 1)), id="one-pixel"),
    pytest.param(draw_photo(size_wh=(2000, 1), background=128), id="strip"),
]


@pytest.fixture(scope="module")
def client(shop_folder):
    """A service with the limits that ship."""
    models = FakeModels()
    app = create_app(lambda: Shop(models, open_store(shop_folder / "store", models.version)), ServerSettings())
    with http_client(app) as client:
        wait_until_ready(client)
        yield client


def finds_the_street(answer: dict, pixels: float) -> bool:
    """Tell whether an answer holds the items drawn in the street photo, upright and where they are."""
    found = {item["category"]: item["box"] for item in answer["items"]}
    return (
        (answer["width"], answer["height"]) == (160, 200)
        and found.keys() == STREET_BOXES.keys()
        and all(box == pytest.approx(STREET_BOXES[name], abs=pixels) for name, box in found.items())
    )


# --- photos that can't be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "data", "status", "message"), REFUSED)
@pytest.mark.parametrize("command", ["detect", "search", "search --whole", "search --box 1,1,9,9"])
def test_a_command_says_in_one_line_what_is_wrong_with_a_photo(
    run, store, tmp_path, command, name, data, status, message
):
    (tmp_path / name).write_bytes(data)
    flags = [] if command == "detect" else ["--store", store]
    ran = run(*command.split(), name, *flags, "--json")
    assert (ran.code, ran.stdout) == (1, "") and is_one_error_line(ran.stderr)
    assert ran.stderr.startswith(f"Error: {name}: ") and message in ran.stderr


@pytest.mark.parametrize(("name", "data", "status", "message"), REFUSED)
def test_a_folder_goes_on_past_a_photo_that_cannot_be_read(run, tmp_path, name, data, status, message):
    photos = tmp_path / "photos"
    save_image(STREET, photos / "good.png")
    (photos / name).write_bytes(data)
    ran = run("detect", "photos", "--json")
    assert ran.code == 1 and ran.json["image"] == "photos/good.png" and len(ran.json["items"]) == 3
    assert is_one_error_line(ran.stderr) and f"photos/{name}" in ran.stderr and message in ran.stderr


@pytest.mark.parametrize(("name", "data", "status", "message"), REFUSED)
def test_a_product_with_a_picture_that_cannot_be_read_is_listed_and_the_rest_indexed(
    run, tmp_path, name, data, status, message
):
    write_feed(tmp_path, f"product_id,image\n1,images/a.png\n2,images/{name}\n3,images/c.png\n")
    (tmp_path / "images" / name).write_bytes(data)
    ran = run("index", "products.csv", "--json")
    assert (ran.code, ran.stderr) == (0, "") and ran.json["indexed"] == 2
    (failed,) = ran.json["failed"]
    assert (failed["line"], failed["product_id"]) == (3, "2") and message in failed["reason"]
    assert "\n" not in failed["reason"]
    told = run("index", "products.csv")
    assert is_one_error_line(told.stderr.replace("products.csv:3: product 2: ", "Error: ", 1))
    strict = run("index", "products.csv", "--strict")
    assert strict.code == 1 and strict.stdout == "" and is_one_error_line(strict.stderr) and message in strict.stderr


@pytest.mark.parametrize(("name", "data", "status", "message"), REFUSED)
@pytest.mark.parametrize("path", ["/v1/search", "/v1/detect"])
def test_the_service_answers_with_a_problem_that_says_what_to_do(client, path, name, data, status, message):
    answer = client.post(path, files={"photo": (name, data)})
    assert is_problem(answer, status, "photo") and message in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(("name", "data", "status", "message"), REFUSED)
def test_a_photo_in_json_is_refused_alike(client, name, data, status, message):
    answer = client.post("/v1/search", json={"photo": base64.b64encode(data).decode()})
    assert is_problem(answer, status, "photo") and message in answer.json()["detail"]


@pytest.mark.parametrize(("name", "data", "status", "message"), REFUSED)
def test_a_product_over_http_is_refused_alike(client, name, data, status, message):
    image = "data:image/jpeg;base64," + base64.b64encode(data).decode()
    answer = client.put("/v1/products/broken", json={"product_id": "broken", "image": image})
    assert is_problem(answer, status) and message in answer.json()["detail"]
    assert client.get("/v1/products/broken").status_code == 404


# --- photos of unusual kinds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "data", "pixels"), READABLE)
def test_unusual_photos_are_searched_as_any_other(run, store, tmp_path, name, data, pixels):
    (tmp_path / name).write_bytes(data)
    assert finds_the_street(run("detect", name, "--json").json, pixels)
    searched = run("search", name, "--store", store, "--k", 2, "--json").json
    assert finds_the_street(searched, pixels)
    for item in searched["items"]:
        assert [hit["category"] for hit in item["hits"]] == [item["category"]] * 2


@pytest.mark.parametrize(("name", "data", "pixels"), READABLE)
def test_unusual_photos_are_searched_over_http(client, name, data, pixels):
    assert finds_the_street(client.post("/v1/detect", files={"photo": (name, data)}).json(), pixels)
    searched = client.post("/v1/search", files={"photo": (name, data)}, data={"k": 2}).json()
    assert finds_the_street(searched, pixels)
    assert all(len(item["hits"]) == 2 for item in searched["items"])


@pytest.mark.parametrize(("name", "data", "pixels"), READABLE)
def test_products_with_unusual_pictures_are_indexed_with_their_box(run, tmp_path, name, data, pixels):
    write_feed(tmp_path, f"product_id,image,category\n1,images/{name},top\n")
    (tmp_path / "images" / name).write_bytes(data)
    assert run("index", "products.csv", "--json").json["indexed"] == 1
    (item,) = open_store(tmp_path / "twinset-store").get("1", "default").items
    assert item.box == pytest.approx(ALL_OF_IT, abs=pixels)


# --- nothing to wear --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", NOTHING_TO_WEAR)
def test_a_photo_with_nothing_to_wear_is_an_answer_without_items(run, client, store, tmp_path, image):
    photo = save_image(image, tmp_path / "nothing.png")
    empty = {"width": image.shape[1], "height": image.shape[0], "items": []}
    for ran in (run("detect", "nothing.png", "--json"), run("search", "nothing.png", "--store", store, "--json")):
        assert ran.code == 0 and ran.stderr == "" and ran.json == {"image": "nothing.png", **empty}
    assert run("search", "nothing.png", "--store", store).stdout == "nothing.png: 0 items\n"
    for path in ("/v1/search", "/v1/detect"):
        answer = post(client, path, photo.read_bytes())
        assert answer.status_code == 200 and empty.items() <= answer.json().items()


@pytest.mark.parametrize("image", NOTHING_TO_WEAR)
def test_a_photo_with_nothing_to_wear_is_searched_whole(run, store, tmp_path, image):
    save_image(image, tmp_path / "nothing.png")
    (item,) = run("search", "nothing.png", "--store", store, "--whole", "--k", 3, "--json").json["items"]
    assert item["category"] is None and len(item["hits"]) == 3


def test_a_product_with_a_blank_picture_is_stored_and_found_in_its_category(run, tmp_path):
    write_feed(tmp_path, "product_id,image,category\n1,images/blank.png,top\n")
    save_image(draw_photo(), tmp_path / "images" / "blank.png")
    assert run("index", "products.csv", "--json").json["indexed"] == 1
    save_image(draw_product("top"), tmp_path / "top.png")
    (item,) = run("search", "top.png", "--json").json["items"]
    assert [hit["product_id"] for hit in item["hits"]] == ["1"]


# --- feeds with broken rows -------------------------------------------------------------------------------------------

HEAD = "product_id,image,price,in_stock\n"
GOOD = "1,images/a.png,10,true\n"
BROKEN_ROWS = [
    pytest.param("2,images/b.png\n", "expected 4 columns, found 2", id="short-row"),
    pytest.param("2,images/b.png,10,true,more\n", "expected 4 columns, found 5", id="long-row"),
    pytest.param(",images/b.png,10,true\n", "expected a product_id, found none", id="no-id"),
    pytest.param("2,,10,true\n", "expected an image, found none", id="no-image"),
    pytest.param("2,images/b.png,cheap,true\n", "price: expected a number", id="price"),
    pytest.param("2,images/b.png,10,perhaps\n", "in_stock: expected true or false", id="in-stock"),
    pytest.param("2,images/none.png,10,true\n", "none.png: expected an image file, found", id="missing-image"),
    pytest.param("2,ftp://shop/b.png,10,true\n", "expected a path or an http(s) URL", id="other-url"),
    pytest.param("2,http://127.0.0.1:9/b.png,10,true\n", "expected a public host", id="private-address"),
    pytest.param("1,images/b.png,10,true\n", "duplicate product_id, first on line 2", id="duplicate"),
    pytest.param(b"2,images/b.png,10,\xff\n", "found other bytes; save the feed as UTF-8", id="no-utf-8"),
    pytest.param(f"2,{'b' * 200_000},10,true\n", "at most 131,072 characters, found a longer one", id="long-cell"),
    pytest.param('2,images/b.png,"1,234",true\n', "price: expected a number", id="price-with-a-thousand"),
]


@pytest.mark.parametrize(("row", "message"), BROKEN_ROWS)
def test_a_broken_row_is_named_with_its_line_and_the_rest_is_indexed(run, tmp_path, row, message):
    feed = write_feed(tmp_path, "")
    broken = row if isinstance(row, bytes) else row.encode()
    feed.write_bytes((HEAD + GOOD).encode() + broken + b"3,images/c.png,30,false\n")
    ran = run("index", "products.csv", "--json")
    assert (ran.code, ran.json["indexed"], [failed["line"] for failed in ran.json["failed"]]) == (0, 2, [3])
    assert message in ran.json["failed"][0]["reason"] and stored(tmp_path, "3").price == 30
    told = run("index", "products.csv")
    assert told.stderr.startswith("products.csv:3:") and told.stderr.count("\n") == 1 and message in told.stderr
    strict = run("index", "products.csv", "--strict")
    assert (strict.code, strict.stdout) == (1, "") and is_one_error_line(strict.stderr)
    assert "products.csv:3:" in strict.stderr and message in strict.stderr


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("{", id="broken-json"),
        pytest.param("[1]", id="a-list"),
        pytest.param('"text"', id="a-text"),
        pytest.param('{"product_id": "2"}', id="no-image"),
        pytest.param('{"product_id": ["2"], "image": "images/b.png"}', id="an-id-that-is-a-list"),
        pytest.param('{"product_id": "2", "image": 5}', id="an-image-that-is-a-number"),
    ],
)
def test_a_broken_line_of_json_is_named_and_the_rest_is_indexed(run, tmp_path, line):
    good = [
        json.dumps({"product_id": name, "image": f"images/{image}.png"}) for name, image in (("1", "a"), ("3", "c"))
    ]
    write_feed(tmp_path, "\n".join((good[0], line, good[1])) + "\n", "products.jsonl")
    ran = run("index", "products.jsonl", "--json")
    assert (ran.code, ran.json["indexed"], [failed["line"] for failed in ran.json["failed"]]) == (0, 2, [2])
    strict = run("index", "products.jsonl", "--strict")
    assert strict.code == 1 and is_one_error_line(strict.stderr) and "products.jsonl:2:" in strict.stderr


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "found an empty file", id="empty"),
        pytest.param(encoded(STREET, "PNG"), "found UTF-16 or binary data", id="an-image"),
        pytest.param((HEAD + GOOD).encode("utf-16"), "found UTF-16 or binary data", id="utf-16"),
        pytest.param(b"hello\nworld\n", "found hello; rename with --map", id="text"),
        pytest.param(b'[{"product_id": "1"}]', "found a JSON list; write one object a line", id="a-json-list"),
    ],
)
def test_a_file_that_is_no_feed_is_one_line_and_makes_no_store(run, tmp_path, data, message):
    (tmp_path / "products.csv").write_bytes(data)
    (tmp_path / "products").write_bytes(data)
    ran = run("index", "products" if data.startswith(b"[") else "products.csv")
    assert (ran.code, ran.stdout) == (1, "") and is_one_error_line(ran.stderr) and message in ran.stderr
    assert not (tmp_path / "twinset-store").exists()


# --- a store of another model -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["search", "index", "serve"])
def test_a_store_of_another_model_is_named_with_what_to_do(run, store, street, tmp_path, monkeypatch, command):
    write_feed(tmp_path, HEAD + GOOD)
    given = {"search": [street], "index": ["products.csv"], "serve": ["--port", 0]}[command]
    monkeypatch.setattr("twinset.models.load_models", lambda name="default", threads=None: FakeModels(OTHER_MODEL))
    before = sorted(path.name for path in Path(store).rglob("*"))
    ran = run(command, *given, "--store", store)
    (line,) = [line for line in ran.stderr.splitlines() if line.startswith("Error: ")]
    assert (ran.code, ran.stdout) == (1, "") and OTHER_MODEL in line and FakeModels().version in line
    assert "choose that --model, or roll this one out: twinset reindex" in line
    assert sorted(path.name for path in Path(store).rglob("*")) == before


def test_a_service_over_a_store_of_another_model_is_never_ready_and_tells_no_path(shop_folder):
    other = FakeModels(OTHER_MODEL)
    app = create_app(lambda: Shop(other, open_store(shop_folder / "store", other.version)))
    with http_client(app) as client:
        assert client.get("/healthz").status_code == 200
        for answer in (client.get("/readyz"), post(client), client.get("/v1/products/p000/similar")):
            assert is_problem(answer, 503) and answer.headers["retry-after"]
            assert str(shop_folder) not in answer.text


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path.write_text("no store"), id="a-file"),
        pytest.param(lambda path: path.mkdir(), id="an-empty-folder"),
    ],
)
def test_what_is_no_store_is_named_with_what_to_do(run, street, tmp_path, make):
    make(tmp_path / "odd")
    for command in (["search", street], ["similar", "p000"]):
        ran = run(*command, "--store", "odd")
        assert (ran.code, ran.stdout) == (1, "") and is_one_error_line(ran.stderr) and "twinset index" in ran.stderr
