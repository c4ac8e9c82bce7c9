"""The JSON of answers, on the command line and over HTTP alike. Its keys are promised: none is renamed or dropped."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twinset.types import Box, FoundItem, Hit

if TYPE_CHECKING:
    from twinset.indexing import IndexReport

DECIMALS = 6  # of scores and shares
BOX_DECIMALS = 4

Json = dict[str, Any]


def detect_json(image_wh: tuple[int, int], items: Sequence[FoundItem], image: str | None = None) -> Json:
    """Return `twinset detect`'s answer for one photo; HTTP's has no `image`."""
    return _photo_json(image_wh, [item_json(item, hits=False) for item in items], image)


def search_json(image_wh: tuple[int, int], items: Sequence[FoundItem], image: str | None = None) -> Json:
    """Return `twinset search`'s answer for one photo; HTTP's has no `image`."""
    return _photo_json(image_wh, [item_json(item, hits=True) for item in items], image)


def similar_json(product_id: str, hits: Sequence[Hit]) -> Json:
    """Return `twinset similar`'s answer."""
    return {"product_id": product_id, "hits": [hit_json(hit) for hit in hits]}


def index_json(report: "IndexReport") -> Json:
    """Return `twinset index`'s answer."""
    return {
        "products": report.products,
        "indexed": report.indexed,
        "unchanged": report.unchanged,
        "failed": [{"line": row.line, "product_id": row.product_id, "reason": row.reason} for row in report.failed],
        "seconds": round(report.seconds, 3),
    }


def item_json(item: FoundItem, hits: bool) -> Json:
    """Return one item of a photo, with its hits if asked."""
    answer: Json = {
        "category": item.category,
        "score": None if item.score is None else round(item.score, DECIMALS),
        "box": _box_json(item.box),
        "colours": [{"name": colour.name, "share": round(colour.share, DECIMALS)} for colour in item.colours],
    }
    if hits:
        answer["hits"] = [hit_json(hit) for hit in item.hits]
    return answer


def hit_json(hit: Hit) -> Json:
    """Return one hit. Its `image` is where the shop's product image lies: a path or a URL."""
    product = hit.product
    return {
        "product_id": product.product_id,
        "score": round(hit.score, DECIMALS),
        "category": hit.category,
        "article_type": product.article_type,
        "title": product.title,
        "price": product.price,
        "currency": product.currency,
        "image": hit.image,
    }


def _photo_json(image_wh: tuple[int, int], items: list[Json], image: str | None) -> Json:
    named: Json = {} if image is None else {"image": image}
    return named | {"width": image_wh[0], "height": image_wh[1], "items": items}


def _box_json(box: Box) -> list[float]:
    return [round(side, BOX_DECIMALS) for side in box]
