"""Lists of hits that were shown, and which of them were clicked: as arrays, and read from the service's event log."""

import json
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twinset.events import EventLog
from twinset.ranking import FEATURES

WANTED = ("click", "add_to_cart", "purchase")  # what says that a hit was of interest
MAX_HITS = 24  # of a list that are looked at: few shoppers see more
HELD_OUT = 5  # one list in so many is for judging alone


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """L lists of up to K hits in the order they were shown."""

    features: NDArray[np.float64]  # (L, K, 5), ranking.FEATURES; 0 beyond a list's end
    clicked: NDArray[np.bool_]  # (L, K)
    there: NDArray[np.bool_]  # (L, K), which are hits
    held_out: NDArray[np.bool_]  # (L,)

    def __len__(self) -> int:
        return len(self.clicked)

    @property
    def clicks(self) -> int:
        return int(self.clicked.sum())

    def part(self, rows: NDArray[np.bool_]) -> "Shown":
        """Return some of the lists."""
        return Shown(self.features[rows], self.clicked[rows], self.there[rows], self.held_out[rows])


def shown_of(lists: Sequence[tuple[str, NDArray[np.float64], NDArray[np.bool_]]]) -> Shown:
    """Return lists as arrays. Each has a name, which decides whether it is held out, features (N, 5), clicked (N,)."""
    longest = max((min(len(clicked), MAX_HITS) for _, _, clicked in lists), default=1)
    features = np.zeros((len(lists), longest, len(FEATURES)))
    clicked, there = np.zeros((len(lists), longest), bool), np.zeros((len(lists), longest), bool)
    for i, (_, facts, clicks) in enumerate(lists):
        count = min(len(clicks), longest)
        features[i, :count], clicked[i, :count], there[i, :count] = facts[:count], clicks[:count], True
    held_out = np.array([zlib.crc32(name.encode()) % HELD_OUT == 0 for name, _, _ in lists], bool)
    return Shown(features, clicked, there, held_out)


def read_shown(log: EventLog, shop: str, since: float, most: int = -1) -> Shown:
    """Return what a shop's shoppers were shown since a time, in seconds since 1970. Raises StoreError.

    An event belongs to the list its `search_id` and `item_no` name; later pages of a list are left out. `most` lists,
    the newest, are read, -1: all.
    """
    events = log.read(
        "SELECT search_id, item_no, product_id FROM events WHERE shop = ? AND at >= ? AND search_id IS NOT NULL "
        f"AND type IN ({', '.join('?' * len(WANTED))})",
        [shop, since, *WANTED],
    )
    wanted: dict[tuple[str, int], set[str]] = defaultdict(set)
    for event in events:
        wanted[event["search_id"], event["item_no"] or 0].add(event["product_id"])
    lists = []
    for row in log.read(
        "SELECT search_id, item_no, hits, features FROM searches "
        "WHERE shop = ? AND at >= ? AND features IS NOT NULL AND kind != 'page' ORDER BY id DESC LIMIT ?",
        [shop, since, most],
    ):
        facts = np.array(json.loads(row["features"]), np.float64).reshape(-1, len(FEATURES))
        clicked = wanted.get((row["search_id"], row["item_no"]), set())
        flags = np.array([product_id in clicked for product_id in row["hits"].split("\n")], bool)
        if len(facts) == len(flags):  # an id of old may hold a line break
            lists.append((row["search_id"], facts, flags))
    return shown_of(lists[::-1])
