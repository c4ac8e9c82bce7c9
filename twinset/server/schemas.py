"""The answers' shapes, for the API's documentation. The values are made by answers.py."""

from typing import Any

from pydantic import BaseModel, Field

from twinset.server.events import TYPES


class ColourAnswer(BaseModel):
    name: str = Field(examples=["blue"])
    share: float = Field(description="Of the item's pixels, 0 to 1.", examples=[0.71])


class HitAnswer(BaseModel):
    product_id: str = Field(examples=["1563"])
    score: float = Field(description="0 to 1, 1 for the same picture.", examples=[0.87])
    category: str | None = Field(examples=["top"])
    article_type: str | None = Field(examples=["Tshirts"])
    title: str = Field(examples=["Blue T-shirt"])
    price: float | None = Field(examples=[10.67])
    currency: str | None = Field(examples=["EUR"])
    image: str = Field(description="Where this service shows the product's picture.")
    colours: list[ColourAnswer] = []
    url: str | None = None


class DetectedItem(BaseModel):
    category: str | None = Field(description="None where a box shows nothing the detector knows.", examples=["top"])
    score: float | None = Field(examples=[0.91])
    box: list[float] = Field(
        description="x1, y1, x2, y2 in pixels after EXIF rotation.", examples=[[88.0, 120.5, 260, 330]]
    )
    colours: list[ColourAnswer]


class SearchedItem(DetectedItem):
    hits: list[HitAnswer]


class DetectAnswer(BaseModel):
    width: int = Field(examples=[400])
    height: int = Field(examples=[600])
    items: list[DetectedItem]
    image_id: str | None = Field(None, description="With keep=true: names the photo for a second request.")
    image_seconds: float | None = Field(None, description="How long the photo is held in memory.", examples=[600])


class SearchAnswer(BaseModel):
    width: int = Field(examples=[400])
    height: int = Field(examples=[600])
    items: list[SearchedItem]
    search_id: str = Field(
        "", description="For events about these hits.", examples=["5f0c1a9be2c84d6f9d6e4b7f0a1c2d3e"]
    )
    image_id: str | None = Field(None, description="With keep=true: names the photo for a second request.")
    image_seconds: float | None = Field(None, description="How long the photo is held in memory.", examples=[600])


class SimilarAnswer(BaseModel):
    product_id: str = Field(examples=["1563"])
    hits: list[HitAnswer]
    next_cursor: str | None = None


class ProductAnswer(BaseModel):
    product_id: str = Field(examples=["1563"])
    shop: str = Field(examples=["default"])
    title: str = Field(examples=["Blue T-shirt"])
    price: float | None = Field(examples=[12.5])
    sale_price: float | None = None
    currency: str | None = Field(examples=["EUR"])
    category: str | None = Field(examples=["top"])
    article_type: str | None = Field(examples=["Tshirts"])
    url: str | None = None
    in_stock: bool = True
    group_id: str | None = None
    updated_at: str | None = None
    tags: dict[str, str] = Field({}, examples=[{"season": "summer"}])
    image: str = Field(description="Where this service shows the product's picture.")


class ProductsAnswer(BaseModel):
    products: list[ProductAnswer]
    next_cursor: str | None = Field(None, description="Give it as cursor for the next page; none on the last.")


class FailedRowAnswer(BaseModel):
    line: int = Field(description="Of the row in the request, from 1.", examples=[3])
    product_id: str = Field(examples=["1564"])
    reason: str


class JobAnswer(BaseModel):
    id: str = Field(examples=["20261124101500-0123456789ab"])
    shop: str | None = None
    kind: str = Field(examples=["products"])
    state: str = Field(description="queued, running, done or failed.", examples=["running"])
    total: int = Field(description="Rows.", examples=[1000])
    done: int = Field(description="Rows, those that failed among them.", examples=[448])
    indexed: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed_rows: int = 0
    failed: list[FailedRowAnswer] = []
    problem: str = ""
    created_at: str = ""
    ended_at: str = ""


class JobsAnswer(BaseModel):
    jobs: list[JobAnswer]
    next_cursor: str | None = None


class EventsAnswer(BaseModel):
    stored: int = Field(examples=[2])


class SearchGroup(BaseModel):
    category: str | None = Field(examples=["dress"])
    colour: str | None = Field(examples=["green"])
    searches: int
    mean_best_score: float | None = None


class SearchesAnswer(BaseModel):
    days: int
    groups: list[SearchGroup]


class MissGroup(BaseModel):
    category: str | None = Field(examples=["dress"])
    colour: str | None = Field(examples=["green"])
    misses: int
    mean_best_score: float | None = None


class MissesAnswer(BaseModel):
    days: int
    below: float
    groups: list[MissGroup]


class PositionClicks(BaseModel):
    position: int = Field(description="In the hits, from 0.")
    view: int
    click: int
    add_to_cart: int
    purchase: int
    not_similar: int
    click_through: float | None = Field(description="Clicks for each view; none without views.")


class ClicksAnswer(BaseModel):
    days: int
    positions: list[PositionClicks]


class ShopEntry(BaseModel):
    shop: str = Field(examples=["default"])
    products: int = Field(examples=[11044])


class ShopsAnswer(BaseModel):
    shops: list[ShopEntry]


class ModelEntry(BaseModel):
    name: str = Field(examples=["default"])
    version: str = Field(examples=["default-0123456789ab"])
    active: bool
    categories: list[str]


class ModelsAnswer(BaseModel):
    models: list[ModelEntry]


class ErrorEntry(BaseModel):
    field: str
    expected: str
    found: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[ErrorEntry]


_STATUSES = {
    401: "No key, or none of ours",
    403: "The key may not do this",
    404: "No product, photo or job has this id",
    413: "Too many bytes or pixels",
    415: "Not an image we read",
    422: "A bad field",
    429: "Too many requests: see Retry-After",
    503: "Not ready, or too busy: see Retry-After",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the problem documents an operation may answer with."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": _STATUSES[status], "content": content}
        for status in sorted({*statuses, 401, 403, 422, 429})
    }


PROBLEMS = problems(404, 413, 415, 503)
_TEXT = {"type": "string"}
_PHOTO = {
    "url": {**_TEXT, "description": "http(s) address of a photo; private addresses are refused."},
    "image_id": {**_TEXT, "description": "Of a photo sent before with keep=true."},
    "keep": {"type": "boolean", "description": "Hold the photo in memory for a while and answer with its image_id."},
}
_SEARCH = {
    "k": {"type": "integer", "minimum": 1, "maximum": 200, "default": 24, "description": "Hits an item."},
    "category": {**_TEXT, "description": "Keep items of this category; with box the crop's category."},
    "box": {**_TEXT, "description": "x1,y1,x2,y2: search this part of the photo.", "example": "40,20,88,84"},
    "whole": {"type": "boolean", "description": "Search the whole photo over all categories."},
    "where": {
        "type": "array",
        "items": _TEXT,
        "description": "Conditions such as price<50, all of which must hold.",
        "example": ["price<50", "colour=blue"],
    },
    "shop": {**_TEXT, "description": "Search this shop alone; a key searches its own in any case."},
}


def form_of(*, search: bool) -> dict[str, Any]:
    """Return the OpenAPI description of the form of search or detect, as multipart and as JSON."""
    fields = _PHOTO | (_SEARCH if search else {"min_score": {"type": "number", "minimum": 0, "maximum": 1}})
    kinds = "JPEG, PNG, WebP, AVIF, GIF or BMP. Exactly one of photo, url and image_id."
    as_file = {"photo": {"type": "string", "format": "binary", "description": kinds}}
    as_text = {"photo": {"type": "string", "format": "byte", "description": f"Base64 of {kinds}"}}
    return _body(
        {
            "multipart/form-data": {"schema": {"type": "object", "properties": as_file | fields}},
            "application/json": {"schema": {"type": "object", "properties": as_text | fields}},
        }
    )


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


_ROW = {
    "type": "object",
    "description": "A row of a product feed. Images are http(s) URLs or data: URIs; unknown fields become tags.",
    "properties": {
        "product_id": _TEXT,
        "image": {**_TEXT, "description": "http(s) URL or data:image/...;base64,..."},
        "images": {"type": "array", "items": _TEXT},
        "title": _TEXT,
        "price": {"type": "number"},
        "sale_price": {"type": "number"},
        "currency": _TEXT,
        "article_type": _TEXT,
        "url": _TEXT,
        "in_stock": {"type": "boolean"},
        "group_id": _TEXT,
    },
    "example": {
        "image": "https://shop.example/images/1563.jpg",
        "title": "Blue T-shirt",
        "article_type": "Tshirts",
        "price": 12.5,
        "currency": "EUR",
        "season": "summer",
    },
}
PRODUCT_BODY = _body({"application/json": {"schema": _ROW}})
BULK_BODY = _body(
    {
        "application/json": {
            "schema": {"type": "object", "properties": {"products": {"type": "array", "items": _ROW}}},
            "example": {
                "products": [
                    {"product_id": "1563", "image": "https://shop.example/images/1563.jpg", "price": 12.5},
                    {"product_id": "1564", "delete": True},
                ]
            },
        },
        "application/x-ndjson": {"schema": _TEXT},
        "text/csv": {"schema": _TEXT},
    }
)
EVENTS_BODY = _body(
    {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["events"],
                "properties": {
                    "events": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 500,
                        "items": {
                            "type": "object",
                            "required": ["type", "product_id"],
                            "properties": {
                                "type": {"type": "string", "enum": list(TYPES)},
                                "product_id": _TEXT,
                                "search_id": {**_TEXT, "description": "Of the search whose hit it is."},
                                "item_no": {"type": "integer", "description": "Of the photo's items, from 0."},
                                "position": {"type": "integer", "description": "In the hits, from 0."},
                                "visitor": {**_TEXT, "description": "An id of the shop's own."},
                                "shop": _TEXT,
                                "at": {"type": "number", "description": "Seconds since 1970; now by default."},
                            },
                        },
                    }
                },
            },
            "example": {"events": [{"type": "click", "product_id": "1563", "position": 0}]},
        }
    }
)
