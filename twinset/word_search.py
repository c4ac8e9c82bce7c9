"""Search by words: alone, or beside a photo ("like this but red", "without stripes")."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twinset.describe.words import Asked, read_words
from twinset.errors import UsageError
from twinset.hits import MOST_HITS, Page, Wanted, find_pages
from twinset.likeness import CANDIDATES, SCORE_DECIMALS
from twinset.stages import stage
from twinset.store import Filter
from twinset.store.filters import Condition, Node, Not
from twinset.store.texts import word_stems
from twinset.types import Hit

if TYPE_CHECKING:
    from twinset.describe.labels import Labels
    from twinset.models import Models
    from twinset.store import Store

POOL = 100  # products that are put in order together, however few are asked for: pages then follow each other
LOOKS = 0.15  # of a score by words alone; what products say is the rest
MISSING = 0.5  # of a photo's score that is lost where a product says none of the words


def words_page(words: str, models: "Models", store: "Store", wanted: Wanted, category: str | None = None) -> Page:
    """Return a page of the products that say the words, or look like them, best first.

    What is said counts most: title, article type, tags, colours; the pictures bring products whose titles say nothing,
    and put those that say the same in order. Raises UsageError for words that ask for nothing, and for bad values.
    """
    from twinset.search import check_category

    check_category(category, models)
    asked = read_words(words)
    sought = asked.words()
    if not (sought.groups or sought.literal):
        raise UsageError(
            f"words: expected what to look for, such as 'red dress', found {words!r}",
            field="words",
            expected="what to look for, such as 'red dress'",
            found=repr(words),
        )

    def search(filter: Filter, k: int) -> list[list[Hit]]:
        return [_meant(asked, models.labels, store, k, category, counted(filter))]

    def counted(filter: Filter) -> Filter:
        return refined_filter(filter, asked, colours=False)

    with stage("store"):
        (page,) = find_pages(store, search, [category], wanted, counted=counted)
    return page


def _meant(
    asked: Asked, labels: "Labels | None", store: "Store", k: int, category: str | None, filter: Filter
) -> list[Hit]:
    """Return the `k` products that say or look like what is asked for most; those beyond `POOL` among all others."""
    found = _ordered(asked, labels, store, POOL, category, filter)
    if k > POOL and len(found) == POOL:
        shown, most = {hit.one_hit for hit in found}, found[-1].score
        others = _ordered(asked, labels, store, MOST_HITS, category, filter)
        found += [replace(hit, score=min(hit.score, most)) for hit in others if hit.one_hit not in shown]
    return found[:k]


def _ordered(
    asked: Asked, labels: "Labels | None", store: "Store", pool: int, category: str | None, filter: Filter
) -> list[Hit]:
    """Return the best of `pool` products that say what is asked for and as many that look like it, best first."""
    said = store.search_words(asked.words(), pool, category, filter)
    seen = _seen(asked, labels, store, pool, category, filter, said)
    scores = {hit.one_hit: (1 - LOOKS) * hit.score for hit in said}
    hits = {hit.one_hit: hit for hit in said}
    for hit, looks in seen:
        hits.setdefault(hit.one_hit, hit)
        scores[hit.one_hit] = scores.get(hit.one_hit, 0.0) + LOOKS * looks
    found = [
        replace(hit, score=round(min(scores[key], 1.0), SCORE_DECIMALS))
        for key, hit in hits.items()
        if not _says_unwanted(hit, asked)
    ]
    return sorted(found, key=lambda hit: (-hit.score, hit.product_id, hit.product.shop))[:pool]


def refined(embedding: NDArray[np.float32], asked: Asked, labels: "Labels | None") -> NDArray[np.float32]:
    """Return an item's embedding as it would be with the colours that words ask for."""
    return labels.recoloured(embedding, asked.values("colour")) if labels else embedding


def refined_filter(filter: Filter, asked: Asked, colours: bool = True) -> Filter:
    """Return a filter with what words leave no doubt about: colours that are wanted, and all that is unwanted."""
    conditions: list[Node] = list(filter.conditions)
    if colours and asked.values("colour"):
        conditions.append(Condition("colour", "=", asked.values("colour")))
    for concept in asked.unwanted:
        if concept.field in ("colour", "category") or concept.field.startswith("attributes."):
            conditions.append(Not(Condition(concept.field, "=", (concept.value,))))  # which facets hold to, too
    return Filter(tuple(conditions))


def reordered(hits: Sequence[Hit], asked: Asked) -> list[Hit]:
    """Return a photo's hits by their score and how many of the words they say, without those that say what is unwanted.

    Colours are not among the words: they were seen to. Blocks of `CANDIDATES` are put in order each by itself, as
    `likeness.rank_hits` does it, so that pages follow each other.
    """
    groups = [concept.said for concept in asked.wanted if concept.field != "colour"] + [(stem,) for stem in asked.rest]
    ordered: list[Hit] = []
    most = 1.0
    for start in range(0, len(hits), CANDIDATES):
        kept = [hit for hit in hits[start : start + CANDIDATES] if not _says_unwanted(hit, asked)]
        weighed = [_weighed(hit, groups) for hit in kept] if groups else kept
        capped = [replace(hit, score=min(hit.score, most)) for hit in weighed]
        ordered += sorted(capped, key=lambda hit: (-hit.score, hit.product_id, hit.product.shop))
        most = ordered[-1].score if ordered else most
    return ordered


def _weighed(hit: Hit, groups: Sequence[Sequence[str]]) -> Hit:
    said = _stems(hit)
    share = sum(not said.isdisjoint(group) for group in groups) / len(groups)
    return replace(hit, score=round(hit.score * (1 - MISSING + MISSING * share), SCORE_DECIMALS))


def _seen(
    asked: Asked,
    labels: "Labels | None",
    store: "Store",
    k: int,
    category: str | None,
    filter: Filter,
    said: Sequence[Hit],
) -> list[tuple[Hit, float]]:
    """Return products that look like the words, and those that say them, with how much they do, in [0, 1]."""
    vector = labels.vector(asked) if labels else None
    if vector is None:
        return []
    found = store.search(vector[None], k, [category or asked.category], filter)[0]
    if said:
        named = Condition("product_id", "=", tuple(sorted({hit.product_id for hit in said})))
        found += store.search(vector[None], len(said), [category], Filter((*filter.conditions, named)))[0]
    unique = {hit.one_hit: hit for hit in found}
    scores = [hit.score for hit in unique.values()]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(hit, (hit.score - low) / (high - low) if high > low else 1.0) for hit in unique.values()]


def _says_unwanted(hit: Hit, asked: Asked) -> bool:
    """Return whether a product's texts say what is unwanted, colours and categories aside: pictures tell those."""
    unwanted = [c.said for c in asked.unwanted if c.field not in ("colour", "category")]
    unwanted += [(stem,) for stem in asked.without]
    return bool(unwanted) and any(not _stems(hit).isdisjoint(group) for group in unwanted)


def _stems(hit: Hit) -> set[str]:
    product = hit.product
    texts = (product.title, product.article_type or "", *product.tags.values(), *hit.attributes.values())
    return {stem for text in texts for stem in word_stems(text)}
