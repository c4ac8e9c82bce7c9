"""Traces for OpenTelemetry: a span for each request, and in it one for each stage. `pip install 'twinset[otel]'`.

Where they go is said by OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT.
"""

from twinset.errors import MissingExtra
from twinset.stages import Spans


def open_spans() -> Spans:
    """Return what opens a span by its name. Raises MissingExtra."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as exc:
        raise MissingExtra("opentelemetry", "otel") from exc
    provider = TracerProvider(resource=Resource.create({"service.name": "twinset"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    spans: Spans = provider.get_tracer("twinset").start_as_current_span
    return spans
