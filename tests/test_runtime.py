"""Which runtime computes, and that the same comes out of both, alone and in a batch."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from twinset.data.drawn import draw_look
from twinset.describe.encoder import Encoder, cut_items
from twinset.describe.encoder import load_config as load_encoder_config
from twinset.detect.detector import Detector, load_config
from twinset.errors import MissingExtra, ModelError, UsageError
from twinset.models import WEIGHTS
from twinset.runtime import choose_runtime, has_amx, open_session
from twinset.types import Image

FOLDER = WEIGHTS / "default"
weights = pytest.mark.skipif(not (FOLDER / "detector.onnx").is_file(), reason="no weights are committed")


@pytest.fixture(params=["onnxruntime", "openvino"])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(name)
    return name


@pytest.fixture(scope="module")
def looks() -> list[Image]:
    rng = np.random.default_rng(0)
    return [draw_look(rng).image for _ in range(3)]


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    found: Callable[[str], object] = lambda name: object() if name in names else None  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", found)


def test_openvino_is_chosen_where_it_is_installed(monkeypatch):
    monkeypatch.delenv("TWINSET_RUNTIME")
    installed(monkeypatch, "openvino")
    assert choose_runtime() == "openvino"
    installed(monkeypatch)
    assert choose_runtime() == "onnxruntime"


def test_the_environment_says_which_unless_the_caller_does(monkeypatch):
    installed(monkeypatch, "openvino")
    monkeypatch.setenv("TWINSET_RUNTIME", "onnxruntime")
    assert choose_runtime() == "onnxruntime"
    assert choose_runtime("openvino") == "openvino"


def test_a_runtime_that_is_unknown_or_missing_is_named(monkeypatch):
    installed(monkeypatch)
    with pytest.raises(UsageError, match="expected one of auto, onnxruntime, openvino, found 'tensorrt'"):
        choose_runtime("tensorrt")
    with pytest.raises(MissingExtra, match=r"pip install 'twinset\[openvino\]'"):
        choose_runtime("openvino")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [pytest.param("fma avx512f amx_bf16 amx_tile", True, id="amx"), pytest.param("avx2 avx512_bf16", False, id="none")],
)
def test_amx_is_read_from_the_processors_flags(tmp_path: Path, flags: str, expected: bool):
    (tmp_path / "cpuinfo").write_text(f"processor: 0\nflags\t\t: {flags}\n")
    assert has_amx(tmp_path / "cpuinfo") is expected
    assert not has_amx(tmp_path / "none")


def test_what_is_no_model_is_named(tmp_path: Path, runtime: str):
    (tmp_path / "detector.onnx").write_text("no model")
    with pytest.raises(ModelError, match=r"detector\.onnx: expected an ONNX model, found"):
        open_session(tmp_path / "detector.onnx", 1, runtime=runtime)


@weights
def test_embeddings_do_not_depend_on_the_runtime(looks):
    pytest.importorskip("openvino")
    boxes = np.array([[20, 40, 200, 300], [0, 0, 400, 600]], np.float32)
    crops = [crop for look in looks for crop in cut_items(look, boxes)]
    config = load_encoder_config(FOLDER / "encoder.json")
    first, second = (
        np.stack([one.embedding for one in Encoder(session, config).describe(crops)])
        for session in (open_session(FOLDER / "encoder.onnx", 1, runtime=name) for name in ("onnxruntime", "openvino"))
    )
    assert (first * second).sum(1).min() >= 0.9995


@weights
def test_the_detector_finds_the_same_in_a_batch_as_alone(looks, runtime: str):
    session = open_session(FOLDER / "detector.onnx", 1, runtime=runtime)
    detector = Detector(session, load_config(FOLDER / "detector.json"))
    for together, look in zip(detector.detect_batch(looks), looks, strict=True):
        alone = detector.detect(look)
        assert together.labels.tolist() == alone.labels.tolist()
        assert together.boxes == pytest.approx(alone.boxes, abs=0.1)
        assert together.scores == pytest.approx(alone.scores, abs=1e-3)


@weights
def test_both_runtimes_find_the_same_items(looks):
    pytest.importorskip("openvino")
    config = load_config(FOLDER / "detector.json")
    first, second = (
        Detector(open_session(FOLDER / "detector.onnx", 1, runtime=name), config)
        for name in ("onnxruntime", "openvino")
    )
    for look in looks:
        one, other = first.detect(look), second.detect(look)
        assert one.labels.tolist() == other.labels.tolist()
        assert one.boxes == pytest.approx(other.boxes, abs=0.5)


@weights
def test_answers_are_not_written_over_by_the_next_call(looks, runtime: str):
    session = open_session(FOLDER / "detector.onnx", 1, runtime=runtime)
    pixels = [np.ascontiguousarray(look[:96, :64])[None] for look in looks[:2]]
    before = session(pixels[0])
    kept = [array.copy() for array in before]
    session(pixels[1])
    assert all(np.array_equal(array, copy) for array, copy in zip(before, kept, strict=True))
