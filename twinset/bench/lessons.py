"""Four lessons that the makers of a fashion detector learned, each as trainings that differ in one thing.

Lessons: one label a photo against all of them; fine categories against merged ones; close-ups of bags left in as they
come against left out, and against every category's pictures with their own boxes; SSD against anchor-free. All
trainings start from ImageNet's backbone and see about as many pictures; what measures them was never trained on.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from twinset.bench.timing import percentiles, print_results, time_ms
from twinset.boxes import Boxes, box_area, nms_per_label
from twinset.data.background import item_box
from twinset.data.feed import Feed
from twinset.data.labelled import Labelled, LabelledImage
from twinset.detect.build import build_net
from twinset.detect.detector import load_detector
from twinset.detect.samples import Sample, labelled_samples
from twinset.detect.train import TrainSettings, train_detector
from twinset.errors import DataError, UsageError
from twinset.evaluate.detection import Finder, evaluate_detector
from twinset.evaluate.packshots import evaluate_packshots
from twinset.evaluate.shots import is_validation
from twinset.images import read_image
from twinset.taxonomy import Category, Source, Taxonomy
from twinset.types import Detections, Image, Product

log = logging.getLogger(__name__)
CLOSE_UPS = 300  # pictures of bags among the street photos, where they are left in
BAG = "bag"
DONE = "detector.json"  # what a training writes last
HEADER = ("lesson", "training", "pictures", "map_50", "shop_right", "called_bag", "parameters", "p50_ms")


@dataclass(frozen=True, slots=True)
class Training:
    """One training, what it teaches a lesson about, and what its categories are merged into for measuring."""

    lesson: str
    name: str
    settings: TrainSettings
    categories: tuple[str, ...]
    samples: Sequence[Sample]
    val: Labelled
    merged: Mapping[str, str] | None = None
    shop: Feed | None = None  # whose pictures it is measured on too


def run(trainings: Sequence[Training], pictures: int, out: Path) -> None:
    """Train each in a folder of `out` on about so many pictures, and print what they measure.

    What is there already is gone on from: a training that is done is only measured.
    """
    rows = []
    for training in trainings:
        epochs = max(1, round(pictures / len(training.samples)))
        settings = replace(training.settings, epochs=epochs)
        folder = out / training.name
        if not _is_done(settings, folder):
            (folder / DONE).unlink(missing_ok=True)
            train_detector(settings, training.samples, training.categories, folder)
        rows.append(_row(training, settings, folder))
    first = trainings[0].settings
    print_results("lessons", HEADER, rows, size=f"{first.height}x{first.width}", asked_for=pictures)


def _is_done(settings: TrainSettings, folder: Path) -> bool:
    """Return whether a training of these settings was finished there. Raises UsageError for one of other settings.

    One of fewer or more epochs is gone on from.
    """
    file = folder / "settings.json"
    if not file.exists():
        return False
    found, ours = json.loads(file.read_text(encoding="utf-8")), json.loads(json.dumps(asdict(settings)))
    changed = [name for name in ours if name != "epochs" and found.get(name) != ours[name]]
    if changed:
        raise UsageError(
            f"{folder}: expected a training of these settings, found one of another {', '.join(changed)}; "
            "choose another --out",
            field="out",
        )
    return bool(found == ours and (folder / DONE).exists())


def street_lessons(
    train: Sequence[LabelledImage], val: Labelled, taxonomy: Taxonomy, settings: TrainSettings, feed: Feed | None
) -> list[Training]:
    """Return the trainings on photos with boxes, with those of close-ups where a feed brings some."""
    names = tuple(name for name in taxonomy.names if name in val.categories)
    every = labelled_samples(train, names, taxonomy)
    single = labelled_samples([one_label(image) for image in train], names, taxonomy)
    ssd = replace(settings, head="ssd")
    found = [
        Training("all of them", "all-labels", settings, names, every, val, shop=feed),
        Training("one label a photo", "one-label", settings, names, single, val),
        Training("SSD", "ssd", ssd, names, every, val),
    ]
    if feed is not None:
        shop = close_ups(feed, names)
        bags = [replace(picture, boxes=_whole(picture)) for picture in shop[BAG][:CLOSE_UPS]]
        each = CLOSE_UPS // len(shop)
        mixed = [picture for pictures in shop.values() for picture in pictures[:each]]
        for lesson, name, pictures in (
            ("bags' close-ups left in", "bags-left-in", bags),
            ("every category's, boxed", "shop-boxed", mixed),
        ):
            more = labelled_samples(pictures, names, taxonomy, known=names)
            found.append(Training(lesson, name, settings, names, [*every, *more], val, shop=feed))
    return found


def fine_lessons(
    fine: Sequence[LabelledImage],
    merged: Sequence[LabelledImage],
    val: Labelled,
    taxonomy: Taxonomy,
    settings: TrainSettings,
) -> list[Training]:
    """Return the trainings on the same photos under their source's own labels and under categories.

    Both are measured on categories: what is found under a fine label counts as its category.
    """
    categories = taxonomy.sources[val.images[0].source].labels
    names = tuple(name for name in taxonomy.names if name in val.categories)
    own = tuple(sorted({label for image in fine for label in image.labels}))
    to = {label: categories[label] or "" for label in own}
    under_own, under_categories = (
        labelled_samples(fine, own, taxonomy, known=own),
        labelled_samples(merged, names, taxonomy),
    )
    return [
        Training(f"{len(names)} merged categories", "merged", settings, names, under_categories, val),
        Training(f"{len(own)} fine labels", "fine", settings, own, under_own, val, merged=to),
    ]


def fine_taxonomy(taxonomy: Taxonomy, source: str) -> Taxonomy:
    """Return a taxonomy whose categories are a source's own labels."""
    labels = {label: label if category else None for label, category in taxonomy.sources[source].labels.items()}
    categories = tuple(Category(label, label, label, label) for label in labels.values() if label)
    return replace(taxonomy, categories=categories, article_types=(), sources={source: Source(source, labels)})


def one_label(image: LabelledImage) -> LabelledImage:
    """Return a photo with its largest box alone: what else it shows is background then."""
    if not len(image.boxes):
        return image
    largest = int(box_area(image.boxes).argmax())
    kept = slice(largest, largest + 1)
    return replace(image, boxes=image.boxes[kept], labels=image.labels[kept], crowd=image.crowd[kept])


def close_ups(feed: Feed, categories: Sequence[str]) -> dict[str, list[LabelledImage]]:
    """Return by category a feed's training products alone on a plain background, at most `CLOSE_UPS` each, boxed.

    Raises DataError where it has none of a bag.
    """
    found: dict[str, list[LabelledImage]] = {name: [] for name in categories}
    for product in feed.products:
        mine = found.get(product.category or "")
        if mine is not None and len(mine) < CLOSE_UPS and not is_validation(product):
            mine += _close_up(product)
    if not found.get(BAG):
        raise DataError(f"{feed.path}: expected pictures of bags alone on a plain background, found none")
    return {name: pictures for name, pictures in found.items() if pictures}


def _close_up(product: Product) -> list[LabelledImage]:
    path = Path(product.images[0])
    try:
        image = read_image(path)
    except DataError as exc:
        log.warning("product %s is left out: %s", product.product_id, exc)
        return []
    box, (height, width) = item_box(image), image.shape[:2]
    if box is None or product.category is None:
        return []
    boxes = np.array([box], np.float32)
    return [LabelledImage(path, width, height, boxes, (product.category,), np.zeros(1, bool), "catalog")]


def _whole(image: LabelledImage) -> Boxes:
    return np.array([[0, 0, image.width, image.height]], np.float32)


class Merged:
    """What a detector finds, under the categories its own are merged into; an item found under several is one."""

    def __init__(self, finder: Finder, to: Mapping[str, str], iou_threshold: float = 0.6) -> None:
        self.finder, self.min_score, self.iou_threshold = finder, finder.min_score, iou_threshold
        self.categories = tuple(dict.fromkeys(to.values()))
        self._to = np.array([self.categories.index(to[name]) for name in finder.categories])

    def detect_batch(self, images: Sequence[Image], min_score: float | None = None) -> list[Detections]:
        """Return what is found, best first."""
        merged = []
        for found in self.finder.detect_batch(images, min_score):
            labels = self._to[found.labels]
            keep = nms_per_label(found.boxes, found.scores, labels, self.iou_threshold)
            merged.append(Detections(found.boxes[keep], found.scores[keep], labels[keep]))
        return merged


def _row(training: Training, settings: TrainSettings, folder: Path) -> tuple[object, ...]:
    detector = load_detector(folder)
    finder: Finder = Merged(detector, training.merged) if training.merged else detector
    figures = evaluate_detector(training.val, finder)
    shop = evaluate_packshots(training.shop, finder) if training.shop else None
    others = {name: row for name, row in shop.confusion.items() if name != BAG} if shop else {}
    called = sum(row.get(BAG, 0) for row in others.values()) / max(sum(sum(r.values()) for r in others.values()), 1)
    log = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    seen = sum(json.loads(line)["images"] for line in log)
    photo = read_image(training.val.images[0].path)
    ms = percentiles(time_ms(lambda: detector.detect(photo)))[0]
    parameters = sum(parameter.numel() for parameter in build_net(settings, training.categories).parameters())
    right = (shop.right, round(called, 4)) if shop else (None, None)
    return (training.lesson, training.name, seen, figures.map_50, *right, parameters, ms)
