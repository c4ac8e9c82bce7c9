"""Whether an item's colour and attributes are named as its feed does: on a feed's own pictures of products alone."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from twinset.data.background import item_box
from twinset.data.feed import Feed
from twinset.describe.words import Concept, gender_of, read_words
from twinset.errors import UsageError
from twinset.evaluate.shots import is_validation, read_shots
from twinset.models import Models
from twinset.pipeline import describe_products
from twinset.types import Item, Product


@dataclass(frozen=True, slots=True)
class Share:
    """How often something was right."""

    n: int
    right: float


@dataclass(frozen=True, slots=True)
class ColourFigures:
    """How often the first colour is the feed's, and how often attributes that are told are what the title says."""

    n: int
    right: float  # the item's first colour is the feed's, mapped to the palette
    right_among: float  # the feed's is among the item's colours
    per_colour: dict[str, Share]
    confusion: dict[str, dict[str, int]]  # the feed's colour -> the item's first
    attributes: dict[str, Share]  # NAME=value, of products whose title says a value of it
    unread: tuple[str, ...]
    wrong: tuple[tuple[Product, str], ...]  # and the colour that was named

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name, without pictures."""
        figures = asdict(self) | {"unread": len(self.unread)}
        del figures["wrong"]
        return figures


class _Named(NamedTuple):
    product: Product
    truth: str
    item: Item


def evaluate_colours(feed: Feed, models: Models, advance: Callable[[int], None] = lambda count: None) -> ColourFigures:
    """Return the figures on validation products (ids that end in 0) alone on a plain background with a known colour.

    `advance` is told of products looked at. Raises UsageError where there are none.
    """
    named: list[_Named] = []
    unread: list[str] = []
    for part in read_shots([product for product in feed.products if is_validation(product)], unread):
        boxes = [item_box(shot.image) for shot in part]
        chosen = [(shot, box) for shot, box in zip(part, boxes, strict=True) if box is not None]
        products = [shot.product for shot, _ in chosen]
        items = describe_products(products, [shot.image for shot, _ in chosen], [box for _, box in chosen], models)
        for product, item in zip(products, items, strict=True):
            truth = models.taxonomy.base_colour(product.tags.get("colour") or product.tags.get("color") or "")
            if truth and product.category and item.colours:
                named.append(_Named(product, truth, item))
        advance(len(part))
    if not named:
        raise UsageError(f"{feed.path}: expected products with a colour and a category whose id ends in 0, found none")
    firsts = [(one.truth, one.item.colours[0].name) for one in named]
    confusion: dict[str, Counter[str]] = {}
    for truth, found in firsts:
        confusion.setdefault(truth, Counter())[found] += 1
    return ColourFigures(
        len(named),
        sum(truth == found for truth, found in firsts) / len(named),
        sum(any(colour.name == one.truth for colour in one.item.colours) for one in named) / len(named),
        {truth: Share(row.total(), row[truth] / row.total()) for truth, row in sorted(confusion.items())},
        {truth: dict(row.most_common()) for truth, row in sorted(confusion.items())},
        _attributes(named),
        tuple(unread),
        tuple((one.product, one.item.colours[0].name) for one in named if one.item.colours[0].name != one.truth),
    )


def _attributes(named: list[_Named]) -> dict[str, Share]:
    """Return how often a value that is told of an attribute is the one that the product's title says."""
    told: dict[str, list[bool]] = {}
    for one in named:
        said = _said(one.product)
        for name, value in one.item.attributes.items():
            if name in said:
                told.setdefault(f"{name}={value}", []).append(value in said[name])
    return {name: Share(len(right), sum(right) / len(right)) for name, right in sorted(told.items())}


def _said(product: Product) -> dict[str, set[str]]:
    """Return the attributes' values that a product's title and tags say."""
    said: dict[str, set[str]] = {}
    concepts: tuple[Concept, ...] = read_words(product.title).wanted
    for concept in concepts:
        if concept.field.startswith("attributes."):
            said.setdefault(concept.field.removeprefix("attributes."), set()).add(concept.value)
    gender = gender_of([product.title])
    if gender:
        said["gender"] = {gender}
    if "usage" in product.tags:
        said["usage"] = {product.tags["usage"].lower()}
    return said
