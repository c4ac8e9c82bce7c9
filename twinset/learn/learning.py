"""`twinset learn`: figures of what was shown and clicked, and an order of hits kept where it does better."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinset.events import EventLog
from twinset.learn.bias import propensities
from twinset.learn.rerank import AT, Verdict, fit, judge
from twinset.learn.shown import Shown, read_shown
from twinset.ranking import FEATURES, Ranker, load_ranker, save_ranker
from twinset.store import Store

DAY_S = 24 * 3600.0
LEAST_CLICKS = 500  # below these nothing is learned: what is held out would be a hundred
BIAS = (
    "position-based model: P(click) = P(looked at | place) * P(wanted | hit), both estimated by regression EM "
    "(Wang et al., WSDM 2018)"
)


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """What shoppers made of what they were shown."""

    lists: int
    clicks: int
    looked: NDArray[np.float64]  # (K,) by place, the likeliest 1
    ndcg: float  # of clicks, each weighed by how unlikely its place is looked at; NaN without clicks
    click_through: float  # lists with a click, of all
    clicks_at_5: float  # clicks on the first five, a hundred lists
    shown_at: NDArray[np.int64]  # (K,) lists with a hit at each place
    clicked_at: NDArray[np.int64]  # (K,)


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned of one shop, and whether searches go by it now."""

    shop: str
    figures: Figures
    verdict: Verdict | None  # None: too few clicks
    ranker: Ranker | None
    applied: bool
    reason: str


def measure(shown: Shown) -> Figures:
    """Return figures of lists that were shown."""
    looked = propensities(shown)
    gains = shown.clicked / looked
    discount = 1 / np.log2(np.arange(gains.shape[1]) + 2)
    ideal = (-np.sort(-gains, axis=1) * discount).sum(1)
    clicked = ideal > 0
    ndcg = float(((gains * discount).sum(1)[clicked] / ideal[clicked]).mean()) if clicked.any() else float("nan")
    count = max(len(shown), 1)
    first = 100 * float(shown.clicked[:, :AT].sum()) / count
    through = float(shown.clicked.any(1).sum()) / count
    return Figures(len(shown), shown.clicks, looked, ndcg, through, first, shown.there.sum(0), shown.clicked.sum(0))


def learn(log: EventLog, store: Store, shop: str = "default", days: float = 90, dry_run: bool = False) -> Learned:
    """Return what the last days' clicks teach, and keep it with the store unless `dry_run`.

    Where it is not better on lists held out, what was learned before stays as it is. Raises StoreError.
    """
    shown = read_shown(log, shop, time.time() - days * DAY_S)
    figures = measure(shown)
    if shown.clicks < LEAST_CLICKS:
        reason = f"expected {LEAST_CLICKS} clicks or more, found {shown.clicks}"
        return Learned(shop, figures, None, None, False, reason)
    ranker, verdict = fit_ranker(shown)
    applied = verdict.holds and not dry_run
    if applied:
        save_ranker(store, ranker, shop)
    reason = "better on lists held out" if verdict.holds else "not better on lists held out, beyond chance"
    return Learned(shop, figures, verdict, ranker, applied, reason)


def fit_ranker(shown: Shown) -> tuple[Ranker, Verdict]:
    """Return what four lists of five teach, and how it does on the fifth."""
    lessons, held_out = shown.part(~shown.held_out), shown.part(shown.held_out)
    looked = propensities(lessons)
    weights = fit(lessons, looked)
    verdict = judge(held_out, weights, looked)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Ranker(tuple(map(float, weights)), now, lessons.clicks, round(verdict.gain, 4)), verdict


def quality_json(figures: Figures) -> dict[str, Any]:
    """Return figures as the report of an order's quality gives them, by place too."""
    through = [int(c) / int(s) if s else None for c, s in zip(figures.clicked_at, figures.shown_at, strict=True)]
    positions = [
        {
            "position": place,
            "shown": int(figures.shown_at[place]),
            "clicked": int(figures.clicked_at[place]),
            "click_through": None if share is None else round(share, 4),
            "looked_at": round(float(figures.looked[place]), 4),
            "wanted": None if share is None else round(share / float(figures.looked[place]), 4),
        }
        for place, share in enumerate(through)
    ]
    return {
        "lists": figures.lists,
        "clicks": figures.clicks,
        "click_through": round(figures.click_through, 4),
        "clicks_at_5": round(figures.clicks_at_5, 2),
        "ndcg": None if np.isnan(figures.ndcg) else round(figures.ndcg, 4),
        "positions": positions if figures.lists else [],
    }


def learned_json(learned: Learned, store: Store) -> dict[str, Any]:
    """Return `twinset learn`'s answer."""
    figures, verdict, ranker = learned.figures, learned.verdict, learned.ranker
    in_use = load_ranker(store, learned.shop)
    return {
        "shop": learned.shop,
        **quality_json(figures),
        "position_bias": BIAS,
        "looked_at": [round(float(share), 4) for share in figures.looked],
        "weights": dict(zip(FEATURES, (round(w, 4) for w in ranker.weights), strict=True)) if ranker else None,
        "held_out": None
        if verdict is None
        else {
            "clicks_at_5": round(verdict.clicks_at_5, 2),
            "learned_clicks_at_5": round(verdict.learned_clicks_at_5, 2),
            "gain": round(verdict.gain, 4),
            "p_better": round(verdict.p_better, 5),
            "p_related": round(verdict.p_related, 5),
        },
        "applied": learned.applied,
        "reason": learned.reason,
        "in_use": None if in_use is None else {"learned_at": in_use.learned_at, "gain_at_5": in_use.gain_at_5},
    }
