"""Complete the look: for a product, the products of other categories that are worn with it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twinset.describe.words import gender_of
from twinset.hits import Wanted
from twinset.looks.model import LookModel
from twinset.looks.outfits import base_colour
from twinset.rules import load_rules, scope
from twinset.taxonomy import Taxonomy
from twinset.types import Hit, Product

if TYPE_CHECKING:
    from twinset.store import Store

COLOURS = 3  # a category is shown in
LOOKED_AT = 60  # products of each colour, those nearest to the product
STYLE = ("usage", "season")  # tags that should agree, where both products have them
MISMATCH = 0.6  # what a tag that doesn't agree leaves of a score


@dataclass(frozen=True, slots=True)
class LookPart:
    """One category that goes with a product."""

    category: str
    share: float  # the chance of it beside the product, among all categories shown or not
    colours: tuple[str, ...]  # that go best, the best first
    hits: tuple[Hit, ...]  # scores: how well colour and style go, 1 for the best colour and the same style


def complete_look(
    product_id: str,
    store: "Store",
    looks: LookModel,
    *,
    shop: str = "default",
    k: int = 6,
    where: Sequence[str] = (),
    categories: int = 4,
    taxonomy: Taxonomy | None = None,
) -> list[LookPart]:
    """Return up to `categories` other categories that go with a product, the likeliest first, with `k` products each.

    A category comes in the colours that are worn with the product's, its products by how well their colour goes, by
    gender, usage and season where both say so, and by how near they are to the product. Men's things never go with
    women's. A product of no category has no look. `taxonomy` is that of the store's model, by default the one that
    ships: `where` names its categories. Raises NotFound, UsageError.
    """
    wanted = Wanted(k, where=where, taxonomy=taxonomy)
    entry = store.get(product_id, shop)
    item = entry.items[0]
    if item.category is None or item.category not in looks.categories:
        return []
    chances = looks.chances([(item.category, base_colour(item.colours))])
    order = sorted(range(len(looks.categories)), key=lambda c: -chances[c].sum())
    found: list[LookPart] = []
    for c in order:
        category = looks.categories[c]
        if category == item.category or len(found) == categories:
            continue
        best = chances[c].argsort()[::-1][:COLOURS]
        fit = {looks.colours[i]: float(chances[c, i] / chances[c].max()) for i in best}
        hits = _goes_with(entry.product, item.embedding, category, fit, store, wanted)
        if hits:
            found.append(LookPart(category, float(chances[c].sum()), tuple(fit), tuple(hits[:k])))
    return found


def _goes_with(
    product: Product,
    embedding: NDArray[np.float32],
    category: str,
    fit: dict[str, float],
    store: "Store",
    asked: Wanted,
) -> list[Hit]:
    """Return products of a category in some colours, those that go best first."""
    from twinset.store import parse_where
    from twinset.store.filters import Condition, Filter

    hits: dict[str, Hit] = {}
    wanted = parse_where(asked.where, asked.taxonomy) & scope(load_rules(store, product.shop), product.shop)
    for colour, goes in fit.items():
        own = Filter((Condition("shop", "=", (product.shop,)), Condition("colour", "=", (colour,))))
        (near,) = store.search(embedding[None], LOOKED_AT, [category], own & wanted)
        for place, hit in enumerate(near):
            style = style_fit(hit.product, product)
            if hit.colours and hit.colours[0].name == colour and style:
                nearness = 1 - 0.5 * place / LOOKED_AT  # cosines of different categories say too little by themselves
                hits[hit.product_id] = replace(hit, score=goes * style * nearness)
    return sorted(hits.values(), key=lambda hit: (-hit.score, hit.product_id))


def style_fit(one: Product, other: Product) -> float:
    """Return 1 where two products' styles agree or say nothing, less for each thing they don't agree on, 0 for things
    of different genders.
    """
    genders = [gender_of([product.title, product.tags.get("gender", "")]) for product in (one, other)]
    if None not in genders and genders[0] != genders[1]:
        return 0.0
    said = [(one.tags.get(name), other.tags.get(name)) for name in STYLE]
    return MISMATCH ** sum(bool(a and b and a.casefold() != b.casefold()) for a, b in said)
