"""A model is rolled out: its generation is built beside the one in use, follows it, takes its place, and goes back."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeModels, draw_product, make_feed, save_image
from test_store import MODEL, ids, make_entry, random_entries, unit

from twinset.errors import ModelMismatch, StoreError, StoreMoved, UsageError
from twinset.indexing import index_feed
from twinset.models import Described
from twinset.reindexing import describer
from twinset.rollout import Failure, back, drop, reindex, statuses, switch
from twinset.shop import open_shop
from twinset.store import Entry, Key, open_shelf, open_store
from twinset.store.check import check_store
from twinset.store.copy import copy_to
from twinset.store.generations import read_generations

NEW, NEW_DIM = "new-000000000000", 320


def longer(vector: np.ndarray) -> np.ndarray:
    """What the new model says of what the old one describes so: other numbers, and more of them."""
    return np.concatenate([np.zeros(NEW_DIM - len(vector), np.float32), -vector])


def shorter(vector: np.ndarray) -> np.ndarray:
    return -vector[NEW_DIM - 256 :]


class Describing:
    """Describes by the new model, or by the old one what the new described. Remembers what it was asked for."""

    def __init__(self, model: str = NEW, unable: str = "", stop_after: int | None = None) -> None:
        self.model, self.unable, self.stop_after = model, unable, stop_after
        self.seen: list[str] = []

    def __call__(self, entries, target, progress):
        failed = []
        for entry in entries:
            if len(self.seen) == self.stop_after:
                raise KeyboardInterrupt
            self.seen.append(entry.product.product_id)
            if entry.product.product_id == self.unable:
                failed.append(Failure(*entry.key, "no picture"))
                continue
            change = longer if self.model == NEW else shorter
            items = [replace(i, embedding=change(i.embedding), model_version=self.model) for i in entry.items]
            target.upsert([replace(entry, items=tuple(items))])
            progress.advance()
        return failed


@pytest.fixture
def shelf(uri):
    open_store(uri, MODEL, create=True).upsert(random_entries(24))
    return open_shelf(uri)


@pytest.fixture
def directory(tmp_path):
    open_store(tmp_path / "store", MODEL, create=True).upsert(random_entries(24))
    return open_shelf(tmp_path / "store")


def build(shelf, describe=None):
    return reindex(shelf, NEW, "new", describe or Describing(), dim=NEW_DIM)


def first(store, vector, category="top"):
    return ids(store.search(vector[None], 3, [category])[0])


def test_a_store_goes_on_with_its_model_until_the_switch_and_back(shelf, uri, monkeypatch):
    monkeypatch.setattr("twinset.rollout.SETTLE_S", 0.1)
    old = open_store(uri)
    old.write_note("rules-a", "{}")
    query = random_entries(24)[4].items[0].embedding
    found = first(old, query)
    generation, state = build(shelf)
    assert (generation.number, generation.state, state.total, state.done) == (2, "whole", 24, 24)
    assert first(old, query) == first(open_store(uri), query) == found and open_store(uri).model_version == MODEL

    # what changes meanwhile: a price, a picture, a product more and one less
    moved = make_entry("p4", query, price=99.0, shop="default", tags={"no": "4"})
    old.upsert([replace(moved, row_hash="other"), make_entry("late", unit(3))])
    old.delete([Key("b", "p5")])
    describe = Describing()
    done = switch(shelf, lambda _: describe)
    new = open_store(uri)
    assert done.caught_up == 3 and sorted(describe.seen) == ["late", "p4"]
    assert (new.model_version, new.dim, new.count()) == (NEW, NEW_DIM, 24) and check_store(new).problems == []
    assert first(new, longer(query))[0] == "p4" and new.get("p4").product.price == 99.0
    assert new.read_note("rules-a") == "{}" and new.uri == old.uri
    assert first(old, query)[0] == "p4"  # who has the old one open goes on with it
    with pytest.raises(StoreMoved, match="generation 2 of model new-"):
        old.upsert([make_entry("lost", unit(1))])
    with pytest.raises(StoreMoved):
        old.delete([Key("default", "p4")])
    with pytest.raises(ModelMismatch):
        open_store(uri, MODEL)

    (item,) = make_entry("newer", longer(unit(7))).items
    new.upsert([replace(make_entry("newer", unit(1)), items=(replace(item, model_version=NEW),))])
    new.delete([Key("default", "late")])
    describe = Describing(MODEL)
    assert back(shelf, lambda _: describe).caught_up == 2 and describe.seen == ["newer"]
    again = open_store(uri)
    assert again.model_version == MODEL and again.count() == 24 and first(again, unit(7))[0] == "newer"
    assert switch(shelf, lambda _: Describing()).caught_up == 0
    assert drop(shelf).number == 1
    assert open_store(uri).count() == 24 and [one.generation.number for one in statuses(shelf)] == [2]
    assert open_store(uri).read_note("rules-a") == "{}" and check_store(open_store(uri)).problems == []


def test_a_run_that_was_cut_short_goes_on_where_it_was(directory):
    with pytest.raises(KeyboardInterrupt):
        build(directory, Describing(stop_after=10))
    (_, other) = statuses(directory)
    assert (other.generation.state, other.products, other.behind) == ("building", 10, 14)
    with pytest.raises(StoreError, match=r"building; finish it: twinset reindex --model new"):
        switch(directory, lambda _: Describing())
    describe = Describing()
    generation, state = build(directory, describe)
    assert (generation.number, state.done, len(describe.seen)) == (2, 24, 14)


def test_asking_how_far_it_is_makes_no_store(shelf, monkeypatch):
    opened = type(shelf).open

    def opened_or_dead(self, number, model_version, create, **more):
        if create:
            raise KeyboardInterrupt
        return opened(self, number, model_version, create, **more)

    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(type(shelf), "open", opened_or_dead)
        build(shelf)
    (_, other) = statuses(shelf)
    assert (other.generation.state, other.products, other.behind) == ("building", 0, 24) and not shelf.has(2)
    generation, state = build(shelf)
    assert (generation.number, generation.state, state.done) == (2, "whole", 24)


def test_a_run_that_is_told_to_stop_leaves_a_generation_to_be_finished(directory):
    generation, state = reindex(directory, NEW, "new", Describing(), dim=NEW_DIM, stop=lambda: True)
    assert (generation.state, state.done) == ("building", 0)
    assert build(directory)[0].state == "whole"


def test_only_what_changed_in_its_pictures_is_described_again(directory, tmp_path):
    build(directory)
    entry = open_store(tmp_path / "store").get("p0")
    other_row = replace(entry, product=replace(entry.product, price=1.0, title="New"), row_hash="r2")
    entry = open_store(tmp_path / "store").get("p2")
    other_picture = replace(entry, image_hashes=("h2", *entry.image_hashes[1:]))
    open_store(tmp_path / "store").upsert([other_row, other_picture])
    describe = Describing()
    build(directory, describe)
    assert describe.seen == ["p2"]
    switch(directory, lambda _: Describing())
    assert open_store(tmp_path / "store").get("p0").product.title == "New"


def test_products_that_can_not_be_described_hold_the_switch_up(directory, tmp_path):
    _, state = build(directory, Describing(unable="p7"))
    assert (state.done, state.failed_count, state.failed[0].product_id) == (23, 1, "p7")
    with pytest.raises(StoreError, match=r"'p7' of shop 'b'.*no picture.*--yes"):
        switch(directory, lambda _: Describing(unable="p7"))
    assert open_store(tmp_path / "store").model_version == MODEL
    done = switch(directory, lambda _: Describing(unable="p7"), accept_failed=True)
    assert [failure.product_id for failure in done.failed] == ["p7"] and open_store(tmp_path / "store").count() == 23


def test_going_back_now_leaves_out_what_would_have_to_be_described(directory, tmp_path):
    build(directory)
    switch(directory, lambda _: Describing())
    store = open_store(tmp_path / "store")
    store.upsert([make_entry("newer", longer(unit(7)))])
    store.delete([Key("default", "p0")])
    done = back(directory, lambda _: pytest.fail("no model is loaded"), now=True)
    assert [failure.product_id for failure in done.failed] == ["newer"]
    old = open_store(tmp_path / "store")
    assert old.model_version == MODEL and old.count() == 23
    with pytest.raises(Exception, match="p0"):
        old.get("p0")


def test_writes_of_the_last_moment_are_carried_over(shelf, uri, monkeypatch):
    """On a server they may come after the look at what changed; a directory lets them wait, and refuses them then."""
    build(shelf)
    old = open_store(uri)

    def write_late(seconds):
        old._guard = lambda: None  # as a client that asked a moment before
        old.upsert([make_entry("late", unit(3))])

    monkeypatch.setattr("twinset.rollout.time.sleep", write_late)
    switch(shelf, lambda _: Describing())
    there = Key("default", "late") in open_store(uri).fingerprints()
    with old.alone() as locked:
        assert there is not locked


def test_what_can_not_be_switched_to_is_said(directory):
    with pytest.raises(UsageError, match="make one"):
        switch(directory, lambda _: Describing())
    with pytest.raises(UsageError, match="go back to"):
        back(directory, lambda _: Describing())
    with pytest.raises(UsageError, match="another than the one in use"):
        reindex(directory, MODEL, "fake", Describing())
    build(directory)
    with pytest.raises(UsageError, match=r"not in use \(2\), found 7"):
        drop(directory, 7)
    with pytest.raises(UsageError, match=r"not in use \(2\), found 1"):
        drop(directory, 1)


def test_a_drop_that_was_cut_short_is_finished_by_the_next(directory, monkeypatch):
    build(directory)
    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(type(directory), "remove", lambda self, number: (_ for _ in ()).throw(KeyboardInterrupt))
        drop(directory)
    with pytest.raises(StoreError, match="dropping"):
        switch(directory, lambda _: Describing(), number=2)
    assert drop(directory).number == 2 and read_generations(directory).newest == 2
    assert build(directory)[0].number == 3  # no number is given twice


def test_a_copy_has_the_generation_in_use_alone(directory, tmp_path):
    build(directory)
    switch(directory, lambda _: Describing())
    copy_to(open_store(tmp_path / "store"), tmp_path / "copy")
    copied = open_store(tmp_path / "copy")
    assert (copied.model_version, copied.dim, copied.count()) == (NEW, NEW_DIM, 24)
    assert copied.note_names() == [] and check_store(copied).problems == []


LOST = '{"format": 1, "in_use": 3, "before": null, "newest": 3, "listed": []}'


@pytest.mark.parametrize("text", ["{", '{"format": 1}', '{"format": 9}', LOST], ids=["cut", "empty", "newer", "lost"])
def test_damaged_generations_are_told_in_a_line(directory, tmp_path, text):
    directory.write("generations", text)
    with pytest.raises(StoreError, match="expected its generations"):
        open_store(tmp_path / "store")


# --- with pictures ----------------------------------------------------------------------------------------------------


class NewModels(FakeModels):
    """Sees the same and says it otherwise."""

    dim = NEW_DIM

    def describe(self, image, boxes):
        return [Described(longer(one.embedding), one.colours) for one in super().describe(image, boxes)]


@pytest.fixture
def both_models(monkeypatch):
    """The models that commands load, by name."""
    models = {"default": FakeModels(), "new": NewModels(NEW)}
    monkeypatch.setattr("twinset.models.load_models", lambda name="default", threads=None: models[name])
    return models


@pytest.fixture
def shop(run, both_models, tmp_path):
    """The feed of a shop of 20 products, indexed into `store`."""
    feed = make_feed(tmp_path / "shop", 20)
    index_feed(feed, tmp_path / "store", FakeModels())
    return feed


def golden_file(folder) -> str:
    photo = save_image(draw_product("top", 5), folder / "photo.png")
    lines = [
        {"photo": photo.name, "wanted": ["p005"], "category": "top"},
        {"photo": photo.name, "wanted": ["p005", "p010"], "box": [24, 32, 72, 96]},
    ]
    (folder / "golden.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    return "golden.jsonl"


def test_a_model_is_rolled_out_by_commands(run, both_models, shop, tmp_path):
    done = run("reindex", "--model", "new", "--store", "store", "--json").json
    assert done == {"generation": 2, "model": NEW, "products": 20, "done": 20, "failed": []}
    assert "20 of 20 products" in run("reindex", "--model", "new", "--store", "store").stdout
    assert both_models["new"].described == 20
    golden = golden_file(tmp_path)
    figures = run("rollout", "compare", "--golden", golden, "--html", "page.html", "--store", "store", "--json").json
    assert figures["queries"] == 2 and figures["before"] == figures["after"] and figures["drop"] == 0
    assert figures["before"]["wanted_at_1"] == 1.0 and figures["overlap_at_10"] == 1.0
    page = (tmp_path / "page.html").read_text()
    assert page.count("<article>") == 2 and 'class="wanted"' in page and NEW in page
    assert "2 queries" in run("rollout", "compare", "--golden", golden, "--store", "store").stdout
    switched = run("rollout", "switch", "--golden", golden, "--store", "store", "--json").json
    assert switched == {"in_use": 2, "model": NEW, "before": 1, "caught_up": 0, "failed": []}

    # no command needs to be told the model
    photo = str(tmp_path / "photo.png")
    found = run("search", photo, "--store", "store", "--json").json
    assert found["items"][0]["hits"][0]["product_id"] == "p005" and found["items"][0]["hits"][0]["score"] == 1.0
    assert run("index", shop, "--store", "store", "--json").json["unchanged"] == 20
    assert run("sync", shop, "--store", "store", "--json").json["unchanged"] == 20
    assert "choose that --model" in run("search", photo, "--store", "store", "--model", "default").stderr
    assert open_shop(tmp_path / "store").models is both_models["new"]

    lines = run("rollout", "status", "--store", "store", "--json").json_lines
    assert [(one["generation"], one["in_use"], one["before"]) for one in lines] == [(1, False, True), (2, True, False)]
    assert "in use" in run("rollout", "status", "--store", "store").stdout
    assert run("rollout", "back", "--store", "store", "--json").json["in_use"] == 1
    assert "in use" in run("rollout", "switch", "--store", "store").stdout
    assert run("rollout", "back", "--now", "--store", "store").code == 0
    assert run("rollout", "drop", "--store", "store", "--json").json == {"dropped": 2, "model": NEW}
    assert run("search", photo, "--store", "store", "--json").code == 0
    assert not (tmp_path / "store" / "generations" / "2").exists()


def test_a_switch_that_golden_queries_speak_against_needs_yes(run, both_models, shop, tmp_path):
    blind = NewModels("blind-000000000000")
    blind.describe = lambda image, boxes: [  # everything looks the same to it
        Described(longer(unit(1)), one.colours) for one in FakeModels.describe(blind, image, boxes)
    ]
    both_models["blind"] = blind
    run("reindex", "--model", "blind", "--store", "store")
    golden = golden_file(tmp_path)
    ran = run("rollout", "switch", "--golden", golden, "--store", "store")
    assert ran.code == 1 and "wanted_at_1 of at least 0.980, found 0.000" in ran.stderr
    ran = run("rollout", "switch", "--store", "store")  # the figures are kept
    assert ran.code == 1 and open_store(tmp_path / "store").model_version == "fake-000000000000"
    assert run("rollout", "switch", "--max-drop", "1", "--store", "store").code == 0
    assert run("rollout", "back", "--store", "store").code == 0
    assert run("rollout", "switch", "--yes", "--store", "store").code == 0


def test_pictures_that_are_gone_are_told_and_the_rest_goes_on(run, both_models, shop, tmp_path):
    (tmp_path / "shop" / "images" / "p003.png").unlink()
    ran = run("reindex", "--model", "new", "--store", "store")
    assert "19 of 20 products, 1 failed" in ran.stdout and "p003 of shop default" in ran.stderr
    (other,) = run("rollout", "status", "--store", "store", "--json").json_lines[1:]
    assert (other["behind"], other["failed_count"], other["failed"][0]["product_id"]) == (1, 1, "p003")
    ran = run("rollout", "switch", "--store", "store")
    assert ran.code == 1 and "--yes" in ran.stderr
    assert "p003" in run("rollout", "switch", "--yes", "--store", "store").stderr
    save_image(draw_product("shoes", 3), tmp_path / "shop" / "images" / "p003.png")
    assert run("index", shop, "--store", "store", "--json").json["indexed"] == 1  # the feed brings it back


def test_a_picture_that_changed_is_described_again_by_the_next_run_of_the_feed(run, both_models, shop, tmp_path):
    save_image(draw_product("shoes", 77), tmp_path / "shop" / "images" / "p003.png")
    run("reindex", "--model", "new", "--store", "store")
    run("rollout", "switch", "--store", "store")
    assert run("index", shop, "--store", "store", "--json").json["indexed"] == 1


def test_several_pictures_and_shops_are_described(tmp_path):
    for name in ("a", "b"):
        save_image(draw_product("top", ord(name)), tmp_path / f"{name}.png")
    feed = tmp_path / "feed.csv"
    feed.write_text("product_id,images,article_type,shop\nx,a.png|b.png,Tshirts,one\nx,b.png,Tshirts,two\n")
    index_feed(feed, tmp_path / "store", FakeModels())
    models = NewModels(NEW)
    shelf = open_shelf(tmp_path / "store")
    reindex(shelf, NEW, "new", describer(models), dim=NEW_DIM)
    switch(shelf, lambda _: describer(models))
    entries: Iterator[Entry] = open_store(tmp_path / "store", NEW).entries()
    assert sorted((entry.key, len(entry.items)) for entry in entries) == [(("one", "x"), 2), (("two", "x"), 1)]


def test_a_model_of_another_version_is_refused(run, both_models, shop):
    run("reindex", "--model", "new", "--store", "store")
    both_models["new"] = NewModels("new-111111111111")
    ran = run("rollout", "compare", "--golden", golden_file(shop.parent.parent), "--store", "store")
    assert ran.code == 1 and "expected version new-000000000000" in ran.stderr and "--model" in ran.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "found none", id="empty"),
        pytest.param("{", "golden.jsonl:1", id="no-json"),
        pytest.param('{"photo": "a.png", "wanted": []}', "wanted", id="nothing-wanted"),
        pytest.param('{"photo": "a.png", "wanted": ["p1"], "size": 3}', "size", id="unknown"),
        pytest.param('{"photo": "gone.png", "wanted": ["p1"]}', "gone.png", id="no-photo"),
    ],
)
def test_golden_queries_that_can_not_be_read_are_told(run, both_models, shop, tmp_path, text, said):
    run("reindex", "--model", "new", "--store", "store")
    (tmp_path / "golden.jsonl").write_text(text)
    ran = run("rollout", "compare", "--golden", "golden.jsonl", "--store", "store")
    assert ran.code == 1 and said in ran.stderr and ran.stderr.count("\n") == 1
