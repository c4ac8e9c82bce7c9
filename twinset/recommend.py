"""Products like a product: what a shop shows beside the one being looked at.

Every function takes a product's id and a store, stays within the product's shop, and returns hits of other products.
What goes with a product, rather than being like it, is in looks/.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twinset.copies import COPY_SCORE, fold_copies, lead_vectors
from twinset.errors import UsageError
from twinset.hits import Wanted, similar_page
from twinset.store import Key
from twinset.store.where import condition_text, quoted
from twinset.taxonomy import Taxonomy, default_taxonomy, fold
from twinset.types import Hit, Product

if TYPE_CHECKING:
    from twinset.store import Entry, Store

MOST = 1000  # hits looked at for one strip
SPARE = 4  # times as many hits are looked at where some of them are going to be left out
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class InColour:
    """A product in another colour: a variant or a listing of the same thing, or what is most like it there."""

    colour: str
    hit: Hit
    same_product: bool  # it is of the product's group, or its title says the same but for the colour


def similar_products(
    product_id: str,
    store: "Store",
    *,
    shop: str = "default",
    k: int = 24,
    where: Sequence[str] = (),
    min_score: float = 0.0,
    offset: int = 0,
    diversity: float = 0.0,
    merge_copies: bool = False,
    taxonomy: Taxonomy | None = None,
) -> list[Hit]:
    """Return up to `k` other products of a shop most like one of its own, best first, by their best pair of items.

    They are of the categories its items have; a product of no category is compared with all. `offset` leaves out the
    first so many. `merge_copies` makes near-duplicate listings one hit, which names the others, and leaves out those of
    the product itself. `diversity` in [0, 1] trades likeness for difference among the first offset + k hits; which ones
    there are changes, their order does not. `taxonomy` is that of the store's model, by default the one that ships:
    `where` names its categories. Raises NotFound, UsageError.
    """
    _check_diversity(diversity)
    wanted = Wanted(k, offset, min_score, where, shop, taxonomy=taxonomy)
    key = Key(shop, product_id)
    if not diversity and not merge_copies:
        return list(similar_page(store, key, wanted).hits)
    end = offset + k
    wide = Wanted(max(end, min(MOST, SPARE * end)), 0, min_score, where, shop, taxonomy=taxonomy)
    hits = list(similar_page(store, key, wide).hits)
    vectors = lead_vectors(store, [hit.product for hit in hits])
    if merge_copies:
        own = vectors @ np.stack([item.embedding for item in store.get(product_id, shop).items]).T
        kept = np.flatnonzero(own.max(1, initial=0) < COPY_SCORE)
        hits, vectors = fold_copies([hits[i] for i in kept], vectors[kept])
    if diversity:
        scores = np.array([hit.score + hit.moved for hit in hits])
        hits = [hits[i] for i in sorted(spread(scores, vectors, end, diversity))]
    return hits[offset:end]


def other_colours(
    product_id: str,
    store: "Store",
    *,
    shop: str = "default",
    k: int = 12,
    where: Sequence[str] = (),
    taxonomy: Taxonomy | None = None,
) -> list[InColour]:
    """Return for up to `k` colours that a product is not of the product most like it, the same thing first.

    Variants of the product's group and listings whose titles differ by colour words alone are the same thing in
    another colour; for other colours it is what looks most like it, best first. `taxonomy` as in `similar_products`.
    Raises NotFound, UsageError.
    """
    taxonomy = taxonomy or default_taxonomy()
    Wanted(k, where=where, taxonomy=taxonomy)
    entry = store.get(product_id, shop)
    own = {colour.name for item in entry.items for colour in item.colours[:1]}
    found = []
    for colour in taxonomy.colours:
        if colour in own:
            continue
        own_group = _variant(entry, store, colour, where, taxonomy)
        hits = own_group or [
            hit
            for hit in _nearest(entry, store, SPARE * SPARE, [*where, f"colour={colour}"], taxonomy)
            if _fits(hit, colour, entry.product)
        ]
        same = [hit for hit in hits if _same_thing(hit.product, entry.product, taxonomy)]
        if hits:
            found.append(InColour(colour, (same or hits)[0], bool(same)))
    found.sort(key=lambda one: (not one.same_product, -one.hit.score, one.colour))
    return found[:k]


def cheaper_products(
    product_id: str,
    store: "Store",
    *,
    shop: str = "default",
    k: int = 24,
    where: Sequence[str] = (),
    taxonomy: Taxonomy | None = None,
) -> list[Hit]:
    """Return up to `k` products like one of the store's that cost less in its currency, most alike first.

    A sale price counts where there is one. A product without a price has none cheaper. `taxonomy` as in
    `similar_products`. Raises NotFound, UsageError.
    """
    Wanted(k, where=where, taxonomy=taxonomy)
    entry = store.get(product_id, shop)
    price = price_of(entry.product)
    if price is None:
        return []
    size = max(k, min(MOST, SPARE * k))
    found = _nearest(entry, store, size, [*where, f"price<{price}"], taxonomy)
    cheaper = [hit for hit in found if _is_cheaper(hit.product, price, entry.product.currency)]
    best: dict[tuple[str, bool, str], Hit] = {}
    for hit in sorted(cheaper, key=lambda hit: (-hit.score - hit.moved, hit.product_id)):
        best.setdefault(hit.one_hit, hit)
    return list(best.values())[:k]


def price_of(product: Product) -> float | None:
    """Return what a product costs today, None where nothing is known."""
    return product.price if product.sale_price is None else product.sale_price


def spread(scores: NDArray[np.float64], vectors: NDArray[np.float32], k: int, diversity: float) -> list[int]:
    """Return up to `k` of N hits by maximal marginal relevance (Carbonell and Goldstein 1998), in the order chosen.

    Each next one has the best of (1 - diversity) * its score - diversity * its likeness to the most alike chosen
    before, of unit vectors (N, D). Equal ones come in order.
    """
    chosen: list[int] = []
    left = np.ones(len(scores), bool)
    likeness = np.zeros(len(scores))
    for _ in range(min(k, len(scores))):
        marginal = (1 - diversity) * scores - diversity * likeness
        best = int(np.where(left, marginal, -np.inf).argmax())
        chosen.append(best)
        left[best] = False
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return chosen


def _check_diversity(diversity: float) -> None:
    if not 0 <= diversity <= 1:
        raise UsageError(
            f"diversity: expected a number from 0 to 1, found {diversity}",
            field="diversity",
            expected="a number from 0 to 1",
            found=str(diversity),
        )


def _nearest(entry: "Entry", store: "Store", k: int, where: Sequence[str], taxonomy: Taxonomy | None) -> list[Hit]:
    """Return the products of its shop nearest to one, by the shop's rules."""
    wanted = Wanted(k, where=where, shop=entry.key.shop, taxonomy=taxonomy)
    return list(similar_page(store, entry.key, wanted).hits)


def _variant(entry: "Entry", store: "Store", colour: str, where: Sequence[str], taxonomy: Taxonomy) -> list[Hit]:
    """Return the nearest variant of a product that is mainly of a colour, as a list; none where its group has none.

    Of a group the nearest is the hit: one that only has some of the colour is left out, and the next is asked for.
    """
    group = condition_text("group_id", entry.product.group_id) if entry.product.group_id is not None else None
    left_out: list[str] = []
    while group and len(left_out) < SPARE * SPARE:
        hits = _nearest(entry, store, 1, [*where, f"colour={colour}", group, *left_out], taxonomy)
        if not hits or _fits(hits[0], colour, entry.product):
            return hits
        left_out.append(f"product_id!={quoted(hits[0].product_id)}")
    return []


def _fits(hit: Hit, colour: str, product: Product) -> bool:
    """Return whether a hit is mainly of a colour, and of no other type than a product."""
    return bool(hit.colours) and hit.colours[0].name == colour and _same_kind(hit.product, product)


def _same_kind(one: Product, other: Product) -> bool:
    """Return whether neither says it is of another type than the other."""
    return not (one.article_type and other.article_type) or fold(one.article_type) == fold(other.article_type)


def _same_thing(one: Product, other: Product, taxonomy: Taxonomy) -> bool:
    """Return whether two products are one but for their colour, by their group or else by their titles."""
    if one.group_id is not None or other.group_id is not None:
        return one.group_id == other.group_id
    words = [list(_without_colours(product.title, taxonomy)) for product in (one, other)]
    return len(words[0]) > 2 and words[0] == words[1]


def _without_colours(title: str, taxonomy: Taxonomy) -> Iterator[str]:
    """Yield a title's words that name no colour."""
    return (word for word in map(fold, _WORD.findall(title)) if taxonomy.base_colour(word) is None)


def _is_cheaper(product: Product, price: float, currency: str | None) -> bool:
    found = price_of(product)
    return found is not None and found < price and product.currency == currency
