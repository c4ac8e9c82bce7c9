"""Detection figures on boxes checkable by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeModels, draw_street, save_image

from twinset.data.labelled import Labelled, LabelledImage
from twinset.errors import DataError, UsageError
from twinset.evaluate.detection import NOTHING, DetectionFigures, detection_figures, evaluate_detector
from twinset.evaluate.report_detection import differences, read_report
from twinset.types import Detections

pytest.importorskip("faster_coco_eval")

CATEGORIES = ("top", "bag", "hat")
A, B, C = (10, 10, 50, 50), (60, 10, 100, 50), (10, 60, 50, 100)  # apart from each other


def photo(*truth: tuple[str, tuple[float, ...]], crowd: tuple[int, ...] = ()) -> LabelledImage:
    boxes = np.array([box for _, box in truth], np.float32).reshape(-1, 4)
    undecidable = np.array([i in crowd for i in range(len(truth))], bool)
    return LabelledImage(Path("photo.jpg"), 200, 200, boxes, tuple(name for name, _ in truth), undecidable, "test")


def detections(*found: tuple[str, float, tuple[float, ...]]) -> Detections:
    found = tuple(sorted(found, key=lambda one: -one[1]))
    return Detections(
        np.array([box for _, _, box in found], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in found], np.float32),
        np.array([CATEGORIES.index(name) for name, _, _ in found], np.int64),
    )


def figures_of(image: LabelledImage, found: Detections, min_score: float = 0.3) -> DetectionFigures:
    return detection_figures([image], [found], CATEGORIES, min_score)


def test_finding_every_box_and_nothing_else_is_an_average_precision_of_one():
    figures = figures_of(photo(("top", A), ("bag", B)), detections(("top", 0.9, A), ("bag", 0.8, B)))
    assert figures.map_50 == figures.map_50_95 == figures.precision == figures.recall == pytest.approx(1)
    assert (figures.n, figures.boxes) == (1, 2)
    assert list(figures.per_category) == ["top", "bag"]  # there is no hat to find
    assert figures.failures == ()


def test_half_the_boxes_found_is_precision_one_at_the_recalls_up_to_a_half():
    figures = figures_of(photo(("top", A), ("top", B)), detections(("top", 0.9, A)))
    assert figures.map_50 == pytest.approx(51 / 101)  # COCO's 101 recalls, 0 to 0.5 among them
    assert (figures.precision, figures.recall) == (1, 0.5)


def test_a_better_scored_false_detection_halves_the_precision():
    figures = figures_of(photo(("top", A)), detections(("top", 0.9, C), ("top", 0.8, A)))
    assert figures.map_50 == pytest.approx(0.5)
    assert figures.precision == 0.5


def test_a_box_that_overlaps_by_0_62_counts_at_three_of_ten_thresholds():
    found = (10, 10, 10 + 0.62 * 40, 50)
    figures = figures_of(photo(("top", A)), detections(("top", 0.9, found)))
    assert figures.map_50 == pytest.approx(1)
    assert figures.map_50_95 == pytest.approx(0.3)


def test_undecidable_boxes_are_neither_right_nor_wrong_to_find():
    image = photo(("top", A), ("bag", B), crowd=(1,))
    with_it = figures_of(image, detections(("top", 0.9, A), ("bag", 0.8, B)))
    without = figures_of(image, detections(("top", 0.9, A)))
    for figures in (with_it, without):
        assert (figures.boxes, figures.map_50, figures.precision, figures.recall) == (1, 1, 1, 1)
        assert figures.confusion == {"top": {"top": 1}}


def test_only_detections_from_the_threshold_on_count_for_precision_and_recall():
    image, found = photo(("top", A), ("bag", B)), detections(("top", 0.9, A), ("bag", 0.2, B))
    figures = figures_of(image, found)
    assert figures.map_50 == pytest.approx(1)
    assert (figures.precision, figures.recall, figures.min_score) == (1, 0.5, 0.3)
    assert figures.per_category["bag"].precision is None
    assert figures_of(image, found, min_score=0.2).recall == 1


def test_confusion_tells_what_was_taken_for_what():
    image = photo(("top", A), ("bag", B), ("hat", C))
    found = detections(("top", 0.9, A), ("hat", 0.8, B), ("top", 0.7, (120, 120, 160, 160)))
    figures = figures_of(image, found)
    assert figures.confusion == {
        "top": {"top": 1},
        "bag": {"hat": 1},
        "hat": {NOTHING: 1},
        NOTHING: {"top": 1},
    }
    (failure,) = figures.failures
    assert (failure.missed, failure.wrong) == ((1, 2), (1, 2))


def test_two_detections_on_one_box_are_one_right_and_one_wrong():
    figures = figures_of(photo(("top", A)), detections(("top", 0.9, A), ("top", 0.8, A)))
    assert (figures.precision, figures.recall) == (0.5, 1)


def test_categories_with_few_boxes_are_left_out_of_the_second_mean():
    often = [photo(("top", A)) for _ in range(10)]
    images = [*often, photo(("bag", B))]
    found = [detections(("top", 0.9, A)) for _ in often] + [detections()]
    figures = detection_figures(images, found, CATEGORIES, 0.3)
    assert figures.map_50 == pytest.approx(0.5)
    assert figures.map_50_many == pytest.approx(1)
    assert figures_of(photo(("top", A)), detections()).map_50_many is None


def test_finding_nothing_is_zero():
    figures = figures_of(photo(("top", A)), detections())
    assert (figures.map_50, figures.map_50_95, figures.recall, figures.precision) == (0, 0, 0, None)


def test_the_worst_photo_comes_first():
    images = [photo(("top", A)), photo(("top", A), ("bag", B))]
    figures = detection_figures(images, [detections(), detections()], CATEGORIES, 0.3)
    assert [len(failure.missed) for failure in figures.failures] == [2, 1]


def test_recall_at_the_threshold_is_that_of_faster_coco_eval():
    from faster_coco_eval import COCO, COCOeval_faster

    rng = np.random.default_rng(0)
    images, found = [], []
    for _ in range(30):
        corners = rng.uniform(0, 120, (6, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(20, 60, (6, 2))], 1)
        names = rng.choice(CATEGORIES, 6)
        images.append(photo(*zip(names, map(tuple, boxes), strict=True)))
        moved = boxes + rng.normal(0, 4, boxes.shape)
        kept = [i for i in range(6) if rng.random() < 0.8]
        found.append(detections(*((str(names[i]), float(rng.random()), tuple(moved[i])) for i in kept)))
    figures = detection_figures(images, found, CATEGORIES, 0.4)

    truth, results = [], []
    for i, (image, seen) in enumerate(zip(images, found, strict=True), 1):
        for (x1, y1, x2, y2), name in zip(image.boxes.tolist(), image.labels, strict=True):
            entry = {"image_id": i, "category_id": CATEGORIES.index(name) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            truth.append({**entry, "id": len(truth) + 1, "area": (x2 - x1) * (y2 - y1), "iscrowd": 0})
        for (x1, y1, x2, y2), score, label in zip(seen.boxes.tolist(), seen.scores.tolist(), seen.labels, strict=True):
            if score >= 0.4:
                entry = {"image_id": i, "category_id": int(label) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
                results.append({**entry, "score": score})
    data = {
        "images": [{"id": i, "width": 200, "height": 200} for i in range(1, 31)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CATEGORIES, 1)],
        "annotations": truth,
    }
    coco = COCO(data)
    run = COCOeval_faster(coco, coco.loadRes(results), "bbox")
    run.evaluate()
    run.accumulate()
    theirs = run.eval["recall"][0, :, 0, -1]  # IoU 0.5
    assert [figures.per_category[name].recall for name in CATEGORIES] == pytest.approx(theirs.tolist())


def street(folder: Path, *truth: tuple[str, tuple[float, ...]], categories: tuple[str, ...]) -> Labelled:
    path = save_image(draw_street(), folder / "street.png")
    drawn = photo(*truth)
    image = LabelledImage(path, 160, 200, drawn.boxes, drawn.labels, drawn.crowd, "test")
    return Labelled([image], categories, [])


def test_a_detector_is_measured_on_photos(tmp_path):
    labelled = street(tmp_path, ("top", (40, 20, 88, 84)), ("bag", (110, 80, 140, 110)), categories=("top", "bag"))
    done: list[int] = []
    figures = evaluate_detector(labelled, FakeModels(), done.append)
    assert (figures.map_50_95, figures.precision) == (pytest.approx(1), 1)  # the trousers are not labelled there
    assert done == [1]


def test_a_photo_that_cannot_be_read_is_left_out_of_the_figures(tmp_path):
    labelled = street(tmp_path, ("top", (40, 20, 88, 84)), categories=("top",))
    whole = labelled.images[0]
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.path.read_bytes()[:-200])
    labelled.images.insert(0, replace(whole, path=cut))

    figures = evaluate_detector(labelled, FakeModels())

    assert (figures.n, figures.boxes, figures.recall) == (1, 1, 1)
    (problem,) = figures.unread
    assert str(cut) in problem and figures.as_json()["unread"] == 1
    with pytest.raises(DataError, match=r"cut\.png"):
        evaluate_detector(labelled, FakeModels(), strict=True)


def test_photos_without_boxes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="expected labelled photos with boxes"):
        evaluate_detector(street(tmp_path, categories=("top",)), FakeModels())


def test_figures_by_name_are_plain_json(tmp_path):
    figures = figures_of(photo(("top", A)), detections(("top", 0.9, A)))
    data = json.loads(json.dumps(figures.as_json()))
    assert data["map_50"] == 1
    assert data["n"] == 1
    assert data["per_category"]["top"] == {"n": 1, "map_50": 1, "map_50_95": 1, "precision": 1, "recall": 1}


def test_small_medium_and_large_boxes_are_told_apart():
    small, medium = (10, 10, 30, 30), (10, 60, 60, 110)
    figures = figures_of(photo(("top", small), ("top", medium)), detections(("top", 0.9, medium)))
    assert figures.by_size == {"small": 0, "medium": pytest.approx(1), "large": None}
    assert figures_of(photo(("top", small)), detections()).by_size == {"small": 0, "medium": None, "large": None}


def test_calibration_compares_scores_with_how_often_they_are_right():
    figures = figures_of(photo(("top", A)), detections(("top", 0.92, A), ("top", 0.98, C), ("top", 0.31, B)))
    assert figures.calibration is not None
    low, high = figures.calibration.bins
    assert (low.n, low.right, high.n, high.right) == (1, 0, 2, 0.5)
    assert high.score == pytest.approx(0.95)
    assert figures.calibration.ece == pytest.approx((1 * 0.31 + 2 * 0.45) / 3)
    assert figures_of(photo(("top", A)), detections()).calibration is None


def test_an_interval_holds_the_mean_and_is_the_same_every_time():
    images = [photo(("top", A)) for _ in range(12)]
    found = [detections(("top", 0.9, A)) if i % 2 else detections() for i in range(12)]
    first, again = (detection_figures(images, found, CATEGORIES, 0.3, rounds=40) for _ in range(2))
    low, high = first.intervals["map_50"]
    assert low < first.map_50 < high
    assert first.intervals == again.intervals and set(first.intervals) == {"map_50", "map_50_many"}
    assert detection_figures(images, found, CATEGORIES, 0.3).intervals == {}


def test_two_reports_are_compared():
    now = figures_of(photo(("top", A), ("bag", B)), detections(("top", 0.9, A), ("bag", 0.8, B))).as_json()
    before = figures_of(photo(("top", A), ("hat", B)), detections(("top", 0.9, A))).as_json()
    assert differences(now, before) == {
        "map_50": pytest.approx(0.5),
        "map_50_95": pytest.approx(0.5),
        "precision": 0,
        "recall": 0.5,
        "map_50 top": 0,
    }


@pytest.mark.parametrize(
    "text",
    [
        *('{"recall": 1}', '{"map_50": "a"}', '{"map_50": true}', '{"sources": 3}', '{"sources": {"street-voc": 1}}'),
        *('{"map_50": 1, "per_category": [1]}', '{"map_50": 1, "per_category": {"top": {"n": 1}}}'),
    ],
)
def test_what_is_no_report_is_named(text, tmp_path):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(DataError, match=r"other\.json: expected figures of .*, found "):
        read_report(tmp_path / "other.json")


def test_a_report_of_several_sources_is_read(tmp_path):
    report = {"sources": {"street-voc": figures_of(photo(("top", A)), detections()).as_json(), "coco": {"map_50": 1}}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert read_report(tmp_path / "report.json")["sources"]["coco"] == {"map_50": 1}
