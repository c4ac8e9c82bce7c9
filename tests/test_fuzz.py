"""Malformed requests made of the API's own description, and broken images: none gets a 5xx that it caused.

`TWINSET_FUZZ=2000 pytest tests/test_fuzz.py` makes so many requests, and as many images, and holds the memory too.
"""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import http_client, wait_until_ready
from fakes import FakeModels, draw_street, make_feed
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from PIL import Image as Pillow

from twinset.indexing import index_feed
from twinset.server.app import ServerSettings, create_app
from twinset.shop import Shop
from twinset.store import open_store

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
requests = pytest.importorskip("requests", reason="requests comes with schemathesis")
REQUESTS = int(os.environ.get("TWINSET_FUZZ", "0")) or 90
GROWTH_MB = 60  # a full run may grow by, once it has seen a tenth of its requests
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder, models = tmp_path_factory.mktemp("fuzz"), FakeModels()
    index_feed(make_feed(folder, 20), folder / "store", models)
    allowed = ServerSettings(rate=0, public_rate=0, max_pixels=1_000_000)
    app = create_app(lambda: Shop(models, open_store(folder / "store", models.version)), allowed)
    with http_client(app) as client:
        wait_until_ready(client)
        yield client, app, folder


def is_answer(response, folder: Path) -> bool:
    """Tell whether an answer is one a client can live with: no failure of the service's, no path of the machine."""
    refused = response.status_code >= 400
    kind = response.headers["content-type"] if response.content else ""
    return (
        (response.status_code < 500 or (response.status_code == 503 and "retry-after" in response.headers))
        and str(folder).encode() not in response.content
        and (not refused or kind == "application/problem+json")
    )


def memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_requests_made_of_the_description_never_break_the_service(service):
    client, app, folder = service
    schema = schemathesis.openapi.from_dict(app.openapi())
    operations = [found.ok() for found in schema.get_all_operations()]
    each = max(2, REQUESTS // len(operations) // 2)
    sent, bad, grown, session = [0], [], [0.0, 0.0], requests.Session()

    checks = settings(
        max_examples=each,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    def send(case) -> None:
        try:
            response = session.request(**case.as_transport_kwargs(base_url=str(client.base_url)), timeout=30)
        except (requests.RequestException, UnicodeError, ValueError):
            return  # what no HTTP client can put on the wire
        sent[0] += 1
        if not is_answer(response, folder):
            bad.append((case.method, case.formatted_path, response.status_code, response.text[:200]))
        grown[sent[0] > REQUESTS // 10] = memory_mb()

    for operation in operations:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            try:
                strategy = operation.as_strategy(generation_mode=mode)
                seed(7)(checks(given(strategy)(send)))()
            except (schemathesis.errors.SchemathesisError, Unsatisfiable):
                continue  # nothing can be wrong with a request that has no parameters
    session.close()
    assert bad == []
    assert sent[0] >= REQUESTS // 2
    if REQUESTS >= 1000:
        assert grown[1] - grown[0] < GROWTH_MB, grown


def broken_images(count: int):
    """Yield (how, bytes): photos cut short, with bytes changed, with others' headers, and what never was one."""
    random = np.random.default_rng(7)
    photos = []
    for name in FORMATS:
        out = io.BytesIO()
        Pillow.fromarray(draw_street()).save(out, name)
        photos.append((name, out.getvalue()))
    for no in range(count):
        name, photo = photos[no % len(photos)]
        data = bytearray(photo)
        how = ("cut", "changed", "header", "noise", "zeros")[no // len(photos) % 5]
        if how == "cut":
            del data[int(random.integers(1, len(data))) :]
        elif how == "changed":
            for place in random.integers(0, len(data), 1 + no % 20):
                data[place] = int(random.integers(256))
        elif how == "header":
            for place in random.integers(0, min(64, len(data)), 4):
                data[place] = int(random.integers(256))
        elif how == "noise":
            data[16:] = random.bytes(len(data) - 16)
        else:
            data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        yield f"{name} {how}", bytes(data)


def test_broken_images_never_break_the_service(service):
    client, _, folder = service
    bad, first = [], 0.0
    for no, (how, data) in enumerate(broken_images(REQUESTS)):
        response = client.post(("/v1/search", "/v1/detect")[no % 2], files={"photo": ("photo", data)})
        if not is_answer(response, folder):
            bad.append((how, response.status_code, response.text[:200]))
        if no == REQUESTS // 10:
            first = memory_mb()
    assert bad == []
    if REQUESTS >= 1000:
        assert memory_mb() - first < GROWTH_MB
