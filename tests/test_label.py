"""What to label next, with a head start, and back: pseudo-labels, picking, Label Studio; what readers of labels leave
out; and planted label errors.
"""

import json
import os

import numpy as np
import pytest
from fakes import draw_street, save_image

from twinset.data.coco import read_coco
from twinset.data.label_studio import labelling_config, make_tasks, read_label_studio
from twinset.data.labelled import Labelled, LabelledImage
from twinset.data.pick import pick_photos, uncertainty
from twinset.data.pseudo import pseudo_labels
from twinset.data.voc import read_voc
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


@pytest.mark.parametrize("command", [("pick",), ("pseudo", "--out", "pseudo.json")], ids=lambda words: words[0])
def test_photos_that_cannot_be_decoded_are_named_and_left_out(command, run, tmp_path):
    whole, cut = (save_image(draw_street(), tmp_path / "photos" / name) for name in ("a.png", "b.png"))
    cut.write_bytes(cut.read_bytes()[:-200])
    ran = run("data", command[0], "photos", *command[1:])
    assert ran.code == 0 and "b.png" in ran.stderr and ran.stderr.count("photo left out") == 1
    assert ran.stdout == "photos/a.png\n" if command == ("pick",) else "in 1 of 1 photos" in ran.stdout
    whole.unlink()
    ran = run("data", command[0], "photos", *command[1:])
    assert ran.code == 1 and "expected photos that can be read, found none of 1" in ran.stderr


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


def test_a_list_of_photos_in_another_encoding_is_one_line(run, photo, tmp_path):
    (tmp_path / "only.txt").write_bytes(b"caf\xe9.jpg\n")
    ran = run("data", "label-studio", photo[0].parent, "--only", "only.txt", "--out", "tasks.json")
    assert ran.code == 1 and ran.stderr == (
        "Error: only.txt: expected UTF-8, found other bytes; save the list as UTF-8\n"
    )


def region(**changes):
    """A box of a quarter of the photo's width and a tenth of its height, in the middle."""
    value = {"x": 50, "y": 50, "width": 25, "height": 10, "rotation": 0, "rectanglelabels": ["top"]} | changes
    return {"type": "rectanglelabels", "original_width": 100, "original_height": 200, "value": value}


def read_regions(photo, tmp_path, *regions, tasks=1):
    root = photo[0].parent
    (task,) = make_tasks([photo], [detections()], CATEGORIES, "/data/local-files/?d=shop/", root, "m")
    (tmp_path / "e.json").write_text(json.dumps([exported(task, regions)] * tasks))
    return read_label_studio(tmp_path / "e.json", root, CATEGORIES, default_taxonomy())


@pytest.mark.parametrize(
    ("rotation", "box"),
    [
        pytest.param(0, (50, 100, 75, 120), id="upright"),
        pytest.param(90, (30, 100, 50, 125), id="clockwise about its corner"),
        pytest.param(45, (50 - 14.14, 100, 50 + 17.68, 100 + 31.82), id="the hull"),
    ],
)
def test_a_turned_box_becomes_the_upright_one_around_it(photo, tmp_path, rotation, box):
    (image,) = read_regions(photo, tmp_path, region(rotation=rotation)).images
    assert image.boxes[0] == pytest.approx(box, abs=0.01)


def test_regions_of_several_categories_or_none_are_left_out(photo, tmp_path):
    several, none = region(rectanglelabels=["top", "belt"]), region(rectanglelabels=[])
    labelled = read_regions(photo, tmp_path, several, none, region())
    assert [image.labels for image in labelled.images] == [("top",)]
    assert [problem.where.rpartition(", ")[2] for problem in labelled.problems] == ["region 1", "region 2"]


def test_a_photo_labelled_in_two_tasks_counts_once(photo, tmp_path):
    labelled = read_regions(photo, tmp_path, region(), tasks=2)
    assert len(labelled.images) == 1
    assert [problem.message for problem in labelled.problems] == [
        f"{photo[0]} has been labelled in a task before; this one left out"
    ]


@pytest.mark.parametrize("raw", [False, True], ids=["as written by us", "as it is"])
def test_photos_are_found_again_whatever_signs_their_names_have(tmp_path, raw):
    name = "50%20+ü.png" if raw else os.fsdecode(b"50%20+\xc3\xbc\xfc.png")
    path = save_image(np.full((200, 100, 3), 128, np.uint8), tmp_path / name)
    (task,) = make_tasks([(path, 100, 200)], [detections()], CATEGORIES, "/data/local-files/?d=", tmp_path, "m")
    if raw:
        task["data"]["image"] = f"/data/local-files/?d={path.name}"
    (tmp_path / "e.json").write_text(json.dumps([exported(task, [region()])]))
    (image,) = read_label_studio(tmp_path / "e.json", tmp_path, CATEGORIES, default_taxonomy()).images
    assert image.path == path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param('{"a": 1}', "found", id="an-object"),
        pytest.param('[{"id": 1, "image": "a.jpg", "label": []}]', "not as JSON-MIN", id="json-min"),
        pytest.param('[{"data": {"image": "a.jpg"}, "predictions": []}]', "without annotations", id="tasks-to-import"),
    ],
)
def test_what_is_no_export_is_said(tmp_path, text, found):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(DataError, match=f"expected a Label Studio JSON export.*{found}"):
        read_label_studio(tmp_path / "e.json", tmp_path, CATEGORIES, default_taxonomy())


def test_the_labelling_interface_names_the_categories():
    assert [f'value="{name}"' in labelling_config(CATEGORIES) for name in CATEGORIES] == [True] * 3


# --- what readers leave out -------------------------------------------------------------------------------------------


def coco_of(folder, **changes):
    """Return a COCO file of two photos with a box each, and write the photos."""
    for name in ("a.png", "b.png"):
        save_image(np.full((200, 100, 3), 128, np.uint8), folder / name)
    data = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [10, 10, 50, 50]} for i in (1, 2)],
        "categories": [{"id": 1, "name": "top"}, {"id": 2, "name": "bag"}],
    }
    (folder / "labels.json").write_text(json.dumps(data | changes))
    return folder / "labels.json"


BOX = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 50, 50]}


@pytest.mark.parametrize(
    ("changes", "found", "message"),
    [
        pytest.param(
            {"images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}], "annotations": [BOX]},
            [("a.png", ("top",))],
            "duplicate image id 1; the later image left out",
            id="image id",
        ),
        pytest.param(
            {"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}]},
            [("a.png", ("top",))],
            "duplicate image file_name 'a.png'; the later image left out",
            id="file name",
        ),
        pytest.param(
            {"categories": [{"id": 1, "name": "top"}, {"id": 1, "name": "bag"}]},
            [("a.png", ("top",)), ("b.png", ("top",))],
            "duplicate category id 1; the later category left out",
            id="category id",
        ),
        pytest.param(
            {"annotations": [BOX | {"id": 7}, BOX | {"id": 7}]},
            [("a.png", ("top",)), ("b.png", ())],
            "duplicate annotation id 7; the later annotation left out",
            id="annotation id",
        ),
    ],
)
def test_what_a_coco_file_has_twice_is_told_and_counts_once(tmp_path, changes, found, message):
    file = coco_of(tmp_path, **changes)
    labelled = read_coco(file, tmp_path, default_taxonomy())
    assert [(image.name, image.labels) for image in labelled.images] == found
    assert [problem.message for problem in labelled.problems] == [message]
    with pytest.raises(DataError, match="duplicate"):
        read_coco(file, tmp_path, default_taxonomy(), strict=True)


def test_annotations_need_no_ids(tmp_path):
    labelled = read_coco(coco_of(tmp_path, annotations=[BOX, BOX | {"image_id": 2}]), tmp_path, default_taxonomy())
    assert [image.labels for image in labelled.images] == [("top",), ("top",)] and labelled.problems == []


@pytest.mark.parametrize(
    ("bbox", "labels"),
    [
        pytest.param([10, 10, 10**400, 50], (), id="beyond float"),
        pytest.param([10, 10, 1e300, 50], ("top",), id="beyond float32"),
        pytest.param([10, 10, "wide", 50], (), id="a word"),
        pytest.param(None, (), id="none"),
    ],
)
def test_a_bbox_of_other_than_numbers_is_told_and_the_rest_read(tmp_path, bbox, labels):
    file = coco_of(tmp_path, annotations=[BOX | {"bbox": bbox}, BOX | {"image_id": 2}])
    labelled = read_coco(file, tmp_path, default_taxonomy())
    assert [image.labels for image in labelled.images] == [labels, ("top",)]
    assert len(labelled.problems) == 1 and "a.png" in labelled.problems[0].where


def test_a_file_nested_too_deeply_is_no_coco(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="expected a COCO JSON file, found maximum recursion depth"):
        read_coco(tmp_path / "deep.json", tmp_path, default_taxonomy())
    with pytest.raises(DataError, match="expected a Label Studio JSON export"):
        read_label_studio(tmp_path / "deep.json", tmp_path, CATEGORIES, default_taxonomy())


def voc_of(folder, *names, box="<xmin>10</xmin><ymin>10</ymin><xmax>60</xmax><ymax>60</ymax>", head=""):
    """Write a VOC folder of photos with a bag each, all of val; `head` and `box` are those of the first."""
    for name in set(names):
        save_image(np.full((200, 100, 3), 128, np.uint8), folder / "JPEGImages" / f"{name}.jpg")
        (folder / "Annotations").mkdir(exist_ok=True)
        text = f"<annotation><object><name>bag</name><bndbox>{box}</bndbox></object></annotation>"
        (folder / "Annotations" / f"{name}.xml").write_text(head * (name == names[0]) + text)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    (folder / "ImageSets" / "Main" / "val.txt").write_text("\n".join(names))
    return folder


def test_a_photo_named_twice_in_a_split_is_read_once(tmp_path):
    labelled = read_voc(voc_of(tmp_path, "1", "2", "1"), "val", default_taxonomy())
    assert [image.name for image in labelled.images] == ["1.jpg", "2.jpg"]
    assert [problem.message for problem in labelled.problems] == ["duplicate photo '1'; read once"]


@pytest.mark.parametrize("encoding", ["gb2312", "foo"])
def test_an_annotation_in_an_unreadable_encoding_is_told_and_the_rest_read(tmp_path, encoding):
    folder = voc_of(tmp_path, "1", "2", head=f'<?xml version="1.0" encoding="{encoding}"?>')
    labelled = read_voc(folder, "val", default_taxonomy())
    assert [image.name for image in labelled.images] == ["2.jpg"]
    assert ["expected a VOC annotation" in problem.message for problem in labelled.problems] == [True]
    with pytest.raises(DataError, match="expected a VOC annotation"):
        read_voc(folder, "val", default_taxonomy(), strict=True)


# --- planted errors ---------------------------------------------------------------------------------------------------


def test_without_labels_that_were_corrected_only_planted_errors_are_measured(run, tmp_path):
    ran = run("evaluate", "audit", "--voc", voc_of(tmp_path / "voc", *"1234"), "--planted", 4, "--json")
    assert ran.code == 0 and "what was corrected by hand" in ran.stderr and "can't be measured" in ran.stderr
    assert ran.json["natural"] == {"n": 0, "found": None} and ran.json["given"] is None


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
