"""The process that makes the load: `plan` as JSON on stdin, what it measured as JSON on stdout. load.py starts it.

Closed loop: so many clients, each asking again once it is answered. Open loop: requests arrive at random at a rate,
whether or not those before are answered, and their time counts from when they were due, as it does for shoppers.
"""

import http.client
import json
import random
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import SimpleQueue

from twinset.bench.search import photo_form

OPEN_CLIENTS = 256  # connections of an open loop; shoppers beyond wait for one, and their time counts
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What load to make."""

    address: str
    photos: tuple[str, ...]
    seconds: float
    clients: int = 1
    rate: float = 0.0  # requests a second of an open loop; 0: closed
    seed: int = 0


@dataclass(slots=True)
class Load:
    """What came of it."""

    times_ms: list[float] = field(default_factory=list)  # of answers with status 200
    statuses: dict[str, int] = field(default_factory=dict)  # status, or the name of what went wrong
    without_retry_after: int = 0  # 503s that don't say when to come back
    seconds: float = 0.0
    cpu_s: float = 0.0  # of this process


def main() -> None:
    """Make the load that stdin asks for."""
    given = json.loads(sys.stdin.read())
    plan = Plan(**given | {"photos": tuple(given["photos"])})
    json.dump(asdict(make_load(plan)), sys.stdout)


def make_load(plan: Plan) -> Load:
    """Return what a service answered under a load."""
    forms = [photo_form(Path(photo).read_bytes()) for photo in plan.photos]
    load, lock = Load(), threading.Lock()
    due: SimpleQueue[float | None] = SimpleQueue()
    began, cpu = time.perf_counter(), time.process_time()
    until = began + plan.seconds
    count = OPEN_CLIENTS if plan.rate else plan.clients

    def client(no: int) -> None:
        connection = http.client.HTTPConnection(plan.address, timeout=TIMEOUT_S)
        turn = no
        while True:
            start = due.get() if plan.rate else time.perf_counter()
            if start is None or (not plan.rate and start >= until):
                break
            status, told = _ask(connection, *forms[turn % len(forms)])
            turn += 1
            taken = (time.perf_counter() - start) * 1000
            with lock:
                load.statuses[status] = load.statuses.get(status, 0) + 1
                load.without_retry_after += status == "503" and not told
                if status == "200":
                    load.times_ms.append(taken)
            if status == "503" and not plan.rate:
                time.sleep(1.0)  # as Retry-After asks at least
        connection.close()

    threads = [threading.Thread(target=client, args=(no,), daemon=True) for no in range(count)]
    for thread in threads:
        thread.start()
    if plan.rate:
        _arrive(due, plan, until, count)
    for thread in threads:
        thread.join()
    load.seconds, load.cpu_s = time.perf_counter() - began, time.process_time() - cpu
    return load


def _arrive(due: "SimpleQueue[float | None]", plan: Plan, until: float, count: int) -> None:
    """Put the times of Poisson arrivals into the queue as they come, then an end for each client."""
    chance = random.Random(plan.seed)
    at = time.perf_counter()
    while (at := at + chance.expovariate(plan.rate)) < until:
        time.sleep(max(0.0, at - time.perf_counter()))
        due.put(at)
    for _ in range(count):
        due.put(None)


def _ask(connection: http.client.HTTPConnection, kind: str, body: bytes) -> tuple[str, bool]:
    """Return a search's status, and whether it says when to try again."""
    try:
        connection.request("POST", "/v1/search", body, {"Content-Type": kind})
        response = connection.getresponse()
        response.read()
        return str(response.status), response.getheader("Retry-After") is not None
    except (OSError, http.client.HTTPException) as exc:
        connection.close()  # the next request opens it again
        return type(exc).__name__, False


if __name__ == "__main__":
    main()
