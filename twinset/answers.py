"""The JSON of answers, on the command line and over HTTP alike. Its keys are promised: none is renamed or dropped."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twinset.types import Box, Facet, FoundItem, Hit

if TYPE_CHECKING:
    from twinset.copies import Copies
    from twinset.data.feed import FailedRow
    from twinset.hits import Page
    from twinset.indexing import IndexReport
    from twinset.looks.complete import LookPart
    from twinset.recommend import InColour
    from twinset.sync import SyncReport

DECIMALS = 6  # of scores and shares
BOX_DECIMALS = 4

Json = dict[str, Any]


def detect_json(image_wh: tuple[int, int], items: Sequence[FoundItem], image: str | None = None) -> Json:
    """Return `twinset detect`'s answer for one photo; HTTP's has no `image`."""
    return _photo_json(image_wh, [item_json(item, hits=False) for item in items], image)


def search_json(image_wh: tuple[int, int], items: Sequence[FoundItem], image: str | None = None) -> Json:
    """Return `twinset search`'s answer for one photo; HTTP's has no `image`."""
    return _photo_json(image_wh, [item_json(item, hits=True) for item in items], image)


def similar_json(product_id: str, hits: Sequence[Hit], plan: str = "") -> Json:
    """Return `twinset similar`'s answer, with how it was come by if that was asked."""
    answer: Json = {"product_id": product_id, "hits": [hit_json(hit) for hit in hits]}
    return answer | {"plan": plan} if plan else answer


def colours_json(product_id: str, found: "Sequence[InColour]") -> Json:
    """Return `twinset colours`'s answer."""
    colours = [{"colour": one.colour, "same_product": one.same_product, "hit": hit_json(one.hit)} for one in found]
    return {"product_id": product_id, "colours": colours}


def cheaper_json(product_id: str, price: float | None, hits: Sequence[Hit]) -> Json:
    """Return `twinset cheaper`'s answer; `price` is what the product itself costs."""
    return {"product_id": product_id, "price": price, "hits": [hit_json(hit) for hit in hits]}


def look_json(product_id: str, parts: "Sequence[LookPart]") -> Json:
    """Return `twinset look`'s answer."""
    look = [
        {
            "category": part.category,
            "share": round(part.share, DECIMALS),
            "colours": list(part.colours),
            "hits": [hit_json(hit) for hit in part.hits],
        }
        for part in parts
    ]
    return {"product_id": product_id, "look": look}


def copies_json(copies: "Copies") -> Json:
    """Return one group of `twinset duplicates`."""
    products = [
        {"product_id": p.product_id, "title": p.title, "price": p.price, "currency": p.currency, "image": p.images[0]}
        for p in copies.products
    ]
    return {
        "shop": copies.shop,
        "category": copies.category,
        "score": round(copies.score, DECIMALS),
        "same_picture": copies.same_picture,
        "products": products,
    }


def index_json(report: "IndexReport") -> Json:
    """Return `twinset index`'s answer."""
    return {
        "products": report.products,
        "indexed": report.indexed,
        "unchanged": report.unchanged,
        "failed": _failed_json(report.failed),
        "seconds": round(report.seconds, 3),
    }


def sync_json(report: "SyncReport") -> Json:
    """Return `twinset sync`'s answer."""
    names = ("products", "added", "changed", "unchanged", "removed", "unsure")
    counts: Json = {name: getattr(report, name) for name in names}
    return counts | {"failed": _failed_json(report.failed), "seconds": round(report.seconds, 3)}


def item_json(item: FoundItem, hits: bool) -> Json:
    """Return one item of a photo, with its hits if asked."""
    answer: Json = {
        "category": item.category,
        "score": None if item.score is None else round(item.score, DECIMALS),
        "box": _box_json(item.box),
        "colours": [{"name": colour.name, "share": round(colour.share, DECIMALS)} for colour in item.colours],
    }
    if item.attributes:
        answer["attributes"] = dict(item.attributes)
    if hits and item.close_from is not None:
        answer |= {"close_enough": item.close_enough, "close_from": round(item.close_from, DECIMALS)}
    if hits:
        answer["hits"] = [hit_json(hit) for hit in item.hits]
        answer["next_offset"] = item.next_offset
        if item.facets:
            answer["facets"] = [facet_json(facet) for facet in item.facets]
        if item.plan:
            answer["plan"] = item.plan
    return answer


def facet_json(facet: Facet) -> Json:
    """Return one facet. `where` is the condition that keeps a value's hits; price bands have ends, `high` left out."""
    values: list[Json] = [{"value": v.value, "count": v.count, "where": v.where} for v in facet.values]
    if facet.field == "price":
        values = [each | {"low": v.low, "high": v.high} for each, v in zip(values, facet.values, strict=True)]
    return {"field": facet.field, "exact": facet.exact, "values": values}


def hit_json(hit: Hit) -> Json:
    """Return one hit. Its `image` is where the shop's product image lies: a path or a URL."""
    product = hit.product
    merged: Json = {"copies": list(hit.copies)} if hit.copies else {}
    return {
        "product_id": product.product_id,
        "score": round(hit.score, DECIMALS),
        "category": hit.category,
        "article_type": product.article_type,
        "title": product.title,
        "price": product.price,
        "sale_price": product.sale_price,
        "currency": product.currency,
        "image": hit.image,
        "shop": product.shop,
        "group_id": product.group_id,
        "variants": hit.variants,
        "in_stock": hit.in_stock,
        "rule": hit.rule,
        **_why_json(hit),
    } | merged


def words_json(words: str, page: "Page") -> Json:
    """Return the answer to a search by words alone."""
    answer: Json = {"words": words, "hits": [hit_json(hit) for hit in page.hits], "next_offset": page.next_offset}
    if page.facets:
        answer["facets"] = [facet_json(facet) for facet in page.facets]
    return answer | {"plan": page.plan} if page.plan else answer


def _why_json(hit: Hit) -> Json:
    """Return what a hit's attributes and its likeness to the item are, as far as the model tells."""
    answer: Json = {"attributes": dict(hit.attributes)} if hit.attributes else {}
    if hit.why is not None:
        answer["why"] = {
            "same_category": hit.why.same_category,
            "colour_distance": round(hit.why.colour_distance, DECIMALS),
            "shared": dict(hit.why.shared),
            "different": {name: list(values) for name, values in hit.why.different.items()},
        }
    return answer


def _failed_json(rows: "Sequence[FailedRow]") -> list[Json]:
    return [{"line": row.line, "product_id": row.product_id, "reason": row.reason} for row in rows]


def _photo_json(image_wh: tuple[int, int], items: list[Json], image: str | None) -> Json:
    named: Json = {} if image is None else {"image": image}
    return named | {"width": image_wh[0], "height": image_wh[1], "items": items}


def _box_json(box: Box) -> list[float]:
    return [round(side, BOX_DECIMALS) for side in box]
