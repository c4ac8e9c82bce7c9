"""Image towers that are not Twinset's: tiny ONNX networks made here, in the place of the encoder."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from fakes import FakeModels, draw_item, draw_photo, draw_product, make_feed
from onnx import TensorProto, helper, numpy_helper, save

from twinset.data.feed import read_feed
from twinset.describe.tower import TowerConfig, crop_colours, load_tower, prepare
from twinset.errors import ModelError, UsageError
from twinset.evaluate.retrieval import evaluate_retrieval
from twinset.indexing import index_feed
from twinset.models import WEIGHTS, load_models
from twinset.search import search_image
from twinset.store import open_store
from twinset.taxonomy import default_taxonomy

DIM = 12  # a network of 2 x 2 means of three channels
SIZE = 8
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def write_tower(folder: Path, layout: str = "nchw", **settings: object) -> Path:
    """Write a tower whose embedding is the picture at 2 x 2 pixels; its first output is something else."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = ["batch", 3, SIZE, SIZE] if layout == "nchw" else ["batch", SIZE, SIZE, 3]
    nodes = [] if layout == "nchw" else [helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2])]
    planes = "pixels" if layout == "nchw" else "planes"
    nodes += [
        helper.make_node("AveragePool", [planes], ["small"], kernel_shape=[SIZE // 2] * 2, strides=[SIZE // 2] * 2),
        helper.make_node("Reshape", ["small", "flat"], ["embedding"]),
        helper.make_node("Identity", ["small"], ["tokens"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tower",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["batch", 3, 2, 2]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", DIM]),
        ],
        [numpy_helper.from_array(np.array([-1, DIM], np.int64), "flat")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "encoder.onnx")
    config = {"kind": "tower", "dim": DIM, "size": SIZE, "layout": layout, "output": "embedding", **PLAIN, **settings}
    (folder / "encoder.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's folder: the shipped detector and a tower."""
    folder = write_tower(tmp_path / "towered")
    for name in ("detector.onnx", "detector.json"):
        shutil.copyfile(WEIGHTS / "default" / name, folder / name)
    return folder


# --- pictures on their way in -----------------------------------------------------------------------------------------

WIDE = np.zeros((4, 8, 3), np.uint8)
WIDE[:, :2] = (255, 0, 0)  # a red end, cut off by "crop"


@pytest.mark.parametrize(
    ("fit", "first_column"),
    [
        pytest.param("pad", [1, 1, 1, 0, 0, 0, 1, 1], id="pad"),  # green: white above and below
        pytest.param("crop", [0] * 8, id="crop"),
        pytest.param("stretch", [0] * 8, id="stretch"),
    ],
)
def test_a_crop_is_padded_cut_or_squeezed(fit, first_column):
    inputs = prepare(WIDE, TowerConfig(DIM, 8, **PLAIN, fit=fit, resample="bilinear"))
    middle = np.rint(inputs[1, :, 4])
    expected = [1, 1, 0, 0, 0, 0, 1, 1] if fit == "pad" else first_column
    assert middle.tolist() == expected
    assert (inputs[0, 4, 0] > 0.9) == (fit != "crop")  # the red end


def test_channels_are_scaled_before_they_are_put_in_order():
    red = np.full((5, 5, 3), (255, 0, 0), np.uint8)
    settings = {"mean": (0.5, 0.25, 0.0), "std": (0.5, 0.25, 1.0)}
    assert prepare(red, TowerConfig(DIM, 4, **settings))[:, 0, 0].tolist() == [1, -1, 0]
    bgr = prepare(red, TowerConfig(DIM, 4, **settings, channels="bgr", layout="nhwc"))
    assert bgr.shape == (4, 4, 3) and bgr[0, 0].tolist() == [0, -1, 1]


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_embeddings_are_those_of_the_named_output_at_unit_length(tmp_path, monkeypatch, layout, runtime):
    pytest.importorskip(runtime)
    monkeypatch.setenv("TWINSET_RUNTIME", runtime)
    tower = load_tower(write_tower(tmp_path / "t", layout, batch=2), 1)
    crops = [draw_item(name, 0, (20, 20)) for name in ("top", "dress", "bag")]
    found = tower.embed(crops)
    for crop, embedding in zip(crops, found, strict=True):
        small = prepare(crop, TowerConfig(DIM, SIZE, **PLAIN)).reshape(3, 2, 4, 2, 4).mean((2, 4)).ravel()
        assert embedding == pytest.approx(small / np.linalg.norm(small), abs=1e-5)
    assert tower.embed([]).shape == (0, DIM)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"dim": 13}, r"expected embeddings \(1, 13\), found \(1, 12\)", id="dim"),
        pytest.param({"size": 9}, "see size, layout and batch", id="size"),
        pytest.param({"output": "pooled"}, "expected an output 'pooled', found embedding, tokens", id="output"),
        pytest.param({"output": ""}, r"found \(1, 3, 2, 2\); see dim and output", id="first-output"),
        pytest.param({"normalise": False}, "set normalise to true", id="not-unit"),
        pytest.param({"fit": "squash"}, "fit: expected one of pad, crop, stretch, found 'squash'", id="fit"),
        pytest.param({"std": (1, 1, 0)}, "std above 0", id="std"),
        pytest.param({"sise": 8}, "unknown settings sise", id="misspelt"),
    ],
)
def test_a_tower_that_is_not_as_its_settings_say_is_refused(tmp_path, settings, message):
    with pytest.raises(ModelError, match=message):
        load_tower(write_tower(tmp_path / "t", **settings), 1)


def test_colours_leave_out_a_light_background_that_the_corners_show():
    rows, columns = np.mgrid[-1:1:64j, -1:1:48j]
    round_item = np.where((rows**2 + columns**2 < 1)[..., None], (20, 160, 20), 250).astype(np.uint8)
    assert [colour.name for colour in crop_colours(round_item)] == ["green"]
    assert "white" not in {colour.name for colour in crop_colours(draw_product("top"))}
    tight = draw_photo((draw_item("top", size_wh=(48, 40)), (0, 0)), size_wh=(48, 64))  # fills two corners
    assert [colour.name for colour in crop_colours(tight)] == ["red", "white"]


# --- the whole chain --------------------------------------------------------------------------------------------------


def test_a_shop_is_indexed_and_searched_by_a_tower(model, tmp_path):
    models = load_models(str(model), 1)
    assert models.version.startswith("towered-") and models.dim == DIM and models.labels is None
    index_feed(make_feed(tmp_path / "shop", 10), tmp_path / "store", models)

    store = open_store(tmp_path / "store")
    (item,) = search_image(draw_product("top", 5), models, store, box=(24, 32, 72, 96), category="top", k=3)

    assert store.dim == DIM and store.model_version == models.version
    assert item.hits[0].product_id == "p005" and item.hits[0].score > 0.999
    assert item.hits[0].category == "top" and item.hits[0].why is None and item.close_from is None


def test_the_version_is_of_all_settings_that_vectors_depend_on(model):
    first = load_models(str(model), 1).version
    file = model / "encoder.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"batch": 1}))
    assert load_models(str(model), 1).version == first
    file.write_text(json.dumps(settings | {"fit": "stretch"}))
    assert load_models(str(model), 1).version != first


def test_towers_are_rows_beside_the_model_on_the_same_crops(tmp_path):
    feed = read_feed(make_feed(tmp_path / "shop", 30), default_taxonomy())
    tower = load_tower(write_tower(tmp_path / "t"), 1)
    figures = evaluate_retrieval(feed, FakeModels(), baselines=False, towers={"t": tower.embed})
    assert list(figures.encoders) == ["fake", "t"] and figures.encoders["t"].n == 3
    assert figures.as_json()["within_category"]["t"]["type_at_1"] == 1
    with pytest.raises(UsageError, match="names of their own, found fake"):
        evaluate_retrieval(feed, FakeModels(), baselines=False, towers={"fake": tower.embed})


# --- made from another library's model --------------------------------------------------------------------------------


def tiny_net():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 6, 4, stride=4), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(24, 5))
    return torch.nn.Sequential(*layers)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_model_of_open_clip_becomes_a_folder(tmp_path, monkeypatch):
    net = tiny_net()
    net.visual = SimpleNamespace(
        preprocess_cfg={
            "size": (8, 8),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "interpolation": "bicubic",
            "resize_mode": "squash",
            "fill_color": 0,
        }
    )
    net.encode_image = net.forward
    library = ModuleType("open_clip")
    library.create_model_from_pretrained = lambda name: (net, None)
    monkeypatch.setitem(sys.modules, "open_clip", library)
    from twinset.describe.tower_export import export_tower, open_clip_tower

    source = open_clip_tower("tiny")
    assert export_tower(source, tmp_path / "t") < 1e-4  # as in torch, in a batch of another size

    tower = load_tower(tmp_path / "t", 1)
    assert tower.config == source.config == TowerConfig(5, 8, (0.5,) * 3, (0.5,) * 3, "stretch", 0, output="embedding")


def test_preprocessing_no_folder_can_say_is_refused_in_one_line(monkeypatch):
    net = tiny_net()
    net.visual = SimpleNamespace(preprocess_cfg={"size": 8, "mean": (0,) * 3, "std": (1,) * 3, "resize_mode": "spiral"})
    library = ModuleType("open_clip")
    library.create_model_from_pretrained = lambda name: (net, None)
    monkeypatch.setitem(sys.modules, "open_clip", library)
    from twinset.describe.tower_export import open_clip_tower

    with pytest.raises(ModelError, match=r"tiny: expected a square size, .* found: KeyError\('spiral'\)"):
        open_clip_tower("tiny")


def test_a_model_of_transformers_is_fed_as_its_processor_says(monkeypatch):
    net = tiny_net()
    net.get_image_features = lambda pixel_values: SimpleNamespace(pooler_output=net(pixel_values))
    how = SimpleNamespace(
        size={"shortest_edge": 9},
        crop_size={"height": 8, "width": 8},
        do_center_crop=True,
        image_mean=[0.5] * 3,
        image_std=[0.25] * 3,
        resample=2,
    )
    library = ModuleType("transformers")
    library.AutoModel = SimpleNamespace(from_pretrained=lambda name: net)
    library.AutoImageProcessor = SimpleNamespace(from_pretrained=lambda name: how)
    monkeypatch.setitem(sys.modules, "transformers", library)
    from twinset.describe.tower_export import transformers_tower

    config = transformers_tower("tiny").config
    assert (config.size, config.fit, config.resample, config.dim) == (8, "crop", "bilinear", 5)
    assert config.std == (0.25,) * 3
