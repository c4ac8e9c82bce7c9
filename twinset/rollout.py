"""Roll a model out: its own generation of a store's products beside the one in use, then in its place at once.

While two generations are kept, writes go to the one in use; the other catches up before searches move to it: what is
gone is removed, a product whose pictures stayed takes over its new row, and only new pictures are described. A write to
a generation that is no longer in use is refused, so that nothing is written past the other one.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import NamedTuple

from twinset.errors import DataError, StoreError, UsageError
from twinset.models import find_taxonomy, source_of
from twinset.pipeline import NoProgress, Progress
from twinset.store import DIM, Entry, Fingerprint, Key, Store
from twinset.store.base import delete_products
from twinset.store.generations import (
    BUILDING,
    DROPPING,
    PREFIX,
    WHOLE,
    Generation,
    Generations,
    Shelf,
    all_generations,
    chosen,
    guard_of,
    newest,
    write_generations,
)
from twinset.taxonomy import known_by
from twinset.types import Product

READ_PRODUCTS = 200  # compared and read at once
NOTED_EVERY_S = 2.0  # how far it is, for `status`
SETTLE_S = 5.0  # by then every client of a server has seen that another generation is in use
MOST_FAILED = 100  # products listed in the note
Stop = Callable[[], bool]  # asked now and then whether to end
Fit = Callable[[Product], Product]  # returns a product in the categories of another generation's model


class Failure(NamedTuple):
    """A product that a model could not describe, or not on all its pictures."""

    shop: str
    product_id: str
    reason: str


# Stores products that come with another model's items, described anew; returns those that failed.
Describe = Callable[[Iterator[Entry], Store, Progress], list[Failure]]


class Lag(NamedTuple):
    """What one generation has otherwise than another."""

    changed: list[Key]  # to be written
    gone: list[Key]  # to be removed
    total: int  # products there should be

    @property
    def size(self) -> int:
        return len(self.changed) + len(self.gone)


@dataclass(frozen=True, slots=True)
class State:
    """How far a generation was when somebody last worked on it."""

    total: int  # products
    done: int
    failed: tuple[Failure, ...] = ()  # the first hundred
    failed_count: int = 0


def lag_of(target: Store, source: Store, only: set[Key] | None = None) -> Lag:
    """Return what a generation lacks of another, sorted, of some products or all."""
    mine, theirs = target.fingerprints(), source.fingerprints()
    changed = [key for key in theirs if mine.get(key) != theirs[key] and (only is None or key in only)]
    gone = [key for key in mine if key not in theirs and (only is None or key in only)]
    return Lag(sorted(changed), sorted(gone), len(theirs))


def catch_up(
    source: Store,
    target: Store,
    lag: Lag,
    fit: Fit,
    describe: Describe,
    progress: Progress,
    stop: Stop = lambda: False,
) -> list[Failure]:
    """Make products of one generation what they are in another, and return those that can't be."""
    delete_products(target, lag.gone)

    def to_describe() -> Iterator[Entry]:
        for start in range(0, len(lag.changed), READ_PRODUCTS):
            if stop():
                return
            keys = set(lag.changed[start : start + READ_PRODUCTS])
            known = {entry.key: entry for entry in target.entries(keys)}
            stored = sorted(source.entries(keys), key=lambda entry: entry.key)
            moved = [_moved(entry, known.get(entry.key), fit) for entry in stored]
            kept = [entry for entry in moved if entry is not None]
            target.upsert(kept)
            progress.advance(len(kept))
            yield from (entry for entry, same in zip(stored, moved, strict=True) if same is None)

    return describe(to_describe(), target, progress)


def _moved(entry: Entry, known: Entry | None, fit: Fit) -> Entry | None:
    """Return a product with the items another generation has of it, None where its pictures must be described."""
    if known is None:
        return None
    for product in (entry.product, fit(entry.product)):
        if _seen(replace(entry, product=product)) == _seen(known):
            return Entry(product, known.items, entry.image_hashes, entry.row_hash)
    return None


def _seen(entry: Entry) -> tuple[object, ...]:
    """Return all that a description depends on."""
    pictures = tuple(zip((item.image_no for item in entry.items), entry.image_hashes, strict=True))
    return pictures, entry.product.category, entry.product.category_given


def _fit_of(generation: Generation) -> Fit:
    """Return what fits a product to a generation, as describing does; all stay as they are where its model is gone."""
    try:
        return partial(known_by, find_taxonomy(generation.source or source_of(generation.model) or "default"))
    except DataError:
        return lambda product: product


# --- building ---------------------------------------------------------------------------------------------------------


def reindex(
    shelf: Shelf,
    model_version: str,
    source: str,
    describe: Describe,
    *,
    dim: int = DIM,
    progress: Progress | None = None,
    stop: Stop = lambda: False,
) -> tuple[Generation, State]:
    """Describe a store's products by another model, beside the generation in use; what was done before is kept.

    Returns once nothing has changed meanwhile but what can't be described, or `stop` says so: then the generation is
    still being built. `source` says where the model is: a name or a folder. Raises UsageError for the model in use.
    """
    generations = all_generations(shelf, source_of)
    if generations.current.model == model_version:
        raise UsageError(
            f"model: expected another than the one in use, found {model_version}; choose --model",
            field="model",
            expected="another than the one in use",
            found=model_version,
        )
    generation = _begun(shelf, generations, model_version, source)
    target = shelf.open(generation.number, model_version, create=True, dim=dim)
    used = shelf.open(generations.in_use, None, create=False)
    state, _ = _follow(shelf, used, target, generation, describe, progress or NoProgress(), stop)
    if not stop():
        _change(shelf, lambda found: found.with_state(generation.number, WHOLE))
        generation = replace(generation, state=WHOLE)
    return generation, state


def _begun(shelf: Shelf, generations: Generations, model_version: str, source: str) -> Generation:
    """Return the generation of a model that is there, or one that begins."""
    there = [one for one in generations.listed if one.model == model_version and one.state != DROPPING]
    if there:
        return there[0]
    new = Generation(generations.newest + 1, model_version, source, BUILDING)
    write_generations(shelf, replace(generations, newest=new.number, listed=(*generations.listed, new)))
    return new


def _follow(
    shelf: Shelf,
    source: Store,
    target: Store,
    generation: Generation,
    describe: Describe,
    progress: Progress,
    stop: Stop,
) -> tuple[State, set[Key]]:
    """Catch up until only products that can't be described are left, which are returned; note how far it is."""
    failed: dict[Key, Failure] = {}
    lag = lag_of(target, source)
    noted, fit = _Noted(shelf, generation.number, progress, lag), _fit_of(generation)
    progress.start(len(lag.changed))
    wrote = lag.size > 0
    while lag.size and not stop():
        for failure in catch_up(source, target, lag, fit, describe, noted, stop):
            failed[Key(failure.shop, failure.product_id)] = failure
        lag = _without(lag_of(target, source), failed.keys())
    if wrote:
        target.compact()
    behind = len(lag.changed) + len(failed)
    state = State(lag.total, lag.total - behind, tuple(failed.values())[:MOST_FAILED], len(failed))
    noted.write(state)
    return state, set(failed)


class _Noted:
    """Progress that is also written beside the store, for whoever asks how far it is."""

    def __init__(self, shelf: Shelf, number: int, progress: Progress, lag: Lag) -> None:
        self._shelf, self._number, self._progress = shelf, number, progress
        self._total, self._done = lag.total, lag.total - len(lag.changed)
        self._written_at = 0.0

    def start(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None:
        self._done += count
        self._progress.advance(count)
        if time.monotonic() - self._written_at >= NOTED_EVERY_S:
            self.write(State(self._total, min(self._done, self._total)))

    def write(self, state: State) -> None:
        self._written_at = time.monotonic()
        self._shelf.write(progress_note(self._number), json.dumps(asdict(state)))


def progress_note(number: int) -> str:
    """Return the name of the note that says how far a generation is."""
    return f"{PREFIX}progress-{number}"


def state_of(shelf: Shelf, number: int) -> State | None:
    """Return how far a generation was when somebody last worked on it, None for one that nobody built beside."""
    text = shelf.read(progress_note(number))
    if not text:
        return None
    data = json.loads(text)
    return State(**data | {"failed": tuple(Failure(*one) for one in data["failed"])})


# --- switching --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Switched:
    """What a switch did."""

    generation: Generation  # in use now
    before: Generation  # until now
    caught_up: int  # products that had changed since it was built
    failed: tuple[Failure, ...]  # which it lacks, or whose pictures it lacks


def switch(
    shelf: Shelf,
    describe: Callable[[Generation], Describe],
    *,
    number: int | None = None,
    accept_failed: bool = False,
    progress: Progress | None = None,
) -> Switched:
    """Bring a generation up to date, the newest or that of a number, and put it in use, at once.

    `describe` loads the model of a generation. Raises UsageError for a generation there is none of, StoreError for one
    that is not whole, or that lacks products which its model can't describe unless those are accepted, and StoreMoved
    if somebody else switched meanwhile.
    """
    generations = all_generations(shelf, source_of)
    generation = newest(generations, number)
    if generation.state != WHOLE:
        raise StoreError(
            f"generation {generation.number}: expected a whole one, found one that is {generation.state}; "
            f"finish it: twinset reindex --model {generation.source or 'NEW'}"
        )
    source = shelf.open(generations.in_use, None, create=False)
    target = shelf.open(generation.number, generation.model, create=False)
    work, fit = _Lazily(describe, generation), _fit_of(generation)
    behind = lag_of(target, source).size
    state, tried = _follow(shelf, source, target, generation, work, progress or NoProgress(), lambda: False)
    _check_failed(generation, state, accept_failed)
    then: dict[Key, Fingerprint] = {}
    with source.alone() as locked:
        guard_of(shelf, generations.in_use)()
        lag = _without(lag_of(target, source), tried)
        failed = catch_up(source, target, lag, fit, work, NoProgress()) if lag.size else []
        then = {} if locked else source.fingerprints()
        _change(shelf, lambda found: found.using(generation.number))
    if not locked:
        failed += _settle(source, target, then, fit, work)
    return Switched(generation, generations.current, behind + lag.size, (*state.failed, *failed))


def back(
    shelf: Shelf, describe: Callable[[Generation], Describe], *, now: bool = False, progress: Progress | None = None
) -> Switched:
    """Put the generation that was in use before in its place again, brought up to date first.

    With `now` products that would have to be described are left out: the feed's next run brings them. Raises UsageError
    if there was none.
    """
    load = left_out if now else describe
    return switch(shelf, load, number=number_before(shelf), accept_failed=True, progress=progress)


def number_before(shelf: Shelf) -> int:
    """Return the number of the generation that `back` goes to. Raises UsageError if there is none."""
    found = all_generations(shelf, source_of).before
    if found is None:
        raise UsageError(
            "generation: expected one to go back to, found none that was in use before; see twinset rollout status",
            field="generation",
            expected="one that was in use before",
            found="none",
        )
    return found


def left_out(generation: Generation) -> Describe:
    """Return what describes nothing, for a switch that can't wait."""

    def describe(entries: Iterator[Entry], target: Store, progress: Progress) -> list[Failure]:
        return [Failure(*entry.key, "not described yet: index the feed again") for entry in entries]

    return describe


class _Lazily:
    """Describes by a model that is loaded once there is something to describe."""

    def __init__(self, describe: Callable[[Generation], Describe], generation: Generation) -> None:
        self._load, self._generation = describe, generation
        self._describe: Describe | None = None

    def __call__(self, entries: Iterator[Entry], target: Store, progress: Progress) -> list[Failure]:
        first = next(entries, None)
        if first is None:
            return []
        self._describe = self._describe or self._load(self._generation)
        return self._describe(_again(first, entries), target, progress)


def _again(first: Entry, rest: Iterator[Entry]) -> Iterator[Entry]:
    yield first
    yield from rest


def _without(lag: Lag, tried: Set[Key]) -> Lag:
    """Return what is behind without what was tried and failed."""
    return lag._replace(changed=[key for key in lag.changed if key not in tried])


def _check_failed(generation: Generation, state: State, accept_failed: bool) -> None:
    if state.failed_count and not accept_failed:
        first = state.failed[0]
        raise StoreError(
            f"generation {generation.number}: expected all products, found {state.failed_count} whose pictures can't "
            f"be described, {first.product_id!r} of shop {first.shop!r} among them ({first.reason}); "
            f"see twinset rollout status, or go without them: --yes"
        )


def _settle(source: Store, target: Store, then: dict[Key, Fingerprint], fit: Fit, describe: Describe) -> list[Failure]:
    """Carry over what clients of a server wrote in the seconds before they saw the switch."""
    time.sleep(SETTLE_S)
    now = source.fingerprints()
    late = {key for key in then.keys() | now.keys() if then.get(key) != now.get(key)}
    lag = lag_of(target, source, late) if late else Lag([], [], 0)
    return catch_up(source, target, lag, fit, describe, NoProgress()) if lag.size else []


# --- what there is ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Status:
    """What there is to say of a generation."""

    generation: Generation
    in_use: bool
    before: bool  # `back` goes to it
    products: int
    behind: int  # products that are other or missing beside the generation in use
    failed_count: int
    failed: tuple[Failure, ...]

    def as_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return {
            "generation": self.generation.number,
            "model": self.generation.model,
            "state": self.generation.state,
            "in_use": self.in_use,
            "before": self.before,
            "products": self.products,
            "behind": self.behind,
            "failed_count": self.failed_count,
            "failed": failures_json(self.failed),
        }


def statuses(shelf: Shelf) -> list[Status]:
    """Return what there is to say of a store's generations, in the order they were made."""
    generations = all_generations(shelf, source_of)
    used = shelf.open(generations.in_use, None, create=False)
    return [_status(shelf, generations, one, used) for one in generations.listed]


def _status(shelf: Shelf, generations: Generations, one: Generation, used: Store) -> Status:
    in_use, before = one.number == generations.in_use, one.number == generations.before
    if in_use:
        return Status(one, in_use, before, used.count(), 0, 0, ())
    if one.state == DROPPING:
        return Status(one, in_use, before, 0, 0, 0, ())
    if not shelf.has(one.number):  # a run ended before it made it
        return Status(one, in_use, before, 0, used.count(), 0, ())
    store = shelf.open(one.number, one.model, create=False)
    state = state_of(shelf, one.number) or State(0, 0)
    return Status(one, in_use, before, store.count(), lag_of(store, used).size, state.failed_count, state.failed)


def drop(shelf: Shelf, number: int | None = None) -> Generation:
    """Remove a generation that is not in use, the only one or that of a number. Raises UsageError if there is none."""
    generation = chosen(all_generations(shelf, source_of), number)
    _change(shelf, lambda found: found.with_state(generation.number, DROPPING))
    shelf.remove(generation.number)
    _change(shelf, lambda found: found.without(generation.number))
    return generation


def _change(shelf: Shelf, change: Callable[[Generations], Generations]) -> None:
    write_generations(shelf, change(all_generations(shelf, source_of)))


def failures_json(failed: Sequence[Failure]) -> list[dict[str, str]]:
    """Return products that failed, as JSON."""
    return [failure._asdict() for failure in failed]
