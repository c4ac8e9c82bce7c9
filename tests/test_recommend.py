"""Strips beside a product: similar, other colours, cheaper, and listings that are there twice."""

from dataclasses import replace

import numpy as np
import pytest
from test_store import MODEL, make_entry, unit

from twinset.copies import find_copies
from twinset.errors import NotFound, UsageError
from twinset.recommend import cheaper_products, other_colours, similar_products, spread
from twinset.store import Store, open_store
from twinset.types import Colour


def listing(product_id: str, angle: float, colour: str = "red", *, title: str = "", **fields):
    """A top at an angle, in degrees, from the product asked about: its cosine is the angle's."""
    radians = np.radians(angle)
    vector = unit(np.cos(radians), np.sin(radians))
    return make_entry(product_id, vector, colours=(Colour(colour, 0.9),), title=title, **fields)


@pytest.fixture
def filled(tmp_path, new_uri):
    def fill(*entries) -> Store:
        store = open_store(new_uri(tmp_path), MODEL, create=True)
        store.upsert(entries)
        return store

    return fill


def ids(hits):
    return [hit.product_id for hit in hits]


# --- similar ----------------------------------------------------------------------------------------------------------


def test_similar_products_are_of_the_products_own_shop(filled):
    store = filled(listing("a", 0), listing("b", 10), listing("c", 5, shop="other"))
    assert ids(similar_products("a", store)) == ["b"]


def test_copies_are_one_hit_that_names_them_and_the_products_own_are_left_out(filled):
    store = filled(
        listing("a", 0), listing("own", 1), listing("b", 30), listing("b2", 31), listing("b3", 32), listing("c", 60)
    )
    hits = similar_products("a", store, merge_copies=True)
    assert [(hit.product_id, hit.copies) for hit in hits] == [("b", ("b2", "b3")), ("c", ())]
    assert ids(similar_products("a", store)) == ["own", "b", "b2", "b3", "c"]


def test_diversity_swaps_near_copies_for_what_differs_and_keeps_the_order_of_scores(filled):
    near = [listing(f"n{i}", 20 + i / 10) for i in range(10)]
    store = filled(listing("a", 0), *near, listing("other side", -30), listing("far", 70))
    assert ids(similar_products("a", store, k=3)) == ["n0", "n1", "n2"]
    hits = similar_products("a", store, k=3, diversity=0.5)
    assert ids(hits) == ["n0", "n1", "other side"]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_spread_is_maximal_marginal_relevance_worked_by_hand():
    vectors = np.stack([unit(1), unit(1), unit(0, 1)])
    scores = np.array([0.9, 0.8, 0.3])
    assert spread(scores, vectors, 3, 0.0) == [0, 1, 2]
    assert spread(scores, vectors, 3, 0.5) == [0, 2, 1]  # 0.15 beats 0.4 - 0.5
    assert spread(scores, vectors, 2, 0.3) == [0, 1]  # 0.26 beats 0.21
    assert spread(np.zeros(0), vectors[:0], 2, 0.3) == []


@pytest.mark.parametrize("diversity", [-0.1, 1.1, float("nan")])
def test_diversity_is_a_share(filled, diversity):
    with pytest.raises(UsageError, match="diversity"):
        similar_products("a", filled(listing("a", 0)), diversity=diversity)


# --- other colours ----------------------------------------------------------------------------------------------------


def test_a_variant_comes_before_a_title_before_a_look_alike(filled):
    store = filled(
        listing("a", 0, "red", title="Puma Men Ferrari Red Tee", group_id="g"),
        listing("variant", 50, "blue", title="Anything", group_id="g"),
        listing("nearer", 5, "blue", title="Nike Women Run Blue Tee"),
        listing("green one", 20, "green", title="Nike Kids Green Tee"),
        listing("also red", 1, "red", title="Puma Men Ferrari Red Tee"),
    )
    found = other_colours("a", store)
    assert [(one.colour, one.hit.product_id, one.same_product) for one in found] == [
        ("blue", "variant", True),
        ("green", "green one", False),
    ]


def test_a_variant_is_found_however_many_are_more_alike(filled):
    partly = (Colour("blue", 0.6), Colour("green", 0.4))
    store = filled(
        listing("a", 0, "red", group_id='its, "g"'),
        replace_colours(listing("blue and green", 40, group_id='its, "g"'), partly),
        listing("variant", 60, "green", group_id='its, "g"'),
        *(listing(f"d{i:02}", 1 + i, "green") for i in range(30)),
    )
    found = {one.colour: (one.hit.product_id, one.same_product) for one in other_colours("a", store)}
    assert found == {"blue": ("blue and green", True), "green": ("variant", True)}


def replace_colours(entry, colours):
    return replace(entry, items=tuple(replace(item, colours=colours) for item in entry.items))


def test_a_title_that_differs_by_its_colour_alone_is_the_same_product(filled):
    store = filled(
        listing("a", 0, "red", title="Puma Men Ferrari Red Tee"),
        listing("b", 40, "blue", title="Puma Men's Ferrari Navy Blue Tee"),
        listing("c", 40, "green", title="Puma Men Ferrari Green Tee"),
        listing("d", 4, "green", title="Nike Men Green Tee"),
    )
    found = {one.colour: (one.hit.product_id, one.same_product) for one in other_colours("a", store)}
    assert found == {"blue": ("b", False), "green": ("c", True)}


def test_other_colours_are_of_the_same_article_type(filled):
    store = filled(listing("a", 0, article_type="Tee"), listing("b", 5, "blue", article_type="Shirt"))
    assert other_colours("a", store) == []


def test_as_many_other_colours_as_asked_for(filled):
    store = filled(listing("a", 0), listing("b", 5, "blue"), listing("c", 9, "green"), listing("d", 8, "black"))
    assert [one.colour for one in other_colours("a", store, k=2)] == ["blue", "black"]


# --- cheaper ----------------------------------------------------------------------------------------------------------


def test_cheaper_products_cost_less_in_the_same_currency_counting_reductions(filled):
    store = filled(
        listing("a", 0, price=50.0, currency="EUR"),
        listing("dearer", 1, price=60.0, currency="EUR"),
        listing("as dear", 1, price=50.0, currency="EUR"),
        listing("reduced", 20, price=90.0, sale_price=45.0, currency="EUR"),
        listing("cheap", 10, price=20.0, currency="EUR"),
        listing("in yen", 2, price=20.0, currency="JPY"),
        listing("unknown", 2),
    )
    assert ids(cheaper_products("a", store)) == ["cheap", "reduced"]
    assert ids(cheaper_products("a", store, where=["price>30"])) == ["reduced"]


def test_a_products_own_reduction_counts(filled):
    store = filled(listing("a", 0, price=50.0, sale_price=10.0), listing("b", 1, price=20.0))
    assert cheaper_products("a", store) == []


def test_nothing_is_cheaper_than_no_price(filled):
    assert cheaper_products("a", filled(listing("a", 0), listing("b", 1, price=1.0))) == []


def test_variants_of_a_cheaper_product_are_one_hit(filled):
    store = filled(
        listing("a", 0, price=9.0), listing("b", 1, price=5.0, group_id="g"), listing("c", 2, price=4.0, group_id="g")
    )
    assert ids(cheaper_products("a", store)) == ["b"]


@pytest.mark.parametrize("strip", [similar_products, other_colours, cheaper_products])
def test_every_strip_checks_its_values(filled, strip):
    store = filled(listing("a", 0, price=1.0))
    with pytest.raises(NotFound):
        strip("b", store)
    with pytest.raises(UsageError, match="k"):
        strip("a", store, k=0)


# --- copies -----------------------------------------------------------------------------------------------------------


def test_copies_are_found_within_a_shop_and_category_and_are_no_variants(filled):
    same = [replace(listing(name, 0), image_hashes=("same",)) for name in ("a", "b")]
    store = filled(
        *same,
        listing("c", 40),
        listing("d", 41),
        listing("e", 42),
        listing("v1", 80, group_id="g"),
        listing("v2", 80, group_id="g"),
        listing("elsewhere", 0, shop="other"),
        make_entry("a bag", unit(1), category="bag"),
    )
    found = find_copies(store)
    assert [([p.product_id for p in one.products], one.same_picture) for one in found] == [
        (["c", "d", "e"], False),
        (["a", "b"], True),
    ]
    assert found[0].score == pytest.approx(np.cos(np.radians(2)), abs=1e-5) and found[1].score == 1.0
    assert find_copies(store, shop="other") == []
    assert [len(one.products) for one in find_copies(store, min_score=0.9999)] == [2]


def test_equal_vectors_are_copies_at_the_highest_score(filled):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # whose squares add up to a little less or more than 1
    store = filled(*(make_entry(f"{name}{i}", vector) for i, vector in enumerate(vectors) for name in "ab"))
    assert len(find_copies(store, min_score=1)) == 50


def test_a_chain_of_likes_is_no_one_group(filled):
    store = filled(*(listing(f"p{i}", 8 * i) for i in range(4)))
    assert [[p.product_id for p in one.products] for one in find_copies(store)] == [["p0", "p1"], ["p2", "p3"]]


@pytest.mark.parametrize("min_score", [0, 1.5])
def test_copies_need_a_score_in_range(filled, min_score):
    with pytest.raises(UsageError, match="min_score"):
        find_copies(filled(listing("a", 0)), min_score=min_score)
