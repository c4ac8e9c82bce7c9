"""What scripts rely on, line by line: the command line and Python. The feed and HTTP are in test_contract_*.py.

A change that makes a test here fail breaks somebody's script.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from conftest import is_one_error_line, stored, write_feed
from fakes import FakeModels, draw_item, draw_photo, draw_street, make_feed, save_image

import twinset
from twinset.shop import Shop
from twinset.store import open_store

TOP_BOX = (40, 20, 88, 84)  # of draw_street
PHOTO_KEYS = {"image", "width", "height", "items"}
ITEM_KEYS = {"category", "score", "box", "colours"}
HIT_KEYS = {"product_id", "score", "category", "article_type", "title", "price", "currency", "image"}

# --- command line: output and exit codes ------------------------------------------------------------------------------


def test_results_go_to_stdout_and_everything_else_to_stderr(run, store, street, tmp_path):
    ran = run("search", street, "missing.jpg", "--store", store, "--html", "found.html", "--json")
    assert [line["image"] for line in ran.json_lines] == [str(street)]
    assert "missing.jpg" in ran.stderr and "found.html" in ran.stderr and (tmp_path / "found.html").exists()


def test_json_is_one_object_a_photo_in_argument_order(run, tmp_path):
    for name in ("b.png", "a.png"):
        save_image(draw_street(), tmp_path / name)
    assert [line["image"] for line in run("detect", "b.png", "a.png", "--json").json_lines] == ["b.png", "a.png"]


def test_folders_are_walked_recursively_in_sorted_order(run, tmp_path):
    for name in ("z.png", "b/y.png", "a.png", "b/deep/x.jpg"):
        save_image(draw_street(), tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    images = [line["image"] for line in run("detect", "photos", "--json").json_lines]
    assert images == ["photos/a.png", "photos/b/deep/x.jpg", "photos/b/y.png", "photos/z.png"]


def test_image_is_the_path_as_given(run, tmp_path):
    path = save_image(draw_street(), tmp_path / "photos" / "street.png")
    given = ["photos/street.png", "./photos/../photos/street.png", str(path)]
    assert [line["image"] for line in run("detect", *given, "--json").json_lines] == given


def test_scores_and_boxes_have_at_least_four_decimals(run, store, street, fake_models):
    item = run("search", street, "--store", store, "--category", "top", "--json").json["items"][0]
    exact = Shop(fake_models, open_store(store)).search(street, category="top")[0]
    assert item["score"] == pytest.approx(exact.score, abs=5e-5)
    assert item["box"] == pytest.approx(exact.box, abs=5e-5)
    assert [h["score"] for h in item["hits"]] == pytest.approx([h.score for h in exact.hits], abs=5e-5)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("detect missing.jpg", id="missing-photo"),
        pytest.param("detect text.jpg", id="unreadable-photo"),
        pytest.param("detect empty.jpg", id="empty-photo"),
        pytest.param("index missing.csv", id="missing-feed"),
        pytest.param("search street.png --store missing", id="missing-store"),
        pytest.param("similar p000 --store missing", id="similar-missing-store"),
        pytest.param("similar unknown --store STORE", id="unknown-id"),
        pytest.param("similar p000 --shop other --store STORE", id="unknown-shop"),
        pytest.param("evaluate packshots missing.csv", id="missing-evaluation-feed"),
        pytest.param("evaluate detector --voc missing", id="missing-folder"),
    ],
)
def test_what_is_wrong_with_data_exits_with_1_and_one_line(run, store, street, tmp_path, command):
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.jpg").write_bytes(b"")
    ran = run(*command.replace("STORE", store).split())
    assert ran.code == 1 and ran.stdout == "" and is_one_error_line(ran.stderr), ran


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("detect street.png --bogus", id="unknown-flag"),
        pytest.param("bogus", id="unknown-command"),
        pytest.param("detect", id="no-photo"),
        pytest.param("detect street.png --min-score 2", id="min-score"),
        pytest.param("detect street.png --threads 0", id="threads"),
        pytest.param("search street.png --store STORE --k 0", id="k"),
        pytest.param("search street.png --store STORE --k many", id="k-word"),
        pytest.param("search street.png --store STORE --category sock", id="category"),
        pytest.param("search street.png --store STORE --box 1,2,3", id="box-of-three"),
        pytest.param("search street.png --store STORE --box 9,9,1,1", id="box-inside-out"),
        pytest.param("search street.png --store STORE --box 900,900,999,999", id="box-outside"),
        pytest.param("search street.png street.png --store STORE --box 1,1,9,9", id="box-with-two-photos"),
        pytest.param("search street.png --store STORE --box 1,1,9,9 --whole", id="box-and-whole"),
        pytest.param("search street.png --store STORE --where bogus=1", id="unknown-filter-field"),
        pytest.param("search street.png --store missing --where bogus=1", id="usage-before-data"),
        pytest.param("search street.png --store STORE --where price=cheap", id="filter-value"),
        pytest.param("similar p000 --store STORE --where colour=loud", id="filter-colour"),
        pytest.param("index feed.csv --map sku", id="map"),
        pytest.param("evaluate detector", id="no-data-set"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_line(run, store, street, tmp_path, command):
    write_feed(tmp_path, "product_id,image\n1,images/a.png\n", "feed.csv")
    ran = run(*command.replace("STORE", store).split())
    assert ran.code == 2 and ran.stdout == "" and is_one_error_line(ran.stderr), ran


def test_an_unreadable_photo_among_several_has_its_line_and_the_rest_goes_on(run, street, tmp_path):
    (tmp_path / "text.jpg").write_text("hello")
    ran = run("detect", "text.jpg", "street.png", "missing.png", "--json")
    assert ran.code == 1
    assert [line["image"] for line in ran.json_lines] == ["street.png"]
    first, second = ran.stderr.splitlines()
    assert first.startswith("Error: text.jpg") and second.startswith("Error: missing.png")


def test_store_defaults_to_the_environment_else_to_twinset_store(
    run, store, shop_folder, street, tmp_path, monkeypatch
):
    missing = run("search", street)
    assert missing.code == 1 and "twinset-store" in missing.stderr
    shutil.copytree(store, tmp_path / "twinset-store")
    assert run("similar", "p000", "--json").json["hits"]
    monkeypatch.setenv("TWINSET_STORE", str(tmp_path / "elsewhere"))
    assert "elsewhere" in run("search", street).stderr
    assert run("search", street, "--store", store).code == 0


@pytest.mark.parametrize("command", ["detect", "index", "search", "similar", "serve", "demo", "evaluate detector"])
def test_model_chooses_weights_everywhere(run, command):
    assert "--model" in run(*command.split(), "--help").stdout


def test_a_model_that_is_no_name_and_no_folder_is_an_error(run, street, monkeypatch):
    monkeypatch.undo()
    ran = run("detect", street, "--model", "nothing-like-it")
    assert ran.code == 1 and is_one_error_line(ran.stderr)


# --- command line: the commands ---------------------------------------------------------------------------------------


def test_detect_prints_items_in_descending_score(run, street):
    answer = run("detect", street, "--json").json
    assert answer.keys() >= PHOTO_KEYS and (answer["width"], answer["height"]) == (160, 200)
    assert [item["category"] for item in answer["items"]] == ["trousers", "top", "bag"]
    assert all(item.keys() >= ITEM_KEYS for item in answer["items"])
    top = answer["items"][1]
    assert top["box"] == list(TOP_BOX) and top["colours"] == [{"name": "red", "share": 1.0}]
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


def test_detect_uses_the_operating_threshold_unless_told(run, tmp_path):
    save_image(draw_photo((draw_item("bag", 0, (10, 10)), (20, 20)), size_wh=(160, 200)), tmp_path / "speck.png")
    assert run("detect", "speck.png", "--json").json["items"] == []
    assert len(run("detect", "speck.png", "--min-score", 0, "--json").json["items"]) == 1


def test_index_reports_rows_and_skips_bad_ones(run, tmp_path):
    write_feed(tmp_path, "product_id,image\n1,images/a.png\n,images/b.png\n3,images/none.png\n1,images/c.png\n")
    ran = run("index", "products.csv", "--json")
    report = ran.json
    assert ran.code == 0
    assert {"products": 4, "indexed": 1, "unchanged": 0}.items() <= report.items() and report["seconds"] >= 0
    assert [(row["line"], row["product_id"]) for row in report["failed"]] == [(3, ""), (4, "3"), (5, "1")]
    assert all(row["reason"] for row in report["failed"])
    assert run("index", "products.csv", "--json").json["unchanged"] == 1


@pytest.mark.parametrize("row", [",images/b.png", "2,images/none.png"], ids=["bad-row", "missing-image"])
def test_strict_stops(run, tmp_path, row):
    write_feed(tmp_path, f"product_id,image\n1,images/a.png\n{row}\n")
    ran = run("index", "products.csv", "--strict")
    assert ran.code == 1 and is_one_error_line(ran.stderr) and "products.csv:3" in ran.stderr


def test_a_row_that_is_gone_from_the_feed_is_no_delete(run, tmp_path):
    write_feed(tmp_path, "product_id,image\n1,images/a.png\n2,images/b.png\n")
    run("index", "products.csv")
    write_feed(tmp_path, "product_id,image\n1,images/a.png\n")
    run("index", "products.csv")
    assert stored(tmp_path, "2").product_id == "2"


def test_search_prints_hits_for_each_item(run, store, street):
    answer = run("search", street, "--store", store, "--k", 3, "--json").json
    assert answer.keys() >= PHOTO_KEYS
    for item in answer["items"]:
        assert ITEM_KEYS | {"hits"} <= item.keys() and len(item["hits"]) == 3
        assert all(hit.keys() >= HIT_KEYS for hit in item["hits"])
        assert {hit["category"] for hit in item["hits"]} == {item["category"]}  # searched within its category
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


def test_search_gives_24_hits_by_default(run, tmp_path, street):
    make_feed(tmp_path / "large", 150)
    run("index", "large/products.csv")
    assert [len(item["hits"]) for item in run("search", street, "--json").json["items"]] == [24, 24, 24]


def test_hits_are_one_per_product_in_descending_score_ties_by_product_id(run, store, shop_folder):
    photo = shop_folder / "images" / "p000.png"
    hits = run("search", photo, "--store", store, "--json").json["items"][0]["hits"]
    ids = [hit["product_id"] for hit in hits]
    assert ids[:2] == ["p000", "twin"] and hits[0]["score"] == hits[1]["score"] == pytest.approx(1)
    assert len(set(ids)) == len(ids)
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


def test_one_product_with_several_images_is_one_hit(run, tmp_path, street):
    write_feed(tmp_path, "product_id,images,category\n1,images/a.png|images/b.png,top\n")
    run("index", "products.csv")
    hits = run("search", street, "--category", "top", "--json").json["items"][0]["hits"]
    assert [hit["product_id"] for hit in hits] == ["1"]


def test_category_keeps_items_of_that_category(run, store, street):
    items = run("search", street, "--store", store, "--category", "bag", "--json").json["items"]
    assert [item["category"] for item in items] == ["bag"]


def test_box_is_one_item_in_pixels_after_exif_rotation(run, store, tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: show it turned clockwise
    lying = Image.fromarray(np.rot90(draw_street()))
    lying.save(tmp_path / "lying.png", exif=exif)
    answer = run("search", "lying.png", "--store", store, "--box", "40,20,88,84", "--json").json
    (item,) = answer["items"]
    assert (answer["width"], answer["height"]) == (160, 200)
    assert item["box"] == list(TOP_BOX) and item["category"] == "top" and item["score"] > 0.3


def test_a_box_that_overlaps_no_detection_searches_all_categories(run, store, street):
    (item,) = run("search", street, "--store", store, "--box", "0,150,30,199", "--json").json["items"]
    assert item["category"] is None and item["score"] is None
    assert len({hit["category"] for hit in item["hits"]}) > 1


def test_category_with_box_sets_the_category_of_the_crop(run, store, street):
    box = ",".join(map(str, TOP_BOX))
    (item,) = run("search", street, "--store", store, "--box", box, "--category", "dress", "--json").json["items"]
    assert item["category"] == "dress" and {hit["category"] for hit in item["hits"]} == {"dress"}


def test_whole_searches_the_photo_over_all_categories(run, store, street):
    (item,) = run("search", street, "--store", store, "--whole", "--json").json["items"]
    assert item["box"] == [0, 0, 160, 200] and item["category"] is None and item["score"] is None
    assert len({hit["category"] for hit in item["hits"]}) > 1


@pytest.mark.parametrize("command", ["detect", "search"])
def test_no_item_found_is_an_empty_list_and_exit_code_0(run, store, tmp_path, monkeypatch, command):
    save_image(draw_photo(), tmp_path / "nothing.png")
    monkeypatch.setenv("TWINSET_STORE", store)
    ran = run(command, "nothing.png", "--json")
    assert ran.code == 0 and ran.json["items"] == []


@pytest.mark.parametrize(
    ("where", "ids"),
    [  # the tops are p000, p005 ... p025 at 10, 15 ... 35; every p whose number is 3 modulo 4 is out of stock
        pytest.param(["price<20"], {"p000", "p005", "twin"}, id="<"),
        pytest.param(["price<=20"], {"p000", "p005", "p010", "twin"}, id="<="),
        pytest.param(["price>30"], {"p025"}, id=">"),
        pytest.param(["price>=30"], {"p020", "p025"}, id=">="),
        pytest.param(["price=15,20"], {"p005", "p010"}, id="=several"),
        pytest.param(["price!=10"], {"p005", "p010", "p015", "p020", "p025"}, id="!="),
        pytest.param(["price>=15", "price<=25"], {"p005", "p010", "p015"}, id="anded"),
        pytest.param(["in_stock=false"], {"p015"}, id="in_stock"),
        pytest.param(["colour=red", "price<12"], {"p000", "twin"}, id="colour"),
        pytest.param(["colour=blue"], set(), id="other-colour"),
        pytest.param(["category=top", "price<12"], {"p000", "twin"}, id="category"),
        pytest.param(["shop=default", "price<12"], {"p000", "twin"}, id="shop"),
        pytest.param(["tags.season=winter", "price<20"], {"p005"}, id="tags"),
    ],
)
def test_where_filters(run, store, street, where, ids):
    flags = [part for condition in where for part in ("--where", condition)]
    (item,) = run("search", street, "--store", store, "--category", "top", *flags, "--json").json["items"]
    assert {hit["product_id"] for hit in item["hits"]} == ids


def test_similar_prints_hits_without_the_product_itself(run, store):
    answer = run("similar", "p000", "--store", store, "--k", 3, "--json").json
    assert answer["product_id"] == "p000" and len(answer["hits"]) == 3
    ids = [hit["product_id"] for hit in answer["hits"]]
    assert ids[0] == "twin" and "p000" not in ids and answer["hits"][0].keys() >= HIT_KEYS
    only = run("similar", "p000", "--store", store, "--where", "price>30", "--shop", "default", "--json").json
    assert [hit["product_id"] for hit in only["hits"]] == ["p025"]


def test_evaluate_prints_figures_by_name(run, tmp_path, fake_models, monkeypatch):
    pytest.importorskip("faster_coco_eval")
    monkeypatch.setattr(FakeModels, "detector", fake_models, raising=False)
    save_image(draw_street(), tmp_path / "street.png")
    image = {"id": 1, "file_name": "street.png", "width": 160, "height": 200}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [40, 20, 48, 64], "area": 3072, "iscrowd": 0}
    coco = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "top"}]}
    (tmp_path / "truth.json").write_text(json.dumps(coco))
    figures = run("evaluate", "detector", "--coco", "truth.json", "--json").json
    assert figures["map_50"] == figures["map_50_95"] == pytest.approx(1)
    assert figures["n"] == 1 and figures["per_category"]["top"]["n"] == 1


def test_serve_listens_on_127_0_0_1_port_8000_by_default(run, store, monkeypatch):
    asked = {}
    monkeypatch.setattr("twinset.server.run.serve", lambda store, **given: asked.update(given, store=store))
    assert run("serve").code == 0
    assert (asked["store"], asked["host"], asked["port"]) == ("twinset-store", "127.0.0.1", 8000)
    run("serve", "--store", store, "--host", "0.0.0.0", "--port", 80)
    assert (asked["store"], asked["host"], asked["port"]) == (store, "0.0.0.0", 80)


def test_demo_prints_its_url(tmp_path):
    script = (
        "import twinset.models, twinset.demo, twinset.cli; from fakes import FakeModels; models = FakeModels()\n"
        "twinset.models.load_models = twinset.demo.load_models = lambda *args, **given: models\n"
        "twinset.demo.PRODUCTS, twinset.demo.LOOKS = 6, 1\n"
        f"import sys; sys.argv = ['twinset', 'demo', '--port', '0', '--no-open', '--folder', {str(tmp_path)!r}]\n"
        "twinset.cli.main()"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/?", url)
        with urllib.request.urlopen(url.rstrip("/") + "/readyz", timeout=10) as response:
            assert response.status == 200
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


# --- Python -----------------------------------------------------------------------------------------------------------


def test_the_example_of_the_contract_runs(fake_models, shop_folder, street, tmp_path, monkeypatch):
    shutil.copytree(shop_folder / "store", tmp_path / "twinset-store")
    monkeypatch.chdir(tmp_path)
    shop = twinset.open_shop("twinset-store")
    for item in shop.search("street.png", k=24):
        assert item.category and len(item.box) == 4 and item.hits
    assert [item.category for item in shop.detect("street.png")] == ["trousers", "top", "bag"]
    assert [item.category for item in shop.detect(draw_street())] == ["trousers", "top", "bag"]
    assert shop.similar("p000")[0].product_id == "twin"
    assert shop.index(shop_folder / "products.csv").unchanged == 32
