"""Traces (OpenTelemetry): one request followed through every process. Nothing is imported until an endpoint is set.

A process calls `setup` once; spans go out as OTLP over HTTP, `service.name` tells the processes apart."""

from typing import TYPE_CHECKING, Any

from infra import logs
from infra.settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from starlette.types import ASGIApp

SEND_EVERY_MS = 500
log = logs.get(__name__)
_sender: "BatchSpanProcessor | None" = None  # shared by the providers of a process


def setup(process: str, settings: Settings) -> bool:
    """Trace this process as service `kilonova-<process>` if `otlp_endpoint` (http://HOST:4318) is set.

    From then on, calls by requests (keystoneauth1) and httpx carry `traceparent`. A second call changes nothing."""
    global _sender
    if not settings.otlp_endpoint or _sender is not None:
        return _sender is not None
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint.rstrip('/')}/v1/traces", timeout=5)
    _sender = BatchSpanProcessor(exporter, schedule_delay_millis=SEND_EVERY_MS)
    trace.set_tracer_provider(_provider(process))
    _carry_on()
    log.info("tracing", endpoint=settings.otlp_endpoint)
    return True


def instrument(app: "FastAPI", service: str) -> None:
    """Spans of what `app` serves, as service `kilonova-<service>`. Without `setup`, nothing.

    The root path, which probes ask for, is left out."""
    if _sender is None:
        return
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=_provider(service), excluded_urls="://[^/]+/?$", exclude_spans=["receive", "send"]
    )


def traced(app: "ASGIApp", service: str) -> "ASGIApp":
    """The same for an ASGI application of any kind."""
    if _sender is None:
        return app
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    return OpenTelemetryMiddleware(
        app, excluded_urls="://[^/]+/?$", tracer_provider=_provider(service), exclude_spans=["receive", "send"]
    )


def interceptors() -> list[Any]:
    """For a Temporal client, whose workers take them over: spans of workflows, updates and steps."""
    if _sender is None:
        return []
    from temporalio.contrib.opentelemetry import TracingInterceptor

    return [TracingInterceptor()]


def flush() -> None:
    """Send what is not sent yet, for at most two seconds: before a process ends itself."""
    if _sender is not None:
        _sender.force_flush(2000)


def _provider(service: str) -> "TracerProvider":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    assert _sender is not None
    provider = TracerProvider(resource=Resource.create({"service.name": f"kilonova-{service}"}))
    provider.add_span_processor(_sender)
    return provider


def _carry_on() -> None:
    """Have every request that leaves by requests or httpx name the span that it belongs to."""
    import httpx
    import requests
    from opentelemetry import propagate

    for kind in (requests.Session, httpx.Client, httpx.AsyncClient):
        setattr(kind, "send", _carrying(kind.send, propagate.inject))  # noqa: B010


def _carrying(send: Any, inject: Any) -> Any:
    def carrying(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        inject(request.headers)
        return send(self, request, *args, **kwargs)

    return carrying
