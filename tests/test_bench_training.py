"""Benchmarks that train, on a few drawn looks: that they compare what they say they do."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import save_image

from twinset.bench import lessons, new_category
from twinset.data.drawn import draw_look
from twinset.data.feed import Feed
from twinset.data.labelled import Labelled, LabelledImage
from twinset.detect.detector import DetectorConfig, load_config
from twinset.detect.train import TrainSettings
from twinset.errors import DataError, UsageError
from twinset.images import read_image
from twinset.taxonomy import default_taxonomy
from twinset.types import Detections, Product

TAXONOMY = default_taxonomy()
TINY = TrainSettings(height=96, width=64, batch=2, epochs=1, small_until=0.0, warmup=2, frozen_blocks=15)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return line


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledImage]:
    folder, rng = tmp_path_factory.mktemp("looks"), np.random.default_rng(0)
    images = []
    for i in range(6):
        look = draw_look(rng)
        height, width = look.image.shape[:2]
        boxes = np.asarray(look.boxes, np.float32).reshape(-1, 4)
        path = save_image(look.image, folder / f"{i}.png")
        crowd = np.zeros(len(boxes), bool)
        images.append(LabelledImage(path, width, height, boxes, tuple(look.labels), crowd, "coco"))
    return images


class Truthful:
    """A detector that finds the boxes of photos by their pixels' sum, of the categories it knows."""

    min_score = 0.5

    def __init__(self, looks: list[LabelledImage], categories: tuple[str, ...]) -> None:
        self.categories = categories
        self.looks = {int(read_image(image.path).sum()): image for image in looks}

    def detect_batch(self, images, min_score=None):
        return [self._found(self.looks[int(image.sum())]) for image in images]

    def _found(self, image: LabelledImage) -> Detections:
        rows = [i for i, label in enumerate(image.labels) if label in self.categories]
        labels = np.array([self.categories.index(image.labels[i]) for i in rows], np.int64)
        return Detections(image.boxes[rows], np.full(len(rows), 0.9, np.float32), labels)


@pytest.fixture
def trainings(looks, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was trained: no training runs, and detectors find what they were to learn."""
    done: list[dict[str, Any]] = []

    def train(settings, samples, categories, out, evaluate=None, start_from=None):
        done.append({"settings": settings, "samples": samples, "categories": categories, "start": start_from})
        out.mkdir(parents=True, exist_ok=True)
        DetectorConfig(categories).save(out / "detector.json")
        return out / "detector.onnx"

    def load(folder: Path) -> Truthful:
        return Truthful(looks, load_config(folder / "detector.json").categories)

    monkeypatch.setattr(new_category, "train_detector", train)
    monkeypatch.setattr(new_category, "load_detector", load)
    return done


def test_a_new_category_is_learned_on_top_of_a_detector_without_it(looks, trainings, tmp_path: Path, capsys):
    shown = looks[0].labels[-1]
    val = Labelled(looks[:2], TAXONOMY.names, [])

    new_category.run(shown, looks, val, TAXONOMY, TINY, replace(TINY, epochs=7), 3, tmp_path)

    without, tuned, full = trainings
    assert shown not in without["categories"] and without["start"] is None
    assert tuned["categories"] == full["categories"] == TAXONOMY.names
    assert (tuned["start"], tuned["settings"].epochs) == (tmp_path / "without" / "detector.onnx", 7)
    assert 1 <= len(tuned["samples"]) <= 3 and len(full["samples"]) == len(looks)
    data = last_line(capsys)
    assert [row["map_50_of_category"] for row in data["rows"]] == pytest.approx([0, 1, 1])
    assert data["of_full"] == pytest.approx(1)


def test_a_few_photos_are_learned_from_gently():
    tuned = new_category.tuning_settings(TINY, minutes=20, epochs=60)

    assert tuned.learning_rate < TINY.learning_rate
    assert (tuned.minutes, tuned.epochs, tuned.small_until) == (20, 60, 0.0)


def test_chosen_photos_show_the_category_and_are_the_same_every_time(looks):
    shown = looks[0].labels[-1]

    chosen = new_category.choose(looks, shown, 2, seed=1)

    assert len(chosen) <= 2 and all(shown in image.labels for image in chosen)
    assert new_category.choose(looks, shown, 2, seed=1) == chosen
    with pytest.raises(UsageError, match="expected photos that show watch, found none"):
        new_category.choose(looks, "watch", 2, seed=1)


def test_a_category_the_photos_do_not_label_is_refused(looks, tmp_path: Path):
    val = Labelled(looks[:2], ("top",), [])
    with pytest.raises(UsageError, match="expected a category these photos label, found 'hat'"):
        new_category.run("hat", looks, val, TAXONOMY, TINY, TINY, 3, tmp_path)


# --- lessons ----------------------------------------------------------------------------------------------------------


def pictures_of(categories: tuple[str, ...], folder: Path) -> Feed:
    """A feed of three pictures each: a dark thing alone on white, ids 1 to 3 and 10 more for each category."""
    products = []
    for i, category in enumerate(categories):
        for number in range(3):
            picture = np.full((80, 60, 3), 255, np.uint8)
            picture[20:60, 10 + number : 50] = 40
            path = save_image(picture, folder / f"{category}-{number}.png")
            products.append(Product(f"{10 * i + number + 1}", (str(path),), category=category))
    return Feed(folder / "products.csv", products, list(range(len(products))), [])


def test_one_label_is_that_of_the_largest_box(looks):
    single = lessons.one_label(looks[0])

    areas = (looks[0].boxes[:, 2] - looks[0].boxes[:, 0]) * (looks[0].boxes[:, 3] - looks[0].boxes[:, 1])
    assert single.labels == (looks[0].labels[int(areas.argmax())],)
    assert single.boxes.tolist() == [looks[0].boxes[int(areas.argmax())].tolist()] and len(single.crowd) == 1
    assert lessons.one_label(single).labels == single.labels


def test_bags_left_in_fill_their_pictures_and_every_categorys_are_boxed(looks, tmp_path: Path):
    val = Labelled(looks[:2], TAXONOMY.names, [])
    feed = pictures_of(("bag", "shoes"), tmp_path)

    found = {t.name: t for t in lessons.street_lessons(looks, val, TAXONOMY, TINY, feed)}

    assert list(found) == ["all-labels", "one-label", "ssd", "bags-left-in", "shop-boxed"]
    assert found["ssd"].settings == replace(TINY, head="ssd")
    bags, boxed = (found[name].samples[len(looks) :] for name in ("bags-left-in", "shop-boxed"))
    assert [sample.boxes.tolist() for sample in bags] == [[[0, 0, 60, 80]]] * 3
    assert {found["bags-left-in"].categories[int(sample.labels[0])] for sample in bags} == {"bag"}
    assert {found["shop-boxed"].categories[int(sample.labels[0])] for sample in boxed} == {"bag", "shoes"}
    assert all(sample.boxes[0][0] >= 8 and sample.boxes[0][3] <= 64 for sample in boxed)


def test_without_bags_in_the_feed_there_is_no_lesson_of_them(looks, tmp_path: Path):
    with pytest.raises(DataError, match="expected pictures of bags alone"):
        lessons.close_ups(pictures_of(("shoes",), tmp_path), TAXONOMY.names)


def test_what_is_found_under_fine_labels_is_one_item_of_their_category():
    class Fine:
        categories, min_score = ("blouse", "shirt", "bag"), 0.5

        def detect_batch(self, images, min_score=None):
            boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10]], np.float32)
            return [Detections(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.array([0, 1, 2]))]

    merged = lessons.Merged(Fine(), {"blouse": "top", "shirt": "top", "bag": "bag"})

    (found,) = merged.detect_batch([np.zeros((10, 10, 3), np.uint8)])
    assert [merged.categories[label] for label in found.labels] == ["top", "bag"]
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])


def test_a_sources_own_labels_become_categories():
    fine = lessons.fine_taxonomy(TAXONOMY, "street-ccp")

    assert {"blouse", "blazer", "boots"} <= set(fine.names) and "outerwear" not in fine.names
    assert fine.sources["street-ccp"].labels["bra"] is None


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_lessons_train_measure_and_only_measure_what_is_there(looks, tmp_path: Path, capsys):
    val = Labelled(looks[:2], TAXONOMY.names, [])
    (training,) = lessons.street_lessons(looks, val, TAXONOMY, replace(TINY, repeat_below=0.0), None)[2:]

    lessons.run([training], 4, tmp_path)
    (first,) = last_line(capsys)["rows"]
    written = (tmp_path / "ssd" / "detector.onnx").stat().st_mtime_ns
    lessons.run([training], 4, tmp_path)
    (again,) = last_line(capsys)["rows"]

    assert (first["training"], first["pictures"]) == ("ssd", len(looks)) and first["parameters"] > 1e6
    assert again["map_50"] == first["map_50"]
    assert (tmp_path / "ssd" / "detector.onnx").stat().st_mtime_ns == written
    lessons.run([training], 2 * len(looks), tmp_path)  # more pictures: it goes on
    assert last_line(capsys)["rows"][0]["pictures"] == 2 * len(looks)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_lesson_killed_while_it_went_on_is_not_taken_for_done(looks, tmp_path: Path, capsys, monkeypatch):
    val = Labelled(looks[:2], TAXONOMY.names, [])
    training = lessons.street_lessons(looks, val, TAXONOMY, replace(TINY, repeat_below=0.0), None)[0]
    lessons.run([training], len(looks), tmp_path)
    capsys.readouterr()

    def killed(settings, samples, categories, out):  # what training does first, and no more
        (out / "settings.json").write_text(json.dumps(asdict(settings)), encoding="utf-8")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(lessons, "train_detector", killed)
        lessons.run([training], 2 * len(looks), tmp_path)
    lessons.run([training], 2 * len(looks), tmp_path)

    assert last_line(capsys)["rows"][0]["pictures"] == 2 * len(looks)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_lesson_of_another_size_is_not_measured_as_this_one(looks, tmp_path: Path):
    val = Labelled(looks[:2], TAXONOMY.names, [])
    training = lessons.street_lessons(looks, val, TAXONOMY, replace(TINY, repeat_below=0.0), None)[0]
    lessons.run([training], len(looks), tmp_path)

    larger = replace(training, settings=replace(training.settings, height=128, width=96))
    with pytest.raises(UsageError, match="found one of another height, width; choose another --out"):
        lessons.run([larger], len(looks), tmp_path)
