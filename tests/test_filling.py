"""What a photo as a whole looks like, and the scores of what fills it."""

from dataclasses import replace

import numpy as np
import pytest

from twinset.describe.encoder import Encoder, EncoderConfig
from twinset.describe.labels import Head, Labels
from twinset.detect.detector import Detector, DetectorConfig
from twinset.filling import LEAST, LIKELY, SHARE, SURE, WEIGHT, filling, least_score, raise_filling
from twinset.models import Models
from twinset.taxonomy import default_taxonomy
from twinset.types import Detections

IMAGE = np.zeros((100, 100, 3), np.uint8)
NAMES = ("top", "dress", "bag")
LARGE, SMALL = (5, 5, 95, 95), (5, 5, 40, 40)
DRESS = {"top": -4.0, "dress": -0.1, "bag": -4.0}


def detections(*found: tuple[tuple[int, int, int, int], float, str]) -> Detections:
    boxes, scores, names = zip(*found, strict=True)
    labels = [NAMES.index(name) for name in names]
    return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels, np.int64))


def test_what_fills_the_photo_and_is_what_it_looks_like_comes_first() -> None:
    found = raise_filling(detections((LARGE, 0.5, "top"), (LARGE, 0.3, "dress")), IMAGE, DRESS, NAMES)
    assert [NAMES[label] for label in found.labels] == ["dress", "top"]
    odds = 0.3 / 0.7 * np.exp(WEIGHT * (DRESS["dress"] - LEAST))
    assert found.scores == pytest.approx([odds / (1 + odds), 0.5])


def test_small_items_keep_their_scores() -> None:
    found = detections((SMALL, 0.5, "top"), (SMALL, 0.3, "dress"))
    assert raise_filling(found, IMAGE, DRESS, NAMES).scores == pytest.approx([0.5, 0.3])
    assert filling(found, IMAGE).tolist() == [False, False]
    side = 100 * SHARE**0.5
    assert filling(detections(((0, 0, side + 1, side + 1), 0.5, "top")), IMAGE).tolist() == [True]


def test_nothing_scores_less_and_one_is_not_exceeded() -> None:
    sure = raise_filling(detections((LARGE, 1.0, "dress"), (LARGE, 0.0, "top")), IMAGE, DRESS, NAMES)
    assert sure.scores == pytest.approx([1.0, 0.0])


def test_a_category_the_description_lacks_stays_in_its_place() -> None:
    found = detections((LARGE, 0.5, "bag"), (LARGE, 0.45, "dress"), (LARGE, 0.4, "top"))
    looks = {"top": -4.0, "dress": -0.1}
    assert [NAMES[label] for label in raise_filling(found, IMAGE, looks, NAMES).labels] == ["bag", "dress", "top"]


@pytest.mark.parametrize("min_score", [0.01, 0.3, 0.9])
def test_the_lowest_score_that_may_reach_a_threshold_does(min_score: float) -> None:
    lowest = least_score(min_score)
    found = detections((LARGE, lowest + 1e-6, "dress"), (LARGE, lowest - 1e-3, "dress"))
    reach = raise_filling(found, IMAGE, {"dress": 0.0}, NAMES).scores >= min_score
    assert reach.tolist() == [True, False]


def test_what_is_hardly_seen_does_not_rise_where_something_is_sure() -> None:
    found = detections((SMALL, SURE, "top"), (LARGE, LIKELY - 0.01, "bag"))
    assert raise_filling(found, IMAGE, {"bag": 0.0}, NAMES).scores == pytest.approx([SURE, LIKELY - 0.01])
    found = detections((SMALL, SURE - 0.01, "top"), (LARGE, LIKELY - 0.01, "bag"))
    unsure = raise_filling(found, IMAGE, {"bag": 0.0}, NAMES)
    assert unsure.scores[unsure.labels == NAMES.index("bag")] > LIKELY


class Finder(Detector):
    """Finds a top and, less surely, a dress, each over most of any photo."""

    def __init__(self) -> None:
        super().__init__(lambda pixels: [], DetectorConfig(default_taxonomy().names, min_score=0.4))
        self.asked: list[float | None] = []

    def detect_batch(self, images, min_score=None):
        self.asked.append(min_score)
        labels = np.array([self.categories.index(name) for name in ("top", "dress")], np.int64)
        found = Detections(np.array([LARGE, LARGE], np.float32), np.array([0.5, 0.3], np.float32), labels)
        return [found.above(self.min_score if min_score is None else min_score) for _ in images]


def models(*, knowing: bool) -> Models:
    """A model whose encoder sees a dress in bright photos and a top in dark ones."""
    names = default_taxonomy().names
    weights = np.zeros((len(names), 4), np.float32)
    weights[names.index("top"), 0] = weights[names.index("dress"), 1] = 9
    category = Head(names, weights, np.zeros(len(names), np.float32))
    labels = Labels(category, category, category, category, category=category if knowing else None)

    def look(pixels):
        bright = pixels.mean((1, 2, 3)) > 127.5
        rows = np.stack([~bright, bright, bright * 0, bright * 0], 1).astype(np.float32)
        return [rows, np.ones((len(pixels), 20, 20), np.float32)]

    encoder = Encoder(look, EncoderConfig(dim=4))
    return Models("filled", "filled-0", Finder(), encoder, default_taxonomy(), labels)


def test_a_model_asks_its_encoder_what_a_photo_is_of() -> None:
    model = models(knowing=True)
    found = model.detect_batch([np.full_like(IMAGE, 250), IMAGE])
    assert [[model.categories[label] for label in one.labels] for one in found] == [["dress", "top"], ["top"]]
    assert model.detector.asked == [pytest.approx(least_score(0.4))]  # type: ignore[attr-defined]
    assert model.detect(np.full_like(IMAGE, 250)).scores[0] > model.min_score


def test_a_model_without_categories_of_descriptions_says_what_its_detector_does() -> None:
    model = models(knowing=False)
    for one in (model, replace(model, labels=None)):
        found = one.detect(np.full_like(IMAGE, 250))
        assert [model.categories[label] for label in found.labels] == ["top"]


def test_embeddings_are_those_of_descriptions() -> None:
    encoder = models(knowing=True).encoder
    crops = [IMAGE, np.full_like(IMAGE, 250)]
    assert encoder.embed(crops) == pytest.approx(np.stack([one.embedding for one in encoder.describe(crops)]))
    assert encoder.embed([]).shape == (0, 4)
