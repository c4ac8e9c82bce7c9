"""Serve the generation of the store that is in use, whoever switches: what may be in use next is opened beforehand."""

import logging
import threading
import time

import numpy as np

from twinset.errors import TwinsetError
from twinset.shop import Shop, open_generation
from twinset.store import open_shelf
from twinset.store.generations import WHOLE, Generation, Generations, read_generations

POLL_S = 1.0
AGAIN_S = 30.0  # after which a generation that could not be opened is tried again
WARM_WH = (400, 600)
log = logging.getLogger(__name__)


class Follower:
    """The shop that searches go to. A search takes `shop` once and stays with it, its model and its store."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.problems: dict[int, str] = {}  # of generations that could not be opened
        self._shelf = open_shelf(shop.store.uri)
        self._open: dict[int, Shop] = {}
        self._tried: dict[int, float] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look now and then which generation is in use."""
        self._thread = threading.Thread(target=self._watch, name="follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    @property
    def opened(self) -> dict[int, Shop]:
        """The generations that can be switched to at once."""
        return dict(self._open)

    def follow(self) -> None:
        """Serve what is in use at this moment. Raises StoreError where the store doesn't answer."""
        with self._lock:
            found = read_generations(self._shelf)
            if found is not None:
                self._adopt(found)
                for one in sorted(found.listed, key=lambda one: one.number != found.in_use):
                    if one.state == WHOLE and one.number not in self._open:
                        self._try(one)
                    if one.number == found.in_use and one.number in self._open:
                        self._serve(one)

    def _adopt(self, found: Generations) -> None:
        """Take note of the shop the service began with, and let go of generations that are no more."""
        if not self._open:
            mine = [one for one in found.listed if one.model == self.shop.models.version]
            self._open |= {one.number: self.shop for one in mine}
        for number in set(self._open) - {one.number for one in found.listed if one.state == WHOLE}:
            del self._open[number]

    def _try(self, one: Generation) -> None:
        if time.monotonic() - self._tried.get(one.number, -AGAIN_S) < AGAIN_S:
            return
        self._tried[one.number] = time.monotonic()
        try:
            shop = open_generation(self._shelf, one, self.shop.threads)
            warm(shop)
        except TwinsetError as exc:
            if str(exc) != self.problems.get(one.number):
                log.error("generation %d can't be served: %s", one.number, exc)
            self.problems[one.number] = str(exc)
            return
        self._open[one.number] = shop
        self.problems.pop(one.number, None)

    def _serve(self, one: Generation) -> None:
        if self.shop is not self._open[one.number]:
            self.shop = self._open[one.number]
            log.warning("generation %d of model %s is served from now on", one.number, one.model)

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            try:
                self.follow()
            except TwinsetError as exc:
                log.debug("generations can't be read: %s", exc)


def warm(shop: Shop) -> None:
    """Search once, so that the first shopper waits no longer than the next."""
    width, height = WARM_WH
    shop.search(np.full((height, width, 3), 200, np.uint8), k=1, whole=True)
