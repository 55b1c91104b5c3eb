"""OpenTelemetry: spans of calls, batches, polls and connections of a hub, and its metrics.

    >>> async with Hub() as hub:
    ...     with instrument(hub):
    ...         panoply = Panoply.from_env(hub=hub)

Providers are yours to configure; without any, spans and metrics go nowhere. No text of an error, no header and no query
is in them: of an error its kind, of an address its path with holes for ids.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

from asyncconn._version import __version__
from asyncconn.errors import ConfigError
from asyncconn.http.exchange import Attempted
from asyncconn.http.traffic import route_of
from asyncconn.integrations.reading import books_of

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.trace import SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise ImportError(
        "asyncconn.integrations.opentelemetry needs opentelemetry-api: pip install 'asyncconn[otel]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from contextvars import Token

    from opentelemetry.metrics import Histogram, Meter, MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider
    from opentelemetry.util.types import AttributeValue

    from asyncconn.core.buffer.batch import Batch
    from asyncconn.core.supervise import Change
    from asyncconn.core.watching import Follower, Work
    from asyncconn.http.request import Call
    from asyncconn.hub import Hub
    from asyncconn.integrations.reading import Books

__all__ = ["Instrumented", "instrument"]

logger = logging.getLogger("asyncconn.integrations.opentelemetry")

_NAME = "asyncconn"
_TIMEOUT = 5.0  # seconds for a loop to answer an exporter's thread
#: What the conventions recommend for this histogram, in seconds.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_SYSTEMS = {"panoply": "aws_sqs"}  # of the buffers whose batches go to a known one
_PROPAGATOR = TraceContextTextMapPropagator()

_Attributes = dict[str, "AttributeValue"]


def instrument(
    hub: Hub,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    propagate: Collection[str] = (),
) -> Instrumented:
    """Make spans and metrics of what ``hub`` does from now on, until the result's block is left, or its ``stop()``.

        >>> with instrument(hub, propagate={"tcup"}):
        ...     await tcup.observations.insert(...)

    Without providers it is the global ones. A call is a span by the conventions of HTTP clients, its attempts are
    events of it; a batch one by those of messaging, with its calls below it; a poll one, with an event for each state;
    a connection that is kept up one, from its beginning to its end. ``propagate`` are the platforms whose calls carry
    ``traceparent``, so that their servers can go on with the trace: none by default, as most are strangers.

    Raises ``ImportError`` without the extra ``otel``, ``ConfigError`` for a text in the place of platforms.
    """
    if isinstance(propagate, str):
        raise ConfigError(f"propagate is a collection of platforms: {{{propagate!r}}}")
    tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
    meter = metrics.get_meter(_NAME, __version__, meter_provider)
    return Instrumented(hub, tracer, meter, frozenset(propagate))


class Instrumented:
    """A hub of which spans and metrics are made; see :func:`instrument`. Stopping it twice changes nothing."""

    def __init__(self, hub: Hub, tracer: Tracer, meter: Meter, propagate: frozenset[str]) -> None:
        self._hub: Hub | None = hub
        self._tracer = tracer
        self._propagate = propagate
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="How long an attempt took, without the wait for its rate.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        _observed(meter, self._books)
        self._stop = hub.watching.add(self._follower)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Make no more; what is under way is followed to its end."""
        self._stop()
        self._hub = None

    def _follower(self, work: Work, name: str, subject: Any) -> Follower:
        if work == "call":
            return _CallSpan(self._tracer, self._duration, subject, propagate=name in self._propagate)
        if work == "batch":
            return _BatchSpan(self._tracer, name, subject)
        return _PollSpan(self._tracer, name) if work == "poll" else _StreamSpans(self._tracer, name)

    def _books(self) -> Books | None:
        try:
            return None if self._hub is None else books_of(self._hub, _TIMEOUT)
        except TimeoutError as error:
            logger.warning("no metrics this time: %s", error)
            return None


# -- spans -------------------------------------------------------------------------------------------------------------


class _Current:
    """A span that is the current one of its task for a while, so that what is made meanwhile is below it."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self._token: Token[context.Context] | None = None

    def attach(self) -> None:
        self._token = context.attach(trace.set_span_in_context(self.span))

    def detach(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            context.detach(token)

    def end(self, error: BaseException | None) -> None:
        self.detach()
        _ended(self.span, error)


class _CallSpan:
    """A call, by the conventions of HTTP clients."""

    def __init__(self, tracer: Tracer, duration: Histogram, call: Call, *, propagate: bool) -> None:
        self._call = call
        self._duration = duration
        method = call.method if call.method in _METHODS else "_OTHER"
        url = call.url
        route = call.route or route_of(call.path)
        self._shared: _Attributes = {
            "http.request.method": method,
            "url.template": route,
            "server.address": url.host or "",
            "server.port": url.port or 0,
        }
        span = tracer.start_span(
            f"{'HTTP' if method == '_OTHER' else method} {route}",
            kind=SpanKind.CLIENT,
            attributes={
                **self._shared,
                "url.full": f"{url.scheme}://{url.host}:{url.port}{route}",
                "asyncconn.platform": call.service,
            },
        )
        self._status: int | None = None
        self._current = _Current(span)
        self._current.attach()
        if propagate:
            carrier: dict[str, str] = {}
            _PROPAGATOR.inject(carrier)
            own = {name.lower() for name in call.headers}
            call.headers = {**call.headers, **{name: text for name, text in carrier.items() if name not in own}}

    def event(self, name: str, data: Any) -> None:
        if not isinstance(data, Attempted):  # a repetition is told by the attempt that it is
            return
        ended: _Attributes = {}
        if isinstance(data.ended, int):
            self._status = ended["http.response.status_code"] = data.ended
        if not isinstance(data.ended, int) or data.ended >= 400:
            ended["error.type"] = _kind(data.ended)
        self._duration.record(data.seconds, {**self._shared, **ended})
        span = self._current.span
        span.add_event("attempt", {"asyncconn.attempt": data.number, "asyncconn.seconds": data.seconds, **ended})
        if data.number > 1:
            span.set_attribute("http.request.resend_count", data.number - 1)

    def end(self, error: BaseException | None) -> None:
        span = self._current.span
        if self._status is not None:
            span.set_attribute("http.response.status_code", self._status)
        if self._call.waited:
            span.set_attribute("asyncconn.rate.waited", self._call.waited)
        self._current.end(error)


class _BatchSpan(_Current):
    """A batch on its way, by the conventions of messaging: what is sent for it is below it."""

    def __init__(self, tracer: Tracer, name: str, batch: Batch[Any]) -> None:
        attributes: _Attributes = {
            "messaging.system": _SYSTEMS.get(name, name.partition(".")[0]),
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": name,
            "messaging.batch.message_count": len(batch.items),
            "asyncconn.batch.bytes": batch.size,
        }
        super().__init__(tracer.start_span(f"send {name}", kind=SpanKind.PRODUCER, attributes=attributes))
        self.attach()

    def event(self, name: str, data: Any) -> None:
        """There is none."""


class _PollSpan(_Current):
    """A wait for what takes time. It is the current span only while it asks: its states are handed to who waits."""

    def __init__(self, tracer: Tracer, name: str) -> None:
        super().__init__(tracer.start_span(f"poll {_without_ids(name)}"))

    def event(self, name: str, data: Any) -> None:
        if name == "ask":
            self.attach()
            self.span.set_attribute("asyncconn.polls", data)
            return
        self.detach()
        if name == "passing":
            self.span.add_event("passing", {"error.type": _kind(data)})
        else:
            word = _word_of(data)
            self.span.add_event("state", {} if word is None else {"asyncconn.state": word})


class _StreamSpans:
    """Connections that are kept up: a span from when one is live until it is lost, in a trace of its own.

    What happens between two of them is told by the next.
    """

    def __init__(self, tracer: Tracer, name: str) -> None:
        self._tracer = tracer
        self._name = _without_ids(name)
        self._span: Span | None = None
        self._between: list[tuple[str, _Attributes, int]] = []

    def event(self, name: str, data: Any) -> None:
        if name == "live":
            self._live(data)
        elif name == "lost":
            again: _Attributes = {"error.type": _kind(data.error), "asyncconn.pause": data.pause}
            self._over(data.error)
            self._between.append(("reconnect", again, time.time_ns()))
        elif name == "gap":
            self._tell("gap", {})
        else:
            self._over(data)

    def end(self, error: BaseException | None) -> None:
        self._over(error)

    def _live(self, change: Change) -> None:
        self._over(None)
        self._span = self._tracer.start_span(
            f"connected {self._name}",
            context.Context(),
            SpanKind.CLIENT,
            {"asyncconn.stream": self._name, "asyncconn.connection": change.connection},
        )
        for told in self._between:
            self._span.add_event(*told)
        self._between.clear()

    def _tell(self, name: str, attributes: _Attributes) -> None:
        if self._span is None:
            self._between.append((name, attributes, time.time_ns()))
        else:
            self._span.add_event(name, attributes)

    def _over(self, error: BaseException | None) -> None:
        span, self._span = self._span, None
        if span is not None:
            _ended(span, error)


def _ended(span: Span, error: BaseException | None) -> None:
    """End a span. Of an error only its kind is told: its text may quote an answer, which may quote anything."""
    if error is not None and not isinstance(error, GeneratorExit):  # that is a loop that was left
        span.set_attribute("error.type", _kind(error))
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def _kind(error: BaseException | int | None) -> str:
    return str(error) if isinstance(error, int) or error is None else type(error).__name__


def _without_ids(name: str) -> str:
    """
    >>> _without_ids("acme: /v1/jobs/7f3a")
    'acme: /v1/jobs/{}'
    """
    return re.sub(r"[^\s:]+", lambda word: route_of(word[0]), name)


def _word_of(state: Any) -> str | None:
    """The one word of a state that says what it is, if it has one: itself, or its ``status`` or ``state``."""
    for name in ("status", "state"):
        found = state.get(name) if isinstance(state, Mapping) else getattr(state, name, None)
        state = state if found is None else found
    word = state.value if isinstance(state, Enum) else state
    return word if isinstance(word, str) and word and "/" not in word and route_of(word) == word else None


# -- metrics -----------------------------------------------------------------------------------------------------------

_OUTCOMES = ("accepted", "delivered", "rejected", "failed", "unknown")


def _observed(meter: Meter, books: Callable[[], Books | None]) -> None:
    """Metrics that are read when somebody exports them."""

    def read(values: Callable[[Books], Iterator[Observation]]) -> list[Callable[[CallbackOptions], list[Observation]]]:
        def callback(_: CallbackOptions) -> list[Observation]:
            found = books()
            return [] if found is None else list(values(found))

        return [callback]

    meter.create_observable_counter(
        "asyncconn.records", read(_records), unit="{record}", description="Records by what became of them."
    )
    meter.create_observable_up_down_counter(
        "asyncconn.records.pending", read(_pending), unit="{record}", description="Records without an outcome."
    )
    meter.create_observable_gauge(
        "asyncconn.records.oldest_age", read(_ages), unit="s", description="Age of the oldest record not on its way."
    )
    meter.create_observable_counter(
        "asyncconn.rate.waited", read(_waited), unit="s", description="Seconds in which calls waited for their rate."
    )
    meter.create_observable_counter(
        "asyncconn.retries", read(_retries), unit="{attempt}", description="Attempts beyond the first of each call."
    )
    meter.create_observable_counter(
        "asyncconn.stream.reconnects", read(_reconnects), unit="{connection}", description="Connections made anew."
    )
    meter.create_observable_counter(
        "asyncconn.stream.gaps", read(_gaps), unit="{gap}", description="Where messages may have been missed."
    )


def _summed(pairs: Iterable[tuple[str, float]], label: str, **more: str) -> Iterator[Observation]:
    """One observation a name: there may be several of it."""
    sums: dict[str, float] = {}
    for name, value in pairs:
        sums[name] = sums.get(name, 0) + value
    for name, value in sums.items():
        yield Observation(value, {label: name, **more})


def _records(books: Books) -> Iterator[Observation]:
    for outcome in _OUTCOMES:
        pairs = [(one.name, getattr(one.stats, outcome)) for one in books[0].buffers]
        yield from _summed(pairs, "asyncconn.buffer", **{"asyncconn.outcome": outcome})


def _pending(books: Books) -> Iterator[Observation]:
    return _summed([(one.name, one.stats.pending) for one in books[0].buffers], "asyncconn.buffer")


def _ages(books: Books) -> Iterator[Observation]:
    oldest: dict[str, float] = {}
    for one in books[0].buffers:
        oldest[one.name] = max(oldest.get(one.name, 0.0), one.stats.oldest_age)
    return _summed(oldest.items(), "asyncconn.buffer")


def _waited(books: Books) -> Iterator[Observation]:
    return _summed([(row.platform, row.waited) for row in books[1]], "asyncconn.platform")


def _retries(books: Books) -> Iterator[Observation]:
    return _summed([(row.platform, row.retries) for row in books[1]], "asyncconn.platform")


def _reconnects(books: Books) -> Iterator[Observation]:
    return _summed([(one.name, one.reconnects) for one in books[0].streams], "asyncconn.stream")


def _gaps(books: Books) -> Iterator[Observation]:
    return _summed([(one.name, one.gaps) for one in books[0].streams], "asyncconn.stream")
