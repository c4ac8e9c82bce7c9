"""The page's "like this, but …" box with the weights that ship: what is written beside a photo changes its hits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import DESKTOP, PHONE, needs_chromium, new_page, serious_problems
from conftest import http_client, wait_until_ready

from twinset.data.drawn import draw_shop
from twinset.indexing import index_feed
from twinset.models import load_models
from twinset.server.app import ServerSettings, create_app
from twinset.shop import Shop
from twinset.store import open_store

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a drawn shop's service, and a photo of one of its products' pictures."""
    folder, models = tmp_path_factory.mktemp("drawn"), load_models()
    draw_shop(folder, products=40, looks=1, seed=7)
    index_feed(folder / "products.csv", folder / "store", models)
    settings = ServerSettings(state=str(folder / "state"))
    app = create_app(lambda: Shop(models, open_store(folder / "store", models.version)), settings)
    with http_client(app) as client:
        wait_until_ready(client)
        yield str(client.base_url), next((folder / "looks").glob("*.jpg"))


@pytest.mark.parametrize(
    ("language", "options", "asked"),
    [
        pytest.param("en", {**DESKTOP, "locale": "en-GB"}, "like this but {}", id="english-desktop"),
        pytest.param("ko", {**PHONE, "locale": "ko-KR"}, "이거랑 비슷한데 {}", id="korean-phone"),
    ],
)
def test_words_beside_a_photo_change_its_hits(
    chromium: Any, service: tuple[str, Path], language: str, options: dict[str, Any], asked: str
) -> None:
    address, photo = service
    with new_page(chromium, **options) as page:
        page.goto(address)
        page.wait_for_selector("body[data-ready=true]")
        names = page.request.get(f"{address}/v1/shop").json()["colours"]
        with page.expect_response("**/v1/search") as first:
            page.set_input_files("#file", photo)
        no, hits, wanted = next(
            (no, item["hits"], hit["colours"][0]["name"])
            for no, item in enumerate(first.value.json()["items"])
            for hit in item["hits"][1:]
            if hit["colours"][0]["name"] != item["hits"][0]["colours"][0]["name"]
        )
        page.locator("#items .chip").nth(no).click()

        page.fill("#words-text", asked.format(names[wanted][language]))
        with page.expect_response("**/v1/search") as second:
            page.press("#words-text", "Enter")
        (item,) = second.value.json()["items"]
        expect(page.locator("#hits .card h3").first).to_have_text(item["hits"][0]["title"])
        assert item["hits"][0]["colours"][0]["name"] == wanted
        assert "filename" not in second.value.request.post_data  # the photo is not sent again
        assert serious_problems(page) == []

        page.fill("#words-text", "")
        page.press("#words-text", "Enter")
        expect(page.locator("#hits .card h3").first).to_have_text(hits[0]["title"])
