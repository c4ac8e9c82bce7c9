"""Products like a product: what a shop shows beside the one being looked at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from twinset.search import check_k
from twinset.types import Hit

if TYPE_CHECKING:
    from twinset.store import Store


def similar_products(
    product_id: str, store: "Store", *, shop: str = "default", k: int = 24, where: Sequence[str] = ()
) -> list[Hit]:
    """Return up to `k` other products most like one of the store's, best first, by their best pair of items.

    They are of the categories its items have; a product of no category is compared with all. Raises NotFound.
    """
    from twinset.store import parse_where

    filter = parse_where(where)
    check_k(k)
    entry = store.get(product_id, shop)
    embeddings = np.stack([item.embedding for item in entry.items])
    found = store.search(embeddings, k, [item.category for item in entry.items], filter, exclude=entry.key)
    best: dict[tuple[str, str], Hit] = {}
    for hit in (hit for hits in found for hit in hits):
        key = hit.product.product_id, hit.product.shop
        if key not in best or hit.score > best[key].score:
            best[key] = hit
    ranked = sorted(best.items(), key=lambda pair: (-pair[1].score, pair[0]))
    return [hit for _, hit in ranked[:k]]
