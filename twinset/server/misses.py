"""Pictures of what shoppers looked for and the shop does not carry, kept only where the shop turned that on.

A crop is a small JPEG without EXIF whose name says when, category and colour; beyond a number of them the oldest go.
"""

import base64
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from twinset.images import Photo, encode_jpeg
from twinset.types import FoundItem, Image

FOLDER = "misses"
SIDE = 256  # pixels of a crop's longer side
MARGIN = 0.04  # of the item's sides, around it
_NAME = re.compile(r"(?P<ms>[0-9]{13})-(?P<category>.*)-(?P<colour>[a-z]*)-[0-9a-f]{8}")
log = logging.getLogger(__name__)


class MissCrops:
    """The crops of each shop, at most `most` of them; none are kept with 0. Safe to use from several threads."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most

    def keep(self, shop: str, photo: Photo, items: Sequence[FoundItem], below: float) -> None:
        """Keep a picture of each item that is missed. A full disk is no reason to fail a search."""
        missed = [item for item in items if is_missed(item, below)]
        if not self.most or not missed:
            return
        try:
            folder = self._of(shop)
            folder.mkdir(parents=True, exist_ok=True)
            for item in missed:
                colour = item.colours[0].name if item.colours else ""
                category = quote(item.category or "", safe="")  # a model's own may have slashes: clothes/top
                name = f"{time.time_ns() // 1_000_000}-{category}-{colour}-{secrets.token_hex(4)}.jpg"
                part = folder / f"{name}.part"
                part.write_bytes(encode_jpeg(_crop(photo.pixels, photo.to_pixels(item.box)), 85))
                part.replace(folder / name)
            for file in self._files(shop)[self.most :]:
                file.unlink(missing_ok=True)
        except OSError as exc:
            log.warning("a missed item's picture is not kept: %s", exc)

    def newest(self, shop: str, since: float, count: int) -> list[dict[str, Any]]:
        """Return category, colour, time and picture (base64 of a JPEG) of the newest crops since a time."""
        found = []
        for file in self._files(shop)[:count]:
            facts = _NAME.fullmatch(file.stem)
            if facts and int(facts["ms"]) / 1000 >= since:
                try:
                    picture = base64.b64encode(file.read_bytes()).decode()
                except FileNotFoundError:  # a search that came meanwhile put a newer one in its place
                    continue
                words = {name: unquote(facts[name]) or None for name in ("category", "colour")}
                found.append({**words, "at": int(facts["ms"]) / 1000, "jpeg": picture})
        return found

    def _files(self, shop: str) -> list[Path]:
        """Return a shop's crops, newest first."""
        files = self._of(shop).glob("*.jpg")
        return sorted((file for file in files if _NAME.fullmatch(file.stem)), reverse=True)

    def _of(self, shop: str) -> Path:
        return self.folder / hashlib.sha256(shop.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def is_missed(item: FoundItem, below: float) -> bool:
    """Tell whether the shop carries nothing like an item: as its model says, else by its best hit's score."""
    if item.close_enough is not None:
        return not item.close_enough
    return max((hit.score for hit in item.hits), default=0.0) < below


def _crop(image: Image, box: tuple[float, float, float, float]) -> Image:
    """Return what a box shows with a margin, made small."""
    from PIL import Image as Pillow

    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    dx, dy = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
    left, top = max(int(x1 - dx), 0), max(int(y1 - dy), 0)
    crop = image[top : min(int(y2 + dy) + 1, height), left : min(int(x2 + dx) + 1, width)]
    small = Pillow.fromarray(np.ascontiguousarray(crop))
    small.thumbnail((SIDE, SIDE))
    return np.asarray(small)
