"""Benchmarks: the yardstick is a real transformer, and each prints a table, then one JSON line."""

import itertools
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fakes import draw_street, save_image

from twinset.bench import detector, encoder, generated, references, search, store
from twinset.bench.graph import open_network, random_weights
from twinset.bench.ssdlite import build_ssdlite
from twinset.bench.timing import machine, percentiles, time_ms
from twinset.bench.yardstick import VitSize, build_vit
from twinset.describe.encoder import Encoder, EncoderConfig
from twinset.detect.detector import Detector, DetectorConfig, View
from twinset.errors import DataError

TINY = VitSize(layers=2, width=24, heads=3, patch=8, side=32)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    out = capsys.readouterr().out
    table, _, line = out.rstrip("\n").rpartition("\n")
    assert table
    data = json.loads(line)
    assert {"cpu", "cpus", "python", "onnxruntime", "commit"} <= set(data["machine"])
    return data


# --- the yardstick ----------------------------------------------------------------------------------------------------


def test_the_yardstick_has_the_parameters_of_vit_b_16():
    count = sum(math.prod(shape) for shape in build_vit(VitSize()).weights.values())
    assert count == 85_798_656  # timm's vit_base_patch16_224 without its classifier


def test_the_yardstick_computes_what_torch_computes():
    torch = pytest.importorskip("torch")
    vit = build_vit(TINY)
    rng = np.random.default_rng(3)
    weights = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in vit.weights.items()}
    pixels = rng.standard_normal((1, 3, 32, 32)).astype(np.float32)

    given = {name: torch.from_numpy(array) for name, array in weights.items()}
    x = torch.nn.functional.conv2d(torch.from_numpy(pixels), given["patch.weight"], given["patch.bias"], stride=8)
    x = torch.cat([given["class"], x.flatten(2).transpose(1, 2)], 1) + given["position"]
    for i in range(TINY.layers):
        layer = torch.nn.TransformerEncoderLayer(24, 3, 96, 0.0, "gelu", batch_first=True, norm_first=True).eval()
        state = {
            "self_attn.in_proj_weight": torch.cat([given[f"{i}.{p}.weight"].T for p in ("query", "key", "value")]),
            "self_attn.in_proj_bias": torch.cat([given[f"{i}.{p}.bias"] for p in ("query", "key", "value")]),
        }
        for ours, theirs in (("project", "self_attn.out_proj"), ("widen", "linear1"), ("narrow", "linear2")):
            state |= {f"{theirs}.weight": given[f"{i}.{ours}.weight"].T, f"{theirs}.bias": given[f"{i}.{ours}.bias"]}
        for norm in ("norm1", "norm2"):
            state |= {f"{norm}.weight": given[f"{i}.{norm}.scale"], f"{norm}.bias": given[f"{i}.{norm}.bias"]}
        layer.load_state_dict(state)
        with torch.no_grad():
            x = layer(x)
    x = torch.nn.functional.layer_norm(x, (24,), given["norm.scale"], given["norm.bias"])
    np.testing.assert_allclose(open_network(vit, weights, 2)(pixels)[0][0, 0], x[0, 0].numpy(), atol=2e-4)


def test_the_yardstick_is_valid_onnx():
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(build_vit(TINY).model)
    for tensor in model.graph.initializer:  # the weights are given to the session; give them to the checker
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros(tuple(tensor.dims), np.float32), tensor.name))
    onnx.checker.check_model(model, full_check=True)


def test_the_yardsticks_weights_are_the_same_every_time():
    vit = build_vit(TINY)
    first, again = random_weights(vit), random_weights(vit)
    assert all((first[name] == again[name]).all() for name in vit.weights)
    assert (first["0.norm1.scale"] == 1).all()
    assert (first["0.norm1.bias"] == 0).all()
    assert np.std(first["0.widen.weight"]) == pytest.approx(0.02, rel=0.1)


def test_the_other_small_detector_has_the_parameters_of_torchvisions():
    weights = build_ssdlite(classes=91).weights
    count = sum(math.prod(shape) for shape in weights.values())
    norms = sum(math.prod(shape) for name, shape in weights.items() if name.endswith(".norm"))  # scales are folded
    assert count + norms == 3_440_060  # ssdlite320_mobilenet_v3_large


def test_the_other_small_detector_runs():
    network = build_ssdlite()
    scores, offsets = open_network(network, random_weights(network), 1)(np.zeros((1, 3, 320, 320), np.float32))
    assert scores.shape == (1, 3234, 14) and offsets.shape == (1, 3234, 4)
    assert scores.sum(2) == pytest.approx(np.ones((1, 3234)), abs=1e-4)


# --- timing -----------------------------------------------------------------------------------------------------------


def test_every_call_after_the_warm_up_is_timed():
    calls: list[int] = []
    times = time_ms(lambda: calls.append(1), repeats=7, warm_up=3)
    assert (len(times), len(calls)) == (7, 10)
    assert all(ms >= 0 for ms in times)


def test_percentiles_are_median_and_95th():
    assert percentiles(list(range(101))) == (50, 95)


def test_the_machine_is_named():
    assert machine()["cpus"] >= 1
    assert machine()["twinset"]


# --- the benchmarks ---------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def quick_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time no yardstick: one that takes 100 ms stands in."""
    for module in (detector, encoder, store):
        monkeypatch.setattr(module, "yardstick_ms", lambda: 100.0)
    monkeypatch.setattr(search, "open_yardstick", lambda: lambda: None)


def nothing_found(pixels: np.ndarray) -> list[np.ndarray]:
    count, height, width = pixels.shape[:3]
    points = sum((height // stride) * (width // stride) for stride in (8, 16, 32))
    return [np.ones((count, points, 4), np.float32), np.zeros((count, points, 2), np.float32)]


def test_detector_is_timed_by_input_size_runtime_and_threads(monkeypatch, capsys):
    opened = []

    def load(folder: Path, threads: int, runtime: str) -> Detector:
        opened.append((runtime, threads))
        return Detector(nothing_found, DetectorConfig(("top", "bag"), input_area=288 * 192))

    monkeypatch.setattr(detector, "find_detector", lambda name: Path(name))
    monkeypatch.setattr(detector, "load_detector", load)
    monkeypatch.setattr(detector, "runtimes", lambda: ["onnxruntime", "openvino"])
    monkeypatch.setattr(detector, "open_ssdlite", lambda threads: lambda: None)
    detector.run(("default",), (1, 2), repeats=3)
    data = last_line(capsys)
    assert (data["benchmark"], data["threads"], data["photo"]) == ("detector", [1, 2], "400x600")
    assert opened == [(runtime, threads) for runtime in ("onnxruntime", "openvino") for threads in (1, 2)]
    ours = [row for row in data["rows"] if row["network"] == "default"]
    assert len(ours) == 4 * (len(detector.AREAS) + 1)
    assert [row["note"] for row in ours].count("as the model is used") == 4
    for row in ours:
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["of_yardstick"] == pytest.approx(row["p50_ms"] / 100)
        assert row["map_50"] is None  # no photos were given
    others = [(row["network"], row["threads"]) for row in data["rows"][len(ours) :]]
    assert others == [("SSDLite-MobileNetV3 size", 1), ("SSDLite-MobileNetV3 size", 2), ("ViT-B/16 size", 2)]


def test_a_detector_of_several_views_is_timed_as_it_is_used_beside_another(monkeypatch, capsys):
    configs = {
        "fast": DetectorConfig(("top", "bag")),
        "best": DetectorConfig(("top", "bag"), views=(View(96 * 64), View(64 * 64, mirrored=True))),
    }
    seen = []

    def load(folder: Path, threads: int, runtime: str) -> Detector:
        def run(pixels: np.ndarray) -> list[np.ndarray]:
            seen.append((folder.name, pixels.shape[1:3]))
            return nothing_found(pixels)

        return Detector(run, configs[folder.name])

    monkeypatch.setattr(detector, "find_detector", lambda name: Path(name))
    monkeypatch.setattr(detector, "load_detector", load)
    monkeypatch.setattr(detector, "runtimes", lambda: ["onnxruntime"])
    monkeypatch.setattr(detector, "open_ssdlite", lambda threads: lambda: None)
    detector.run(("fast", "best"), (2,), repeats=1)
    data = last_line(capsys)
    used = {row["network"]: row["input"] for row in data["rows"] if row["note"] == "as the model is used"}
    assert used == {"fast": "256x384", "best": "2 views"}
    assert {("best", (96, 64)), ("best", (64, 64))} <= set(seen)  # the photo is 400x600
    assert data["models"] == ["fast", "best"]


def test_encoder_is_timed_by_runtime_and_batch(monkeypatch, capsys):
    seen: list[int] = []

    def run(squares: np.ndarray) -> list[np.ndarray]:
        seen.append(len(squares))
        return [np.ones((len(squares), 256), np.float32), np.ones((len(squares), 20, 20), np.float32)]

    described = Encoder(run, EncoderConfig())
    monkeypatch.setattr(encoder, "load_models", lambda name, threads, runtime: SimpleNamespace(encoder=described))
    monkeypatch.setattr(encoder, "runtimes", lambda: ["onnxruntime", "openvino"])
    encoder.run(["default"], 2, repeats=2)
    timed = [(row["runtime"], row["batch"]) for row in last_line(capsys)["rows"]]
    assert timed == list(itertools.product(("onnxruntime", "openvino"), encoder.BATCHES))
    assert set(seen) == set(encoder.BATCHES)


def test_store_is_timed_with_its_recall_while_products_change(monkeypatch, capsys):
    monkeypatch.setattr(store, "QUERIES", 12)
    monkeypatch.setattr(store, "CHANGED", 40)
    monkeypatch.setattr(store, "BEFORE_S", 0.2)
    monkeypatch.setattr(store, "AFTER_S", 1.0)
    monkeypatch.setattr(generated, "CLUSTERS", 20)
    store.run(1200, faiss=False)
    data = last_line(capsys)
    assert data["items"] == 1200 and data["ingest_a_second"] > 0 and data["build_s"] >= 0
    assert [row["what"] for row in data["rows"]] == ["store"] * 3 + ["numpy, exact"] * 3
    assert [row["query"] for row in data["rows"]] == ["all", "category", "category+colour+price"] * 2
    assert all(row["recall_at_24"] == 1 for row in data["rows"]) and data["category_recall"] == 1
    assert (
        data["failed"] == 0 and 0 < data["visible_s"] < 60 and data["anonymous_mb"] > 0 and data["open_to_answer_s"] > 0
    )
    assert data["met"]["recall of both >= 0.99"] and data["met"]["no query fails meanwhile"] and len(data["met"]) == 11


@pytest.mark.parametrize(("name", "worse"), [("category_p50_ms", 21), ("category_recall", 0.98), ("failed", 1)])
def test_a_goal_that_is_missed_is_told(name, worse):
    kinds = ("all", "category", "category+colour+price")
    figures = {f"{kind}_{figure}": value for kind in kinds for figure, value in [("p50_ms", 9), ("recall", 1)]}
    figures |= {f"{kind}_of_numpy": 0.1 for kind in kinds}
    figures |= {"open_to_answer_s": 1, "anonymous_mb": 500, "ingest_a_second": 20_000, "build_s": 60}
    figures |= {"visible_s": 1, "failed": 0, "p95_before_ms": 10, "p95_during_ms": 15}
    assert all(store.goals(figures).values())
    assert list(store.goals(figures | {name: worse}).values()).count(False) == 1


def test_faiss_finds_what_an_exact_scan_finds_among_those_allowed():
    pytest.importorskip("faiss", reason="needs pip install 'twinset[bench]'")
    catalogue = generated.generate(800, seed=3)
    _, queries = generated.draw_queries(catalogue, 5)
    masks = {"all": [None] * 5, "some": [catalogue.prices < 100] * 5}
    exact = references.numpy_exact(catalogue.vectors, queries, masks, 10)
    found = references.faiss_hnsw(catalogue.vectors, queries, masks, 10)
    for kind in masks:
        assert references.recall(found[kind].ids, exact[kind].ids, catalogue.vectors, queries) > 0.9
        assert len(found[kind].times_ms) == 5
    assert all(catalogue.prices[i] < 100 for ids in exact["some"].ids + found["some"].ids for i in ids)


def test_recall_counts_what_is_as_near_as_the_last():
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 1, 2]]
    queries = np.array([[0.9, 0.4, -0.1, 0]], np.float32)
    assert references.recall([[0, 2]], [[0, 1]], vectors, queries) == 1
    assert references.recall([[0, 3]], [[0, 1]], vectors, queries) == 0.5
    assert references.recall([[]], [[]], vectors, queries) == 1


def test_the_largest_category_has_its_share():
    categories = generated.generate(20_000).categories
    shares = np.bincount(categories) / len(categories)
    assert shares.max() == pytest.approx(0.4, abs=0.02) and len(shares) == 13 and shares.min() > 0


SERVICE = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = self.path == "/v1/search" and b'name="photo"; filename="photo.jpg"' in body and b"PNG" in body
        answer = b'{"items": []}' if right else b"wrong"
        self.send_response(200 if right else 422)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print("serving on http://127.0.0.1:%d" % server.server_address[1], flush=True)
server.serve_forever()
"""


def test_search_is_timed_over_http(monkeypatch, capsys, tmp_path):
    photo = save_image(draw_street(), tmp_path / "street.png")
    monkeypatch.setattr(search, "service_command", lambda *_: [sys.executable, "-c", SERVICE])
    search.run([photo], "shop", "default", 2, 12)
    data = last_line(capsys)
    assert (data["requests"], data["photos"]) == (12, 1)
    assert [row["what"] for row in data["rows"]] == ["POST /v1/search", "ViT-B/16, one pass"]
    assert data["rows"][0]["p50_ms"] > 0


def test_a_refused_search_stops_the_benchmark(monkeypatch, tmp_path):
    text = tmp_path / "photo.jpg"
    text.write_text("not a photo")
    monkeypatch.setattr(search, "service_command", lambda *_: [sys.executable, "-c", SERVICE])
    with pytest.raises(DataError, match="expected status 200, found 422"):
        search.run([text], "shop", "default", 2, 12)


def test_a_service_that_does_not_start_stops_the_benchmark(monkeypatch, tmp_path):
    photo = save_image(draw_street(), tmp_path / "street.png")
    monkeypatch.setattr(search, "service_command", lambda *_: [sys.executable, "-c", "raise SystemExit(1)"])
    with pytest.raises(DataError, match="expected the service to start on shop, found exit code 1"):
        search.run([photo], "shop", "default", 2, 12)


def test_a_photo_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no\.jpg"):
        search.run([tmp_path / "no.jpg"], "shop", "default", 2, 12)
