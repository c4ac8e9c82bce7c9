"""What an embedding says in words: article type, colour, gender, attributes; and what words say as an embedding.

A few small matrices beside the weights do: labels.json. Linear classifiers say what words look like, too; those with a
hidden layer say better what an item is, of shops' pictures and street photos alike. A model without that file describes
and finds items all the same, by its vectors alone.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.describe.words import Asked
from twinset.errors import ModelError
from twinset.store.texts import word_stems
from twinset.taxonomy import default_taxonomy, fold
from twinset.types import Colour

FILE = "labels.json"
PHOTO = "photo"  # among `Labels.deep`: the category that a photo as a whole is of
MIN_SHARE = 0.08  # of an item's colours; what has less is not named
# What a description says of the category, beside the log odds of the detector's scores. On dev's street photos and its
# shots on a model weights from 0.5 to 2 do about as well; shops' photos of other light want more of it.
CATEGORY_WEIGHT, CATEGORY_LEAST = 1.5, -8.0  # of its log probabilities, and what these fall to at most
UNSEEN_ODDS = 0.003  # of any category


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A classifier over embeddings."""

    names: tuple[str, ...]
    weights: NDArray[np.float32]  # (K, 256)
    bias: NDArray[np.float32]  # (K,)

    def log_probabilities(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (..., K) logarithms of the classes' probabilities of embeddings (..., 256); these add up to 1."""
        return _log_softmax(embeddings @ self.weights.T + self.bias)

    def sigmoids(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (K,) probabilities of classes that don't exclude each other."""
        values: NDArray[np.float32] = 1 / (1 + np.exp(-(self.weights @ embedding + self.bias)))
        return values


@dataclass(frozen=True, slots=True, eq=False)
class DeepHead:
    """A classifier over embeddings with one hidden layer of rectified units."""

    names: tuple[str, ...]
    hidden_weights: NDArray[np.float32]  # (H, 256)
    hidden_bias: NDArray[np.float32]  # (H,)
    weights: NDArray[np.float32]  # (K, H)
    bias: NDArray[np.float32]  # (K,)

    def log_probabilities(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (..., K) logarithms of the classes' probabilities of embeddings (..., 256); these add up to 1."""
        hidden = np.maximum(embeddings @ self.hidden_weights.T + self.hidden_bias, 0)
        return _log_softmax(hidden @ self.weights.T + self.bias)


@dataclass(frozen=True, slots=True)
class AttributeValue:
    """A value an attribute may have, and from which probability on it is told, so that it is right often enough."""

    name: str
    min_probability: float
    precision: float  # on dev, above that probability
    count: int  # dev products it was measured on


@dataclass(frozen=True, slots=True, eq=False)
class AttributeHead:
    """An attribute that is told: its values in the order of the head's classes."""

    values: tuple[AttributeValue, ...]
    head: Head


@dataclass(frozen=True, slots=True)
class LabelWeights:
    """How much labels count beside the visual distance, learned on dev."""

    article_type: float = 0.0
    colour: float = 0.0
    gender: float = 0.0
    # A label's unlikeliness counts no more than this, in nats. On dev first hits are as often right with 2 as with 6;
    # in shops unlike those learned from, where a picture is soon misread, less is better.
    most: float = 3.0
    category: float = 0.0  # in searches over all categories; the others keep to their own


@dataclass(frozen=True, slots=True)
class Calibration:
    """Distances at which half of the closeness is gone, by category: scores then mean the same in all of them."""

    half: Mapping[str, float] = field(default_factory=dict)
    half_any: float = 0.0  # of no category, and of those not named; 0: scores are cosines
    min_score: float = 0.0  # below, nothing is close enough


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What an embedding says of an item: logarithms of probabilities by name."""

    article_types: Mapping[str, float]  # the feed's word, folded
    colours: Mapping[str, float]
    genders: Mapping[str, float]
    categories: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """All that labels.json holds."""

    article_type: Head
    colour: Head
    gender: Head
    words: Head  # its weights are what title words look like
    attributes: Mapping[str, AttributeHead] = field(default_factory=dict)
    colour_weight: float = 0.0  # of the colours the head gives, beside those of the pixels
    weights: LabelWeights = LabelWeights()
    calibration: Calibration = Calibration()
    category: Head | None = None  # None: the detector alone decides
    # By field (article_type, colour, gender, category), what is asked in the linear classifier's place, of its classes;
    # by PHOTO what is asked of whole photos in the category's.
    deep: Mapping[str, DeepHead] = field(default_factory=dict)
    parts: tuple[int, ...] = ()  # how many numbers of an embedding each part has, see distance.py; (): it is one

    def log_probabilities(self, name: str, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (..., K) what embeddings (..., 256) say of a field, in the order of its linear classifier's names."""
        head: Head | DeepHead = self.deep.get(name) or getattr(self, name)
        return head.log_probabilities(embeddings)

    def photo_categories(self, embedding: NDArray[np.float32]) -> dict[str, float]:
        """Return by category the logarithm of the probability that a photo as a whole is of it, by its embedding."""
        if self.category is None:
            return {}
        logs = self.log_probabilities(PHOTO if PHOTO in self.deep else "category", embedding)
        return dict(zip(self.category.names, logs.tolist(), strict=True))

    def category_of(self, embedding: NDArray[np.float32], found: str, seen: Mapping[str, float]) -> str:
        """Return an item's category: what it was found as, or another that its place and its looks together say.

        `seen` are a detector's scores by category in the item's place. A category the classifier lacks stands.
        """
        if self.category is None or found not in self.category.names:
            return found
        return self.category.names[int(self._seen_and_described(self.category, embedding, seen).argmax())]

    def _seen_and_described(
        self, category: Head, embedding: NDArray[np.float32], seen: Mapping[str, float]
    ) -> NDArray[np.float32]:
        """Return (K,) logarithms of the categories' probabilities by both."""
        scores = np.array([min(seen.get(name, 0.0), 0.999) for name in category.names], np.float32)
        looks = np.maximum(self.log_probabilities("category", embedding), CATEGORY_LEAST)
        return _log_softmax(np.log(scores / (1 - scores) + UNSEEN_ODDS) + CATEGORY_WEIGHT * looks)

    def read(self, embedding: NDArray[np.float32], seen: Mapping[str, float] | None = None) -> Reading:
        """Return what an embedding says; of categories, what it says together with a detector's scores of its place."""
        asked = {
            "article_type": _folded(self.article_type.names),
            "colour": self.colour.names,
            "gender": self.gender.names,
            "category": self.category.names if self.category else (),
        }
        logs = {name: self.log_probabilities(name, embedding) for name, names in asked.items() if names}
        if seen and self.category:
            logs["category"] = self._seen_and_described(self.category, embedding, seen)
        return Reading(
            *(dict(zip(names, logs[name].tolist(), strict=True)) if names else {} for name, names in asked.items())
        )

    def tell(self, embedding: NDArray[np.float32]) -> dict[str, str]:
        """Return the attributes an embedding shows surely enough, by name."""
        told = {}
        for name, attribute in self.attributes.items():
            probabilities = attribute.head.sigmoids(embedding)
            best = int(probabilities.argmax())
            if probabilities[best] >= attribute.values[best].min_probability:
                told[name] = attribute.values[best].name
        return told

    def colours(self, embedding: NDArray[np.float32], measured: Sequence[Colour]) -> tuple[Colour, ...]:
        """Return an item's colours by what the pixels measure and the head says together, descending share."""
        total = sum(colour.share for colour in measured) or 1.0
        shares = dict.fromkeys(self.colour.names, 0.0)
        for colour in measured:
            shares[colour.name] = (1 - self.colour_weight) * colour.share / total
        for name, log in zip(self.colour.names, self.log_probabilities("colour", embedding), strict=True):
            shares[name] += self.colour_weight * float(np.exp(log))
        ranked = sorted(shares.items(), key=lambda pair: -pair[1])
        kept = [(name, share) for i, (name, share) in enumerate(ranked) if share >= MIN_SHARE or i == 0]
        return tuple(Colour(name, round(share, 4)) for name, share in kept)

    def vector(self, asked: Asked) -> NDArray[np.float32] | None:
        """Return the unit embedding of what words ask for, None where none of them can be seen."""
        parts = [vector for concept in asked.wanted for vector in self._look(concept.field, concept.value)]
        stems = _stems(self.words.names)
        parts += [_unit(self.words.weights[stems[stem]]) for stem in (*asked.rest, *asked.literal) if stem in stems]
        total = np.sum(parts, axis=0) if parts else np.zeros(0, np.float32)
        return _unit(total) if len(parts) and np.linalg.norm(total) > 1e-6 else None

    def recoloured(self, embedding: NDArray[np.float32], colours: Sequence[str]) -> NDArray[np.float32]:
        """Return an item's embedding with other colours in the place of its own."""
        wanted = [vector for colour in colours for vector in self._look("colour", colour)]
        if not wanted:
            return embedding
        basis = np.linalg.svd(self.colour.weights, full_matrices=False)[2][: len(self.colour.names) - 1]  # (R, 256)
        own = (embedding @ basis.T) @ basis
        return _unit(embedding - own + np.linalg.norm(own) * _unit(np.sum(wanted, axis=0)))

    def _look(self, field: str, value: str) -> list[NDArray[np.float32]]:
        """Return the unit vectors of one thing asked for."""
        if field == "colour":
            return [_unit(self.colour.weights[i]) for i, name in enumerate(self.colour.names) if name == value]
        if field == "gender":
            return [_unit(self.gender.weights[i]) for i, name in enumerate(self.gender.names) if name == value]
        if field in ("article_type", "category"):
            rows = _meanings(self.article_type.names, field).get(value, ())
            return [_unit(np.sum([_unit(self.article_type.weights[i]) for i in rows], axis=0))] if rows else []
        attribute = self.attributes.get(field.removeprefix("attributes."))
        names = [known.name for known in attribute.values] if attribute else []
        return [_unit(attribute.head.weights[names.index(value)])] if attribute and value in names else []


@lru_cache(maxsize=8)
def _folded(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(fold, names))


@lru_cache(maxsize=8)
def _stems(names: tuple[str, ...]) -> dict[str, int]:
    return {stem: i for i, name in enumerate(names) for stem in word_stems(name)}


@lru_cache(maxsize=8)
def _meanings(names: tuple[str, ...], field: str) -> dict[str | None, tuple[int, ...]]:
    """Return which of a feed's article types mean each of the taxonomy's, or each category."""
    taxonomy = default_taxonomy()
    found: dict[str | None, tuple[int, ...]] = {}
    for i, name in enumerate(names):
        meaning = taxonomy.type_of(name) if field == "article_type" else taxonomy.type_words.get(fold(name))
        found[meaning] = (*found.get(meaning, ()), i)
    return found


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    behind = logits - logits.max(-1, keepdims=True)
    logs: NDArray[np.float32] = behind - np.log(np.exp(behind).sum(-1, keepdims=True))
    return logs


def _unit(vector: NDArray[np.floating]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)
    return unit


# --- the file ---------------------------------------------------------------------------------------------------------


def load_labels(folder: Path) -> Labels | None:
    """Return the labels beside a model's weights, None for a model that has none. Raises ModelError."""
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return Labels(
            **{name: _read_head(data["heads"][name]) for name in ("article_type", "colour", "gender", "words")},
            attributes={
                name: AttributeHead(tuple(AttributeValue(**value) for value in entry["values"]), _read_head(entry))
                for name, entry in data["attributes"].items()
            },
            colour_weight=float(data["colour_weight"]),
            weights=LabelWeights(**data["weights"]),
            calibration=Calibration(**data["calibration"]),
            category=_read_head(data["heads"]["category"]) if "category" in data["heads"] else None,
            deep={name: _read_deep(entry) for name, entry in data.get("deep", {}).items()},
            parts=tuple(map(int, data.get("parts", ()))),
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"{file}: expected an encoder's labels, found: {exc!r}; install Twinset again") from exc


def save_labels(labels: Labels, folder: Path, **facts: object) -> None:
    """Write labels.json, with further facts such as figures."""
    heads = {name: _write_head(getattr(labels, name)) for name in ("article_type", "colour", "gender", "words")}
    if labels.category is not None:
        heads["category"] = _write_head(labels.category)
    attributes = {
        name: _write_head(entry.head) | {"values": [_as_dict(value) for value in entry.values]}
        for name, entry in labels.attributes.items()
    }
    data = {
        "weights": _as_dict(labels.weights),
        "calibration": _as_dict(labels.calibration),
        "colour_weight": labels.colour_weight,
        "parts": labels.parts,
        **facts,
        "attributes": attributes,
        "heads": heads,
        "deep": {name: _write_deep(head) for name, head in labels.deep.items()},
    }
    (folder / FILE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _as_dict(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in type(value).__slots__}


def _read_head(entry: Mapping[str, Any]) -> Head:
    names = tuple(map(str, entry["names"]))
    return Head(names, _decoded(entry["weights"], len(names)), np.array(entry["bias"], np.float32))


def _write_head(head: Head) -> dict[str, Any]:
    return {"names": list(head.names), "bias": _rounded(head.bias), "weights": _encoded(head.weights)}


def _read_deep(entry: Mapping[str, Any]) -> DeepHead:
    names, hidden_bias = tuple(map(str, entry["names"])), np.array(entry["hidden_bias"], np.float32)
    hidden = _decoded(entry["hidden_weights"], len(hidden_bias))
    return DeepHead(
        names, hidden, hidden_bias, _decoded(entry["weights"], len(names)), np.array(entry["bias"], np.float32)
    )


def _write_deep(head: DeepHead) -> dict[str, Any]:
    hidden = {"hidden_bias": _rounded(head.hidden_bias), "hidden_weights": _encoded(head.hidden_weights)}
    return {"names": list(head.names), "bias": _rounded(head.bias), "weights": _encoded(head.weights)} | hidden


def _decoded(text: str, rows: int) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text), np.float16).astype(np.float32).reshape(rows, -1)


def _encoded(matrix: NDArray[np.float32]) -> str:
    return base64.b64encode(matrix.astype(np.float16).tobytes()).decode()


def _rounded(values: NDArray[np.float32]) -> list[float]:
    return [round(float(value), 4) for value in values]
