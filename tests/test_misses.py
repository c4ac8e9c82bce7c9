"""Pictures of missed items: none unless asked for, small, the newest alone, each shop's own."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twinset.server.misses import SIDE, MissCrops
from twinset.types import Colour, FoundItem

PHOTO = np.full((900, 600, 3), 120, np.uint8)
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


@pytest.mark.parametrize("category", [None, "dress"])
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


def test_shops_see_their_own(tmp_path: Path) -> None:
    crops = MissCrops(tmp_path, 5)
    crops.keep("one", PHOTO, [ITEM], 0.5)

    assert crops.newest("../other", 0, 10) == []
