"""The docs' pictures of the pages, made anew into the folder TWINSET_PICTURES: `TWINSET_PICTURES=docs/images pytest
tests/test_pictures.py`. They show the drawn shop of `twinset demo`, with the weights that ship."""

from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from browsing import PHONE, PICTURES, needs_chromium, new_page, take_picture
from conftest import http_client, wait_until_ready
from test_widget import EXAMPLE, SERVICE, Pages

from twinset.demo import EXAMPLE_SHOP, default_folder, prepare_demo
from twinset.server.app import ServerSettings, create_app
from twinset.shop import open_shop

pytestmark = [*needs_chromium, pytest.mark.skipif(not PICTURES, reason="TWINSET_PICTURES names no folder")]
MOST_BYTES = 300_000
picture_page = partial(new_page, bypass_csp=True)  # waiting for a function needs eval


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store, looks = prepare_demo(default_folder())
    state = tmp_path_factory.mktemp("state")
    origins = (*EXAMPLE_SHOP, "http://127.0.0.1:8123")
    settings = ServerSettings(samples=tuple(looks), state=str(state), cors_origins=origins, miss_crops=60)
    with http_client(create_app(lambda: open_shop(str(store)), settings)) as client:
        wait_until_ready(client)
        _shop_for_a_while(client, looks)
        yield str(client.base_url)


def _shop_for_a_while(client: httpx.Client, looks: list[Path]) -> None:
    """Search every look; of each first item's hits see eight, and choose the one at a place that goes round."""
    for no, look in enumerate(looks):
        answer = client.post("/v1/search", files={"photo": look.read_bytes()}, timeout=60).json()
        hits = answer["items"][0]["hits"]
        events = [{"type": "view", "product_id": hit["product_id"], "position": i} for i, hit in enumerate(hits[:8])]
        chosen = (0, 0, 1, 0, 2, 0, 1, 4)[no % 8]
        events.append({"type": "click", "product_id": hits[chosen]["product_id"], "position": chosen})
        client.post("/v1/events", json={"events": events}).raise_for_status()


def _search_a_sample(page: Any, address: str, sample: int = 0) -> None:
    page.goto(address)
    page.wait_for_selector("body[data-ready=true]")
    page.locator("#sample-list button").nth(sample).click()
    page.wait_for_selector("body[data-state=done] #items .chip")
    _pictures_drawn(page)


def _pictures_drawn(page: Any) -> None:
    page.wait_for_function(
        "() => [...document.images].every((one) => one.complete || one.getBoundingClientRect().top > innerHeight)"
    )


def test_picture_of_a_search(chromium: Any, address: str) -> None:
    with picture_page(chromium) as page:
        _search_a_sample(page, address)
        size = take_picture(page, "search")

    assert size < MOST_BYTES


def test_picture_of_the_start(chromium: Any, address: str) -> None:
    with picture_page(chromium, color_scheme="dark") as page:
        page.goto(address)
        page.wait_for_selector("body[data-ready=true]")
        _pictures_drawn(page)
        size = take_picture(page, "page-start-dark")

    assert size < MOST_BYTES


def test_picture_on_a_phone_in_korean(chromium: Any, address: str) -> None:
    with picture_page(chromium, **PHONE, locale="ko-KR") as page:
        _search_a_sample(page, address, 6)
        size = take_picture(page, "page-phone-ko")

    assert size < MOST_BYTES


def test_picture_of_the_merchant_page(chromium: Any, address: str) -> None:
    with picture_page(chromium, viewport={"width": 1200, "height": 1000}) as page:
        page.goto(f"{address}/merchant")
        page.wait_for_selector("body[data-ready=true]")
        _pictures_drawn(page)
        size = take_picture(page, "merchant")

    assert size < MOST_BYTES


def test_picture_of_the_rules(chromium: Any, address: str) -> None:
    with picture_page(chromium, viewport={"width": 1200, "height": 1000}) as page:
        page.goto(f"{address}/merchant")
        page.wait_for_selector("body[data-ready=true]")
        page.fill("#preview-id", "D0003")
        page.press("#preview-id", "Enter")
        page.wait_for_selector("#preview-items .compare")
        page.locator("[data-kind=boost] > button").click()
        page.fill("[data-kind=boost] input >> nth=0", "colour=blue")
        page.press("[data-kind=boost] input >> nth=0", "Tab")
        page.wait_for_selector("#preview-items em")
        page.locator("#rules-title").scroll_into_view_if_needed()
        page.evaluate("document.getElementById('rules').scrollIntoView({ behavior: 'instant' })")
        _pictures_drawn(page)
        size = take_picture(page, "merchant-rules")

    assert size < MOST_BYTES


def test_picture_of_the_widget(chromium: Any, address: str, tmp_path: Path) -> None:
    for file in EXAMPLE.iterdir():
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8").replace(SERVICE, address), encoding="utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 8123), partial(Pages, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    with picture_page(chromium, viewport={"width": 1200, "height": 940}) as page:
        page.goto("http://127.0.0.1:8123/product.html?id=D0003")
        page.locator("twinset-similar .card").first.wait_for()
        page.wait_for_function(
            "() => [...document.querySelector('twinset-similar').shadowRoot.querySelectorAll('img')].slice(0, 6)"
            ".every((one) => one.naturalWidth)"
        )
        size = take_picture(page, "widget")
    server.shutdown()
    server.server_close()

    assert size < MOST_BYTES
