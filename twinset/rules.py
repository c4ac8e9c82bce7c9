"""What a merchandiser wants of a shop's hits: only what is in stock, some products higher, lower or in front.

Rules are JSON, kept with the store, a shop's own each, and hold for its products alone. A hit's score stays what it is:
rules decide on places. The categories they name are looked at where a merchandiser's JSON is read, by `parse_rules`.
"""

import hashlib
import json
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from twinset.errors import FilterError, StoreError, UsageError
from twinset.store.filters import And, Condition, Filter, Node, Not, Or
from twinset.store.where import parse_where
from twinset.taxonomy import Taxonomy, default_taxonomy
from twinset.types import Hit
from twinset.validation import expected_of

if TYPE_CHECKING:
    from twinset.store import Store

DEFAULT_SHOP = "default"
MOST_MOVES = 20  # each costs a search
MOST_PINS = 50
Search = Callable[[Filter, int], list[list[Hit]]]  # a further filter and k -> hits of each item, best first
_Share = Annotated[float, Field(gt=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Move(_Strict):
    """Products that stand as if their score were higher, or lower."""

    where: str = Field(description="Which ones, as --where says it.", examples=["tags.season=summer"])
    by: _Share = Field(description="By how much of the score's range from 0 to 1.", examples=[0.05])

    @field_validator("where")
    @classmethod
    def _is_filter(cls, text: str, info: ValidationInfo) -> str:
        try:
            parse_where([text], info.context, strict=info.context is not None)
        except FilterError as exc:
            raise ValueError(exc.expected) from exc
        return text


class Pin(_Strict):
    """A product in front of searches of its category that it meets the filters of.

    One of no category stands in front of searches over all of them.
    """

    product_id: str
    category: str | None = Field(None, description="In searches of this category alone.")
    min_score: float = Field(0, ge=0, le=1, description="Only where it is at least so alike.")

    @field_validator("category")
    @classmethod
    def _is_category(cls, name: str | None, info: ValidationInfo) -> str | None:
        known: Taxonomy | None = info.context
        if name is not None and known is not None and name not in known.names:
            raise ValueError(f"one of {', '.join(known.names)}")
        return name


class Rules(_Strict):
    """A shop's rules. A product goes by the first `boost` or `bury` that names it; pins stand in their order."""

    only_in_stock: bool = False
    boost: Annotated[tuple[Move, ...], Field(max_length=MOST_MOVES)] = ()
    bury: Annotated[tuple[Move, ...], Field(max_length=MOST_MOVES)] = ()
    pin: Annotated[tuple[Pin, ...], Field(max_length=MOST_PINS)] = ()

    @property
    def moves(self) -> list[tuple[Move, str, float]]:
        """The moves in the order they are tried: with the word for what they do, and what is added to the score."""
        boosts = [(move, "boosted", move.by) for move in self.boost]
        return boosts + [(move, "buried", -move.by) for move in self.bury]

    def describe(self) -> str:
        """Return them in words, "" for none."""
        counts = {"boost": self.boost, "bury": self.bury, "pin": self.pin}
        words = ["in stock alone"] * self.only_in_stock
        return ", ".join(words + [f"{len(rules)} {name}" for name, rules in counts.items() if rules])


def parse_rules(text: str, taxonomy: Taxonomy | None = None) -> Rules:
    """Return rules from their JSON. Raises UsageError for what they can't be.

    Categories and colours are those of `taxonomy`, by default of the one that ships.
    """
    return _read(text, taxonomy or default_taxonomy())


def _read(text: str, taxonomy: Taxonomy | None) -> Rules:
    """Return rules from their JSON; without a `taxonomy` any name may be a category's or a colour's."""
    try:
        return Rules.model_validate_json(text, strict=True, context=taxonomy)
    except ValidationError as exc:
        error = exc.errors()[0]
        field = ".".join(["rules", *map(str, error["loc"])])
        expected = expected_of(error)
        found = json.dumps(error["input"], ensure_ascii=False, default=str)[:80]
        raise UsageError(
            f"{field}: expected {expected}, found {found}", field=field, expected=expected, found=found
        ) from exc


def load_rules(store: "Store", shop: str = DEFAULT_SHOP) -> Rules:
    """Return a shop's rules, none where none were saved. Raises StoreError for damaged ones.

    They may name a category that the model in use doesn't know, having taken the place of one that did: it is that of
    no product, and no reason to end a search.
    """
    text = store.read_note(_note(shop))
    if text is None:
        return Rules()
    try:
        return _read(json.dumps(json.loads(text)["rules"]), None)
    except (ValueError, KeyError, TypeError, UsageError) as exc:
        raise StoreError(
            f"store {store.uri}: expected rules of shop {shop!r}, found: {exc}; save them anew: twinset rules set"
        ) from exc


def save_rules(store: "Store", rules: Rules, shop: str = DEFAULT_SHOP) -> None:
    """Keep a shop's rules in the place of those it had; the next search goes by them."""
    text = {"shop": shop, "rules": rules.model_dump()}
    store.write_note(_note(shop), json.dumps(text, ensure_ascii=False))


def scope(rules: Rules, shop: str) -> Filter:
    """Return what the hits of any search must meet."""
    if not rules.only_in_stock:
        return Filter()
    return Filter((Or((Not(_of(shop)), Condition("in_stock", "=", (True,)))),))


def apply_rules(
    rules: Rules,
    shop: str,
    search: Search,
    k: int,
    categories: Sequence[Set[str | None]],
    taxonomy: Taxonomy | None = None,
) -> list[list[Hit]]:
    """Return each item's `k` hits in the order the rules make.

    Exact: of the products of each move the `k` nearest are searched for, and of all others, and these are merged.
    `categories` has those that each item is searched in, None for all. `taxonomy` says what colours' names mean.
    """
    classes = _classes(rules, shop, taxonomy)
    found = [(name, by, search(filter, k)) for filter, name, by in classes]
    ranked = [_merged([(name, by, hits[i]) for name, by, hits in found], k) for i in range(len(found[0][2]))]
    if not rules.pin:
        return ranked
    ids = tuple(dict.fromkeys(pin.product_id for pin in rules.pin))
    pinned = search(Filter((_of(shop), Condition("product_id", "=", ids))), len(ids))
    fronts = [
        [hit for hit in hits if hit.category in searched] for hits, searched in zip(pinned, categories, strict=True)
    ]
    return [_with_pins(rules.pin, front, hits)[:k] for front, hits in zip(fronts, ranked, strict=True)]


def _classes(rules: Rules, shop: str, taxonomy: Taxonomy | None) -> list[tuple[Filter, str | None, float]]:
    """Return filters that part all products: those of each move but the moves before it, then those of none."""
    classes: list[tuple[Filter, str | None, float]] = []
    before: list[Node] = []
    for move, name, by in rules.moves:
        mine = And((_of(shop), *parse_where([move.where], taxonomy, strict=False).conditions))
        classes.append((Filter((mine, *(Not(node) for node in before))), name, by))
        before.append(mine)
    return [*classes, (Filter(tuple(Not(node) for node in before)), None, 0.0)]


def _merged(classes: Sequence[tuple[str | None, float, list[Hit]]], k: int) -> list[Hit]:
    if len(classes) == 1:
        return classes[0][2]
    moved = [(hit.score + by, replace(hit, rule=name, moved=by)) for name, by, hits in classes for hit in hits]
    moved.sort(key=lambda pair: (-round(pair[0], 6), pair[1].product_id, pair[1].product.shop))
    best: dict[tuple[str, bool, str], Hit] = {}
    for _, hit in moved:
        first = best.get(hit.one_hit)
        if first is None:
            best[hit.one_hit] = hit
        else:  # variants that other moves name
            best[hit.one_hit] = replace(
                first, variants=first.variants + hit.variants, in_stock=first.in_stock or hit.in_stock
            )
    return list(best.values())[:k]


def _with_pins(pins: Sequence[Pin], pinned: Sequence[Hit], hits: Sequence[Hit]) -> list[Hit]:
    by_id = {hit.product_id: hit for hit in pinned}
    front: dict[tuple[str, bool, str], Hit] = {}
    for pin in pins:
        hit = by_id.get(pin.product_id)
        if hit and pin.category in (None, hit.category) and hit.score >= pin.min_score:
            front.setdefault(hit.one_hit, replace(hit, rule="pinned"))
    same = {hit.one_hit: hit for hit in hits}
    # What a group's other variants say of it was counted over all of them.
    full = [
        replace(hit, variants=same[key].variants, in_stock=same[key].in_stock) if key in same else hit
        for key, hit in front.items()
    ]
    return full + [hit for hit in hits if hit.one_hit not in front]


def _of(shop: str) -> Condition:
    return Condition("shop", "=", (shop,))


def _note(shop: str) -> str:
    return f"rules-{hashlib.sha256(shop.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}"
