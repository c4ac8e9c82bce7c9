"""Describe by one model what another described: the pictures of stored products, read again."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from twinset.errors import DataError
from twinset.indexing import FETCHED
from twinset.pipeline import Content, Job, Progress, Wanted, Writer, content_of, read_ahead, shoot
from twinset.rollout import Describe, Failure, Stop
from twinset.store import Entry, Store
from twinset.store.beside import folder_beside
from twinset.taxonomy import known_by

if TYPE_CHECKING:
    from twinset.models import Models


def describer(models: "Models", allow_private: bool = False, stop: Stop = lambda: False) -> Describe:
    """Return what describes products by a model and stores them. Ends early, all that it read stored, at `stop`."""

    def describe(entries: Iterator[Entry], target: Store, progress: Progress) -> list[Failure]:
        writer = Writer(target, models, progress)
        failed = []
        cache = folder_beside(target.uri) / FETCHED
        known = (replace(entry, product=known_by(models.taxonomy, entry.product)) for entry in entries)
        for job in read_ahead(known, _wanted, _prepare, cache, allow_private):
            if job.problem:
                failed.append(Failure(job.product.shop, job.product.product_id, job.problem))
            if job.shots:
                writer.add(job)
            if stop():
                break
        writer.flush()
        return failed

    return describe


def _wanted(entry: Entry) -> Wanted:
    return Wanted(entry.product, [entry.product.images[item.image_no] for item in entry.items])


def _prepare(entry: Entry, sources: Sequence[Path | Content]) -> Job:
    """Return a product with the pictures it has items on, decoded.

    They are stored under the hashes they had when they were first described: where bytes changed since, the feed's next
    run sees that and describes them again.
    """
    job = Job(entry.product, 0, entry.row_hash)
    for item, image_hash, source in zip(entry.items, entry.image_hashes, sources, strict=True):
        image = entry.product.images[item.image_no]
        try:
            job.shots.append(shoot(entry.product, image, content_of(source), image_hash, item.image_no))
        except DataError as exc:
            job.problem = job.problem or str(exc)
    return job
