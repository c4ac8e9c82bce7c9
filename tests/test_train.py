"""Training a detector on drawn pictures: that it learns, goes on where it stopped, and exports what it trained."""

import dataclasses
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from twinset.backbone import denormals_as_zero
from twinset.cli import cli
from twinset.detect.augment import AugmentSettings, make_batch
from twinset.detect.average import average_detectors
from twinset.detect.build import build_net, take_over
from twinset.detect.detector import Detector, DetectorConfig, load_config, load_detector, points_of
from twinset.detect.network import make_points
from twinset.detect.samples import Sample, drawn_samples
from twinset.detect.train import (
    StartDetector,
    TrainSettings,
    canvas_wh,
    find_boxes,
    find_worn,
    repeat_factors,
    torch_detector,
    train_detector,
)
from twinset.errors import DataError, UsageError
from twinset.taxonomy import default_taxonomy
from twinset.training import prefetch

TAXONOMY = default_taxonomy()
CATEGORIES = TAXONOMY.names
TINY = TrainSettings(
    height=96, width=64, batch=2, epochs=1, small_until=0.0, warmup=2, packshots=3, worn=0, others=0, frozen_blocks=15
)
logging.getLogger("onnx_ir").setLevel(logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return drawn_samples(6, CATEGORIES, seed=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, samples: list[Sample]) -> Path:
    out = tmp_path_factory.mktemp("detector")
    train_detector(TINY, samples, CATEGORIES, out)
    assert np.float64(5e-324) * 1 > 0, "training leaves denormals as they were"
    return out


def test_training_writes_weights_settings_and_a_line_an_epoch(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]

    assert [line["epoch"] for line in lines] == [1]
    assert json.loads((trained / "settings.json").read_text())["height"] == 96
    assert (trained / "detector.onnx").stat().st_size < 16e6


def test_the_mean_of_two_detectors_has_the_mean_of_their_weights(
    trained: Path, samples: list[Sample], tmp_path: Path
) -> None:
    on, mean = tmp_path / "on", tmp_path / "mean"
    train_detector(dataclasses.replace(TINY, seed=1), samples, CATEGORIES, on, start_from=trained / "detector.onnx")
    mean.mkdir()

    assert average_detectors(on, [trained], mean) < 1e-3

    nets = [build_net(TINY, CATEGORIES, folder / "detector.onnx").state_dict() for folder in (trained, on, mean)]
    name = next(name for name in nets[0] if "head" in name and name.endswith("weight"))
    first, second, middle = (net[name] for net in nets)
    assert not torch.equal(first, second)
    assert middle.numpy() == pytest.approx(((first + second) / 2).numpy(), abs=2e-3)  # stored as fp16
    assert load_config(mean / "detector.json").categories == CATEGORIES


def test_detectors_of_other_categories_have_no_mean(trained: Path, tmp_path: Path) -> None:
    DetectorConfig(("bag", "top")).save(tmp_path / "detector.json")

    with pytest.raises(UsageError, match="found one of bag, top"):
        average_detectors(trained, [tmp_path], tmp_path)


def test_exported_detector_finds_what_torch_finds_at_other_sizes(trained: Path) -> None:
    # weights are rounded to fp16 as they are exported, so the network is read back from the file
    net = build_net(TINY, CATEGORIES, trained / "detector.onnx").eval()
    exported = load_detector(trained, threads=1)
    in_torch = torch_detector(net, exported.config)
    rng = np.random.default_rng(0)
    for height, width in ((120, 80), (70, 150)):
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        found, expected = exported.detect(image, 0.0), in_torch.detect(image, 0.0)
        assert len(found) == len(expected) > 0
        assert found.scores == pytest.approx(expected.scores, abs=1e-3)


def test_training_goes_on_where_it_stopped(trained: Path, samples: list[Sample]) -> None:
    train_detector(dataclasses.replace(TINY, epochs=2), samples, CATEGORIES, trained)

    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]


def test_checkpoint_of_other_settings_is_refused(trained: Path, samples: list[Sample]) -> None:
    with pytest.raises(DataError, match="expected a checkpoint of these settings"):
        train_detector(dataclasses.replace(TINY, epochs=3), samples, CATEGORIES[:5], trained)


@pytest.mark.parametrize(
    "categories",
    [
        pytest.param(("bag", "top", "skirt"), id="fewer, in another order"),
        pytest.param((*CATEGORIES, "watch"), id="one more"),
    ],
)
def test_categories_known_to_both_keep_their_weights_by_name(trained: Path, categories: tuple[str, ...]) -> None:
    stored = build_net(TINY, CATEGORIES, trained / "detector.onnx").state_dict()
    net = build_net(TINY, categories, trained / "detector.onnx").state_dict()

    assert torch.equal(net["head.regress.0.weight"], stored["head.regress.0.weight"])
    for level in range(3):
        for part in ("weight", "bias"):
            name = f"head.classify.{level}.{part}"
            rows = [CATEGORIES.index(c) for c in categories if c in CATEGORIES]
            kept = [i for i, c in enumerate(categories) if c in CATEGORIES]
            assert torch.equal(net[name][kept], stored[name][rows])


def test_each_anchors_classes_are_taken_over() -> None:
    stored = torch.arange(6.0)  # two anchors of (top, bag, hat)

    taken = take_over(torch.full((4,), -1.0), ("hat", "watch"), stored, ("top", "bag", "hat"))

    assert taken.tolist() == [2, -1, 5, -1]


def test_weights_of_another_backbone_are_refused(trained: Path) -> None:
    with pytest.raises(DataError, match=r"expected a lite2 detector's weights with the anchor-free head, found no "):
        build_net(dataclasses.replace(TINY, backbone="lite2"), CATEGORIES, trained / "detector.onnx")


def test_points_of_serving_and_of_training_are_the_same() -> None:
    assert np.array_equal(points_of((64, 96)), make_points(96, 64)[0].numpy())


def test_first_part_of_the_training_sees_a_smaller_canvas() -> None:
    settings = TrainSettings(small_until=0.5)

    assert canvas_wh(settings, 0.49) == (192, 288)
    assert canvas_wh(settings, 0.5) == (256, 384)


def test_views_keep_boxes_inside_the_canvas_and_mask_what_is_unlabelled(samples: list[Sample]) -> None:
    half = dataclasses.replace(samples[0], labelled=np.eye(1, len(CATEGORIES), 3, dtype=np.float32)[0])
    rng = np.random.default_rng(0)
    for _ in range(5):
        batch = make_batch([half, *samples], samples, (64, 96), AugmentSettings(mosaic=0.5), rng)
        boxes = batch.boxes[batch.valid]
        assert batch.pixels.shape == (7, 96, 64, 3)
        assert (boxes >= 0).all() and (boxes[:, 2] <= 64).all() and (boxes[:, 3] <= 96).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert batch.labelled[0].sum() == 1
        assert (batch.labelled[1:].sum(1) >= 1).all()


def test_close_ups_hold_one_item_and_little_else(samples: list[Sample]) -> None:
    pixels = np.full((300, 200, 3), 200, np.uint8)
    pixels[100:160, 60:120] = 10
    boxes = np.array([[60, 100, 120, 160], [0, 250, 40, 300]], np.float32)
    photo = dataclasses.replace(
        samples[0], street=True, pixels=pixels, boxes=boxes, labels=np.array([2, 5]), ignored=np.array([0, 1], bool)
    )
    settings = AugmentSettings(mosaic=0.0, close_up=1.0, colour=0.0, grey=0.0)
    batch = make_batch([photo] * 12, [photo], (64, 96), settings, np.random.default_rng(0))

    assert batch.valid.sum(1).tolist() == [1] * 12, "the item below isn't cut out, and is not in another's close-up"
    for view, (x1, y1, x2, y2) in zip(batch.pixels, batch.boxes[:, 0], strict=True):
        assert (x2 - x1) * (y2 - y1) > 0.1 * 64 * 96
        inside = view[round(y1) + 2 : round(y2) - 2, round(x1) + 2 : round(x2) - 2]
        assert np.abs(inside.astype(int) - 10).max() < 20
    assert batch.labels[:, 0].tolist() == [2] * 12


def test_zoomed_out_views_show_the_photo_small(samples: list[Sample]) -> None:
    street = dataclasses.replace(next(s for s in samples if len(s.boxes)), street=True)
    settings = AugmentSettings(mosaic=0.0, close_up=0.0, zoom_in=0.0, zoom_out=1.0, min_visible=0.99)
    batch = make_batch([street] * 8, [street], (64, 96), settings, np.random.default_rng(0))
    sides = (batch.boxes[:, :, 2:] - batch.boxes[:, :, :2])[batch.valid].max(1)
    served = np.sqrt(64 * 96 / np.prod(street.pixels.shape[:2])) * (street.boxes[:, 2:] - street.boxes[:, :2]).max()

    assert (sides <= 0.7 * served).all()
    assert batch.valid.sum() == 8 * len(street.boxes)


def finding(reach: float) -> Detector:
    """Return a detector that finds classes 2 and 5 at the last point, `reach` pixels to each side."""

    def run(pixels: np.ndarray) -> list[np.ndarray]:
        count = len(points_of((pixels.shape[2], pixels.shape[1])))
        scores = np.zeros((len(pixels), count, len(CATEGORIES)), np.float32)
        scores[:, -1, 2], scores[:, -1, 5] = 0.6, 0.9
        return [np.full((len(pixels), count, 4), reach, np.float32), scores]

    return Detector(run, DetectorConfig(CATEGORIES, 64 * 96))


def worn_sample(sample: Sample, wanted: int) -> Sample:
    none = np.zeros((0, 4), np.float32)
    return dataclasses.replace(sample, boxes=none, labels=np.zeros(0, np.int64), wanted=wanted)


def test_worn_samples_get_the_box_of_the_class_they_are_known_to_show(samples: list[Sample]) -> None:
    found = find_boxes([worn_sample(samples[0], 2), worn_sample(samples[0], 7)], finding(40))

    assert [sample.labels.tolist() for sample in found] == [[2]]
    assert found[0].boxes.shape == (1, 4)


def test_worn_boxes_are_found_by_the_detector_training_started_from_if_it_knew_the_class(
    samples: list[Sample],
) -> None:
    both = [worn_sample(samples[0], 2), worn_sample(samples[0], 5)]
    by_start, by_average = find_worn(both, finding(120), None), find_worn(both, finding(200), None)

    found = find_worn(both, finding(200), StartDetector(finding(120), frozenset([2])))

    boxes = {int(sample.labels[0]): sample.boxes[0].tolist() for sample in found}
    assert boxes == {2: by_start[0].boxes[0].tolist(), 5: by_average[1].boxes[0].tolist()}
    assert by_start[0].boxes[0].tolist() != by_average[0].boxes[0].tolist()


@pytest.mark.parametrize(
    ("network", "start", "found"),
    [
        ("detector", "defualt", "no detector.onnx"),
        ("detector", "alone.onnx", "no alone.json"),
        ("encoder", "gone.onnx", "no gone.onnx"),
        ("encoder", ".", "no encoder.onnx"),
    ],
)
def test_what_training_cannot_start_from_is_said_before_anything_is_read(
    network: str, start: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alone.onnx").touch()
    (tmp_path / "products.csv").write_text("not a feed")

    ran = CliRunner().invoke(cli, ["train", network, "--catalog", "products.csv", "--from", start, "--out", "run"])

    assert ran.exit_code == 1 and ran.stderr.startswith(f"Error: --from {start}: expected")
    assert found in ran.stderr and not (tmp_path / "run").exists()


def test_prefetch_yields_in_order_and_raises_what_the_maker_raised() -> None:
    def items():
        yield 1
        yield 2
        raise ValueError("broken")

    got = []
    with pytest.raises(ValueError, match="broken"):
        for item in prefetch(items()):
            got.append(item)
    assert got == [1, 2]


def test_samples_of_rare_categories_are_repeated() -> None:
    blank = np.zeros((8, 8, 3), np.uint8)

    def sample(labels: list[int], labelled: list[float]) -> Sample:
        boxes = np.zeros((len(labels), 4), np.float32)
        return Sample(blank, boxes, np.array(labels, np.int64), np.array(labelled, np.float32), True)

    both, one = [1.0, 1.0], [1.0, 0.0]  # the second source doesn't label category 1
    samples = [sample([0, 1], both), *[sample([0], both)] * 3, *[sample([0], one)] * 12, sample([], both)]

    factors = repeat_factors(samples, below=0.8)

    # category 0 is in 16 of 17 photos, category 1 in one of the five that label it
    assert factors == pytest.approx([2.0, *[1.0] * 16])


def test_denormals_are_zero_only_as_long_as_asked() -> None:
    smallest = np.float64(5e-324)
    with denormals_as_zero():
        with denormals_as_zero():
            assert smallest * 1 == 0
        assert smallest * 1 == 0
    assert smallest * 1 > 0
