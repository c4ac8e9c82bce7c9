"""Audited labels: each kind of wrong box is suggested first, and corrections do what they say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import is_one_error_line
from fakes import draw_street, save_image
from PIL import Image

import twinset
from twinset.data.audit import AcceptSettings, accept_only, audit_boxes
from twinset.data.audit_set import confusing_pairs, count_categories, find_duplicates, odd_boxes, photo_qualities
from twinset.data.labelled import Labelled, LabelledImage
from twinset.data.suggestions import Suggestion, apply_suggestions, read_suggestions, write_suggestions
from twinset.detect.sources import Sources, read_sources
from twinset.errors import DataError, UsageError
from twinset.evaluate.audit_page import LABELLED, SUGGESTED, draw_suggestion, write_audit
from twinset.images import encode_jpeg
from twinset.taxonomy import default_taxonomy
from twinset.types import Detections

CATEGORIES = ("top", "skirt", "shorts", "shoes", "hat")
TOP, SKIRT, SHOES = (20.0, 20.0, 80.0, 90.0), (25.0, 90.0, 75.0, 150.0), (30.0, 200.0, 70.0, 230.0)


def photo(boxes, labels, crowd=None):
    crowd = np.array(crowd or [False] * len(labels), bool)
    return LabelledImage(
        Path("a.jpg"), 100, 250, np.array(boxes, np.float32).reshape(-1, 4), tuple(labels), crowd, "coco"
    )


def detections(*rows):
    rows = sorted(rows, key=lambda row: -row[1])
    boxes = np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4)
    labels = np.array([CATEGORIES.index(name) for _, _, name in rows], np.int64)
    return Detections(boxes, np.array([score for _, score, _ in rows], np.float32), labels)


FOUND = detections((TOP, 0.9, "top"), (SKIRT, 0.8, "skirt"), (SHOES, 0.7, "shoes"))


def worst(image, found=FOUND, labelled=CATEGORIES, accept=None):
    return audit_boxes([image], [found], CATEGORIES, labelled, accept)[0]


@pytest.mark.parametrize(
    "boxes, labels, action, category, box_no, box",
    [
        pytest.param(
            [TOP, SKIRT, (50, 215, 90, 245)], ["top", "skirt", "shoes"], "move", "shoes", 2, SHOES, id="shifted"
        ),
        pytest.param(
            [TOP, (0, 60, 100, 200), SHOES], ["top", "skirt", "shoes"], "move", "skirt", 1, SKIRT, id="blown up"
        ),
        pytest.param([TOP, SKIRT, SHOES], ["top", "shorts", "shoes"], "rename", "skirt", 1, SKIRT, id="swapped"),
        pytest.param([TOP, SKIRT], ["top", "skirt"], "add", "shoes", None, SHOES, id="missing"),
        pytest.param(
            [TOP, SKIRT, SHOES, (5, 2, 30, 12)],
            ["top", "skirt", "shoes", "hat"],
            "remove",
            "hat",
            3,
            (5, 2, 30, 12),
            id="made up",
        ),
    ],
)
def test_the_wrong_box_is_suggested_first(boxes, labels, action, category, box_no, box):
    one = worst(photo(boxes, labels))
    assert (one.action, one.category, one.box_no) == (action, category, box_no)
    assert one.box == pytest.approx(box)


def test_right_boxes_are_not_suspected():
    suggestions = audit_boxes([photo([TOP, SKIRT, SHOES], ["top", "skirt", "shoes"])], [FOUND], CATEGORIES, CATEGORIES)
    assert [one.score for one in suggestions] == [0, 0, 0]


def test_categories_a_source_does_not_label_are_not_missing():
    suggestions = audit_boxes([photo([TOP, SKIRT], ["top", "skirt"])], [FOUND], CATEGORIES, ("top", "skirt"))
    assert all(one.action != "add" for one in suggestions)


def test_undecidable_boxes_are_left_alone():
    suggestions = audit_boxes([photo([TOP], ["skirt"], crowd=[True])], [FOUND], CATEGORIES, CATEGORIES)
    assert {one.category for one in suggestions} == {"skirt", "shoes"}  # found elsewhere; the top stands on it


def test_only_rules_that_are_asked_for_accept():
    image = photo([TOP, SKIRT, (50, 215, 90, 245)], ["top", "skirt", "shoes"])
    assert worst(image).accepted
    assert not worst(image, accept=accept_only(["rename"])).accepted
    with pytest.raises(UsageError, match="found 'magic'"):
        accept_only(["magic"])


def test_a_missing_item_of_a_doubtful_category_becomes_undecidable():
    one = worst(photo([TOP, SKIRT], ["top", "skirt"]), accept=AcceptSettings(add=("top",)))
    assert (one.action, one.accepted) == ("ignore", True)


def suggestion(action, box_no=0, label="top", category="top", box=TOP, accepted=True):
    return Suggestion("coco", "a.jpg", action, "rule", 0.5, box_no, label, category, box, accepted)


@pytest.mark.parametrize(
    "one, labels, crowd",
    [
        pytest.param(suggestion("rename", category="skirt"), ("skirt", "shoes"), [False, False], id="rename"),
        pytest.param(suggestion("remove"), ("shoes",), [False], id="remove"),
        pytest.param(suggestion("ignore"), ("top", "shoes"), [True, False], id="ignore"),
        pytest.param(suggestion("add", None, None, "hat"), ("top", "shoes", "hat"), [False] * 3, id="add"),
        pytest.param(
            suggestion("ignore", None, None, "hat"), ("top", "shoes", "hat"), [False, False, True], id="region"
        ),
        pytest.param(suggestion("remove", accepted=False), ("top", "shoes"), [False, False], id="not accepted"),
    ],
)
def test_corrections_are_carried_out(one, labels, crowd):
    given = Labelled([photo([TOP, SHOES], ["top", "shoes"])], CATEGORIES, [])
    (image,) = apply_suggestions(given, [one]).images
    assert image.labels == labels
    assert image.crowd.tolist() == crowd


def test_a_moved_box_is_cut_to_the_photo():
    given = Labelled([photo([TOP], ["top"])], CATEGORIES, [])
    (image,) = apply_suggestions(given, [suggestion("move", box=(-5, 10, 120, 90))]).images
    assert image.boxes.tolist() == [[0, 10, 100, 90]]


def test_corrections_of_other_labels_are_refused():
    given = Labelled([photo([TOP], ["skirt"])], CATEGORIES, [])
    with pytest.raises(UsageError, match="expected box 0 to be top, found skirt"):
        apply_suggestions(given, [suggestion("remove")])


def test_corrections_of_another_data_set_are_passed_over():
    given = Labelled([photo([TOP], ["top"])], CATEGORIES, [])
    other = Suggestion("street-voc", "a.jpg", "remove", "", 1.0, 0, "top", "top", TOP, True)
    assert apply_suggestions(given, [other]).images == given.images


def test_suggestions_survive_their_file(tmp_path):
    given = [suggestion("move"), suggestion("add", None, None, "hat", accepted=False)]
    write_suggestions(tmp_path / "s.json", given, photos=1)
    assert read_suggestions(tmp_path / "s.json") == given


def test_what_is_no_file_of_suggestions_is_said(tmp_path):
    (tmp_path / "s.json").write_text("[]")
    with pytest.raises(DataError, match="expected suggestions as `twinset data audit` writes them"):
        read_suggestions(tmp_path / "s.json")
    with pytest.raises(DataError, match="street-ccp, street-voc"):
        read_suggestions(tmp_path / "none.json")


@pytest.mark.parametrize("name", ["street-voc", "street-ccp"])
def test_the_corrections_that_ship_are_accepted_boxes_only(name):
    shipped = read_suggestions(name)
    assert shipped and all(one.accepted and one.source == name for one in shipped)


def test_the_page_shows_the_box_as_labelled_and_as_suggested(tmp_path):
    image = replace(photo([TOP, SHOES], ["top", "shoes"]), path=tmp_path / "a.jpg")
    image.path.write_bytes(encode_jpeg(np.full((250, 100, 3), 255, np.uint8)))
    given = Labelled([image], CATEGORIES, [])
    wrong = [suggestion("move", box=(30, 30, 90, 100)), suggestion("add", None, None, "hat", box=(40, 0, 60, 12))]
    write_audit(tmp_path / "audit.html", given, wrong)
    page = (tmp_path / "audit.html").read_text()
    assert page.count("<img") == 2
    assert "0.50 move top: rule, accepted; a.jpg, box 0" in page
    assert "0.50 add hat: rule, accepted; a.jpg, new box" in page
    colours = {tuple(colour) for colour in draw_suggestion(image, wrong[0]).reshape(-1, 3).tolist()}
    assert {LABELLED, SUGGESTED} <= colours


# --- of COCO files ----------------------------------------------------------------------------------------------------


def write_coco_file(folder: Path, *photos: tuple[str, str, list[float]]) -> Path:
    """Write photos of the drawn street, with one (name, label, bbox) each, and return the COCO file."""
    names = sorted({label for _, label, _ in photos})
    data = {
        "images": [{"id": i, "file_name": name} for i, (name, _, _) in enumerate(photos)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": names.index(label), "bbox": bbox}
            for i, (_, label, bbox) in enumerate(photos)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
    }
    for name, _, _ in photos:
        save_image(draw_street(), folder / name)
    (folder / "labels.json").write_text(json.dumps(data))
    return folder / "labels.json"


DRAWN_TOP, DRAWN_BAG = [40, 20, 48, 64], [110, 80, 30, 30]


def test_photos_of_one_name_in_two_folders_are_told_apart(run, tmp_path):
    write_coco_file(tmp_path, ("d0/1.png", "bag", DRAWN_TOP), ("d1/1.png", "top", DRAWN_BAG))
    audited = run("data", "audit", "--coco", "labels.json", "--out", "s.json", "--html", "a.html", "--as-given")
    assert audited.code == 0, audited.stderr
    renamed = {(one.image, one.category) for one in read_suggestions("s.json") if one.action == "rename"}
    assert renamed == {("d0/1.png", "top"), ("d1/1.png", "bag")}
    applied = run("data", "apply", "s.json", "--coco", "labels.json", "--all", "--out", "c.json", "--json")
    assert applied.code == 0 and applied.json["corrections"] == len(read_suggestions("s.json"))


def test_suggestions_for_other_photos_are_told_of(run, tmp_path):
    write_coco_file(tmp_path, ("a.png", "top", DRAWN_TOP))
    one = Suggestion("street-voc", "a.png", "remove", "", 1.0, 0, "top", "top", (0, 0, 9, 9), True)
    write_suggestions(tmp_path / "s.json", [one])
    ran = run("data", "apply", "s.json", "--coco", "labels.json", "--out", "c.json")
    assert ran.code == 0 and ran.stderr == "none of the 1 suggestions is of these photos, but of street-voc\n"


def test_labels_audited_by_a_model_of_another_taxonomy_are_corrected_in_it(run, tmp_path):
    write_coco_file(tmp_path, ("a.png", "top", DRAWN_TOP))
    own = Path(twinset.__file__).with_name("taxonomy.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(own.replace('"top"', '"upper"').replace("\ntop = {", "\nupper = {", 1))
    one = Suggestion("coco", "a.png", "move", "", 1.0, 0, "upper", "upper", (40, 20, 98, 84), True)
    write_suggestions(tmp_path / "s.json", [one])
    words = "data", "apply", "s.json", "--coco", "labels.json", "--out", "c.json"
    ran = run(*words)
    assert ran.code == 2 and "found 'upper'" in ran.stderr
    ran = run(*words, "--taxonomy", "mine.toml")
    assert ran.code == 0, ran.stderr
    corrected = json.loads((tmp_path / "c.json").read_text())
    assert [one["name"] for one in corrected["categories"]].count("upper") == 1
    assert corrected["annotations"][0]["bbox"] == [40, 20, 58, 64]


def test_training_takes_corrections_of_coco_files_too(tmp_path):
    file = write_coco_file(tmp_path, ("d0/1.png", "top", DRAWN_TOP), ("d1/2.png", "bag", DRAWN_BAG))
    one = Suggestion("coco", "d0/1.png", "rename", "", 1.0, 0, "top", "bag", (40, 20, 88, 84), True)
    write_suggestions(tmp_path / "s.json", [one])
    sources = Sources(coco=((file, tmp_path),), corrections=(str(tmp_path / "s.json"),))
    samples, _ = read_sources(sources, default_taxonomy(), (*CATEGORIES, "bag"), 0, lambda problems: None)
    assert [sample.labels.tolist() for sample in samples] == [[len(CATEGORIES)]] * 2


@pytest.mark.parametrize(
    ("edited", "code", "message"),
    [
        pytest.param(
            {"category": "foo"}, 2, "suggestion to rename box 0 of a.png: expected the category", id="unknown"
        ),
        pytest.param({"category": "scarf"}, 2, "found 'scarf'", id="unlabelled"),
        pytest.param({"category": None}, 1, "suggestion 1: expected a category, found None", id="no category"),
        pytest.param({"box": [0, float("nan"), 5, 5]}, 1, "suggestion 1: expected a box in pixels", id="nan"),
        pytest.param({"box": [0, 10**400, 5, 5]}, 1, "OverflowError", id="huge"),
        pytest.param({"box": [300, 0, 400, 90]}, 2, "expected a box in the 160 x 200 photo", id="outside"),
    ],
)
def test_what_was_edited_wrongly_is_said_before_anything_is_written(run, tmp_path, edited, code, message):
    write_coco_file(tmp_path, ("a.png", "top", DRAWN_TOP))
    one = Suggestion("coco", "a.png", "rename", "", 1.0, 0, "top", "top", (40, 20, 88, 84), True)
    write_suggestions(tmp_path / "s.json", [one])
    data = json.loads((tmp_path / "s.json").read_text())
    data["suggestions"][0] |= edited
    (tmp_path / "s.json").write_text(json.dumps(data))
    ran = run("data", "apply", "s.json", "--coco", "labels.json", "--out", "c.json")
    assert ran.code == code and is_one_error_line(ran.stderr) and message in ran.stderr
    assert not (tmp_path / "c.json").exists()


# --- the set as a whole -----------------------------------------------------------------------------------------------


def test_the_same_photo_in_two_parts_of_the_split_comes_first(tmp_path):
    pytest.importorskip("imagehash")
    rng = np.random.default_rng(0)
    paths = []
    for name in ("a", "b", "c"):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 6, 3), np.uint8))
        coarse.resize((120, 180), Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
        paths.append(tmp_path / f"{name}.png")
    Image.open(paths[0]).resize((80, 120)).save(tmp_path / "a-small.jpg", quality=70)
    Image.open(paths[1]).save(tmp_path / "b-again.png")
    parts = {"train": [*paths, tmp_path / "b-again.png"], "val": [tmp_path / "a-small.jpg"]}

    first, second = find_duplicates(parts)

    assert (first.first, first.second, first.parts, first.across) == ("a.png", "a-small.jpg", ("train", "val"), True)
    assert (second.first, second.second, second.across, second.bits) == ("b.png", "b-again.png", False, 0)


def test_rare_categories_come_first_and_mixed_up_ones_are_counted():
    images = [photo([TOP, SKIRT], ["top", "skirt"]), photo([TOP], ["top"])]

    assert count_categories(images, ("top", "skirt", "hat")) == [
        ("hat", 0, 0, 0),
        ("skirt", 1, 1, pytest.approx(1 / 3)),
        ("top", 2, 2, pytest.approx(2 / 3)),
    ]
    renames = [suggestion("rename", label="top", category="skirt")] * 2 + [suggestion("move")]
    assert confusing_pairs(renames) == [("top", "skirt", 2)]


def test_boxes_that_hardly_hold_an_item_are_listed_the_oddest_first():
    boxes = [TOP, (0, 0, 100, 240), (10, 10, 14, 60), (0, 100, 100, 107), (0, 0, 100, 250), (5, 5, 8, 8)]
    names = ["top", "dress", "belt", "scarf", "jumpsuit", "hat"]

    assert [(row[1], row[-1]) for row in odd_boxes([photo(boxes, names)])] == [
        ("jumpsuit", "nearly the whole photo"),
        ("dress", "nearly the whole photo"),
        ("hat", "tiny"),
        ("belt", "tiny"),
        ("scarf", "thin"),
    ]


def test_photos_that_cannot_be_read_are_nobodys_copies(tmp_path):
    pytest.importorskip("imagehash")
    Image.new("RGB", (40, 60), "red").save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])

    assert find_duplicates({"train": [tmp_path / "whole.png", tmp_path / "cut.png"]}) == []


def test_a_photo_with_a_swapped_label_is_of_less_quality():
    pytest.importorskip("cleanlab")
    sure = detections((TOP, 0.99, "top"), (SKIRT, 0.99, "skirt"), (SHOES, 0.98, "hat"))
    images = [photo([TOP, SKIRT], ["top", "skirt"]), photo([TOP, SKIRT], ["top", "shorts"])]

    right, wrong = photo_qualities(images, [sure, sure], CATEGORIES, ("top", "skirt", "shorts"))

    assert right > 0.99 and wrong < 0.5
