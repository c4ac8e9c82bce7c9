"""kill -9 under load: the service is killed as it searches and writes, started again, asked for what it promised.

The store is a copy. `ready_s` counts from the start of the process to a 200 of /readyz: Python, model, store, a first
search.
"""

import base64
import http.client
import json
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from twinset.bench.search import photo_form, service_address, service_command
from twinset.bench.timing import print_results
from twinset.errors import DataError

SEARCHERS, WRITERS = 2, 2
HEADER = ("kill", "ready_s", "written", "removed", "missing", "back", "searches")
PREFIX = "killed-"  # of the products that are written


@dataclass
class Promised:
    """What the service acknowledged."""

    written: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)  # asked for as it was killed
    searches: int = 0


def run(photos: Sequence[Path], store: str, model: str, threads: int | None, kills: int, seconds: float) -> None:
    """Print how soon the service is ready again after each kill, and what of the acknowledged writes is missing."""
    with tempfile.TemporaryDirectory(prefix="twinset-kill-") as folder:
        copy = Path(folder) / "store"
        shutil.copytree(store, copy)
        command = service_command(str(copy), model, threads)
        rows = kill_again_and_again(command, str(copy), [photo.read_bytes() for photo in photos], kills, seconds)
    print_results("kill", HEADER, rows, model=model, seconds=seconds)


def kill_again_and_again(
    command: Sequence[str], store: str, photos: Sequence[bytes], kills: int, seconds: float, seed: int = 0
) -> list[tuple[object, ...]]:
    """Return a row of HEADER for each kill, which comes up to `seconds` after the load has begun."""
    chance, promised = random.Random(seed), Promised()
    rows: list[tuple[object, ...]] = []
    service, address, _ = _start(command, store)
    try:
        for no in range(kills):
            _load(address, photos, promised, f"{PREFIX}{no}-", service, chance.uniform(0.3, 1) * seconds)
            service, address, ready_s = _start(command, store)
            missing, back = _broken(address, promised)
            counts = len(promised.written), len(promised.removed)
            rows.append((no + 1, ready_s, *counts, missing, back, promised.searches))
    finally:
        service.kill()
        service.communicate()
    return rows


def _start(command: Sequence[str], store: str) -> tuple["subprocess.Popen[str]", str, float]:
    """Return a service that is ready, its address, and the seconds it took."""
    began = time.perf_counter()
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    address = service_address(service, store)
    with closing(_connect(address)) as connection:
        ready = _ask(connection, "GET", "/readyz") == 200
    if not ready:
        raise DataError("expected a service that has started to be ready, found it is not")
    return service, address, time.perf_counter() - began


def _load(
    address: str,
    photos: Sequence[bytes],
    promised: Promised,
    prefix: str,
    service: "subprocess.Popen[str]",
    seconds: float,
) -> None:
    """Search and write until the service is killed, after so many seconds."""
    lock, over = threading.Lock(), threading.Event()

    def search(connection: http.client.HTTPConnection, no: int) -> None:
        turn = no
        while not over.is_set():
            kind, body = photo_form(photos[turn % len(photos)])
            if _ask(connection, "POST", "/v1/search", body, kind) == 200:
                with lock:
                    promised.searches += 1
            turn += 1

    def write(connection: http.client.HTTPConnection, no: int) -> None:
        turn = 0
        while not over.is_set():
            product_id, photo = f"{prefix}{no}-{turn}", photos[turn % len(photos)]
            row = json.dumps({"image": "data:image/jpeg;base64," + base64.b64encode(photo).decode()}).encode()
            put = _ask(connection, "PUT", f"/v1/products/{product_id}", row, "application/json")
            gone = turn % 3 == 2 and put == 200 and _ask(connection, "DELETE", f"/v1/products/{product_id}")
            with lock:
                if put != 200 or gone not in (False, 204):
                    promised.unsure.add(product_id)
                else:
                    (promised.removed if gone else promised.written).add(product_id)
            turn += 1

    def work(task: Callable[[http.client.HTTPConnection, int], None], no: int) -> None:
        with closing(_connect(address)) as connection:
            task(connection, no)

    workers = [threading.Thread(target=work, args=(search, no)) for no in range(SEARCHERS)]
    workers += [threading.Thread(target=work, args=(write, no)) for no in range(WRITERS)]
    for worker in workers:
        worker.start()
    over.wait(seconds)
    service.send_signal(signal.SIGKILL)
    service.communicate()
    over.set()
    for worker in workers:
        worker.join()


def _broken(address: str, promised: Promised) -> tuple[int, int]:
    """Return how many products that were stored are missing, and how many that were removed are back."""
    with closing(_connect(address)) as connection:
        missing = sum(_ask(connection, "GET", f"/v1/products/{name}") != 200 for name in sorted(promised.written))
        back = sum(_ask(connection, "GET", f"/v1/products/{name}") != 404 for name in sorted(promised.removed))
    return missing, back


def _connect(address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(address, timeout=30)


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None, kind: str = ""
) -> int:
    """Return an answer's status, 0 for none."""
    try:
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        connection.close()  # the next request opens it again
        return 0
