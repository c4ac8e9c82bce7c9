"""Training on a few drawn pictures: that it learns, goes on where it stopped, and exports what it trained."""

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
from twinset.data.drawn import draw_shop
from twinset.data.feed import read_feed
from twinset.describe.augment import SHOP_VIEW, STREET_VIEW, make_view
from twinset.describe.balance import RIGHT, Parts, choose_weights
from twinset.describe.colours import main_colour
from twinset.describe.embedded import Embedded
from twinset.describe.encoder import EncoderConfig, load_encoder
from twinset.describe.labels import load_labels
from twinset.describe.network import DIMS, ServingEncoder
from twinset.describe.samples import Vocabulary, catalogue_samples, drawn_items, gender_of, read_vocabulary
from twinset.describe.start import start_from_exported
from twinset.describe.train import (
    EncoderSettings,
    build_trainee,
    export_encoder,
    fit_shades,
    torch_encoder,
    train_encoder,
)
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
from twinset.models import WEIGHTS
from twinset.runtime import OnnxSession
from twinset.taxonomy import default_taxonomy
from twinset.training import prefetch

TAXONOMY = default_taxonomy()
CATEGORIES = TAXONOMY.names
FIGURES = dict.fromkeys((*RIGHT, "instance"), 0.7)  # of weights on dev
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


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory):
    feed = read_feed(draw_shop(tmp_path_factory.mktemp("shop"), products=66, looks=0, seed=1), TAXONOMY)
    vocabulary = read_vocabulary([*feed.products] * 8, TAXONOMY)
    return catalogue_samples(feed, {}, vocabulary, TAXONOMY), vocabulary, feed


def test_catalogue_samples_leave_validation_products_out(catalogue) -> None:
    samples, vocabulary, feed = catalogue

    assert {s.product_id for s in samples} == {p.product_id for p in feed.products if not p.product_id.endswith("0")}
    assert all(s.mask is not None and s.mask.shape == s.pixels.shape[:2] for s in samples)
    assert {vocabulary.base_colours[s.base_colour] for s in samples} <= set(TAXONOMY.colours)


def test_drawn_items_have_the_labels_they_were_drawn_by() -> None:
    types = ("Heels", "Innerwear Vests", "Tops", "Tshirts")
    vocabulary = Vocabulary(types, (), tuple(TAXONOMY.colours), (), TAXONOMY.names)

    items = drawn_items(24, vocabulary, TAXONOMY, 3)

    assert len(items) > 24 and items[0].mask is not None and items[-1].mask is None  # products, then what is worn
    named = {types[item.article_type]: TAXONOMY.names[item.category] for item in items if item.article_type >= 0}
    assert named == {"Heels": "shoes", "Tops": "top", "Tshirts": "top"}
    alone = [item for item in items if item.mask is not None]
    seen = [main_colour(item.pixels[item.mask]) == vocabulary.base_colours[item.base_colour] for item in alone]
    assert len(alone) == 12 and np.mean(seen) > 0.6  # others are patterned
    again = drawn_items(24, vocabulary, TAXONOMY, 3)
    assert all(
        one.box == other.box and (one.pixels == other.pixels).all() for one, other in zip(items, again, strict=True)
    )


def test_a_category_the_encoder_does_not_know_is_not_learned(catalogue) -> None:
    samples, vocabulary, feed = catalogue
    missing = vocabulary.categories[samples[0].category]
    fewer = dataclasses.replace(vocabulary, categories=tuple(c for c in vocabulary.categories if c != missing))

    again = catalogue_samples(feed, {}, fewer, TAXONOMY)

    for one, other in zip(samples, again, strict=True):
        name = vocabulary.categories[one.category]
        assert other.category == (-1 if name == missing else fewer.categories.index(name))


def test_views_have_the_items_mask_at_an_eighth_of_the_size(catalogue) -> None:
    sample = catalogue[0][0]
    scenes = [np.full((256, 256, 3), 90, np.uint8)]
    rng = np.random.default_rng(0)
    for settings in (SHOP_VIEW, STREET_VIEW):
        view = make_view(sample, 64, settings, scenes, rng)
        assert view.pixels.shape == (64, 64, 3)
        assert view.mask.shape == (8, 8)
        assert view.mask_known and 0.05 < view.mask.mean() < 1


@pytest.mark.parametrize(
    ("title", "gender"),
    [("Puma Men Black Shoe", 0), ("Women's bag", 1), ("Unisex cap", -1), ("Men and Women socks", -1), ("Girls Top", 3)],
)
def test_gender_is_what_the_title_says_once(title: str, gender: int) -> None:
    assert gender_of(title) == gender


def test_encoder_trains_and_exports_what_torch_computes(catalogue, tmp_path: Path) -> None:
    samples, vocabulary, _ = catalogue
    settings = EncoderSettings(size=64, products=4, alike=2, street=0, epochs=1, warmup=2, frozen_blocks=15)

    file = train_encoder(settings, samples[:24], [], [], vocabulary, tmp_path / "run")

    encoder = load_encoder(file.parent, threads=1)
    described = encoder.describe([sample.pixels for sample in samples[:3]])
    assert [entry.embedding.shape for entry in described] == [(256,)] * 3
    assert np.linalg.norm([entry.embedding for entry in described], axis=1) == pytest.approx(np.ones(3))
    alone = encoder.describe([samples[1].pixels])[0]
    assert alone.embedding @ described[1].embedding > 0.9999  # a batch changes nothing


def test_shades_keep_the_exact_colours_and_forget_the_pose(catalogue) -> None:
    samples, vocabulary, _ = catalogue
    net = build_trainee(EncoderSettings(size=64), vocabulary).net.eval()
    fit_shades(net, samples[:24], 64)
    striped = np.full((64, 64, 3), (190, 30, 40), np.uint8)
    striped[::8] = (240, 240, 235)
    darker = striped // 2
    pictures = np.stack([striped, striped.transpose(1, 0, 2), darker])
    with torch.no_grad():
        shades = net(torch.from_numpy(pictures).permute(0, 3, 1, 2).float())[2]
    assert shades.shape == (3, 64) and shades.norm(dim=1).allclose(torch.ones(3))
    assert shades[0] @ shades[1] > 0.98
    assert shades[0] @ shades[2] < 0.8


def test_exported_encoder_is_within_a_thousandth_of_torch(catalogue, tmp_path: Path) -> None:
    samples, vocabulary, _ = catalogue
    net = build_trainee(EncoderSettings(size=64), vocabulary).net

    assert export_encoder(net, (0.4, 0.2, 0.2, 0.2), 64, tmp_path / "encoder.onnx") < 1e-3

    EncoderConfig(64).save(tmp_path / "encoder.json")
    exported, in_torch = load_encoder(tmp_path, 1), torch_encoder(net, EncoderConfig(64))
    for mine, expected in zip(
        exported.describe([samples[0].pixels]), in_torch.describe([samples[0].pixels]), strict=True
    ):
        assert mine.embedding == pytest.approx(expected.embedding, abs=1e-3)


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


def test_the_encoder_says_what_embeddings_mean_and_is_exported_again(catalogue, trained, tmp_path) -> None:
    samples, vocabulary, feed = catalogue
    settings = EncoderSettings(size=64, products=4, alike=2, street=0, epochs=1, warmup=2, frozen_blocks=15)
    train_encoder(settings, samples, [], [], vocabulary, tmp_path / "run")
    labels = load_labels(tmp_path / "run")
    assert labels is not None and labels.article_type.names == vocabulary.article_types
    described = load_encoder(tmp_path / "run", 1, labels).describe([samples[0].pixels])[0]
    assert sum(np.exp(list(labels.read(described.embedding).colours.values()))) == pytest.approx(1, abs=1e-3)

    for name in ("encoder.onnx", "encoder.json", "taxonomy.toml"):  # a model is whole
        (trained / name).touch()
    words = ("export", "encoder", tmp_path / "run", "--catalog", feed.path, "--out", tmp_path / "model")
    ran = CliRunner().invoke(cli, [*map(str, words), "--model", str(trained)])

    assert ran.exit_code == 0, ran.output
    again = load_labels(tmp_path / "model")
    assert again is not None and again.calibration == labels.calibration and again.weights == labels.weights
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == [
        "detector.json",
        "detector.onnx",
        "encoder.json",
        "encoder.onnx",
        "labels.json",
        "taxonomy.toml",
    ]


def test_a_finished_encoders_parts_are_weighed_anew(catalogue, trained, tmp_path, monkeypatch) -> None:
    samples, vocabulary, feed = catalogue
    settings = EncoderSettings(size=64, products=4, alike=2, street=0, epochs=1, warmup=2, frozen_blocks=15)
    train_encoder(settings, samples, [], [], vocabulary, tmp_path / "run")
    (tmp_path / "run" / "checkpoint.pt").unlink()  # what is left is a model's
    for name in ("encoder.onnx", "encoder.json"):
        (trained / name).touch()
    wanted = (0.5, 0.15, 0.15, 0.2)
    monkeypatch.setattr("twinset.describe.refit.choose_weights", lambda *parts: (wanted, {"type": 1.0}))
    words = ("export", "encoder", tmp_path / "run", "--reweigh", "--catalog", feed.path, "--out", tmp_path / "model")
    ran = CliRunner().invoke(cli, [*map(str, words), "--model", str(trained)])

    assert ran.exit_code == 0, ran.output
    before, after = (load_encoder(tmp_path / name, 1, load_labels(tmp_path / name)) for name in ("run", "model"))
    assert after.config.weights == wanted and before.config.weights != wanted
    old, new = (encoder.describe([samples[0].pixels])[0].embedding for encoder in (before, after))
    assert np.linalg.norm(new) == pytest.approx(1, abs=1e-4)
    for i, part in enumerate(np.split(np.arange(256), np.cumsum(DIMS)[:-1])):
        assert np.square(new[part]).sum() == pytest.approx(wanted[i], abs=1e-3)
        assert new[part] @ old[part] == pytest.approx((wanted[i] * before.config.weights[i]) ** 0.5, abs=1e-3)
    words_before, words_after = (encoder.labels.words for encoder in (before, after))
    assert words_after.log_probabilities(new) == pytest.approx(words_before.log_probabilities(old), abs=0.05)


def test_weights_of_parts_leave_kind_its_share(monkeypatch) -> None:
    parts = Parts.of(Embedded((None,), np.eye(1, 256, dtype=np.float32)))
    seen = []
    monkeypatch.setattr("twinset.describe.balance._figures", lambda *given: seen.append(given[3]) or FIGURES)
    weights, figures = choose_weights(parts, parts, parts, lambda weights: {})

    assert all(sum(each) == pytest.approx(1) and min(each) >= 0.1 for each in seen)
    assert weights[2] == max(each[2] for each in seen) and figures == FIGURES, "of equals the one with most shades"


def test_denormals_are_zero_only_as_long_as_asked() -> None:
    smallest = np.float64(5e-324)
    with denormals_as_zero():
        with denormals_as_zero():
            assert smallest * 1 == 0
        assert smallest * 1 == 0
    assert smallest * 1 > 0


def test_training_starts_with_an_exported_encoder_and_its_classifiers_by_name() -> None:
    folder = WEIGHTS / "default"
    labels = load_labels(folder)
    assert labels is not None
    types = ("a type of its own", *labels.article_type.names[:5])
    vocabulary = Vocabulary(types, ("red",), labels.colour.names, (), CATEGORIES)
    trainee = build_trainee(EncoderSettings(), vocabulary)
    new = trainee.tasks.weights[0][0].clone()

    start_from_exported(trainee.net, trainee.tasks, vocabulary, folder / "encoder.onnx")

    config = load_encoder(folder, 1).config
    pixels = np.random.default_rng(0).integers(0, 256, (1, 160, 160, 3), np.uint8)
    with torch.no_grad():
        ours = ServingEncoder(trainee.net.eval(), config.weights)(torch.from_numpy(pixels))[0][0]
    assert ours @ torch.from_numpy(OnnxSession(folder / "encoder.onnx")(pixels)[0][0]) == pytest.approx(1, abs=0.02)
    rows = trainee.tasks.weights[0].detach()
    kept = torch.from_numpy(labels.article_type.weights[:5, : DIMS[0]])
    assert torch.cosine_similarity(rows[1:], kept).min() > 0.999
    assert torch.equal(rows[0], new)


def test_an_exported_encoder_of_another_backbone_is_refused() -> None:
    vocabulary = Vocabulary(("shirts",), (), ("red",), (), CATEGORIES)
    trainee = build_trainee(EncoderSettings(backbone="lite2"), vocabulary)
    with pytest.raises(DataError, match="expected the weights of an encoder with this backbone, found no "):
        start_from_exported(trainee.net, trainee.tasks, vocabulary, WEIGHTS / "default" / "encoder.onnx")
