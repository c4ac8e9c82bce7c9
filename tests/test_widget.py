"""The widget in a shop of another origin: the example shop, in a real Chromium, with the model without weights."""

import io
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browsing import PHONE, keep_sent, needs_chromium, new_page, sent_photo, serious_problems
from conftest import http_client, wait_until_ready
from fakes import FakeModels
from PIL import Image
from test_images import exif_of

from twinset.data.drawn import draw_shop
from twinset.indexing import index_feed
from twinset.server.app import ServerSettings, create_app
from twinset.server.keys import KeyFile
from twinset.shop import Shop
from twinset.store import open_store

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = needs_chromium
EXAMPLE = Path(__file__).parent.parent / "examples" / "shop"
SERVICE = "http://127.0.0.1:8000"  # as the example's pages say


class Pages(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the example's pages, as they are but for the service's address and key."""
    return tmp_path_factory.mktemp("example")


@pytest.fixture(scope="module")
def shop(example: Path) -> Iterator[str]:
    """The address of the shop that serves them."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Pages, directory=str(example)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def look(example: Path, shop: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start the service beside the shop, with a search key for the shop's pages; return a photo."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_shop(folder, products=30, looks=1, seed=7)
    models = FakeModels()
    index_feed(folder / "products.csv", str(folder / "store"), models)
    _, key = KeyFile(folder / "state" / "keys.json").add("default", "search", origins=[shop])
    settings = ServerSettings(state=str(folder / "state"), public_shop="default", cors_origins=(shop,))
    app = create_app(lambda: Shop(models, open_store(folder / "store", models.version)), settings)
    with http_client(app) as client:
        wait_until_ready(client)
        for page in EXAMPLE.iterdir():
            text = page.read_text(encoding="utf-8").replace(SERVICE, str(client.base_url))
            text = text.replace('widget.js"', f'widget.js" data-key="{key}"')
            (example / page.name).write_text(text, encoding="utf-8")
        yield next((folder / "looks").glob("*.jpg"))


def test_strip_shows_similar_products_and_leads_to_them(chromium: Any, shop: str, look: Path) -> None:
    with new_page(chromium) as page:
        page.goto(f"{shop}/product.html?id=D0003")
        cards = page.locator("twinset-similar:not([data-strip]) .card")
        expect(page.locator("twinset-similar:not([data-strip]) h2")).to_have_text("You may like these too")
        expect(cards.first).to_be_visible()
        page.wait_for_function(
            "() => document.querySelector('twinset-similar').shadowRoot.querySelector('img').naturalWidth > 0"
        )
        assert serious_problems(page) == []

        cards.first.click()

        page.wait_for_url("**/product.html?id=*")
        expect(page.locator("twinset-similar .card").first).to_be_visible()
        assert "D0003" not in page.url


def test_strips_of_other_kinds_say_what_each_product_is(chromium: Any, shop: str, look: Path) -> None:
    with new_page(chromium) as page:
        page.goto(f"{shop}/product.html?id=D0003")
        strip = page.locator("twinset-similar").nth(1)
        expect(strip.locator("h2")).to_have_text("Complete the look")
        labels = strip.locator(".label").all_inner_texts()
        assert labels and len(labels) == strip.locator(".card").count() and "Top" not in labels

        with page.expect_response("**/cheaper?*") as answer:
            strip.evaluate("(node) => (node.dataset.strip = 'cheaper')")
        hits = answer.value.json()["hits"]
        assert hits
        expect(strip.locator("h2")).to_have_text("Cheaper like this")
        expect(strip.locator(".name")).to_have_text([hit["title"] for hit in hits])
        assert serious_problems(page) == []

        with page.expect_event("console", lambda message: 'data-strip="dearer"' in message.text):
            strip.evaluate("(node) => (node.dataset.strip = 'dearer')")


@pytest.mark.parametrize("options", [pytest.param({}, id="desktop"), pytest.param(PHONE, id="phone")])
def test_camera_searches_a_photo_in_a_dialog(chromium: Any, shop: str, look: Path, options: dict[str, Any]) -> None:
    with new_page(chromium, **options) as page:
        page.goto(f"{shop}/index.html")
        page.click("twinset-camera .camera")
        with page.expect_response("**/v1/search") as answer:
            page.set_input_files("twinset-camera input >> nth=0", look)
        items = answer.value.json()["items"]
        expect(page.locator("twinset-camera .chip")).to_have_count(len(items))
        expect(page.locator("twinset-camera .status")).not_to_have_text("Looking…")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert serious_problems(page) == []

        page.keyboard.press("Escape")
        expect(page.locator("twinset-camera dialog")).to_be_hidden()


def test_photo_leaves_where_it_was_taken_behind(chromium: Any, shop: str, look: Path, tmp_path: Path) -> None:
    exif = exif_of(6)
    exif[0x010E] = "SECRET-PLACE-48.2082N"
    with Image.open(look) as upright:
        upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", quality=95, exif=exif)
        size = upright.size
    with new_page(chromium) as page:
        page.goto(f"{shop}/index.html")
        keep_sent(page)
        page.click("twinset-camera .camera")
        with page.expect_response("**/v1/search") as answer:
            page.set_input_files("twinset-camera input >> nth=0", tmp_path / "turned.jpg")

        found = answer.value.json()
        assert found["items"] and (found["width"], found["height"]) == size
        sent = sent_photo(page)
    with Image.open(io.BytesIO(sent)) as image:
        assert image.size == size and not image.getexif()
    assert b"SECRET-PLACE" not in sent and b"Exif" not in sent


def test_file_that_is_no_photo_is_said_and_not_shown(chromium: Any, shop: str, look: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no photo")
    with chromium.new_context(locale="en-GB") as context:  # without the console's check: the browser logs the refusal
        page = context.new_page()
        page.goto(f"{shop}/index.html")
        page.click("twinset-camera .camera")
        page.set_input_files("twinset-camera input >> nth=0", tmp_path / "notes.jpg")

        expect(page.locator("twinset-camera .status")).to_have_text("This file is no photo we can read.")
        expect(page.locator("twinset-camera .preview")).to_be_hidden()


def test_pages_styles_stay_out_and_variables_come_in(chromium: Any, shop: str, look: Path) -> None:
    with new_page(chromium) as page:
        page.goto(f"{shop}/index.html")
        page.add_style_tag(content="button { display: none !important } :root { --twinset-accent: rgb(1, 2, 3) }")
        button = page.locator("twinset-camera .camera")

        expect(button).to_be_visible()
        expect(button).to_have_css("background-color", "rgb(1, 2, 3)")


def test_key_works_on_its_own_origins_alone(chromium: Any, shop: str, look: Path) -> None:
    elsewhere = shop.replace("127.0.0.1", "localhost")
    with chromium.new_context() as context:  # without the console's check: the browser logs the refusal
        page = context.new_page()
        warnings: list[str] = []
        page.on("console", lambda message: warnings.append(message.text))
        with page.expect_event("console", lambda message: message.text.startswith("twinset:")):
            page.goto(f"{elsewhere}/index.html")
            page.evaluate("document.body.append(Object.assign(document.createElement('twinset-similar'), { id: 's' }))")
            page.evaluate("document.getElementById('s').setAttribute('product-id', 'D0003')")

        assert any("no products similar to D0003" in text for text in warnings)
        assert page.locator("#s .card").count() == 0


def test_tag_alone_gives_a_floating_button_in_the_pages_language(
    chromium: Any, shop: str, look: Path, example: Path
) -> None:
    with new_page(chromium) as page:
        page.goto(f"{shop}/index.html")
        tag = page.locator("script[data-key]").evaluate("(node) => node.outerHTML")
        head = '<!doctype html><html lang="ko"><title>shop</title><link rel="icon" href="data:,">'
        bare = f"{head}<body>{tag}</body></html>"
        (example / "bare.html").write_text(bare, encoding="utf-8")
        page.goto(f"{shop}/bare.html")

        expect(page.locator("twinset-camera.twinset-float .camera")).to_have_text("사진으로 찾기")


def add_strip(page: Any, shop: str) -> Any:
    """Open the shop's first page, with an empty strip in it; return that."""
    page.goto(f"{shop}/index.html")
    page.evaluate("document.body.append(Object.assign(document.createElement('twinset-similar'), { id: 's' }))")
    page.evaluate("customElements.whenDefined('twinset-similar').then(() => true)")
    return page.locator("#s")


HOLD_UNKNOWN = """() => {
  const real = fetch;
  window.fetch = (url, options) => (url.includes("/unknown/") ? new Promise((_, fail) => (window.late = fail)) : real(url, options));
}"""  # noqa: E501
FAIL_LATE = "late(new TypeError('late')), new Promise((done) => setTimeout(done))"


def test_failure_that_comes_late_leaves_the_newer_strip(chromium: Any, shop: str, look: Path) -> None:
    with new_page(chromium) as page:
        strip = add_strip(page, shop)
        page.evaluate(HOLD_UNKNOWN)
        strip.evaluate("(node) => node.setAttribute('product-id', 'unknown')")
        page.wait_for_function("() => window.late")
        strip.evaluate("(node) => node.setAttribute('product-id', 'D0003')")
        expect(strip.locator(".card").first).to_be_visible()

        page.evaluate(FAIL_LATE)

        assert strip.locator(".card").count() > 0


@pytest.mark.parametrize("currency", ["€", "US$", "Rs."])
def test_currency_that_is_no_iso_code_is_shown_as_it_is(chromium: Any, shop: str, look: Path, currency: str) -> None:
    def in_currency(route: Any) -> None:
        answer = route.fetch()
        found = answer.json()
        hits = [{**hit, "price": 12.5, "sale_price": None, "currency": currency} for hit in found["hits"]]
        route.fulfill(response=answer, json={**found, "hits": hits})

    with new_page(chromium) as page:
        page.route("**/similar?*", in_currency)
        strip = add_strip(page, shop)
        strip.evaluate("(node) => node.setAttribute('product-id', 'D0003')")

        expect(strip.locator(".price").first).to_have_text(f"12.5 {currency}")


def test_views_go_out_together_and_a_choice_that_leads_away_is_told(chromium: Any, shop: str, look: Path) -> None:
    def is_told(request: Any) -> bool:
        return request.method == "POST" and request.url.endswith("/v1/events")

    with new_page(chromium) as page:
        strip = add_strip(page, shop)
        with page.expect_response(lambda answer: is_told(answer.request)) as told:
            strip.evaluate("(node) => node.setAttribute('product-id', 'D0003')")
        events = json.loads(told.value.request.post_data)["events"]
        assert [(event["type"], event["position"]) for event in events] == [("view", i) for i in range(4)]

        page.evaluate("addEventListener('twinset:choose', () => (location.href = 'product.html?id=D0008'))")
        with page.expect_request(lambda request: is_told(request) and "click" in request.post_data) as told:
            strip.locator(".card").first.click()
        page.wait_for_url("**/product.html?id=D0008")
        (event,) = json.loads(told.value.post_data)["events"]
        assert event["product_id"] == events[0]["product_id"]


def test_views_are_told_as_the_page_is_left(chromium: Any, shop: str, look: Path) -> None:
    with new_page(chromium) as page:
        strip = add_strip(page, shop)
        page.evaluate("window.setTimeout = () => 0")  # a moment later never comes
        strip.evaluate("(node) => node.setAttribute('product-id', 'D0003')")
        expect(strip.locator(".card").first).to_be_visible()

        with page.expect_request("**/v1/events") as told:
            page.evaluate("dispatchEvent(new Event('pagehide'))")
        assert len(json.loads(told.value.post_data)["events"]) == 4
