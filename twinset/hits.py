"""Which hits an item gets: nearest products that meet filters, alike enough, by the shop's rules, page by page."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np

from twinset.errors import UsageError
from twinset.ranking import POOL, load_ranker
from twinset.rules import DEFAULT_SHOP, Rules, Search, apply_rules, load_rules, scope
from twinset.store import Filter, Key, Store, parse_where
from twinset.store.facets import check_facets
from twinset.store.filters import Condition
from twinset.taxonomy import Taxonomy
from twinset.types import Colour, Facet, Hit

MOST_HITS = 10_000  # that can be paged through


@dataclass(frozen=True, slots=True)
class Page:
    """Some hits of one item."""

    hits: tuple[Hit, ...]
    next_offset: int | None = None  # None: these are the last
    facets: tuple[Facet, ...] = ()
    plan: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which hits are asked for. Raises UsageError for what can't be."""

    k: int = 24
    offset: int = 0  # hits to leave out, shown before
    min_score: float = 0.0
    where: Sequence[str] = ()  # CONTRACT's filter strings
    shop: str | None = None  # None: all shops, by the rules of the shop `default`
    facets: Sequence[str] = ()  # fields to count
    explain: bool = False
    rules: Rules | None = None  # in the place of the shop's own: for a look at them before they are kept
    taxonomy: Taxonomy | None = None  # the model's, whose names `where` has; None: the one that ships

    def __post_init__(self) -> None:
        last = MOST_HITS - self.k
        _check("k", 1 <= self.k <= MOST_HITS, f"a whole number from 1 to {MOST_HITS}", self.k)
        _check("offset", 0 <= self.offset <= last, f"a whole number from 0 to {last}", self.offset)
        _check("min_score", 0 <= self.min_score <= 1, "a number from 0 to 1", self.min_score)
        check_facets(self.facets)
        parse_where(self.where, self.taxonomy)


class Ranking:
    """The filter, the rules and the learned order that a search of a store goes by, loaded once."""

    def __init__(self, store: Store, wanted: Wanted) -> None:
        self.store, self.wanted = store, wanted
        self.shop = wanted.shop or DEFAULT_SHOP
        self.rules: Rules = load_rules(store, self.shop) if wanted.rules is None else wanted.rules
        self.ranker = load_ranker(store, self.shop)
        own = () if wanted.shop is None else (Condition("shop", "=", (wanted.shop,)),)
        self.filter = Filter(own) & parse_where(wanted.where, wanted.taxonomy) & scope(self.rules, self.shop)

    def pages(
        self, search: Search, categories: Sequence[Set[str | None]], colours: Sequence[Sequence[Colour]] = ()
    ) -> list[tuple[tuple[Hit, ...], int | None]]:
        """Return each item's page, and the offset of its next. Items of known colours get the learned order.

        `categories` has those that each is searched in, None for all.
        """

        def alike(more: Filter, k: int) -> list[list[Hit]]:
            found = search(self.filter & more, k)
            return [[hit for hit in hits if hit.score >= self.wanted.min_score] for hits in found]

        start, end, known = self.wanted.offset, self.wanted.offset + self.wanted.k, self.wanted.taxonomy
        if self.ranker is None or not colours:
            found = apply_rules(self.rules, self.shop, alike, end + 1, categories, known)
        else:
            deep = apply_rules(self.rules, self.shop, alike, max(end + 1, POOL), categories, known)
            found = [self.ranker.order(own, hits) for own, hits in zip(colours, deep, strict=True)]
        more = end + self.wanted.k <= MOST_HITS  # else the next page would be refused
        return [(tuple(hits[start:end]), end if more and len(hits) > end else None) for hits in found]

    def explain(self, category: str | None) -> str:
        """Return in a line how a search is answered."""
        plan, described = self.store.plan(category, self.filter), self.rules.describe()
        searches = len(self.rules.moves) + 1 + bool(self.rules.pin)
        word = "search" if searches == 1 else "searches"
        return f"{plan}; rules of shop {self.shop}: {described}, {searches} {word}" if described else plan


def find_pages(
    ranking: Ranking,
    search: Search,
    categories: Sequence[str | None],
    colours: Sequence[Sequence[Colour]] = (),
    counted: Callable[[Filter], Filter] = lambda filter: filter,
) -> list[Page]:
    """Return the page of each item that `search` brings hits of, within its category, None for all.

    With each item's colours the hits come in the order that shoppers' clicks taught, if they did. `counted` narrows the
    filter to what `search` looks among, for facets to count.
    """
    store, wanted = ranking.store, ranking.wanted
    found = ranking.pages(search, [{category} for category in categories], colours)
    facets = {
        category: tuple(store.facets(category, counted(ranking.filter), wanted.facets)) if wanted.facets else ()
        for category in set(categories)
    }
    return [
        Page(hits, after, facets[category], ranking.explain(category) if wanted.explain else "")
        for (hits, after), category in zip(found, categories, strict=True)
    ]


def similar_page(store: Store, key: Key, wanted: Wanted) -> Page:
    """Return a page of other products most like one of the store's, by their best pair of items. Raises NotFound.

    They are of the categories its items have; a product of no category is compared with all.
    """
    ranking = Ranking(store, wanted)
    items = store.get(key.product_id, key.shop).items
    embeddings, categories = np.stack([item.embedding for item in items]), [item.category for item in items]

    def search(filter: Filter, k: int) -> list[list[Hit]]:
        best: dict[tuple[str, bool, str], Hit] = {}
        found = store.search(embeddings, k, categories, filter, exclude=key)
        ranked = sorted((hit for hits in found for hit in hits), key=lambda hit: (-hit.score, hit.product_id))
        for hit in ranked:
            best.setdefault(hit.one_hit, hit)
        return [list(best.values())[:k]]

    ((hits, after),) = ranking.pages(search, [set(categories)])
    plans = [ranking.explain(category) for category in dict.fromkeys(categories)] if wanted.explain else []
    return Page(hits, after, plan="; ".join(plans))


def _check(field: str, holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise UsageError(
            f"{field}: expected {expected}, found {found}", field=field, expected=expected, found=str(found)
        )
