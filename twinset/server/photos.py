"""Photos held for a second tap: in memory, for a stated time, never on disk. Only who sent one finds it again."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from twinset.errors import NotFound


class _Held(NamedTuple):
    photo: bytes  # as it was sent: pixels would take twenty times the memory
    owner: str
    until: float


class PhotoShelf:
    """Photos by a random id. Safe to use from several threads."""

    def __init__(self, seconds: float, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.max_bytes = seconds, max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()  # oldest first
        self.bytes = 0

    def put(self, photo: bytes, owner: str) -> str:
        """Hold a photo and return its id. The oldest go where all would take more than `max_bytes`."""
        image_id = secrets.token_urlsafe(16)
        with self._lock:
            self._held[image_id] = _Held(photo, owner, self._clock() + self.seconds)
            self.bytes += len(photo)
            self._tidy()
        return image_id

    def get(self, image_id: str, owner: str) -> bytes:
        """Return a held photo. Raises NotFound for one that is gone, never was, or is somebody else's."""
        with self._lock:
            self._tidy()
            held = self._held.get(image_id)
        if held is None or held.owner != owner:
            raise NotFound(
                f"image_id: expected the id of a photo sent in the last {self.seconds:g} s, "
                f"found none of this id; send the photo again"
            )
        return held.photo

    def tidy(self) -> None:
        """Let go of photos whose time is over."""
        with self._lock:
            self._tidy()

    def _tidy(self) -> None:
        now = self._clock()
        while self._held and (self.bytes > self.max_bytes or next(iter(self._held.values())).until <= now):
            _, held = self._held.popitem(last=False)
            self.bytes -= len(held.photo)

    def __len__(self) -> int:
        return len(self._held)
