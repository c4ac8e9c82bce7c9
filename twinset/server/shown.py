"""Hits and products as the service shows them: their pictures are links of its own, no path of the machine goes out."""

from typing import Any

from twinset.answers import hit_json
from twinset.server.access import Caller
from twinset.server.engine import Loaded
from twinset.types import Hit, Product

_FACTS = (
    *("product_id", "shop", "title", "price", "sale_price", "currency", "category", "article_type", "url"),
    *("in_stock", "group_id", "updated_at"),
)


def hit_answer(hit: Hit, loaded: Loaded, caller: Caller) -> dict[str, Any]:
    """Return a hit's JSON: the command line's, and what a shop's page needs beside it."""
    product = hit.product
    return hit_json(hit) | {
        "url": product.url,
        "colours": [{"name": colour.name, "share": colour.share} for colour in hit.colours],
        "image": loaded.links.path(hit.product_id, product.shop, caller.signed),
    }


def product_answer(product: Product, loaded: Loaded, caller: Caller) -> dict[str, Any]:
    """Return a product's JSON."""
    facts = {name: getattr(product, name) for name in _FACTS}
    image = loaded.links.path(product.product_id, product.shop, caller.signed)
    return {**facts, "tags": dict(product.tags), "image": image}
