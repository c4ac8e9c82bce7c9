"""What to label next, with a head start, and back: pseudo-labels, picking, Label Studio; and planted label errors."""

import json

import numpy as np
import pytest

from twinset.data.label_studio import labelling_config, make_tasks, read_label_studio
from twinset.data.labelled import Labelled, LabelledImage
from twinset.data.pick import pick_photos, uncertainty
from twinset.data.pseudo import pseudo_labels
from twinset.errors import DataError, UsageError
from twinset.evaluate.audit import count_found, evaluate_audit, label_figures, natural_errors, plant_errors
from twinset.images import encode_jpeg
from twinset.taxonomy import default_taxonomy
from twinset.types import Detections

CATEGORIES = ("top", "skirt", "belt")


def detections(*rows):
    boxes = np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4)
    labels = np.array([CATEGORIES.index(name) for _, _, name in rows], np.int64)
    return Detections(boxes, np.array([score for _, score, _ in rows], np.float32), labels)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photos" / "a b.jpg"
    path.parent.mkdir()
    path.write_bytes(encode_jpeg(np.full((200, 100, 3), 128, np.uint8)))
    return path, 100, 200


def test_pseudo_labels_are_sure_doubtful_or_nothing(photo):
    found = detections(
        ((0, 40, 50, 50), 0.9, "belt"),
        ((0, 0, 50, 50), 0.8, "top"),
        ((0, 50, 50, 90), 0.3, "skirt"),
        ((0, 0, 9, 9), 0.1, "top"),
    )
    labelled = pseudo_labels([photo], [found], CATEGORIES, ("top", "skirt"), 0.5, 0.2)
    (image,) = labelled.images
    assert labelled.categories == ("top", "skirt")
    assert image.labels == ("top", "skirt")
    assert image.crowd.tolist() == [False, True]


def test_photos_without_a_sure_label_are_left_out(photo):
    found = detections(((0, 0, 50, 50), 0.4, "top"))
    assert pseudo_labels([photo], [found], CATEGORIES, CATEGORIES, 0.5, 0.2).images == []


def test_doubt_above_the_threshold_is_refused(photo):
    with pytest.raises(UsageError, match="--doubt"):
        pseudo_labels([photo], [detections()], CATEGORIES, CATEGORIES, 0.2, 0.5)


def test_a_detection_at_the_threshold_is_the_most_doubtful():
    at, sure, weak = (uncertainty(detections(((0, 0, 9, 9), s, "top")), 0.4) for s in (0.4, 0.99, 0.15))
    assert at == pytest.approx(1)
    assert sure < 0.05 and weak == 0


def test_alike_photos_are_not_both_picked():
    embeddings = np.array([[1, 0], [0.999, 0.045], [0, 1], [0.7, 0.714]], np.float32)
    assert pick_photos([3.0, 2.9, 2.0, 1.0], embeddings, 3) == [0, 2, 3]
    assert pick_photos([3.0, 2.9, 2.0, 1.0], embeddings, 9) == [0, 2, 3, 1]
    assert pick_photos([], np.zeros((0, 2), np.float32), 3) == []


def exported(task, results=None, **annotation):
    given = task["predictions"][0]["result"] if results is None else results
    return {"id": 1, "data": task["data"], "annotations": [{"result": given, **annotation}]}


def test_label_studio_gives_boxes_back(photo, tmp_path):
    found = detections(((10, 20, 60, 120), 0.9, "top"), ((5, 100, 90, 200), 0.7, "skirt"))
    root = photo[0].parent
    (task,) = make_tasks([photo], [found], CATEGORIES, "/data/local-files/?d=shop/", root, "default-1")
    (tmp_path / "e.json").write_text(json.dumps([exported(task)]))
    labelled = read_label_studio(tmp_path / "e.json", root, CATEGORIES, default_taxonomy())
    (image,) = labelled.images
    assert image.labels == ("top", "skirt")
    assert image.boxes == pytest.approx(found.boxes, abs=1e-3)


def test_label_studio_tells_what_it_leaves_out(photo, tmp_path):
    root = photo[0].parent
    (task,) = make_tasks([photo], [detections(((0, 0, 9, 9), 0.9, "top"))], CATEGORIES, "", root, "m")
    stranger = json.loads(json.dumps(exported(task)).replace('"top"', '"wig"'))
    gone = exported({**task, "data": {"image": "gone.jpg"}})
    cancelled = exported(task, was_cancelled=True)
    (tmp_path / "e.json").write_text(json.dumps([stranger, gone, cancelled]))
    labelled = read_label_studio(tmp_path / "e.json", root, CATEGORIES, default_taxonomy())
    assert [image.labels for image in labelled.images] == [()]
    assert ["wig" in p.message or "gone.jpg" in p.message for p in labelled.problems] == [True, True]


def test_what_is_no_export_is_said(tmp_path):
    (tmp_path / "e.json").write_text('{"a": 1}')
    with pytest.raises(DataError, match="expected a Label Studio JSON export"):
        read_label_studio(tmp_path / "e.json", tmp_path, CATEGORIES, default_taxonomy())


def test_the_labelling_interface_names_the_categories():
    assert [f'value="{name}"' in labelling_config(CATEGORIES) for name in CATEGORIES] == [True] * 3


def labelled_photos(photo, count=8):
    boxes = np.array([(10, 10, 60, 80), (10, 90, 60, 160)], np.float32)
    image = LabelledImage(photo[0], 100, 200, boxes, ("top", "skirt"), np.zeros(2, bool), "coco")
    from dataclasses import replace

    images = [replace(image, path=photo[0].with_name(f"{i}.jpg")) for i in range(count)]
    return Labelled(images, CATEGORIES, [])


def test_planted_errors_are_of_four_kinds_and_found_by_a_perfect_detector(photo):
    truth = labelled_photos(photo)
    found = [detections(((10, 10, 60, 80), 0.9, "top"), ((10, 90, 60, 160), 0.9, "skirt"))] * len(truth.images)
    wrong, errors = plant_errors(truth, 8, seed=3)
    assert sorted(error.kind for error in errors) == sorted(2 * ["swapped", "shifted", "missing", "blown up"])
    assert sum(len(image.boxes) for image in wrong.images) == 16 - 2
    figures = evaluate_audit(truth, truth, found, CATEGORIES, planted=8, first=8, seed=3)
    assert figures.planted == {kind: (2, 2) for kind in ("swapped", "shifted", "missing", "blown up")}
    assert figures.natural == {}
    assert figures.corrected == label_figures(truth, truth)
    assert (figures.given.mean_iou, figures.given.f1_75) == (1.0, 1.0)


def test_natural_errors_are_told_by_kind(photo):
    from dataclasses import replace

    truth = labelled_photos(photo, 1)
    (image,) = truth.images
    rough = np.array([(10, 10, 60, 30), (10, 90, 60, 160), (70, 0, 90, 20)], np.float32)
    given = replace(truth, images=[replace(image, boxes=rough, labels=("top", "belt", "top"), crowd=np.zeros(3, bool))])
    errors = natural_errors(given, truth)
    assert [(error.kind, error.box_no) for error in errors] == [("differs", 0), ("class", 1), ("extra", 2)]
    assert count_found(errors, []) == {"differs": (0, 1), "class": (0, 1), "extra": (0, 1)}
    assert label_figures(given, truth).f1_50 == 0
