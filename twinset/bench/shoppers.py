"""Simulated shoppers whose taste is known: does `twinset learn` find it, and leave the order alone where there is none?

A shopper is shown hits of a drawn shop, looks at each place as likely as 1 / (1 + place), and clicks what is looked at
and wanted. How much a hit is wanted is a logistic of its likeness, colour, price, sale and stock; with no taste at all
clicks are as likely on any hit. Everything is drawn from a seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinset.learn.learning import fit_ranker
from twinset.learn.rerank import AT
from twinset.learn.shown import Shown, shown_of
from twinset.ranking import POOL, Ranker, features_of
from twinset.types import Colour, Hit, Product

SHOWN = 24  # of POOL hits
COLOURS = ("black", "white", "blue", "red", "green", "beige")
HEADER = ("shoppers", "events", "clicks_at_5", "learned_clicks_at_5", "gain", "p_better", "p_related", "applied")


@dataclass(frozen=True, slots=True)
class Taste:
    """How much more a shopper wants a hit for each unit of ranking.FEATURES, in log odds."""

    weights: tuple[float, ...] = (6.0, 2.0, -0.8, 0.5, 1.0)
    bias: float = -6.5

    def wanted(self, facts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (N,) how likely hits with these (N, 5) facts are wanted."""
        worth = facts @ np.array(self.weights) - self.weights[2] * math.log2(40.0) + self.bias
        shares: NDArray[np.float64] = 1 / (1 + np.exp(-worth))
        return shares


TASTE = Taste()
NOISE = Taste((0.0,) * 5, -0.4)
TASTES = {"with a taste": TASTE, "without": NOISE}


@dataclass(frozen=True, slots=True)
class Search:
    """What somebody looks for, and the shop's hits, nearest first."""

    name: str
    colours: tuple[Colour, ...]
    hits: tuple[Hit, ...]


def draw_search(random: np.random.Generator, name: str) -> Search:
    """Return a search with POOL hits."""
    scores = np.sort(np.clip(random.normal(0.7, 0.08, POOL), 0.3, 0.99))[::-1]
    prices = np.exp(random.normal(math.log(40), 0.6, POOL)).round(2)
    on_sale, in_stock = random.random(POOL) < 0.2, random.random(POOL) < 0.8
    colours = _draw_colours(random, POOL + 1)
    hits = []
    for i in range(POOL):
        price = float(prices[i])
        sale_price = round(price * 0.8, 2) if on_sale[i] else None
        product = Product(str(i), (), price=price, sale_price=sale_price, in_stock=bool(in_stock[i]))
        hits.append(Hit(float(scores[i]), product, (0.0, 0.0, 1.0, 1.0), "", "top", colours[i]))
    return Search(name, colours[POOL], tuple(hits))


def visit(random: np.random.Generator, search: Search, order: Sequence[Hit], taste: Taste) -> NDArray[np.bool_]:
    """Return (SHOWN,) which of the hits shown in this order a shopper clicks."""
    wanted = taste.wanted(features_of(search.colours, order[:SHOWN]))
    looked = 1 / (1 + np.arange(SHOWN))
    clicked: NDArray[np.bool_] = random.random(SHOWN) < wanted * looked
    return clicked


def draw_shown(taste: Taste, events: int, seed: int) -> Shown:
    """Return lists in the shop's own order until so many clicks came of them."""
    random, clicks = np.random.default_rng(seed), 0
    lists: list[tuple[str, NDArray[np.float64], NDArray[np.bool_]]] = []
    while clicks < events:
        search = draw_search(random, f"{seed}-{len(lists)}")
        clicked = visit(random, search, search.hits, taste)
        lists.append((search.name, features_of(search.colours, search.hits[:SHOWN]), clicked))
        clicks += int(clicked.sum())
    return shown_of(lists)


def clicks_at_5(taste: Taste, ranker: Ranker | None, shoppers: int, seed: int) -> float:
    """Return the clicks on the first five hits of a hundred new shoppers, in the shop's own order or a learned one."""
    random, clicks = np.random.default_rng(seed), 0
    for no in range(shoppers):
        search = draw_search(random, f"{seed}-{no}")
        order = ranker.order(search.colours, search.hits) if ranker else search.hits
        clicks += int(visit(random, search, order, taste)[:AT].sum())
    return 100 * clicks / shoppers


def run(events: int, shoppers: int, seed: int = 0) -> None:
    """Print what learning brings shoppers who were not learned from, with a taste and without."""
    from twinset.bench.timing import print_results

    rows = []
    for name, taste in TASTES.items():
        ranker, verdict = fit_ranker(draw_shown(taste, events, seed))
        before, after = (clicks_at_5(taste, each, shoppers, seed + 1) for each in (None, ranker))
        rows.append(
            (name, events, before, after, after / before - 1, verdict.p_better, verdict.p_related, verdict.holds)
        )
    print_results("learn", HEADER, rows, new_shoppers=shoppers, seed=seed)


def _draw_colours(random: np.random.Generator, count: int) -> list[tuple[Colour, ...]]:
    """Return two different colours each."""
    first = random.integers(0, len(COLOURS), count)
    second = (first + random.integers(1, len(COLOURS), count)) % len(COLOURS)
    shares = random.uniform(0.6, 1.0, count)
    return [
        (Colour(COLOURS[a], float(share)), Colour(COLOURS[b], float(1 - share)))
        for a, b, share in zip(first, second, shares, strict=True)
    ]
