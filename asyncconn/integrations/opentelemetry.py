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
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from asyncconn._version import __version__
from asyncconn.core.notes import with_notes
from asyncconn.errors import ConfigError, RateLimited
from asyncconn.http.exchange import Attempted
from asyncconn.http.traffic import route_of
from asyncconn.integrations.reading import read

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
    from collections.abc import Collection, Iterator
    from contextvars import Token

    from opentelemetry.metrics import Histogram, MeterProvider
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
_TIMEOUT = 1.0  # seconds for all loops to answer an exporter's thread: an SDK gives up after ten
_FRESH = 1.0  # seconds that the metrics of one collection may share a reading
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

    Metrics are the sums over all hubs that are instrumented with a provider; of one that is stopped the counts stay.

    Raises ``ImportError`` without the extra ``otel``, ``ConfigError`` for a text in the place of platforms, and where
    the hub is instrumented with one of these providers already: all would be told twice.
    """
    if isinstance(propagate, str):
        raise ConfigError(f"propagate is a collection of platforms: {{{propagate!r}}}")
    tracers = None if tracer_provider is trace.get_tracer_provider() else tracer_provider
    measured = _metrics_of(meter_provider)
    for watcher in hub.watching.watchers:
        other = getattr(watcher, "__self__", None)
        if isinstance(other, Instrumented) and (other._tracers is tracers or other._metrics is measured):
            what = "tracer" if other._tracers is tracers else "meter"
            raise ConfigError(
                f"the hub is instrumented with this {what} provider already: stop() that, or give another"
            )
    tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
    return Instrumented(hub, tracer, tracers, measured, frozenset(propagate))


class Instrumented:
    """A hub of which spans and metrics are made; see :func:`instrument`. Stopping it twice changes nothing."""

    def __init__(
        self, hub: Hub, tracer: Tracer, tracers: TracerProvider | None, measured: _Metrics, propagate: frozenset[str]
    ) -> None:
        self._hub: Hub | None = hub
        self._tracer = tracer
        self._tracers = tracers
        self._metrics = measured
        self._propagate = propagate
        measured.add(hub)
        self._stop = hub.watching.add(self._follower)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Make no more; what is under way is followed to its end."""
        self._stop()
        hub, self._hub = self._hub, None
        if hub is not None:
            self._metrics.remove(hub)

    def _follower(self, work: Work, name: str, subject: Any) -> Follower:
        if work == "call":
            return _CallSpan(self._tracer, self._metrics.duration, subject, propagate=name in self._propagate)
        if work == "batch":
            return _BatchSpan(self._tracer, name, subject)
        return _PollSpan(self._tracer, name) if work == "poll" else _StreamSpans(self._tracer, name)


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
                "url.full": f"{url.scheme}://{url.host_subcomponent}:{url.port}{route}",
                "asyncconn.platform": call.service,
            },
        )
        self._status: int | None = None
        self._held = 0.0  # seconds between a 429 and the next attempt
        self._current = _Current(span)
        self._current.attach()
        if propagate:
            carrier: dict[str, str] = {}
            _PROPAGATOR.inject(carrier)
            own = {name.lower() for name in call.headers}
            call.headers = {**call.headers, **{name: text for name, text in carrier.items() if name not in own}}

    def event(self, name: str, data: Any) -> None:
        if not isinstance(data, Attempted):  # a repetition is told by the attempt that it is
            if name == "retry" and isinstance(data[0], RateLimited):
                self._held += data[1]
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
        if waited := self._call.waited + self._held:
            span.set_attribute("asyncconn.rate.waited", waited)
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


_MOST = 128  # events: as many as a span of the SDK keeps


class _StreamSpans:
    """Connections that are kept up: a span from when one is live until it is lost, in a trace of its own.

    What happens between two of them is told by the next: the newest 128, and how many more there were.
    """

    def __init__(self, tracer: Tracer, name: str) -> None:
        self._tracer = tracer
        self._name = _without_ids(name)
        self._span: Span | None = None
        self._between: deque[tuple[str, _Attributes, int]] = deque(maxlen=_MOST)
        self._dropped = 0  # of those between: one that never comes up would keep more and more

    def event(self, name: str, data: Any) -> None:
        if name == "live":
            self._live(data)
        elif name == "lost":
            again: _Attributes = {"error.type": _kind(data.error), "asyncconn.pause": data.pause}
            self._over(data.error)
            self._keep("reconnect", again)
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
        if self._dropped:
            self._span.set_attribute("asyncconn.dropped", self._dropped)
        self._between.clear()
        self._dropped = 0

    def _tell(self, name: str, attributes: _Attributes) -> None:
        if self._span is None:
            self._keep(name, attributes)
        else:
            self._span.add_event(name, attributes)

    def _keep(self, name: str, attributes: _Attributes) -> None:
        self._dropped += len(self._between) == _MOST
        self._between.append((name, attributes, time.time_ns()))

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
_Attribute = tuple[str, str]
_At = tuple[str, tuple[_Attribute, ...]]  # a metric's name, and attributes


class _Metrics:
    """The metrics of one provider: an SDK keeps the first instrument of a name, so all of its hubs are summed here."""

    def __init__(self, provider: MeterProvider | None) -> None:
        self._lock = threading.Lock()  # held for moments only: a loop may wait for it
        self._live: WeakKeyDictionary[Hub, Books | None] = WeakKeyDictionary()  # with what was read last
        self._left: WeakKeyDictionary[Hub, list[tuple[_At, float]]] = WeakKeyDictionary()  # the counts of the stopped
        self._past: defaultdict[_At, float] = defaultdict(int)  # the sums of these, and of those that are gone
        self._now: dict[_At, float] = {}
        self._fresh_until = 0.0
        self._told: set[str] = set()  # metrics that had what is in _now
        meter = metrics.get_meter(_NAME, __version__, provider)
        self.duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="How long an attempt took, without the wait for its rate.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        counter, gauge = meter.create_observable_counter, meter.create_observable_gauge
        level = meter.create_observable_up_down_counter
        for create, name, unit, description in (
            (counter, "asyncconn.records", "{record}", "Records by what became of them."),
            (level, "asyncconn.records.pending", "{record}", "Records without an outcome."),
            (gauge, "asyncconn.records.oldest_age", "s", "Age of the oldest record not on its way."),
            (counter, "asyncconn.rate.waited", "s", "Seconds in which calls waited for their rate."),
            (counter, "asyncconn.retries", "{attempt}", "Attempts beyond the first of each call."),
            (counter, "asyncconn.stream.reconnects", "{connection}", "Connections made anew."),
            (counter, "asyncconn.stream.gaps", "{gap}", "Where messages may have been missed."),
        ):
            create(name, [partial(self._observed, name)], unit=unit, description=description)

    def add(self, hub: Hub) -> None:
        """Count a hub from now on, with all that it has counted already."""
        with self._lock:
            for at, value in self._left.pop(hub, ()):
                self._past[at] -= value
            self._live[hub] = None

    def remove(self, hub: Hub) -> None:
        """Keep what it has counted until now."""
        books = self._read([(hub, self._live.get(hub))])
        with self._lock:
            if hub not in self._live:
                return
            del self._live[hub]
            self._left[hub] = [count for one in books for count in _counts(one)]
            for at, value in self._left[hub]:
                self._past[at] += value

    def _observed(self, name: str, _: CallbackOptions) -> list[Observation]:
        # A collection asks each metric once, so one that asks again is of the next: all of one share a reading, and
        # the wait for a loop that is blocked.
        if name in self._told or time.monotonic() > self._fresh_until:
            self._now = self._sums()
            self._told = set()
            self._fresh_until = time.monotonic() + _FRESH
        self._told.add(name)
        return [Observation(value, dict(at)) for (metric, at), value in self._now.items() if metric == name]

    def _sums(self) -> dict[_At, float]:
        with self._lock:
            sums = self._past.copy()
            live = list(self._live.items())
        for books in self._read(live):
            for at, value in _counts(books):
                sums[at] += value
            for buffer in books[0].buffers:
                of: tuple[_Attribute, ...] = (("asyncconn.buffer", buffer.name),)
                sums["asyncconn.records.pending", of] += buffer.stats.pending
                oldest = "asyncconn.records.oldest_age", of
                sums[oldest] = max(sums[oldest], buffer.stats.oldest_age)
        return sums

    def _read(self, hubs: Iterable[tuple[Hub, Books | None]]) -> list[Books]:
        """The books of hubs; those of before where a loop does not answer, so that no count goes back."""
        before = dict(hubs)
        found: list[Books] = []
        for hub, books in read(before, _TIMEOUT):
            if isinstance(books, Exception):
                logger.warning("no new metrics this time: %s", with_notes(books))
                known = before[hub]
                if known is not None:
                    found.append(known)
                continue
            found.append(books)
            with self._lock:
                if hub in self._live:
                    self._live[hub] = books
        return found


class _Global:
    """Stands for the provider of the process, whether it is set already or later."""


_GLOBAL = _Global()
_known: WeakKeyDictionary[object, _Metrics] = WeakKeyDictionary()  # by provider
_knowing = threading.Lock()


def _metrics_of(provider: MeterProvider | None) -> _Metrics:
    with _knowing:
        key = _GLOBAL if provider is None or provider is metrics.get_meter_provider() else provider
        found = _known.get(key)
        if found is None:
            found = _known[key] = _Metrics(provider)
        return found


def _counts(books: Books) -> Iterator[tuple[_At, float]]:
    """What a hub counts, and never goes back: there may be several of one metric and attributes."""
    figures, traffic = books
    of: tuple[_Attribute, ...]
    for buffer in figures.buffers:
        for outcome in _OUTCOMES:
            of = ("asyncconn.buffer", buffer.name), ("asyncconn.outcome", outcome)
            yield ("asyncconn.records", of), getattr(buffer.stats, outcome)
    for row in traffic:
        of = (("asyncconn.platform", row.platform),)
        yield ("asyncconn.rate.waited", of), row.waited
        yield ("asyncconn.retries", of), row.retries
    for stream in figures.streams:
        of = (("asyncconn.stream", stream.name),)
        yield ("asyncconn.stream.reconnects", of), stream.reconnects
        yield ("asyncconn.stream.gaps", of), stream.gaps
