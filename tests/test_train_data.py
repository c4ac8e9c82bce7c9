"""What a detector is trained on and judged by: which photos are dev, and those that can't be read."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fakes import draw_street, save_image

from twinset.data.folders import ClassedImage
from twinset.data.labelled import LabelledImage, is_dev
from twinset.detect.samples import classed_samples, labelled_samples
from twinset.detect.sources import Sources, by_source, facts_of, read_sources
from twinset.errors import DataError
from twinset.taxonomy import default_taxonomy

TAXONOMY = default_taxonomy()
TOP = [40.0, 20.0, 48.0, 64.0]  # in the drawn photo; x, y, width, height
DEV = next(f"{i}" for i in range(99) if is_dev(f"{i}"))
OTHERS = [f"{i}" for i in range(99) if not is_dev(f"{i}")][:3]


def write_coco(folder: Path, categories: tuple[str, ...] = ("top",), description: str = "", crowd: int = 0) -> Path:
    """Write photos, one of them of dev, with a top each, and return the file that labels these categories."""
    images, annotations = [], []
    for i, name in enumerate([DEV, *OTHERS]):
        save_image(draw_street(), folder / f"{name}.png")
        images.append({"id": i, "file_name": f"{name}.png", "width": 160, "height": 200})
        annotations.append({"id": i, "image_id": i, "category_id": 0, "bbox": TOP, "iscrowd": crowd})
    names = [{"id": i, "name": name} for i, name in enumerate(categories)]
    data = {"info": {"description": description}, "images": images, "annotations": annotations, "categories": names}
    file = folder / "labels.json"
    file.write_text(json.dumps(data))
    return file


def read(folder: Path, file: Path, categories: tuple[str, ...] = TAXONOMY.names, strict: bool = False):
    sources = Sources(coco=((file, folder),), strict=strict)
    return read_sources(sources, TAXONOMY, categories, 0, lambda problems: None)


def damage(file: Path) -> Path:
    """Cut a picture off behind its header."""
    file.write_bytes(file.read_bytes()[:-200])
    return file


def test_every_tenth_photo_of_a_coco_file_is_dev(tmp_path: Path) -> None:
    samples, dev = read(tmp_path, write_coco(tmp_path, ("top", "bag")))

    assert len(samples) == len(OTHERS)
    assert [image.path.stem for image in dev["coco"].images] == [DEV]
    assert dev["coco"].categories == ("top", "bag")  # what it doesn't label is neither right nor wrong to find


def test_a_detectors_own_labels_are_no_dev(tmp_path: Path, run) -> None:
    (tmp_path / "photos").mkdir()
    for name in (DEV, *OTHERS):
        save_image(draw_street(), tmp_path / "photos" / f"{name}.png")
    assert run("data", "pseudo", "photos", "--out", "pseudo.json").code == 0

    samples, dev = read(tmp_path / "photos", tmp_path / "pseudo.json")

    assert len(samples) == 1 + len(OTHERS) and dev == {}


@pytest.mark.parametrize(
    ("kept", "crowd"),
    [pytest.param(("bag",), 0, id="other categories"), pytest.param(("top",), 1, id="undecidable boxes")],
)
def test_dev_with_nothing_to_find_is_none(kept: tuple[str, ...], crowd: int, tmp_path: Path) -> None:
    file = write_coco(tmp_path, ("top", "bag"), crowd=crowd)

    assert read(tmp_path, file, kept)[1] == {}


def test_the_facts_of_data_change_with_dev(tmp_path: Path) -> None:
    file = write_coco(tmp_path)
    sources = Sources(coco=((file, tmp_path),), corrections=("street-voc",))
    facts = facts_of(sources, read(tmp_path, file)[1])

    assert facts == json.loads(json.dumps(facts)) and facts["coco"] == [[str(file), str(tmp_path)]]
    assert facts["dev"] != facts_of(sources, {})["dev"]


def test_photos_that_cannot_be_decoded_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write_coco(tmp_path)
    for name in (DEV, OTHERS[0]):
        damage(tmp_path / f"{name}.png")

    with caplog.at_level(logging.WARNING):
        samples, dev = read(tmp_path, file)

    assert len(samples) == len(OTHERS) - 1 and dev == {}
    assert all(caplog.text.count(f"{name}.png") == 1 for name in (DEV, OTHERS[0]))
    with pytest.raises(DataError, match="png"):
        read(tmp_path, file, strict=True)


def test_photos_of_one_garment_that_cannot_be_decoded_are_left_out(tmp_path: Path) -> None:
    paths = [save_image(draw_street(), tmp_path / f"{i}.png") for i in range(2)]
    damage(paths[0])
    photos = [ClassedImage(path, "top", "top") for path in paths]

    assert len(classed_samples(photos, TAXONOMY.names)) == 1  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"0\.png"):
        classed_samples(photos, TAXONOMY.names, strict=True)  # type: ignore[arg-type]


def test_dev_photos_are_judged_by_what_their_source_labels(tmp_path: Path) -> None:
    path = save_image(draw_street(), tmp_path / "a.png")
    box = np.array([[40, 20, 88, 84]], np.float32)
    image = LabelledImage(path, 160, 200, box, ("top",), np.zeros(1, bool), "street-voc")

    parts = by_source([image], TAXONOMY.names, TAXONOMY)

    labelled = TAXONOMY.sources["street-voc"].categories
    assert list(parts) == ["street-voc"] and set(parts["street-voc"].categories) == labelled
    assert len(labelled_samples([image], TAXONOMY.names, TAXONOMY)) == 1


@pytest.mark.parametrize("start", [None, "start"], ids=["ImageNet", "a detector"])
def test_without_dev_the_threshold_is_that_of_the_start(
    start: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = pytest.importorskip("twinset.detect.train")
    from twinset.cli import cli
    from twinset.detect.detector import DetectorConfig, load_config

    def train_detector(settings, samples, categories, out, evaluate, start_from):
        assert evaluate is None
        out.mkdir()
        DetectorConfig(categories).save(out / "detector.json")
        return out / "detector.onnx"

    monkeypatch.setattr(train, "train_detector", train_detector)
    words = ["train", "detector", "--drawn", "4", "--out", str(tmp_path / "run")]
    if start:
        (tmp_path / start).mkdir()
        (tmp_path / start / "detector.onnx").touch()
        config = DetectorConfig(("top",), min_score=0.44, exponents=(0.5,), size_power=0.2)
        config.save(tmp_path / start / "detector.json")
        words += ["--from", str(tmp_path / start)]

    ran = CliRunner().invoke(cli, words)

    assert ran.exit_code == 0, ran.output
    assert "no dev photos with such boxes" in ran.stderr
    config = load_config(tmp_path / "run" / "detector.json")
    assert (config.min_score, config.size_power) == ((0.44, 0.2) if start else (0.3, 0.0))
