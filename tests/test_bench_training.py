"""Benchmarks that train, on a few drawn looks: that they compare what they say they do."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import save_image

from twinset.bench import new_category
from twinset.data.drawn import draw_look
from twinset.data.labelled import Labelled, LabelledImage
from twinset.detect.detector import DetectorConfig, load_config
from twinset.detect.train import TrainSettings
from twinset.errors import UsageError
from twinset.images import read_image
from twinset.taxonomy import default_taxonomy
from twinset.types import Detections

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
