"""The values that cross module borders. Arrays inside a stage, these between stages."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB after EXIF rotation
Box = tuple[float, float, float, float]  # x1 y1 x2 y2, pixels of the original image


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector found in one image, best first."""

    boxes: NDArray[np.float32]  # (N, 4) xyxy, pixels of the original image after EXIF rotation
    scores: NDArray[np.float32]  # (N,) in [0, 1], descending
    labels: NDArray[np.int64]  # (N,) indices into the detector's `categories`

    def __post_init__(self) -> None:
        n = len(self.boxes)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,) or self.labels.shape != (n,):
            raise ValueError(
                f"expected boxes (N, 4), scores (N,), labels (N,); "
                f"found {self.boxes.shape}, {self.scores.shape}, {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    def above(self, min_score: float) -> "Detections":
        """Return the detections from a score on."""
        keep = self.scores >= min_score
        return Detections(self.boxes[keep], self.scores[keep], self.labels[keep])


@dataclass(frozen=True, slots=True)
class Colour:
    """One of an item's colours: a name of the palette and its share of the item's pixels in [0, 1]."""

    name: str
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One garment, shoe, bag or accessory in one image, described. The product fields are empty for a query."""

    category: str | None  # None: no category applies (a watch, or a whole photo)
    score: float | None  # the detector's; None where no detection stands behind the box
    box: Box
    embedding: NDArray[np.float32]  # (256,) unit length
    colours: tuple[Colour, ...] = ()  # descending share
    attributes: Mapping[str, str] = field(default_factory=dict)
    model_version: str = ""
    product_id: str = ""
    shop: str = "default"
    image_no: int = 0


@dataclass(frozen=True, slots=True)
class Product:
    """One product of a shop's feed."""

    product_id: str
    images: tuple[str, ...]  # absolute paths or http(s) URLs
    shop: str = "default"
    title: str = ""
    price: float | None = None
    sale_price: float | None = None
    currency: str | None = None
    category: str | None = None  # one of the taxonomy's, by its map; None: none applies or none was given
    article_type: str | None = None  # as the feed writes it
    category_given: bool = False  # the feed names a type: a None category then means "belongs to none"
    url: str | None = None
    in_stock: bool = True
    group_id: str | None = None
    updated_at: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A product found for a query item. Score in [0, 1], 1 = identical."""

    score: float
    product: Product
    box: Box  # of the product's item in its image
    image: str  # the product image the item is on
    category: str | None
    colours: tuple[Colour, ...] = ()
    variants: int = 1  # products of its group that could have been the hit, itself among them
    in_stock: bool = True  # one of these is
    rule: str | None = None  # the shop's that gave it its place: pinned, boosted or buried
    moved: float = 0.0  # what a rule adds to its score for its place
    attributes: Mapping[str, str] = field(default_factory=dict)
    why: "Why | None" = None  # None: the model has nothing to say of it
    copies: tuple[str, ...] = ()  # product ids of near-duplicate listings it stands for, where they were merged
    # (256,) of its item, as a store brings it; None once it is ranked.
    embedding: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)

    @property
    def product_id(self) -> str:
        return self.product.product_id

    @property
    def one_hit(self) -> tuple[str, bool, str]:
        """What counts as one hit: a shop's variant group, or a product that is in none."""
        product = self.product
        return product.shop, product.group_id is not None, product.group_id or product.product_id

    def scored(self, score: float, why: "Why | None" = None, embedding: NDArray[np.float32] | None = None) -> "Hit":
        """Return the hit with another score, why it is one, and no embedding but this: `replace`, which a search would
        call a thousand times, takes five times as long.
        """
        return Hit(
            score,
            self.product,
            self.box,
            self.image,
            self.category,
            self.colours,
            self.variants,
            self.in_stock,
            self.rule,
            self.moved,
            self.attributes,
            why or self.why,
            self.copies,
            embedding,
        )


@dataclass(frozen=True, slots=True)
class Why:
    """What a hit and the item asked for have in common, and what not."""

    same_category: bool
    colour_distance: float  # in [0, 1]: the share of their colours that the two don't have in common
    shared: Mapping[str, str]  # attributes
    different: Mapping[str, tuple[str, str]]  # attribute -> the item's value, the hit's


@dataclass(frozen=True, slots=True)
class FacetValue:
    """How many hits a search would have with one more condition."""

    value: str
    count: int
    where: str  # the condition
    low: float | None = None  # of a price band, included
    high: float | None = None  # not included


@dataclass(frozen=True, slots=True)
class Facet:
    """The values a search's hits have in a field, the commonest first; of prices bands, the lowest first."""

    field: str
    values: tuple[FacetValue, ...]
    exact: bool = True  # False: counts are those of a sample, scaled up


@dataclass(frozen=True, slots=True)
class FoundItem:
    """One item of a query photo and the products most like it."""

    category: str | None
    score: float | None
    box: Box
    colours: tuple[Colour, ...]
    hits: tuple[Hit, ...]
    offset: int = 0  # of its hits, how many closer ones are left out: shown before
    next_offset: int | None = None  # where its further hits start; None: there are none
    facets: tuple[Facet, ...] = ()  # if asked for
    plan: str = ""  # how its search was answered, if asked for
    attributes: Mapping[str, str] = field(default_factory=dict)
    close_from: float | None = None  # hits that score less are not close; None: the model's scores know no such line

    @property
    def close_enough(self) -> bool | None:
        """Whether the shop has anything close to the item, None where the model or a later page can't tell."""
        if self.close_from is None or self.offset:
            return None
        return any(hit.score >= self.close_from for hit in self.hits)
