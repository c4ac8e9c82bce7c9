"""Learn on a catalogue's embeddings what they say in words, how much that counts in ranking, and what scores mean.

Runs after training, on the finished network: classifiers on the products it was trained on, and all that is chosen
(thresholds, weights, distances) on dev, every tenth product by a hash of its id.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from twinset.describe.deep import train_deep_head
from twinset.describe.embedded import NOTHING, Embedded, Floats
from twinset.describe.labels import (
    PHOTO,
    AttributeHead,
    AttributeValue,
    DeepHead,
    Head,
    Labels,
)
from twinset.describe.network import DIMS, Tasks
from twinset.describe.rank_labels import calibrate, label_weights, shop_hits, street_hits, with_category
from twinset.describe.samples import UNKNOWN, ItemSample, Vocabulary
from twinset.describe.words import Lexicon, default_lexicon
from twinset.store.texts import word_stems
from twinset.types import Colour

log = logging.getLogger(__name__)
GENDERS = ("men", "women", "boys", "girls")
MIN_PRECISION = 0.8  # of an attribute's value on dev, else it is left out
MIN_TOLD = 15  # dev products a precision is measured on
SILENT_WEIGHT = 0.3  # of a product whose title says nothing of an attribute, as one that lacks it
THRESHOLDS = tuple(round(0.4 + 0.02 * i, 2) for i in range(30))
DECAYS = (1e-4, 1e-3, 1e-2)  # of a classifier's weights
TEMPERATURES = (0.3, 0.5, 0.7, 1.0, 1.4, 2.0)  # what logits are multiplied with
LINEAR = ("article_type", "colour", "gender")  # classifiers that say what words look like, too
MIN_TAUGHT = 100  # samples a hidden layer is worth training on
COLOUR_WEIGHTS = tuple(round(0.1 * i, 1) for i in range(9))  # what the pixels say always counts


def fit_labels(
    trained: Mapping[str, Head],
    vocabulary: Vocabulary,
    train: Embedded,
    dev: Embedded,
    moved: Embedded,
    *,
    measured: Sequence[Sequence[Colour]],
    further: Embedded = NOTHING,
    street_dev: Embedded = NOTHING,
    around_dev: Embedded = NOTHING,
) -> tuple[Labels, dict[str, float]]:
    """Return what embeddings say, and the figures on dev.

    `trained` are the classifiers there are: of article_type, colour, gender, words, category. `moved` are street views
    of dev, `measured` what the pixels of dev say. `further` is what else teaches the classifiers with a hidden layer:
    items of real street photos, as far as known with their article types and colours, for shops' pictures alone don't
    teach what these look like in the street, and items with what is around them. `street_dev` are street items of dev:
    what scores mean is fitted to those. `around_dev` are dev's items with what is around them: what says best of them
    what they are is asked what a photo as a whole is of.
    """
    heads, figures = dict[str, Head](), dict[str, float]()
    deep = dict[str, DeepHead]()
    for name, (field, names) in {
        "article_type": ("article_type", vocabulary.article_types),
        "colour": ("base_colour", vocabulary.base_colours),
        "gender": ("gender", GENDERS),
        "category": ("category", vocabulary.categories),
    }.items():
        known = [part.known(field) for part in (dev, street_dev)]
        heads[name] = _best_head(trained[name], names, train.known(field), known) if name in LINEAR else trained[name]
        learned = _deep_heads(names, [part.known(field) for part in (train, further)])
        asked = {name: known} | ({PHOTO: [around_dev.known(field)]} if name == "category" else {})
        for question, parts in asked.items():
            candidates: list[Head | DeepHead] = [deep.get(name, heads[name]), *learned]
            best = min(candidates, key=lambda head: _loss(head, parts))
            if isinstance(best, DeepHead):
                deep[question] = best
        right = [_share_right(deep.get(name) or heads[name], *part) for part in known]
        figures |= {f"{name}_right": right[0], f"{name}_right_in_street": right[1]}
    attributes = _attributes(train, dev, default_lexicon())
    labels = Labels(
        heads["article_type"],
        heads["colour"],
        heads["gender"],
        trained["words"],
        attributes,
        category=heads["category"],
        deep=deep,
        parts=DIMS,
    )
    colour_weight, figures["first_colour_right"] = _colour_weight(labels, dev, measured)
    chosen, first_hits = label_weights(labels, train, dev, street_dev)
    chosen, category_right = with_category(labels, chosen, train, [dev, street_dev])
    figures |= first_hits | category_right
    good = street_hits(labels, chosen, train, street_dev) if len(street_dev.samples) else {}
    calibration = calibrate(shop_hits(labels, chosen, train, (dev, moved)), good, vocabulary)
    log.info("weights of labels %s, of colours by the network %s: %s", chosen, colour_weight, figures)
    return replace(labels, colour_weight=colour_weight, weights=chosen, calibration=calibration), figures


# --- classifiers ------------------------------------------------------------------------------------------------------


def trained_heads(tasks: Tasks, weights: Sequence[float], vocabulary: Vocabulary) -> dict[str, Head]:
    """Return the classifiers that trained the network, as functions of the joined embedding."""
    names = {
        "type": vocabulary.article_types,
        "colour_base": vocabulary.base_colours,
        "gender": GENDERS,
        "words": vocabulary.words or ("",),
        "category": vocabulary.categories,
    }
    called = {"type": "article_type", "colour_base": "colour"}
    found = {}
    for task, matrix in zip(tasks.names, tasks.weights, strict=True):
        if task in names:
            part = 1 if task.startswith("colour") else 0
            start = sum(DIMS[:part])
            rows = np.zeros((len(matrix), sum(DIMS)), np.float32)
            unit = F.normalize(matrix.detach(), dim=1).numpy()
            rows[:, start : start + DIMS[part]] = tasks.SCALE * unit / max(weights[part], 1e-6) ** 0.5
            found[called.get(task, task)] = Head(tuple(names[task]), rows, np.zeros(len(matrix), np.float32))
    return found


Known = tuple[Floats, NDArray[np.int64]]  # embeddings (N, 256) and their labels (N,)


def _best_head(trained: Head, names: Sequence[str], taught: Known, asked: Sequence[Known]) -> Head:
    """Return the linear classifier likeliest right on dev, at the temperature that suits it."""
    candidates = [trained]
    if len(np.unique(taught[1])) > 1:
        candidates += [_classifier(*taught, tuple(names), decay) for decay in DECAYS]
    tempered = [
        Head(head.names, head.weights * scale, head.bias * scale) for head in candidates for scale in TEMPERATURES
    ]
    return min(tempered, key=lambda head: _loss(head, asked))


def _deep_heads(names: Sequence[str], taught: Sequence[Known]) -> list[DeepHead]:
    """Return a classifier with a hidden layer at each temperature, none where there's little to learn."""
    embeddings, labels = (np.concatenate(arrays) for arrays in zip(*taught, strict=True))
    if len(labels) < MIN_TAUGHT or len(np.unique(labels)) < 2:
        return []
    head = train_deep_head(embeddings, labels, names, 4 * _evened(embeddings))
    return [replace(head, weights=head.weights * scale, bias=head.bias * scale) for scale in TEMPERATURES]


def _loss(head: Head | DeepHead, asked: Sequence[Known]) -> float:
    """Return the sum of the cross entropies on each part of what is asked, as one each, however many there are."""
    losses = [
        -float(head.log_probabilities(embeddings)[np.arange(len(truth)), truth].mean())
        for embeddings, truth in asked
        if len(truth)
    ]
    return sum(losses) if losses else math.inf


def _share_right(head: Head | DeepHead, embeddings: Floats, truth: NDArray[np.int64]) -> float:
    right = head.log_probabilities(embeddings).argmax(1) == truth
    return round(float(right.mean()), 4) if len(truth) else 0.0


def _classifier(embeddings: Floats, labels: NDArray[np.int64], names: tuple[str, ...], decay: float) -> Head:
    """Return a softmax regression."""
    evened = _evened(embeddings)
    x, y = torch.from_numpy(embeddings * evened), torch.from_numpy(labels)
    weight = torch.zeros(len(names), x.shape[1], requires_grad=True)
    bias = torch.zeros(len(names), requires_grad=True)

    def loss() -> torch.Tensor:
        return F.cross_entropy(x @ weight.T + bias, y) + decay * weight.square().sum() / len(names)

    _minimise(loss, [weight, bias])
    return Head(names, weight.detach().numpy() * evened, bias.detach().numpy())


def _evened(embeddings: Floats) -> Floats:
    """Return (256,) what makes embeddings' parts equally long: how they are weighed is no matter of decay then."""
    parts = np.split(embeddings, np.cumsum(DIMS)[:-1], axis=1)
    lengths = [max(float(np.linalg.norm(part, axis=1).mean()), 1e-6) for part in parts]
    return np.repeat(0.5 / np.array(lengths), DIMS).astype(np.float32)


def _minimise(loss: Callable[[], torch.Tensor], parameters: list[torch.Tensor], steps: int = 60) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value: torch.Tensor = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]


# --- attributes -------------------------------------------------------------------------------------------------------


def _attributes(train: Embedded, dev: Embedded, lexicon: Lexicon) -> dict[str, AttributeHead]:
    """Return the attributes that titles and tags teach, each with the values that are right often enough on dev."""
    found = {}
    for name, values in said_values(lexicon).items():
        taught, truth = (np.array([_said(s, name, values, lexicon) for s in part.samples]) for part in (train, dev))
        kept, heads = [], []
        for i, value in enumerate(values):
            if (taught == i).sum() < MIN_TOLD:
                continue
            head = _detector(train.embeddings, taught, i, value)
            told = _threshold(value, head, dev.embeddings, truth, i, several=(np.unique(taught) >= 0).sum() > 1)
            if told:
                kept.append(told)
                heads.append(head)
        if kept:
            weights, bias = np.concatenate([h.weights for h in heads]), np.concatenate([h.bias for h in heads])
            found[name] = AttributeHead(tuple(kept), Head(tuple(value.name for value in kept), weights, bias))
    return found


def said_values(lexicon: Lexicon) -> dict[str, tuple[str, ...]]:
    """Return the attributes that a feed may teach and their values."""
    return {name: tuple(values) for name, values in lexicon.titles.items()} | {"gender": GENDERS}


def _said(sample: ItemSample, name: str, values: Sequence[str], lexicon: Lexicon) -> int:
    """Return which of an attribute's values a sample's row says, UNKNOWN for none or several."""
    if name == "gender":
        return sample.gender
    stems = word_stems(sample.title)
    text = f" {' '.join(stems)} "
    tag = dict(sample.tags).get(name)
    found = {
        i
        for i, value in enumerate(values)
        if tag in lexicon.tags[name].get(value, ())
        or any(f" {' '.join(word_stems(phrase))} " in text for phrase in lexicon.titles[name][value])
    }
    return found.pop() if len(found) == 1 else UNKNOWN


def _detector(embeddings: Floats, said: NDArray[np.int64], value: int, name: str) -> Head:
    """Return a logistic regression of one value against the others and, weighing less, against silence."""
    evened = _evened(embeddings)
    x, y = torch.from_numpy(embeddings * evened), torch.from_numpy((said == value).astype(np.float32))
    counts = torch.from_numpy(np.where(said == UNKNOWN, SILENT_WEIGHT, 1.0).astype(np.float32))
    weight = torch.zeros(1, x.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)

    def loss() -> torch.Tensor:
        each = F.binary_cross_entropy_with_logits(x @ weight[0] + bias, y, weight=counts)
        return each + 1e-4 * weight.square().sum()

    _minimise(loss, [weight, bias])
    return Head((name,), weight.detach().numpy() * evened, bias.detach().numpy())


def _threshold(
    name: str, head: Head, embeddings: Floats, truth: NDArray[np.int64], value: int, several: bool
) -> AttributeValue | None:
    """Return a value with the lowest probability from which on it is right often enough, None where none is.

    Where rows name several values, a silent one says nothing of being right; where they name one, silence is a no.
    """
    probabilities = 1 / (1 + np.exp(-(embeddings @ head.weights[0] + head.bias[0])))
    judged = truth != UNKNOWN if several else np.ones(len(truth), bool)
    for threshold in THRESHOLDS:
        told = (probabilities >= threshold) & judged
        precision = float((truth[told] == value).mean()) if told.any() else 0.0
        if told.sum() >= MIN_TOLD and precision >= MIN_PRECISION:
            return AttributeValue(name, threshold, round(precision, 4), int(told.sum()))
    return None


# --- colours ----------------------------------------------------------------------------------------------------------


def _colour_weight(labels: Labels, dev: Embedded, measured: Sequence[Sequence[Colour]]) -> tuple[float, float]:
    """Return how much the head's colours count beside the pixels', and how often the first colour is then right."""
    truth = dev.labels("base_colour")
    best, best_right = 0.0, -1.0
    for weight in COLOUR_WEIGHTS:
        trial = replace(labels, colour_weight=weight)
        named = [trial.colours(e, own)[0].name for e, own in zip(dev.embeddings, measured, strict=True)]
        right = [name == labels.colour.names[t] for name, t in zip(named, truth, strict=True) if t != UNKNOWN]
        share = float(np.mean(right)) if right else 0.0
        if share > best_right:
            best, best_right = weight, share
    return best, round(best_right, 4)
