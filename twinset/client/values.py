"""What the service answers, as values. Keys that a newer service adds are passed over."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Colour:
    name: str
    share: float  # of the item's pixels


@dataclass(frozen=True, slots=True)
class FacetValue:
    value: str
    count: int
    where: str  # the condition that leaves so many hits
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Facet:
    field: str
    values: tuple[FacetValue, ...]
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Hit:
    product_id: str
    score: float  # 0 to 1, 1 for the same picture
    category: str | None = None
    article_type: str | None = None
    title: str = ""
    price: float | None = None
    sale_price: float | None = None
    currency: str | None = None
    image: str = ""  # a path of the service
    url: str | None = None
    shop: str = "default"
    group_id: str | None = None
    in_stock: bool = True
    variants: int = 1
    rule: str | None = None
    colours: tuple[Colour, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    why: Json | None = None  # what it and the item asked for have in common
    copies: tuple[str, ...] = ()  # listings of the same picture that it stands for


@dataclass(frozen=True, slots=True)
class LookPart:
    """A category that is worn with a product."""

    category: str
    share: float  # the chance of it beside the product
    colours: tuple[str, ...] = ()  # that go best
    hits: tuple[Hit, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a photo; without hits where only detection was asked for."""

    category: str | None
    score: float | None
    box: tuple[float, float, float, float]  # x1 y1 x2 y2, pixels after EXIF rotation
    colours: tuple[Colour, ...] = ()
    hits: tuple[Hit, ...] = ()
    facets: tuple[Facet, ...] = ()
    close_enough: bool | None = None  # False: the shop carries nothing like it
    next_cursor: str | None = None
    hits_before: tuple[Hit, ...] = ()  # of a preview: by the rules that are kept


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo's items."""

    width: int
    height: int
    items: tuple[Item, ...]
    search_id: str = ""  # for events about the hits
    image_id: str | None = None  # for a second tap
    image_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Product:
    product_id: str
    shop: str = "default"
    title: str = ""
    price: float | None = None
    sale_price: float | None = None
    currency: str | None = None
    category: str | None = None
    article_type: str | None = None
    url: str | None = None
    in_stock: bool = True
    group_id: str | None = None
    updated_at: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    image: str = ""


@dataclass(frozen=True, slots=True)
class FailedRow:
    line: int
    product_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    kind: str
    state: str  # queued, running, done or failed
    total: int
    done: int = 0
    indexed: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed_rows: int = 0
    failed: tuple[FailedRow, ...] = ()
    problem: str = ""
    shop: str | None = None
    created_at: str = ""
    ended_at: str = ""

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed")


_NESTED: dict[tuple[type, str], type] = {
    (Facet, "values"): FacetValue,
    (Hit, "colours"): Colour,
    (Item, "colours"): Colour,
    (Item, "hits"): Hit,
    (Item, "hits_before"): Hit,
    (Item, "facets"): Facet,
    (LookPart, "hits"): Hit,
    (Photo, "items"): Item,
    (Job, "failed"): FailedRow,
}


def read(kind: type[T], data: Json) -> T:
    """Return an answer's JSON as a value."""
    values = {}
    for entry in fields(kind):  # type: ignore[arg-type]
        if entry.name in data:
            value, nested = data[entry.name], _NESTED.get((kind, entry.name))
            if isinstance(value, list):
                value = tuple(read(nested, each) for each in value) if nested else tuple(value)
            values[entry.name] = value
    return kind(**values)
