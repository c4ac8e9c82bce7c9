"""One answer of several views: boxes fused, what a detector of several views answers, and how one is made."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from twinset.cli import cli
from twinset.detect import fuse as fusing
from twinset.detect import operating
from twinset.detect.detector import Detector, DetectorConfig, View, load_config, points_of
from twinset.detect.fuse import mirror
from twinset.errors import ModelError
from twinset.types import Detections

VIEWS = (View(64 * 96), View(128 * 192, mirrored=True, most=0.2))


def found(*items: tuple[list[float], float, int]) -> Detections:
    boxes, scores, labels = zip(*items, strict=True) if items else ((), (), ())
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(labels, np.int64)
    )


def fuse(views: list[Detections], iou_threshold: float) -> Detections:
    """Fuse views that count for items of any size."""
    return fusing.fuse(views, iou_threshold, [1e9] * len(views))


def test_boxes_on_one_item_become_their_mean_weighted_by_score():
    one, two = found(([0, 0, 100, 100], 0.6, 1)), found(([8, 0, 108, 100], 0.2, 1))
    fused = fuse([one, two], 0.6)
    assert fused.boxes[0] == pytest.approx([2, 0, 102, 100])
    assert fused.scores == pytest.approx([0.4])
    assert fused.labels.tolist() == [1]


def test_what_one_view_alone_sees_has_a_share_of_its_score():
    one, two = found(([0, 0, 10, 10], 0.9, 0)), found(([50, 50, 60, 60], 0.6, 0))
    fused = fuse([one, two, found()], 0.6)
    assert fused.boxes.tolist() == [[0, 0, 10, 10], [50, 50, 60, 60]]
    assert fused.scores == pytest.approx([0.3, 0.2])


def test_categories_are_not_fused_and_the_best_comes_first():
    one, two = found(([0, 0, 10, 10], 0.5, 0)), found(([0, 0, 10, 10], 0.8, 2))
    fused = fuse([one, two], 0.5)
    assert fused.labels.tolist() == [2, 0]
    assert fused.scores == pytest.approx([0.4, 0.25])


def test_of_each_view_only_the_best_box_on_an_item_counts():
    one = found(([0, 0, 100, 100], 0.8, 0), ([0, 0, 100, 90], 0.4, 0))
    fused = fuse([one, found(([0, 0, 100, 100], 0.6, 0))], 0.6)
    assert fused.boxes.tolist() == [[0, 0, 100, 100]]  # the weaker is no item of its own either
    assert fused.scores == pytest.approx([0.7])


def test_no_score_is_above_one_and_nothing_stays_nothing():
    sure = found(([0, 0, 10, 10], 1.0, 0))
    assert fuse([sure, sure, sure], 0.6).scores == pytest.approx([1.0])
    assert len(fuse([found(), found()], 0.6).scores) == 0


def test_a_view_for_small_items_says_nothing_of_large_ones():
    whole = found(([0, 0, 100, 100], 0.6, 0), ([200, 200, 210, 210], 0.4, 1))
    close = found(([0, 0, 100, 100], 0.2, 0), ([200, 200, 210, 210], 0.8, 1))
    fused = fusing.fuse([whole, close], 0.6, [1e9, 400.0])
    assert fused.labels.tolist() == [0, 1]
    assert fused.scores == pytest.approx([0.6, 0.6])  # of one view, the mean of two


def test_what_only_a_view_for_small_items_sees_large_is_nothing():
    fused = fusing.fuse([found(), found(([0, 0, 100, 100], 0.9, 0))], 0.6, [1e9, 400.0])
    assert len(fused.scores) == 0 and fused.boxes.shape == (0, 4)


def test_a_mirrored_views_boxes_are_where_they_are_in_the_photo():
    turned = mirror(found(([10, 5, 30, 25], 0.5, 0)), 100)
    assert turned.boxes.tolist() == [[70, 5, 90, 25]]


def brightest(pixels: np.ndarray) -> list[np.ndarray]:
    """A network that finds a top of 16x16 input pixels at the point of the finest level that is brightest."""
    batch, height, width = pixels.shape[:3]
    count = len(points_of((width, height)))
    cells = pixels.mean(-1).reshape(batch, height // 8, 8, width // 8, 8).mean((2, 4)).reshape(batch, -1)
    scores = np.zeros((batch, count, 1), np.float32)
    for row, values in zip(scores, cells, strict=True):
        row[values.argmax()] = values.max() / 255
    return [np.full((batch, count, 4), 8, np.float32), scores]


def photo(x: int, y: int, wh: tuple[int, int] = (64, 96)) -> np.ndarray:
    """A dark photo with a bright square of 16 pixels' sides around a point."""
    image = np.zeros((wh[1], wh[0], 3), np.uint8)
    image[y - 8 : y + 8, x - 8 : x + 8] = 250
    return image


def test_a_detector_fuses_what_it_sees_in_several_sizes_and_mirrored(monkeypatch):
    monkeypatch.setattr("twinset.detect.closer.SHARE", 0.0)  # one look: this network's boxes don't grow with the photo
    seen = []

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        seen.append(pixels.shape[1:3])
        return brightest(pixels)

    detector = Detector(run, DetectorConfig(("top",), 64 * 96, views=VIEWS))
    answer = detector.detect(photo(20, 52), 0.2)
    assert sorted(seen) == [(96, 64), (192, 128)]
    assert len(answer.scores)
    assert np.abs(answer.boxes[0] - [12, 44, 28, 60]).max() <= 8  # a cell of the network's


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.45])
def test_a_threshold_leaves_out_but_changes_nothing(threshold):
    detector = Detector(brightest, DetectorConfig(("top",), 64 * 96, views=VIEWS, exponents=(0.8,)))
    image = photo(20, 52)
    every, some = detector.detect(image, 0.0), detector.detect(image, threshold)
    kept = every.scores >= threshold
    assert np.array_equal(some.boxes, every.boxes[kept])
    assert np.array_equal(some.scores, every.scores[kept])


def test_fused_scores_are_raised_to_the_categorys_exponent():
    plain = DetectorConfig(("top",), 64 * 96, views=VIEWS)
    image = photo(20, 52)
    before = Detector(brightest, plain).detect(image, 0.0).scores
    after = Detector(brightest, replace(plain, exponents=(0.5,))).detect(image, 0.0).scores
    assert after == pytest.approx(before**0.5)


def test_a_batch_of_several_views_answers_as_single_photos_do():
    detector = Detector(brightest, DetectorConfig(("top",), 64 * 96, views=VIEWS))
    images = [photo(20, 52), photo(60, 20, (96, 64)), photo(40, 80)]
    for image, answer in zip(images, detector.detect_batch(images, 0.05), strict=True):
        alone = detector.detect(image, 0.05)
        assert np.array_equal(answer.boxes, alone.boxes)
        assert np.array_equal(answer.scores, alone.scores)


def test_views_are_read_back_as_they_were_saved(tmp_path: Path):
    config = DetectorConfig(("top", "bag"), views=VIEWS)
    config.save(tmp_path / "detector.json")
    assert load_config(tmp_path / "detector.json") == config


def model(folder: Path) -> Path:
    folder.mkdir()
    for name in ("detector.onnx", "encoder.onnx"):
        (folder / name).write_bytes(b"weights")
    DetectorConfig(("top", "bag"), 64 * 96).save(folder / "detector.json")
    (folder / "encoder.json").write_text("{}")
    return folder


def test_export_gives_a_detector_views_and_fits_its_threshold(tmp_path, monkeypatch):
    fitted = []

    def fit(folder: Path, dev: object) -> float:
        fitted.append(load_config(folder / "detector.json").views)
        return 0.3

    monkeypatch.setattr(operating, "set_threshold", fit)
    run, out = model(tmp_path / "run"), tmp_path / "out"
    words = ["export", "detector", str(run), "--view", "96x64", "--view", "192X128:small:mirrored", "--out", str(out)]
    (tmp_path / "voc/ImageSets/Main").mkdir(parents=True)
    (tmp_path / "voc/ImageSets/Main/train.txt").write_text("")
    answer = CliRunner().invoke(cli, [*words, "--voc", str(tmp_path / "voc"), "--model", str(run), "--json"])
    assert answer.exit_code == 0, answer.output
    assert fitted == [VIEWS]
    assert json.loads((out / "detector.json").read_text())["views"][1] == {
        "area": 192 * 128,
        "mirrored": True,
        "most": 0.2,
    }
    assert load_config(run / "detector.json").views == ()


@pytest.mark.parametrize("text", ["96", "96x", "16x64", "96x64:flipped", "96x64:", "axb"])
def test_a_view_that_is_none_is_refused(tmp_path, text):
    run = model(tmp_path / "run")
    words = ["export", "detector", str(run), "--view", text, "--out", str(tmp_path / "out"), "--voc", str(tmp_path)]
    answer = CliRunner().invoke(cli, [*words, "--model", str(run)])
    assert answer.exit_code == 2
    assert "--view: expected HEIGHTxWIDTH" in answer.stderr
    assert not (tmp_path / "out").exists()


def test_a_detector_without_a_view_for_all_sizes_is_refused(tmp_path):
    with pytest.raises(ModelError, match="expected a view for items of any size"):
        DetectorConfig(("top",), views=(View(1024, most=0.2),))
    run = model(tmp_path / "run")
    words = ["export", "detector", str(run), "--view", "96x64:small", "--out", str(tmp_path / "out")]
    answer = CliRunner().invoke(cli, [*words, "--voc", str(tmp_path), "--model", str(run)])
    assert answer.exit_code == 2 and "--view: expected one without :small too" in answer.stderr


def test_views_without_photos_to_fit_a_threshold_on_are_refused(tmp_path):
    run = model(tmp_path / "run")
    answer = CliRunner().invoke(
        cli, ["export", "detector", str(run), "--view", "96x64", "--out", str(tmp_path / "out"), "--model", str(run)]
    )
    assert answer.exit_code == 2
    assert "--view: expected --voc, --ccp or both beside it" in answer.stderr
