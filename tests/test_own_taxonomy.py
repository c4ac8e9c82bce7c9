"""A model with a taxonomy of its own: its categories are known wherever one is named, others are refused as theirs."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Ran, http_client, is_one_error_line, wait_until_ready
from fakes import PAINT, FakeModels, draw_item, draw_photo, draw_product, save_image
from test_store import MODEL, make_entry, unit

import twinset
from twinset.data.label_studio import make_tasks
from twinset.describe.words import lexicon_of, read_words
from twinset.errors import FilterError, UsageError
from twinset.hits import Wanted, similar_page
from twinset.images import read_image
from twinset.indexing import index_feed
from twinset.models import FILES, WEIGHTS, find_taxonomy, model_version
from twinset.reindexing import describer
from twinset.rollout import reindex
from twinset.rules import Rules, load_rules, parse_rules, save_rules
from twinset.server.app import ServerSettings, create_app
from twinset.shop import Shop, taxonomy_for
from twinset.store import Key, open_shelf, open_store, parse_where
from twinset.store.filters import Condition
from twinset.store.generations import Generation, Generations, write_generations
from twinset.store.where import condition_text
from twinset.taxonomy import Taxonomy, default_taxonomy, known_by, read_taxonomy
from twinset.types import Detections

NEW = "swimwear"
SHIPPED = Path(twinset.__file__).with_name("taxonomy.toml")
DEFAULT_NAMES = (
    "top, outerwear, dress, jumpsuit, trousers, shorts, skirt, shoes, bag, hat, glasses, belt, scarf"  # to the letter
)
OWN_NAMES = f"{DEFAULT_NAMES}, {NEW}".replace("skirt, ", "")


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """The folder of a model that knows swimwear, and calls skirts shorts."""
    folder = tmp_path_factory.mktemp("model") / "mine"
    folder.mkdir()
    for name in FILES:
        if name.endswith(".json"):
            shutil.copyfile(WEIGHTS / "default" / name, folder / name)
        else:
            (folder / name).touch()
    shutil.copyfile(WEIGHTS / "default" / "looks.json", folder / "looks.json")
    text = SHIPPED.read_text(encoding="utf-8").replace(f'"{NEW}", ', "")
    text = text.replace('category = "skirt"', 'category = "shorts"').replace('skirt = "skirt"', 'skirt = "shorts"')
    lines = [line for line in text.splitlines() if not line.startswith("skirt = { group")]
    text = "\n".join(lines).replace('"skirt", ', "")
    new = f'{NEW} = {{ group = "clothes/one-piece", en = "Swimwear", ko = "수영복" }}\n\n# Finer'
    kind = f'[article_types]\nbikini = {{ category = "{NEW}", en = "Bikini", ko = "비키니" }}'
    text = text.replace("\n# Finer", new, 1).replace("[article_types]", kind)
    (folder / "taxonomy.toml").write_text(text, encoding="utf-8")
    config = json.loads((folder / "detector.json").read_text(encoding="utf-8"))
    (folder / "detector.json").write_text(json.dumps(config | {"taxonomy": "taxonomy.toml"}), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def own(folder) -> Taxonomy:
    return read_taxonomy(folder / "taxonomy.toml")


@pytest.fixture(scope="session")
def models(folder, own) -> FakeModels:
    """That model: what the fakes' detector calls a belt is swimwear to it."""
    models = FakeModels(model_version(folder))
    models.taxonomy, models.folder = own, folder
    models.categories = tuple({"belt": NEW, "skirt": "shorts"}.get(name, name) for name in PAINT)
    return models


@pytest.fixture(scope="session")
def filled(tmp_path_factory, models) -> Path:
    """A store of six swimsuits, s0 to s5, and two tops, t0 and t1."""
    where = tmp_path_factory.mktemp("shop")
    with (where / "products.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["product_id", "title", "category", "price", "currency", "image"])
        for i in range(6):
            image = save_image(draw_product("belt", i), where / f"s{i}.png")
            writer.writerow([f"s{i}", f"Suit {i}", (NEW, "Bikini", "수영복")[i % 3], 20 - i, "EUR", image.name])
        for i in range(2):
            image = save_image(draw_product("top", i), where / f"t{i}.png")
            writer.writerow([f"t{i}", f"Top {i}", "top", 5, "EUR", image.name])
    assert index_feed(where / "products.csv", where / "store", models).indexed == 8
    return where / "store"


@pytest.fixture
def photo(tmp_path) -> Path:
    """A photo of a swimsuit and a top."""
    items = (draw_item("belt", 3), (10, 30)), (draw_item("top", 1), (90, 30))
    return save_image(draw_photo(*items, size_wh=(160, 128), background=128), tmp_path / "beach.png")


@pytest.fixture
def ask(run, models, folder, filled, monkeypatch):
    """Runs a command on that store with that model."""
    monkeypatch.setattr("twinset.models.load_models", lambda name="default", threads=None: models)
    return lambda *words: run(*words, "--store", filled, "--model", folder)


def ids(hits) -> set[str]:
    return {hit["product_id"] for hit in hits}


SUITS = {f"s{i}" for i in range(6)}

# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_filter_names_the_categories_of_its_taxonomy(own):
    assert parse_where([f"category={NEW},top"], own).conditions == (Condition("category", "=", (NEW, "top")),)
    with pytest.raises(FilterError) as caught:
        parse_where(["category=skirt"], own)
    assert str(caught.value) == f"where 'category=skirt': expected one of {OWN_NAMES}, found 'skirt'"


def test_without_a_taxonomy_a_filter_names_those_of_the_one_that_ships():
    with pytest.raises(FilterError) as caught:
        parse_where([f"category={NEW}"])
    assert str(caught.value) == f"where 'category={NEW}': expected one of {DEFAULT_NAMES}, found '{NEW}'"


def test_names_that_no_taxonomy_knows_may_be_taken_as_they_are():
    text = f"category={NEW} and colour=navy,glitter"
    conditions = Condition("category", "=", (NEW,)), Condition("colour", "=", ("blue", "glitter"))
    assert parse_where([text], strict=False).conditions == conditions


def test_a_facets_value_of_any_category_has_a_condition():
    assert condition_text("category", NEW) == f"category={NEW}"


RULES = {"boost": [{"where": f"category={NEW}", "by": 0.1}], "pin": [{"product_id": "s5", "category": NEW}]}


def test_rules_name_the_categories_of_their_taxonomy(own):
    assert parse_rules(json.dumps(RULES), own).pin[0].category == NEW
    for rules, field in (({"boost": RULES["boost"]}, "boost.0.where"), ({"pin": RULES["pin"]}, "pin.0.category")):
        with pytest.raises(UsageError, match=f"expected one of {DEFAULT_NAMES}") as caught:
            parse_rules(json.dumps(rules))
        assert caught.value.field == f"rules.{field}"
    with pytest.raises(UsageError, match=f"expected one of {OWN_NAMES}"):
        parse_rules('{"pin": [{"product_id": "s5", "category": "skirt"}]}', own)


def test_rules_of_a_category_that_the_next_model_lacks_end_no_search(tmp_path, own):
    store = open_store(tmp_path / "store", MODEL, create=True)
    store.upsert([make_entry(name, unit(1, i), category="top") for i, name in enumerate("abc")])
    bury = {"bury": [{"where": "product_id=b", "by": 0.5}]}
    save_rules(store, parse_rules(json.dumps(RULES | bury), own))
    assert load_rules(store) == Rules.model_validate(RULES | bury)
    hits = similar_page(store, Key("default", "a"), Wanted(taxonomy=default_taxonomy())).hits
    assert [(hit.product_id, hit.rule) for hit in hits] == [("c", None), ("b", "buried")]


def test_the_taxonomy_of_a_store_is_its_models(tmp_path, folder, own, models):
    open_store(tmp_path / "store", models.version, create=True)
    assert taxonomy_for(tmp_path / "store", str(folder)).names == own.names
    assert taxonomy_for(tmp_path / "store").names == default_taxonomy().names
    for source, names in ((str(folder), own.names), (str(tmp_path / "gone"), default_taxonomy().names)):
        rolled = Generations(1, None, 1, (Generation(1, models.version, source),))
        write_generations(open_shelf(tmp_path / "store"), rolled)
        assert taxonomy_for(tmp_path / "store").names == names


def test_words_mean_the_categories_of_the_models_taxonomy(models, filled, photo, own):
    said = {text: read_words(text, lexicon_of(own)).category for text in (NEW, "수영복", "bikini", "비키니를", "skirt")}
    assert said == dict.fromkeys(said, NEW) | {"skirt": "shorts"}
    assert read_words("bikini").category is None and read_words("skirt").category == "skirt"
    shop = Shop(models, open_store(filled))
    (item,) = shop.search(read_image(photo), words="bikini")
    assert item.category == NEW and {hit.product_id for hit in item.hits} == SUITS
    assert {hit.product_id for hit in shop.search_words("suit top not swimwear")} == {"t0", "t1"}


# --- commands ---------------------------------------------------------------------------------------------------------


def test_products_are_stored_in_the_categories_of_the_model(filled):
    store = open_store(filled)
    assert {store.get(f"s{i}").product.category for i in range(6)} == {NEW}
    assert {item.category for i in range(6) for item in store.get(f"s{i}").items} == {NEW}


def test_search_knows_the_models_categories(ask, photo):
    (item,) = ask("search", photo, "--category", NEW, "--facet", "category", "--json").json["items"]
    assert item["category"] == NEW and ids(item["hits"]) == SUITS
    assert item["facets"][0]["values"] == [{"value": NEW, "count": 6, "where": f"category={NEW}"}]
    (item,) = ask("search", photo, "--whole", "--where", f"category={NEW}", "--json").json["items"]
    assert ids(item["hits"]) == SUITS
    assert ids(ask("search", "--words", "suit top", "--where", f"category!={NEW}", "--json").json["hits"]) == {
        "t0",
        "t1",
    }


@pytest.mark.parametrize("strip", ["similar", "colours", "cheaper", "look"])
def test_strips_know_the_models_categories(ask, strip):
    ran = ask(strip, "s0", "--where", f"category={NEW}", "--json")
    assert ran.code == 0 and ran.json["product_id"] == "s0"
    if strip in ("similar", "cheaper"):
        assert ids(ran.json["hits"]) == SUITS - {"s0"}
    refused = ask(strip, "s0", "--where", "category=skirt")
    assert refused.code == 2 and f"expected one of {OWN_NAMES}, found 'skirt'" in refused.stderr


def test_rules_are_set_by_the_models_categories(ask, run, filled, photo, tmp_path):
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES), encoding="utf-8")
    try:
        assert ask("rules", "set", file).code == 0
        (item,) = ask("search", photo, "--category", NEW, "--json").json["items"]
        assert item["hits"][0]["product_id"] == "s5" and {hit["rule"] for hit in item["hits"]} == {"pinned", "boosted"}
        refused = run("rules", "set", file, "--store", filled)
        assert refused.code == 2 and is_one_error_line(refused.stderr) and DEFAULT_NAMES in refused.stderr
    finally:
        save_rules(open_store(filled), Rules())


@pytest.mark.parametrize(
    ("article_type", "category", "given", "expected"),
    [
        ("Skirts", "skirt", True, ("shorts", True)),  # whose types the model calls something else
        ("Bikini", None, False, (NEW, True)),  # a type the shipped taxonomy lacks
        ("Bikini", "top", False, (NEW, True)),
        ("sarong", "top", True, ("top", True)),
        ("Skirts", "top", True, ("top", True)),  # what the feed's own column says comes before the type
        ("sarong", "skirt", True, (None, False)),  # a category the model lacks
        ("sarong", "top", False, ("top", False)),
        (None, None, True, (None, True)),  # of no category, says the feed
    ],
)
def test_products_described_anew_are_in_the_new_models_categories(folder, article_type, category, given, expected):
    product = replace(make_entry("p").product, article_type=article_type, category=category, category_given=given)
    known = known_by(find_taxonomy(str(folder)), product)
    assert (known.category, known.category_given) == expected


def test_a_new_price_is_carried_over_to_another_taxonomy_without_describing_again(tmp_path, folder, models):
    save_image(draw_product("skirt", 1), tmp_path / "a.png")
    feed, uri = tmp_path / "feed.csv", tmp_path / "store"
    for price, described in ((10, 1), (12, 0)):
        feed.write_text(f"product_id,category,image,price\na,skirts,a.png,{price}\n", encoding="utf-8")
        index_feed(feed, uri, FakeModels())
        before, shelf = models.described, open_shelf(uri)
        generation, _ = reindex(shelf, models.version, str(folder), describer(models))
        product = shelf.open(generation.number, models.version, create=False).get("a").product
        assert (product.category, product.price, models.described - before) == ("shorts", price, described)


def test_sync_reads_the_models_categories(ask, run, models, folder, monkeypatch, tmp_path):
    save_image(draw_product("belt", 1), tmp_path / "a.png")
    feed = tmp_path / "feed.csv"
    feed.write_text(f"product_id,category,image\na,{NEW},a.png\n", encoding="utf-8")
    ran = run("sync", feed, "--store", tmp_path / "new", "--model", folder, "--json")
    assert ran.code == 0 and ran.stderr == ""
    assert open_store(tmp_path / "new").get("a").product.category == NEW


def test_labels_of_the_taxonomys_categories_come_back_from_label_studio(run, folder, photo, tmp_path):
    found = Detections(np.array([[10, 30, 58, 94]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    (task,) = make_tasks([(photo, 160, 128)], [found], (NEW,), "", photo.parent, "mine-1")
    annotation = {"result": task["predictions"][0]["result"]}
    (tmp_path / "export.json").write_text(json.dumps([{"data": task["data"], "annotations": [annotation]}]))
    words = ("data", "labelled", "export.json", tmp_path, "--out", "labelled.json", "--json")
    assert run(*words).json["boxes"] == 0
    assert run(*words, "--taxonomy", folder / "taxonomy.toml").json["boxes"] == 1
    named = json.loads((tmp_path / "labelled.json").read_text(encoding="utf-8"))["categories"]
    assert NEW in [category["name"] for category in named]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param(("--category", "skirt"), f"--category: expected one of {OWN_NAMES}; found 'skirt'", id="category"),
        pytest.param(
            ("--where", "category=skirt"),
            f"where 'category=skirt': expected one of {OWN_NAMES}, found 'skirt'",
            id="where",
        ),
    ],
)
def test_what_the_model_does_not_know_is_refused_by_its_names(ask, photo, words, line):
    assert ask("search", photo, *words) == Ran(2, "", f"Error: {line}\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param(("--category", NEW), f"--category: expected one of {DEFAULT_NAMES}; found '{NEW}'", id="category"),
        pytest.param(
            ("--where", f"category={NEW}"),
            f"where 'category={NEW}': expected one of {DEFAULT_NAMES}, found '{NEW}'",
            id="where",
        ),
    ],
)
def test_the_model_that_ships_refuses_as_before(run, store, street, words, line):
    assert run("search", street, "--store", store, *words) == Ran(2, "", f"Error: {line}\n")
    if words[0] == "--where":
        assert run("similar", "p000", "--store", store, *words) == Ran(2, "", f"Error: {line}\n")


# --- HTTP -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(filled, models, tmp_path_factory):
    settings = ServerSettings(state=str(tmp_path_factory.mktemp("state")))
    with http_client(create_app(lambda: Shop(models, open_store(filled, models.version)), settings)) as client:
        wait_until_ready(client)
        yield client


def post(client, path, photo, **fields):
    with photo.open("rb") as file:
        return client.post(path, files={"photo": file}, data=fields)


def test_the_service_knows_the_models_categories(client, photo):
    (item,) = post(client, "/v1/search", photo, category=NEW, where=f"category={NEW}").json()["items"]
    assert item["category"] == NEW and ids(item["hits"]) == SUITS
    wanted = {"where": f"category={NEW}"}
    assert ids(client.get("/v1/search/words", params={"words": "suit", **wanted}).json()["hits"]) == SUITS
    (facet,) = client.get("/v1/facets", params={"fields": "category", "category": NEW, **wanted}).json()["facets"]
    assert [(value["value"], value["where"]) for value in facet["values"]] == [(NEW, f"category={NEW}")]
    for strip in ("similar", "colours", "cheaper", "look"):
        assert client.get(f"/v1/products/s0/{strip}", params=wanted).status_code == 200
    assert client.get("/v1/shop").json()["categories"][NEW] == {"en": "Swimwear", "ko": "수영복"}


def test_the_service_keeps_rules_of_the_models_categories(client, photo):
    preview = post(client, "/v1/rules/preview", photo, category=NEW, rules=json.dumps(RULES))
    assert preview.json()["items"][0]["hits"][0]["product_id"] == "s5"
    assert client.put("/v1/rules", json=RULES).json()["rules"]["pin"][0]["category"] == NEW
    assert client.get("/v1/rules").json()["rules"]["pin"][0]["category"] == NEW
    assert client.put("/v1/rules", json={}).status_code == 200


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/search/words", {"words": "suit", "where": "category=skirt"}),
        ("/v1/search/words", {"words": "suit", "category": "skirt"}),
        ("/v1/facets", {"where": "category=skirt"}),
        ("/v1/facets", {"category": "skirt"}),
        *((f"/v1/products/s0/{strip}", {"where": "category=skirt"}) for strip in ("similar", "colours", "look")),
    ],
)
def test_the_service_refuses_what_the_model_does_not_know_by_its_names(client, path, params):
    answer = client.get(path, params=params)
    (error,) = answer.json()["errors"]
    assert answer.status_code == 422 and error["expected"] == f"one of {OWN_NAMES}"


# --- Python -----------------------------------------------------------------------------------------------------------


def test_a_shop_knows_its_models_categories(models, filled, photo):
    shop, where = Shop(models, open_store(filled)), [f"category={NEW}"]
    (item, _) = sorted(shop.search(photo), key=lambda item: item.category != NEW)
    assert {hit.product_id for hit in item.hits} == SUITS
    assert {hit.product_id for hit in shop.similar("s0", where=where)} == SUITS - {"s0"}
    assert {hit.product_id for hit in shop.search_words("suit", where=where)} == SUITS
    assert shop.look("s0", where=where) == []
