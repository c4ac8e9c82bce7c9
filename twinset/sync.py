"""Make a shop's part of a store what its feed says: what is new or changed is indexed, what is gone removed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twinset.data.feed import FailedRow, Feed
from twinset.errors import FeedError, UsageError
from twinset.indexing import REPORT, index_rows, write_report
from twinset.pipeline import Progress
from twinset.store import Fingerprint, Key, Store
from twinset.store.base import delete_products
from twinset.store.beside import folder_beside
from twinset.types import Product

if TYPE_CHECKING:
    from twinset.models import Models

MAX_LOSS = 0.2


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a run did. A row that failed may be indexed too, without a bad image of its several."""

    products: int  # rows read in the feed
    added: int
    changed: int
    unchanged: int
    removed: int
    failed: list[FailedRow]
    seconds: float
    unknown_types: dict[str, int] = field(default_factory=dict)
    unsure: int = 0  # products the feed lacks that stayed: a row whose id can't be read may be theirs


def sync_feed(
    feed: Feed,
    store: Store,
    models: "Models",
    *,
    shop: str = "default",
    max_loss: float = MAX_LOSS,
    progress: Progress | None = None,
    allow_private: bool = False,
) -> SyncReport:
    """Bring a shop's products up to date with a feed of all of them, and remove those that are gone from it.

    Products whose row can't be read stay; where not even a row's id can be, all do. Raises FeedError, with nothing
    done, for a feed that lacks more than a share `max_loss` of what is stored: it may have broken off.
    """
    began = time.monotonic()
    stored = store.fingerprints()
    lacking = gone_keys(feed, stored, shop, max_loss)
    gone = lacking if all_ids_read(feed) else []
    done = index_rows(feed, store, models, progress=progress, allow_private=allow_private)
    new = {key for key in _keys(feed.products) if key not in stored}
    if done.failed and new:
        new &= store.fingerprints().keys()
    removed = remove(store, gone)
    report = SyncReport(
        products=done.products,
        added=len(new),
        changed=done.indexed - len(new),
        unchanged=done.unchanged,
        removed=removed,
        failed=done.failed,
        seconds=time.monotonic() - began,
        unknown_types=done.unknown_types,
        unsure=len(lacking) - len(gone),
    )
    write_report(folder_beside(store.uri) / REPORT, feed.path, report)
    return report


def gone_keys(feed: Feed, stored: Mapping[Key, Fingerprint], shop: str, max_loss: float = MAX_LOSS) -> list[Key]:
    """Return a shop's stored products that a feed lacks. Raises FeedError if these are more than the share allowed."""
    mine = {key for key in stored if key.shop == shop}
    unread = {Key(shop, row.product_id) for row in feed.failed}
    gone = sorted(mine - _keys(feed.products) - unread)
    if not 0 <= max_loss <= 1:
        raise UsageError(f"max-loss: expected a share from 0 to 1, found {max_loss}", field="max_loss")
    if len(gone) > max_loss * len(mine):
        raise FeedError(
            f"{feed.path}: expected most of the {len(mine):,} products of shop {shop!r}, found {len(gone):,} missing, "
            f"{len(gone) / len(mine):.0%} where {max_loss:.0%} are allowed; nothing was changed: "
            f"if they are really gone, run this again with --yes"
        )
    return gone


def all_ids_read(feed: Feed) -> bool:
    """Return whether it is known which products a feed's rows are of, those of rows that failed among them."""
    return all(row.product_id for row in feed.failed)


def remove(store: Store, keys: Sequence[Key]) -> int:
    """Remove products, tidy the store up after them, and return how many there were."""
    removed = delete_products(store, keys)
    if removed:
        store.compact()
    return removed


def _keys(products: Sequence[Product]) -> set[Key]:
    return {Key(product.shop, product.product_id) for product in products}
