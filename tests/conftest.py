"""Fixtures of the tests that go through the command line or HTTP, with a model that needs no weights."""

import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import websites
from click.testing import CliRunner
from fakes import FakeModels, draw_product, draw_street, make_feed, save_image
from fastapi import FastAPI
from hypothesis import settings
from milvus_process import MilvusProcess, start_milvus

from twinset import fetch
from twinset.indexing import index_feed
from twinset.server.app import ServerSettings, create_app
from twinset.server.protocol import LimitedProtocol
from twinset.shop import Shop
from twinset.store import open_store
from twinset.types import Product

settings.register_profile("unhurried", deadline=None)  # a busy machine fails no test
settings.load_profile("unhurried")
os.environ["TWINSET_RUNTIME"] = "onnxruntime"  # the same wherever tests run; test_runtime.py asks for each


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProcess]:
    """A Milvus server for all tests of this run; they use collections of their own."""
    server = start_milvus(tmp_path_factory.mktemp("milvus"))
    yield server
    server.end()


@pytest.fixture(scope="session", params=["directory", pytest.param("milvus", marks=pytest.mark.milvus)])
def store_kind(request: pytest.FixtureRequest) -> str:
    """Both kinds of store, one after the other: what uses this passes on both."""
    return str(request.param)


@pytest.fixture(scope="session")
def new_uri(store_kind: str, request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Gives the URI of a store of this kind that isn't there yet: the folder's own, always the same for one folder."""
    if store_kind == "directory":
        return lambda folder: str(folder / "store")
    server: MilvusProcess = request.getfixturevalue("milvus_server")
    return lambda folder: f"{server.uri}/t{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


@pytest.fixture
def uri(tmp_path: Path, new_uri: Callable[[Path], str]) -> str:
    """The URI of a test's own store, of both kinds."""
    return new_uri(tmp_path)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A real Chromium, ended with the module: its driver keeps an event loop running meanwhile."""
    from browsing import start_chromium

    with start_chromium() as browser:
        yield browser


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    stdout: str
    stderr: str

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def json(self) -> Any:
        (line,) = self.json_lines
        return line


@pytest.fixture
def fake_models(monkeypatch: pytest.MonkeyPatch) -> FakeModels:
    """The model that every command loads in this test."""
    models = FakeModels()
    monkeypatch.setattr("twinset.models.load_models", lambda name="default", threads=None: models)

    def load_finder(name: str = "default", threads: int | None = None, min_score: float | None = None) -> Any:
        models.min_score = FakeModels.min_score if min_score is None else min_score
        return models, models.taxonomy

    monkeypatch.setattr("twinset.models.load_finder", load_finder)
    return models


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_models: FakeModels) -> Callable[..., Ran]:
    """Runs a command in an empty folder. Whatever escapes as another exception than an exit fails the test."""
    from twinset.cli import cli

    monkeypatch.delenv("TWINSET_STORE", raising=False)
    monkeypatch.chdir(tmp_path)

    def run_command(*args: object) -> Ran:
        result = CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="twinset", catch_exceptions=False)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run_command


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop of p000 to p029 in five categories, a twin of p000 and a watch; indexed into `store`."""
    folder = tmp_path_factory.mktemp("shop")
    feed = make_feed(folder, 30)
    save_image(draw_product("hat", 9), folder / "images" / "watch.png")
    with feed.open("a", encoding="utf-8") as file:
        file.write("twin,Twin,Tshirts,10,EUR,images/p000.png,true,summer\n")
        file.write("watch,Watch,Watches,99,EUR,images/watch.png,true,winter\n")
    assert index_feed(feed, folder / "store", FakeModels()).indexed == 32
    return folder


@pytest.fixture
def store(shop_folder: Path) -> str:
    """The indexed shop's store: tests read it only."""
    return str(shop_folder / "store")


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A photo of a top, trousers and a bag."""
    return save_image(draw_street(), tmp_path / "street.png")


def write_feed(folder: Path, text: str, name: str = "products.csv") -> Path:
    """Write a feed beside images/a.png (a top), b.png (a dress) and c.png (a bag)."""
    for image, category in (("a", "top"), ("b", "dress"), ("c", "bag")):
        save_image(draw_product(category, ord(image)), folder / "images" / f"{image}.png")
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def stored(folder: Path, product_id: str, shop: str = "default") -> Product:
    """Return a product of the folder's twinset-store."""
    return open_store(folder / "twinset-store").get(product_id, shop).product


def is_one_error_line(stderr: str) -> bool:
    return bool(re.fullmatch(r"Error: [^\n]+\n", stderr))


def wait_until_ready(client: httpx.Client) -> None:
    """Return once a service's models and store are loaded."""
    until = time.monotonic() + 30
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.01)


@contextmanager
def http_client(app: FastAPI) -> Iterator[httpx.Client]:
    """Yield a client of a service that really listens, on a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=LimitedProtocol, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def site() -> Iterator[websites.Site]:
    site = websites.Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.over.set()
    site.server.shutdown()
    thread.join()
    site.server.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds waited for between attempts to fetch, without waiting."""
    waits: list[float] = []
    monkeypatch.setattr(fetch.time, "sleep", waits.append)
    return waits


@pytest.fixture(scope="module")
def address(shop_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service of the shop, with one sample photo."""
    folder = tmp_path_factory.mktemp("service")
    sample = save_image(draw_street(), folder / "sample.png")
    models = FakeModels()
    settings = ServerSettings(samples=(sample,), state=str(folder / "state"))
    app = create_app(lambda: Shop(models, open_store(shop_folder / "store", models.version)), settings)
    with http_client(app) as client:
        wait_until_ready(client)
        yield str(client.base_url)


@pytest.fixture
def page(chromium: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The shop's page, in the window a test may name by its parameter."""
    from browsing import begin, new_page

    with new_page(chromium, **getattr(request, "param", {})) as page:
        begin(page, address)
        yield page
