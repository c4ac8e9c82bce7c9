"""Write the image tower of an open_clip or transformers model as a folder that `--model` takes (tower.py reads it).

Both libraries are imported only here, when asked for: open_clip needs torchvision, so neither is in an extra.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twinset.describe.tower import Fit, TowerConfig, load_tower, prepare
from twinset.errors import ModelError, UsageError

TOLERANCE = 1e-3  # of a number of the embedding, between torch and ONNX
OPEN_CLIP_FITS: dict[str, Fit] = {"shortest": "crop", "longest": "pad", "squash": "stretch"}
RESAMPLE_NAMES = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers


class Source(NamedTuple):
    """A tower in torch, (B, 3, S, S) float32 -> (B, D), and how it is fed."""

    net: nn.Module
    config: TowerConfig


class ImageTower(nn.Module):
    """The part of a model that sees pictures: `features` is a call of the model's own."""

    def __init__(self, model: nn.Module, features: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.model, self.features = model, features

    def forward(self, pixels: Tensor) -> Tensor:
        found = self.features(pixels)
        embedding: Tensor = found if isinstance(found, Tensor) else found.pooler_output
        return F.normalize(embedding, dim=1)


def open_clip_tower(name: str) -> Source:
    """Return a model of open_clip by name, `hf-hub:Marqo/marqo-fashionSigLIP` for one. Raises UsageError without it."""
    try:
        import open_clip
    except ImportError as exc:
        raise UsageError("--open-clip: expected open_clip to be installed: pip install open_clip_torch") from exc
    model, _ = open_clip.create_model_from_pretrained(name)
    how = model.visual.preprocess_cfg
    with _preprocessing_of(name):
        size = how["size"] if isinstance(how["size"], int) else how["size"][0]
        resample = how.get("interpolation", "bicubic")
        settings = {
            "size": size,
            "mean": tuple(how["mean"]),
            "std": tuple(how["std"]),
            "fit": OPEN_CLIP_FITS[how.get("resize_mode", "shortest")],
            "resample": resample if resample in RESAMPLE_NAMES.values() else "bicubic",
            "fill": int(how.get("fill_color", 0)),
        }
    return _source(model, model.encode_image, settings)


def transformers_tower(name: str) -> Source:
    """Return a model of transformers by name or folder: CLIP, SigLIP, or one that only sees, such as DINOv2.

    Raises UsageError without transformers.
    """
    try:
        from transformers import AutoImageProcessor, AutoModel
    except ImportError as exc:
        raise UsageError("--transformers: expected transformers to be installed: pip install transformers") from exc
    model, how = AutoModel.from_pretrained(name), AutoImageProcessor.from_pretrained(name)
    with _preprocessing_of(name):
        cropped = bool(getattr(how, "do_center_crop", False))
        size = how.crop_size if cropped else how.size
        settings = {
            "size": int(size["height"]),
            "mean": tuple(how.image_mean),
            "std": tuple(how.image_std),
            "fit": "crop" if cropped else "stretch",
            "resample": RESAMPLE_NAMES.get(int(how.resample), "bicubic"),
        }
    features = getattr(model, "get_image_features", None) or model
    return _source(model, lambda pixels: features(pixel_values=pixels), settings)


@contextmanager
def _preprocessing_of(name: str) -> Iterator[None]:
    """Raise ModelError for settings of a kind that no TowerConfig can say."""
    try:
        yield
    except (LookupError, AttributeError, TypeError, ValueError) as exc:
        raise ModelError(
            f"{name}: expected a square size, mean, std and a known way of resizing, found: {exc!r}; "
            f"write encoder.json by hand, see docs/models.md"
        ) from exc


def export_tower(source: Source, folder: Path) -> float:
    """Write encoder.onnx and encoder.json and return the largest difference from torch. Raises ModelError above 1e-3.

    Weights stay in one file, of at most 2 GB, as ONNX has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    net, config, file = source.net.eval(), source.config, folder / "encoder.onnx"
    torch.onnx.export(
        net,
        (torch.zeros(2, 3, config.size, config.size),),
        file,
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},),
        input_names=["pixels"],
        output_names=["embedding"],
        opset_version=18,
        external_data=False,
        verbose=False,
    )
    config.save(folder / "encoder.json")
    crops = list(np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8))
    with torch.inference_mode():
        expected = net(torch.from_numpy(np.stack([prepare(crop, config) for crop in crops]))).numpy()
    worst = float(np.abs(load_tower(folder).embed(crops) - expected).max())
    if worst > TOLERANCE:
        raise ModelError(f"{file}: expected ONNX within {TOLERANCE} of torch, found {worst:.5f}; report this as a bug")
    return worst


def _source(model: nn.Module, features: Callable[[Tensor], Any], settings: dict[str, Any]) -> Source:
    net = ImageTower(model, features).eval().requires_grad_(False)
    with torch.inference_mode():
        dim = net(torch.zeros(1, 3, settings["size"], settings["size"])).shape[1]
    return Source(net, TowerConfig(dim, **settings, output="embedding"))
