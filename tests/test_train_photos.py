"""An encoder trained without a catalogue: on the items of CCP's photos and on photos of one garment."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as Pillow

from twinset.cli import cli
from twinset.data.ccp import read_ccp
from twinset.data.labelled import is_dev
from twinset.describe.colours import main_colour
from twinset.describe.labels import load_labels
from twinset.describe.photos import photo_items
from twinset.describe.samples import UNKNOWN, StreetKinds, Vocabulary, backgrounds, street_samples
from twinset.errors import DataError, UsageError
from twinset.levels import at_level
from twinset.models import WEIGHTS
from twinset.taxonomy import default_taxonomy

scipy_io = pytest.importorskip("scipy.io")
torch = pytest.importorskip("torch")
from twinset.describe.average import average_encoder  # noqa: E402
from twinset.describe.start import start_from_exported  # noqa: E402
from twinset.describe.train import build_trainee, load_trainee  # noqa: E402
from twinset.detect.tune import Trial  # noqa: E402

TAXONOMY = default_taxonomy()
LABELS = ("null", "jeans", "blouse", "hat", "skin")
PHOTOS = 40


@pytest.fixture(scope="module")
def ccp(tmp_path_factory):
    """Photos of a red blouse over blue jeans, some with a hat, in CCP's files."""
    folder = tmp_path_factory.mktemp("ccp")
    (folder / "photos").mkdir()
    (folder / "annotations" / "pixel-level").mkdir(parents=True)
    names = np.array([[np.array([name])] for name in LABELS], dtype=object)
    scipy_io.savemat(folder / "label_list.mat", {"label_list": names.reshape(1, -1)})
    rng = np.random.default_rng(0)
    ids = [f"{i:04}" for i in range(PHOTOS)]
    for photo_id in ids:
        pixels = rng.integers(200, 220, (120, 80, 3), np.uint8)
        mask = np.zeros((120, 80), np.uint8)
        for label, rows, rgb in ((2, slice(30, 65), (200, 20, 30)), (1, slice(65, 115), (40, 60, 190))):
            mask[rows, 20:60] = label
            pixels[rows, 20:60] = rgb
        if photo_id.endswith("3"):
            mask[5:30, 25:55] = 3
        scipy_io.savemat(folder / "annotations" / "pixel-level" / f"{photo_id}.mat", {"groundtruth": mask})
        Pillow.fromarray(pixels).save(folder / "photos" / f"{photo_id}.jpg", quality=95)
    (folder / "train.txt").write_text("\n".join(ids), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def classed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classed")
    (folder / "train" / "shorts").mkdir(parents=True)
    for i in range(6):
        pixels = np.full((60, 60, 3), 255, np.uint8)
        pixels[15:45, 10:50] = (30, 130, 40)
        Pillow.fromarray(pixels).save(folder / "train" / "shorts" / f"s{i}.jpg", quality=95)
    return folder


def test_items_have_types_and_measured_colours(ccp, classed):
    items, vocabulary = photo_items(ccp, classed, TAXONOMY, strict=True, tell=lambda problems: None)

    def named(item):
        colour = vocabulary.base_colours[item.base_colour] if item.base_colour != UNKNOWN else None
        return vocabulary.article_types[item.article_type], vocabulary.categories[item.category], colour

    said = {named(item) for item in items}
    assert {("jeans", "trousers", "blue"), ("blouse", "top", "red"), ("shorts", "shorts", "green")} <= said
    assert ("hat", "hat") in {pair[:2] for pair in said}  # CCP has one word for all hats: the category stands for them
    assert all(item.mask is not None and item.mask.shape == item.pixels.shape[:2] for item in items)
    assert {item.product_id for item in items} >= {"0003", "s1"}


def test_photos_that_cannot_be_decoded_are_left_out(ccp, classed, tmp_path):
    ccp, classed = shutil.copytree(ccp, tmp_path / "ccp"), shutil.copytree(classed, tmp_path / "classed")
    for cut in (ccp / "photos" / "0003.jpg", classed / "train" / "shorts" / "s1.jpg"):
        cut.write_bytes(cut.read_bytes()[:-200])
    items, vocabulary = photo_items(ccp, classed, TAXONOMY, strict=False, tell=lambda problems: None)

    assert {item.product_id for item in items}.isdisjoint({"0003", "s1"}) and "s2" in {i.product_id for i in items}
    for given in ((ccp, None), (None, classed)):
        with pytest.raises(DataError, match=r"(0003|s1)\.jpg"):
            photo_items(*given, TAXONOMY, strict=True, tell=lambda problems: None)

    images = read_ccp(ccp, "train+dev", TAXONOMY).images
    assert len(street_samples(images, ccp, vocabulary, TAXONOMY)) == 2 * PHOTOS + 3 - 2  # of four hats one is gone
    assert len(backgrounds(images, PHOTOS, np.random.default_rng(0))) == PHOTOS - 1
    with pytest.raises(DataError, match=r"0003\.jpg"):
        street_samples(images, ccp, vocabulary, TAXONOMY, strict=True)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[:150] + b"x" * 40 + data[190:], id="compressed data"),
        pytest.param(lambda data: data[:124], id="cut off in the header"),
        pytest.param(lambda data: b"", id="empty"),
    ],
)
def test_a_damaged_mask_is_told_and_the_rest_read(ccp, tmp_path, damage):
    folder = shutil.copytree(ccp, tmp_path / "ccp")
    file = folder / "annotations" / "pixel-level" / "0003.mat"
    mask = scipy_io.loadmat(file)["groundtruth"]
    scipy_io.savemat(file, {"groundtruth": mask}, do_compression=True)
    file.write_bytes(damage(file.read_bytes()))
    labelled = read_ccp(folder, "train+dev", TAXONOMY)
    assert len(labelled.images) == PHOTOS - 1
    assert [problem.where for problem in labelled.problems] == [str(file)]
    with pytest.raises(DataError, match=r"0003\.mat"):
        read_ccp(folder, "train+dev", TAXONOMY, strict=True)
    shutil.copy(file, folder / "label_list.mat")
    with pytest.raises(DataError, match=r"label_list\.mat"):
        read_ccp(folder, "train+dev", TAXONOMY)


def test_an_items_colour_is_that_of_most_of_it():
    red, blue = np.full((60, 3), (200, 20, 30), np.uint8), np.full((40, 3), (40, 60, 190), np.uint8)
    assert main_colour(np.concatenate([red, blue])) == "red"
    green = np.full((40, 3), (30, 130, 40), np.uint8)
    assert main_colour(np.concatenate([red[:45], blue, green])) is None
    assert main_colour(np.zeros((0, 3), np.uint8)) is None


def test_there_must_be_something_to_train_on():
    with pytest.raises(UsageError, match="--ccp or --classed"):
        photo_items(None, None, TAXONOMY, strict=False, tell=lambda problems: None)


def test_photos_stand_in_for_no_catalogue_an_encoder_knows(ccp, tmp_path):
    def run(*words):
        return CliRunner().invoke(cli, ["export", "encoder", "default", *words, "--out", str(tmp_path)])

    ran = run("--ccp", str(ccp))
    assert ran.exit_code == 2 and "the product feed the encoder was trained on" in ran.output
    ran = run("--catalog", str(ccp / "train.txt"), "--classed", str(ccp))
    assert ran.exit_code == 2 and "--classed: expected it without --catalog" in ran.output
    assert list(tmp_path.iterdir()) == []


def test_a_finished_encoder_is_not_written_over(ccp, tmp_path):
    model = shutil.copytree(WEIGHTS / "default", tmp_path / "model")
    before = (model / "labels.json").read_bytes()
    ran = CliRunner().invoke(cli, ["export", "encoder", str(model), "--ccp", str(ccp), "--out", str(model)])
    assert ran.exit_code == 2 and "expected another folder than the model's own" in ran.output
    assert (model / "labels.json").read_bytes() == before


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_it_is_trained_and_exported_again(ccp, classed, tmp_path):
    assert any(is_dev(f"{i:04}") for i in range(PHOTOS))
    small = [
        word
        for name in ("size=64", "products=4", "alike=2", "street=2", "warmup=2", "frozen_blocks=15")
        for word in ("--set", name)
    ]
    data = ["--ccp", str(ccp), "--classed", str(classed)]
    ran = CliRunner().invoke(cli, ["train", "encoder", *data, "--epochs", "1", *small, "--out", str(tmp_path / "run")])
    assert ran.exit_code == 0, ran.output
    labels = load_labels(tmp_path / "run")
    assert labels is not None and "jeans" in labels.article_type.names
    assert labels.weights.gender == 0  # nothing said of it, nothing made of it

    trainee, settings, vocabulary = load_trainee(tmp_path / "run")
    stored = build_trainee(settings, vocabulary)
    start_from_exported(stored.net, stored.tasks, vocabulary, tmp_path / "run" / "encoder.onnx")
    own = {name: value.clone() for name, value in trainee.net.named_parameters()}
    average_encoder(trainee, settings, vocabulary, 2 * [tmp_path / "run" / "encoder.onnx"])
    for (name, value), other in zip(trainee.net.named_parameters(), stored.net.parameters(), strict=True):
        assert torch.allclose(value, (own[name] + 2 * other) / 3, atol=1e-6), name

    words = ["export", "encoder", str(tmp_path / "run"), *data, "--out", str(tmp_path / "model")]
    ran = CliRunner().invoke(cli, [*words, "--average", str(tmp_path / "run")])  # the mean with itself is itself
    assert ran.exit_code == 0, ran.output
    again = load_labels(tmp_path / "model")
    assert again is not None and again.calibration.half == pytest.approx(labels.calibration.half, rel=0.02)
    ran = CliRunner().invoke(
        cli, [*words[:2], str(tmp_path / "model"), *words[3:-1], str(tmp_path), "--average", "default"]
    )
    assert ran.exit_code == 2 and "--average: expected a training's folder beside it" in ran.output


def test_of_types_that_mean_the_same_street_photos_teach_the_one_named_first():
    vocabulary = Vocabulary(("Innerwear Vests", "Lounge Shorts", "Shorts", "Tops"), (), (), (), ())
    kinds = StreetKinds(vocabulary, TAXONOMY)
    ids = np.array([[1, 1], [2, 2]], np.uint8)
    said = ids, ("null", "top", "shorts")
    named = [vocabulary.article_types[kinds.of(said, ids == i, (0.0, 0.0, 2.0, 2.0))] for i in (1, 2)]
    assert named == ["Tops", "Shorts"]


def test_settings_are_looked_for_in_the_categories_that_are_asked_for(ccp, tmp_path, monkeypatch):
    asked = []

    def tune(settings, samples, categories, evaluate, trials, out, pruner, data):
        asked.append((categories, data.get("categories")))
        return [Trial(0, "complete", 1, 0.5, {})]

    monkeypatch.setattr("twinset.detect.tune.tune_detector", tune)
    words = ["tune", "detector", "--ccp", str(ccp), "--out", str(tmp_path / "study")]
    for more in ([], ["--level", "group"], ["--leave-out", "hat,bag"]):
        ran = CliRunner().invoke(cli, [*words, *more])
        assert ran.exit_code == 0, ran.output
    plain, groups, left = asked
    assert plain == (TAXONOMY.names, None)
    assert left == (tuple(name for name in TAXONOMY.names if name not in ("hat", "bag")),) * 2
    assert groups == (at_level(TAXONOMY, "group").names,) * 2
    ran = CliRunner().invoke(cli, [*words, "--leave-out", "cap"])
    assert ran.exit_code == 2 and "--leave-out: expected some of top, " in ran.output
