"""Write strips of products as one HTML file to look at: under each heading a row of cards."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from twinset.search_page import card, write_page
from twinset.types import Hit, Product


@dataclass(frozen=True, slots=True)
class Card:
    """One product of a strip."""

    product: Product
    note: str = ""
    image: str = ""  # "" for the product's first
    mark: str = ""  # "query", "wanted" or "gone", see `search_page.card`


@dataclass(frozen=True, slots=True)
class Strip:
    """A row of products under a heading."""

    heading: str
    cards: tuple[Card, ...]


def write_strips(path: Path, title: str, strips: Sequence[Strip]) -> None:
    """Write a page, complete in itself. Raises DataError. A picture that can't be read leaves a blank."""
    thumbnails: dict[str, str | None] = {}
    parts = [f"<h1>{escape(title)}</h1>", *(strip_html(strip, thumbnails) for strip in strips)]
    write_page(path, title, "\n".join(parts))


def strip_html(strip: Strip, thumbnails: dict[str, str | None]) -> str:
    """Return a strip's part of a page."""
    cards = "\n".join(
        card(one.product, one.note, one.image or one.product.images[0], thumbnails, one.mark) for one in strip.cards
    )
    body = f"<ol>{cards}</ol>" if cards else '<p class="dim">No product.</p>'
    return f'<article class="strip"><h2>{escape(strip.heading)}</h2>{body}</article>'


def hit_card(hit: Hit, note: str = "") -> Card:
    """Return the card of a hit, by default with its score."""
    return Card(hit.product, note or f"{hit.score:.3f}", hit.image)
