"""An int8 detector: that it still finds what the fp32 one does, and is taken only where it is the better bargain."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from twinset.bench.int8 import Bargain, compare
from twinset.cli import cli
from twinset.data.drawn import draw_look
from twinset.detect.detector import Detector, DetectorConfig, load_config
from twinset.detect.quantise import quantise
from twinset.errors import UsageError
from twinset.models import FILES, WEIGHTS
from twinset.runtime import OnnxSession

pytest.importorskip("onnx")
FOLDER = WEIGHTS / "default"


@pytest.mark.skipif(not (FOLDER / "detector.onnx").is_file(), reason="no weights are committed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_an_int8_detector_is_small_and_finds_the_same_items(tmp_path: Path):
    rng = np.random.default_rng(0)
    looks = [draw_look(rng).image for _ in range(4)]
    config = load_config(FOLDER / "detector.json")

    quantise(FOLDER / "detector.onnx", tmp_path / "int8.onnx", looks, config)

    assert (tmp_path / "int8.onnx").stat().st_size < 0.7 * (FOLDER / "detector.onnx").stat().st_size
    assert [file.name for file in tmp_path.iterdir()] == ["int8.onnx"]
    first, second = (
        Detector(OnnxSession(file, 1), config).detect_batch(looks)
        for file in (FOLDER / "detector.onnx", tmp_path / "int8.onnx")
    )
    pairs = [(set(a.labels.tolist()), set(b.labels.tolist())) for a, b in zip(first, second, strict=True)]
    shared = sum(len(a & b) for a, b in pairs)
    assert shared >= 0.7 * sum(len(a | b) for a, b in pairs) > 0

    both = compare(FOLDER / "detector.onnx", tmp_path / "int8.onnx", config, looks[:1], lambda _: 0.5, 1)
    assert both.fp32_ms > 0 and both.int8_ms > 0 and both.int8_map_50 == 0.5


@pytest.mark.parametrize(
    ("bargain", "recommended"),
    [
        pytest.param(Bargain(20, 12, 0.86, 0.857), True, id="faster, a little worse"),
        pytest.param(Bargain(20, 12, 0.86, 0.85), False, id="faster, too much worse"),
        pytest.param(Bargain(12, 20, 0.86, 0.86), False, id="slower"),
    ],
)
def test_int8_is_recommended_where_it_is_faster_and_as_good(bargain: Bargain, recommended: bool):
    assert bargain.recommended is recommended


def test_without_photos_there_is_no_range(tmp_path: Path):
    with pytest.raises(UsageError, match="expected photos to calibrate on, found none"):
        quantise(tmp_path / "detector.onnx", tmp_path / "int8.onnx", [], DetectorConfig(("top",)))


def test_a_trainings_detector_becomes_a_model(tmp_path: Path):
    run, model, out = tmp_path / "run", tmp_path / "model", tmp_path / "out"
    for folder, names in ((run, (*FILES[:2], "taxonomy.toml")), (model, (*FILES, "labels.json", "card.md"))):
        folder.mkdir()
        for name in names:
            (folder / name).write_text(folder.name)
    words = ["export", "detector", str(run), "--model", str(model), "--out", str(out)]

    assert CliRunner().invoke(cli, words).exit_code == 0

    assert {file.name: file.read_text() for file in out.iterdir()} == {
        **dict.fromkeys(("detector.onnx", "detector.json", "taxonomy.toml"), "run"),
        **dict.fromkeys(("encoder.onnx", "encoder.json", "labels.json"), "model"),
    }
    alone = CliRunner().invoke(cli, [*words, "--int8"])
    assert alone.exit_code == 2 and "--int8: expected --voc beside it" in alone.stderr
    unfitted = CliRunner().invoke(cli, [*words, "--average", str(run)])
    assert unfitted.exit_code == 2 and "--average: expected --voc, --ccp or both beside it" in unfitted.stderr


def test_a_detector_of_other_categories_is_refused_before_anything_is_written(tmp_path: Path):
    for name, categories in (("run", '["top"]'), ("other", '["bag"]')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "detector.onnx").touch()
        (tmp_path / name / "detector.json").write_text(
            f'{{"categories": {categories}, "input_area": 4096, "min_score": 0.3, "iou_threshold": 0.6}}'
        )
    words = ["export", "detector", str(tmp_path / "run"), "--average", str(tmp_path / "other"), "--voc", str(tmp_path)]

    refused = CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "out")])

    assert refused.exit_code == 2 and "expected a detector of top, found one of bag" in refused.stderr
    assert not (tmp_path / "out").exists()
