"""The whole POST /v1/search over HTTP: upload, decode, detect, describe, search, answer. One client, one at a time.

The service runs in a process of its own, as in a shop; the client's share of the time is that of an HTTP request.
"""

import http.client
import itertools
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from twinset.bench.timing import percentiles, print_results, time_ms
from twinset.bench.yardstick import THREADS, open_yardstick
from twinset.errors import DataError
from twinset.images import read_image_bytes

START_S = 60.0
PASSES = 20  # of the yardstick, before and after


def run(photos: Sequence[Path], store: str, model: str, threads: int, requests: int) -> None:
    """Print p50 and p95 of searches with the photos in turn, beside the yardstick, timed before and after."""
    bodies = [photo_form(read_image_bytes(photo)) for photo in photos]
    yardstick = open_yardstick()
    passes = time_ms(yardstick, PASSES)
    with subprocess.Popen(service_command(store, model, threads), stdout=subprocess.PIPE, text=True) as service:
        try:
            times = _search_times(service_address(service, store), bodies, requests)
        finally:
            service.terminate()
    passes += time_ms(yardstick, PASSES)
    p50, p95 = percentiles(times)
    yardstick_ms = percentiles(passes)[0]
    rows = [("POST /v1/search", p50, p95, p50 / yardstick_ms), ("ViT-B/16, one pass", *percentiles(passes), 1.0)]
    header = ("what", "p50_ms", "p95_ms", "of_yardstick")
    facts = {"photos": len(photos), "requests": requests, "threads": threads, "yardstick_threads": THREADS}
    print_results("search", header, rows, model=model, **facts, yardstick_ms=yardstick_ms)


def service_command(store: str, model: str, threads: int | None) -> list[str]:
    """Return the command of a service on a port of its own."""
    service = [sys.executable, "-c", "from twinset.cli import main; main()", "serve", "--port", "0"]
    return [*service, "--store", store, "--model", model, *(["--threads", str(threads)] if threads else [])]


def service_address(service: subprocess.Popen[str], store: str) -> str:
    """Return host:port of a service that has started. Raises DataError when it hasn't; it has said why on stderr."""
    assert service.stdout
    for line in service.stdout:
        if "http://" in line:
            return line.rpartition("http://")[2].strip().rstrip("/")
    raise DataError(f"expected the service to start on {store}, found exit code {service.wait(START_S)}")


def _search_times(address: str, bodies: Sequence[tuple[str, bytes]], requests: int) -> list[float]:
    connection = http.client.HTTPConnection(address, timeout=START_S)
    turn = itertools.cycle(bodies)

    def search() -> None:
        kind, body = next(turn)
        connection.request("POST", "/v1/search", body, {"Content-Type": kind})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise DataError(f"expected status 200, found {response.status}: {answer[:200]!r}")

    try:
        return time_ms(search, requests)
    finally:
        connection.close()


def photo_form(photo: bytes) -> tuple[str, bytes]:
    """Return the content type and the body of a search with a photo."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="photo"; filename="photo.jpg"\r\n\r\n'
    return f"multipart/form-data; boundary={boundary}", head.encode() + photo + f"\r\n--{boundary}--\r\n".encode()
