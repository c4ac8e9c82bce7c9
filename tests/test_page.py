"""The page as a shopper uses it, in a real Chromium against a real server, with the model that needs no weights."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from browsing import (
    DESKTOP,
    PHONE,
    begin,
    cards,
    done,
    keep_sent,
    needs_chromium,
    new_page,
    search,
    sent_photo,
    serious_problems,
)
from conftest import http_client, wait_until_ready
from fakes import FakeModels, draw_street, make_feed, save_image
from PIL import Image
from test_images import encoded, exif_of, stored_as

from twinset.indexing import index_feed
from twinset.server.app import create_app
from twinset.shop import Shop
from twinset.store import open_store

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright_api.expect
expect.set_options(timeout=30_000)

pytestmark = needs_chromium
WORDS = {
    language: json.loads((Path(__file__).parent.parent / "twinset/server/page" / f"words.{language}.json").read_text())
    for language in ("en", "ko")
}
TOP = {"en": "Top", "ko": "상의"}


@pytest.mark.parametrize(
    ("language", "page"),
    [
        pytest.param("en", {"locale": "en-GB", **DESKTOP}, id="english-desktop"),
        pytest.param("ko", {"locale": "ko-KR", **DESKTOP, "color_scheme": "dark"}, id="korean-desktop-dark"),
        pytest.param("en", {"locale": "en-GB", **PHONE, "color_scheme": "dark"}, id="english-phone-dark"),
        pytest.param("ko", {"locale": "ko-KR", **PHONE}, id="korean-phone"),
    ],
    indirect=["page"],
)
def test_shopper_story(page: Any, language: str, street: Path) -> None:
    words = WORDS[language]
    expect(page.locator("#headline")).to_have_text(words["headline"])
    assert serious_problems(page) == []

    search(page, street)
    expect(page.locator("#items .chip")).to_have_count(3)
    assert TOP[language] in page.inner_text("#items")
    first = cards(page)
    assert first
    page.locator("#items .chip").nth(1).click()
    expect(page.locator("#items .chip").nth(1)).to_have_attribute("aria-pressed", "true")
    assert cards(page) != first

    if page.locator("#filters-title").is_visible():  # on a phone filters are folded
        page.click("#filters-title")
    page.locator("#stock").check()
    done(page)
    expect(page.locator("#clear")).to_be_visible()
    assert 0 < len(cards(page)) <= len(first)
    assert serious_problems(page) == []

    page.locator("#hits .card").first.hover()
    page.locator("#hits .card .round").first.click()
    expect(page.locator("#back")).to_be_visible()
    done(page)
    expect(page.locator("#look-title")).to_have_text(words["look"])
    expect(page.locator("#strip-look .mini:not(.place)").first).to_be_visible()
    assert serious_problems(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("#back")
    expect(page.locator("#back")).to_be_hidden()

    page.click("#another")
    expect(page.locator("#visit .shot")).to_have_count(1)
    with page.expect_request("**/v1/search") as asked:
        page.locator("#visit .shot").click()
    assert "image_id" in asked.value.post_data
    done(page)


def test_a_tap_on_the_photo_shows_that_items_products(page: Any, street: Path) -> None:
    search(page, street)
    before = cards(page)

    page.locator("#stage .frame").first.click()

    expect(page.locator("#items .chip[aria-pressed=true]")).to_have_count(1)
    assert cards(page) != before
    picture = page.locator("#hits img").first
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("(image) => image.naturalWidth") > 0


def test_names_on_the_photo_hide_no_other(page: Any, street: Path) -> None:
    search(page, street)

    boxes = [label.bounding_box() for label in page.locator("#stage .tag").all()]

    assert len(boxes) == 2
    one, other = boxes
    assert (
        one["x"] + one["width"] <= other["x"]
        or other["x"] + other["width"] <= one["x"]
        or one["y"] + one["height"] <= other["y"]
        or other["y"] + other["height"] <= one["y"]
    )


def test_a_product_has_strips_that_lead_on_and_back(page: Any, street: Path) -> None:
    search(page, street)
    page.locator("#items .chip", has_text="Trousers").click()
    first = cards(page)
    page.locator("#hits .card").nth(2).hover()
    with page.expect_response("**/look?*") as answer:
        page.locator("#hits .card").nth(2).locator(".round").first.click()
    parts = answer.value.json()["look"]
    expect(page.locator("#result-title")).to_have_text(first[2])
    minis = page.locator("#strip-look .mini:not(.place)")
    expect(minis).to_have_count(sum(len(part["hits"]) for part in parts))
    expect(page.locator("#strip-colours")).to_be_hidden()  # all trousers are black
    assert page.locator("#strip-cheaper .mini").count() > 0
    done(page)
    assert first[2] not in cards(page)

    chosen = parts[0]["hits"][0]
    minis.first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#result-title")).to_have_text(chosen["title"])
    expect(page.locator("#result-title")).to_be_focused()
    done(page)
    page.click("#back")
    expect(page.locator("#result-title")).to_have_text(first[2])
    page.click("#back")
    expect(page.locator("#product")).to_be_hidden()
    assert cards(page) == first


def test_the_browsers_back_and_forward_go_from_step_to_step(page: Any, street: Path) -> None:
    search(page, street)
    page.locator("#items .chip", has_text="Trousers").click()
    first = cards(page)
    page.locator("#hits .card").nth(2).hover()
    page.locator("#hits .card").nth(2).locator(".round").first.click()
    expect(page.locator("#result-title")).to_have_text(first[2])
    done(page)
    alike = cards(page)

    page.go_back()
    expect(page.locator("#product")).to_be_hidden()
    assert cards(page) == first
    expect(page.locator("#items .chip", has_text="Trousers")).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(page.locator("#start")).to_be_visible()
    expect(page.locator("#found")).to_be_hidden()
    page.go_forward()
    expect(page.locator("#items .chip")).to_have_count(3)
    done(page)
    page.go_forward()
    expect(page.locator("#result-title")).to_have_text(first[2])
    done(page)
    assert cards(page) == alike

    page.click("#another")
    expect(page.locator("#start")).to_be_visible()
    page.go_back()  # to the product, whose photo is searched again
    expect(page.locator("#result-title")).to_have_text(first[2])
    page.click("#back")
    expect(page.locator("#product")).to_be_hidden()
    page.reload()
    page.wait_for_function("document.body.dataset.ready")
    page.go_back()
    expect(page.locator("#start")).to_be_visible()


def test_filters_keep_what_meets_them_and_count_it(page: Any, street: Path) -> None:
    search(page, street)
    before = len(cards(page))
    assert page.locator("[data-field=colour]").count() == 0  # all tops are red: nothing to choose
    assert 0 < int(page.inner_text("#stock-n")) < before

    page.fill("#high", "0.01")
    page.press("#high", "Enter")
    expect(page.locator("#note")).to_contain_text(WORDS["en"]["noHits"])
    assert cards(page) == []
    page.click("#clear")
    expect(page.locator("#hits .card:not(.place)")).to_have_count(before)


def test_page_is_used_by_keyboard_alone(page: Any) -> None:
    page.focus("#sample-list button")
    page.keyboard.press("Enter")
    done(page)
    expect(page.locator("#result-title")).to_be_focused()

    page.focus("#items .chip:nth-child(2)")
    page.keyboard.press("Enter")

    expect(page.locator("#items .chip").nth(1)).to_have_attribute("aria-pressed", "true")
    assert page.locator("#status").get_attribute("role") == "status"
    assert "product" in page.inner_text("#status")


def test_skipping_to_the_results_leaves_them_and_is_no_step(page: Any, street: Path) -> None:
    search(page, street)
    shown = cards(page)

    page.focus(".skip")
    page.keyboard.press("Enter")
    expect(page.locator("#result-title")).to_be_focused()
    page.evaluate("location.hash = 'hits'")
    page.wait_for_function("location.hash === '#hits'")
    assert page.locator("#found").is_visible() and cards(page) == shown

    page.go_back()
    page.go_back()
    expect(page.locator("#start")).to_be_visible()


PASTE = """async (event) => {
  const file = new File([await (await fetch("/v1/samples/0")).blob()], "photo.png", { type: "image/png" });
  const carried = new DataTransfer();
  carried.items.add(file);
  const made = event === "paste" ? new ClipboardEvent("paste", { clipboardData: carried, bubbles: true })
    : new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
  document.body.dispatchEvent(made);
}"""


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_photo_comes_in_by(page: Any, event: str) -> None:
    page.evaluate(PASTE, event)

    done(page)
    expect(page.locator("#items .chip")).to_have_count(3)


@pytest.mark.parametrize(
    ("kind", "turned"),
    [("JPEG", 6), ("PNG", 8), ("AVIF", 3), ("WEBP", 1)],  # Chromium turns no WebP
)
def test_photo_leaves_where_it_was_taken_behind_and_is_upright(
    page: Any, tmp_path: Path, kind: str, turned: int
) -> None:
    exif = exif_of(turned)
    exif[0x010E] = "SECRET-PLACE-48.2082N"
    photo = tmp_path / f"turned.{kind.lower()}"
    photo.write_bytes(encoded(stored_as(draw_street(), turned), kind, quality=95, exif=exif.tobytes()))
    assert b"SECRET-PLACE" in photo.read_bytes()
    keep_sent(page)

    with page.expect_response("**/v1/search") as answer:
        search(page, photo)

    (top,) = [item for item in answer.value.json()["items"] if item["category"] == "top"]
    assert top["box"] == pytest.approx((40, 20, 88, 84), abs=2)
    sent = sent_photo(page)
    with Image.open(io.BytesIO(sent)) as image:
        assert image.size == (160, 200) and not image.getexif()
    assert b"SECRET-PLACE" not in sent and b"Exif" not in sent


def test_what_is_transparent_is_sent_white(page: Any, tmp_path: Path) -> None:
    alpha = (draw_street() != 128).any(2).astype(np.uint8) * 255
    Image.fromarray(np.dstack([draw_street(), alpha])).save(tmp_path / "cut.webp", lossless=True)
    keep_sent(page)
    search(page, tmp_path / "cut.webp")

    sent = sent_photo(page)
    with Image.open(io.BytesIO(sent)) as image:
        assert image.format == "JPEG" and min(image.convert("RGB").getpixel((2, 2))) > 250


def test_what_the_shop_does_not_carry_is_said(page: Any, address: str, street: Path) -> None:
    facts = page.request.get(f"{address}/v1/shop").json()
    page.route("**/v1/shop", lambda route: route.fulfill(json={**facts, "miss_score": 1.01}))
    begin(page, address)

    search(page, street)

    expect(page.locator("#note")).to_contain_text(WORDS["en"]["farHelp"])
    assert cards(page)
    page.locator("#stock").check()
    done(page)
    expect(page.locator("#note")).to_contain_text(WORDS["en"]["farNarrowed"])


def test_photos_that_are_shown_no_more_are_let_go(page: Any, street: Path) -> None:
    page.evaluate("""() => {
      const { createObjectURL, revokeObjectURL } = URL;
      window.held = new Set();
      URL.createObjectURL = (blob) => { const url = createObjectURL(blob); held.add(url); return url; };
      URL.revokeObjectURL = (url) => { held.delete(url); revokeObjectURL(url); };
    }""")
    for _ in range(3):
        search(page, street)

    assert page.evaluate("[...held]") == [page.locator("#photo").get_attribute("src")]


def test_words_that_are_only_typed_narrow_nothing(page: Any, address: str, tmp_path: Path) -> None:
    facts = page.request.get(f"{address}/v1/shop").json()
    page.route("**/v1/shop", lambda route: route.fulfill(json={**facts, "miss_score": 1.01, "words": True}))
    begin(page, address)
    page.set_input_files("#file", save_image(np.full((120, 160, 3), 128, np.uint8), tmp_path / "grey.png"))
    expect(page.locator("#note")).to_contain_text(WORDS["en"]["nothing"])
    page.click("#area")
    page.keyboard.press("Enter")
    done(page)

    page.fill("#words-text", "striped")
    page.click("[data-language=ko]")
    expect(page.locator("#note")).to_contain_text(WORDS["ko"]["farHelp"])
    with page.expect_request("**/v1/search") as asked:
        page.click("#more")
    assert "cursor" in asked.value.post_data and "striped" not in asked.value.post_data
    done(page)


@pytest.mark.parametrize("close", [True, False])
def test_whether_anything_is_close_is_for_the_service_to_say(
    page: Any, address: str, street: Path, close: bool
) -> None:
    answer = httpx.post(f"{address}/v1/search", files={"photo": street.read_bytes()}).json()
    judged = [{**item, "close_enough": close, "close_from": 0.5} for item in answer["items"]]
    page.route("**/v1/search", lambda route: route.fulfill(json={**answer, "items": judged}))
    search(page, street)

    expect(page.locator("#note")).to_be_visible(visible=not close)


def test_visit_outlives_a_reload_and_can_be_forgotten(page: Any, street: Path) -> None:
    search(page, street)
    page.reload()
    page.wait_for_selector("body[data-ready=true]")

    page.locator("#visit .shot").click()
    done(page)
    expect(page.locator("#items .chip")).to_have_count(3)
    page.click("#forget")
    expect(page.locator("#visit")).to_be_hidden()


def test_photo_the_service_let_go_is_sent_again(chromium: Any, address: str, street: Path) -> None:
    with chromium.new_context() as context:  # without the console's check: the browser logs the 404
        page = context.new_page()
        begin(page, address)
        search(page, street)

        def gone(route: Any) -> None:
            held = "image_id" in (route.request.post_data or "")
            route.fulfill(status=404, json={"detail": "gone"}) if held else route.continue_()

        page.route("**/v1/search", gone)
        page.locator("#stock").check()
        done(page)
        assert cards(page)
        assert page.locator("#error").is_hidden()


def test_languages_change_without_losing_the_search(page: Any, street: Path) -> None:
    search(page, street)

    page.click("[data-language=ko]")
    expect(page.locator("#items")).to_contain_text("상의")
    assert cards(page)
    page.click("[data-language=en]")
    expect(page.locator("#items")).to_contain_text("Top")


def test_both_languages_have_the_same_words() -> None:
    plural = {"count.one", "found.one"}  # Korean has no such form

    assert set(WORDS["en"]) - plural == set(WORDS["ko"])


def test_what_shoppers_see_and_dislike_is_told_to_the_shop(page: Any, street: Path) -> None:
    with page.expect_request("**/v1/events") as told:
        search(page, street)
    events = json.loads(told.value.post_data)["events"]
    assert {"view"} == {event["type"] for event in events}
    assert all(event["search_id"] and event["item_no"] == 0 for event in events)
    with page.expect_response(lambda answer: "not_similar" in (answer.request.post_data or "")) as answer:
        page.locator("#hits .card").first.hover()
        page.locator("#hits .card .round").nth(1).click()
    assert answer.value.status == 202


def test_page_weighs_less_than_a_hundred_kilobytes(chromium: Any, address: str) -> None:
    sizes: dict[str, int] = {}
    with new_page(chromium) as page:
        page.on("response", lambda response: sizes.update({response.url: len(response.body())}))
        begin(page, address)
        page.wait_for_load_state("networkidle")

    weight = sum(size for url, size in sizes.items() if "/v1/samples/" not in url)
    assert 20_000 < weight < 100_000


def test_what_is_no_photo_is_said_in_words(chromium: Any, address: str, tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("not a photo")
    with chromium.new_context(locale="en-GB") as context:  # without the console's check: the browser logs the 415
        page = context.new_page()
        begin(page, address)

        page.set_input_files("#file", tmp_path / "note.jpg")

        expect(page.locator("#error")).to_contain_text("JPEG, PNG")


def test_counts_beside_a_product_are_of_its_shop(chromium: Any, street: Path, tmp_path: Path) -> None:
    feed = make_feed(tmp_path, 30)
    with feed.open(encoding="utf-8") as file:
        rows = [{**row, "shop": ("women", "men")[i // 5 % 2]} for i, row in enumerate(csv.DictReader(file))]
    with feed.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    models = FakeModels()
    index_feed(feed, tmp_path / "store", models)
    app = create_app(lambda: Shop(models, open_store(tmp_path / "store", models.version)))
    with http_client(app) as client, new_page(chromium) as page:
        wait_until_ready(client)
        begin(page, str(client.base_url))
        search(page, street)
        assert len(cards(page)) == 6

        page.locator("#hits .card").first.hover()
        with page.expect_response("**/v1/facets?*") as answer:
            page.locator("#hits .card .round").first.click()
        done(page)

        counts = {facet["field"]: facet["values"] for facet in answer.value.json()["facets"]}
        assert len(cards(page)) == 2
        assert sum(value["count"] for value in counts["in_stock"]) == 3  # those two and the product itself


def test_filters_say_the_services_conditions(page: Any, address: str, street: Path) -> None:
    answer = httpx.post(f"{address}/v1/search", files={"photo": street.read_bytes()}, data={"keep": "true"}).json()
    wheres = {'15"': 'tags.size="15"""', "14, 15": 'tags.size="14, 15"', "13": "tags.size=13", "unsaid": None}
    values = [{"value": size, "count": 2, "where": where} for size, where in wheres.items()]
    facets = [{"field": "tags.size", "exact": True, "values": values}]
    items = [{**item, "facets": facets} for item in answer["items"]]
    page.route("**/v1/search", lambda route: route.fulfill(json={**answer, "items": items}))
    search(page, street)
    expect(page.locator("[data-field='tags.size'] input")).to_have_count(3)

    for size in ('15"', "14, 15"):
        with page.expect_request("**/v1/search") as asked:
            page.locator("[data-field='tags.size'] .choice", has_text=size).first.click()
        done(page)

    assert 'tags.size="15""","14, 15"' in asked.value.post_data


def test_photo_in_which_nothing_is_found_may_be_searched_by_area(page: Any, tmp_path: Path) -> None:
    page.set_input_files("#file", save_image(np.full((120, 160, 3), 128, np.uint8), tmp_path / "grey.png"))
    expect(page.locator("#note")).to_contain_text(WORDS["en"]["nothing"])

    page.click("#area")
    with page.expect_response("**/v1/search") as answer:
        page.keyboard.press("Enter")

    assert answer.value.json()["items"][0]["category"] is None
    done(page)
    assert cards(page)
