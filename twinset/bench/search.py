"""The whole POST /v1/search over HTTP: upload, decode, detect, describe, search, answer. One client, one at a time.

The service runs in a process of its own, as in a shop; the client's share of the time is that of an HTTP request.
"""

import http.client
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from twinset.bench.yardstick import THREADS, open_yardstick, percentiles, print_results, time_ms
from twinset.errors import DataError

START_S = 60.0


def run(photos: Sequence[Path], store: str, model: str, threads: int, requests: int) -> None:
    """Print p50 and p95 of searches with the photos in turn, beside the yardstick before and after."""
    yardstick = open_yardstick()
    before = time_ms(yardstick, 20)
    command = [sys.executable, "-c", "from twinset.cli import main; main()", "serve", "--port", "0"]
    command += ["--store", store, "--model", model, "--threads", str(threads)]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert service.stdout
        line = service.stdout.readline()
        if "http://" not in line:
            raise DataError(f"expected the service to start on {store}, found exit code {service.wait(START_S)}")
        host = line.rpartition("http://")[2].strip()
        bodies = [_body(photo.read_bytes()) for photo in photos]
        connection = http.client.HTTPConnection(host)
        turn = iter(range(10**9))

        def search() -> None:
            kind, body = bodies[next(turn) % len(bodies)]
            connection.request("POST", "/v1/search", body, {"Content-Type": kind})
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200:
                raise DataError(f"expected status 200, found {response.status}: {answer[:200]!r}")

        times = time_ms(search, requests, warm_up=5)
    finally:
        service.terminate()
        service.wait(30)
    time.sleep(0.5)
    after = time_ms(yardstick, 20)
    yardstick_ms = percentiles(before + after)[0]
    p50, p95 = percentiles(times)
    rows = [
        ("POST /v1/search", p50, p95, p50 / yardstick_ms),
        ("ViT-B/16, one pass", *percentiles(before + after), 1.0),
    ]
    header = ("what", "p50_ms", "p95_ms", "of_yardstick")
    facts = {"photos": len(photos), "requests": requests, "threads": threads, "yardstick_threads": THREADS}
    print_results("search", header, rows, model=model, **facts)


def _body(photo: bytes) -> tuple[str, bytes]:
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="photo"; filename="photo.jpg"\r\n\r\n'
    return f"multipart/form-data; boundary={boundary}", head.encode() + photo + f"\r\n--{boundary}--\r\n".encode()
