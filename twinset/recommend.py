"""Products like a product: what a shop shows beside the one being looked at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twinset.hits import Wanted, similar_page
from twinset.store import Key
from twinset.types import Hit

if TYPE_CHECKING:
    from twinset.store import Store


def similar_products(
    product_id: str,
    store: "Store",
    *,
    shop: str = "default",
    k: int = 24,
    where: Sequence[str] = (),
    min_score: float = 0.0,
    offset: int = 0,
) -> list[Hit]:
    """Return up to `k` other products of a shop most like one of its own, best first, by their best pair of items.

    They are of the categories its items have; a product of no category is compared with all. `offset` leaves out the
    first so many. Raises NotFound.
    """
    wanted = Wanted(k, offset, min_score, where, shop)
    return list(similar_page(store, Key(shop, product_id), wanted).hits)
