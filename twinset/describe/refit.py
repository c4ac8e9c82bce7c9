"""Fit anew what a finished encoder's embeddings say: its network stays, and so do all vectors that are stored.

Unless the parts of the embedding are to be weighed anew, too: then one more factor stands at the network's end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twinset.data.labelled import is_dev
from twinset.describe.augment import STREET_VIEW, ViewSettings, make_view
from twinset.describe.balance import STILL, Parts, choose_weights
from twinset.describe.embedded import NOTHING, Embedded
from twinset.describe.encoder import BATCH, Encoder, EncoderConfig, load_encoder
from twinset.describe.fit import fit_labels
from twinset.describe.labels import FILE, Head, Labels, load_labels, save_labels
from twinset.describe.network import DIMS
from twinset.describe.samples import UNKNOWN, ItemSample, Vocabulary, all_with_surroundings
from twinset.detect.export import scale_output
from twinset.errors import ModelError
from twinset.images import crop
from twinset.types import Image


class Finished(NamedTuple):
    """An encoder, what its embeddings say so far, and the classes that names."""

    encoder: Encoder
    labels: Labels
    vocabulary: Vocabulary


def load_finished(folder: Path, threads: int | None = None) -> Finished:
    """Return the encoder of a model's folder. Raises ModelError for one whose labels.json lacks a classifier."""
    labels = load_labels(folder)
    if labels is None or labels.category is None:
        raise ModelError(f"{folder}: expected an encoder with {FILE} and its classifier of categories, found none")
    words = tuple(word for word in labels.words.names if word)
    names = (labels.article_type.names, (), labels.colour.names, words, labels.category.names)
    return Finished(load_encoder(folder, threads), labels, Vocabulary(*names))


def refit_labels(
    model: Finished,
    items: Sequence[ItemSample],
    scenes: Sequence[Image],
    out: Path,
    street: Sequence[ItemSample] = (),
    street_dev: Sequence[ItemSample] = (),
    reweigh: Path | None = None,
) -> Path:
    """Write labels.json to `out` and return it: what `train.finish_encoder` fits, but for the network.

    `reweigh` is the encoder's folder, where its parts are to be weighed anew: then encoder.onnx and encoder.json are
    written, too.
    """
    encoder, labels, vocabulary = model
    train = [s for s in items if not is_dev(s.product_id)]
    dev = [s for s in items if is_dev(s.product_id) and s.article_type != UNKNOWN]
    trained = {name: getattr(labels, name) for name in ("article_type", "colour", "gender", "words", "category")}
    parts = [_embed(encoder, train), _embed(encoder, dev), _embed(encoder, dev, STREET_VIEW, scenes)]
    further = [*street, *all_with_surroundings([*train, *street])]
    seen = [_embed(encoder, part) for part in (further, street_dev, all_with_surroundings([*dev, *street_dev]))]
    out.mkdir(parents=True, exist_ok=True)
    if reweigh is not None:
        shown, asked, moved = map(Parts.of, parts)
        weights, found = choose_weights(shown, asked, moved, lambda w: _rescaled(trained, _factors(encoder.config, w)))
        factors = _factors(encoder.config, weights)
        trained = _rescaled(trained, factors)
        parts, seen = ([Embedded(e.samples, e.embeddings * factors) for e in each] for each in (parts, seen))
        scale_output(reweigh / "encoder.onnx", out / "encoder.onnx", "embedding", factors)
        replace(encoder.config, weights=weights).save(out / "encoder.json", dev=found)
    measured = [described.colours for described in encoder.describe([crop(s.pixels, s.box) for s in dev])]
    fitted, figures = fit_labels(
        trained,
        vocabulary,
        *parts,
        measured=measured,
        further=seen[0],
        street_dev=seen[1],
        around_dev=seen[2],
    )
    save_labels(fitted, out, dev=figures)
    return out / FILE


def _factors(config: EncoderConfig, weights: Sequence[float]) -> NDArray[np.float32]:
    """Return (256,) what an embedding is multiplied with for its parts to have these weights."""
    ratios = np.sqrt(np.array(weights) / np.maximum(config.weights, 1e-6))
    return np.repeat(ratios, DIMS).astype(np.float32)


def _rescaled(heads: Mapping[str, Head], factors: NDArray[np.float32]) -> dict[str, Head]:
    """Return the classifiers that say of multiplied embeddings what these say of those as they were."""
    inverse = 1 / np.maximum(factors, 1e-6)
    return {
        name: Head(head.names, (head.weights * inverse).astype(np.float32), head.bias) for name, head in heads.items()
    }


def _embed(
    encoder: Encoder, samples: Sequence[ItemSample], settings: ViewSettings = STILL, scenes: Sequence[Image] = ()
) -> Embedded:
    """Return samples' embeddings, of views as they are indexed or as `settings` say."""
    if not samples:
        return NOTHING
    rng = np.random.default_rng(0)
    rows = []
    for start in range(0, len(samples), BATCH):
        part = samples[start : start + BATCH]
        views = [make_view(sample, encoder.config.size, settings, scenes, rng).pixels for sample in part]
        rows.append(encoder.run(np.stack(views))[0])
    embeddings = np.concatenate(rows)
    return Embedded(samples, embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
