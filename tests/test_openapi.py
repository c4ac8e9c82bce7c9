"""Every route's answers are what the API's description says, no key more: also with labels, words and rules."""

import json
import re
from collections import defaultdict

import pytest
from conftest import http_client, wait_until_ready
from fakes import FakeModels, make_feed
from test_contract_http import STREET_PNG
from test_labels import head
from test_server_products import row

from twinset.describe.labels import AttributeHead, AttributeValue, Calibration, Labels, LabelWeights
from twinset.indexing import index_feed
from twinset.server.app import ServerSettings, create_app
from twinset.shop import Shop
from twinset.store import open_store

jsonschema_rs = pytest.importorskip("jsonschema_rs", reason="jsonschema_rs comes with schemathesis")
LABELS = Labels(
    head(("Tshirts", "Jeans"), 0, 1),
    head(("red", "black", "multicolour"), 2, 3, 4),
    head(("men", "women"), 5, 6),
    head(("top", "bag"), 7, 8),
    {"pattern": AttributeHead((AttributeValue("striped", 0.9, 0.9, 20),), head(("striped",), 9))},
    0.2,
    LabelWeights(1.0, 0.5, 0.0),
    Calibration({"top": 0.1}, 0.2, 0.5),
)


class Labelled(FakeModels):
    """The model without weights, with labels: everything is striped."""

    labels = LABELS

    def describe(self, image, boxes):
        return [one._replace(attributes={"pattern": "striped"}) for one in super().describe(image, boxes)]


class Description:
    """What the service says of its answers, held against those that come."""

    def __init__(self, described) -> None:
        self.components = described["components"]
        for schema in self.components["schemas"].values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
        self.operations = {}
        for path, methods in described["paths"].items():
            for method, operation in methods.items():
                pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)) + "$")
                self.operations[method.upper(), path] = pattern, operation["responses"]
        self.seen = defaultdict(set)
        self.wrong = []

    def check(self, response) -> None:
        response.read()
        method, path = response.request.method, response.request.url.path
        fitting = [key for key, (pattern, _) in self.operations.items() if key[0] == method and pattern.match(path)]
        key = min(fitting, key=lambda key: key[1].count("{"))
        self.seen[key].add(response.status_code)
        told = self.operations[key][1].get(str(response.status_code))
        kind = response.headers.get("content-type", "").partition(";")[0]
        if told is None:
            self.wrong.append((*key, response.status_code, "not described"))
        elif kind.endswith("json") and kind in told.get("content", {}):
            schema = {**told["content"][kind]["schema"], "components": self.components}
            errors = jsonschema_rs.validator_for(schema).iter_errors(response.json())
            self.wrong += [(*key, response.status_code, str(error)[:300]) for error in errors]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder, models = tmp_path_factory.mktemp("described"), Labelled()
    index_feed(make_feed(folder, 20), folder / "store", models)
    settings = ServerSettings(state=str(folder / "state"), rate=0, public_rate=0, miss_crops=5, miss_score=1.0)
    app = create_app(lambda: Shop(models, open_store(folder / "store", models.version)), settings)
    with http_client(app) as client:
        wait_until_ready(client)
        description = Description(json.loads(json.dumps(app.openapi())))
        client.event_hooks["response"].append(description.check)
        yield client, description


def use_all(client) -> None:
    """Make a request of every route, and of those with many kinds of answers several."""
    photo = {"photo": STREET_PNG}
    fields = {"facets": ["colour,price,tags"], "keep": "true", "k": 2}
    found = client.post("/v1/search", files=photo, data=fields).json()
    item, held = found["items"][0], {"image_id": found["image_id"]}
    client.post("/v1/search", json=held | {"cursor": item["next_cursor"], "k": 2})
    client.post("/v1/search", json=held | {"words": "like this but red", "where": ["price<25"]})
    client.post("/v1/search", json=held | {"whole": True})
    client.post("/v1/search", json={"product_id": "p000"})
    client.post("/v1/detect", files=photo, data={"keep": "true"})
    client.post("/v1/rules/preview", json=held | {"rules": {"pin": [{"product_id": "p005"}]}})
    client.put("/v1/rules", json={"boost": [{"where": "price<20", "by": 0.1}]})
    client.get("/v1/rules")
    event = {"type": "click", "product_id": "p000", "search_id": found["search_id"], "item_no": 0, "position": 0}
    client.post("/v1/events", json={"events": [event]})
    job = client.post("/v1/products/bulk", json={"products": [row("new"), {"product_id": "broken"}]}).json()
    client.put("/v1/products/other", json=row("other", price=5))
    for path in (
        *("/v1/search/words?words=red+top&facets=colour&k=1", "/v1/facets?fields=colour,price,category"),
        *("/v1/products?limit=3", "/v1/products/p000", "/v1/products/p000/image", "/v1/products/none"),
        *(f"/v1/products/p000/{strip}" for strip in ("similar?k=2", "colours", "cheaper", "look")),
        *("/v1/products/p000/similar?merge_copies=true", "/v1/products/p010/cheaper"),
        *("/v1/jobs", f"/v1/jobs/{job['id']}", "/v1/jobs/none"),
        *(f"/v1/reports/{name}" for name in ("searches", "misses", "misses/crops", "clicks", "quality")),
        *("/v1/shop", "/v1/shops", "/v1/models", "/v1/rollout", "/v1/samples/9"),
        *("/healthz", "/readyz", "/metrics"),
    ):
        client.get(path)
    client.delete("/v1/products/other")
    client.post("/v1/rollout/reindex", json={"model": "none"})
    client.post("/v1/rollout/switch", json={"generation": 9})
    client.post("/v1/rollout/back", json={})
    client.delete("/v1/rollout/generations/9")
    client.post("/v1/search", data={"k": "many"}, files=photo)


def test_every_answer_is_as_described(service):
    client, description = service
    use_all(client)

    assert description.wrong == []
    assert set(description.operations) - set(description.seen) == set()
    refused = {"/v1/samples/{number}"} | {path for _, path in description.operations if "/v1/rollout/" in path}
    answered = {key[1] for key, statuses in description.seen.items() if min(statuses) < 300}
    assert {path for _, path in description.operations} - answered == refused


def test_what_labels_add_is_in_the_answers(service):
    client, _ = service
    (item,) = client.post("/v1/search", files={"photo": STREET_PNG}, data={"category": "top"}).json()["items"]
    assert item["attributes"] == {"pattern": "striped"} and isinstance(item["close_enough"], bool)
    assert 0 < item["close_from"] < 1
    hit = item["hits"][0]
    assert hit["attributes"] == {"pattern": "striped"} and hit["why"]["shared"] == {"pattern": "striped"}
