"""Search by words: alone, or beside a photo ("like this but red", "without stripes")."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twinset.describe.words import Asked, lexicon_of, read_words
from twinset.errors import UsageError
from twinset.hits import MOST_HITS, Page, Ranking, Wanted, find_pages
from twinset.likeness import CANDIDATES, SCORE_DECIMALS, scores_under
from twinset.stages import stage
from twinset.store import Filter
from twinset.store.filters import Condition, Node, Not
from twinset.store.texts import Words, word_stems
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
    asked = read_words(words, lexicon_of(models.taxonomy))
    sought = asked.words()
    if not (sought.groups or sought.literal):
        raise UsageError(
            f"words: expected what to look for, such as 'red dress', found {words!r}",
            field="words",
            expected="what to look for, such as 'red dress'",
            found=repr(words),
        )

    def counted(filter: Filter) -> Filter:
        return refined_filter(filter, asked, colours=False)

    with stage("store"):
        ranking = Ranking(store, wanted)
        searched = _Search(asked, models.labels, store, category, counted(ranking.filter))

        def search(filter: Filter, k: int) -> list[list[Hit]]:
            return [searched.meant(k, counted(filter))]

        (page,) = find_pages(ranking, search, [category], counted=counted)
    return page


class _Search:
    """A search by words alone. Rules part it into several, of the products of each of them.

    `every` lets all of these products through: how much they look like the words is measured on the scale of all.
    """

    def __init__(
        self, asked: Asked, labels: "Labels | None", store: "Store", category: str | None, every: Filter
    ) -> None:
        self.asked, self.store, self.category, self.every = asked, store, category, every
        self.vector = labels.vector(asked) if labels else None
        self._scales: dict[int, tuple[float, float]] = {}  # pool -> the cosines that are 0 and 1

    def meant(self, k: int, filter: Filter) -> list[Hit]:
        """Return the `k` products that say or look like what is asked for most; beyond `POOL` those of all others."""
        found, dropped = self._ordered(POOL, filter)
        if k > len(found) and (dropped or len(found) == POOL):
            shown, most = {hit.one_hit for hit in found}, found[-1].score if found else 1.0
            others, _ = self._ordered(MOST_HITS, filter)
            found += _under(most, [hit for hit in others if hit.one_hit not in shown])
        return found[:k]

    def _ordered(self, pool: int, filter: Filter) -> tuple[list[Hit], bool]:
        """Return the best of `pool` products that say what is asked for and as many that look like it, best first.

        And whether some were left out for saying what is unwanted.
        """
        said = self.store.search_words(self.asked.words(), pool, self.category, filter)
        scores = {hit.one_hit: (1 - LOOKS) * hit.score for hit in said}
        hits = {hit.one_hit: hit for hit in said}
        for hit, looks in self._seen(pool, filter, said):
            hits.setdefault(hit.one_hit, hit)
            scores[hit.one_hit] = scores.get(hit.one_hit, 0.0) + LOOKS * looks
        found = [
            replace(hit, score=round(min(scores[key], 1.0), SCORE_DECIMALS))
            for key, hit in hits.items()
            if not _says_unwanted(hit, self.asked)
        ]
        return _under(1.0, found)[:pool], len(found) < len(hits)

    def _seen(self, pool: int, filter: Filter, said: Sequence[Hit]) -> list[tuple[Hit, float]]:
        """Return products that look like the words, and those that say them, with how much they do, in [0, 1]."""
        if self.vector is None:
            return []
        found = self._nearest(self.vector, pool, filter, said)
        if pool not in self._scales:
            every = found
            if filter != self.every:
                said = self.store.search_words(self.asked.words(), pool, self.category, self.every)
                every = self._nearest(self.vector, pool, self.every, said)
            scores = [hit.score for hit in every]
            self._scales[pool] = min(scores, default=0.0), max(scores, default=0.0)
        low, high = self._scales[pool]
        return [(hit, min(max((hit.score - low) / (high - low), 0.0), 1.0) if high > low else 1.0) for hit in found]

    def _nearest(self, vector: NDArray[np.float32], k: int, filter: Filter, said: Sequence[Hit]) -> list[Hit]:
        """Return the `k` products nearest to the words' vector, and those that say them, each once."""
        found = self.store.search(vector[None], k, [self.category or self.asked.category], filter)[0]
        if said:
            named = Condition("product_id", "=", tuple(sorted({hit.product_id for hit in said})))
            found += self.store.search(vector[None], len(said), [self.category], Filter((*filter.conditions, named)))[0]
        return list({hit.one_hit: hit for hit in found}.values())


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


def said_groups(asked: Asked, store: "Store") -> list[tuple[str, ...]]:
    """Return the words for each thing that is asked, colours aside, of those that any of a store's products says.

    What none says, such as "cheaper", would lower all scores alike, and nothing would be close enough any more.
    """
    return [group for group in _groups(asked) if store.search_words(Words((group,)), 1)]


def _groups(asked: Asked) -> list[tuple[str, ...]]:
    return [concept.said for concept in asked.wanted if concept.field != "colour"] + [(stem,) for stem in asked.rest]


def reordered(hits: Sequence[Hit], asked: Asked, groups: Sequence[Sequence[str]]) -> list[Hit]:
    """Return a photo's hits by their score and how many of the `groups` of words they say; see `said_groups`.

    Those that say what is unwanted are left out. Blocks of `CANDIDATES` are put in order each by itself, as
    `likeness.rank_hits` does it, so that pages follow each other.
    """
    ordered: list[Hit] = []
    most = 1.0
    for start in range(0, len(hits), CANDIDATES):
        kept = [hit for hit in hits[start : start + CANDIDATES] if not _says_unwanted(hit, asked)]
        ordered += _under(most, [_weighed(hit, groups) for hit in kept] if groups else kept)
        most = ordered[-1].score if ordered else most
    return ordered


def _under(most: float, hits: Sequence[Hit]) -> list[Hit]:
    """Return hits best first, none of which scores above `most`; see `likeness.scores_under`."""
    under = scores_under(most, [hit.score for hit in hits])
    scored = (hit.scored(score) for hit, score in zip(hits, under, strict=True))
    return sorted(scored, key=lambda hit: (-hit.score, hit.product_id, hit.product.shop))


def _weighed(hit: Hit, groups: Sequence[Sequence[str]]) -> Hit:
    said = _stems(hit)
    share = sum(not said.isdisjoint(group) for group in groups) / len(groups)
    return replace(hit, score=round(hit.score * (1 - MISSING + MISSING * share), SCORE_DECIMALS))


def _says_unwanted(hit: Hit, asked: Asked) -> bool:
    """Return whether a product's texts say what is unwanted, colours and categories aside: pictures tell those."""
    unwanted = [c.said for c in asked.unwanted if c.field not in ("colour", "category")]
    unwanted += [(stem,) for stem in asked.without]
    return bool(unwanted) and any(not _stems(hit).isdisjoint(group) for group in unwanted)


def _stems(hit: Hit) -> set[str]:
    product = hit.product
    texts = (product.title, product.article_type or "", *product.tags.values(), *hit.attributes.values())
    return {stem for text in texts for stem in word_stems(text)}
