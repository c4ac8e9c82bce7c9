"""What a search asks for, read from its form, and the cursor that names a later page of one item's hits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twinset.boxes import parse_box
from twinset.server.access import Caller
from twinset.server.http import read_cursor, write_cursor
from twinset.server.uploads import PhotoForm, wrong
from twinset.store.where import quoted
from twinset.types import Box, FoundItem

MAX_K = 200
MAX_DEPTH = 1000  # hits of an item that can be paged through


@dataclass(frozen=True, slots=True)
class Query:
    """A search, beside its photo."""

    k: int
    offset: int  # hits of earlier pages
    category: str | None
    box: Box | None
    whole: bool
    where: tuple[str, ...]
    shop: str | None  # None: all shops
    min_score: float
    facets: tuple[str, ...]  # fields to count hits by
    words: str  # what should be otherwise: like this but red
    keep: bool  # hold the photo

    @property
    def narrowed(self) -> bool:
        """Whether the search itself leaves products out: then nothing close is no miss of the shop's."""
        return bool(self.where or self.words or self.min_score)

    @property
    def kind(self) -> str:
        """What is written down of how it was asked."""
        return "page" if self.offset else "whole" if self.whole else "crop" if self.box else "photo"


def read_query(form: PhotoForm, caller: Caller) -> Query:
    """Return what a form asks for, of the shop its caller may see. Raises UsageError."""
    box, whole, category = form.text("box"), form.flag("whole"), form.text("category")
    offset, corners = 0, parse_box(box) if box else None
    cursor = form.text("cursor")
    if cursor is not None:
        if corners or whole or category is not None:
            raise wrong("cursor", "no box, whole or category beside it: it has its own", "one of them")
        offset, corners, category, whole = _read_place(cursor)
    where = [condition for condition in form.fields.get("where", []) if condition]
    itself = form.text("product_id")
    if itself is not None:
        shop = caller.shop_for(form.text("shop"))
        where.append(f"not (shop={quoted(shop)} and product_id={quoted(itself)})")
    return Query(
        k=form.whole_number("k", 24, 1, MAX_K),
        offset=offset,
        category=category,
        box=corners,
        whole=whole,
        where=tuple(where),
        shop=shop_of(form.text("shop"), caller),
        min_score=form.share("min_score") or 0.0,
        facets=words_of(form.fields.get("facets", [])),
        words=form.text("words") or "",
        keep=form.flag("keep"),
    )


def shop_of(asked: str | None, caller: Caller) -> str | None:
    """Return the shop to search: the caller's own or the one asked for, None for all. 403 for another's."""
    return caller.shop_for(asked) if asked or caller.shop else None


def words_of(values: Sequence[str]) -> tuple[str, ...]:
    """Return the words of comma-separated lists, each once."""
    return tuple(dict.fromkeys(word.strip() for value in values for word in value.split(",") if word.strip()))


def next_place(query: Query, item: FoundItem) -> str | None:
    """Return the cursor of an item's next page, None behind its last."""
    if item.next_offset is None or item.next_offset >= MAX_DEPTH:
        return None
    return write_cursor(item.next_offset, query.whole, item.category or "", *item.box)


def _read_place(text: str) -> tuple[int, Box | None, str | None, bool]:
    place: list[Any] = read_cursor(text, int, bool, str, float, float, float, float) or []
    offset, whole, category, *corners = place
    if not 0 < offset < MAX_DEPTH:
        raise wrong("cursor", "the next_cursor of an item", text)
    box = None if whole else parse_box(",".join(map(repr, corners)))
    return offset, box, category or None, whole
