"""What embeddings say, on embeddings whose numbers are the labels; and what that does to hits and their scores."""

from dataclasses import replace

import numpy as np
import pytest

from twinset.describe.embedded import NOTHING, Embedded
from twinset.describe.fit import fit_labels, trained_heads
from twinset.describe.labels import (
    AttributeHead,
    AttributeValue,
    Calibration,
    Head,
    Labels,
    LabelWeights,
    load_labels,
    save_labels,
)
from twinset.describe.network import Tasks
from twinset.describe.rank_labels import _middle, rank_nearest, with_category
from twinset.describe.samples import ItemSample, Vocabulary, all_with_surroundings
from twinset.describe.train import EncoderSettings, draw_street
from twinset.errors import ModelError
from twinset.likeness import CANDIDATES, Contradiction, closeness, colour_distance, explain_hit, rank_hits, search_alike
from twinset.types import Colour, FoundItem, Hit, Product

PIXELS = np.zeros((8, 8, 3), np.uint8)


def head(names, *places, scale=10.0):
    weights = np.zeros((len(names), 256), np.float32)
    weights[np.arange(len(names)), places] = scale
    return Head(tuple(names), weights, np.zeros(len(names), np.float32))


def unit(*places):
    vector = np.zeros(256, np.float32)
    vector[list(places)] = 1
    return vector / np.linalg.norm(vector)


@pytest.fixture
def labels():
    striped = AttributeValue("striped", 0.9, 0.85, 20)
    return Labels(
        head(("Tshirts", "Shirts"), 0, 1),
        head(("red", "blue", "multicolour"), 2, 3, 4),
        head(("men", "women"), 5, 6),
        head(("puma",), 7),
        {"pattern": AttributeHead((striped,), head(("striped",), 8))},
        0.5,
        LabelWeights(1.0, 0.5, 0.0),
        Calibration({"top": 0.1}, 0.2, 0.5),
    )


def hit(product_id, score, article_type="Tshirts", category="top", **fields):
    embedding = fields.pop("embedding", None)
    product = Product(product_id, ("a.png",), article_type=article_type, tags=fields.pop("tags", {}), **fields)
    return Hit(score, product, (0, 0, 1, 1), "a.png", category, embedding=embedding)


# --- what embeddings say ----------------------------------------------------------------------------------------------


def test_an_embedding_says_types_colours_and_genders(labels):
    reading = labels.read(unit(0, 3))
    assert max(reading.article_types, key=reading.article_types.get) == "tshirts"
    assert max(reading.colours, key=reading.colours.get) == "blue"
    assert sum(np.exp(list(reading.genders.values()))) == pytest.approx(1)


def test_place_and_looks_together_say_the_category(labels):
    knowing = replace(labels, category=head(("top", "outerwear", "dress"), 60, 61, 62, scale=2.0))
    looks_like_outerwear = unit(61)
    assert knowing.category_of(looks_like_outerwear, "top", {"top": 0.5, "outerwear": 0.4}) == "outerwear"
    assert knowing.category_of(looks_like_outerwear, "top", {"top": 0.9, "outerwear": 0.1}) == "top"
    assert knowing.category_of(looks_like_outerwear, "top", {"top": 0.5}) == "top"  # nothing else was seen there
    assert knowing.category_of(looks_like_outerwear, "bag", {"bag": 0.1}) == "bag"  # the classifier knows no bags
    assert labels.category_of(looks_like_outerwear, "top", {"top": 0.1, "outerwear": 0.9}) == "top"


def test_attributes_are_told_where_they_are_sure(labels):
    assert labels.tell(unit(8)) == {"pattern": "striped"}
    assert labels.tell(unit(0)) == {}


def test_colours_are_what_pixels_and_network_say_together(labels):
    measured = (Colour("grey", 0.7), Colour("blue", 0.2))
    colours = labels.colours(unit(3), measured)
    assert [colour.name for colour in colours] == ["blue", "grey"]
    assert colours[0].share == pytest.approx(0.5 * 0.2 / 0.9 + 0.5, abs=1e-3)
    assert replace(labels, colour_weight=0.0).colours(unit(3), measured)[0].name == "grey"
    assert labels.colours(unit(3), ())[0].name == "blue"


def test_labels_are_as_they_were_saved(labels, tmp_path):
    save_labels(labels, tmp_path, dev={"right": 0.9})
    read = load_labels(tmp_path)
    assert read.calibration == labels.calibration and read.weights == labels.weights
    assert read.read(unit(0, 3)).colours == pytest.approx(labels.read(unit(0, 3)).colours, abs=1e-2)
    assert read.attributes["pattern"].values == labels.attributes["pattern"].values


def test_a_model_may_have_no_labels_but_not_broken_ones(tmp_path):
    assert load_labels(tmp_path) is None
    (tmp_path / "labels.json").write_text('{"heads": {}}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"labels\.json: expected"):
        load_labels(tmp_path)


# --- hits -------------------------------------------------------------------------------------------------------------


def test_products_whose_feed_contradicts_the_picture_move_back(labels):
    reading = labels.read(unit(0, 2))
    hits = [hit("shirt", 0.95, "Shirts"), hit("tee", 0.94), hit("blue tee", 0.945, tags={"colour": "Blue"})]
    ranked = rank_hits(hits, reading, labels.weights, labels.calibration, "top")
    assert [one.product_id for one in ranked] == ["tee", "blue tee", "shirt"]
    as_before = rank_hits(hits, reading, LabelWeights(), labels.calibration, "top")
    assert [one.product_id for one in as_before] == ["shirt", "blue tee", "tee"]


def test_products_of_another_category_move_back_where_all_are_searched(labels):
    reading = replace(labels.read(unit(0, 2)), categories={"top": -0.1, "bag": -4.0})
    hits = [replace(hit("bag", 0.95), category="bag"), hit("tee", 0.94), replace(hit("watch", 0.9), category=None)]
    weights = LabelWeights(category=2.0)
    everywhere = rank_hits(hits, reading, weights, labels.calibration, None)
    assert [one.product_id for one in everywhere] == ["tee", "watch", "bag"]
    within = rank_hits(hits, reading, weights, labels.calibration, "top")
    assert [one.product_id for one in within] == ["bag", "tee", "watch"]


def test_what_a_feed_leaves_out_counts_as_chance_would(labels):
    reading = labels.read(unit(0, 2))
    silent, right, wrong = (
        Contradiction(reading, LabelWeights(1.0)).of(hit("a", 0.9, kind)) for kind in (None, "Tshirts", "Shirts")
    )
    assert right == 0 < silent < wrong == LabelWeights().most < 10 / 2**0.5  # the nats between both


def test_a_feeds_own_word_counts_as_the_type_it_means(labels):
    judge = Contradiction(labels.read(unit(1, 3)), LabelWeights(1.0))
    known, other, unknown = (judge.of(hit("a", 0.9, kind)) for kind in ("Tshirts", "T-Shirt", "Gizmos"))
    assert other == known != unknown == judge.of(hit("a", 0.9, None))


def test_the_same_picture_scores_1_whatever_its_feed_says(labels):
    reading = labels.read(unit(0, 2))
    same = hit("same", 1.0, "Shirts", tags={"colour": "Blue"})
    ranked = rank_hits([hit("tee", 0.999), same], reading, labels.weights, labels.calibration, "top")
    assert (ranked[0].product_id, ranked[0].score) == ("same", 1)


def test_equal_scores_go_by_product_id(labels):
    ranked = rank_hits([hit("b", 0.9), hit("a", 0.9)], labels.read(unit(0)), LabelWeights(), Calibration(), None)
    assert [one.product_id for one in ranked] == ["a", "b"]
    assert ranked[0].score == 0.9


def test_further_hits_change_nothing_of_those_before(labels):
    rng = np.random.default_rng(0)
    kinds = [("Tshirts", "Shirts")[i] for i in rng.integers(2, size=250)]
    hits = [hit(f"p{i:03}", 0.99 - 0.002 * i, kind) for i, kind in enumerate(kinds)]
    reading = labels.read(unit(0))
    ranked = rank_hits(hits, reading, labels.weights, labels.calibration, "top")
    assert ranked[:CANDIDATES] == rank_hits(hits[:CANDIDATES], reading, labels.weights, labels.calibration, "top")
    for k in (0, 1, CANDIDATES, CANDIDATES + 1, 249, 300):
        assert rank_hits(hits, reading, labels.weights, labels.calibration, "top", k) == ranked[:k]
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
    assert {one.product_id for one in ranked} == {one.product_id for one in hits}


@pytest.mark.parametrize("weight", [1.0, 20.0])  # the last of a block then score next to nothing
def test_further_hits_come_by_their_likeness_too(labels, weight):
    hits = [hit(f"p{999 - i}", 0.99 - 0.001 * i, "Shirts" if i % 10 == 9 else "Tshirts") for i in range(400)]
    ranked = rank_hits(hits, labels.read(unit(0)), LabelWeights(weight), labels.calibration, "top")
    scores = [one.score for one in ranked]
    assert scores == sorted(scores, reverse=True)
    alike, as_found = ([one for one in some if one.product.article_type == "Tshirts"] for some in (ranked, hits))
    assert [one.product_id for one in alike] == [one.product_id for one in as_found]


def test_a_score_of_a_half_means_the_same_in_every_category(labels):
    reading, calibration = labels.read(unit(0)), labels.calibration
    scores = [
        rank_hits([hit("a", s)], reading, LabelWeights(), calibration, c)[0].score
        for c, s in (("top", 0.9), ("bag", 0.8))
    ]
    assert scores == pytest.approx([0.5, 0.5])
    assert closeness(0.0, 0.1) == 1 and closeness(2.0, 0.0) == 0


def test_a_hit_says_what_it_shares(labels):
    item = FoundItem(
        "top", 0.9, (0, 0, 1, 1), (Colour("red", 0.8),), (), attributes={"pattern": "striped", "fit": "slim"}
    )
    found = replace(
        hit("a", 0.9), colours=(Colour("red", 0.4), Colour("blue", 0.4)), attributes={"pattern": "solid", "fit": "slim"}
    )
    why = explain_hit(found, item)
    assert (why.same_category, why.colour_distance) == (True, 0.5)
    assert (why.shared, why.different) == ({"fit": "slim"}, {"pattern": ("striped", "solid")})
    assert colour_distance((), ()) == 1


# --- learning ---------------------------------------------------------------------------------------------------------


def embedded(n, seed):
    """Return samples whose kind (the first 112 numbers) says type and gender, whose colour part says the colour."""
    rng = np.random.default_rng(seed)
    samples, rows = [], np.zeros((n, 256), np.float32)
    for i in range(n):
        kind, colour, gender, striped = rng.integers(3), rng.integers(2), rng.integers(2), rng.random() < 0.5
        title = f"{('Men', 'Women')[gender]} {('Solid', 'Striped')[striped]} thing"
        samples.append(ItemSample(PIXELS, (0, 0, 8, 8), None, kind, colour, colour, gender, 0, (0,), f"p{i}", title))
        rows[i, [kind, 10 + gender, 20 + striped, 112 + colour]] = (1, 0.7, 0.7, 1)
    rows += rng.normal(scale=0.03, size=rows.shape).astype(np.float32)
    return Embedded(samples, rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def fitted():
    vocabulary = Vocabulary(("Tshirts", "Shirts", "Tops"), ("Red", "Blue"), ("red", "blue"), ("puma",), ("top",))
    tasks = Tasks({"type": 3, "gender": 4, "words": 1, "category": 1, "colour": 2, "colour_base": 2})
    train, dev = embedded(300, 0), embedded(80, 1)
    measured = [(Colour("blue", 1.0),)] * 80
    return (
        *fit_labels(
            trained_heads(tasks, (0.4, 0.2, 0.2, 0.2), vocabulary), vocabulary, train, dev, dev, measured=measured
        ),
        train,
        dev,
    )


def test_what_embeddings_say_is_learned(fitted):
    labels, figures, _, dev = fitted
    assert figures["article_type_right"] > 0.95 and figures["gender_right"] > 0.95
    assert figures["first_colour_right"] > 0.95  # by the network: the pixels said blue of all
    assert labels.colour_weight > 0.4
    told = [labels.tell(embedding).get("pattern") for embedding in dev.embeddings]
    said = ["striped" if "Striped" in sample.title else "solid" for sample in dev.samples]
    assert np.mean([one == other for one, other in zip(told, said, strict=True) if one]) > 0.9
    assert {value.name for value in labels.attributes["pattern"].values} == {"solid", "striped"}
    assert "material" not in labels.attributes  # no title says any


def test_good_first_hits_mostly_score_a_half_or_more(fitted):
    labels, figures, train, dev = fitted
    ranked = rank_nearest(labels, train, dev)
    nearest = ranked.order(labels.weights).min(1)
    scores = [closeness(float(distance), labels.calibration.half["top"]) for distance in nearest]
    assert np.mean(np.array(scores) >= labels.calibration.min_score) == pytest.approx(0.9, abs=0.03)
    assert figures["first_type"] >= figures["first_type_unweighted"] - 0.02


def test_scores_mean_the_same_of_street_photos_where_some_are_known():
    vocabulary = Vocabulary(("Tshirts", "Shirts", "Tops"), ("Red", "Blue"), ("red", "blue"), ("puma",), ("top",))
    tasks = Tasks({"type": 3, "gender": 4, "words": 1, "category": 1, "colour": 2, "colour_base": 2})
    train, dev, near, far = embedded(300, 0), embedded(80, 1), embedded(60, 2), embedded(60, 3)
    blurred = far.embeddings + np.random.default_rng(4).normal(scale=0.05, size=far.embeddings.shape).astype(np.float32)
    street = Embedded(far.samples, blurred / np.linalg.norm(blurred, axis=1, keepdims=True))
    measured = [(Colour("blue", 1.0),)] * 80

    def fit(street):
        weights = (0.4, 0.2, 0.2, 0.2)
        return fit_labels(
            trained_heads(tasks, weights, vocabulary), vocabulary, train, dev, dev, measured=measured, street_dev=street
        )[0]

    labels = fit(street)
    nearest = rank_nearest(labels, train, street).order(labels.weights).min(1)
    scores = [closeness(float(distance), labels.calibration.half["top"]) for distance in nearest]
    assert np.mean(np.array(scores) >= labels.calibration.min_score) == pytest.approx(0.9, abs=0.03)
    few = Embedded(near.samples[:5], near.embeddings[:5])
    assert fit(few).calibration.half == fit(NOTHING).calibration.half  # too few to go by


def test_street_items_teach_what_shops_pictures_do_not():
    vocabulary = Vocabulary(("Tshirts", "Shirts", "Tops"), ("Red", "Blue"), ("red", "blue"), ("puma",), ("top",))
    tasks = Tasks({"type": 3, "gender": 4, "words": 1, "category": 1, "colour": 2, "colour_base": 2})
    train, dev = embedded(300, 0), embedded(80, 1)
    street, street_dev = (moved_to_the_street(embedded(n, seed)) for n, seed in ((200, 2), (60, 3)))
    trained = trained_heads(tasks, (0.4, 0.2, 0.2, 0.2), vocabulary)
    measured = [(Colour("blue", 1.0),)] * 80
    untaught, before = fit_labels(trained, vocabulary, train, dev, dev, measured=measured, street_dev=street_dev)
    _, after = fit_labels(
        trained, vocabulary, train, dev, dev, measured=measured, further=street, street_dev=street_dev
    )
    assert before["article_type_right_in_street"] < 0.6 < 0.9 < after["article_type_right_in_street"]
    assert after["article_type_right"] > 0.9 and untaught.article_type.names == vocabulary.article_types


def test_items_are_shown_with_what_is_around_them_too():
    pixels = np.zeros((100, 200, 3), np.uint8)
    item = ItemSample(pixels, (50.0, 20.0, 150.0, 80.0), None, product_id="p")
    street = ItemSample(pixels, (0.0, 0.0, 200.0, 100.0), None, category=0)

    wide, same = all_with_surroundings([item, street])
    x1, y1, x2, y2 = wide.box
    margin = (50 - x1) / 100
    assert wide.product_id == "p" and 0.1 <= margin <= 0.4 and x2 - 150 == pytest.approx(50 - x1)
    assert (20 - y1, y2 - 80) == pytest.approx([min(margin * 60, 20)] * 2)
    assert same.box == street.box and same.category == 0  # there is no more around
    assert [one.box for one in all_with_surroundings([item, street])] == [wide.box, same.box]


def test_a_share_of_a_batchs_street_items_is_shown_with_what_is_around_them():
    pixels = np.zeros((100, 200, 3), np.uint8)
    street = [ItemSample(pixels, (50.0 + i, 20.0, 150.0, 80.0), None, category=i) for i in range(5)]

    def wide(share: float) -> float:
        drawn = draw_street(street, EncoderSettings(street=400, wide=share), np.random.default_rng(0))
        assert {one.category for one in drawn} == set(range(5))
        return float(np.mean([one.box[2] > 150 for one in drawn]))

    assert (wide(0.0), wide(1.0)) == (0.0, 1.0) and wide(0.4) == pytest.approx(0.4, abs=0.1)


def test_what_a_whole_photo_is_of_is_said_by_what_tells_most_of_items_with_what_is_around_them():
    names = ("top", "bag", "hat")
    vocabulary = Vocabulary(("Tshirts", "Shirts", "Tops"), ("Red", "Blue"), ("red", "blue"), ("puma",), names)
    tasks = Tasks({"type": 3, "gender": 4, "words": 1, "category": 3, "colour": 2, "colour_base": 2})
    train, dev = (with_categories(embedded(n, seed)) for n, seed in ((120, 0), (40, 1)))
    around, around_dev = (moved_to_the_street(with_categories(embedded(n, seed))) for n, seed in ((120, 2), (40, 3)))
    trained = trained_heads(tasks, (0.4, 0.2, 0.2, 0.2), vocabulary) | {"category": head(names, 0, 1, 2, scale=50.0)}
    measured = [(Colour("blue", 1.0),)] * 40

    labels, _ = fit_labels(
        trained, vocabulary, train, dev, dev, measured=measured, further=around, around_dev=around_dev
    )
    truth = [names[i] for i in around_dev.labels("category")]
    said = [labels.photo_categories(embedding) for embedding in around_dev.embeddings]
    assert np.mean([max(one, key=one.get) == name for one, name in zip(said, truth, strict=True)]) > 0.9
    unasked = replace(labels, deep={})
    said = [unasked.photo_categories(embedding) for embedding in around_dev.embeddings]
    assert np.mean([max(one, key=one.get) == name for one, name in zip(said, truth, strict=True)]) < 0.6
    assert replace(labels, category=None).photo_categories(around_dev.embeddings[0]) == {}


def test_a_hidden_layer_is_kept_where_it_tells_more(tmp_path):
    vocabulary = Vocabulary(("Tshirts", "Shirts", "Tops"), ("Red", "Blue"), ("red", "blue"), ("puma",), ("top",))
    tasks = Tasks({"type": 3, "gender": 4, "words": 1, "category": 1, "colour": 2, "colour_base": 2})
    train, dev = (crossed(embedded(n, seed)) for n, seed in ((900, 0), (80, 1)))
    trained = trained_heads(tasks, (0.4, 0.2, 0.2, 0.2), vocabulary)
    labels, figures = fit_labels(trained, vocabulary, train, dev, dev, measured=[(Colour("blue", 1.0),)] * 80)

    linear = labels.colour.log_probabilities(dev.embeddings).argmax(1)
    assert (linear == dev.labels("base_colour")).mean() < 0.8 < 0.9 < figures["colour_right"]
    assert "category" not in labels.deep  # there is but one
    save_labels(labels, tmp_path)
    loaded = load_labels(tmp_path)
    for embedding in dev.embeddings[:3]:
        assert loaded.read(embedding).colours == pytest.approx(labels.read(embedding).colours, abs=0.05)
    one, many = (
        loaded.log_probabilities("colour", dev.embeddings[0]),
        loaded.log_probabilities("colour", dev.embeddings),
    )
    assert many[0] == pytest.approx(one, abs=1e-5) and np.exp(many).sum(1) == pytest.approx(1.0)


def crossed(shown):
    """Return the samples with a colour told by two numbers that are both high or both low: no line parts those."""
    rows, colours = shown.embeddings.copy(), shown.labels("base_colour")
    first = np.random.default_rng(len(colours)).integers(2, size=len(colours))
    rows[:, 112:114] = 0
    rows[np.arange(len(rows)), 112 + first] = 0.5
    rows[np.arange(len(rows)), 114 + (first ^ colours)] = 0.5
    return Embedded(shown.samples, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def with_categories(shown):
    """Return the samples with a category each, that of their kind."""
    return Embedded([replace(sample, category=sample.article_type) for sample in shown.samples], shown.embeddings)


def moved_to_the_street(shown):
    """Return the samples with what says their kind told by other numbers, as light and pose do."""
    rows = shown.embeddings.copy()
    rows[:, 40:43], rows[:, :3] = rows[:, :3], 0
    return Embedded(shown.samples, rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_the_category_counts_as_far_as_it_brings_first_hits_of_the_right_one(labels):
    rng = np.random.default_rng(0)
    of = np.arange(200) % 2
    samples = [ItemSample(PIXELS, (0, 0, 8, 8), None, 0, 0, 0, 0, int(i), (), f"p{n}", "") for n, i in enumerate(of)]
    rows = rng.normal(size=(200, 256)).astype(np.float32)
    rows[np.arange(200), 60 + of] += 4  # a quarter of an embedding's length
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    gallery, queries = Embedded(samples[:150], rows[:150]), Embedded(samples[150:], rows[150:])
    knowing = replace(labels, category=head(("top", "bag"), 60, 61, scale=20.0))
    weights, figures = with_category(knowing, LabelWeights(), gallery, [queries, NOTHING])
    assert weights.category > 0 and figures["first_category"] > 0.9
    blind = replace(labels, category=head(("top", "bag"), 70, 71, scale=0.0))
    unmoved, before = with_category(blind, LabelWeights(), gallery, [queries])
    assert unmoved == LabelWeights() and before["first_category"] < figures["first_category"]


def test_a_category_the_shop_has_little_of_is_looked_for_beside_the_nearest(labels):
    store = Shelf(
        [hit(f"top{i:03}", 0.9 - 0.001 * i, category="top") for i in range(250)] + [hit("bag", 0.5, category="bag")]
    )
    knowing = replace(labels, category=head(("top", "bag"), 60, 61, scale=20.0), weights=LabelWeights(category=4.0))
    (found,) = search_alike(unit(61)[None], [None], store, knowing, 120)
    assert found[0].product_id == "bag" and len(found) == 120
    (more,) = search_alike(unit(61)[None], [None], store, knowing, 251)
    assert more[:120] == found and len({one.product_id for one in more}) == 251
    (within,) = search_alike(unit(61)[None], ["top"], store, knowing, 5)
    assert [one.product_id for one in within] == [f"top{i:03}" for i in range(5)]
    assert store.searches == [
        (200, [None]),
        (CANDIDATES, ["bag"]),
        (300, [None]),
        (CANDIDATES, ["bag"]),
        (100, ["top"]),
    ]


class Shelf:
    """Answers every search with its hits in their order, those of the category asked for."""

    def __init__(self, hits):
        self.hits, self.searches = hits, []

    def search(self, embeddings, k, categories, filter):
        self.searches.append((k, list(categories)))
        return [[one for one in self.hits if category in (None, one.category)][:k] for category in categories]


def test_hits_are_compared_by_the_parts_of_their_embeddings(labels):
    """The same shades in another light are nearer than a little of everything, though both have one cosine."""
    query = joined((1, 0), (1, 0))
    other_light, alike = joined((0.6, 0.8), (1, 0)), joined((0.8, 0.6), (0.8, 0.6))
    assert query @ other_light == pytest.approx(query @ alike)
    hits = [hit(name, 0.8, embedding=vector) for name, vector in (("alike", alike), ("light", other_light))]
    knowing = replace(labels, parts=(128, 128), weights=LabelWeights(), calibration=Calibration())
    (ranked,) = search_alike(query[None], ["top"], Shelf(hits), knowing, 2)
    assert [one.product_id for one in ranked] == ["light", "alike"]
    assert [one.score for one in ranked] == pytest.approx([1 - ((0.45 * 0.05) ** 0.5 - 0.05), 0.8], abs=1e-4)
    assert all(one.embedding is None for one in ranked)
    (plain,) = search_alike(query[None], ["top"], Shelf(hits), replace(knowing, parts=()), 2)
    assert [one.score for one in plain] == [0.8, 0.8]


def joined(*parts):
    """Return an embedding of equally long parts that begin with these numbers, of length 1 each."""
    vector = np.zeros(256, np.float32)
    for i, numbers in enumerate(parts):
        vector[128 * i : 128 * i + len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(
    ("nearer", "kept"),
    [pytest.param(0.8, 0.8, id="the other picture"), pytest.param(0.4, 0.6, id="the picture found first")],
)
def test_a_product_met_twice_is_one_hit_by_its_nearer_picture(labels, nearer, kept):
    reading = labels.read(unit(0))
    other = hit("a", nearer)
    ranked = rank_hits([hit("a", 0.6)], reading, LabelWeights(), Calibration(), None, beside=[other])
    assert [(one.product_id, one.score) for one in ranked] == [("a", kept)]


@pytest.mark.parametrize(
    ("close", "expected"),
    [
        pytest.param([(0, 0), (1, 1), (2, 2)], (1, 1), id="the middle of what is close"),
        pytest.param([(0, 0), (3, 3)], (0, 0), id="nothing that is not close"),
        pytest.param([(2, 3)], (2, 3), id="the best alone"),
        pytest.param([(1, 0), (1, 1), (1, 2), (1, 3), (3, 0)], (1, 1), id="where most are"),
    ],
)
def test_of_weights_close_to_the_best_those_in_their_middle_are_taken(close, expected):
    steps = np.array([(i, j) for i in range(4) for j in range(4)])
    assert tuple(steps[_middle(steps, np.array([tuple(step) in close for step in steps]))]) == expected


def test_learning_ranks_as_searching_does(fitted):
    labels, _, train, dev = fitted
    ranked = rank_nearest(labels, train, dev)
    weights = LabelWeights(1.0, 0.5, 0.2)
    names, colours, words = ("Tshirts", "Shirts", "Tops"), ("Red", "Blue"), ("Men", "Women")
    for query in range(3):
        reading = labels.read(dev.embeddings[query])
        for place in range(0, 100, 20):
            sample = train.samples[ranked.rows[query, place]]
            product = Product(
                "p",
                ("a.png",),
                title=words[sample.gender],
                article_type=names[sample.article_type],
                tags={"colour": colours[sample.base_colour]},
            )
            found = Hit(1 - float(ranked.distances[query, place]), product, (0, 0, 1, 1), "a.png", "top")
            expected = (1 - found.score) * (1 + Contradiction(reading, weights).of(found))
            assert ranked.order(weights)[query, place] == pytest.approx(expected, rel=1e-3)
