"""A running service follows the store from one generation to another, whoever switches, and rolls models out itself."""

import base64
import threading
import time

import httpx
import pytest
from browsing import DESKTOP, needs_chromium, serious_problems
from conftest import http_client, wait_until_ready
from fakes import FakeModels, draw_product, make_feed
from test_contract_http import STREET_PNG, is_problem, png
from test_rollout import NEW, NEW_DIM, NewModels

from twinset.client import Client, Problem
from twinset.golden import Figures, keep_figures
from twinset.indexing import index_feed
from twinset.reindexing import describer
from twinset.rollout import reindex, switch
from twinset.server import follower
from twinset.server.app import ServerSettings, create_app
from twinset.server.keys import KeyFile
from twinset.shop import Shop
from twinset.store import open_shelf, open_store

OLD = FakeModels().version
PRODUCT = "data:image/png;base64," + base64.b64encode(png(draw_product("top", 9))).decode()


class Service:
    """A running service, and its store as another process sees it."""

    def __init__(self, client: httpx.Client, uri, models, state) -> None:
        self.client, self.uri, self.models, self.state = client, uri, models, state
        self.shelf = open_shelf(uri)

    def model(self) -> str:
        return self.client.get("/readyz").json()["model"]

    def first(self) -> tuple[str, float]:
        answer = self.client.post("/v1/search", files={"photo": STREET_PNG}, data={"category": "top"}).json()
        (item,) = answer["items"]
        return item["hits"][0]["product_id"], item["hits"][0]["score"]

    def rollout(self) -> list[dict]:
        return self.client.get("/v1/rollout").json()["generations"]

    def post(self, what: str, **body):
        """Ask for a job and return it once it is over."""
        answer = self.client.post(f"/v1/rollout/{what}", json=body)
        assert answer.status_code == 202, answer.text
        return until(lambda: over(self.client.get(answer.headers["Location"]).json()))

    def build(self) -> None:
        """As `twinset reindex` does beside a service."""
        reindex(self.shelf, NEW, "new", describer(self.models["new"]), dim=NEW_DIM)


def over(job):
    return job if job["state"] in ("done", "failed") else None


def until(holds):
    end = time.monotonic() + 60
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


@pytest.fixture
def service(tmp_path, monkeypatch):
    models = {"default": FakeModels(), "new": NewModels(NEW), str((tmp_path / "models" / "new").resolve()): None}
    models[str((tmp_path / "models" / "new").resolve())] = models["new"]
    for module in ("models", "server.rollout_jobs"):
        monkeypatch.setattr(f"twinset.{module}.load_models", lambda name="default", threads=None: models[name])
    monkeypatch.setattr(follower, "POLL_S", 0.05)
    (tmp_path / "models" / "new").mkdir(parents=True)
    (tmp_path / "models" / "new" / "encoder.onnx").touch()
    index_feed(make_feed(tmp_path, 20), tmp_path / "store", FakeModels())
    settings = ServerSettings(state=str(tmp_path / "state"), models=str(tmp_path / "models"))
    app = create_app(lambda: Shop(models["default"], open_store(tmp_path / "store", OLD)), settings)
    with http_client(app) as client:
        wait_until_ready(client)
        yield Service(client, tmp_path / "store", models, tmp_path / "state")


def test_a_service_follows_a_switch_of_another_process_and_back(service):
    found = service.first()
    assert "generations" not in service.client.get("/v1/models").json()
    service.build()
    until(lambda: service.rollout()[1]["opened"])
    assert service.model() == OLD
    switch(service.shelf, lambda _: describer(service.models["new"]))
    until(lambda: service.model() == NEW)
    assert service.first() == found  # the new model sees the same
    generations = service.client.get("/v1/models").json()["generations"]
    assert [(one["generation"], one["in_use"], one["products"]) for one in generations] == [
        (1, False, 20),
        (2, True, 20),
    ]
    assert service.post("back")["state"] == "done" and service.model() == OLD and service.first() == found


def test_a_model_is_rolled_out_over_http(service):
    answer = service.client.get("/v1/rollout").json()
    assert "new" in answer["models"] and [one["generation"] for one in answer["generations"]] == [1]
    job = service.post("reindex", model="new")
    assert (job["state"], job["kind"], job["indexed"], job["done"], job["total"]) == ("done", "reindex", 20, 20, 20)
    assert job["options"] == {"model": "new"}
    assert service.model() == OLD and service.rollout()[1]["state"] == "whole"
    client = Client(http=service.client)
    assert client.wait(client.reindex("new"), poll_s=0.02).state == "done"
    assert client.wait(client.switch(), poll_s=0.02).state == "done" and service.model() == NEW
    assert is_problem(service.client.post("/v1/rollout/switch", json={}), 422, "generation")  # the newest is in use
    assert client.wait(client.switch_back(), poll_s=0.02).state == "done" and service.model() == OLD
    assert client.wait(client.switch(2, yes=True), poll_s=0.02).state == "done" and service.model() == NEW
    with pytest.raises(Problem, match="not in use"):
        client.drop_generation(2)
    client.drop_generation(1)
    assert [one["generation"] for one in client.rollout()["generations"]] == [2]
    assert [one["generation"] for one in service.rollout()] == [2]
    assert is_problem(service.client.post("/v1/rollout/back", json={}), 422, "generation")
    assert service.first()[0]


def test_writes_go_to_the_generation_in_use_from_the_moment_of_the_switch(service, monkeypatch):
    service.build()
    monkeypatch.setattr(follower, "POLL_S", 60.0)  # the service has not seen the switch yet
    switch(service.shelf, lambda _: describer(service.models["new"]))
    row = {"product_id": "put", "image": PRODUCT, "article_type": "Tshirts"}
    assert service.client.put("/v1/products/put", json=row).status_code == 200
    stored = open_store(service.uri)
    assert stored.model_version == NEW and stored.get("put").items[0].model_version == NEW
    assert service.client.delete("/v1/products/put").status_code == 204


def test_no_search_mixes_models_while_generations_take_turns(service):
    service.build()
    found = service.first()
    answers, stop = [], threading.Event()

    def search():
        while not stop.is_set():
            answers.append(service.first())

    searching = threading.Thread(target=search)
    searching.start()
    for _ in range(3):
        assert service.post("switch")["state"] == service.post("back")["state"] == "done"
    stop.set()
    searching.join()
    assert len(answers) > 3 and set(answers) == {found}  # another model's vectors would score 0


def test_golden_figures_hold_a_switch_up_until_it_is_wanted_anyway(service):
    service.build()
    keep_figures(service.shelf, 2, Figures(10, {"wanted_at_1": 0.9}, {"wanted_at_1": 0.5}, 0.4, 0, 4))
    assert service.rollout()[1]["golden"]["after"] == {"wanted_at_1": 0.5}
    job = service.post("switch")
    assert job["state"] == "failed" and "wanted_at_1 of at least 0.880" in job["problem"] and service.model() == OLD
    assert service.post("switch", max_drop=0.5)["state"] == "done"
    assert service.post("back", now=True)["state"] == "done"
    assert service.post("switch", yes=True)["state"] == "done" and service.model() == NEW


def test_a_model_that_can_not_be_loaded_here_is_told_and_the_old_one_goes_on(service):
    service.build()
    service.models["new"] = NewModels("new-111111111111")
    # a follower that comes later finds another version there
    late = follower.Follower(Shop(service.models["default"], open_store(service.uri)))
    late.follow()
    assert "expected version new-000000000000" in late.problems[2] and list(late.opened) == [1]
    assert service.model() == OLD


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        pytest.param("reindex", {"model": "../../etc"}, "model", id="a-path"),
        pytest.param("reindex", {}, "model", id="no-model"),
        pytest.param("switch", {"generation": 9}, "generation", id="no-such"),
        pytest.param("switch", {"size": 1}, "size", id="unknown"),
        pytest.param("switch", {"max_drop": 7}, "max_drop", id="out-of-range"),
        pytest.param("back", {}, "generation", id="nothing-before"),
    ],
)
def test_what_can_not_be_rolled_out_is_said(service, what, body, field):
    assert is_problem(service.client.post(f"/v1/rollout/{what}", json=body), 422, field)


def test_a_key_of_one_shop_is_not_told_how_much_the_others_hold(service):
    service.build()
    keys = KeyFile(service.state / "keys.json")
    for shop, told in (("default", set()), ("*", {"products", "done", "failed"})):
        headers = {"Authorization": f"Bearer {keys.add(shop, 'search')[1]}"}
        _, new = service.client.get("/v1/models", headers=headers).json()["generations"]
        assert new["model"] == NEW and {"products", "done", "failed"} & set(new) == told


def test_models_are_rolled_out_by_admins_of_all_shops(service):
    keys = KeyFile(service.state / "keys.json")
    for shop, role, status in (("default", "admin", 403), ("*", "write", 403), ("*", "admin", 200)):
        headers = {"Authorization": f"Bearer {keys.add(shop, role)[1]}"}
        assert service.client.get("/v1/rollout", headers=headers).status_code == status
        if status != 200:
            assert service.client.post("/v1/rollout/switch", json={}, headers=headers).status_code == status


@needs_chromium[0]
@needs_chromium[1]
def test_a_merchant_rolls_a_model_out_by_buttons(service, chromium):
    from playwright.sync_api import expect

    expect.set_options(timeout=60_000)
    context = chromium.new_context(**DESKTOP, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{service.client.base_url}/merchant")
    page.wait_for_selector("body[data-ready=true]")
    page.select_option("#rollout-model", "new")
    page.click("#rollout-form button")
    expect(page.locator("#generations li")).to_have_count(2)
    expect(page.locator("#rollout-state")).to_have_text("All products are described.")
    assert serious_problems(page) == []
    keep_figures(service.shelf, 2, Figures(10, {"wanted_at_10": 0.9}, {"wanted_at_10": 0.5}, 0.4, 0, 4))
    page.click("#generations li:nth-child(2) button")
    expect(page.locator("#rollout-state")).to_contain_text("wanted_at_10 of at least 0.880")
    page.click("#rollout-state button")
    expect(page.locator("#rollout-state")).to_have_text("Switched.")
    expect(page.locator("#generations li:nth-child(2) .state")).to_have_text("in use")
    assert service.model() == NEW
    page.click("#generations li:nth-child(1) button")
    expect(page.locator("#rollout-state")).to_have_text("Back.")
    assert service.model() == OLD and serious_problems(page) == []
    context.close()
