"""Any ONNX image tower in the place of Twinset's encoder: encoder.onnx, and encoder.json saying how it is fed.

A tower gives an embedding and nothing else. Colours are those of the pixels, without a light, plain background where
the crop shows one; attributes and looks in words need a labels.json, which only Twinset's own encoders have.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from twinset.data.background import item_mask
from twinset.describe.colours import measure_colours
from twinset.describe.encoder import Described, letterbox
from twinset.errors import ModelError
from twinset.runtime import Session, open_session
from twinset.types import Colour, Image

COLOUR_SIDE = 160  # pixels of the square that colours are measured in
LIGHT = 230  # of every channel, in a background that is told from an item
FRAME = 8  # pixels put round a crop: a tight one shows little background
MIN_OWN_SHARE = 0.15  # of the crop; less is a print on something light
MASK_STEP = 8  # pixels of it a cell of the mask stands for

Fit = Literal["pad", "crop", "stretch"]
RESAMPLING = {"bilinear": Pillow.Resampling.BILINEAR, "bicubic": Pillow.Resampling.BICUBIC}


@dataclass(frozen=True, slots=True)
class TowerConfig:
    """What stands in the encoder.json of a tower, beside `"kind": "tower"`. Its defaults feed a CLIP at 224 pixels."""

    dim: int  # numbers in an embedding
    size: int = 224  # pixels of the square input's side
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)  # of channels in [0, 1], red first
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    fit: Fit = "pad"  # all of the crop with `fill` beside it; its middle square; or all of it squeezed
    fill: int = 255  # in [0, 255]
    resample: Literal["bilinear", "bicubic"] = "bicubic"
    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    output: str = ""  # the embedding's name; "" for the first output
    normalise: bool = True  # False for a tower whose embeddings have unit length already
    batch: int = 16  # crops at once; 1 for a file that takes no more

    def __post_init__(self) -> None:
        for name, allowed in {
            "fit": get_args(Fit),
            "resample": tuple(RESAMPLING),
            "channels": ("rgb", "bgr"),
            "layout": ("nchw", "nhwc"),
        }.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: expected one of {', '.join(allowed)}, found {getattr(self, name)!r}")
        if min(self.dim, self.size, self.batch) < 1 or not 0 <= self.fill <= 255:
            raise ValueError("expected dim, size and batch of 1 or more and fill in [0, 255]")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"expected mean and std of three channels, std above 0, found {self.mean} and {self.std}")

    def save(self, file: Path) -> None:
        """Write it as an encoder.json."""
        file.write_text(json.dumps({"kind": "tower", **asdict(self)}, indent=2) + "\n", encoding="utf-8")


class Tower:
    """Describes crops with a network that is not Twinset's. `session` takes (B, 3, S, S) or (B, S, S, 3) float32."""

    labels = None

    def __init__(self, session: Session, config: TowerConfig, name: str) -> None:
        self.session, self.config, self.dim, self.name = session, config, config.dim, name

    def describe(self, crops: Sequence[Image]) -> list[Described]:
        """Return the description of each (H, W, 3) crop."""
        embeddings = self.embed(crops)
        return [Described(row, crop_colours(image)) for row, image in zip(embeddings, crops, strict=True)]

    def embed(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """Return (N, dim) unit embeddings. Raises ModelError for a network that is not as its settings say."""
        parts = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(crops), self.config.batch):
            inputs = np.stack([prepare(image, self.config) for image in crops[start : start + self.config.batch]])
            parts.append(self._run(inputs))
        return np.concatenate(parts)

    def _run(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            found = np.asarray(self.session(inputs)[0], np.float32)
        except Exception as exc:  # neither runtime's own exceptions have a public base class
            reason = " ".join(str(exc).split())[:200]
            raise ModelError(
                f"{self.name}: expected a network that takes {inputs.shape} float32, found: {reason}; "
                f"see size, layout and batch in its settings"
            ) from exc
        if found.shape != (len(inputs), self.dim):
            raise ModelError(
                f"{self.name}: expected embeddings ({len(inputs)}, {self.dim}), found {found.shape}; "
                f"see dim and output in its settings"
            )
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not (lengths > 0).all():
            raise ModelError(f"{self.name}: expected finite embeddings, found {lengths.min()} to {lengths.max()} long")
        if not self.config.normalise and np.abs(lengths - 1).max() > 1e-3:
            raise ModelError(
                f"{self.name}: expected embeddings of unit length, found {lengths.max():.4f}; set normalise to true"
            )
        return np.asarray(found / lengths, np.float32)


def is_tower(file: Path) -> bool:
    """Return whether an encoder.json is a tower's. False too for a file that can't be read."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and data.get("kind") == "tower"


def load_tower_config(file: Path) -> TowerConfig:
    """Return the settings of a tower. Raises ModelError."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        data = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        unknown = set(data) - {field.name for field in fields(TowerConfig)} - {"kind"}
        if unknown:
            raise ValueError(f"unknown settings {', '.join(sorted(unknown))}")
        return TowerConfig(**{name: value for name, value in data.items() if name != "kind"})
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        raise ModelError(f"{file}: expected a tower's settings (docs/models.md), found: {exc}") from exc


def load_tower(path: Path, threads: int | None = None, runtime: str | None = None) -> Tower:
    """Return the tower in a folder, encoder.onnx and encoder.json, or in an ONNX file with a JSON file beside it.

    On the runtime that `open_session` chooses. It is tried on a grey picture. Raises ModelError.
    """
    file = path / "encoder.onnx" if path.is_dir() else path
    config = load_tower_config(file.with_suffix(".json"))
    tower = Tower(open_session(file, threads, runtime=runtime, output=config.output), config, str(file))
    tower.embed([np.full((8, 8, 3), 127, np.uint8)])
    return tower


def prepare(image: Image, config: TowerConfig) -> NDArray[np.float32]:
    """Return a crop as the network takes it, (3, S, S) or (S, S, 3)."""
    square = np.asarray(_square(Pillow.fromarray(image), config), np.float32) / 255
    scaled = (square - np.array(config.mean, np.float32)) / np.array(config.std, np.float32)
    ordered = scaled if config.channels == "rgb" else scaled[..., ::-1]
    return np.ascontiguousarray(ordered.transpose(2, 0, 1) if config.layout == "nchw" else ordered)


def _square(picture: Pillow.Image, config: TowerConfig) -> Pillow.Image:
    side, resample = config.size, RESAMPLING[config.resample]
    if config.fit == "stretch":
        return picture.resize((side, side), resample)
    scale = side / (max if config.fit == "pad" else min)(picture.size)
    size_wh = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    scaled = picture.resize(size_wh, resample)
    square = Pillow.new("RGB", (side, side), (config.fill,) * 3)
    square.paste(scaled, ((side - scaled.width) // 2, (side - scaled.height) // 2))  # what is outside is cut off
    return square


def crop_colours(image: Image) -> tuple[Colour, ...]:
    """Return the colours of a crop: without a light, plain background where it shows one."""
    square, inner = letterbox(image, COLOUR_SIDE)
    x1, y1, x2, y2 = inner
    own = _without_background(square[y1:y2, x1:x2])
    mask = np.zeros(square.shape[:2], np.float32)
    mask[y1:y2, x1:x2] = 1 if own is None else own
    cells = COLOUR_SIDE // MASK_STEP
    return measure_colours(square, mask.reshape(cells, MASK_STEP, cells, MASK_STEP).mean((1, 3)), inner)


def _without_background(picture: Image) -> NDArray[np.bool_] | None:
    """Return (H, W) True where the item is, None for a crop whose corners show no background.

    Crops are tight, so a frame in the background's colour gives the item the room round it that `item_mask` looks for.
    """
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]  # (4, 3)
    if np.sort(corners.min(1))[1] < LIGHT:  # one may be the item's
        return None
    framed = np.empty((picture.shape[0] + 2 * FRAME, picture.shape[1] + 2 * FRAME, 3), np.uint8)
    framed[:] = np.median(corners, 0).astype(np.uint8)
    framed[FRAME:-FRAME, FRAME:-FRAME] = picture
    mask = item_mask(framed)
    own = None if mask is None else mask[FRAME:-FRAME, FRAME:-FRAME]
    return own if own is not None and own.mean() >= MIN_OWN_SHARE else None


def version_settings(data: dict[str, Any]) -> dict[str, Any]:
    """Return those of a tower's settings that its vectors depend on."""
    return {field.name: data.get(field.name) for field in fields(TowerConfig) if field.name != "batch"}
