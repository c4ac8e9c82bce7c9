"""Pictures of missed items: none unless asked for, small, the newest alone, each shop's own."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twinset.images import Photo
from twinset.server.misses import SIDE, MissCrops, is_missed
from twinset.types import Colour, FoundItem, Hit, Product

PHOTO = Photo.of(np.full((900, 600, 3), 120, np.uint8))
ITEM = FoundItem("dress", 0.9, (100, 50, 500, 850), (Colour("green", 0.8),), ())


def test_nothing_is_kept_unless_asked_for(tmp_path: Path) -> None:
    MissCrops(tmp_path / "misses", 0).keep("default", PHOTO, [ITEM], 0.5)

    assert not (tmp_path / "misses").exists()


def test_crop_is_small_and_says_what_it_is(tmp_path: Path) -> None:
    crops = MissCrops(tmp_path, 5)
    crops.keep("default", PHOTO, [ITEM], 0.5)

    (crop,) = crops.newest("default", 0, 10)

    assert (crop["category"], crop["colour"]) == ("dress", "green")
    with Image.open(io.BytesIO(base64.b64decode(crop["jpeg"]))) as picture:
        assert max(picture.size) == SIDE
        assert not picture.getexif()


@pytest.mark.parametrize("category", [None, "dress", "clothes/top", "t-shirt", "swim_wear 2", "수영복"])
def test_item_without_colours_is_kept(tmp_path: Path, category: str | None) -> None:
    crops = MissCrops(tmp_path, 5)
    crops.keep("default", PHOTO, [FoundItem(category, None, (0, 0, 600, 900), (), ())], 0.5)

    assert [(crop["category"], crop["colour"]) for crop in crops.newest("default", 0, 10)] == [(category, None)]


def test_the_oldest_go(tmp_path: Path) -> None:
    crops = MissCrops(tmp_path, 2)
    for category in ("dress", "skirt", "hat"):
        crops.keep("default", PHOTO, [FoundItem(category, 0.9, (0, 0, 20, 20), (), ())], 0.5)

    assert len(crops.newest("default", 0, 10)) == 2
    assert len(list(tmp_path.rglob("*.jpg"))) == 2


@pytest.mark.parametrize(
    ("score", "close_from", "missed"),
    [(0.6, 0.7, True), (0.4, 0.3, False), (0.6, None, False), (0.4, None, True)],
)
def test_the_model_says_what_is_missed_before_the_score_does(
    score: float, close_from: float | None, missed: bool
) -> None:
    hit = Hit(score, Product("a", ("a.png",)), (0, 0, 1, 1), "a.png", "dress")

    assert is_missed(replace(ITEM, hits=(hit,), close_from=close_from), 0.5) is missed
    assert is_missed(replace(ITEM, close_from=close_from), 0.5)


def test_a_later_page_can_not_tell_whether_anything_is_close() -> None:
    hit = Hit(0.6, Product("a", ("a.png",)), (0, 0, 1, 1), "a.png", "dress")

    assert replace(ITEM, hits=(hit,), close_from=0.5).close_enough is True
    assert replace(ITEM, hits=(hit,), close_from=0.7).close_enough is False
    assert replace(ITEM, hits=(hit,), close_from=0.7, offset=24).close_enough is None


def test_a_crop_that_goes_while_they_are_listed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crops = MissCrops(tmp_path, 5)
    for category in ("dress", "skirt"):
        crops.keep("default", PHOTO, [replace(ITEM, category=category)], 0.5)
    first, *rest = crops._files("default")
    monkeypatch.setattr(crops, "_files", lambda shop: [first, tmp_path / rest[0].name])

    assert [crop["category"] for crop in crops.newest("default", 0, 10)] == ["skirt"]


def test_shops_see_their_own(tmp_path: Path) -> None:
    crops = MissCrops(tmp_path, 5)
    crops.keep("one", PHOTO, [ITEM], 0.5)

    assert crops.newest("../other", 0, 10) == []
