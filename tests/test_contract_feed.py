"""What shops rely on, line by line: the product feed, and what labels mean so that figures mean the same everywhere."""

import json
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from conftest import is_one_error_line, stored, write_feed

from twinset.taxonomy import default_taxonomy

TAXONOMY = default_taxonomy()

# --- product feed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("f.csv", "product_id,image,title\n007,images/a.png,Top\n", id="csv"),
        pytest.param("f.jsonl", '{"product_id": "007", "image": "images/a.png", "title": "Top"}\n', id="json-lines"),
    ],
)
def test_a_feed_is_csv_or_json_lines_one_product_a_row(run, tmp_path, name, text):
    write_feed(tmp_path, text, name)
    assert run("index", name, "--json").json["indexed"] == 1
    assert stored(tmp_path, "007").title == "Top"


def test_product_id_is_always_a_string(run, tmp_path):
    write_feed(tmp_path, '{"product_id": 12, "image": "images/a.png"}\n', "f.jsonl")
    run("index", "f.jsonl")
    assert run("similar", "12", "--json").json == {"product_id": "12", "hits": []}


def test_product_id_is_one_line(run, tmp_path):
    write_feed(tmp_path, '{"product_id": "new\\nline", "image": "images/a.png"}\n', "f.jsonl")
    (failed,) = run("index", "f.jsonl", "--json").json["failed"]
    assert failed["line"] == 1 and "without line breaks" in failed["reason"]


@pytest.mark.parametrize("missing", ["product_id", "image"])
def test_product_id_and_image_are_required(run, tmp_path, missing):
    columns = [name for name in ("product_id", "image", "title") if name != missing]
    write_feed(tmp_path, ",".join(columns) + "\nx,y\n")
    ran = run("index", "products.csv")
    assert ran.code == 1 and is_one_error_line(ran.stderr) and missing in ran.stderr


@pytest.mark.parametrize(
    "images",
    [
        pytest.param('"[""images/a.png"", ""images/b.png""]"', id="json-list"),
        pytest.param("images/a.png|images/b.png", id="|"),
    ],
)
def test_images_is_a_json_list_or_separated_by_bars(run, tmp_path, images):
    write_feed(tmp_path, f"product_id,images\n1,{images}\n")
    run("index", "products.csv")
    assert [Path(image).name for image in stored(tmp_path, "1").images] == ["a.png", "b.png"]


def test_images_are_paths_relative_to_the_feed_absolute_paths_or_urls(run, tmp_path):
    feed = write_feed(tmp_path / "feeds", "")
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *args: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(feed.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/images/c.png"
        feed.write_text(
            f"product_id,image\nr,images/a.png\na,{feed.parent / 'images/b.png'}\nu,{url}\n", encoding="utf-8"
        )
        assert run("index", feed, "--allow-private", "--json").json["indexed"] == 3
    finally:
        server.shutdown()
        server.server_close()
    assert stored(tmp_path, "u").images == (url,)


def test_optional_columns_have_defaults(run, tmp_path):
    write_feed(tmp_path, "product_id,image\n1,images/a.png\n")
    run("index", "products.csv")
    product = stored(tmp_path, "1")
    assert (product.title, product.price, product.currency, product.url) == ("", None, None, None)
    assert (product.shop, product.in_stock, product.group_id, product.sale_price) == ("default", True, None, None)


def test_optional_columns_are_kept(run, tmp_path):
    row = {
        "product_id": "1",
        "image": "images/a.png",
        "title": "T",
        "price": 9.5,
        "currency": "EUR",
        "url": "http://s/1",
    }
    row |= {
        "shop": "two",
        "in_stock": False,
        "group_id": "g",
        "sale_price": 7,
        "updated_at": "2026-01-02",
        "category": "top",
    }
    write_feed(tmp_path, json.dumps(row) + "\n", "f.jsonl")
    run("index", "f.jsonl")
    product = stored(tmp_path, "1", "two")
    assert {name: getattr(product, name) for name in row if name not in ("image", "shop")} == {
        name: value for name, value in row.items() if name not in ("image", "shop")
    }


def test_price_is_a_number_or_null(run, tmp_path):
    rows = [
        {"product_id": str(i), "image": "images/a.png", "price": price} for i, price in enumerate([None, 5, "cheap"])
    ]
    write_feed(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "f.jsonl")
    report = run("index", "f.jsonl", "--json").json
    assert [entry["product_id"] for entry in report["failed"]] == ["2"]
    assert stored(tmp_path, "0").price is None and stored(tmp_path, "1").price == 5


def test_price_may_have_a_decimal_comma(run, tmp_path):
    write_feed(tmp_path, "product_id;image;price;sale_price\n1;images/a.png;1.250,00;12,5\n")
    run("index", "products.csv")
    assert (stored(tmp_path, "1").price, stored(tmp_path, "1").sale_price) == (1250, 12.5)


@pytest.mark.parametrize("column", ["category", "article_type", "product_type"])
def test_the_category_comes_through_the_taxonomy(run, tmp_path, column):
    write_feed(tmp_path, f"product_id,image,{column}\n1,images/a.png,Tshirts\n")
    run("index", "products.csv")
    assert stored(tmp_path, "1").category == "top"


def test_a_product_of_no_category_is_stored_and_found_but_in_no_category(run, shop_folder, store):
    similar = run("similar", "watch", "--store", store, "--json")
    assert similar.code == 0 and similar.json["product_id"] == "watch"
    photo = shop_folder / "images" / "watch.png"
    best = run("search", photo, "--store", store, "--whole", "--k", 40, "--json").json["items"][0]["hits"]
    assert {"product_id": "watch", "category": None}.items() <= next(
        h for h in best if h["product_id"] == "watch"
    ).items()
    (item,) = run("search", photo, "--store", store, "--json").json["items"]  # the detector calls it a hat
    assert item["category"] == "hat" and item["hits"] == []


def test_other_columns_become_tags(run, store, street):
    items = run("search", street, "--store", store, "--where", "tags.season=summer", "--json").json["items"]
    found = {hit["product_id"] for item in items for hit in item["hits"]}
    assert found and all(int(name[1:]) % 2 == 0 for name in found - {"twin"})


def test_map_renames_columns(run, tmp_path):
    write_feed(tmp_path, "sku,photo,kind\n1,images/a.png,Dresses\n")
    maps = ["--map", "sku=product_id", "--map", "photo=image", "--map", "kind=article_type"]
    assert run("index", "products.csv", *maps).code == 0
    assert stored(tmp_path, "1").category == "dress"


# --- ground truth -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "labels", "category"),
    [
        ("street-ccp", "jumper vest", "top"),
        ("street-ccp", "romper bodysuit", "jumpsuit"),
        ("street-ccp", "cardigan cape suit", "outerwear"),
        ("street-ccp", "purse wallet", "bag"),
        ("street-ccp", "tights stockings hair watch", None),
        ("street-voc", "shirt", "top"),
    ],
)
def test_labels_of_the_street_sets(source, labels, category):
    assert {TAXONOMY.sources[source].labels[label] for label in labels.split()} == {category}


@pytest.mark.parametrize(
    ("types", "category"),
    [
        (["Kurtas", "Kurtis", "Tunics"], "top"),
        (["Capris", "Leggings", "Jeggings", "Churidar", "Track Pants"], "trousers"),
        (["Mufflers", "Stoles"], "scarf"),
        (["Flip Flops"], "shoes"),
        (["Wallets"], "bag"),
        (["Watches", "Socks", "Perfume and Body Mist"], None),
    ],
)
def test_article_types_of_the_catalogue(types, category):
    assert {TAXONOMY.category_of(name) for name in types} == {category}


@pytest.mark.parametrize(
    ("names", "colour"),
    [
        ("Silver,Steel,Metallic", "grey"),
        ("Gold,Mustard", "yellow"),
        ("Copper,Bronze,Coffee Brown", "brown"),
        ("Navy Blue,Navy,Teal", "blue"),
        ("Khaki,Nude,Skin", "beige"),
        ("Maroon,Burgundy", "red"),
        ("Rust", "orange"),
        ("Magenta,Rose,Peach", "pink"),
        ("Lavender", "purple"),
        ("Olive", "green"),
    ],
)
def test_colour_names(names, colour):
    assert {TAXONOMY.base_colour(name) for name in names.split(",")} == {colour}


def test_validation_products_are_those_whose_id_ends_in_0():
    from twinset.evaluate.shots import is_validation
    from twinset.types import Product

    assert [is_validation(Product(name, ())) for name in ("10", "01", "x0")] == [True, False, True]


def test_a_mask_becomes_boxes_as_agreed():
    pytest.importorskip("scipy")
    from twinset.data.ccp import mask_boxes

    names = ("null", "shirt", "sweater", "shoes", "belt")
    mask = np.zeros((100, 100), np.uint8)
    mask[0:20, 0:20], mask[20:40, 0:20] = 1, 2  # a shirt under a sweater: two tops
    mask[80:100, 0:10], mask[80:100, 50:60] = 3, 3  # a pair of shoes: one box
    mask[50, 90] = 3  # a stray
    mask[60:67, 60:70] = 4  # under 80 pixels
    found = set(mask_boxes(mask, names, TAXONOMY.sources["street-ccp"]))
    assert found == {("top", (0, 0, 20, 20)), ("top", (0, 20, 20, 40)), ("shoes", (0, 80, 60, 100))}


@pytest.mark.real
@pytest.mark.skipif("TWINSET_DATA" not in os.environ, reason="needs TWINSET_DATA, a folder of labelled photos")
@pytest.mark.parametrize(("name", "photos"), [("street-voc", 269), ("street-ccp", 100)])
def test_the_truth_of_val_is_the_corrected_file(name, photos):
    from twinset.data.ccp import read_ccp
    from twinset.data.voc import read_voc

    folder = Path(os.environ["TWINSET_DATA"]) / name
    corrected = json.loads((folder / "val.coco.json").read_text())
    read = (read_voc if name == "street-voc" else read_ccp)(folder, "val", TAXONOMY)
    assert len(read.images) == photos
    assert sum(len(image.boxes) for image in read.images) == len(corrected["annotations"])
