import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twinset.detect.detector import (
    Detector,
    DetectorConfig,
    input_size_wh,
    load_config,
    points_of,
    postprocess,
    resize,
    weigh_scores,
)
from twinset.errors import ModelError

PLAIN = DetectorConfig(("top", "bag"))


@pytest.mark.parametrize(
    ("image_wh", "expected"),
    [
        pytest.param((400, 600), (256, 384), id="portrait"),
        pytest.param((600, 400), (384, 256), id="landscape"),
        pytest.param((500, 500), (320, 320), id="square"),
        pytest.param((10, 1000), (160, 640), id="strip"),
    ],
)
def test_input_keeps_the_area_and_the_aspect_ratio(image_wh: tuple[int, int], expected: tuple[int, int]) -> None:
    assert input_size_wh(*image_wh, 384 * 256) == expected


def test_points_are_the_cells_centres_level_by_level() -> None:
    points = points_of((64, 32))

    assert len(points) == 8 * 4 + 4 * 2 + 2 * 1
    assert points[0].tolist() == [4, 4]
    assert points[8].tolist() == [4, 12]  # the second row of the first level
    assert points[-1].tolist() == [48, 16]


def test_postprocess_returns_boxes_in_the_images_pixels() -> None:
    size_wh = (64, 32)
    scores = np.zeros((42, 2), np.float32)
    distances = np.ones((42, 4), np.float32)
    scores[9, 1] = 0.8  # the point at (12, 12)
    distances[9] = [4, 2, 8, 6]

    found = postprocess(distances, scores, size_wh, (128, 32), 0.5, PLAIN)

    assert found.boxes.tolist() == [[16, 10, 40, 18]]
    assert found.labels.tolist() == [1]
    assert found.scores == pytest.approx([0.8])


def test_postprocess_keeps_overlapping_boxes_of_different_categories() -> None:
    scores = np.zeros((42, 2), np.float32)
    distances = np.full((42, 4), 10, np.float32)
    scores[9] = [0.9, 0.7]
    scores[10, 0] = 0.8  # 8 pixels beside it: IoU with it is 12 / 28

    found = postprocess(distances, scores, (64, 32), (64, 32), 0.5, replace(PLAIN, iou_threshold=0.3))

    assert found.labels.tolist() == [0, 1]


def test_categorys_exponent_moves_its_threshold() -> None:
    scores = np.zeros((42, 2), np.float32)
    scores[9] = [0.25, 0.25]

    raised = replace(PLAIN, exponents=(1.0, 0.5))
    found = postprocess(np.ones((42, 4), np.float32), scores, (64, 32), (64, 32), 0.4, raised)

    assert found.labels.tolist() == [1]
    assert found.scores == pytest.approx([0.5])  # the root of a quarter


def test_what_fills_a_picture_scores_above_what_its_edges_cut_off() -> None:
    boxes = np.array([[10, 10, 90, 90], [60, 60, 100, 100], [40, 40, 50, 50]], np.float32)
    weighing = replace(PLAIN, size_power=0.5, cut_cost=0.3)

    weighed = weigh_scores(np.full(3, 0.5, np.float32), boxes, (100, 100), weighing)

    odds = [0.8, 0.4 * np.exp(-0.6), 0.1]  # by hand: the roots of the shares; two sides of the second are cut off
    assert weighed == pytest.approx([o / (1 + o) for o in odds])
    assert weigh_scores(np.full(3, 0.5, np.float32), boxes, (100, 100), PLAIN).tolist() == [0.5] * 3


def test_weighed_scores_below_the_threshold_are_left_out() -> None:
    scores = np.zeros((42, 2), np.float32)
    scores[9, 0] = 0.6
    weighing = replace(PLAIN, size_power=0.5)

    found = postprocess(np.ones((42, 4), np.float32), scores, (64, 32), (64, 32), 0.5, weighing)

    assert found.boxes.shape == (0, 4)


def test_a_weighing_that_would_raise_scores_is_refused() -> None:
    with pytest.raises(ModelError, match="size_power and cut_cost of 0 or more"):
        DetectorConfig(("top",), size_power=-0.1)


def test_exponents_that_are_not_one_a_category_are_refused() -> None:
    with pytest.raises(ModelError, match="expected 2 exponents, one a category, found 3"):
        DetectorConfig(("top", "bag"), exponents=(1.0, 1.0, 1.0))


def test_postprocess_of_nothing_is_empty() -> None:
    found = postprocess(np.ones((42, 4), np.float32), np.zeros((42, 2), np.float32), (64, 32), (64, 32), 0, PLAIN)

    assert found.boxes.shape == (0, 4)


def test_batch_of_photos_of_several_sizes_equals_each_alone() -> None:
    rng = np.random.default_rng(0)

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        batch, height, width = pixels.shape[:3]
        count = len(points_of((width, height)))
        mean = pixels.reshape(batch, -1).mean(1) / 255
        scores = np.zeros((batch, count, 1), np.float32)
        scores[:, 3, 0] = mean
        return [np.full((batch, count, 4), 9, np.float32), scores]

    detector = Detector(run, DetectorConfig(("top",), 64 * 96))
    images = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((60, 40), (40, 60), (61, 40))]

    together = detector.detect_batch(images, 0.1)

    for image, found in zip(images, together, strict=True):
        alone = detector.detect(image, 0.1)
        assert np.array_equal(found.boxes, alone.boxes)
        assert np.array_equal(found.scores, alone.scores)


def test_resize_leaves_an_image_of_the_size_alone() -> None:
    image = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)

    assert resize(image, (32, 32)) is image


def test_config_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    config = DetectorConfig(("top", "bag"), 1024, 0.25, 0.5, (1.0, 0.75))

    config.save(tmp_path / "detector.json", sha256="abc")

    assert load_config(tmp_path / "detector.json") == config
    assert json.loads((tmp_path / "detector.json").read_text())["sha256"] == "abc"


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"categories": 3}'])
def test_damaged_config_is_a_model_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "detector.json").write_text(text)

    with pytest.raises(ModelError, match="expected a detector's settings"):
        load_config(tmp_path / "detector.json")
