"""Whether the detector names a shop's own pictures right: close, centred, on white, unlike any street photo."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinset.data.background import item_box
from twinset.data.feed import Feed
from twinset.errors import DataError, UsageError
from twinset.evaluate.detection import Finder
from twinset.images import read_image
from twinset.types import Product

MIN_SCORE = 0.01
BATCH = 16
NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class PackshotFigures:
    """Shares of the products whose best detection has the category the feed gives."""

    n: int
    right: float
    n_alone: int
    right_alone: float  # of products alone on a plain background
    n_worn: int
    right_worn: float  # of shots on a model, where other items are worn too
    per_category: dict[str, tuple[int, float]]
    confusion: dict[str, dict[str, int]]  # category -> category of the best detection, or "nothing"
    wrong: tuple[tuple[Product, str], ...]  # and what was found instead

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name, without pictures."""
        names = ("n", "right", "n_alone", "right_alone", "n_worn", "right_worn", "confusion")
        per = {name: {"n": n, "right": right} for name, (n, right) in self.per_category.items()}
        return {name: getattr(self, name) for name in names} | {"per_category": per}


def evaluate_packshots(feed: Feed, finder: Finder, all_products: bool = False) -> PackshotFigures:
    """Return the figures on a feed's validation products (ids that end in 0) that have a category.

    With `all_products` every product counts: for a shop whose feed was never trained on.
    """
    products = [p for p in feed.products if p.category in finder.categories]
    products = [p for p in products if all_products or p.product_id.endswith("0")]
    if not products:
        raise UsageError(f"{feed.path}: expected products with a category whose id ends in 0, found none")
    seen: list[tuple[Product, str, bool]] = []
    for start in range(0, len(products), BATCH):
        part, images = [], []
        for product in products[start : start + BATCH]:
            try:
                images.append(read_image(Path(product.images[0])))
                part.append(product)
            except DataError:
                continue
        for product, image, found in zip(part, images, finder.detect_batch(images, MIN_SCORE), strict=True):
            best = finder.categories[int(found.labels[0])] if len(found) else NOTHING
            seen.append((product, best, item_box(image) is not None))
    confusion: dict[str, Counter[str]] = {}
    for product, best, _ in seen:
        confusion.setdefault(str(product.category), Counter())[best] += 1
    per_category = {
        name: (row.total(), row[name] / row.total()) for name, row in sorted(confusion.items())
    }
    alone = [product.category == best for product, best, is_alone in seen if is_alone]
    worn = [product.category == best for product, best, is_alone in seen if not is_alone]
    return PackshotFigures(
        len(seen),
        _share(alone + worn),
        len(alone),
        _share(alone),
        len(worn),
        _share(worn),
        per_category,
        {name: dict(row.most_common()) for name, row in sorted(confusion.items())},
        tuple((product, best) for product, best, _ in seen if product.category != best),
    )


def _share(right: list[bool]) -> float:
    return sum(right) / len(right) if right else 0.0
