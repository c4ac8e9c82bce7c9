"""The generations of a store: its products described by one model each, side by side. One is in use.

Which there are is a note of the store, so that moving from one to the other is one write, seen whole or not at all.
A store without the note has one generation, the first. What fills and compares them is rollout.py's.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from twinset.errors import StoreError, StoreMoved, UsageError
from twinset.store.base import DIM, Store

NOTE = "generations"
PREFIX = "rollout-"  # of notes about one generation
FORMAT = 1
FIRST = 1
BUILDING, WHOLE, DROPPING = "building", "whole", "dropping"
Guard = Callable[[], None]  # called before each write; raises StoreMoved


@dataclass(frozen=True, slots=True)
class Generation:
    """One of a store's generations."""

    number: int
    model: str  # the version of its vectors
    source: str = ""  # the name or folder of that model; "": not known
    state: str = WHOLE  # building, whole or dropping


@dataclass(frozen=True, slots=True)
class Generations:
    """Which generations a store has."""

    in_use: int
    before: int | None  # the one in use before it, to go back to
    newest: int  # the highest number ever given: none is given twice
    listed: tuple[Generation, ...]

    def get(self, number: int) -> Generation | None:
        """Return a generation, None if there is none of this number."""
        return next((found for found in self.listed if found.number == number), None)

    @property
    def current(self) -> Generation:
        """The one in use."""
        found = self.get(self.in_use)
        assert found is not None  # read_generations sees to it
        return found

    def with_state(self, number: int, state: str) -> "Generations":
        """Return the same with a generation in another state."""
        listed = (replace(one, state=state) if one.number == number else one for one in self.listed)
        return replace(self, listed=tuple(listed))

    def without(self, number: int) -> "Generations":
        """Return the same without a generation."""
        before = None if self.before == number else self.before
        return replace(self, before=before, listed=tuple(one for one in self.listed if one.number != number))

    def using(self, number: int) -> "Generations":
        """Return the same with another generation in use."""
        return replace(self, in_use=number, before=self.in_use)


class Shelf(Protocol):
    """Where a store's generations are: a directory, or a Milvus server."""

    @property
    def uri(self) -> str: ...

    def read(self, note: str) -> str | None:
        """Return a note as it is this moment, None if there is none or no store yet. Raises StoreError."""
        ...

    def write(self, note: str, text: str) -> None:
        """Write a note of a store that is there, whole or not at all. Raises StoreError."""
        ...

    def has(self, number: int) -> bool:
        """Return whether a generation's store was made."""
        ...

    def open(
        self, number: int, model_version: str | None, create: bool, dim: int = DIM, guard: Guard | None = None
    ) -> Store:
        """Return a generation as a store; see `open_store`. Without a guard it takes every write."""
        ...

    def remove(self, number: int) -> None:
        """Remove a generation's vectors and products, as far as they are there. Notes stay."""
        ...


def read_generations(shelf: Shelf) -> Generations | None:
    """Return a store's generations, None where it has none but the first. Raises StoreError for a damaged note."""
    text = shelf.read(NOTE)
    if text is None:
        return None
    try:
        data = json.loads(text)
        if data["format"] > FORMAT:
            raise ValueError(f"format {data['format']}: a newer Twinset wrote it: upgrade this one")
        listed = tuple(Generation(**one) for one in data["listed"])
        found = Generations(data["in_use"], data["before"], data["newest"], listed)
        if found.get(found.in_use) is None:
            raise ValueError(f"no generation {found.in_use}")
        return found
    except (ValueError, KeyError, TypeError) as exc:
        raise StoreError(f"store {shelf.uri}: expected its generations, found: {exc}; restore a backup") from exc


def write_generations(shelf: Shelf, generations: Generations) -> None:
    """Write down a store's generations: from now on searches go by them."""
    shelf.write(NOTE, json.dumps({"format": FORMAT, **asdict(generations)}))


def is_of_generations(note: str) -> bool:
    """Return whether a note is about a store's generations: a copy of the one in use has no others."""
    return note == NOTE or note.startswith(PREFIX)


def guard_of(shelf: Shelf, number: int) -> Guard:
    """Return what refuses writes to a generation once it is no longer in use."""

    def check() -> None:
        found = read_generations(shelf)
        if (found.in_use if found else FIRST) != number:
            assert found is not None
            raise StoreMoved(
                f"store {shelf.uri}: expected generation {number} in use, found generation {found.in_use} of model "
                f"{found.current.model}, switched to meanwhile; run this again, without --model"
            )

    return check


def open_in_use(shelf: Shelf, model_version: str | None, create: bool, dim: int = DIM) -> Store:
    """Return the generation in use as a store; see `open_store`."""
    found = read_generations(shelf)
    number = found.in_use if found else FIRST
    return shelf.open(number, model_version, create and not found, dim, guard_of(shelf, number))


def all_generations(shelf: Shelf, source_of: Callable[[str], str]) -> Generations:
    """Return a store's generations, the first alone too; `source_of` says where the model of a version may be."""
    found = read_generations(shelf)
    if found is not None:
        return found
    model = shelf.open(FIRST, None, create=False).model_version
    return Generations(FIRST, None, FIRST, (Generation(FIRST, model, source_of(model)),))


def newest(generations: Generations, number: int | None = None) -> Generation:
    """Return a generation to switch to: by its number, or the newest. Raises UsageError for the one in use."""
    if number is None:
        number = max(one.number for one in generations.listed if one.state != DROPPING)
    return chosen(generations, number)


def chosen(generations: Generations, number: int | None = None) -> Generation:
    """Return a generation that is not in use: by its number, or the only one there is. Raises UsageError."""
    others = [one for one in generations.listed if one.number != generations.in_use]
    wanted = [one for one in others if number in (None, one.number)]
    if len(wanted) == 1:
        return wanted[0]
    numbers = ", ".join(str(one.number) for one in others) or "none"
    found = str(number or "none named")
    raise UsageError(
        f"generation: expected the number of one that is not in use ({numbers}), found {found}; "
        f"see twinset rollout status, or make one: twinset reindex --model NEW",
        field="generation",
        expected=f"the number of one that is not in use ({numbers})",
        found=found,
    )
