"""Training an encoder on a drawn shop: its samples and views, and that it exports what it trained and fitted."""

import dataclasses
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from twinset.cli import cli
from twinset.data.drawn import draw_shop
from twinset.data.feed import read_feed
from twinset.describe.augment import SHOP_VIEW, STREET_VIEW, make_view
from twinset.describe.balance import RIGHT, Parts, choose_weights
from twinset.describe.colours import main_colour
from twinset.describe.embedded import Embedded
from twinset.describe.encoder import Encoder, EncoderConfig, load_encoder
from twinset.describe.labels import load_labels
from twinset.describe.network import DIMS, EncoderNet, ServingEncoder
from twinset.describe.samples import Vocabulary, catalogue_samples, drawn_items, gender_of, read_vocabulary
from twinset.describe.start import start_from_exported
from twinset.describe.train import (
    EncoderSettings,
    build_trainee,
    export_encoder,
    fit_shades,
    train_encoder,
)
from twinset.errors import DataError
from twinset.models import WEIGHTS
from twinset.runtime import OnnxSession
from twinset.taxonomy import default_taxonomy

TAXONOMY = default_taxonomy()
CATEGORIES = TAXONOMY.names
FIGURES = dict.fromkeys((*RIGHT, "instance"), 0.7)  # of weights on dev
logging.getLogger("onnx_ir").setLevel(logging.ERROR)
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """The folder of a model whose detector ships and whose encoder is still to come."""
    folder = tmp_path / "detector"
    folder.mkdir()
    for name in ("detector.onnx", "detector.json"):
        shutil.copyfile(WEIGHTS / "default" / name, folder / name)
    return folder


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


def torch_encoder(net: EncoderNet, config: EncoderConfig) -> Encoder:
    """Return an encoder that runs on torch."""
    serving = ServingEncoder(net, config.weights).eval()

    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            embedding, mask = serving(torch.from_numpy(pixels))
        return embedding.numpy(), mask.numpy()

    return Encoder(run, config)


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


def test_the_encoder_says_what_embeddings_mean_and_is_exported_again(catalogue, detector, tmp_path) -> None:
    samples, vocabulary, feed = catalogue
    settings = EncoderSettings(size=64, products=4, alike=2, street=0, epochs=1, warmup=2, frozen_blocks=15)
    train_encoder(settings, samples, [], [], vocabulary, tmp_path / "run")
    labels = load_labels(tmp_path / "run")
    assert labels is not None and labels.article_type.names == vocabulary.article_types
    described = load_encoder(tmp_path / "run", 1, labels).describe([samples[0].pixels])[0]
    assert sum(np.exp(list(labels.read(described.embedding).colours.values()))) == pytest.approx(1, abs=1e-3)

    for name in ("encoder.onnx", "encoder.json", "taxonomy.toml"):  # a model is whole
        (detector / name).touch()
    words = ("export", "encoder", tmp_path / "run", "--catalog", feed.path, "--out", tmp_path / "model")
    ran = CliRunner().invoke(cli, [*map(str, words), "--model", str(detector)])

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


def test_a_finished_encoders_parts_are_weighed_anew(catalogue, detector, tmp_path, monkeypatch) -> None:
    samples, vocabulary, feed = catalogue
    settings = EncoderSettings(size=64, products=4, alike=2, street=0, epochs=1, warmup=2, frozen_blocks=15)
    train_encoder(settings, samples, [], [], vocabulary, tmp_path / "run")
    (tmp_path / "run" / "checkpoint.pt").unlink()  # what is left is a model's
    for name in ("encoder.onnx", "encoder.json"):
        (detector / name).touch()
    wanted = (0.5, 0.15, 0.15, 0.2)
    monkeypatch.setattr("twinset.describe.refit.choose_weights", lambda *parts: (wanted, {"type": 1.0}))
    words = ("export", "encoder", tmp_path / "run", "--reweigh", "--catalog", feed.path, "--out", tmp_path / "model")
    ran = CliRunner().invoke(cli, [*map(str, words), "--model", str(detector)])

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
