"""The templates of `twinset new` run as written."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ran, http_client, wait_until_ready
from fakes import FakeModels, draw_street, save_image

from twinset.server.app import create_app
from twinset.shop import Shop
from twinset.store import open_store


@pytest.mark.parametrize(
    ("template", "file"), [("shop", "app.py"), ("widget", "index.html"), ("notebook", "shop.ipynb")]
)
def test_template_is_written(run: Callable[..., Ran], template: str, file: str) -> None:
    assert run("new", template, "here").code == 0

    assert Path("here", file).exists()
    assert Path("here", "README.md").exists()


def test_folder_with_files_is_left_alone(run: Callable[..., Ran]) -> None:
    Path("here").mkdir()
    Path("here/mine.txt").write_text("mine")

    ran = run("new", "shop", "here")

    assert ran.code == 1
    assert "expected a new or empty folder" in ran.stderr
    assert [path.name for path in Path("here").iterdir()] == ["mine.txt"]


def test_shop_searches_a_photo(run: Callable[..., Ran], shop_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("new", "shop", "here")
    models = FakeModels()
    service = create_app(lambda: Shop(models, open_store(shop_folder / "store", models.version)))
    photo = save_image(draw_street(), Path("street.png"))
    with http_client(service) as client:
        wait_until_ready(client)
        monkeypatch.setenv("TWINSET_URL", str(client.base_url))
        made = runpy.run_path("here/app.py")
        with http_client(made["app"]) as shop:
            page = shop.post("/search", files={"photo": photo.read_bytes()}).text
            refused = shop.post("/search", files={"photo": b"no photo"})
        made["client"].close()

    assert "<h2>Top</h2>" in page
    assert page.count("<li>") >= 3
    assert refused.status_code == 415 and "convert it, to JPEG for example" in refused.text


def test_notebook_runs(run: Callable[..., Ran], capsys: pytest.CaptureFixture[str]) -> None:
    run("new", "notebook", "here")
    cells = json.loads(Path("here/shop.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]

    names: dict[str, object] = {}
    for source in code:
        exec(compile(source, "shop.ipynb", "exec"), names)

    assert names["report"].indexed == 20
