"""Look at all of a store: whether it can be read whole and says what it should."""

from dataclasses import dataclass

from twinset.errors import StoreError
from twinset.store.base import Entry, Key, Store, check_entries

MOST_PROBLEMS = 100  # that are told one by one


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found. No problems: the store is whole."""

    products: int
    items: int
    problems: list[str]


def check_store(store: Store) -> Checked:
    """Read all products and return what is wrong with any. Raises nothing for a store that turns out damaged."""
    seen: set[Key] = set()
    items = 0
    problems: list[str] = []
    try:
        problems += store.problems()
        for entry in store.entries():
            items += len(entry.items)
            problem = _problem(entry, store) or ("is there twice" if entry.key in seen else "")
            if problem:
                problems.append(f"product {entry.key.product_id!r} of shop {entry.key.shop!r}: {problem}")
            seen.add(entry.key)
        counted = store.count()
        if counted != len(seen):
            problems.append(f"expected {counted} products as counted, found {len(seen)}")
        for name in store.note_names():
            store.read_note(name)
    except StoreError as exc:
        problems.append(str(exc))
    more = len(problems) - MOST_PROBLEMS
    return Checked(len(seen), items, problems[:MOST_PROBLEMS] + ([f"and {more} more"] if more > 0 else []))


def _problem(entry: Entry, store: Store) -> str:
    try:
        check_entries([entry], store.dim)
    except ValueError as exc:
        return str(exc)
    others = {item.model_version for item in entry.items} - {store.model_version}
    return (
        f"expected vectors of model {store.model_version}, found those of {', '.join(sorted(others))}" if others else ""
    )
