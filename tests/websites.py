"""A web server of a test's own, and fetching from it without waiting."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from twinset import fetch

BODY = bytes(range(256)) * 1000  # more than any buffer on the way holds
WAIT_S = 10.0  # after which a server that waits for the test gives up

Answer = Callable[["Handler"], None]


class Site:
    """A web server on this machine: what it answers by path, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}  # one a request, the last one for ever
        self.asked: list[tuple[str, dict[str, str]]] = []  # path, headers
        self.over = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"site": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def says(self, path: str, *answers: Answer) -> str:
        self.answers[path] = list(answers)
        return self.url + path

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        self.site.asked.append((self.path, dict(self.headers)))
        answers = self.site.answers[self.path.partition("?")[0]]
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *args: object) -> None:
        pass


def answer(status: int = 200, body: bytes = b"", said: int | None = -1, **headers: str) -> Answer:
    """Answers a request; `said` is the Content-Length, the body's by default, None for none."""

    def send(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if said is not None:
            handler.send_header("Content-Length", str(len(body) if said < 0 else said))
        handler.close_connection = True
        handler.end_headers()
        handler.wfile.write(body)

    return send


def keeps_etag(body: bytes, etag: str) -> Answer:
    """Answers with the body, or 304 to who has it already."""

    def send(handler: Handler) -> None:
        known = handler.headers["If-None-Match"] == etag
        answer(304 if known else 200, b"" if known else body, ETag=etag)(handler)

    return send


def fetch_url(url: str, **settings: object) -> fetch.Fetched:
    return fetch.fetch_url(url, **{"allow_private": True, "timeout_s": WAIT_S} | settings)
