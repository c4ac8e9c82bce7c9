"""Write what golden queries find in two generations as one HTML file: each photo, and its hits before and after."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from twinset.golden import DEPTH, OVERLAP_AT, Asked, Figures, first_hits
from twinset.search_page import PHOTO_SIDE, card, data_uri, write_page
from twinset.types import FoundItem

SHOWN = 10  # hits of each item
_PHOTO_SIDE = PHOTO_SIDE // 2


def write_golden_page(path: Path, asked: Sequence[Asked], figures: Figures, names: tuple[str, str]) -> None:
    """Write a page, complete in itself, those queries first that got worse. `names` are of the two generations.

    Raises DataError. A picture that can't be read leaves a blank.
    """
    thumbnails: dict[str, str | None] = {}
    order = sorted(asked, key=lambda one: (-_loss(one), one.overlap))
    parts = [
        f"<h1>{escape(names[0])} and {escape(names[1])}: {figures.queries} golden queries</h1>",
        figures_html(figures, names),
        *(_query_html(one, names, thumbnails) for one in order),
    ]
    write_page(path, "Twinset roll-out", "\n".join(parts))


def figures_html(figures: Figures, names: tuple[str, str]) -> str:
    """Return the figures as a table."""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{figures.before[name]:.3f}</td><td>{figures.after[name]:.3f}</td></tr>"
        for name in figures.before
    )
    return f"""<table><tr><th></th><th>{escape(names[0])}</th><th>{escape(names[1])}</th></tr>{rows}
<tr><td>overlap of the first {OVERLAP_AT}</td><td colspan="2">{figures.overlap_at_10:.3f}</td></tr>
<tr><td>better, worse</td><td colspan="2">{figures.better}, {figures.worse}</td></tr></table>"""


def _query_html(one: Asked, names: tuple[str, str], thumbnails: dict[str, str | None]) -> str:
    old, new = one.ranks
    before = {hit.product_id for hit in first_hits(one.before, SHOWN)}
    after = {hit.product_id for hit in first_hits(one.after, SHOWN)}
    sides = [
        _side(f"{names[0]}: {_place(old)}", one.before, one.golden.wanted, after, "gone", thumbnails),
        _side(f"{names[1]}: {_place(new)}", one.after, one.golden.wanted, before, "query", thumbnails),
    ]
    width, height = one.photo.width, one.photo.height
    boxes = [one.golden.box] if one.golden.box else [item.box for item in one.after]
    marks = "".join(
        f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"/>' for x1, y1, x2, y2 in boxes
    )
    return f"""<article>
<h1>{escape(one.golden.photo.name)} <span class="dim">overlap {one.overlap:.2f}</span></h1>
<figure><img src="{data_uri(one.photo.pixels, _PHOTO_SIDE)}" alt="">
<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">{marks}</svg></figure>
<div>{"".join(sides)}</div>
</article>"""


def _side(
    heading: str,
    items: Sequence[FoundItem],
    wanted: frozenset[str],
    others: set[str],
    mark: str,
    thumbnails: dict[str, str | None],
) -> str:
    """Return one generation's hits: those wanted, and those the other lacks, are marked."""
    parts = [f"<section><h2>{escape(heading)}</h2>"]
    for item in items:
        cards = []
        for place, hit in enumerate(item.hits[:SHOWN], start=1):
            named = "wanted" if hit.product_id in wanted else "" if hit.product_id in others else mark
            cards.append(card(hit.product, f"{place} · {hit.score:.3f}", hit.image, thumbnails, named))
        parts.append(f'<p class="dim">{escape(item.category or "any category")}</p><ol>{"".join(cards)}</ol>')
    return "".join(parts) + "</section>"


def _place(rank: int | None) -> str:
    return f"wanted product not among the first {DEPTH}" if rank is None else f"wanted product at place {rank}"


def _loss(one: Asked) -> int:
    old, new = (DEPTH + 1 if rank is None else rank for rank in one.ranks)
    return new - old
