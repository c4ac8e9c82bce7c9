"""What the tests in a real Chromium share: starting it, pages that may not complain, axe-core, the docs' pictures."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
TIMEOUT_MS = 30_000  # a busy machine fails no test
DESKTOP = {"viewport": {"width": 1360, "height": 860}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
PICTURES = os.environ.get("TWINSET_PICTURES")  # a folder: the docs' pictures are made anew there
SERIOUS = ("serious", "critical")

needs_chromium = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"),
]


@contextmanager
def start_chromium() -> Iterator[Any]:
    """Yield a browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def new_page(chromium: Any, **options: Any) -> Iterator[Any]:
    """Yield a page in a context of its own; what it logs as an error fails the test."""
    context = chromium.new_context(**{"locale": "en-GB", **DESKTOP, **options})
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert problems == []


def serious_problems(page: Any) -> list[str]:
    """Return what axe-core finds that keeps people from using a page: the rule and the first node it is about."""
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate(
        "Promise.all(document.getAnimations().map((one) => one.effect.getTiming().iterations === 1 && one.finished))"
    )
    violations = Axe().run(page).response["violations"]
    return [f"{found['id']}: {found['nodes'][0]['html'][:200]}" for found in violations if found["impact"] in SERIOUS]


def take_picture(page: Any, name: str, **options: Any) -> int:
    """Write a picture for the docs as NAME.png, with a palette that fits it, and return its bytes."""
    file = Path(PICTURES or "") / f"{name}.png"
    page.screenshot(path=file, **options)
    with Image.open(file) as image:
        few = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, kmeans=3, dither=Image.Dither.NONE)
        few.save(file, optimize=True)
    return file.stat().st_size


SENT = """(() => {
  const append = FormData.prototype.append;
  FormData.prototype.append = function (name, value, ...more) {
    if (name === "photo") window.sent = value;
    return append.call(this, name, value, ...more);
  };
})()"""


def keep_sent(page: Any) -> None:
    """Keep, from now on, the last photo that the page sends."""
    page.evaluate(SENT)


def sent_photo(page: Any) -> bytes:
    return bytes(page.evaluate("async () => [...new Uint8Array(await window.sent.arrayBuffer())]"))


# --- the page ---------------------------------------------------------------------------------------------------------


def begin(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("body[data-ready=true]")


def done(page: Any) -> None:
    page.wait_for_selector("body[data-state=done] #hits:not([aria-busy])")


def search(page: Any, photo: Path) -> None:
    page.set_input_files("#file", photo)
    page.wait_for_selector("#items .chip")
    done(page)


def cards(page: Any) -> list[str]:
    return page.locator("#hits .card h3").all_inner_texts()


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag the mouse over the photo, between places in shares of it."""
    frame = page.locator("#stage").bounding_box()
    places = [(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()
