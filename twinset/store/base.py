"""What a store of products keeps and can be asked. lance.py keeps it in a directory, milvus.py in a Milvus server."""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from twinset.store.filters import Filter
from twinset.store.texts import Words
from twinset.types import Facet, Hit, Item, Product

DIM = 256  # of a vector, where a model says nothing else
UNIT_TOLERANCE = 1e-3  # of a vector's length: fp32 sums of 256 squares stray by a thousandth of this
DELETE_PRODUCTS = 500  # at once
FORMAT = 1  # of what stores write; raised when an older version could not read it


class Key(NamedTuple):
    """What names a product in a store."""

    shop: str
    product_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One product as it is stored: its row of the feed and the items described on its images."""

    product: Product
    items: tuple[Item, ...]  # at least one, with distinct `image_no`, which index product.images
    image_hashes: tuple[str, ...]  # for each item, of the bytes of its image
    row_hash: str  # of the feed's row

    @property
    def key(self) -> Key:
        return Key(self.product.shop, self.product.product_id)


class Fingerprint(NamedTuple):
    """What tells whether a product changed since it was stored."""

    row_hash: str
    image_hashes: Mapping[int, str]  # image_no -> of the image's bytes


class Store(Protocol):
    """Products with their described items. Any number of threads may search.

    What is written is found by the writer's next search and those of a directory's other readers; by other clients of
    a server within a second or two. Every method raises StoreError where the store turns out to be damaged or does not
    answer.
    """

    @property
    def uri(self) -> str: ...

    @property
    def model_version(self) -> str:
        """The model whose vectors it keeps."""
        ...

    @property
    def dim(self) -> int:
        """How many numbers a vector has."""
        ...

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Store products, in the place of what was stored of them: once this returns they are safe.

        A directory stores all of them at once or none, a server so by the few thousand.

        Raises ValueError for a vector that is not finite, of unit length and of `dim` numbers, and StoreMoved once
        another generation of the store is in use.
        """
        ...

    def delete(self, keys: Sequence[Key]) -> int:
        """Remove products and return how many there were. Raises StoreMoved as `upsert` does."""
        ...

    def get(self, product_id: str, shop: str = "default") -> Entry:
        """Return a product as it was stored. Raises NotFound."""
        ...

    def search(
        self,
        embeddings: NDArray[np.float32],
        k: int,
        categories: Sequence[str | None],
        filter: Filter | None = None,
        exclude: Key | None = None,
    ) -> list[list[Hit]]:
        """Return for each of (N, dim) unit vectors its `k` nearest products, best first, ties by product_id.

        `categories` has one entry for each vector; None searches all, products of no category among them. A product
        with several items counts once, by its best; so do products of one `group_id` in a shop. `Hit.variants` says
        for how many products a hit stands.
        """
        ...

    def facets(self, category: str | None, filter: Filter, fields: Sequence[str]) -> list[Facet]:
        """Return how many hits such a search would have for each value of some fields; see facets.py.

        Raises UsageError for a field that can't be counted.
        """
        ...

    def search_words(
        self, words: Words, k: int, category: str | None = None, filter: Filter | None = None
    ) -> list[Hit]:
        """Return the `k` products that say most of the words in their title, type, tags, attributes and colours.

        Best first, ties by product_id; scores in [0, 1], 1 where a product says all of them and nothing else. What
        other clients of a server wrote is found within a minute.
        """
        ...

    def plan(self, category: str | None, filter: Filter | None = None) -> str:
        """Return in a line of words how such a search is answered."""
        ...

    def fingerprints(self) -> dict[Key, Fingerprint]:
        """Return what is stored, to compare a feed with."""
        ...

    def entries(self, keys: Set[Key] | None = None) -> Iterator[Entry]:
        """Yield products as they are stored, each whole: all of them, or of `keys` those that are there.

        All are those of one moment if the store is a directory.
        """
        ...

    def count(self) -> int:
        """Return the number of products."""
        ...

    def compact(self) -> None:
        """Tidy up after many writes. Searches go on meanwhile."""
        ...

    def read_note(self, name: str) -> str | None:
        """Return a small text kept with the store, such as its rules; None if none was written."""
        ...

    def note_names(self) -> list[str]:
        """Return the names of the notes that were written, sorted."""
        ...

    def problems(self) -> list[str]:
        """Return what is wrong with the parts a store is kept in, a line each; check.py looks at the products."""
        ...

    def write_note(self, name: str, text: str) -> None:
        """Keep a small text with the store, in the place of what was written under that name, all or nothing."""
        ...

    def alone(self) -> AbstractContextManager[bool]:
        """Keep others from writing products meanwhile, this thread too. Gives False where the store can't."""
        ...


def delete_products(store: Store, keys: Sequence[Key]) -> int:
    """Remove products, some at a time, and return how many there were."""
    return sum(store.delete(keys[i : i + DELETE_PRODUCTS]) for i in range(0, len(keys), DELETE_PRODUCTS))


def check_entries(entries: Sequence[Entry], dim: int = DIM) -> None:
    """Raise ValueError for what must never be written: a bad vector, a product twice or without an item."""
    keys = [entry.key for entry in entries]
    if len(set(keys)) != len(keys):
        raise ValueError("expected each product once, found one twice")
    for entry in entries:
        numbers = {item.image_no for item in entry.items}
        if not entry.items or len(numbers) != len(entry.items) or len(entry.image_hashes) != len(entry.items):
            raise ValueError(f"{entry.key}: expected items with an image_no and an image hash of their own")
        if min(numbers) < 0 or max(numbers) >= len(entry.product.images):
            raise ValueError(f"{entry.key}: expected image_no below {len(entry.product.images)}, found {numbers}")
    items = [(entry, item.embedding) for entry in entries for item in entry.items]
    whole = bool(items) and all(embedding.shape == (dim,) for _, embedding in items)
    if whole:  # all at once, for the sake of time
        lengths = np.linalg.norm(np.stack([embedding for _, embedding in items]), axis=1)
        whole = bool((np.abs(lengths - 1) <= UNIT_TOLERANCE).all())
    if not whole:
        for entry, embedding in items:
            check_embedding(embedding, f"{entry.key}", dim)


def check_note_name(name: str) -> None:
    """Raise ValueError for a name no note may have."""
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise ValueError(f"note {name!r}: expected a name of a-z, 0-9 and -")


def check_embedding(embedding: NDArray[np.float32], name: str, dim: int = DIM) -> None:
    """Raise ValueError unless the vector has `dim` finite numbers and unit length."""
    if embedding.shape != (dim,):
        raise ValueError(f"{name}: expected a vector of {dim} numbers, found shape {embedding.shape}")
    length = float(np.linalg.norm(embedding))
    if not abs(length - 1) <= UNIT_TOLERANCE:  # NaN and infinite ones too
        raise ValueError(f"{name}: expected a finite vector of length 1, found length {length}")
