"""The order of hits by what a shop's shoppers clicked: facts of a hit, weights learned of them, kept with the store.

learn/ fits the weights and writes them only where they do better than the order without. A hit's score stays what it
is; pinned hits stay in front, and what a rule adds to a score or takes from it counts here too.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twinset.errors import StoreError
from twinset.types import Colour, Hit

if TYPE_CHECKING:
    from twinset.store import Store

FEATURES = ("score", "colour", "price", "sale", "in_stock")
POOL = 48  # nearest hits that are put in a new order; those behind them stay where they are
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Ranker:
    """Weights of FEATURES, and what was measured as they were learned."""

    weights: tuple[float, ...]
    learned_at: str
    clicks: int  # learned from
    gain_at_5: float  # of clicks on the first five hits, held out: 0.1 is a tenth more

    def order(self, colours: Sequence[Colour], hits: Sequence[Hit]) -> list[Hit]:
        """Return hits in the order of their worth: pinned ones first as they are, those beyond POOL as they are."""
        front = [hit for hit in hits if hit.rule == "pinned"]
        pool = [hit for hit in hits[:POOL] if hit.rule != "pinned"]
        moved = np.array([hit.moved for hit in pool]) * max(self.weights[0], 1.0)
        worth = features_of(colours, pool) @ np.array(self.weights, np.float64) + moved
        order = np.argsort(-worth, kind="stable")
        return [*front, *(pool[i] for i in order), *(hit for hit in hits[POOL:] if hit.rule != "pinned")]


def features_of(colours: Sequence[Colour], hits: Sequence[Hit]) -> NDArray[np.float64]:
    """Return (N, 5) FEATURES of hits for an item of these colours.

    score in [0, 1]; colour: the share of colour that both have; price: log2, where unknown the median of the others;
    sale and in_stock: 0 or 1. Only differences between hits of one list matter.
    """
    wanted = {colour.name: colour.share for colour in colours}
    prices = np.array([_price(hit) for hit in hits], np.float64)
    known = prices[~np.isnan(prices)]
    prices[np.isnan(prices)] = np.median(known) if len(known) else 0.0
    rows = [
        (
            hit.score,
            sum(min(colour.share, wanted.get(colour.name, 0.0)) for colour in hit.colours),
            price,
            float(hit.product.sale_price is not None),
            float(hit.product.in_stock),
        )
        for hit, price in zip(hits, prices, strict=True)
    ]
    return np.array(rows, np.float64).reshape(-1, len(FEATURES))


def load_ranker(store: "Store", shop: str) -> Ranker | None:
    """Return what was learned of a shop's shoppers, None where nothing was. Raises StoreError for a damaged note."""
    text = store.read_note(_note(shop))
    if text in (None, "null"):
        return None
    try:
        data = json.loads(text or "")
        if data["format"] > FORMAT or data["features"] != list(FEATURES):
            raise ValueError(f"format {data['format']} with {data['features']}")
        return Ranker(tuple(map(float, data["weights"])), data["learned_at"], data["clicks"], data["gain_at_5"])
    except (ValueError, KeyError, TypeError) as exc:
        raise StoreError(
            f"store {store.uri}: expected what was learned for shop {shop!r}, found: {exc}; learn anew: twinset learn"
        ) from exc


def save_ranker(store: "Store", ranker: Ranker | None, shop: str) -> None:
    """Keep what was learned of a shop's shoppers; None goes back to the order without."""
    facts = None if ranker is None else {"format": FORMAT, "shop": shop, "features": FEATURES, **asdict(ranker)}
    store.write_note(_note(shop), json.dumps(facts))


def _price(hit: Hit) -> float:
    product = hit.product
    price = product.price if product.sale_price is None else product.sale_price
    return math.log2(price) if price and price > 0 else math.nan


def _note(shop: str) -> str:
    return f"learned-{hashlib.sha256(shop.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}"
