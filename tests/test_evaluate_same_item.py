"""Products photographed several times, drawn: what is found first is worked out by hand."""

import json
from pathlib import Path

import pytest
from fakes import FakeModels, draw_item, draw_photo, draw_product, save_image

from twinset.errors import DataError
from twinset.evaluate import report_items
from twinset.evaluate.same_item import Query, evaluate_same_item, kept_hits, read_pairs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tee seen twice, one cell apart; a bag seen twice; and a photo in which a tee is worn with larger trousers."""
    pictures = {
        "tee-a": draw_product("top", 0),
        "tee-b": draw_product("top", 1),
        "bag-a": draw_product("bag", 0),
        "bag-b": draw_product("bag", 3),
        "worn-a": draw_product("top", 255),
        "worn-b": draw_photo((draw_item("top", 255), (24, 0)), (draw_item("trousers", 0, (90, 64)), (3, 64))),
    }
    for name, picture in pictures.items():
        save_image(picture, tmp_path / "images" / f"{name}.png")
    kinds = {"tee": "front-back", "bag": "other-pose", "worn": "crop-fullbody"}
    rows = [f"{name},images/{name}-a.png,images/{name}-b.png,{kind}" for name, kind in kinds.items()]
    (tmp_path / "pairs.csv").write_text("\n".join(["item_id,image_a,image_b,kind", *rows]), encoding="utf-8")
    return tmp_path


def test_each_pair_is_asked_in_both_directions(folder):
    figures = evaluate_same_item(folder, FakeModels(), {})
    assert figures.photos == 6
    row = figures.encoders["fake"]
    assert (row.n, row.n_no_full_body) == (6, 4)
    assert row.per_kind == {"crop-fullbody": 0.5, "front-back": 1, "other-pose": 1}  # worn-b was indexed as trousers
    assert (row.recall_at_1, row.recall_at_1_no_full_body) == (pytest.approx(5 / 6), 1)
    assert list(figures.encoders) == ["fake", "lab-histogram"]


def test_a_feed_with_categories_says_which_item_is_the_product(folder):
    figures = evaluate_same_item(folder, FakeModels(), {}, {"tee": "top", "bag": "bag", "worn": "top"})
    assert figures.encoders["fake"].per_kind["crop-fullbody"] == 1


def test_the_query_and_its_items_other_views_are_taken_out_but_for_the_target():
    item_of = {"q": "one", "other view": "one", "target": "one", "else": "two"}
    query = Query("one", "q", "target", "front-back")
    assert kept_hits(["q", "else", "other view", "target"], query, item_of) == ["else", "target"]


def test_progress_is_told_of_photos_indexed_and_asked(folder):
    done: list[int] = []
    evaluate_same_item(folder, FakeModels(), {}, advance=done.append)
    assert sum(done) == 12


@pytest.mark.parametrize("text", ["", "item_id,image_a\nx,y", "item_id,image_a,image_b,kind"])
def test_a_folder_without_pairs_is_refused(tmp_path, text):
    (tmp_path / "pairs.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"pairs\.csv: expected"):
        read_pairs(tmp_path)


def test_a_row_that_is_too_short_is_named(tmp_path):
    (tmp_path / "pairs.csv").write_text("item_id,image_a,image_b,kind\n1,a.jpg,b.jpg,\n2,c.jpg\n", encoding="utf-8")
    with pytest.raises(DataError, match="image_b and kind in each row, found fewer in pair 2"):
        read_pairs(tmp_path)


def test_the_page_shows_wrong_answers_first(folder, tmp_path):
    report_items.write_same_item(tmp_path / "page.html", folder, evaluate_same_item(folder, FakeModels(), {}))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index("not found first") < page.index("front-back, found")
    assert page.count("<img") >= 12


def test_the_command_prints_figures(folder, run, fake_models):
    (folder / "categories.json").write_text('{"tee": "top", "bag": "bag", "worn": "top"}', encoding="utf-8")
    ran = run("evaluate", "same-item", folder, "--categories", folder / "categories.json", "--json")
    assert json.loads(ran.stdout)["recall_at_1"] == 1
    assert len(run("evaluate", "same-item", folder).stdout.splitlines()) == 3
    (folder / "categories.json").write_text("[1]", encoding="utf-8")
    ran = run("evaluate", "same-item", folder, "--categories", folder / "categories.json")
    assert ran.code == 1 and "expected a JSON object" in ran.stderr
