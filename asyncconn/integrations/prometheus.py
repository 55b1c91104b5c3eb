"""Prometheus: what a hub's connectors hold, wait for, call and listen to, read when somebody scrapes.

    >>> async with Hub() as hub:
    ...     prometheus_client.REGISTRY.register(HubCollector(hub))
    ...     prometheus_client.start_http_server(9100)

Nothing is counted for it: between two scrapes it costs nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from asyncconn.core.durations import positive
from asyncconn.figures import HubFigures
from asyncconn.integrations.reading import read, together

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "asyncconn.integrations.prometheus needs prometheus-client: pip install 'asyncconn[prometheus]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from asyncconn.figures import AccountFigures, BufferFigures, StreamFigures
    from asyncconn.http.route_traffic import RouteTraffic
    from asyncconn.hub import Hub

__all__ = ["HubCollector"]

_TIMEOUT = 5.0  # seconds for a loop to answer another thread


class HubCollector(Collector):
    """A collector of ``prometheus_client`` for a hub, or several: register one in a registry.

        >>> registry = CollectorRegistry()
        >>> registry.register(HubCollector(hub))
        >>> text = generate_latest(registry)

    A registry takes each name once, so two hubs are ``HubCollector(hub, other)``: sums by label, and of ages and
    quantiles the greatest. When a hub is gone for good, ``registry.unregister`` its
    collector, and register that of the next.

    It may be made before the hub is open, is asked from any thread, and tells after the hub's end what it came to.
    A scrape in another thread is answered by the hub's loop, within ``timeout`` seconds: ``TimeoutError`` means that
    something blocks that loop. The metrics are listed in :doc:`/operations`; their labels are names of buffers,
    platforms, limits, routes and streams, and fingerprints of accounts: no credential, and no id except one of plain
    letters in the path of a call that does not say its ``route``.

    Raises ``ImportError`` without the extra ``prometheus``, and ``ConfigError`` for a ``timeout`` that is none.
    """

    def __init__(self, hub: Hub, *more: Hub, timeout: float = _TIMEOUT) -> None:
        self._hubs = tuple(dict.fromkeys((hub, *more)))
        self._timeout = positive("timeout", timeout)

    def describe(self) -> Iterable[Metric]:
        """All metrics, without a value: so that a registry knows them before there is a hub to ask."""
        return _metrics(HubFigures(), ())

    def collect(self) -> Iterable[Metric]:
        """All metrics, as they are now."""
        found = []
        for hub, books in read(self._hubs, self._timeout):
            if isinstance(books, Exception):
                raise books  # sums without it would go back
            found.append((hub, books))
        return _metrics(*together(found))


def _metrics(figures: HubFigures, traffic: Iterable[RouteTraffic]) -> Iterator[Metric]:
    yield from _of_buffers(figures.buffers)
    yield from _of_calls(traffic)
    yield from _of_accounts(figures.accounts)
    yield from _of_streams(figures.streams)


# -- buffers -----------------------------------------------------------------------------------------------------------

_RECORDS = {
    "accepted": "Records that were taken.",
    "delivered": "Records that have arrived.",
    "rejected": "Records that the platform refused one by one.",
    "failed": "Records that are lost, and surely did not arrive.",
    "unknown": "Records that are lost, and may have arrived.",
}


def _of_buffers(buffers: Sequence[BufferFigures]) -> Iterator[Metric]:
    """Those of one name together: sums, and the greatest age."""
    named: dict[str, list[BufferFigures]] = defaultdict(list)
    for one in buffers:
        named[one.name].append(one)

    def summed(name: str) -> list[tuple[Sequence[str], float]]:
        return [([kind], sum(getattr(one.stats, name) for one in some)) for kind, some in named.items()]

    for name, what in _RECORDS.items():
        yield _counter(f"asyncconn_records_{name}", what, ["buffer"], summed(name))
    yield _gauge("asyncconn_records_pending", "Records without an outcome.", ["buffer"], summed("pending"))
    yield _gauge("asyncconn_pending_bytes", "Bytes of these in memory.", ["buffer"], summed("pending_bytes"))
    ages = [([kind], max(one.stats.oldest_age for one in some)) for kind, some in named.items()]
    yield _gauge("asyncconn_oldest_record_age_seconds", "Age of the oldest record not on its way.", ["buffer"], ages)
    yield _gauge("asyncconn_batches_in_flight", "Batches on their way.", ["buffer"], summed("in_flight"))
    yield _counter("asyncconn_batches_delivered", "Batches that have arrived.", ["buffer"], summed("batches_delivered"))
    yield _counter("asyncconn_batches_failed", "Batches that have not.", ["buffer"], summed("batches_failed"))
    yield _counter("asyncconn_delivered_bytes", "Bytes that have arrived.", ["buffer"], summed("bytes_delivered"))
    spools = {kind: [one.spool for one in some if one.spool is not None] for kind, some in named.items()}
    kept = {kind: some for kind, some in spools.items() if some}
    records = [([kind], sum(one.records for one in some)) for kind, some in kept.items()]
    sizes = [([kind], sum(one.bytes for one in some)) for kind, some in kept.items()]
    yield _gauge("asyncconn_spool_records", "Records in spools.", ["buffer"], records)
    yield _gauge("asyncconn_spool_bytes", "Bytes of these.", ["buffer"], sizes)


# -- calls -------------------------------------------------------------------------------------------------------------

_ROUTE = ["platform", "method", "route"]
_TOO_MANY = 429


def _of_calls(traffic: Iterable[RouteTraffic]) -> Iterator[Metric]:
    rows = [([one.platform, one.method, one.route], one) for one in traffic]
    yield _counter("asyncconn_calls", "Calls that the program made.", _ROUTE, [(at, one.calls) for at, one in rows])
    attempts = [([*at, str(ended)], count) for at, one in rows for ended, count in one.statuses.items()]
    yield _counter(
        "asyncconn_attempts", "Attempts, by the status or the error that they ended in.", [*_ROUTE, "status"], attempts
    )
    retries = [(at, one.retries) for at, one in rows]
    yield _counter("asyncconn_retries", "Attempts beyond the first of a call.", _ROUTE, retries)
    refusals = [(at, one.statuses.get(_TOO_MANY, 0)) for at, one in rows]
    yield _counter("asyncconn_refusals", "Attempts that were answered with 429.", _ROUTE, refusals)
    waited = [(at, one.waited) for at, one in rows]
    yield _counter("asyncconn_rate_wait_seconds", "Seconds in which calls waited for their rate.", _ROUTE, waited)
    sent, received = [(at, one.sent_bytes) for at, one in rows], [(at, one.received_bytes) for at, one in rows]
    yield _counter("asyncconn_sent_bytes", "Bytes of bodies sent.", _ROUTE, sent)
    yield _counter("asyncconn_received_bytes", "Bytes of bodies received.", _ROUTE, received)
    took = SummaryMetricFamily(
        "asyncconn_attempt_seconds", "Seconds of attempts, without the wait for the rate.", labels=_ROUTE
    )
    for at, one in rows:
        took.add_metric(at, sum(one.statuses.values()), one.seconds)
        for share, value in (("0.5", one.p50), ("0.95", one.p95)):
            took.add_sample(took.name, {**dict(zip(_ROUTE, at, strict=True)), "quantile": share}, value)
    yield took


# -- accounts and their rates ------------------------------------------------------------------------------------------

_ACCOUNT = ["platform", "account"]
_LIMIT = [*_ACCOUNT, "limit"]
_PART = [*_LIMIT, "part"]


def _of_accounts(accounts: Iterable[AccountFigures]) -> Iterator[Metric]:
    """The limiters of an account's services together: they share their parts. Those of several loops are summed."""
    places: dict[tuple[str, ...], float] = defaultdict(float)
    flying: dict[tuple[str, ...], float] = defaultdict(float)
    queued: dict[tuple[str, ...], float] = defaultdict(float)
    waiting: dict[tuple[str, ...], float] = defaultdict(float)
    paused: dict[tuple[str, ...], float] = defaultdict(float)
    parts: dict[tuple[str, ...], tuple[float, float, float]] = {}
    for one in accounts:
        account = one.platform, one.account
        places[account] += one.places
        flying[account] += one.in_flight
        queued[account] += one.waiting
        own: dict[tuple[str, ...], tuple[float, float, float]] = {}
        for rate in one.rates:
            limit, books = (*account, rate.limit), rate.snapshot
            waiting[limit] += books.waiting
            paused[limit] = max(paused[limit], books.paused_for)
            for part in books.parts:
                own[(*limit, part.name)] = part.limit, part.remaining, part.resets_in
        for at, (most, left, resets) in own.items():
            known = parts.get(at, (0.0, 0.0, 0.0))
            parts[at] = known[0] + most, known[1] + left, max(known[2], resets)
    yield _gauge("asyncconn_requests_in_flight", "Requests under way.", _ACCOUNT, flying.items())
    yield _gauge("asyncconn_requests_places", "Requests that may be under way.", _ACCOUNT, places.items())
    yield _gauge("asyncconn_requests_waiting", "Requests that wait for a place.", _ACCOUNT, queued.items())
    yield _gauge("asyncconn_rate_waiting", "Calls that wait for the rate.", _LIMIT, waiting.items())
    yield _gauge("asyncconn_rate_paused_seconds", "Seconds until a pause is over.", _LIMIT, paused.items())
    yield _gauge(
        "asyncconn_rate_limit",
        "Calls that a part of a rate allows.",
        _PART,
        [(at, one[0]) for at, one in parts.items()],
    )
    yield _gauge(
        "asyncconn_rate_used",
        "Calls of these that are used.",
        _PART,
        [(at, one[0] - one[1]) for at, one in parts.items()],
    )
    yield _gauge(
        "asyncconn_rate_remaining",
        "Calls of these that may go now.",
        _PART,
        [(at, one[1]) for at, one in parts.items()],
    )
    yield _gauge(
        "asyncconn_rate_reset_seconds", "Seconds until more may go.", _PART, [(at, one[2]) for at, one in parts.items()]
    )


# -- streams -----------------------------------------------------------------------------------------------------------

_HAPPENED = {
    "connections": "Connections that were live.",
    "reconnects": "Of these, all but the first of each stream.",
    "lost": "Connections that broke, and attempts that failed.",
    "gaps": "Places where messages may have been missed.",
}


def _of_streams(streams: Sequence[StreamFigures]) -> Iterator[Metric]:
    """Those of one name together: of several clients, and of those that have closed."""
    named: dict[str, StreamFigures] = {}
    for one in streams:
        named[one.name] = one if one.name not in named else named[one.name].joined(one)

    def listed(name: str) -> list[tuple[Sequence[str], float]]:
        return [([kind], getattr(one, name)) for kind, one in named.items()]

    yield _gauge("asyncconn_streams_live", "Streams with a connection.", ["stream"], listed("live"))
    yield _gauge("asyncconn_streams_down", "Streams without, that try again.", ["stream"], listed("down"))
    for name, what in _HAPPENED.items():
        yield _counter(f"asyncconn_stream_{name}", what, ["stream"], listed(name))


# ----------------------------------------------------------------------------------------------------------------------

_Values = Iterable[tuple[Sequence[str], float]]
_Family = CounterMetricFamily | GaugeMetricFamily


def _filled(kind: type[_Family], name: str, what: str, labels: Sequence[str], values: _Values) -> Metric:
    family = kind(name, what, labels=labels)
    for at, value in values:
        family.add_metric(at, value)
    return family


_counter, _gauge = partial(_filled, CounterMetricFamily), partial(_filled, GaugeMetricFamily)
