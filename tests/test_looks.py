"""What is worn together: learned from outfits, judged by guessing a hidden item, used to complete a product's look."""

import json
import shutil

import numpy as np
import pytest
from conftest import is_one_error_line
from fakes import FakeModels, draw_street, save_image
from test_store import MODEL, make_entry, unit

from twinset.cli.base import print_json
from twinset.data.labelled import LabelledImage
from twinset.errors import DataError, ModelError, NotFound
from twinset.evaluate.looks import evaluate_looks
from twinset.looks.complete import complete_look, style_fit
from twinset.looks.model import LookModel, inputs, load_looks, save_looks
from twinset.looks.outfits import Outfit, outfits_of
from twinset.looks.train import LookSettings, train_looks
from twinset.models import WEIGHTS
from twinset.rules import Rules, save_rules
from twinset.shop import Shop
from twinset.store import open_shelf, open_store
from twinset.store.generations import Generation, Generations, write_generations
from twinset.types import Colour, Product

CATEGORIES, COLOURS = ("top", "trousers", "bag"), ("red", "blue", "black")


def worn(*pairs):
    return Outfit("street-ccp", tuple(tuple(pair.split()[::-1]) for pair in pairs))


# Red tops go with black trousers, blue ones with blue trousers; bags are black.
OUTFITS = [worn("red top", "black trousers", "black bag"), worn("blue top", "blue trousers", "black bag")] * 20
QUICK = LookSettings(strength=0.1, steps=60)


@pytest.fixture(scope="module")
def looks() -> LookModel:
    return train_looks(QUICK, OUTFITS, CATEGORIES, COLOURS)


def test_an_outfit_is_the_labelled_items_with_their_measured_colours(tmp_path):
    path = save_image(draw_street(), tmp_path / "street.png")
    boxes = np.array([[40, 20, 88, 84], [40, 100, 88, 190], [110, 80, 140, 110]], np.float32)
    undecided = np.array([False, False, True])
    image = LabelledImage(path, 160, 200, boxes, ("top", "trousers", "bag"), undecided, "test")
    alone = LabelledImage(path, 160, 200, boxes[:1], ("top",), undecided[:1], "test")
    unread = LabelledImage(tmp_path / "gone.png", 160, 200, boxes, image.labels, undecided, "test")
    done = []
    found = list(outfits_of([image, alone, unread], FakeModels(), done.append))
    assert found == [Outfit("test", (("top", "red"), ("trousers", "black")))] and done == [3]


def test_what_is_known_of_an_outfit_is_numbers():
    row = inputs([("trousers", "blue"), ("shoes", "blue")], CATEGORIES, COLOURS, whole=True).tolist()
    assert row == [0, 0, 0, 0, 1, 0, 0, 0, 0, *(0, 1, 0), *(0, 1, 0), *(1, 0, 1), 1]
    assert inputs([("bag", "red")], CATEGORIES, COLOURS).tolist()[-4:] == [0, 0, 0, 1]


def test_colours_that_are_worn_together_are_learned(looks):
    for colour, trousers in (("red", "black"), ("blue", "blue")):
        chances = looks.chances([("top", colour)])
        assert chances.sum() == pytest.approx(1) and (chances > 0).all()
        assert COLOURS[chances[CATEGORIES.index("trousers")].argmax()] == trousers
    assert looks.frequency.reshape(3, 3).tolist() == pytest.approx(np.array([[1, 1, 0], [0, 1, 1], [0, 0, 2]]) / 6)


def test_a_hidden_item_is_guessed_better_than_by_frequency(looks):
    figures = evaluate_looks(OUTFITS[:2], looks)
    assert (figures.n, figures.outfits) == (6, 2)
    assert figures.model.top_1 == 1 and figures.frequency.top_1 == pytest.approx(1 / 3)  # the black bags
    assert figures.per_category["trousers"][0] == 2
    print_json(figures.as_json())


def test_an_item_that_the_model_does_not_know_is_a_wrong_guess(looks):
    figures = evaluate_looks([worn("red top", "black hat")], looks)
    assert figures.model.top_3 <= 0.5 and "hat" not in figures.per_category


def test_nothing_to_learn_from_or_to_judge_by_is_said(looks):
    with pytest.raises(DataError, match="found none"):
        train_looks(QUICK, [], CATEGORIES, COLOURS)
    with pytest.raises(DataError, match="found none"):
        evaluate_looks([], looks)
    with pytest.raises(ValueError, match="strength"):
        LookSettings(strength=-1)


def test_a_saved_model_says_the_same(looks, tmp_path):
    save_looks(looks, tmp_path / "new", outfits=40)
    read = load_looks(tmp_path / "new")
    np.testing.assert_allclose(read.chances([("top", "red")]), looks.chances([("top", "red")]), atol=1e-3)
    assert json.loads((tmp_path / "new" / "looks.json").read_text())["outfits"] == 40


SHORT = '{"format":1,"categories":["top"],"colours":["red"],"weights":[[1]],"frequency":[1]}'


@pytest.mark.parametrize("text", ["", "{}", '{"format": 9}', SHORT])
def test_a_damaged_model_is_named(tmp_path, text):
    (tmp_path / "looks.json").write_text(text)
    with pytest.raises(ModelError, match="train looks"):
        load_looks(tmp_path)


def test_a_model_without_looks_uses_those_that_ship(tmp_path):
    assert "shoes" in load_looks(tmp_path).categories


def test_a_model_that_ships_without_looks_has_none(run, store):
    with pytest.raises(ModelError, match=r"model clean: expected a model of looks, found no looks\.json; put one of"):
        load_looks(WEIGHTS / "clean")
    ran = run("look", "p000", "--store", store, "--model", "clean")
    assert (ran.code, ran.stdout) == (1, "") and is_one_error_line(ran.stderr)
    models = FakeModels()
    models.folder = WEIGHTS / "clean"
    shop = Shop(models, open_store(store, models.version))
    assert shop.look("p000") == []
    with pytest.raises(NotFound):
        shop.look("nothing")


# --- complete the look ------------------------------------------------------------------------------------------------


def listed(product_id, category, colour, angle=0.0, **fields):
    vector = unit(np.cos(np.radians(angle)), np.sin(np.radians(angle)))
    return make_entry(product_id, vector, category=category, colours=(Colour(colour, 0.9),), **fields)


def test_a_look_is_other_categories_in_colours_that_go(tmp_path, new_uri, looks):
    store = open_store(new_uri(tmp_path), MODEL, create=True)
    store.upsert(
        [
            listed("tee", "top", "red", title="Men Red Tee"),
            listed("other tee", "top", "black"),
            listed("black jeans", "trousers", "black", 40),
            listed("blue jeans", "trousers", "blue", 1),
            listed("hers", "trousers", "black", 0, title="Women Black Jeans"),
            listed("elsewhere", "trousers", "black", 0, shop="other"),
            listed("bag", "bag", "black"),
            listed("watch", None, "black"),
        ]
    )
    parts = complete_look("tee", store, looks)
    assert {part.category: [hit.product_id for hit in part.hits] for part in parts} == {
        "trousers": ["black jeans", "blue jeans"],
        "bag": ["bag"],
    }
    assert all(0 <= hit.score <= 1 for part in parts for hit in part.hits)
    assert [part.share for part in parts] == sorted((part.share for part in parts), reverse=True)
    assert len(complete_look("tee", store, looks, categories=1)) == 1
    assert complete_look("tee", store, looks, where=["product_id=bag"])[0].hits[0].product_id == "bag"
    assert complete_look("watch", store, looks) == []
    store.upsert([listed("sold out", "bag", "black", 0, in_stock=False)])
    save_rules(store, Rules(only_in_stock=True))
    (bags,) = (part.hits for part in complete_look("tee", store, looks) if part.category == "bag")
    assert [hit.product_id for hit in bags] == ["bag"]
    with pytest.raises(NotFound):
        complete_look("nothing", store, looks)


def test_style_is_gender_first_then_tags_that_both_have():
    men, women = Product("a", ("a",), title="Men Tee"), Product("b", ("b",), title="Jeans", tags={"gender": "Women"})
    assert style_fit(men, women) == 0 and style_fit(men, Product("c", ("c",), title="Bag")) == 1
    sports, casual = (Product("d", ("d",), tags={"usage": usage}) for usage in ("Sports", "Casual"))
    assert style_fit(sports, casual) == 0.6 and style_fit(sports, sports) == 1


def test_the_command_prints_a_look(run, store, tmp_path):
    answer = run("look", "p000", "--store", store, "--json").json
    assert answer["product_id"] == "p000" and all(part["category"] != "top" for part in answer["look"])
    assert answer["look"] and all(part["hits"] for part in answer["look"])
    assert run("look", "p000", "--store", store, "--html", tmp_path / "look.html").stdout.startswith("p000: ")
    assert 'class="query"' in (tmp_path / "look.html").read_text()


def test_the_command_goes_by_the_looks_of_the_model_that_was_rolled_out(run, tmp_path, looks):
    store = open_store(tmp_path / "store", MODEL, create=True)
    store.upsert([listed("tee", "top", "red"), listed("jeans", "trousers", "black"), listed("shoe", "shoes", "black")])
    folder = shutil.copytree(WEIGHTS / "default", tmp_path / "mine")
    save_looks(looks, folder)
    rolled = (Generation(1, MODEL, str(folder)),)
    write_generations(open_shelf(tmp_path / "store"), Generations(1, None, 1, rolled))

    def shown(*flags):
        look = run("look", "tee", "--store", tmp_path / "store", "--json", *flags).json["look"]
        return {part["category"] for part in look}

    assert shown() == {"trousers"}  # it knows no shoes
    assert shown("--model", "default") == {"trousers", "shoes"}
    shutil.rmtree(folder)
    assert shown() == {"trousers", "shoes"}
