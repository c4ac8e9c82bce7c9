"""The merchant's page in a real Chromium: what was searched and missed, clicks, rules with preview, imports, models."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from browsing import DESKTOP, PHONE, needs_chromium, new_page, serious_problems
from conftest import http_client, wait_until_ready
from fakes import FakeModels, draw_street, make_feed, save_image

from twinset.indexing import index_feed
from twinset.server.app import ServerSettings, create_app
from twinset.server.keys import KeyFile
from twinset.shop import Shop
from twinset.store import open_store

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright_api.expect
expect.set_options(timeout=30_000)
pytestmark = needs_chromium
PAGE = Path(__file__).parent.parent / "twinset/server/page"
WORDS = {language: json.loads((PAGE / f"merchant.{language}.json").read_text()) for language in ("en", "ko")}


@dataclass(frozen=True)
class Service:
    """A service whose shoppers have searched: everything below the highest score counts as missed."""

    address: str
    admin_key: str
    search_key: str
    photo: Path


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    models = FakeModels()
    index_feed(make_feed(tmp_path, 20), tmp_path / "store", models)
    keys = KeyFile(tmp_path / "state" / "keys.json")
    (_, admin_key), (_, search_key) = keys.add("default", "admin"), keys.add("default", "search")
    settings = ServerSettings(state=str(tmp_path / "state"), miss_score=1.0, miss_crops=20)
    app = create_app(lambda: Shop(models, open_store(tmp_path / "store", models.version)), settings)
    photo = save_image(draw_street(), tmp_path / "street.png")
    with http_client(app) as client:
        wait_until_ready(client)
        _shop(client, search_key, photo)
        yield Service(str(client.base_url), admin_key, search_key, photo)


def _shop(client: httpx.Client, key: str, photo: Path) -> None:
    """Search a photo twice, see two products and choose one."""
    headers = {"Authorization": f"Bearer {key}"}
    for _ in range(2):
        found = client.post("/v1/search", headers=headers, files={"photo": photo.read_bytes()}).json()
    hits = found["items"][0]["hits"]
    events = [{"type": "view", "product_id": hit["product_id"], "position": i} for i, hit in enumerate(hits[:2])]
    of = {"search_id": found["search_id"], "item_no": 0}
    events.append({"type": "click", "product_id": hits[1]["product_id"], "position": 1, **of})
    assert client.post("/v1/events", headers=headers, json={"events": events}).status_code == 202


def sign_in(page: Any, service: Service) -> None:
    page.goto(f"{service.address}/merchant")
    page.fill("#key", service.admin_key)
    page.press("#key", "Enter")
    page.wait_for_selector("body[data-ready=true]")


@pytest.mark.parametrize(
    ("language", "options"),
    [
        pytest.param("en", {**DESKTOP, "locale": "en-GB"}, id="english-desktop"),
        pytest.param("ko", {**DESKTOP, "locale": "ko-KR"}, id="korean-desktop"),
        pytest.param("en", {**PHONE, "locale": "en-GB"}, id="english-phone"),
        pytest.param("ko", {**PHONE, "locale": "ko-KR", "color_scheme": "dark"}, id="korean-phone-dark"),
    ],
)
def test_merchant_story(chromium: Any, service: Service, language: str, options: dict[str, Any]) -> None:
    words = WORDS[language]
    context = chromium.new_context(**options)  # without the console's check: the browser logs the first 401
    context.set_default_timeout(30_000)
    page = context.new_page()
    sign_in(page, service)
    expect(page.locator("#figures dd").nth(0)).to_have_text("6")  # three items, twice
    expect(page.locator("#figures dd").nth(2)).to_have_text("1")
    expect(page.locator("#miss-groups .miss")).to_have_count(3)
    expect(page.locator("#miss-groups .miss").first.locator("img")).to_have_count(2)
    assert page.evaluate("[...document.querySelectorAll('.crops img')].every((image) => image.naturalWidth > 0)")
    expect(page.locator("#click-rows tr")).to_have_count(2)
    assert "100" in page.locator("#click-rows tr").nth(1).inner_text()
    expect(page.locator("#quality-figure")).to_contain_text("nDCG 0.")
    assert "100" in page.locator("#quality-rows tr").nth(0).inner_text()  # the first place is looked at most
    expect(page.locator("#model-list .active")).to_have_text(words["inUse"])
    assert serious_problems(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.set_input_files("#preview-photo", service.photo)
    shown = page.locator("#preview-items .compare").first
    expect(shown).to_be_visible()
    last = shown.locator("ul").nth(1).locator("li span").last.inner_text()
    page.locator("[data-kind=pin] > button").click()
    page.fill("[data-kind=pin] input", f"p{int(last.split()[-1]):03}")
    page.press("[data-kind=pin] input", "Tab")
    expect(shown.locator("ul").nth(1).locator("em")).to_have_text(words["rule.pinned"])
    expect(shown.locator("ul").nth(1).locator("li span").first).to_have_text(last)
    assert shown.locator("ul").nth(0).locator("li span").first.inner_text() != last
    page.locator("#only-in-stock").check()
    page.click("#rule-form .button.main")
    expect(page.locator("#rule-state")).to_have_text(words["saved"])
    expect(shown.locator("ul").nth(0).locator("em")).to_have_text(words["rule.pinned"])  # shoppers see it now

    feed = "product_id,title,image\nnew,A new one,https://shop.invalid/new.jpg\n"
    page.set_input_files("#feed", {"name": "feed.csv", "mimeType": "text/csv", "buffer": feed.encode()})
    expect(page.locator("#jobs .job .state")).to_have_text(words["job.done"])
    expect(page.locator("#jobs details li")).to_have_count(1)
    assert serious_problems(page) == []
    context.close()


def test_share_not_carried_is_of_searches_that_leave_nothing_out_themselves(chromium: Any, service: Service) -> None:
    with chromium.new_context(locale="en-GB") as context:  # without the console's check: the browser logs the first 401
        page = context.new_page()
        sign_in(page, service)
        share = page.locator("#figures dd").nth(1)
        before = share.inner_text()
        headers, photo = {"Authorization": f"Bearer {service.search_key}"}, service.photo.read_bytes()
        narrowed = {"files": {"photo": photo}, "data": {"where": "price<0"}}
        assert httpx.post(f"{service.address}/v1/search", headers=headers, **narrowed).status_code == 200

        page.reload()
        expect(page.locator("#figures dd").nth(0)).to_have_text("9")
        expect(share).to_have_text(before)
        assert before == "100%"


def test_merchant_page_is_for_admins(chromium: Any, service: Service) -> None:
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(f"{service.address}/merchant")
    page.fill("#key", service.search_key)
    page.press("#key", "Enter")

    expect(page.locator("#error")).to_contain_text("role admin")
    assert page.locator("#board").is_hidden()
    context.close()


def test_rule_that_can_not_be_read_is_said(chromium: Any, service: Service) -> None:
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    sign_in(page, service)
    page.locator("[data-kind=boost] > button").click()
    page.fill("[data-kind=boost] input >> nth=0", "size=9")
    page.click("#rule-form .button.main")

    expect(page.locator("#rule-state")).to_contain_text("expected")
    context.close()


def test_both_languages_have_the_same_words() -> None:
    plural = {"missCount.one", "failedRows.one"}  # Korean has no such form

    assert set(WORDS["en"]) - plural == set(WORDS["ko"])


def test_page_loads_without_complaint_where_there_are_no_keys(chromium: Any, tmp_path: Path) -> None:
    models = FakeModels()
    index_feed(make_feed(tmp_path, 5), tmp_path / "store", models)
    app = create_app(lambda: Shop(models, open_store(tmp_path / "store", models.version)))
    with http_client(app) as client, new_page(chromium) as page:
        wait_until_ready(client)
        page.goto(f"{client.base_url}/merchant")
        page.wait_for_selector("body[data-ready=true]")

        expect(page.locator("#miss-groups")).to_contain_text(WORDS["en"]["noMisses"])


def test_another_period_leaves_rules_that_are_not_saved(chromium: Any, service: Service) -> None:
    with chromium.new_context(locale="en-GB") as context:  # without the console's check: the browser logs the first 401
        page = context.new_page()
        sign_in(page, service)
        page.locator("[data-kind=boost] > button").click()
        page.fill("[data-kind=boost] input >> nth=0", "price<20")
        page.press("[data-kind=boost] input >> nth=0", "Tab")
        page.locator("#status").evaluate("(node) => (node.textContent = '')")

        with page.expect_response("**/v1/reports/searches?days=7&*"):
            page.select_option("#days", "7")

        expect(page.locator("#status")).to_have_text(WORDS["en"]["loaded"])
        expect(page.locator("[data-kind=boost] input").first).to_have_value("price<20")
        expect(page.locator("#rule-state")).to_have_text(WORDS["en"]["unsaved"])


def test_feed_goes_into_the_shop_that_is_chosen(chromium: Any, tmp_path: Path) -> None:
    models = FakeModels()
    feed = make_feed(tmp_path, 5)
    index_feed(feed, tmp_path / "store", models)
    men = f"product_id,shop,image\nm1,men,{tmp_path}/images/p000.png\n"
    (tmp_path / "men.csv").write_text(men, encoding="utf-8")
    index_feed(tmp_path / "men.csv", tmp_path / "store", models)
    picture = base64.b64encode((tmp_path / "images" / "p001.png").read_bytes()).decode()
    rows = f'product_id,title,article_type,image\nm2,New,Dresses,"data:image/png;base64,{picture}"\n'
    app = create_app(lambda: Shop(models, open_store(tmp_path / "store", models.version)))
    with http_client(app) as client, new_page(chromium) as page:
        wait_until_ready(client)
        page.goto(f"{client.base_url}/merchant")
        page.wait_for_selector("body[data-ready=true]")
        page.select_option("#shop", "men")

        page.set_input_files("#feed", {"name": "PRODUCTS.CSV", "mimeType": "", "buffer": rows.encode()})

        expect(page.locator("#jobs .job .state")).to_have_text(WORDS["en"]["job.done"])
        assert client.get("/v1/products/m2", params={"shop": "men"}).status_code == 200
        assert client.get("/v1/products/m2").status_code == 404


def test_feed_that_can_not_be_read_is_said_where_it_is_seen_until_the_next(chromium: Any, service: Service) -> None:
    with chromium.new_context() as context:  # without the console's check: the browser logs the refusal
        page = context.new_page()
        sign_in(page, service)
        page.locator("#feed").scroll_into_view_if_needed()
        page.set_input_files("#feed", {"name": "feed.xlsx", "mimeType": "", "buffer": b"PK" + bytes(2000)})
        expect(page.locator("#error")).to_contain_text("save the feed as UTF-8 CSV")
        expect(page.locator("#error")).to_be_in_viewport()

        feed = b"product_id\timage\nnew\thttps://shop.invalid/new.jpg\n"
        page.set_input_files("#feed", {"name": "feed.tsv", "mimeType": "", "buffer": feed})
        expect(page.locator("#jobs .job")).to_have_count(1)
        expect(page.locator("#error")).to_be_hidden()


def test_preview_that_comes_late_leaves_the_newer_one(chromium: Any, service: Service) -> None:
    held: list[Any] = []
    with chromium.new_context() as context:  # likewise
        page = context.new_page()
        sign_in(page, service)
        page.route("**/v1/rules/preview", lambda route: route.continue_() if held else held.append(route))
        with page.expect_request("**/v1/rules/preview"):
            page.set_input_files("#preview-photo", service.photo)
        page.fill("#preview-id", "unknown")
        page.press("#preview-id", "Enter")
        expect(page.locator("#preview-items")).to_contain_text("'unknown'")

        with page.expect_response("**/v1/rules/preview"):
            held[0].continue_()
        page.evaluate("new Promise((done) => setTimeout(done))")

        expect(page.locator("#preview-items")).to_contain_text("'unknown'")
        assert page.locator("#preview-items .compare").count() == 0
