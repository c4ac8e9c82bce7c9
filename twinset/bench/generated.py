"""A seeded catalogue of clustered vectors with metadata, as large as a benchmark asks, and queries near its items."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinset.store.base import DIM, Entry
from twinset.taxonomy import default_taxonomy
from twinset.types import Colour, Item, Product

CLUSTERS = 2000
SPREAD = 0.06  # of an item around its cluster's centre, each number; 0.06 * 16 is about the centre's length
QUERY_SPREAD = 0.03  # of a query around an item
LARGEST_SHARE = 0.4  # of the largest category; the others fall off by a power law
MODEL = "bench"
COLOUR, PRICES = "red", (20.0, 60.0)
WHERE = (f"colour={COLOUR}", f"price>={PRICES[0]:g}", f"price<={PRICES[1]:g}")  # 1 in 12 and 2 in 10 meet it


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """N items, one a product, whose id is its number."""

    vectors: NDArray[np.float32]  # (N, 256) unit length
    categories: NDArray[np.int8]  # (N,) among `names`
    colours: NDArray[np.int8]  # (N,) among `palette`
    prices: NDArray[np.float64]  # (N,) 5 to 200
    names: tuple[str, ...]
    palette: tuple[str, ...]

    def meets(self) -> NDArray[np.bool_]:
        """Return (N,) which items meet `WHERE`."""
        low, high = PRICES
        red = self.colours == self.palette.index(COLOUR)
        meets: NDArray[np.bool_] = red & (self.prices >= low) & (self.prices <= high)
        return meets

    def batches(self, size: int) -> Iterator[list[Entry]]:
        """Yield the items as a store takes them."""
        for start in range(0, len(self.vectors), size):
            yield [self.entry(i) for i in range(start, min(start + size, len(self.vectors)))]

    def entry(self, i: int, price: float | None = None) -> Entry:
        """Return one item, at another price if that is given."""
        category = self.names[self.categories[i]]
        price = float(self.prices[i]) if price is None else price
        product = Product(str(i), (f"{i}.jpg",), price=price, category=category, category_given=True)
        colours = (Colour(self.palette[self.colours[i]], 1.0),)
        item = Item(category, None, (0.0, 0.0, 1.0, 1.0), self.vectors[i], colours, {}, MODEL, str(i))
        return Entry(product, (item,), ("",), "")


def generate(items: int, seed: int = 0) -> Catalogue:
    """Return so many items, the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    names = default_taxonomy().names
    palette = tuple(name for name in default_taxonomy().colours if name != "multicolour")
    categories = rng.choice(len(names), items, p=zipf_shares(len(names))).astype(np.int8)
    colours = rng.choice(len(palette), items).astype(np.int8)
    prices = rng.uniform(5, 200, items).round(2)
    centres = _unit(rng.standard_normal((CLUSTERS, DIM), np.float32))
    vectors = np.empty((items, DIM), np.float32)
    for start in range(0, items, 50_000):  # a part at a time, for the sake of memory
        stop = min(start + 50_000, items)
        noise = rng.standard_normal((stop - start, DIM), np.float32)
        vectors[start:stop] = _unit(centres[rng.integers(CLUSTERS, size=stop - start)] + np.float32(SPREAD) * noise)
    return Catalogue(vectors, categories, colours, prices, names, palette)


def draw_queries(catalogue: Catalogue, count: int, seed: int = 1) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the items that queries are near to, drawn from all, and (count, 256) the queries."""
    rng = np.random.default_rng(seed)
    near = rng.integers(len(catalogue.vectors), size=count)
    noise = rng.standard_normal((count, DIM), np.float32)
    return near, _unit(catalogue.vectors[near] + np.float32(QUERY_SPREAD) * noise)


def zipf_shares(n: int, largest: float = LARGEST_SHARE) -> NDArray[np.float64]:
    """Return n shares that fall off by a power law from the largest, which has this one."""
    low, high = 0.0, 10.0
    for _ in range(60):
        power = (low + high) / 2
        shares = np.arange(1, n + 1, dtype=np.float64) ** -power
        shares /= shares.sum()
        low, high = (power, high) if shares[0] < largest else (low, power)
    return shares


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
