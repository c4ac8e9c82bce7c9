"""The crop on the page's photo: dragged, moved, drawn by mouse, keys and finger."""

from pathlib import Path
from typing import Any

import pytest
from browsing import (
    PHONE,
    cards,
    done,
    drag,
    needs_chromium,
    search,
)

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright_api.expect
expect.set_options(timeout=30_000)

pytestmark = needs_chromium


def test_crop_is_dragged_and_searched_without_sending_the_photo_again(page: Any, street: Path) -> None:
    search(page, street)
    corner = page.locator(".handle[data-part=se]").bounding_box()

    with page.expect_request("**/v1/search") as asked:
        page.mouse.move(corner["x"] + 18, corner["y"] + 18)
        page.mouse.down()
        page.mouse.move(corner["x"] + 60, corner["y"] + 50, steps=4)
        page.mouse.up()

    assert "image_id" in asked.value.post_data
    assert "filename" not in asked.value.post_data
    done(page)
    assert cards(page)


def test_area_beside_all_items_is_drawn_with_the_mouse(page: Any, street: Path) -> None:
    search(page, street)

    with page.expect_response("**/v1/search") as answer:
        drag(page, (0.02, 0.02), (0.2, 0.98))

    x1, y1, x2, y2 = answer.value.json()["items"][0]["box"]
    assert (x1, y1, x2, y2) == pytest.approx((0.02 * 160, 0.02 * 200, 0.2 * 160, 0.98 * 200), abs=2)
    done(page)
    expect(page.locator("#items .chip[aria-pressed=true]")).to_have_count(0)


def test_crop_is_moved_resized_and_searched_by_keyboard(page: Any, street: Path) -> None:
    search(page, street)
    page.focus(".grip")
    before = page.locator(".grip").get_attribute("style")

    for key in ("Shift+ArrowDown", "Shift+ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)

    assert page.locator(".grip").get_attribute("style") != before
    with page.expect_response("**/v1/search") as answer:
        page.keyboard.press("Enter")
    assert answer.value.status == 200
    done(page)


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_crop_is_dragged_by_finger(page: Any, street: Path) -> None:
    search(page, street)
    corner = page.locator(".handle[data-part=se]").bounding_box()
    x, y = corner["x"] + 18, corner["y"] + 18
    touch = page.context.new_cdp_session(page)

    with page.expect_response("**/v1/search") as answer:
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + 30, "y": y + 40}]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    assert answer.value.status == 200
    done(page)


def test_no_area_is_drawn_before_the_photo_is_searched(page: Any, street: Path) -> None:
    held: list[Any] = []
    page.route("**/v1/search", lambda route: held.append(route))
    page.set_input_files("#file", street)
    expect(page.locator("#photo")).to_have_js_property("naturalWidth", 160)

    drag(page, (0.02, 0.02), (0.2, 0.98))
    expect(page.locator("#area")).to_be_disabled()
    assert page.locator(".grip").is_hidden()

    held[0].continue_()
    done(page)
    expect(page.locator("#items .chip")).to_have_count(3)
    assert len(held) == 1
    expect(page.locator("#area")).to_be_enabled()
