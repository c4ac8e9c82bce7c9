"""Golden queries: photos whose products a shop knows, run on two generations of its store to see what a switch changes.

A file of JSON Lines: {"photo": path, "wanted": [product ids], "category": ..., "box": [x1, y1, x2, y2], "shop": ...};
the last three are optional, paths are relative to the file.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from twinset.errors import DataError
from twinset.images import Photo, read_photo
from twinset.store.generations import PREFIX
from twinset.types import Box, FoundItem, Hit
from twinset.validation import expected_of

if TYPE_CHECKING:
    from twinset.shop import Shop
    from twinset.store.generations import Shelf

AT = (1, 10, 24)
DEPTH = AT[-1]
OVERLAP_AT = 10
MAX_DROP = 0.02  # of the share of queries that a switch may lose at any of AT


class _Row(BaseModel):
    """A line of the file."""

    model_config = ConfigDict(extra="forbid")
    photo: str
    wanted: Annotated[list[str | int], Field(min_length=1)]
    category: str | None = None
    box: tuple[float, float, float, float] | None = None
    shop: str | None = None


@dataclass(frozen=True, slots=True)
class Golden:
    """One query: a photo, and products one of which should be found."""

    photo: Path
    wanted: frozenset[str]
    category: str | None = None
    box: Box | None = None
    shop: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What two generations answered to a query."""

    golden: Golden
    photo: Photo
    before: list[FoundItem]
    after: list[FoundItem]

    @property
    def ranks(self) -> tuple[int | None, int | None]:
        """The best place of a wanted product in each, from 1; None where none is among the first `DEPTH`."""
        return rank_of(self.before, self.golden.wanted), rank_of(self.after, self.golden.wanted)

    @property
    def overlap(self) -> float:
        """The share of the first ten hits that both have."""
        ids = [{hit.product_id for hit in first_hits(items, OVERLAP_AT)} for items in (self.before, self.after)]
        most = max(map(len, ids))
        return len(ids[0] & ids[1]) / most if most else 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What golden queries say of two generations."""

    queries: int
    before: dict[str, float]  # wanted_at_1 and so on: the share of queries with a wanted product among the first
    after: dict[str, float]
    overlap_at_10: float  # of the first ten hits, the mean share that both have
    better: int  # queries whose wanted product stands further in front than before
    worse: int

    @property
    def drop(self) -> float:
        """The most that a share fell by."""
        return max((self.before[name] - self.after[name] for name in self.before), default=0.0)


def read_golden(file: Path) -> list[Golden]:
    """Return the queries of a file. Raises DataError, which names the line."""
    queries = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(f"{file}: expected golden queries as JSON Lines, found: {exc}; check the file") from exc
    for number, line in enumerate(lines, start=1):
        if line.strip():
            queries.append(_query(f"{file}:{number}", line, file.parent))
    if not queries:
        raise DataError(f"{file}: expected golden queries, found none; write a line for each photo")
    return queries


def _query(where: str, line: str, folder: Path) -> Golden:
    try:
        row = _Row.model_validate_json(line)
    except ValidationError as exc:
        error = exc.errors()[0]
        named = ".".join(map(str, error["loc"])) or "the line"
        found = json.dumps(error["input"], ensure_ascii=False, default=str)[:80]
        raise DataError(
            f'{where}: expected {{"photo": path, "wanted": [product ids]}}, optionally "category", "box" of four '
            f'numbers and "shop"; {named}: expected {expected_of(error)}, found {found}; correct the line'
        ) from exc
    return Golden(folder / row.photo, frozenset(map(str, row.wanted)), row.category, row.box, row.shop)


def compare(queries: Sequence[Golden], before: "Shop", after: "Shop", told: Callable[[], None]) -> list[Asked]:
    """Return what two generations answer. Raises DataError for a photo that can't be read."""
    found = []
    for golden in queries:
        photo = read_photo(golden.photo)
        answers = [shop.search(photo, DEPTH, golden.category, golden.box, shop=golden.shop) for shop in (before, after)]
        found.append(Asked(golden, photo, *answers))
        told()
    return found


def figures_of(asked: Sequence[Asked]) -> Figures:
    """Return the figures of what was asked, one query at least."""
    ranks = [one.ranks for one in asked]
    before, after = (
        {f"wanted_at_{at}": round(sum(rank is not None and rank <= at for rank in side) / len(asked), 4) for at in AT}
        for side in zip(*ranks, strict=True)
    )
    moves = [_place(new) - _place(old) for old, new in ranks]
    overlap = sum(one.overlap for one in asked) / len(asked)
    return Figures(
        len(asked), before, after, round(overlap, 4), sum(move < 0 for move in moves), sum(move > 0 for move in moves)
    )


def rank_of(items: Sequence[FoundItem], wanted: frozenset[str]) -> int | None:
    """Return the best place of a wanted product among the hits of any item, from 1."""
    places = [place for item in items for place, hit in enumerate(item.hits, start=1) if hit.product_id in wanted]
    return min(places, default=None)


def first_hits(items: Sequence[FoundItem], most: int) -> list[Hit]:
    """Return the first hits of each item, one item after the other."""
    return [hit for item in items for hit in item.hits[:most]]


def _place(rank: int | None) -> int:
    return DEPTH + 1 if rank is None else rank


# --- kept for the switch ----------------------------------------------------------------------------------------------


def keep_figures(shelf: "Shelf", number: int, figures: Figures) -> None:
    """Keep with the store what golden queries said of a generation."""
    shelf.write(_note(number), json.dumps(asdict(figures)))


def kept_figures(shelf: "Shelf", number: int) -> Figures | None:
    """Return what golden queries said of a generation last, None if none were run."""
    text = shelf.read(_note(number))
    return Figures(**json.loads(text)) if text else None


def check_drop(figures: Figures | None, max_drop: float = MAX_DROP) -> None:
    """Raise DataError if golden queries found too few of their products."""
    if figures is not None and figures.drop > max_drop + 1e-9:
        name = max(figures.before, key=lambda name: figures.before[name] - figures.after[name])
        raise DataError(
            f"golden queries: expected a {name} of at least {figures.before[name] - max_drop:.3f}, found "
            f"{figures.after[name]:.3f} where it is {figures.before[name]:.3f} now; look at what changed: twinset "
            f"rollout compare --html; to switch anyway: --yes"
        )


def _note(number: int) -> str:
    return f"{PREFIX}golden-{number}"
