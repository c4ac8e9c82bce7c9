"""What a shop's own category costs: a detector that never knew one learns it from a few hundred photos.

Three trainings on the same photos: one without the category, one that goes on from it with `photos` photos that show
it, and one that knew it all along. What the second reaches of the third's average precision is the figure.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from twinset.bench.timing import print_results
from twinset.data.labelled import Labelled, LabelledImage
from twinset.detect.detector import load_detector
from twinset.detect.samples import labelled_samples
from twinset.detect.train import TrainSettings, train_detector
from twinset.errors import UsageError
from twinset.evaluate.detection import DetectionFigures, evaluate_detector
from twinset.taxonomy import Taxonomy


def run(
    category: str,
    train: Sequence[LabelledImage],
    val: Labelled,
    taxonomy: Taxonomy,
    settings: TrainSettings,
    tuning: TrainSettings,
    photos: int,
    out: Path,
) -> None:
    """Print the category's average precision on `val` of the three detectors, kept in folders of `out`.

    `settings` are those of the first and the last, `tuning` of the second. What is there already is gone on from.
    """
    if category not in val.categories:
        raise UsageError(f"expected a category these photos label, found {category!r}", field="category")
    names = tuple(name for name in taxonomy.names if name in val.categories)
    without = tuple(name for name in names if name != category)
    started = time.monotonic()
    base = train_detector(settings, labelled_samples(train, without, taxonomy), without, out / "without")
    few = labelled_samples(choose(train, category, photos, settings.seed), names, taxonomy)
    began = time.monotonic()
    tuned = train_detector(tuning, few, names, out / "tuned", start_from=base)
    tuned_minutes = (time.monotonic() - began) / 60
    full = train_detector(settings, labelled_samples(train, names, taxonomy), names, out / "full")
    rows = []
    for name, weights in (("without", base), ("tuned", tuned), ("full", full)):
        figures = evaluate_detector(val, load_detector(weights.parent))
        rows.append((name, *_precisions(figures, category)))
    of_full = rows[1][1] / rows[2][1] if rows[2][1] else None
    print_results(
        "new-category",
        ("detector", "map_50_of_category", "map_50_of_others"),
        rows,
        category=category,
        photos=len(few),
        of_full=of_full,
        tuned_minutes=tuned_minutes,
        minutes=(time.monotonic() - started) / 60,
    )


def choose(train: Sequence[LabelledImage], category: str, photos: int, seed: int) -> list[LabelledImage]:
    """Return at most so many photos that show the category. Raises UsageError where none does."""
    showing = [image for image in train if category in image.labels]
    if not showing:
        raise UsageError(f"expected photos that show {category}, found none; choose another --category")
    order = np.random.default_rng(seed).permutation(len(showing))[:photos]
    return [showing[int(i)] for i in order]


def tuning_settings(settings: TrainSettings, minutes: float, epochs: int) -> TrainSettings:
    """Return how a few hundred photos are learned from on top of a trained detector: gently, on the whole canvas."""
    rate = settings.learning_rate / 2
    return replace(settings, learning_rate=rate, minutes=minutes, epochs=epochs, small_until=0.0, warmup=100, ema=0.99)


def _precisions(figures: DetectionFigures, category: str) -> tuple[float, float]:
    """Return the average precision of the category, 0 where it isn't known, and the mean of the others'."""
    own = figures.per_category.get(category)
    others = [c.map_50 for name, c in figures.per_category.items() if name != category]
    return own.map_50 if own else 0.0, sum(others) / len(others) if others else 0.0
