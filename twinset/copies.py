"""Near-duplicate listings: products of one shop whose first pictures look the same, told from variants of a product."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from twinset.errors import UsageError
from twinset.types import Hit, Product

if TYPE_CHECKING:
    from twinset.store import Store

COPY_SCORE = 0.99  # of two vectors: the same picture sized, cut or packed anew; looked at on 3,500 shop pictures
ROUNDING = 1e-6  # what fp32 leaves of the cosine of equal vectors
BLOCK = 2048  # vectors compared with all others at once


@dataclass(frozen=True, slots=True)
class Copies:
    """Listings of what looks like one product."""

    shop: str
    category: str | None
    score: float  # of the pair least alike: the first and another
    same_picture: bool  # byte for byte, all of them
    products: tuple[Product, ...]  # two or more, by id


@dataclass(frozen=True, slots=True, eq=False)
class _Lead:
    """A product by its first picture."""

    product: Product
    vector: NDArray[np.float32]
    image_hash: str


def find_copies(store: "Store", *, shop: str | None = None, min_score: float = COPY_SCORE) -> list[Copies]:
    """Return the near-duplicate listings of a store, of one shop or all, the largest groups first.

    A product is compared by its first picture, within its shop and category; a group is a product and those at least
    `min_score` like it, none of them in two groups. Products of one `group_id` are variants and no copies. Takes time
    by the square of the largest category. Raises UsageError.
    """
    if not 0 < min_score <= 1:
        raise UsageError(
            f"min_score: expected a number over 0, up to 1, found {min_score}",
            field="min_score",
            expected="a number over 0, up to 1",
            found=str(min_score),
        )
    sets: dict[tuple[str, str | None], list[_Lead]] = {}
    for entry in store.entries():
        if shop is None or entry.product.shop == shop:
            lead = entry.items[0]
            named = _Lead(entry.product, lead.embedding, entry.image_hashes[0])
            sets.setdefault((entry.product.shop, lead.category), []).append(named)
    found = [
        _copies(name, category, [leads[i] for i in group])
        for (name, category), leads in sets.items()
        for group in _groups(_sorted(leads), min_score)
    ]
    return sorted(found, key=lambda copies: (-len(copies.products), copies.shop, copies.products[0].product_id))


def fold_copies(hits: Sequence[Hit], vectors: NDArray[np.float32]) -> tuple[list[Hit], NDArray[np.float32]]:
    """Return hits, best first with their vectors (N, D), without those that are copies of a better one, which names
    them.
    """
    kept: list[int] = []
    copies: dict[int, list[str]] = {}
    for i in range(len(hits)):
        like = vectors[kept] @ vectors[i] if kept else np.zeros(0)
        original = next((kept[j] for j in np.flatnonzero(like >= COPY_SCORE)), None)
        if original is None:
            kept.append(i)
        else:
            copies.setdefault(original, []).append(hits[i].product_id)
    return [replace(hits[i], copies=tuple(copies.get(i, ()))) for i in kept], vectors[kept]


def lead_vectors(store: "Store", products: Sequence[Product]) -> NDArray[np.float32]:
    """Return the (N, D) vectors of products' first pictures; zeros for one that is gone meanwhile."""
    from twinset.store import Key

    keys = [Key(product.shop, product.product_id) for product in products]
    found = {entry.key: entry.items[0].embedding for entry in store.entries(set(keys))}
    vectors = np.zeros((len(keys), store.dim), np.float32)
    for i, key in enumerate(keys):
        if key in found:
            vectors[i] = found[key]
    return vectors


def _sorted(leads: list[_Lead]) -> list[_Lead]:
    leads.sort(key=lambda lead: lead.product.product_id)
    return leads


def _groups(leads: Sequence[_Lead], min_score: float) -> Iterator[list[int]]:
    """Yield groups of places among leads, each a first one and its copies."""
    taken = np.zeros(len(leads), bool)
    vectors = np.stack([lead.vector for lead in leads])
    for start in range(0, len(leads), BLOCK):
        alike = vectors[start : start + BLOCK] @ vectors[start:].T >= min_score - ROUNDING
        for i in np.flatnonzero(alike.sum(1) > 1).tolist():
            if taken[start + i]:
                continue
            others = [start + int(j) for j in np.flatnonzero(alike[i]) if j > i and not taken[start + j]]
            group = [start + i, *(j for j in others if not _are_variants(leads[start + i], leads[j]))]
            if len(group) > 1:
                taken[group] = True
                yield group


def _are_variants(one: _Lead, other: _Lead) -> bool:
    return one.product.group_id is not None and one.product.group_id == other.product.group_id


def _copies(shop: str, category: str | None, leads: Sequence[_Lead]) -> Copies:
    score = min(float(lead.vector @ leads[0].vector) for lead in leads[1:])
    same = len({lead.image_hash for lead in leads}) == 1
    return Copies(shop, category, min(score, 1.0), same, tuple(lead.product for lead in leads))
