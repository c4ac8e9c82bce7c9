"""Describe items: crop, network, colours. Training's evaluation, indexing and serving share this file."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from twinset.describe.colours import measure_colours
from twinset.errors import ModelError
from twinset.images import crop
from twinset.runtime import open_session
from twinset.types import Box, Colour, Image

if TYPE_CHECKING:
    from twinset.describe.labels import Labels

FILL = 127  # beside a crop that is not square; zero to the network
BATCH = 16

# (B, S, S, 3) uint8 -> embedding (B, 256) unit, mask (B, S/8, S/8) in [0, 1]
Run = Callable[[NDArray[np.uint8]], Sequence[NDArray[np.float32]]]
# unit embedding (256,), mask (S/8, S/8), the square the network saw, where the crop lies in it
_Encoded = tuple[NDArray[np.float32], NDArray[np.float32], Image, tuple[int, int, int, int]]


class Described(NamedTuple):
    """What there is to say of one item's looks."""

    embedding: NDArray[np.float32]  # (256,) unit length
    colours: tuple[Colour, ...]  # descending share
    attributes: Mapping[str, str] = MappingProxyType({})  # those that show surely enough


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """What stands beside the weights in encoder.json."""

    size: int = 160  # pixels of the square input's side
    dim: int = 256
    weights: tuple[float, ...] = (0.4, 0.2, 0.2, 0.2)  # of kind, colour, shades and look in the embedding's cosine

    def save(self, file: Path, **facts: object) -> None:
        file.write_text(json.dumps({**asdict(self), **facts}, indent=2) + "\n", encoding="utf-8")


def load_config(file: Path) -> EncoderConfig:
    """Return the settings in an encoder.json. Raises ModelError."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return EncoderConfig(int(data["size"]), int(data["dim"]), tuple(map(float, data["weights"])))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{file}: expected an encoder's settings, found: {exc!r}; install Twinset again") from exc


class Encoder:
    """Describes crops with a network that is given as a function; `labels` say what embeddings mean."""

    def __init__(self, run: Run, config: EncoderConfig, labels: "Labels | None" = None) -> None:
        self.run, self.config, self.dim, self.labels = run, config, config.dim, labels

    def describe(self, crops: Sequence[Image]) -> list[Described]:
        """Return the description of each (H, W, 3) crop."""
        return [
            self._described(embedding, measure_colours(pixels, mask, inner))
            for embedding, mask, pixels, inner in self._encoded(crops)
        ]

    def embed(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """Return the (N, 256) unit embeddings of (H, W, 3) crops."""
        embeddings = [embedding for embedding, *_ in self._encoded(crops)]
        return np.stack(embeddings) if embeddings else np.zeros((0, self.dim), np.float32)

    def _encoded(self, crops: Sequence[Image]) -> Iterator[_Encoded]:
        for start in range(0, len(crops), BATCH):
            squares = [letterbox(image, self.config.size) for image in crops[start : start + BATCH]]
            embeddings, masks = self.run(np.stack([pixels for pixels, _ in squares]))
            for (pixels, inner), embedding, mask in zip(squares, embeddings, masks, strict=True):
                yield (embedding / np.linalg.norm(embedding)).astype(np.float32), mask, pixels, inner

    def _described(self, embedding: NDArray[np.float32], measured: tuple[Colour, ...]) -> Described:
        if self.labels is None:
            return Described(embedding, measured)
        return Described(embedding, self.labels.colours(embedding, measured), self.labels.tell(embedding))


def load_encoder(
    folder: Path, threads: int | None = None, labels: "Labels | None" = None, runtime: str | None = None
) -> Encoder:
    """Return the encoder in a folder of weights, on the runtime that `open_session` chooses. Raises ModelError."""
    session = open_session(folder / "encoder.onnx", threads, runtime=runtime)
    return Encoder(session, load_config(folder / "encoder.json"), labels)


def cut_items(image: Image, boxes: NDArray[np.float32]) -> list[Image]:
    """Return the crops the encoder is to see, one a box."""
    return [crop(image, _box(row)) for row in boxes]


def letterbox(image: Image, size: int) -> tuple[Image, tuple[int, int, int, int]]:
    """Return the image scaled into the middle of a grey square, and where it lies there: x1 y1 x2 y2."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    inner_w, inner_h = max(1, round(width * scale)), max(1, round(height * scale))
    scaled = Pillow.fromarray(image).resize((inner_w, inner_h), Pillow.Resampling.BILINEAR, reducing_gap=2.0)
    x, y = (size - inner_w) // 2, (size - inner_h) // 2
    square = np.full((size, size, 3), FILL, np.uint8)
    square[y : y + inner_h, x : x + inner_w] = np.asarray(scaled)
    return square, (x, y, x + inner_w, y + inner_h)


def _box(row: NDArray[np.float32]) -> Box:
    x1, y1, x2, y2 = row.tolist()
    return x1, y1, x2, y2
