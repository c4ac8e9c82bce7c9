from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from twinset.data.coco import read_coco
from twinset.data.drawn import draw_look, draw_product, draw_shop
from twinset.data.drawn_kinds import KINDS
from twinset.data.feed import read_feed
from twinset.images import read_image
from twinset.taxonomy import default_taxonomy

TAXONOMY = default_taxonomy()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shop(tmp_path_factory.mktemp("drawn"), products=40, looks=4, seed=5)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.article_type)
def test_product_box_is_tight_around_what_is_not_white(kind) -> None:
    product = draw_product(kind.article_type, np.random.default_rng(2))

    item = (product.image < 215).any(2)  # the shadow below is lighter
    rows, columns = np.flatnonzero(item.any(1)), np.flatnonzero(item.any(0))
    assert product.category == kind.category == TAXONOMY.category_of(product.article_type)
    assert product.box == pytest.approx((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1), abs=3)


def test_same_seed_draws_the_same() -> None:
    first, second = (draw_look(np.random.default_rng(11)) for _ in range(2))

    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.boxes, second.boxes)


def test_same_seed_draws_the_same_shop(shop: Path, tmp_path: Path) -> None:
    again = draw_shop(tmp_path, products=40, looks=4, seed=5).parent

    files = sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert len(files) == 40 + 4 + 2
    assert all((again / file).read_bytes() == (shop.parent / file).read_bytes() for file in files)


def test_a_hundred_and_sixty_products_hold_several_of_every_category() -> None:
    sold = Counter(KINDS[i % len(KINDS)].category for i in range(160))  # the order in which draw_shop takes them

    assert set(sold) == set(TAXONOMY.names)
    assert min(sold.values()) >= 4


def test_look_labels_what_is_worn_inside_the_picture() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        look = draw_look(rng)
        assert look.image.shape == (600, 400, 3)
        assert {"shoes"} <= set(look.labels) <= set(TAXONOMY.names)
        assert (look.boxes[:, :2] >= 0).all() and (look.boxes[:, 2:] <= [400, 600]).all()
        assert (look.boxes[:, 2:] > look.boxes[:, :2]).all()


def test_shops_feed_is_read_without_a_failed_row(shop: Path) -> None:
    feed = read_feed(shop, TAXONOMY, strict=True)

    assert len(feed.products) == 40
    assert len(Counter(product.category for product in feed.products)) == len(TAXONOMY.names)
    assert all(read_image(Path(product.images[0])).shape == (600, 450, 3) for product in feed.products[:3])
    assert all(product.price and TAXONOMY.base_colour(product.tags["colour"]) for product in feed.products)


def test_looks_are_labelled_photos_that_name_the_products_worn(shop: Path) -> None:
    import json

    looks = read_coco(shop.parent / "looks.coco.json", shop.parent, TAXONOMY, strict=True)
    data = json.loads((shop.parent / "looks.coco.json").read_text())
    ids = {product.product_id for product in read_feed(shop, TAXONOMY).products}

    assert len(looks.images) == 4
    assert all(set(entry["product_ids"]) <= ids and entry["product_ids"] for entry in data["images"])
