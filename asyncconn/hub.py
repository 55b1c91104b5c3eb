"""The hub: one aiohttp session for every connector, one limiter for every credential, one orderly end."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from asyncconn.core.buffer.accounts import UndeliveredWarning, caller, warn
from asyncconn.core.buffer.attached import Attached
from asyncconn.core.buffer.receipts import FlushReport, newest
from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.durations import seconds
from asyncconn.core.rates.registry import release_limiters, share_of
from asyncconn.core.secret import Concealed, secret
from asyncconn.core.tasks import Ending, drain_guard
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError, DeliveryFailed, HubClosed, HubNotOpen, WrongLoop
from asyncconn.http.session import Network, open_session
from asyncconn.settings import HubSettings, load

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from types import TracebackType

    import aiohttp

    from asyncconn.core.buffer.receipts import Rejected
    from asyncconn.core.rates.registry import Rates, Share

__all__ = ["DrainReport", "Hub", "HubState", "OnUndelivered"]

logger = logging.getLogger("asyncconn.hub")

#: What a hub does when it closes with losses of which nobody has been told.
OnUndelivered = Literal["warn", "raise", "log"]

_GRACE = 5.0  # seconds beyond the shutdown deadline for cancelling what still runs


class HubState(Enum):
    """NEW, then OPEN, then DRAINING while connectors deliver what they hold, then CLOSED for good."""

    NEW = "new"
    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"


class Named(Protocol):
    """What the hub asks of a connector's platform."""

    @property
    def name(self) -> str:
        """For the report."""
        ...


class Member(Protocol):
    """What the hub asks of a connector."""

    @property
    def platform(self) -> Named:
        """What it is a client of."""
        ...

    async def stop(self) -> None:
        """Take nothing in any more."""
        ...

    async def drain(self, timeout: float) -> FlushReport | None:
        """Deliver what was accepted within ``timeout`` seconds, and take no more."""
        ...


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What became of every record that the connectors of a hub have accepted, since the start.

    ``reports`` by connector name (only those that hold records; one that closed before the hub did is among them),
    ``errors`` of connectors that failed to close, and ``seconds`` it took.
    """

    reports: Mapping[str, FlushReport] = field(default_factory=dict)
    errors: Mapping[str, BaseException] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every record arrived and every connector closed cleanly."""
        return not self.errors and all(report.complete for report in self.reports.values())

    @property
    def rejections(self) -> tuple[Rejected, ...]:
        """The records that were refused one by one, with the reasons: the newest 10,000."""
        return tuple(newest([report.rejections for report in self.reports.values()]))

    @property
    def undelivered(self) -> list[Any]:
        """The records that failed, or may have: the newest 10,000."""
        return newest([report.undelivered for report in self.reports.values()])

    @property
    def truncated(self) -> bool:
        """Whether there are more than ``rejections`` or ``undelivered`` hold."""
        reports = self.reports.values()
        rejected, failed = sum(one.rejected for one in reports), sum(one.failed + one.unknown for one in reports)
        return rejected > len(self.rejections) or failed > len(self.undelivered)

    @property
    def untold(self) -> int:
        """Records that are lost, and that no handler, receipt or error has told of."""
        return sum(map(_untold, self.reports.values()))


def _untold(report: FlushReport) -> int:
    """After a close, what is pending and in no spool is lost too."""
    return report.untold + report.pending - report.spooled


class Hub(Unpicklable):
    """Owns the one session that all connectors of a program share, and ends them in order.

        >>> async with Hub() as hub:
        ...     panoply = Panoply(key, secret, hub=hub)
        ...     await panoply.write("events", {"id": 1})

    ``Hub(session=s)`` borrows a session: it is never closed here. Leaving the block drains every connector within
    ``settings.shutdown_timeout`` seconds, also when it is left by cancellation; :attr:`report` then says what became of
    the records. A hub belongs to the event loop that opened it.

    ``on_undelivered`` is for records that are lost and that no ``error`` handler, awaited receipt or error has told of:
    a hub that closes with such losses issues an ``UndeliveredWarning`` (``"warn"``),
    raises ``DeliveryFailed`` with them (``"raise"``; never over another exception, where it logs instead), or writes a
    line at ERROR (``"log"``).

    ``proxy`` is a URL, ``http(s)://[user:password@]host[:port]``, for all that connectors send; without one the
    environment's ``HTTP_PROXY`` and ``HTTPS_PROXY`` count, and ``""`` means none. Hosts of ``NO_PROXY`` are reached
    directly. ``ca_file`` is a PEM file of authorities to trust besides the system's; ``client_cert`` a PEM file of
    certificate and key, or a pair of files. A borrowed session has its own of all three. Raises ``ConfigError``.
    """

    _elsewhere = "open a Hub of its own there; HubSettings can be handed over"

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession | None = None,
        settings: HubSettings | None = None,
        clock: Clock | None = None,
        on_undelivered: OnUndelivered = "warn",
        proxy: str | Concealed | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        client_cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    ) -> None:
        proxy = secret(proxy) if isinstance(proxy, str) else proxy  # masked where a traceback shows this frame
        if session is not None and (proxy, ca_file, client_cert) != (None, None, None):
            raise ConfigError("proxy, ca_file and client_cert are for the hub's own session; set them on the one given")
        if on_undelivered not in ("warn", "raise", "log"):
            raise ConfigError(f"on_undelivered must be 'warn', 'raise' or 'log', not {on_undelivered!r}")
        self.settings = settings or load(HubSettings)
        self.on_undelivered = on_undelivered
        self._network = Network.of(self.settings, proxy, ca_file, client_cert)
        self.clock = clock or SystemClock()
        self.state = HubState.NEW
        self.report: DrainReport | None = None
        self._session = session
        self._owns_session = session is None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._members: list[Member] = []
        self._attached: dict[Member, Attached] = {}
        self._endings: dict[Member, Ending[tuple[FlushReport | None, BaseException | None]]] = {}
        self._released: dict[str, FlushReport] = {}
        self._told = False
        self._where = caller()
        self._early: dict[str, Any] = {}  # accounts, before there is a loop
        self._closer: asyncio.Task[DrainReport] | None = None
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Hub {self.state.value}, {len(self._members)} connectors>"

    # -- opening -----------------------------------------------------------------------------------------------------

    async def open(self) -> Self:
        """Make the session. Raises ``HubClosed`` for a hub that has been closed; opening twice changes nothing.

        ``ConfigError`` for a CA file, a client certificate or a proxy of the environment that cannot be used.
        """
        if self.state is HubState.NEW:
            async with self._opening:  # reading certificates takes a while
                if self.state is HubState.NEW:
                    await self._open()
        if self.state in (HubState.DRAINING, HubState.CLOSED):
            raise HubClosed("this hub has been closed")
        return self

    async def _open(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._session is None:
            session = await open_session(self.settings, self._network)
            if self.state is not HubState.NEW:
                await session.close()
                return
            self._session = session
        elif self._session.closed:
            raise ConfigError("the session given to the hub is closed")
        self.state = HubState.OPEN

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- what connectors use -----------------------------------------------------------------------------------------

    @property
    def session(self) -> aiohttp.ClientSession:
        """The session, for use on this hub's loop. Raises ``HubNotOpen``, ``HubClosed`` or ``WrongLoop``."""
        self.check()
        if self._session is None or self._session.closed:
            raise HubClosed("the hub's session has been closed")
        return self._session

    def check(self) -> None:
        """Raise ``HubNotOpen``, ``HubClosed`` or ``WrongLoop`` if the hub cannot be used here and now."""
        if self.state is HubState.NEW:
            raise HubNotOpen("this hub is not open yet")
        if self.state is HubState.CLOSED:
            raise HubClosed("this hub is closed")
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:  # a thread without a loop
            here = False
        if not here:
            raise WrongLoop("this hub belongs to another event loop")

    def share(self, platform: str, credential: str, service: str, rates: Rates, places: int) -> tuple[Share, bool]:
        """What a ``service`` may use of the account that ``credential`` stands for, and whether that is so for good.

        The same for every connector of this loop, whatever its hub. Where no loop runs yet it is this hub's own; on the
        loop it becomes everybody's, or gives way to what is there already.
        """
        account = f"{platform}:{hashlib.sha256(credential.encode()).hexdigest()[:16]}"
        return share_of(platform, account, service, rates, places, clock=self.clock, user=self, early=self._early)

    def adopt(self, member: Member) -> None:
        """Take a connector in: it is drained when the hub closes. Raises ``HubClosed`` if that has begun."""
        if self.state in (HubState.DRAINING, HubState.CLOSED):
            raise HubClosed("this hub takes no new connectors")
        self._members.append(member)

    def release(self, member: Member, report: FlushReport | None = None) -> None:
        """A connector that has closed by itself, and what became of its records."""
        if self.state is HubState.DRAINING:
            return  # the hub closes it too, and has its report from there
        with suppress(ValueError):
            self._members.remove(member)
        self._attached.pop(member, None)
        self._endings.pop(member, None)
        self._remember(member, report)

    def attached(self, member: Member) -> Attached:
        """The buffers to be drained with ``member``, after its own ``drain``. Raises ``HubClosed`` once it has left."""
        if self.state is HubState.CLOSED or member not in self._members:
            raise HubClosed("its connector is closed")
        return self._attached.setdefault(member, Attached())

    async def finish(self, member: Member, timeout: float) -> FlushReport | None:
        """Drain ``member``, then what is attached to it, within ``timeout`` seconds together; one report of all.

        Goes through although the caller is cancelled meanwhile. Raises what its ``drain`` raises, after both. It is
        done once: who asks again, the hub itself when it closes, gets the same outcome.
        """
        report, problem = await self._finished(member, timeout)
        if problem is not None:
            raise problem
        return report

    async def _finished(self, member: Member, timeout: float) -> tuple[FlushReport | None, BaseException | None]:
        ending = self._endings.setdefault(member, Ending("asyncconn:drain", grace=3 * _GRACE))
        try:
            return await ending.reached(partial(self._finish, member), timeout)
        except TimeoutError as error:
            return None, error

    async def _finish(self, member: Member, timeout: float) -> tuple[FlushReport | None, BaseException | None]:
        started = self.clock.now()
        report: FlushReport | None = None
        problem: BaseException | None = None
        try:
            async with asyncio.timeout(timeout + _GRACE):
                report = await member.drain(timeout)
        except Exception as error:  # noqa: BLE001 - its buffers are drained all the same
            problem = error
        attached = self._attached.get(member)  # perhaps its drain was the first to need one
        if attached is not None:
            more, trouble = await attached.drain(max(0.0, timeout - (self.clock.now() - started)))
            problem = problem or trouble
            reports = [one for one in (report, more) if one is not None]
            report = FlushReport.joined(reports) if reports else None
        return report, problem

    def _remember(self, member: Member, report: FlushReport | None) -> None:
        if report is not None:
            name = member.platform.name
            self._released[name] = FlushReport.joined([self._released.get(name, FlushReport()), report])

    # -- the end -----------------------------------------------------------------------------------------------------

    async def aclose(self, timeout: float | None = None) -> DrainReport:
        """Stop every connector, drain them within ``timeout`` seconds in all, then close the session if it is ours.

        0 means now: what is not delivered is reported. Goes through although the caller is cancelled meanwhile.
        Idempotent: a second call gets the same report.

        Raises ``DeliveryFailed`` where ``on_undelivered`` is ``"raise"``, after everything is closed.
        """
        if self.report is not None:
            return self.report
        if self.state is HubState.NEW:
            self.state = HubState.CLOSED
            self.report = DrainReport()
            release_limiters(self)
            return self.report
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoop("this hub belongs to another event loop")
        limit = self.settings.shutdown_timeout if timeout is None else seconds("timeout", timeout)
        if self._closer is None:
            self.state = HubState.DRAINING
            self._closer = asyncio.get_running_loop().create_task(self._close(limit), name="asyncconn:hub:close")
        free = sys.exception() is None
        closing = asyncio.wait_for(self._closer, None)
        try:
            report = await drain_guard(closing, timeout=limit + 4 * _GRACE, name="asyncconn:hub")
        except BaseException:
            self._tell(free=False)
            raise
        self._tell(free=free)
        return report

    def _tell(self, *, free: bool) -> None:
        """Of losses that nobody has been told of, once; ``free`` to raise, as nothing else is being raised."""
        if self.report is None or self._told:
            return
        self._told = True
        lost = {name: report for name, report in self.report.reports.items() if _untold(report)}
        if not lost:
            return
        untold = [f for report in lost.values() for f in report.failures if not f.told and not f.spooled]
        last = f"; the last: {untold[-1].message}" if untold else ""
        whose = ", ".join(f"{name}: {_untold(report)}" for name, report in lost.items())
        message = f"the hub closed with {self.report.untold} lost records that nobody was told of ({whose}){last}"
        if self.on_undelivered == "raise" and free:
            records = newest([failure.records for failure in untold])
            raise DeliveryFailed(message, records=records, maybe_delivered=any(f.maybe_delivered for f in untold))
        if self.on_undelivered == "warn":
            try:
                warn(message, self._where)
            except UndeliveredWarning:  # where warnings are errors
                if free:
                    raise
            else:
                return
        logger.error("%s", message)

    async def _close(self, timeout: float) -> DrainReport:
        started = self.clock.now()
        members = list(self._members)
        try:
            # Who reads from somewhere stops before the first who writes drains: what came last is to arrive, too.
            stops = [asyncio.wait_for(member.stop(), timeout + _GRACE) for member in members]
            stopped = await asyncio.gather(*stops, return_exceptions=True)
            left = max(0.0, timeout - (self.clock.now() - started))
            finished = await asyncio.gather(*[self._finished(member, left) for member in members])
            reports: dict[str, FlushReport] = {}
            errors: dict[str, BaseException] = {}
            for number, member in enumerate(members):
                name = member.platform.name
                name = name if name not in {**reports, **errors} else f"{name}-{number}"
                delivered, problem = finished[number]
                for error in (stopped[number], problem):
                    if error is not None:
                        errors[name] = error
                        logger.error("closing %s failed: %s: %s", name, type(error).__name__, error)
                if delivered is not None:
                    reports[name] = delivered
            for name, report in self._released.items():
                reports[name if name not in {**reports, **errors} else f"{name}-closed"] = report
            await self._close_limiters(errors)
        finally:
            self._members.clear()
            self._attached.clear()
            self._endings.clear()
            if self._owns_session and self._session is not None:
                await self._session.close()
            self.state = HubState.CLOSED
        self.report = DrainReport(reports, errors, self.clock.now() - started)
        return self.report

    async def _close_limiters(self, errors: dict[str, BaseException]) -> None:
        for limiter in release_limiters(self):  # those that no other hub uses
            try:
                await limiter.aclose()
            except Exception as error:  # noqa: BLE001 - a quota store that fails must not keep the session open
                errors[limiter.name] = error
                logger.error("closing the limiter %s failed: %s", limiter.name, error)
