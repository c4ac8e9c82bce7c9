"""The requests' bodies, for the API's documentation. uploads.py, intake.py and routes_events.py read them."""

from typing import Any

from twinset.events import TYPES

_TEXT = {"type": "string"}
_PHOTO = {
    "url": {**_TEXT, "description": "http(s) address of a photo; private addresses are refused."},
    "image_id": {**_TEXT, "description": "Of a photo sent before with keep=true."},
    "product_id": {**_TEXT, "description": "Search the product's own picture; it is not among the hits."},
    "keep": {"type": "boolean", "description": "Hold the photo in memory for a while and answer with its image_id."},
}
_SEARCH = {
    "k": {"type": "integer", "minimum": 1, "maximum": 200, "default": 24, "description": "Hits an item."},
    "cursor": {**_TEXT, "description": "An item's next_cursor, with the same photo: the next hits of that item."},
    "category": {**_TEXT, "description": "Keep items of this category; with box the crop's category."},
    "box": {**_TEXT, "description": "x1,y1,x2,y2: search this part of the photo.", "example": "40,20,88,84"},
    "whole": {"type": "boolean", "description": "Search the whole photo over all categories."},
    "where": {
        "type": "array",
        "items": _TEXT,
        "description": "Conditions such as price<50, all of which must hold.",
        "example": ["price<50", "colour=blue"],
    },
    "words": {**_TEXT, "description": "What should be otherwise.", "example": "like this but red"},
    "min_score": {"type": "number", "minimum": 0, "maximum": 1, "description": "Leave out hits less alike."},
    "facets": {
        "type": "array",
        "items": _TEXT,
        "description": "Fields to count hits by: category, colour, price, in_stock, article_type, tags, tags.NAME.",
        "example": ["colour", "price"],
    },
    "shop": {**_TEXT, "description": "Search this shop alone; a key searches its own in any case."},
}


def form_of(*, search: bool, **more: Any) -> dict[str, Any]:
    """Return the OpenAPI description of the form of search or detect, as multipart and as JSON."""
    fields = _PHOTO | more | (_SEARCH if search else {"min_score": {"type": "number", "minimum": 0, "maximum": 1}})
    kinds = "JPEG, PNG, WebP, AVIF, GIF or BMP. Exactly one of photo, url, image_id and product_id."
    as_file = {"photo": {"type": "string", "format": "binary", "description": kinds}}
    as_text = {"photo": {"type": "string", "format": "byte", "description": f"Base64 of {kinds}"}}
    example = (
        {"image_id": "pT3k0vXn9m2sQy7LZ4bRfA", "k": 12, "box": "40,20,88,84", "where": ["price<50"]}
        if search
        else {
            "url": "https://shop.example/look.jpg",
            "keep": True,
        }
    )
    return _body(
        {
            "multipart/form-data": {"schema": {"type": "object", "properties": as_file | fields}},
            "application/json": {"schema": {"type": "object", "properties": as_text | fields}, "example": example},
        }
    )


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


_RULES = {"$ref": "#/components/schemas/Rules"}
_SOME_RULES = {
    "only_in_stock": True,
    "boost": [{"where": "tags.season=summer", "by": 0.05}],
    "pin": [{"product_id": "1563", "category": "top", "min_score": 0.4}],
}
RULES_BODY = _body({"application/json": {"schema": _RULES, "example": _SOME_RULES}})
PREVIEW_FORM = form_of(search=True, rules=_RULES)
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
