"""The main part: real records through the framework into a warehouse, and SQL over what landed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text

from asyncconn import Hub, Panoply
from asyncconn.cli.demo.counting import worst_window
from asyncconn.cli.demo.part import Part, Verdict
from asyncconn.cli.demo.recording import mark
from asyncconn.cli.demo.seattle import Record, compare
from asyncconn.cli.output import count, progress, size, stderr, table
from asyncconn.connector import Connector, Platform
from asyncconn.core.rates.limiter import RateLimiter, TokenBucket, Window
from asyncconn.sandbox import Faults, PanoplyWorld, Sandbox

if TYPE_CHECKING:
    from rich.console import Console

    from asyncconn.core.buffer.memory import Batch, BatchStats, Delivery
    from asyncconn.errors import AsyncConnError, DeliveryFailed

__all__ = ["Report", "announce", "last_word", "show", "work"]

CALLS, LIMIT, PERIOD = 30, 10, 1.0

_TEMPERATURE = {"weather": ("(temp_max + temp_min) / 2", "degC"), "temperatures": ("temp", "degF")}
_LANDED = "select count(*) as rows, min(date) as first, max(date) as last, round(avg({value}), 2) as mean from {name}"
_KINDS = ("sun", "fog", "rain", "drizzle", "snow")
_BY_YEAR = """
    select substr(date, 1, 4) as year, sum(weather = 'sun') as sun, sum(weather = 'fog') as fog,
           sum(weather = 'rain') as rain, sum(weather = 'drizzle') as drizzle, sum(weather = 'snow') as snow,
           max(temp_max) as warmest, round(sum(precipitation)) as wet
    from weather group by year order by year
"""


@dataclass
class Report(Part):
    """What ``--json`` prints, the other parts included."""

    expected: int = 0
    accepted: int = 0
    delivered: int = 0
    failed: int = 0
    missing: int = 0
    altered: int = 0
    unexpected: int = 0
    duplicates: int = 0
    retries: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    records_per_second: float = 0.0
    messages: int = 0
    bytes: int = 0
    max_age_at_send: float = 0.0
    sender: str = "form"
    tables: list[dict[str, Any]] = field(default_factory=list)
    weather_by_year: list[dict[str, Any]] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    rate_limit: dict[str, Any] = field(default_factory=dict)
    datorama: dict[str, Any] = field(default_factory=dict)
    atoti_limits: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    tcup: dict[str, Any] = field(default_factory=dict)
    tcup_streams: dict[str, Any] = field(default_factory=dict)
    killed: dict[str, Any] = field(default_factory=dict)


class Probe(Connector):
    """A whole connector: a platform with a rate limit and one call."""

    platform = Platform("probe", rates=Window(LIMIT, PERIOD))

    async def ping(self) -> None:
        """One call that the sandbox counts."""
        await self.http.request("GET", "/sandbox/health")


# -- the work ----------------------------------------------------------------------------------------------------------


async def work(
    records: dict[str, list[Record]], faults: Faults, rate: float | None, sender: Literal["form", "sqs"]
) -> Report:
    """Stream the records, compare what landed with them, and watch a rate limit at work."""
    report = Report(expected=sum(map(len, records.values())), sender=sender)
    async with Sandbox(PanoplyWorld(), faults=faults) as sandbox, Hub(proxy="") as hub:
        panoply = Panoply(
            sandbox.panoply.api_key,
            sandbox.panoply.api_secret,
            hub=hub,
            endpoint_url=sandbox.panoply.url,
            sender=sender,
        )
        await _stream(panoply, records, rate, report)
        report.faults = dict(sandbox.faults.hits)
        await _verify(sandbox, records, report)
        sandbox.faults.clear()  # what follows counts calls, and should count ours alone
        await _limited(hub, sandbox, report)
    intact = not (report.missing or report.altered or report.unexpected or report.failed)
    report.ok = intact and report.rate_limit["worst_window"] <= LIMIT
    return report


async def _stream(panoply: Panoply, records: dict[str, list[Record]], rate: float | None, report: Report) -> None:
    def retried(error: AsyncConnError) -> None:
        report.retries += 1

    panoply.http.events.on("retry", retried)
    # One limiter for both tables: they take turns, and together they keep to the rate.
    limiter = RateLimiter(TokenBucket(rate, max(1, int(rate / 50))), name="demo") if rate else None
    with progress(stderr()) as bar:
        task = bar.add_task("streaming", total=report.expected, note="")

        def sending(batch: Batch[bytes]) -> None:
            mark("panoply/age", batch.age)
            bar.update(task, note=f"{count(len(batch.items), 'record')} on the way, oldest {batch.age:.2f} s")

        def arrived(delivery: Delivery) -> None:
            mark("panoply/delivered", delivery.records)
            bar.advance(task, delivery.records)

        def failed(failure: DeliveryFailed) -> None:
            report.wrong.append(failure.message)

        panoply.on("send", sending)
        panoply.on("flush", arrived)
        panoply.on("error", failed)
        started = time.perf_counter()
        await asyncio.gather(*[panoply.write_many(name, _paced(rows, limiter)) for name, rows in records.items()])
        await panoply.flush()
        report.seconds = time.perf_counter() - started
        bar.update(task, note="")
    _book(panoply.stats, report)


def _paced(records: list[Record], limiter: RateLimiter | None) -> Iterable[Record] | AsyncIterator[Record]:
    return records if limiter is None else _trickle(records, limiter)


async def _trickle(records: list[Record], limiter: RateLimiter) -> AsyncIterator[Record]:
    for record in records:
        async with limiter:
            yield record


def _book(stats: BatchStats, report: Report) -> None:
    report.accepted, report.delivered = stats.accepted, stats.delivered
    report.failed = stats.accepted - stats.delivered
    report.messages, report.bytes = stats.batches_delivered, stats.bytes_delivered
    report.max_age_at_send = round(stats.max_age_at_send, 3)
    report.records_per_second = round(stats.delivered / report.seconds)
    report.seconds = round(report.seconds, 3)


async def _verify(sandbox: Sandbox, records: dict[str, list[Record]], report: Report) -> None:
    landed = sandbox.panoply.tables()
    for name, expected in records.items():
        rows = sandbox.panoply.sql(f"select * from {name}") if name in landed else []  # noqa: S608 - a name of ours
        difference = compare(expected, rows)
        report.missing += len(difference.missing)
        report.altered += len(difference.altered)
        report.unexpected += len(difference.unexpected)
        report.examples += [*difference.missing[:3], *difference.altered[:3], *difference.unexpected[:3]]
        if rows:
            value, unit = _TEMPERATURE[name]
            [summary] = sandbox.panoply.sql(_LANDED.format(name=name, value=value))
            report.tables.append({"table": name, **summary, "unit": unit})
    report.unexpected += sum(rows for name, rows in landed.items() if name not in records)
    report.duplicates = sandbox.panoply.counters.records - sum(landed.values())
    if "weather" in landed:
        report.weather_by_year = sandbox.panoply.sql(_BY_YEAR)


async def _limited(hub: Hub, sandbox: Sandbox, report: Report) -> None:
    probe = Probe(hub=hub, base_url=sandbox.url, max_concurrency=CALLS)
    before = len(sandbox.arrivals)
    started = time.perf_counter()
    await asyncio.gather(*[probe.ping() for _ in range(CALLS)])
    seconds = time.perf_counter() - started
    times = [arrival.at for arrival in list(sandbox.arrivals)[before:]]
    report.rate_limit = {
        "calls": len(times),
        "limit": LIMIT,
        "period": PERIOD,
        "seconds": round(seconds, 3),
        "worst_window": worst_window(times, PERIOD),
    }


# -- what is shown -----------------------------------------------------------------------------------------------------


def announce(out: Console, records: dict[str, list[Record]], sender: str, faults: str, rate: float | None) -> None:
    """What is going to happen."""
    total = sum(map(len, records.values()))
    speed = "at full speed" if rate is None else f"at {rate:g} a second"
    out.print(
        Text(
            "Six things that programs do with four platforms. The platforms are embedded in this process, keep their "
            "rules, and are spoken to through real sockets. Nothing leaves this machine.\n"
        )
    )
    out.print(Text(f"Streaming {total:,} records {speed} into Panoply.", "bold"))
    out.print(Text(f"Seattle's weather (NOAA): {', '.join(f'{len(rows):,} in {n}' for n, rows in records.items())}."))
    out.print(Text(f"One hub, one HTTP session, two tables at once; batches leave within 2 s; sender: {sender}."))
    if faults:
        out.print(Text(f"Faults at the server: {faults}"))


def show(out: Console, report: Report) -> None:
    """What landed, and how."""
    landed = [
        (t["table"], f"{t['rows']:,}", _moment(t["first"]), _moment(t["last"]), f"{t['mean']} {t['unit']}")
        for t in report.tables
    ]
    columns = ("table", "rows", "first", "last", "mean temperature")
    out.print(table("What landed, by SQL", columns, landed, numbers=("rows", "mean temperature")))
    years = [
        (y["year"], *[y[kind] for kind in _KINDS], f"{y['warmest']} degC", f"{y['wet']:,.0f} mm")
        for y in report.weather_by_year
    ]
    by_year = ("year", *_KINDS, "warmest", "rain and snow")
    out.print(table("Days by weather", by_year, years, numbers=by_year[1:]))
    out.print(table("How it got there", ("", ""), _facts(report)))
    limit = report.rate_limit
    out.print()
    out.print(
        Text.assemble(
            ("Rate limit  ", "bold"),
            f"{limit['calls']} calls at once through Window({LIMIT}, {PERIOD:g} s) took {limit['seconds']:.2f} s; "
            f"most in any {PERIOD:g} s at the server: {limit['worst_window']}.",
        )
    )


def _moment(iso: str) -> str:
    return iso[:16].replace("T", " ")


def _facts(report: Report) -> list[tuple[str, str]]:
    struck = ", ".join(f"{kind} x {times}" for kind, times in report.faults.items())
    return [
        ("speed", f"{report.records_per_second:,.0f} records/s ({report.seconds:.2f} s, until the last answer)"),
        ("messages", f"{report.messages:,} holding {size(report.bytes)}"),
        ("oldest record when sent", f"{report.max_age_at_send:.2f} s"),
        ("retries", f"{report.retries:,}" + (f" (faults that struck: {struck})" if struck else "")),
        ("arrived twice", f"{report.duplicates:,}" + (" (merged by their id)" if report.duplicates else "")),
    ]


def last_word(report: Report) -> Verdict:
    """Whether all of it arrived, and what did not."""
    if report.ok:
        good = f"all {report.expected:,} records are in the warehouse, every value as in the files"
        return Verdict("records", True, good, report.seconds)
    reasons = [
        f"{number:,} {word}"
        for number, word in (
            (report.missing, "missing"),
            (report.altered, "with other values"),
            (report.unexpected, "that nobody sent"),
            (report.failed, "reported as undelivered"),
        )
        if number
    ]
    if report.rate_limit["worst_window"] > LIMIT:
        reasons.append(f"{report.rate_limit['worst_window']} calls within {PERIOD:g} s where {LIMIT} are allowed")
    words = [f"of {report.expected:,} records: {', '.join(reasons)}"]
    if report.examples:
        words.append(f"for example {', '.join(report.examples[:3])}")
    words += [" ".join(message.split()) for message in report.wrong[:3]]
    return Verdict("records", False, "; ".join(words), report.seconds)
