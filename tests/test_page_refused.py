"""What the page does where the service refuses: what is shown stays, and "Again" asks for what was refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import DESKTOP, begin, cards, done, drag, needs_chromium, search
from fakes import save_image

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
expect.set_options(timeout=30_000)

pytestmark = needs_chromium
PAGE = Path(__file__).parent.parent / "twinset/server/page"
WORDS = json.loads((PAGE / "words.en.json").read_text(encoding="utf-8"))


@pytest.fixture
def bad_page(chromium: Any, address: str) -> Iterator[Any]:
    """A page whose console may log what the service refuses; an exception still fails the test."""
    with chromium.new_context(locale="en-GB", **DESKTOP) as context:
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        yield page
        assert problems == []


def refuse(status: int) -> Any:
    return lambda route: route.fulfill(status=status, json={"detail": "busy"})


def search_area(page: Any, photo: Path) -> None:
    """Search an area of a photo in which nothing is found: all categories have more than is shown at once."""
    page.set_input_files("#file", photo)
    expect(page.locator("#note")).to_contain_text(WORDS["nothing"])
    page.click("#area")
    page.keyboard.press("Enter")
    done(page)


def test_no_area_is_drawn_where_the_search_failed(bad_page: Any, address: str, street: Path) -> None:
    begin(bad_page, address)
    bad_page.route("**/v1/search", refuse(503), times=1)
    bad_page.set_input_files("#file", street)
    expect(bad_page.locator("#error")).to_contain_text(WORDS["busy"])
    expect(bad_page.locator("#result-title")).to_have_text(WORDS["failed"])

    drag(bad_page, (0.02, 0.02), (0.2, 0.98))
    expect(bad_page.locator("#area")).to_be_disabled()

    bad_page.click("#again")
    done(bad_page)
    expect(bad_page.locator("#items .chip")).to_have_count(3)


@pytest.mark.parametrize("status", [429, 503])
def test_products_stay_where_more_of_them_are_refused(bad_page: Any, address: str, tmp_path: Path, status: int) -> None:
    begin(bad_page, address)
    search_area(bad_page, save_image(np.full((120, 160, 3), 128, np.uint8), tmp_path / "grey.png"))
    shown = cards(bad_page)
    bad_page.route("**/v1/search", refuse(status), times=1)

    bad_page.click("#more")
    expect(bad_page.locator("#error")).to_be_in_viewport()
    assert cards(bad_page) == shown
    expect(bad_page.locator("#status")).to_have_text(f"The {len(shown)} closest")
    expect(bad_page.locator("#more")).to_be_visible()

    with bad_page.expect_response("**/v1/search") as answer:
        bad_page.click("#again")
    done(bad_page)
    (item,) = answer.value.json()["items"]
    assert cards(bad_page) == shown + [hit["title"] for hit in item["hits"]]
    positions = bad_page.locator("#hits .card").evaluate_all("(all) => all.map((card) => card.dataset.position)")
    assert positions == [str(i) for i in range(len(shown) + len(item["hits"]))]
    expect(bad_page.locator("#error")).to_be_hidden()


def test_more_is_offered_of_what_is_shown_alone(bad_page: Any, address: str, street: Path, tmp_path: Path) -> None:
    grey = save_image(np.full((120, 160, 3), 128, np.uint8), tmp_path / "grey.png")
    begin(bad_page, address)
    search_area(bad_page, grey)
    more = bad_page.locator("#more")
    expect(more).to_be_visible()
    held: list[Any] = []
    bad_page.route("**/v1/search", lambda route: held.append(route), times=1)
    with bad_page.expect_request("**/v1/search"):
        bad_page.locator("#stock").check()
    expect(more).to_be_hidden()
    refuse(503)(held[0])
    expect(bad_page.locator("#error")).to_be_visible()
    expect(more).to_be_hidden()

    search_area(bad_page, grey)
    bad_page.locator("#hits .card").first.hover()
    bad_page.locator("#hits .card .round").first.click()
    expect(bad_page.locator("#back")).to_be_visible()
    bad_page.route("**/v1/search", lambda route: held.append(route), times=1)
    with bad_page.expect_request("**/v1/search"):
        bad_page.set_input_files("#file", street)
    expect(bad_page.locator("#back")).to_be_hidden()
    held[1].continue_()
    done(bad_page)

    search_area(bad_page, grey)
    expect(more).to_be_visible()
    bad_page.set_input_files("#file", grey)
    expect(bad_page.locator("#note")).to_contain_text(WORDS["nothing"])
    expect(more).to_be_hidden()


def test_what_was_refused_is_not_asked_again_for_another_item(bad_page: Any, address: str, street: Path) -> None:
    begin(bad_page, address)
    search(bad_page, street)
    bad_page.route("**/v1/search", refuse(503), times=1)
    bad_page.locator("#stock").check()
    expect(bad_page.locator("#error")).to_be_visible()

    bad_page.locator("#items .chip").nth(1).click()

    expect(bad_page.locator("#error")).to_be_hidden()


def test_shop_that_is_busy_at_the_start_is_asked_again(bad_page: Any, address: str) -> None:
    bad_page.route("**/v1/shop", refuse(429), times=1)
    bad_page.goto(address)
    expect(bad_page.locator("#error")).to_contain_text(WORDS["busy"])

    bad_page.click("#again")

    bad_page.wait_for_selector("body[data-ready=true]")
    expect(bad_page.locator("#error")).to_be_hidden()
