"""The catalogue of models, and one loaded: a detector and an encoder that belong together.

A model is a folder with detector.onnx, detector.json, encoder.onnx, encoder.json; those Twinset ships are in weights/.
The encoder may be an image tower of others: describe/tower.py.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.describe.encoder import Described, Encoder, cut_items, load_encoder
from twinset.describe.labels import Labels, load_labels
from twinset.describe.tower import Tower, is_tower, load_tower, version_settings
from twinset.detect.detector import Detector, DetectorConfig, load_config, load_detector
from twinset.errors import ModelError, ModelMismatch
from twinset.filling import filling, least_score, raise_filling
from twinset.levels import at_level
from twinset.taxonomy import Taxonomy, default_taxonomy, read_taxonomy
from twinset.types import Detections, Image

WEIGHTS = Path(__file__).with_name("weights")
FILES = ("detector.onnx", "detector.json", "encoder.onnx", "encoder.json")


@dataclass(frozen=True, slots=True)
class Models:
    """Loaded once and used by many threads."""

    name: str
    version: str  # of the vectors: name and a digest of the files they depend on
    detector: Detector
    encoder: Encoder | Tower
    taxonomy: Taxonomy
    labels: Labels | None = None  # what embeddings say in words; None for a model without labels.json
    folder: Path = WEIGHTS / "default"  # where it came from

    @property
    def categories(self) -> tuple[str, ...]:
        """The detector's categories: `Detections.labels` index into them."""
        return self.detector.categories

    @property
    def dim(self) -> int:
        """How many numbers an embedding has."""
        return self.encoder.dim

    @property
    def min_score(self) -> float:
        """The operating threshold."""
        return self.detector.min_score

    def detect(self, image: Image, min_score: float | None = None) -> Detections:
        """Return the items in an image, best first; without `min_score` those above the operating threshold."""
        return self.detect_batch([image], min_score)[0]

    def detect_batch(self, images: Sequence[Image], min_score: float | None = None) -> list[Detections]:
        """Return `detect` of each image. Where something fills it, what the image as a whole looks like counts too."""
        if self.labels is None or self.labels.category is None:
            return self.detector.detect_batch(images, min_score)
        lowest = self.min_score if min_score is None else min_score
        found = self.detector.detect_batch(images, least_score(lowest))
        filled = [i for i, image in enumerate(images) if filling(found[i], image).any()]
        embeddings = self.encoder.embed([images[i] for i in filled])
        for i, embedding in zip(filled, embeddings, strict=True):
            found[i] = raise_filling(found[i], images[i], self.labels.photo_categories(embedding), self.categories)
        return [one.above(lowest) for one in found]

    def describe(self, image: Image, boxes: NDArray[np.float32]) -> list[Described]:
        """Return the description of what is in each of the (N, 4) boxes."""
        return self.encoder.describe(cut_items(image, boxes))

    def describe_batch(self, images: Sequence[Image], boxes: Sequence[NDArray[np.float32]]) -> list[list[Described]]:
        """Return `describe` of each image with its boxes, the crops of all going through the network together."""
        crops = [crop for image, rows in zip(images, boxes, strict=True) for crop in cut_items(image, rows)]
        described = iter(self.encoder.describe(crops))
        return [[next(described) for _ in rows] for rows in boxes]


def model_names() -> list[str]:
    """Return the names of the models Twinset ships."""
    return sorted(folder.name for folder in WEIGHTS.glob("*") if (folder / FILES[0]).is_file())


def model_folder(name: str) -> Path:
    """Return the folder of a shipped model's name or of a path. Raises ModelError."""
    shipped = WEIGHTS / name
    folder = shipped if Path(name).name == name and shipped.is_dir() else Path(name)
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        names = ", ".join(model_names()) or "none shipped"
        raise ModelError(
            f"model {name!r}: expected a name ({names}) or a folder with {', '.join(FILES)}; found no {missing[0]}"
        )
    return folder


def source_of(version: str) -> str:
    """Return the name of the model that ships and may be of this version, "" where none is."""
    name = version.rpartition("-")[0]
    return name if name in model_names() else ""


def lasting_source(name: str) -> str:
    """Return a model's name, or its folder as other processes find it too."""
    return name if name in model_names() or not Path(name).is_dir() else str(Path(name).resolve())


def load_version(version: str, source: str, threads: int | None = None) -> Models:
    """Return the model of a version, from a name or a folder. Raises ModelError, ModelMismatch if it is another."""
    models = load_models(source or source_of(version) or "default", threads)
    if models.version != version:
        raise ModelMismatch(
            f"model {source or models.name}: expected version {version}, found {models.version}; "
            f"name the folder that has it: --model"
        )
    return models


def find_detector(name: str) -> Path:
    """Return the folder of a detector: a model's, or one that training left, without an encoder. Raises ModelError."""
    folder = Path(name)
    ships = folder.name == name and (WEIGHTS / name).is_dir()
    alone = not ships and all((folder / file).is_file() for file in FILES[:2])
    return folder if alone else model_folder(name)


def start_file(name: str, network: str, flag: str = "--from") -> Path:
    """Return the ONNX file of a `network`, detector or encoder, that a training may start from. Raises ModelError.

    `name`, given with `flag`, is that of a model that ships, a folder's, or the file's own. A detector's settings have
    to be beside it.
    """
    folder = WEIGHTS / name if name in model_names() else Path(name)
    file = folder if folder.suffix == ".onnx" else folder / f"{network}.onnx"
    needed = [file, file.with_suffix(".json")] if network == "detector" else [file]
    if missing := [path.name for path in needed if not path.is_file()]:
        names = ", ".join(model_names())
        raise ModelError(
            f"{flag} {name}: expected a model's name ({names}), a folder with {network}.onnx or that file; "
            f"found no {missing[0]}"
        )
    return file


def find_taxonomy(name: str = "default") -> Taxonomy:
    """Return the taxonomy of a model, of which nothing is loaded. Raises ModelError, DataError."""
    folder = model_folder(name)
    return model_taxonomy(folder, load_config(folder / FILES[1]))


def model_taxonomy(folder: Path, config: DetectorConfig) -> Taxonomy:
    """Return the taxonomy a detector's categories are of. Raises DataError where its file is not one."""
    own = read_taxonomy(folder / config.taxonomy) if config.taxonomy else default_taxonomy()
    return at_level(own, config.level)


def load_finder(
    name: str = "default", threads: int | None = None, min_score: float | None = None
) -> tuple[Detector | Models, Taxonomy]:
    """Return what finds items, and the taxonomy of their categories. Raises ModelError.

    A model, or where a folder holds no encoder, as a training's does, its detector alone. `min_score` takes the place
    of its operating threshold.
    """
    folder = find_detector(name)
    whole = all((folder / file).is_file() for file in FILES)
    finder = load_models(str(folder), threads) if whole else load_detector(folder, threads)
    detector = finder.detector if isinstance(finder, Models) else finder
    if min_score is not None:
        detector.min_score = min_score
    return finder, model_taxonomy(folder, detector.config)


def load_models(name: str = "default", threads: int | None = None, runtime: str | None = None) -> Models:
    """Return a model ready to run: a shipped one by name, or the one in a folder.

    On `runtime`, else the one that `open_session` chooses. Raises ModelError.
    """
    folder = model_folder(name)
    external = is_tower(folder / "encoder.json")
    labels = None if external else load_labels(folder)
    detector = load_detector(folder, threads, runtime)
    encoder = load_tower(folder, threads, runtime) if external else load_encoder(folder, threads, labels, runtime)
    taxonomy = model_taxonomy(folder, detector.config)
    return Models(folder.name, model_version(folder), detector, encoder, taxonomy, labels, folder)


def model_version(folder: Path) -> str:
    """Return a model's name with a digest of the files its vectors depend on. Raises ModelError for unreadable ones."""
    digest = hashlib.sha256()
    for file in FILES:
        data = _read(folder / file)
        if isinstance(data, bytes):
            digest.update(data)
        else:  # facts such as figures may be added to the settings; vectors don't depend on them
            kept = {
                key: data.get(key)
                for key in ("categories", "input_area", "min_score", "exponents", "size", "dim", "weights")
            }
            kept |= {key: data[key] for key in ("size_power", "cut_cost", "views") if data.get(key)}
            if data.get("kind") == "tower":
                kept |= version_settings(data)
            digest.update(json.dumps(kept, sort_keys=True).encode())
    return f"{folder.name}-{digest.hexdigest()[:12]}"


def _read(file: Path) -> bytes | dict[str, Any]:
    """Return what is in one of a model's files, settings as a mapping."""
    try:
        data = file.read_bytes()
        settings = data if file.suffix == ".onnx" else json.loads(data)
    except (OSError, ValueError) as exc:
        raise ModelError(f"{file}: expected a file of a model, found: {exc}; install Twinset again") from exc
    if not isinstance(settings, bytes | dict):
        raise ModelError(f"{file}: expected settings, found a {type(settings).__name__}; install Twinset again")
    return settings
