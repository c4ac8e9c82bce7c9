"""What OpenTelemetry is told of a request."""

import sys

import pytest
from conftest import http_client, wait_until_ready
from fakes import FakeModels
from test_contract_http import STREET_PNG

from twinset.errors import MissingExtra
from twinset.server.app import ServerSettings, create_app
from twinset.server.traces import open_spans
from twinset.shop import Shop
from twinset.store import open_store


def test_a_request_and_its_stages_are_spans(shop_folder, tmp_path):
    trace = pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry is not installed")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept, models = InMemorySpanExporter(), FakeModels()
    provider = trace.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    spans = provider.get_tracer("twinset").start_as_current_span
    settings = ServerSettings(state=str(tmp_path))
    app = create_app(lambda: Shop(models, open_store(shop_folder / "store")), settings, spans)
    with http_client(app) as client:
        wait_until_ready(client)
        kept.clear()
        assert client.post("/v1/search", files={"photo": STREET_PNG}).status_code == 200
    spans = {span.name: span for span in kept.get_finished_spans()}
    assert spans.keys() >= {"POST request", "decode", "detect", "describe", "store", "answer"}
    assert spans["detect"].parent.span_id == spans["POST request"].context.span_id
    provider.shutdown()


def test_traces_without_their_extra_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingExtra, match=r"twinset\[otel\]"):
        open_spans()
