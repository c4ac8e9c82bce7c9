"""Items that fill the picture and items seen small: what is cut, where it goes, and what counts as right."""

from dataclasses import replace

import numpy as np
import pytest

from twinset.data.labelled import Labelled, LabelledImage
from twinset.errors import UsageError
from twinset.evaluate.closeups import cut_closeup, evaluate_closeups, shrink
from twinset.images import encode_jpeg
from twinset.types import Detections

BOX = (30.0, 60.0, 60.0, 120.0)


class Finder:
    """Says top of every cut, and the shrunk item's box is a skirt's where `small` is given."""

    categories = ("top", "skirt", "belt")
    min_score = 0.3

    def __init__(self, small=None):
        self.small = small

    def detect_batch(self, images, min_score=None):
        answers = []
        for image in images:
            whole = image.shape[:2] == (180, 90)
            box = self.small if whole else (0, 0, image.shape[1], image.shape[0])
            rows = [] if box is None else [box]
            label = 1 if whole else 0
            boxes = np.array(rows, np.float32).reshape(-1, 4)
            answers.append(Detections(boxes, np.full(len(rows), 0.9, np.float32), np.full(len(rows), label)))
        return answers


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encode_jpeg(np.full((180, 90, 3), 200, np.uint8)))

    def make(labels, crowd):
        boxes = np.array([BOX] * len(labels), np.float32).reshape(-1, 4)
        return Labelled([LabelledImage(path, 90, 180, boxes, labels, np.array(crowd, bool), "coco")], labels, [])

    return make


def test_a_close_up_has_its_margin_on_every_side():
    cut = cut_closeup(np.zeros((180, 90, 3), np.uint8), np.array(BOX), np.random.default_rng(0))
    height, width = cut.shape[:2]
    assert 30 * 1.2 <= width <= 30 * 1.8 + 2
    assert 60 * 1.2 <= height <= 60 * 1.8 + 2


def test_a_shrunk_photo_stands_in_the_middle_of_its_size():
    canvas, scale, corner = shrink(np.full((180, 90, 3), 200, np.uint8))
    assert (canvas.shape, scale, corner) == ((180, 90, 3), pytest.approx(1 / 3), (30, 60))
    assert np.unique(canvas[60:120, 30:60]).tolist() == [200]
    assert np.unique(canvas[:60]).tolist() == [114]


def test_the_best_detection_names_the_item(photo):
    small = tuple(side / 3 + shift for side, shift in zip(BOX, (30, 60, 30, 60), strict=True))
    figures = evaluate_closeups(photo(("top", "skirt"), [False, False]), Finder(small))
    assert figures.closeups.per_category == {"top": (1, 1.0), "skirt": (1, 0.0)}
    assert figures.small.confusion == {"top": {"skirt": 1}, "skirt": {"skirt": 1}}
    assert figures.as_json()["small"]["right"] == 0.5


def test_a_photo_that_is_cut_short_is_left_out(photo, tmp_path):
    whole = photo(("top",), [False])
    broken = tmp_path / "b.jpg"
    broken.write_bytes((tmp_path / "a.jpg").read_bytes()[:-200])
    images = [*whole.images, replace(whole.images[0], path=broken)]
    assert evaluate_closeups(replace(whole, images=images), Finder()).closeups.n == 1


def test_nothing_on_the_item_is_not_right(photo):
    figures = evaluate_closeups(photo(("top",), [False]), Finder(small=(0, 0, 10, 10)))
    assert figures.small.confusion == {"top": {"nothing": 1}}


@pytest.mark.parametrize("labels, crowd", [(("belt",), [False]), (("top",), [True])], ids=["other", "undecidable"])
def test_photos_without_such_items_are_refused(photo, labels, crowd):
    with pytest.raises(UsageError, match="expected boxes of top"):
        evaluate_closeups(photo(labels, crowd), Finder())
