import dataclasses
from pathlib import Path

import numpy as np
import pytest
from fakes import save_image

from twinset.data.labelled import Labelled, LabelledImage
from twinset.detect import operating
from twinset.detect.detector import Detector, DetectorConfig, load_config, points_of
from twinset.detect.operating import best_threshold, exponent, match_all, set_threshold, take_over_threshold


def test_best_threshold_is_between_the_last_that_helps_and_the_next() -> None:
    scores = np.array([0.9, 0.2, 0.7, 0.4])
    right = np.array([True, False, True, False])

    assert best_threshold(scores, right, total=2) == pytest.approx(0.55)


def test_best_threshold_goes_low_for_what_is_found_with_low_scores() -> None:
    scores = np.array([0.2, 0.15, 0.1])

    assert best_threshold(scores, np.array([True, True, True]), total=4) == pytest.approx(0.1)


def test_best_threshold_of_nothing_right_is_the_middle() -> None:
    assert best_threshold(np.zeros(0), np.zeros(0, bool), total=3) == 0.5


@pytest.mark.parametrize(("total", "share"), [(40, 1.0), (20, 1.0), (10, 0.5), (5, 0.25)])
def test_an_exponent_says_less_of_few_boxes(total: int, share: float) -> None:
    scores, right = np.array([0.2, 0.16, 0.16]), np.array([True, True, False])
    best = best_threshold(scores, right, total)

    assert exponent(scores, right, total, 0.3) == pytest.approx((np.log(0.3) / np.log(best)) ** share, abs=1e-4)


def test_what_was_never_found_keeps_its_scores() -> None:
    assert exponent(np.array([0.2]), np.array([False]), 3, 0.3) == 1.0
    assert exponent(np.zeros(0), np.zeros(0, bool), 0, 0.3) == 1.0


def test_a_category_of_few_boxes_takes_the_usual_exponent_in() -> None:
    scores, right = np.array([0.2, 0.16, 0.16]), np.array([True, True, False])

    own = exponent(scores, right, 20, 0.3)
    assert exponent(scores, right, 20, 0.3, usual=0.5) == pytest.approx(own)
    assert exponent(scores, right, 5, 0.3, usual=0.5) == pytest.approx(0.5 * (own / 0.5) ** 0.25, abs=1e-4)
    assert exponent(np.zeros(0), np.zeros(0, bool), 0, 0.3, usual=0.5) == 0.5


def test_boxes_of_categories_a_source_does_not_label_are_not_to_be_found(tmp_path: Path) -> None:
    path = save_image(np.zeros((64, 64, 3), np.uint8), tmp_path / "photo.png")
    boxes = np.array([[0, 0, 64, 64]] * 3, np.float32)
    image = LabelledImage(path, 64, 64, boxes, ("top", "bag", "hat"), np.array([False, False, True]), "test")

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        count = len(points_of((pixels.shape[2], pixels.shape[1])))
        scores = np.zeros((len(pixels), count, 3), np.float32)
        scores[:, -1] = 0.9
        return [np.full((len(pixels), count, 4), 64, np.float32), scores]

    detector = Detector(run, DetectorConfig(("top", "bag", "hat"), 64 * 64))
    _, right, labels, totals = match_all(detector, [Labelled([image], ("top", "hat"), [])])

    assert totals.tolist() == [1, 0, 0]
    assert (right.tolist(), labels.tolist()) == ([True], [0])


def test_a_threshold_is_fitted_in_one_pass_of_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, images = np.random.default_rng(0), []
    for number in range(20):  # more than a batch
        path = save_image(rng.integers(0, 256, (64, 64, 3), np.uint8), tmp_path / f"{number}.png")
        boxes, labels = np.array([[0, 0, 64, 64]], np.float32), ("top" if number % 2 else "bag",)
        images.append(LabelledImage(path, 64, 64, boxes, labels, np.array([False]), "test"))
    dev = {"test": Labelled(images, ("top", "bag"), [])}
    seen = []

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        seen.append(len(pixels))
        count = len(points_of((pixels.shape[2], pixels.shape[1])))
        scores = np.zeros((len(pixels), count, 2), np.float32)
        scores[:, -1] = pixels[:, :2, 0, 0] / 255
        return [np.full((len(pixels), count, 4), 64, np.float32), scores]

    DetectorConfig(("top", "bag"), 64 * 64).save(tmp_path / "detector.json")
    monkeypatch.setattr(operating, "load_detector", lambda folder: Detector(run, load_config(folder / "detector.json")))
    threshold = set_threshold(tmp_path, dev)
    assert sum(seen) == 20

    fitted = load_config(tmp_path / "detector.json")
    plain = Detector(run, DetectorConfig(("top", "bag"), 64 * 64))
    scores, right, _, totals = match_all(plain, dev.values())
    assert threshold == fitted.min_score == best_threshold(scores, right, int(totals.sum()))
    weighed = Detector(run, dataclasses.replace(fitted, exponents=()))
    scores, right, labels, _ = match_all(weighed, dev.values())
    usual = exponent(scores, right, 20, threshold)
    own = labels == 0
    assert fitted.exponents[0] == exponent(scores[own], right[own], 10, threshold, usual)


def test_a_threshold_is_fitted_where_other_parts_are_looked_at_closer(tmp_path: Path, monkeypatch) -> None:
    """Scores that are weighed leave fewer sure boxes: then a photo's subject is small enough for a closer look."""
    rng, images = np.random.default_rng(0), []
    for number in range(4):
        path = save_image(rng.integers(0, 256, (64, 64, 3), np.uint8), tmp_path / f"{number}.png")
        boxes = np.array([[0, 0, 8, 8]], np.float32)
        images.append(LabelledImage(path, 64, 64, boxes, ("top",), np.array([False]), "test"))
    looks = []

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        looks.append(pixels.tobytes())
        count = len(points_of((pixels.shape[2], pixels.shape[1])))
        boxes, scores = np.zeros((len(pixels), count, 4), np.float32), np.zeros((len(pixels), count, 1), np.float32)
        boxes[:, 0], scores[:, 0] = (0, 0, 8, 8), 0.9  # left, up, right and down from their points
        boxes[:, 1], scores[:, 1] = (20, 20, 24, 24), 0.11  # below closer.SCORE once its size is weighed
        return [boxes, scores]

    DetectorConfig(("top",), 64 * 64).save(tmp_path / "detector.json")
    monkeypatch.setattr(operating, "load_detector", lambda folder: Detector(run, load_config(folder / "detector.json")))

    set_threshold(tmp_path, {"test": Labelled(images, ("top",), [])})

    assert len(load_config(tmp_path / "detector.json").exponents) == 1
    assert len(looks) == 2, "at the photos, and at what of them is looked at closer, as none is before"


def test_a_threshold_is_taken_over_with_exponents_by_name(tmp_path: Path) -> None:
    start, own = tmp_path / "start.json", tmp_path / "detector.json"
    DetectorConfig(("top", "bag", "hat"), 4096, 0.4, 0.6, (0.5, 0.7, 0.6), 0.3, 0.2).save(start)
    DetectorConfig(("hat", "watch", "top"), 1024).save(own)

    take_over_threshold(tmp_path, start.with_suffix(".onnx"))

    assert load_config(own) == DetectorConfig(("hat", "watch", "top"), 1024, 0.4, 0.6, (0.6, 0.6, 0.5), 0.3, 0.2)
