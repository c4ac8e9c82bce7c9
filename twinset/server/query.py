"""What a search asks for, read from its form, and the cursor that names a later page of one item's hits."""

from dataclasses import dataclass
from typing import Any

from twinset.boxes import parse_box
from twinset.server.access import Caller
from twinset.server.http import read_cursor, write_cursor
from twinset.server.uploads import PhotoForm, wrong
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
    keep: bool  # hold the photo

    @property
    def kind(self) -> str:
        """What is written down of how it was asked."""
        return "whole" if self.whole else "crop" if self.box else "photo"


def read_query(form: PhotoForm, caller: Caller) -> Query:
    """Return what a form asks for, of the shop its caller may see. Raises UsageError."""
    box, whole, category = form.text("box"), form.flag("whole"), form.text("category")
    offset, corners = 0, parse_box(box) if box else None
    cursor = form.text("cursor")
    if cursor is not None:
        if corners or whole or category is not None:
            raise wrong("cursor", "no box, whole or category beside it: it has its own", "one of them")
        offset, corners, category, whole = _read_place(cursor)
    return Query(
        k=form.whole_number("k", 24, 1, MAX_K),
        offset=offset,
        category=category,
        box=corners,
        whole=whole,
        where=tuple(conditions(form.fields.get("where", []), form.text("shop"), caller)),
        keep=form.flag("keep"),
    )


def conditions(where: list[str], shop: str | None, caller: Caller) -> list[str]:
    """Return search conditions with the shop the caller may see, or asks for, among them."""
    found = caller.where([condition for condition in where if condition])
    if shop is not None and caller.shop_for(shop) != caller.shop:
        found.append(f'shop="{shop}"')
    return found


def next_place(query: Query, item: FoundItem) -> str | None:
    """Return the cursor of the page behind one that was full."""
    offset = query.offset + query.k
    if offset + query.k > MAX_DEPTH:
        return None
    return write_cursor(offset, query.whole, item.category or "", *item.box)


def _read_place(text: str) -> tuple[int, Box | None, str | None, bool]:
    place: list[Any] = read_cursor(text, int, bool, str, float, float, float, float) or []
    offset, whole, category, *corners = place
    if not 0 < offset < MAX_DEPTH:
        raise wrong("cursor", "the next_cursor of an item", text)
    box = None if whole else parse_box(",".join(map(repr, corners)))
    return offset, box, category or None, whole
