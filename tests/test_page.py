"""The page as a shopper uses it, in a real Chromium against a real server, with the model that needs no weights."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import http_client
from fakes import FakeModels, draw_street, save_image

from twinset.server.app import ServerSettings, create_app
from twinset.shop import Shop
from twinset.store import open_store

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
PHONE = {"width": 390, "height": 844}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(shop_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    sample = save_image(draw_street(), tmp_path_factory.mktemp("samples") / "sample.png")
    models = FakeModels()

    def open_engine() -> Shop:
        return Shop(models, open_store(shop_folder / "store", models.version))

    with http_client(create_app(open_engine, ServerSettings(samples=(sample,)))) as client:
        yield str(client.base_url)


@pytest.fixture
def page(browser, address: str, request: pytest.FixtureRequest):
    options = getattr(request, "param", {})
    context = browser.new_context(**{"locale": "en-GB", **options})
    page = context.new_page()
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("body[data-ready=true]")
    yield page
    context.close()
    assert problems == []


def search(page, photo: Path) -> None:
    page.set_input_files("#file", photo)
    page.wait_for_selector("#items button")


def cards(page) -> list[str]:
    return page.locator("#hits .card h3").all_inner_texts()


def test_photo_shows_its_items_and_a_tap_their_products(page, street: Path) -> None:
    search(page, street)

    assert page.locator("#boxes button").count() == 3
    assert page.locator("#items button").count() == 3
    first = cards(page)
    assert first
    page.locator("#boxes button").nth(1).click()
    assert page.locator("#items button[aria-pressed=true]").count() == 1
    assert cards(page) != first
    page.wait_for_load_state("networkidle")
    assert page.evaluate("[...document.querySelectorAll('#hits img')].some(image => image.naturalWidth > 0)")


def test_filters_keep_what_meets_them(page, street: Path) -> None:
    search(page, street)
    before = len(cards(page))

    page.fill("#high", "0.01")
    page.click("#filters .button")
    playwright_api.expect(page.locator("#hits .card")).to_have_count(0, timeout=20_000)
    assert "No product fits" in page.inner_text("#status")
    page.fill("#high", "")
    page.click("#filters .button")
    playwright_api.expect(page.locator("#hits .card")).to_have_count(before, timeout=20_000)


def test_own_box_is_dragged_and_searched(page, street: Path) -> None:
    search(page, street)

    page.click("#own-crop")
    stage = page.locator("#stage").bounding_box()
    before = page.locator("#crop").get_attribute("style")
    page.mouse.move(stage["x"] + 5, stage["y"] + 5)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] * 0.95, stage["y"] + stage["height"] * 0.5, steps=4)
    page.mouse.up()
    assert page.locator("#crop").get_attribute("style") != before
    with page.expect_response("**/v1/search") as answer:
        page.click("#search-crop")
    assert answer.value.status == 200
    page.wait_for_selector("#hits .card")


def test_own_box_is_moved_and_searched_by_keyboard(page, street: Path) -> None:
    search(page, street)
    page.click("#own-crop")
    page.focus("#crop")
    before = page.locator("#crop").get_attribute("style")

    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowRight")

    assert page.locator("#crop").get_attribute("style") != before
    with page.expect_response("**/v1/search") as answer:
        page.keyboard.press("Enter")
    assert answer.value.status == 200


def test_sample_photo_is_searched(page) -> None:
    page.locator("#samples button").first.click()

    page.wait_for_selector("#items button")
    assert cards(page)


@pytest.mark.parametrize("page", [{"locale": "ko-KR"}], indirect=True)
def test_page_speaks_korean_to_a_korean_browser(page, street: Path) -> None:
    assert "사진" in page.inner_text("#drop")
    search(page, street)
    assert "상의" in page.inner_text("#items")
    page.click("[data-language=en]")
    assert "Top" in page.inner_text("#items")


@pytest.mark.parametrize("page", [{"viewport": PHONE, "has_touch": True, "is_mobile": True}], indirect=True)
def test_page_fits_a_phone(page, street: Path) -> None:
    search(page, street)

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.locator("#items button").nth(1).tap()
    assert page.locator("#items button").nth(1).get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("page", [{}], indirect=True)
def test_page_weighs_less_than_a_hundred_kilobytes(page) -> None:
    folder = Path(__file__).parent.parent / "twinset" / "server" / "page"

    assert sum(file.stat().st_size for file in folder.iterdir()) < 100_000
    assert page.title() == "Twinset"


def test_what_is_no_photo_is_said_in_words(browser, address: str, tmp_path: Path) -> None:
    page = browser.new_page()  # without the console's check: the browser logs the 415
    page.goto(address)
    page.wait_for_selector("body[data-ready=true]")
    (tmp_path / "note.jpg").write_text("not a photo")

    page.set_input_files("#file", tmp_path / "note.jpg")
    page.wait_for_selector("#error:not([hidden])")

    assert "expected JPEG" in page.inner_text("#error")
    page.close()
