"""The answers' shapes, for the API's documentation. The values are made by answers.py."""

from typing import Any

from pydantic import BaseModel, Field


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
    width: int
    height: int
    items: list[DetectedItem]


class SearchAnswer(BaseModel):
    width: int
    height: int
    items: list[SearchedItem]


class SimilarAnswer(BaseModel):
    product_id: str
    hits: list[HitAnswer]


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


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, text in (
        (413, "Too many bytes or pixels"),
        (415, "Not an image we read"),
        (422, "A bad field"),
        (429, "Too many requests"),
        (503, "Not ready, or too busy: see Retry-After"),
    )
}
_TEXT = {"type": "string"}
_PHOTO = {
    "photo": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, AVIF, GIF or BMP. This or url."},
    "url": {**_TEXT, "description": "http(s) address of a photo; private addresses are refused."},
}
_SEARCH = {
    "k": {"type": "integer", "default": 24, "description": "Hits an item."},
    "category": {**_TEXT, "description": "Keep items of this category; with box the crop's category."},
    "box": {**_TEXT, "description": "x1,y1,x2,y2: search this part of the photo."},
    "whole": {"type": "boolean", "description": "Search the whole photo over all categories."},
    "where": {"type": "array", "items": _TEXT, "description": "Conditions such as price<50, all of which must hold."},
}


def form_of(*, search: bool) -> dict[str, Any]:
    """Return the OpenAPI description of the multipart form of detect or search."""
    fields = _PHOTO | (_SEARCH if search else {"min_score": {"type": "number", "minimum": 0, "maximum": 1}})
    schema = {"type": "object", "properties": fields}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
