"""The five promises, and how each is put to the test."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

from asyncconn.connector import Connector
from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.core.rates.windows import Window
from asyncconn.core.tasks import reap
from asyncconn.http.redact import Redactor
from asyncconn.hub import Hub
from asyncconn.sandbox.faults import Fault
from asyncconn.testing.fakes import credential
from asyncconn.testing.verdicts import Verdict
from asyncconn.testing.watching import Patient, Quick, played

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from asyncconn.core.rates.limiter import RateLimiter
    from asyncconn.core.secret import Secret
    from asyncconn.sandbox.exchange import Call
    from asyncconn.testing.running import Ended, Plan, Step
    from asyncconn.testing.watching import Seen

__all__ = ["cap", "endless_wait", "lost_record", "provoke", "repeated_write", "secret"]

C = TypeVar("C", bound=Connector)

_DEMAND = 3.0  # seconds of full demand at most
_PERIODS = 2.2  # so many windows one after the other show what comes at their edges
_WORKERS = 20


def _name(step: object) -> str:
    return getattr(step, "__name__", repr(step))


# -- cap ---------------------------------------------------------------------------------------------------------------


async def cap(plan: Plan[C]) -> Verdict:
    """More calls than declared in any window, by what arrived, for each credential by itself."""
    if not plan.reads:
        return Verdict("not checked", ("no reads were given to make demand with",))
    refused = getattr(plan.ground, "refused", 0)
    if (forget := getattr(plan.ground, "forget", None)) is not None:
        forget()
    async with Hub(clock=Patient(), on_undelivered="log") as hub:
        connector = plan.factory(plan.ground.url, hub)
        await connector.open()
        limits = _declared(connector.http.limiters)
        if not limits:
            return Verdict("not checked", ("the connector declares no Window",))
        async with played(plan.ground) as watch:
            await _full_demand(connector, plan.reads, limits)
        at_the_limit = any(limiter.snapshot().remaining == 0 for limiter in connector.http.limiters.values())
    failures: list[str] = []
    most = ""
    for period, limit in limits.items():
        highest = max((_highest(times, period) for times in _by_credential(watch.seen).values()), default=0)
        at_the_limit = at_the_limit or highest == limit
        seen = f"{highest} calls within {period:g} s, where {limit} are declared"
        most = most or seen
        if highest > limit:
            failures.append(seen)
    if refusals := getattr(plan.ground, "refused", 0) - refused:
        failures.append(f"{refusals} calls were refused as too many")
    if not failures and not at_the_limit:
        return Verdict("not checked", (f"the reads did not come to the limit: {most}",))
    return Verdict.of(failures, f"at most {most}; {len(watch.seen)} calls in all")


def _declared(limiters: Mapping[str, RateLimiter]) -> dict[float, int]:
    """For each period that is declared, what may arrive within it: by all limiters together, each by its own windows.

    Empty where a limiter has no window: what it lets through nobody can say.
    """
    windows = [[part for part in one.parts if isinstance(part, Window)] for one in limiters.values()]
    if not all(windows):
        return {}
    periods = sorted({part.period for some in windows for part in some})
    return {
        period: sum(min(part.limit * math.ceil(period / part.period) for part in some) for some in windows)
        for period in periods
    }


async def _full_demand(connector: C, reads: Sequence[Step[C]], limits: Mapping[float, int]) -> None:
    """Call as fast as it lets us, for a little more than two of the shortest windows."""
    loop = asyncio.get_running_loop()
    until = loop.time() + min(_DEMAND, _PERIODS * min(limits))

    async def work() -> None:
        while loop.time() < until:
            for read in reads:
                try:
                    await read(connector)
                except Exception:  # noqa: BLE001 - a refusal, say: what arrived is what counts
                    await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(work(), name="asyncconn-check-demand") for _ in range(_WORKERS)]
    try:
        await asyncio.wait(tasks, timeout=until - loop.time())
    finally:
        await reap(tasks)


def _by_credential(seen: Iterable[Seen]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = defaultdict(list)
    for one in seen:
        times[credential(one.call.headers)].append(one.at)
    return times


def _highest(times: Sequence[float], period: float) -> int:
    """The most that arrived within any ``period`` seconds, its end left out."""
    first = highest = 0
    for last, at in enumerate(times):
        while times[first] <= at - period:
            first += 1
        highest = max(highest, last - first + 1)
    return highest


# -- secret ------------------------------------------------------------------------------------------------------------


async def provoke(plan: Plan[C]) -> None:
    """Have the server refuse, quote the request, break off, and talk nonsense, all the time."""
    faults = [
        Fault("status", status=401, times=None),
        Fault("status", status=400, times=None),
        Fault("status", status=500, times=None),
        Fault("drop_before", times=None),
        Fault("malformed", times=None),
    ]
    for step in plan.steps:
        for fault in faults:
            async with played(plan.ground, fault):
                await plan.hurried(step, Quick())


def secret(plan: Plan[C], credentials: Sequence[Secret]) -> Verdict:
    """A credential among all that was heard: as the connector knows it, or as the server saw it."""
    if not plan.steps:
        return Verdict("not checked", ("no function was given",))
    shown = [plan.heard.showing(redactor) for redactor in [*plan.redactors, Redactor(credentials)]]
    failures = [seen for seen in shown if seen is not None]
    return Verdict.of(failures[:1], f"{len(plan.heard.words)} log lines, errors, reprs and warnings were looked at")


# -- repeated_write ----------------------------------------------------------------------------------------------------


async def repeated_write(plan: Plan[C]) -> Verdict:
    """The same write once more, after the answer to it was lost."""
    if not plan.writes:
        return Verdict("not checked", ("no writes were given",))
    failures: list[str] = []
    runs = 0
    for step in plan.writes:
        for method, target in dict.fromkeys(_place(one.call) for one in plan.clean[step] if _writes(one.call)):
            for kind in ("drop_after", "half_body"):
                fault = Fault(kind, match=_is_at(method, target))
                async with played(plan.ground, fault) as watch:
                    await plan.hurried(step, Quick())
                runs += 1
                usual, sent = _times(plan.clean[step]), _times(watch.seen)
                again = [write for write, times in sent.items() if times > max(1, usual.get(write, 0))]
                if any(write[:2] == (method, target) for write in again):
                    path = target.partition("?")[0]
                    failures.append(f"{_name(step)}: {method} {path} was sent again after its answer was lost ({kind})")
    if not runs:
        return Verdict("not checked", ("none of the writes sends a POST or PATCH",))
    return Verdict.of(failures, f"{runs} lost answers, and no write was sent again")


def _is_at(method: str, target: str) -> Callable[[Call], bool]:
    return lambda call: _place(call) == (method, target)


def _place(call: Call) -> tuple[str, str]:
    return call.method, call.target


def _writes(call: Call) -> bool:
    """A request that must not be repeated blindly; asking for a token may be."""
    return call.method in ("POST", "PATCH") and b"grant_type=" not in call.body


def _times(seen: Iterable[Seen]) -> dict[tuple[str, str, bytes], int]:
    """How often each write was sent; those of one idempotency key are one to the platform."""
    sent: dict[tuple[str, str, bytes], list[object]] = defaultdict(list)
    for number, one in enumerate(seen):
        keys = [value for name, value in one.call.headers.items() if "idempotency" in name.lower()]
        sent[(*_place(one.call), one.call.body)].append(keys[0] if keys else number)
    return {write: len(set(keys)) for write, keys in sent.items()}


# -- endless_wait ------------------------------------------------------------------------------------------------------


async def endless_wait(plan: Plan[C]) -> Verdict:
    """A call, or the close after it, that goes on and on while nothing is answered."""
    if not plan.steps:
        return Verdict("not checked", ("no function was given",))
    failures: list[str] = []
    for step in plan.steps:
        async with played(plan.ground, Fault("stall", seconds=5.0, times=None)) as watch:
            ended = await plan.virtually(step)
        if not ended.in_time:
            plan.endless.add(step)
            failures.append(f"{_name(step)}: no end at a server that never answers, after {len(watch.seen)} calls")
    return Verdict.of(failures, f"{len(plan.steps)} functions came to their end at a server that never answers")


# -- lost_record -------------------------------------------------------------------------------------------------------


async def lost_record(plan: Plan[C]) -> Verdict:
    """A record that is in no account after the close, or delivered by the connector's word only."""
    if not plan.deliveries:
        return Verdict("not checked", ("no deliveries were given",))
    scripts = {
        "without a fault": [],
        "after two refusals (503)": [Fault("status", status=503, times=2)],
        "after a connection that broke before": [Fault("drop_before")],
        "after a lost answer": [Fault("drop_after")],
        "after a server that was down": [Fault("status", status=503, times=None)],
    }
    runs: list[tuple[str, Ended, int]] = []
    for step in plan.deliveries:
        for when, script in scripts.items():
            before = plan.taken
            async with played(plan.ground, *script) as watch:
                ended = await plan.hurried(step, Quick())
            runs.append((f"{_name(step)}, {when}", ended, plan.taken - before if watch.seen else 0))
        async with played(plan.ground, Fault("stall", seconds=5.0, times=None)):
            ended = await plan.virtually(step)
        runs.append((f"{_name(step)}, closed while the server stalls", ended, 0))
    kept = any(taken for _, _, taken in runs) or not any(plan.clean[step] for step in plan.deliveries)
    done = [run for run in runs if run[1].in_time]
    if not done:
        return Verdict("not checked", ("no delivery came to its end in time",))
    failures = [f"{when}: {what}" for when, ended, taken in done for what in _unaccounted(ended, taken, kept=kept)]
    books = "as the fake's books say" if kept else "by its own word: the fake does not say what it has taken"
    cut = f"; {len(runs) - len(done)} runs took too long to look at" if len(runs) > len(done) else ""
    return Verdict.of(failures, f"every record of {len(done)} runs is in an account, {books}{cut}")


def _unaccounted(ended: Ended, taken: int, *, kept: bool) -> list[str]:
    report = ended.report or FlushReport()
    offered = ended.result
    found = []
    if isinstance(offered, int) and offered != report.accepted:
        found.append(f"{offered} records were handed over, {report.accepted} are in an account")
    if report.pending > report.spooled:
        found.append(f"{report.pending - report.spooled} records are pending after the close")
    if kept and report.delivered > taken:
        found.append(f"{report.delivered} records are said to be delivered, {taken} were taken")
    return found
