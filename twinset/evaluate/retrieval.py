"""Whether the nearest products are the right ones: validation products searched among all others of a feed.

Queries are the products whose id ends in 0, without those of no category and those with a byte-identical photo
elsewhere in the feed; what is searched is every product that is no query. The crops are those that indexing would
describe; the baselines see the same crops.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twinset.data.background import item_box
from twinset.data.feed import Feed
from twinset.data.labelled import LabelledImage
from twinset.errors import UsageError
from twinset.evaluate.baselines import Embed, imagenet_features, lab_histograms
from twinset.evaluate.likeness import (
    Described,
    Rejection,
    WordFigures,
    find_by_words,
    ranked_rows,
    reject,
    street_like_recall,
)
from twinset.evaluate.shots import is_validation, read_shots
from twinset.evaluate.street import StreetFigures, evaluate_street
from twinset.images import crop
from twinset.models import Models
from twinset.pipeline import describe_products
from twinset.taxonomy import Taxonomy
from twinset.types import Image, Item, Product

CUT_OFFS = (1, 10, 24)


@dataclass(frozen=True, slots=True)
class EncoderFigures:
    """What one encoder's nearest products have in common with the query."""

    n: int
    type_at_1: float  # the first hit's article type is the query's
    colour_at_1: float  # and its base colour
    both_at_1: float
    type_at_10: float  # the mean share of the first ten
    colour_at_10: float
    type_at_24: float
    colour_at_24: float
    ndcg_at_10: float  # gains: 2 same type, 1 same colour, 1 both, 1 same type and gender
    gender_at_1: float  # of queries whose title names a gender
    gender_at_10: float
    gender_at_24: float


@dataclass(frozen=True, slots=True)
class Example:
    query: Product
    hits: tuple[Product, ...]
    gain: float


@dataclass(frozen=True, slots=True)
class RetrievalFigures:
    encoders: dict[str, EncoderFigures]  # the model's first, as products are ranked; its vectors alone; the baselines
    within_category: dict[str, EncoderFigures]  # the same, searched among products of the query's category
    slices: dict[str, EncoderFigures]  # the model's first within the category, of some queries
    self_found: float  # of all products: the nearest is the product, or one with the same photo
    products: int
    unread: tuple[str, ...]  # products without a picture that can be read, and why; not among `products`
    worst: tuple[Example, ...]
    words: WordFigures
    rejection: Rejection | None  # None: the model has no labels
    street_like: tuple[float, float] | None  # recall at 1 and 10 of synthetic views, see likeness.py; None: not asked
    street: StreetFigures | None  # of items of street photos; None: not asked

    def as_json(self) -> dict[str, Any]:
        """Return the figures by name, without pictures."""
        first = next(iter(self.encoders.values()))
        synthetic = dict(zip(("at_1", "at_10"), self.street_like, strict=True)) if self.street_like else None
        return {
            **asdict(first),
            "self_found": self.self_found,
            "products": self.products,
            "unread": len(self.unread),
            "encoders": {name: asdict(figures) for name, figures in self.encoders.items()},
            "within_category": {name: asdict(figures) for name, figures in self.within_category.items()},
            "slices": {name: asdict(figures) for name, figures in self.slices.items()},
            "words": asdict(self.words),
            "rejection": asdict(self.rejection) if self.rejection else None,
            "synthetic_instance": synthetic,
            "street": asdict(self.street) if self.street else None,
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Facts:
    """Labels of every product, by row; -1 is unknown and like nothing."""

    categories: NDArray[np.int64]
    types: NDArray[np.int64]
    colours: NDArray[np.int64]
    genders: NDArray[np.int64]


def evaluate_retrieval(
    feed: Feed,
    models: Models,
    baselines: bool = True,
    scenes: Sequence[Image] | None = None,
    advance: Callable[[int], None] = lambda count: None,
    towers: Mapping[str, Embed] = MappingProxyType({}),
    street: Sequence[LabelledImage] = (),
) -> RetrievalFigures:
    """Return the figures of a model on a feed, and with `baselines` those of ImageNet features and a Lab histogram.

    `towers` are further encoders by name, which see the same crops.

    With `scenes`, backgrounds of street photos, products are looked for by synthetic street-like views too; items of
    `street` photos are searched among the products. `advance` is told of products embedded and of photos. Raises
    UsageError without validation products, MissingExtra without torch for the baselines and the views.
    """
    others: dict[str, Embed] = {}
    if baselines:
        others = {"imagenet-lite0": imagenet_features(), "lab-histogram": lab_histograms}
    taken = {models.name, *others} & set(towers)
    if taken:
        raise UsageError(f"--tower: expected names of their own, found {', '.join(sorted(taken))}", field="tower")
    others |= towers
    products: list[Product] = []
    items: list[Item] = []
    facts_seen: list[_Seen] = []
    pictures: dict[int, Image] = {}
    unread: list[str] = []
    digests: list[str] = []
    vectors: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (models.name, *others)}
    for part in read_shots(feed.products, unread):
        shown, images = [shot.product for shot in part], [shot.image for shot in part]
        boxes = [item_box(shot.image) if shot.product.category_given else None for shot in part]
        found = describe_products(shown, images, boxes, models)
        crops = [crop(image, item.box) for image, item in zip(images, found, strict=True)]
        vectors[models.name].append(np.stack([item.embedding for item in found]))
        facts_seen += [_Seen(box is not None, float(cut.mean())) for box, cut in zip(boxes, crops, strict=True)]
        if scenes is not None:
            kept = (i for i, product in enumerate(shown) if is_validation(product))
            pictures |= {len(products) + i: images[i] for i in kept}
        items += found
        for name, embed in others.items():
            vectors[name].append(embed(crops))
        products += shown
        digests += [shot.digest for shot in part]
        advance(len(part))
    same_photo = Counter(digests)
    is_query = np.array(
        [
            is_validation(product) and product.category is not None and same_photo[digest] == 1
            for product, digest in zip(products, digests, strict=True)
        ]
    )
    if not is_query.any() or is_query.all():
        raise UsageError(
            f"{feed.path}: expected products with a category whose id ends in 0, and others to search, "
            f"found {is_query.sum()} and {(~is_query).sum()}"
        )
    facts, queries, gallery = _facts(products, models.taxonomy), np.flatnonzero(is_query), np.flatnonzero(~is_query)
    own = np.concatenate(vectors[models.name])
    described = Described(products, items, own, queries, gallery)
    asked = {row: image for row, image in pictures.items() if is_query[row]}
    ranked = {name: _both(np.concatenate(parts), queries, gallery, facts) for name, parts in vectors.items()}
    if models.labels:
        k = min(max(CUT_OFFS), len(gallery))
        both = [ranked_rows(described, models.labels, queries, gallery, inside, k)[0] for inside in (False, True)]
        alone = {f"{name}, vectors alone" if name == models.name else name: rows for name, rows in ranked.items()}
        ranked = {models.name: (both[0], both[1])} | alone
    return RetrievalFigures(
        {name: _figures(facts, queries, everywhere) for name, (everywhere, _) in ranked.items()},
        {name: _figures(facts, queries, inside) for name, (_, inside) in ranked.items()},
        _slices(products, facts, facts_seen, queries, ranked[models.name][1]),
        self_found(own, digests),
        len(products),
        tuple(unread),
        _worst(products, facts, queries, ranked[models.name][0]),
        find_by_words(described, models),
        reject(described, models.labels) if models.labels else None,
        None if scenes is None else street_like_recall(described, asked, scenes, models),
        evaluate_street(street, models, described, advance) if street else None,
    )


class _Seen(NamedTuple):
    """What a product's picture shows, for the slices."""

    alone: bool  # on a plain background
    lightness: float  # of the crop


def _both(
    matrix: NDArray[np.float32], queries: NDArray[np.int64], gallery: NDArray[np.int64], facts: _Facts
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows nearest to the queries, of all and of their category."""
    return rank(matrix, queries, gallery), rank(matrix, queries, gallery, facts.categories)


def _slices(
    products: Sequence[Product],
    facts: _Facts,
    seen: Sequence[_Seen],
    queries: NDArray[np.int64],
    ranked: NDArray[np.int64],
) -> dict[str, EncoderFigures]:
    """Return the figures of queries that are alike in something; slices of none are left out."""
    light = np.array([seen[row].lightness for row in queries])
    alone = np.array([seen[row].alone for row in queries])
    indian = np.array([products[row].tags.get("usage") == "Ethnic" for row in queries])
    gender = facts.genders[queries]
    wear = facts.categories[queries] >= 0
    chosen = {
        "alone or laid flat": alone,
        "on a model and others": ~alone,
        "men's": gender == 0,
        "women's": gender == 1,
        "Indian wear": wear & indian,
        "Western wear": wear & ~indian,
        "darker half": light < np.median(light),
        "lighter half": light >= np.median(light),
    }
    return {name: _figures(facts, queries[rows], ranked[rows], queries) for name, rows in chosen.items() if rows.any()}


def self_found(matrix: NDArray[np.float32], digests: Sequence[str]) -> float:
    """Return the share of rows (N, D) whose nearest row, itself among them, has the same photo."""
    right = 0
    for start in range(0, len(matrix), 512):
        nearest = (matrix[start : start + 512] @ matrix.T).argmax(1).tolist()
        right += sum(digests[start + i] == digests[j] for i, j in enumerate(nearest))
    return right / max(1, len(matrix))


def _facts(products: Sequence[Product], taxonomy: Taxonomy) -> _Facts:
    types = {name: i for i, name in enumerate(sorted({p.article_type or "" for p in products}))}
    colours = {name: i for i, name in enumerate(taxonomy.colours)}
    bases = [taxonomy.base_colour(p.tags.get("colour") or p.tags.get("color", "")) for p in products]
    return _Facts(
        np.array([taxonomy.names.index(p.category) if p.category else -1 for p in products]),
        np.array([types[p.article_type] if p.article_type else -1 for p in products]),
        np.array([colours[base] if base else -1 for base in bases]),
        np.array([gender_of(p.title) for p in products]),
    )


def gender_of(title: str) -> int:
    """Return 0 for a title of men's things, 1 women's, 2 boys', 3 girls', -1 where it names none or several."""
    genders = {"men": 0, "women": 1, "boys": 2, "girls": 3, "mens": 0, "womens": 1, "boy": 2, "girl": 3}
    named = {genders[word] for word in title.lower().replace("'", "").split() if word in genders}
    return named.pop() if len(named) == 1 else -1


def rank(
    matrix: NDArray[np.float32],
    queries: NDArray[np.int64],
    gallery: NDArray[np.int64],
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Return the (Q, K) gallery rows of `matrix` (N, D) nearest to each query row, best first.

    K is 24, or the whole gallery. With `groups` (N,) those of the query's group come before all others.
    """
    k = min(max(CUT_OFFS), len(gallery))
    found = []
    for start in range(0, len(queries), 256):
        asked = queries[start : start + 256]
        similarity = matrix[asked] @ matrix[gallery].T
        if groups is not None:
            similarity -= 4.0 * (groups[asked][:, None] != groups[gallery])  # cosines span 2
        top = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(similarity, top, 1), axis=1, kind="stable")
        found.append(gallery[np.take_along_axis(top, order, 1)])
    return np.concatenate(found)


def _gains(facts: _Facts, queries: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """Return (Q, K) same type, same colour, gain."""
    same_type = (facts.types[queries][:, None] == facts.types[rows]) & (facts.types[rows] >= 0)
    same_colour = (facts.colours[queries][:, None] == facts.colours[rows]) & (facts.colours[rows] >= 0)
    same_gender = (facts.genders[queries][:, None] == facts.genders[rows]) & (facts.genders[rows] >= 0)
    gain = 2.0 * same_type + same_colour + (same_type & same_colour) + (same_type & same_gender)
    return same_type, same_colour, gain


def _figures(
    facts: _Facts, queries: NDArray[np.int64], ranked: NDArray[np.int64], asked: NDArray[np.int64] | None = None
) -> EncoderFigures:
    """Return the figures of some queries, of `asked` if those are not all."""
    same_type, same_colour, gain = _gains(facts, queries, ranked)
    gallery = np.setdiff1d(np.arange(len(facts.types)), queries if asked is None else asked)
    discount = 1 / np.log2(np.arange(2, 12))
    width = min(10, gain.shape[1])
    ndcg = []
    for i, query in enumerate(queries):
        best = np.sort(_gains(facts, query[None], gallery[None])[2][0])[::-1][:width]
        ideal = float((best * discount[:width]).sum())
        ndcg.append(float((gain[i, :width] * discount[:width]).sum()) / ideal if ideal else 0.0)
    return EncoderFigures(
        len(queries),
        float(same_type[:, 0].mean()),
        float(same_colour[:, 0].mean()),
        float((same_type & same_colour)[:, 0].mean()),
        float(same_type[:, :10].mean()),
        float(same_colour[:, :10].mean()),
        float(same_type[:, :24].mean()),
        float(same_colour[:, :24].mean()),
        float(np.mean(ndcg)),
        *(_gender_share(facts, queries, ranked[:, :cut]) for cut in CUT_OFFS),
    )


def _gender_share(facts: _Facts, queries: NDArray[np.int64], ranked: NDArray[np.int64]) -> float:
    """Return the mean share of hits of the query's gender, of queries and hits that name one."""
    known = (facts.genders[queries] >= 0)[:, None] & (facts.genders[ranked] >= 0)
    same = facts.genders[queries][:, None] == facts.genders[ranked]
    return float(same[known].mean()) if known.any() else 0.0


def _worst(
    products: Sequence[Product], facts: _Facts, queries: NDArray[np.int64], ranked: NDArray[np.int64], count: int = 40
) -> tuple[Example, ...]:
    gain = _gains(facts, queries, ranked)[2][:, :6].mean(1)
    return tuple(
        Example(products[queries[i]], tuple(products[j] for j in ranked[i, :6]), float(gain[i]))
        for i in np.argsort(gain, kind="stable")[:count]
    )
