"""Learning from clicks: simulated shoppers whose taste is known, what is kept, and what a search makes of it."""

import json
import sqlite3

import numpy as np
import pytest
from conftest import http_client, wait_until_ready
from fakes import FakeModels, draw_product, make_feed
from test_contract_http import png

from twinset.bench.shoppers import NOISE, TASTE, clicks_at_5, draw_search, draw_shown
from twinset.errors import StoreError
from twinset.events import Event, EventLog, SearchedItem
from twinset.indexing import index_feed
from twinset.learn.bias import ALONE, LEAST, propensities
from twinset.learn.learning import fit_ranker, learn, measure, quality_json
from twinset.learn.rerank import judge
from twinset.learn.shown import read_shown, shown_of
from twinset.ranking import FEATURES, POOL, Ranker, load_ranker, save_ranker
from twinset.server.app import ServerSettings, create_app
from twinset.shop import Shop
from twinset.store import open_store

BY_PRICE = Ranker((0.1, 0, -5.0, 0, 0), "2026-01-01", 500, 0.2)


@pytest.fixture(scope="module")
def lists():
    """What 5,000 clicks of shoppers with a taste leave behind."""
    return draw_shown(TASTE, 5000, seed=3)


def test_what_5000_clicks_teach_brings_new_shoppers_a_tenth_more_clicks(lists):
    ranker, verdict = fit_ranker(lists)
    assert verdict.holds
    before, after = (clicks_at_5(TASTE, each, 800, seed=99) for each in (None, ranker))
    assert after >= 1.1 * before
    signs = np.sign(ranker.weights)
    assert signs.tolist() == np.sign(TASTE.weights).tolist()


def test_clicks_without_a_taste_teach_nothing():
    _, verdict = fit_ranker(draw_shown(NOISE, 5000, seed=3))
    assert not verdict.holds and verdict.p_related > 0.01


def test_places_are_looked_at_as_likely_as_shoppers_do(lists):
    looked = propensities(lists)
    assert looked[0] == 1 and (np.diff(looked[:5]) < 0).all()
    assert np.allclose(looked[:6], 1 / (1 + np.arange(6)), atol=0.08)


def test_places_that_no_list_of_the_lessons_reaches_keep_the_first_guess():
    hits = {"short": 4, "long": 24}
    shown = shown_of([(name, np.zeros((n, 5)), np.arange(n) == 0) for name, n in hits.items()])
    looked = propensities(shown.part(np.array([True, False])))
    assert looked.shape == (24,) and looked.max() == 1 and (looked >= LEAST).all()
    guess = 1 / (1 + np.arange(4, ALONE))
    assert np.allclose(looked[4:ALONE] / looked[4], guess / guess[0])


def test_an_order_no_better_than_the_one_shown_does_not_hold(lists):
    looked = propensities(lists)
    as_shown = judge(lists, np.array([1.0, 0, 0, 0, 0]), looked)
    assert as_shown.gain == 0 and not as_shown.holds
    assert not judge(lists, -np.array(TASTE.weights), looked).holds


def test_figures_of_lists_checked_by_hand():
    facts = np.zeros((2, len(FEATURES)))
    shown = shown_of([("a", facts, np.array([True, False])), ("b", facts, np.array([False, False]))])
    figures = measure(shown)
    assert (figures.lists, figures.clicks, figures.click_through, figures.clicks_at_5) == (2, 1, 0.5, 50)
    assert figures.ndcg == 1
    (first, second) = quality_json(figures)["positions"]
    assert (first["shown"], first["clicked"], first["click_through"], first["looked_at"]) == (2, 1, 0.5, 1)
    assert second["wanted"] == 0 and second["looked_at"] < 1


def test_figures_of_nothing_say_so():
    answer = quality_json(measure(shown_of([])))
    assert (answer["lists"], answer["ndcg"], answer["positions"]) == (0, None, [])


def test_an_order_is_by_worth_behind_pinned_hits_and_before_those_too_far():
    search = draw_search(np.random.default_rng(0), "s")
    hits = list(search.hits)
    ordered = BY_PRICE.order(search.colours, [*hits, hits[0]])
    prices = [hit.product.sale_price or hit.product.price for hit in ordered[:POOL]]
    assert prices == sorted(prices) and ordered[POOL:] == [hits[0]] and len(ordered) == POOL + 1
    from dataclasses import replace

    pinned = replace(hits[5], rule="pinned")
    assert BY_PRICE.order(search.colours, [pinned, *hits[:5]])[0] is pinned
    boosted = replace(hits[5], rule="boosted", moved=1e3)
    assert BY_PRICE.order(search.colours, [*hits[:5], boosted])[0] is boosted


# --- from the event log to the store ----------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path):
    feed = make_feed(tmp_path, 30)
    index_feed(feed, tmp_path / "store", FakeModels())
    return tmp_path


LISTS = ("a\nb", "a\nnew\nline")  # the second of ids `a` and `new line`, with a line break in it


def fill(log: EventLog, lists, shop: str = "default") -> None:
    searches, events = [], []
    for i in range(len(lists)):
        facts, ids = lists.features[i], [f"{i}-{place}" for place in range(lists.features.shape[1])]
        searches.append(
            SearchedItem(shop, f"s{i}", 0, "photo", "top", "red", 0.8, "\n".join(ids), json.dumps(facts.tolist()))
        )
        events += [Event("click", ids[k], shop, f"s{i}", 0, int(k)) for k in np.flatnonzero(lists.clicked[i])]
    log.add_searches(searches)
    log.flush()
    log.add(events)


def test_the_log_gives_back_what_was_shown_and_clicked(tmp_path, lists):
    log = EventLog(tmp_path / "events.sqlite")
    few = lists.part(np.arange(len(lists)) < 50)
    fill(log, few)
    fill(log, few, "other")
    read = read_shown(log, "default", 0)
    assert (read.clicked == few.clicked).all() and np.allclose(read.features, few.features)
    newest = read_shown(log, "default", 0, most=3)
    assert len(newest) == 3 and np.allclose(newest.features, few.features[-3:])
    log.close()


def test_a_log_of_an_earlier_version_is_gone_on_with(tmp_path):
    with sqlite3.connect(tmp_path / "events.sqlite") as database:
        database.execute(
            "CREATE TABLE searches(id INTEGER PRIMARY KEY, at REAL, shop TEXT, search_id TEXT, item_no INTEGER, "
            "kind TEXT, category TEXT, colour TEXT, best_score REAL, hits TEXT)"
        )
        database.execute("INSERT INTO searches(shop, kind) VALUES ('default', 'photo')")
    database.close()
    log = EventLog(tmp_path / "events.sqlite")
    log.add_searches([SearchedItem("default", "s", 0, "photo", "top", "red", 0.8, "a", missed=True, narrowed=False)])
    rows = log.read("SELECT missed, narrowed FROM searches ORDER BY id")
    assert [tuple(row) for row in rows] == [(None, None), (1, 0)]
    log.close()


def test_a_list_whose_ids_can_not_be_told_apart_is_left_out(tmp_path):
    log = EventLog(tmp_path / "events.sqlite")
    facts = json.dumps([[0.0] * 5] * 2)
    log.add_searches(
        [SearchedItem("default", f"s{i}", 0, "photo", "top", "red", 0.8, hits, facts) for i, hits in enumerate(LISTS)]
    )
    read = read_shown(log, "default", 0)
    assert read.there.tolist() == [[True, True]]
    log.close()


def test_twinset_learn_keeps_what_is_better_and_forgets_when_told(run, shop, lists):
    log = EventLog(shop / "store" / "service" / "events.sqlite")
    fill(log, lists)
    log.close()
    command = ("learn", "--store", shop / "store", "--json")
    assert (
        run(*command, "--dry-run").json["applied"] is False
        and load_ranker(open_store(shop / "store"), "default") is None
    )
    learned = run(*command).json
    assert learned["applied"] and learned["held_out"]["gain"] > 0.1 and learned["clicks"] >= 5000
    assert load_ranker(open_store(shop / "store"), "default").gain_at_5 == learned["held_out"]["gain"]
    assert run(*command, "--shop", "other").json["reason"] == "expected 500 clicks or more, found 0"
    assert run(*command, "--forget").json["in_use"] is None
    printed = run("learn", "--store", shop / "store").stdout
    assert "kept: better on lists held out" in printed and "position-based model" in printed


def test_what_was_learned_is_forgotten_without_an_event_log_too(run, shop):
    opened = open_store(shop / "store")
    save_ranker(opened, BY_PRICE, "default")
    command = ("learn", "--store", shop / "store", "--forget")
    assert run(*command, "--dry-run").code == 1 and load_ranker(opened, "default")
    ran = run(*command)
    assert (ran.code, ran.stdout) == (0, "not kept: what was learned is forgotten\n")
    assert load_ranker(opened, "default") is None and run(*command, "--json").json["in_use"] is None


def test_learning_reads_the_log_of_the_folder_the_service_writes_to(run, shop, lists, monkeypatch):
    log = EventLog(shop / "state" / "events.sqlite")
    fill(log, lists.part(np.arange(len(lists)) < 50))
    log.close()
    command = ("learn", "--store", shop / "store", "--dry-run", "--json")
    assert run(*command, "--state", shop / "state").json["lists"] == 50
    monkeypatch.setenv("TWINSET_STATE", str(shop / "state"))
    assert run(*command).json["lists"] == 50


def test_learning_without_a_log_says_where_it_was_looked_for(run, shop):
    ran = run("learn", "--store", shop / "store")
    assert ran.code == 1 and "events.sqlite" in ran.stderr and "--events" in ran.stderr


def test_what_was_learned_and_is_damaged_says_what_to_do(shop):
    store = open_store(shop / "store")
    save_ranker(store, BY_PRICE, "default")
    name = f"learned-{load_name()}"
    store.write_note(name, "{}")
    with pytest.raises(StoreError, match="twinset learn"):
        load_ranker(store, "default")


def load_name() -> str:
    import hashlib

    return hashlib.sha256(b"default").hexdigest()[:20]


def test_too_few_clicks_teach_nothing(tmp_path, shop):
    log = EventLog(tmp_path / "events.sqlite")
    learned = learn(log, open_store(shop / "store"))
    assert not learned.applied and learned.verdict is None
    log.close()


def test_a_search_goes_by_what_was_learned_page_by_page_and_writes_down_what_it_showed(shop):
    models, photo = FakeModels(), png(draw_product("top", 3))
    save_ranker(open_store(shop / "store", models.version), BY_PRICE, "default")
    app = create_app(lambda: Shop(models, open_store(shop / "store", models.version)), ServerSettings())
    with http_client(app) as client:
        wait_until_ready(client)
        (item,) = client.post("/v1/search", files={"photo": photo}, data={"k": 3}).json()["items"]
        cursor = {"k": 3, "cursor": item["next_cursor"]}
        (rest,) = client.post("/v1/search", files={"photo": photo}, data=cursor).json()["items"]
    prices = [hit["price"] for hit in item["hits"] + rest["hits"]]
    assert prices == [10, 15, 20, 25, 30, 35] and rest["next_cursor"] is None
    log = EventLog(shop / "store" / "service" / "events.sqlite")
    shown = read_shown(log, "default", 0)
    assert len(shown) == 1 and shown.there.sum() == 3
    assert np.allclose(shown.features[0, :, 2], np.log2([10, 15, 20]), atol=1e-3)
    log.close()
