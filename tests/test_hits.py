"""Facets, thresholds, pages and a shop's rules, against plain loops, on both kinds of store."""

import json
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
from test_store import MODEL, make_entry, random_entries, unit

from twinset import hits as module
from twinset.errors import NotFound, StoreError, UsageError
from twinset.hits import Ranking, Wanted, find_pages, similar_page
from twinset.rules import Rules, load_rules, parse_rules, save_rules
from twinset.store import Key, open_store, views
from twinset.types import Colour, Hit, Product, Why

QUERY = unit(*np.linspace(-1, 2, 256))


def test_a_hit_with_another_score_is_what_replace_gives():
    product = Product("a", ("a.png",), group_id="g")
    full = Hit(0.5, product, (1, 2, 3, 4), "b", "top", (Colour("red", 0.5),), 2, True, "boosted", 0.1, {"a": "b"})
    full = replace(full, why=Why(True, 0.5, {}, {}), copies=("c",), embedding=np.ones(1, np.float32))
    assert all(getattr(full, field.name) != field.default for field in fields(Hit) if field.name != "in_stock")
    assert full.scored(0.7) == replace(full, score=0.7)
    assert full.scored(0.7, Why(False, 0.1, {}, {})) == replace(full, score=0.7, why=Why(False, 0.1, {}, {}))


@pytest.fixture(scope="module")
def entries():
    """Two in three of each group share its colour, prices rise, one in five is out of stock."""
    rng = np.random.default_rng(5)
    made = []
    for i in range(90):
        fields = {"price": None if i % 9 == 0 else float(i), "in_stock": i % 5 != 0, "article_type": "Tee"}
        fields |= {"group_id": f"g{i // 3}" if i < 45 else None, "tags": {"size": "SML"[i % 3]}}
        colours = (Colour(("red", "blue", "white")[i // 2 % 3], 0.6), Colour("black", 0.3 if i % 2 else 0.1))
        vectors = [unit(*rng.normal(size=256) + 0.5) for _ in range(1 + i % 2)]
        category = ("top", "bag", None)[i % 7 % 3]
        made.append(make_entry(f"p{i:02}", *vectors, category=category, colours=colours, **fields))
    return made


@pytest.fixture(scope="module")
def shop(tmp_path_factory, new_uri, entries):
    """Written in three parts, so that groups lie in several; some products of another shop beside."""
    store = open_store(new_uri(tmp_path_factory.mktemp("hits")), MODEL, create=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "MAPPED_ROWS", 30)
        store.upsert([*entries[40:], make_entry("other", QUERY, shop="b", group_id="g1", tags={"size": "XL"})])
        store.count()
        store.upsert(entries[:20])
        store.count()
        store.upsert(entries[20:40])
        store.count()
    yield store


@pytest.fixture
def store(tmp_path, new_uri):
    return open_store(new_uri(tmp_path), MODEL, create=True)


def page_of(store, query, category, **wanted):
    """Return the page of what is nearest to a vector."""

    def search(filter, k):
        return store.search(query[None], k, [category], filter)

    (page,) = find_pages(Ranking(store, Wanted(**wanted)), search, [category])
    return page


def ask(store, category="top", **wanted):
    return page_of(store, QUERY, category, **{"shop": "default"} | wanted)


def ids(page):
    return [hit.product_id for hit in page.hits]


def counts(page):
    return {facet.field: {value.value: value.count for value in facet.values} for facet in page.facets}


def hit_name(entry):
    return entry.product.group_id or entry.product.product_id


def counted(entries, values_of):
    pairs = {(value, hit_name(entry)) for entry in entries for value in values_of(entry)}
    return dict(Counter(value for value, _ in pairs))


# --- facets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("category", ["top", "bag", None])
def test_facets_count_hits_as_a_plain_loop_does(shop, entries, category):
    page = ask(shop, category, facets=["category", "colour", "in_stock", "tags", "article_type", "shop"])
    mine = [entry for entry in entries if category in (None, entry.product.category)]
    assert counts(page) == {
        "category": counted(mine, lambda e: [e.product.category] if e.product.category else []),
        "colour": counted(mine, lambda e: [c.name for i, c in enumerate(e.items[0].colours) if not i or c.share > 0.2]),
        "in_stock": counted(mine, lambda e: [str(e.product.in_stock).lower()]),
        "tags.size": counted(mine, lambda e: [e.product.tags["size"]]),
        "article_type": counted(mine, lambda e: ["Tee"]),
        "shop": counted(mine, lambda e: ["default"]),
    }


@pytest.mark.parametrize("chosen", ["colour=red", "price<40", "tags.size=S,M", "in_stock=true"])
def test_a_value_counts_the_hits_there_would_be_if_it_were_chosen(shop, chosen):
    fields = ["colour", "price", "in_stock", "tags.size", "category"]
    page = ask(shop, None, where=[chosen], facets=fields)
    assert [facet.field for facet in page.facets] == fields
    for facet in page.facets:
        others = [] if chosen.startswith(facet.field) else [chosen]
        assert facet.values and facet.exact
        for value in facet.values:
            assert value.count == len(ask(shop, None, where=[*others, value.where], k=500).hits), value


def test_price_bands_are_round_and_leave_no_price_out(shop, entries):
    (facet,) = ask(shop, None, facets=["price"]).facets
    assert [(value.low, value.high, value.value) for value in facet.values] == [
        (None, 20, "<20"),
        (20, 40, "20-40"),
        (40, 50, "40-50"),
        (50, 70, "50-70"),
        (70, None, ">=70"),
    ]
    last = [entry for entry in entries if (entry.product.price or 0) >= 70]
    assert facet.values[-1].count == len({hit_name(entry) for entry in last})


def test_no_shop_is_counted_for_another(shop):
    assert counts(ask(shop, facets=["shop", "tags.size"]))["shop"].keys() == {"default"}
    assert counts(ask(shop, shop="b", facets=["shop", "tags"])) == {"shop": {"b": 1}, "tags.size": {"XL": 1}}


def test_facets_of_nothing_are_empty(shop):
    page = ask(shop, "hat", facets=["colour", "price", "tags"])
    assert [(facet.field, facet.values) for facet in page.facets] == [("colour", ()), ("price", ())]


@pytest.mark.parametrize("field", ["size", "product_id", "tags.", ""])
def test_a_field_that_cannot_be_counted_is_named(shop, field):
    with pytest.raises(UsageError, match="facets"):
        ask(shop, facets=[field])


@pytest.mark.milvus
def test_many_rows_of_a_server_are_counted_from_a_sample(milvus_server, monkeypatch):
    monkeypatch.setattr("twinset.store.milvus.FACET_ROWS", 400)
    store = open_store(f"{milvus_server.uri}/sampled", MODEL, create=True)
    store.upsert([make_entry(f"p{i}", unit(1, i), in_stock=i % 4 != 0) for i in range(1600)])
    (facet,) = ask(store, facets=["in_stock"]).facets
    found = {value.value: value.count for value in facet.values}
    assert not facet.exact and 1000 < found["true"] < 1400 and 280 < found["false"] < 520


# --- thresholds and pages ---------------------------------------------------------------------------------------------


def test_hits_below_min_score_are_left_out(shop):
    every = ask(shop, k=500).hits
    limit = every[5].score
    assert ask(shop, k=500, min_score=limit).hits == every[:6]
    assert ask(shop, k=3, min_score=limit).hits == every[:3]


@pytest.mark.parametrize(
    "rules", ["{}", '{"boost": [{"where": "price>=50", "by": 0.3}], "pin": [{"product_id": "p63"}]}']
)
def test_pages_put_together_are_all_hits(shop, rules):
    save_rules(shop, parse_rules(rules))
    try:
        every, offset, pages = ask(shop, k=500), 0, []
        assert every.next_offset is None and len(every.hits) > 20
        while offset is not None:
            page = ask(shop, k=7, offset=offset)
            pages += page.hits
            offset = page.next_offset
        assert tuple(pages) == every.hits
        assert ask(shop, offset=len(pages)).hits == ()
    finally:
        save_rules(shop, Rules())


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("k", {"k": 0}),
        ("k", {"k": 10_001}),
        ("offset", {"offset": -1}),
        ("offset", {"offset": 9_990}),
        ("min_score", {"min_score": 1.5}),
        ("where", {"where": ["size"]}),
    ],
)
def test_values_that_cannot_be_asked_are_named(field, wanted):
    with pytest.raises(UsageError, match=field):
        Wanted(**wanted)


@pytest.mark.parametrize(("offset", "after"), [(0, 4), (2, 6), (3, None), (6, None)])
def test_a_page_that_would_be_refused_is_not_offered(shop, monkeypatch, offset, after):
    monkeypatch.setattr(module, "MOST_HITS", 10)
    assert ask(shop, k=4, offset=offset).next_offset == after
    assert after is None or len(ask(shop, k=4, offset=after).hits) == 4


def test_similar_products_are_of_the_same_shop(shop, entries):
    page = similar_page(shop, Key("default", "p44"), Wanted(500, shop="default"))
    assert len(page.hits) > 10 and {hit.product.shop for hit in page.hits} == {"default"} and "p44" not in ids(page)
    with pytest.raises(NotFound):
        similar_page(shop, Key("b", "p44"), Wanted(shop="b"))


# --- rules ------------------------------------------------------------------------------------------------------------


def ranked_by_hand(entries, rules, category, k):
    """The rules as a plain loop over all products, which have a price or a size in their conditions."""
    ranked = []
    for entry in entries:
        product, items = entry.product, [item for item in entry.items if category in (None, item.category)]
        if not items or (rules.only_in_stock and not product.in_stock):
            continue
        score = max(round(float(item.embedding @ QUERY), 5) for item in items)
        price, size = product.price, product.tags["size"]
        holds = {"price<30": price is not None and price < 30, "tags.size=L": size == "L", "tags.size=S": size == "S"}
        by = next((by for move, _, by in rules.moves if holds[move.where]), 0.0)
        ranked.append((-round(score + by, 6), product.product_id, hit_name(entry), score))
    best = {}
    for _, product_id, name, score in sorted(ranked):
        best.setdefault(name, (product_id, pytest.approx(score, abs=2e-5)))
    return list(best.values())[:k]


@pytest.mark.parametrize("category", ["top", None])
@pytest.mark.parametrize("k", [5, 200])
@pytest.mark.parametrize("in_stock", [True, False])
def test_boosts_and_buries_rank_as_a_plain_loop_does(shop, entries, category, k, in_stock):
    moves = {"boost": [{"where": "price<30", "by": 0.2}, {"where": "tags.size=L", "by": 0.1}]}
    rules = parse_rules(json.dumps(moves | {"bury": [{"where": "tags.size=S", "by": 1}], "only_in_stock": in_stock}))
    save_rules(shop, rules)
    try:
        page = ask(shop, category, k=k)
        assert [(hit.product_id, hit.score) for hit in page.hits] == ranked_by_hand(entries, rules, category, k)
        assert page.hits[0].rule == "boosted" and (k == 5 or page.hits[-1].rule == "buried")
        assert all(hit.in_stock for hit in page.hits) or not in_stock
    finally:
        save_rules(shop, Rules())


def test_a_hit_of_variants_that_rules_part_stands_for_all_of_them(store):
    vectors = [unit(1, i / 10) for i in range(3)]
    store.upsert([make_entry(f"v{i}", v, group_id="g", price=float(i), in_stock=i == 2) for i, v in enumerate(vectors)])
    save_rules(store, parse_rules('{"boost": [{"where": "price>=2", "by": 0.5}]}'))
    (hit,) = ask(store).hits
    assert (hit.product_id, hit.variants, hit.in_stock, hit.rule) == ("v2", 3, True, "boosted")


def test_pins_stand_in_front_where_they_meet_what_is_asked(store):
    store.upsert([make_entry(f"p{i}", unit(1, i), price=float(i)) for i in range(6)] + [make_entry("bag", unit(0, 1))])
    pins = [{"product_id": "p5"}, {"product_id": "gone"}, {"product_id": "p3", "category": "top"}]
    pins += [{"product_id": "p4", "category": "bag"}, {"product_id": "p2", "min_score": 0.999}]
    save_rules(store, parse_rules(json.dumps({"pin": pins})))

    def found(**wanted):
        return [(hit.product_id, hit.rule) for hit in page_of(store, unit(1), "top", **wanted).hits]

    assert found(k=4) == [("p5", "pinned"), ("p3", "pinned"), ("p0", None), ("p1", None)]
    assert found(k=2, offset=1) == [("p3", "pinned"), ("p0", None)]
    assert found(where=["price<4"], k=2) == [("p3", "pinned"), ("p0", None)]
    assert len(found(k=50)) == 7  # each once
    assert found(k=2, min_score=0.4) == [("p0", None), ("p1", None)]


def test_pins_stand_in_front_in_searches_of_their_category_alone(store):
    names = ["top", "bag", None]
    store.upsert([make_entry(f"near-{name}", unit(1), category=name) for name in names])
    store.upsert([make_entry(f"pinned-{name}", unit(1, 9), category=name) for name in names])
    pins = [{"product_id": f"pinned-{name}"} for name in names]
    for own in ({}, {"category": "top"}):
        save_rules(store, parse_rules(json.dumps({"pin": [pins[0] | own, *pins[1:]]})))
        pages = [page_of(store, unit(1), name) for name in names]
        pages += [similar_page(store, Key("default", f"near-{name}"), Wanted()) for name in names]
        in_front = [[hit.product_id for hit in page.hits if hit.rule == "pinned"] for page in pages]
        assert in_front == [[f"pinned-{name}"] for name in names] * 2
        assert [ids(page)[0] for page in pages] == [f"pinned-{name}" for name in names] * 2


def test_rules_of_a_shop_are_its_own(store):
    for shop in ("default", "b"):
        store.upsert([make_entry(f"{shop}-{i}", unit(1, i), shop=shop, in_stock=i > 0) for i in range(3)])
    save_rules(store, parse_rules('{"only_in_stock": true, "boost": [{"where": "product_id=b-2", "by": 1}]}'))
    assert load_rules(store, "b") == Rules() and load_rules(store).only_in_stock

    def found(shop):
        return ids(page_of(store, unit(1), "top", shop=shop))

    assert found("b") == ["b-0", "b-1", "b-2"] and found("default") == ["default-1", "default-2"]
    assert found(None) == ["b-0", "b-1", "default-1", "b-2", "default-2"]


def test_the_plan_names_the_rules(shop):
    assert "rules" not in ask(shop, explain=True).plan and ask(shop).plan == ""
    save_rules(shop, parse_rules('{"pin": [{"product_id": "p1"}], "bury": [{"where": "price<1", "by": 1}]}'))
    try:
        assert ask(shop, explain=True).plan.endswith("; rules of shop default: 1 bury, 1 pin, 3 searches")
    finally:
        save_rules(shop, Rules())


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("[]", "rules", "an object"),
        ("{", "rules", "JSON"),
        ('{"boots": []}', "rules.boots", "no field of this name"),
        ('{"boost": [{"where": "size=3", "by": 0.1}]}', "rules.boost.0.where", "a field among category, "),
        ('{"boost": [{"where": "price<3", "by": 0}]}', "rules.boost.0.by", "greater than 0"),
        ('{"boost": [{"where": "price<3", "by": 1.5}]}', "rules.boost.0.by", "less than or equal to 1"),
        ('{"boost": [{"where": "price<3"}]}', "rules.boost.0.by", "this field"),
        ('{"pin": [{"product_id": 5}]}', "rules.pin.0.product_id", "a valid string"),
        ('{"pin": [{"product_id": "5", "category": "shirt"}]}', "rules.pin.0.category", "one of top, "),
        (json.dumps({"pin": [{"product_id": "5"}] * 51}), "rules.pin", "at most 50 items"),
        ('{"only_in_stock": "yes"}', "rules.only_in_stock", "a valid boolean"),
    ],
)
def test_rules_that_cannot_be_are_named(text, field, expected):
    with pytest.raises(UsageError) as caught:
        parse_rules(text)
    assert caught.value.field == field and caught.value.expected.startswith(expected)
    assert str(caught.value) == f"{field}: expected {caught.value.expected}, found {caught.value.found}"


def test_rules_come_back_as_they_were_saved(store):
    text = '{"only_in_stock": true, "boost": [{"where": "tags.색=파랑", "by": 0.1}], "pin": [{"product_id": "x"}]}'
    save_rules(store, parse_rules(text), "가게")
    assert load_rules(store, "가게") == parse_rules(text) and load_rules(store) == Rules()


def test_damaged_rules_say_how_to_save_them_anew(tmp_path):
    store = open_store(tmp_path / "s", MODEL, create=True)
    save_rules(store, Rules())
    (file,) = (tmp_path / "s" / "notes").iterdir()
    file.write_text("{}")
    with pytest.raises(StoreError, match="twinset rules set"):
        load_rules(store)


# --- commands ---------------------------------------------------------------------------------------------------------


def test_rules_are_set_and_shown_by_command(run, tmp_path):
    store = tmp_path / "s"
    open_store(store, "fake-000000000000", create=True).upsert(random_entries(5))
    (tmp_path / "rules.json").write_text('{"bury": [{"where": "in_stock=false", "by": 0.5}]}')
    assert run("rules", "set", "rules.json", "--store", store).stdout == "rules of shop default: 1 bury\n"
    assert run("rules", "show", "--store", store, "--json").json["bury"] == [{"where": "in_stock=false", "by": 0.5}]
    assert json.loads(run("rules", "show", "--store", store).stdout)["pin"] == []
    assert run("rules", "show", "--store", store, "--schema", "--json").json["title"] == "Rules"
    (tmp_path / "rules.json").write_text("{}")
    assert run("rules", "set", "rules.json", "--store", store).stdout == "rules of shop default: none\n"


def test_pins_of_unknown_products_are_kept_and_told_of(run, tmp_path):
    store = tmp_path / "s"
    open_store(store, "fake-000000000000", create=True).upsert(random_entries(2))
    (tmp_path / "rules.json").write_text('{"pin": [{"product_id": "p1"}, {"product_id": "later"}]}')
    ran = run("rules", "set", "rules.json", "--store", store, "--shop", "b")
    assert ran.stderr == "pin of later: shop b has no such product yet\n" and "2 pin" in ran.stdout


def test_a_search_command_counts_pages_and_explains(run, store_of_shop, street):
    args = ("search", street, "--store", store_of_shop, "--category", "top")
    item = run(*args, "--json", "--k", 2, "--offset", 2, "--facet", "colour", "--facet", "price", "--explain").json[
        "items"
    ][0]
    assert len(item["hits"]) == 2 and item["next_offset"] == 4 and item["plan"].startswith("category top: 7 of 7 items")
    assert item["facets"][0] == {
        "field": "colour",
        "exact": True,
        "values": [{"value": "red", "count": 7, "where": "colour=red"}],
    }
    assert sum(value["count"] for value in item["facets"][1]["values"]) == 7
    text = run(*args, "--facet", "tags", "--explain").stdout
    assert "tags.season: summer 4, winter 3" in text and "plan: category top" in text
    assert run(*args, "--min-score", 1, "--json").json["items"][0]["hits"] == []
    assert run(*args, "--facet", "size").code == 2


@pytest.fixture
def store_of_shop(shop_folder):
    return str(shop_folder / "store")


def test_similar_by_command_pages_and_explains(run, store_of_shop):
    every = run("similar", "p000", "--store", store_of_shop, "--json").json["hits"]
    page = run("similar", "p000", "--store", store_of_shop, "--json", "--k", 2, "--offset", 1, "--explain").json
    assert page["hits"] == every[1:3] and "category top" in page["plan"]
