"""A program's own providers of OpenTelemetry, and a connector that is followed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from loopback import Loopback, QuickClock
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from asyncconn import Connector, Hub, Platform, TokenAuth
from asyncconn.integrations.opentelemetry import Instrumented, instrument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from opentelemetry.sdk.trace import ReadableSpan

SECRET = "t0ken-of-nobody-9"


class Told:
    """A program's own providers, and what was exported."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)

    def instrument(self, hub: Hub, **options: Any) -> Instrumented:
        return instrument(hub, tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def points(self, name: str) -> dict[tuple[Any, ...], Any]:
        """The data points of a metric, by the values of their attributes in the order of their names."""
        data = self.reader.get_metrics_data()
        every = [] if data is None else [one for some in data.resource_metrics for one in some.scope_metrics]
        return {
            tuple(value for _, value in sorted((point.attributes or {}).items())): getattr(point, "value", point)
            for scope in every
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        }


class Acme(Connector):
    platform = Platform("acme")


@asynccontextmanager
async def acme(server: Loopback, **options: Any) -> AsyncIterator[Acme]:
    async with server, Hub(clock=QuickClock()) as hub:
        yield Acme(hub=hub, base_url=server.url, auth=TokenAuth(SECRET), **options)


def events(span: ReadableSpan) -> list[tuple[str, dict[str, Any]]]:
    return [(event.name, dict(event.attributes or {})) for event in span.events]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
