"""The hub: one aiohttp session for every connector, one limiter for every credential, one orderly end."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
from contextlib import AsyncExitStack, suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from asyncconn.core.buffer.unheard import caller
from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.durations import seconds
from asyncconn.core.rates.registry import release_limiters, share_of
from asyncconn.core.secret import Concealed, secret
from asyncconn.core.tasks import Ending
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.core.watching import Watching
from asyncconn.errors import ConfigError, HubClosed, HubNotOpen, WrongLoop
from asyncconn.http.session import Network, open_session
from asyncconn.http.traffic import Traffic
from asyncconn.settings import HubSettings, load

if TYPE_CHECKING:
    import os
    from types import TracebackType

    import aiohttp

    from asyncconn.core.buffer.attached import Attached
    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.core.rates.limiter import RateLimiter
    from asyncconn.core.rates.registry import Rates, Share
    from asyncconn.core.rates.shared import SharedRates
    from asyncconn.draining import Draining, DrainReport, Member, OnUndelivered
    from asyncconn.figures import HubFigures

__all__ = ["Hub", "HubState"]

logger = logging.getLogger("asyncconn.hub")


C_co = TypeVar("C_co", covariant=True)
C = TypeVar("C")


class FromEnv(Protocol[C_co]):
    """A class of connectors, as far as a hub knows it."""

    def from_env(self, *, hub: Hub, **options: Any) -> C_co:
        """A connector of what the environment says."""
        ...


class HubState(Enum):
    """NEW, then OPEN, then DRAINING while connectors deliver what they hold, then CLOSED for good."""

    NEW = "new"
    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"


_OPEN = HubState.OPEN


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

    ``shared_rates`` keeps the rates of every credential together with those of other processes, in a store that they
    share: ``asyncconn.integrations.redis.RedisRates``.
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
        shared_rates: SharedRates | None = None,
    ) -> None:
        proxy = secret(proxy) if isinstance(proxy, str) else proxy  # masked where a traceback shows this frame
        if session is not None and (proxy, ca_file, client_cert) != (None, None, None):
            raise ConfigError("proxy, ca_file and client_cert are for the hub's own session; set them on the one given")
        if on_undelivered not in ("warn", "raise", "log"):
            raise ConfigError(f"on_undelivered must be 'warn', 'raise' or 'log', not {on_undelivered!r}")
        self.settings = settings or load(HubSettings)
        self.on_undelivered = on_undelivered
        #: Whom it trusts, and which way out it takes: for connections that are not its session's.
        self.network = Network.of(self.settings, proxy, ca_file, client_cert)
        self.clock = clock or SystemClock()
        self.state = HubState.NEW
        #: What went over the road so far, by route.
        self.traffic = Traffic()
        #: Who follows the work of its connectors, such as `instrument` of the OpenTelemetry integration.
        self.watching = Watching()
        self.report: DrainReport | None = None
        self._shared_rates = shared_rates
        self._session = session
        self._owns_session = session is None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._members: list[Member] = []
        self._connectors: dict[Any, Any] = {}  # those that were asked for by their class
        self._draining: Draining | None = None
        self._last_figures: HubFigures | None = None  # once it is closed
        self._told = False
        self._where = caller()
        self._early: dict[str, Any] = {}  # accounts, before there is a loop
        self._ending: Ending[DrainReport] | None = None
        self._opening = asyncio.Lock()
        #: Connectors that readiness() asks still, though nobody waits any more; by the task that asks.
        self._late: dict[asyncio.Task[Any], Any] = {}

    def __repr__(self) -> str:
        number = len(self._members)
        return f"<Hub {self.state.value}, {number} connector{'' if number == 1 else 's'}>"

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
        if self._session is not None and self._session.closed:
            raise ConfigError("the session given to the hub is closed")
        async with AsyncExitStack() as opened:
            if self._shared_rates is not None:
                await self._shared_rates.open()
                opened.push_async_callback(self._shared_rates.aclose)
            session = self._session
            if session is None:
                session = await open_session(self.settings, self.network)
                opened.push_async_callback(session.close)
            if self.state is HubState.NEW:  # it may have been closed meanwhile
                self._session, self.state = session, HubState.OPEN
                opened.pop_all()

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

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that it belongs to; None before it is open."""
        return self._loop

    def check(self) -> None:
        """Raise ``HubNotOpen``, ``HubClosed`` or ``WrongLoop`` if the hub cannot be used here and now."""
        if self.state is not _OPEN:  # each call asks: a member of an enum costs more to find than all the rest
            if self.state is HubState.NEW:
                raise HubNotOpen("this hub is not open yet")
            if self.state is HubState.CLOSED:
                raise HubClosed("this hub is closed")
        self.check_loop()

    def check_loop(self) -> None:
        """Raise ``WrongLoop`` elsewhere than on the loop that opened the hub; before that it has none."""
        try:
            here = self._loop in (None, asyncio.get_running_loop())
        except RuntimeError:  # a thread without a loop
            here = False
        if not here:
            raise WrongLoop("this hub belongs to another event loop")

    def share(self, platform: str, credential: str, service: str, rates: Rates, places: int) -> tuple[Share, bool]:
        """What a ``service`` may use of the account that ``credential`` stands for, and whether that is so for good.

        The same for every connector of this loop, whatever its hub. Where no loop runs yet it is this hub's own; on the
        loop it becomes everybody's, or gives way to what is there already.
        """
        if self._shared_rates is not None:
            rates = self._shared_rates.share(platform, credential, rates)
        account = f"{platform}:{hashlib.sha256(credential.encode()).hexdigest()[:16]}"
        return share_of(platform, account, service, rates, places, clock=self.clock, user=self, early=self._early)

    def adopt(self, member: Member) -> None:
        """Take a connector in: it is drained when the hub closes. Raises ``HubClosed`` if that has begun."""
        if self.state in (HubState.DRAINING, HubState.CLOSED):
            raise HubClosed("this hub takes no new connectors")
        self._members.append(member)

    def connector(self, kind: type[FromEnv[C]], **options: Any) -> C:
        """This hub's connector of that class, made ``from_env`` when it is first asked for, and drained as others are.

        With ``options``, which ``from_env`` takes, it is the one that was made with the same. After one that has closed
        by itself there is a new one.

        For work that is given a hub, and has to find what it needs there: many pieces of it have one client.

            >>> async def jobs_of(hub: Hub, stream_id: int) -> AsyncIterator[dict[str, Any]]:
            ...     async for job in hub.connector(Datorama).jobs.list(stream_id):
            ...         yield job.raw
        """
        key = kind, tuple(sorted(options.items()))
        made: C | None = self._connectors.get(key)
        if made is None:
            made = self._connectors[key] = kind.from_env(hub=self, **options)
        return made

    def release(self, member: Member, report: FlushReport | None = None) -> None:
        """A connector that has closed by itself, and what became of its records."""
        if self.state is HubState.DRAINING:
            return  # the hub closes it too, and has its report from there
        with suppress(ValueError):
            self._members.remove(member)
        self._connectors = {key: made for key, made in self._connectors.items() if made is not member}
        self._drains().leave(member, report)

    def attached(self, member: Member) -> Attached:
        """The buffers to be drained with ``member``, after its own ``drain``. Raises ``HubClosed`` once it has left."""
        if self.state is HubState.CLOSED or member not in self._members:
            raise HubClosed("its connector is closed")
        return self._drains().attached(member)

    async def finish(self, member: Member, timeout: float) -> FlushReport | None:
        """Drain ``member`` and what is attached to it, once; see :meth:`Draining.finish`."""
        return await self._drains().finish(member, timeout)

    @property
    def connectors(self) -> tuple[Member, ...]:
        """Those that it will drain and close, in the order in which they were made."""
        return tuple(self._members)

    def figures(self) -> HubFigures:
        """What its connectors hold, wait for and listen to at this moment; once it is closed, what it came to.

        Raises ``WrongLoop`` elsewhere than on the hub's loop, while that runs.
        """
        if self._last_figures is not None:
            return self._last_figures
        if self.state in (_OPEN, HubState.DRAINING) and self._loop is not None and self._loop.is_running():
            self.check()
        return self._drains().figures(self, self._members)

    def _drains(self) -> Draining:
        if self._draining is None:
            from asyncconn.draining import Draining

            self._draining = Draining(self.clock)
        return self._draining

    # -- the end -----------------------------------------------------------------------------------------------------

    async def aclose(self, timeout: float | None = None) -> DrainReport:
        """Stop every connector, drain them within ``timeout`` seconds in all, then close the session if it is ours.

        0 means now: what is not delivered is reported. Goes through although the caller is cancelled meanwhile.
        Idempotent: a second call gets the same report.

        Raises ``DeliveryFailed`` where ``on_undelivered`` is ``"raise"``, after everything is closed; ``TimeoutError``
        where a connector goes on although it was cancelled.
        """
        if self.report is not None:
            return self.report
        from asyncconn.draining import GRACE, DrainReport

        if self.state is HubState.NEW:
            self.state = HubState.CLOSED
            self.report = DrainReport()
            release_limiters(self)
            return self.report
        self.check_loop()
        limit = self.settings.shutdown_timeout if timeout is None else seconds("timeout", timeout)
        if self._ending is None:
            self.state = HubState.DRAINING
            self._ending = Ending("asyncconn:hub:close", grace=4 * GRACE)
        free = sys.exception() is None
        try:
            report = await self._ending.reached(self._close, limit)
        except BaseException:
            self._tell(free=False)
            raise
        self._tell(free=free)
        return report

    def _tell(self, *, free: bool) -> None:
        from asyncconn.draining import tell

        if self.report is not None and not self._told:
            self._told = True
            tell(self.report, self.on_undelivered, self._where, free=free)

    async def _close(self, timeout: float) -> DrainReport:
        from asyncconn.draining import DrainReport

        started, drains, members = self.clock.now(), self._drains(), list(self._members)
        report: DrainReport | None = None
        try:
            reports, errors = await drains.all_of(members, timeout)
            report = DrainReport(reports, errors, self.clock.now() - started)
            await self._close_limiters(errors)
        finally:
            if report is None:  # whatever happened, it tells of records that are lost
                report = drains.so_far(members)
            self._last_figures = self.figures()
            self._members.clear()
            self._connectors.clear()
            self._draining = None
            try:
                if self._owns_session and self._session is not None:
                    await self._session.close()
                if self._shared_rates is not None:
                    await self._shared_rates.aclose()
            finally:
                self.state = HubState.CLOSED
                self.report = report
        return report

    async def _close_limiters(self, errors: dict[str, BaseException]) -> None:
        limiters = release_limiters(self)  # those that no other hub uses
        closing = [_close_limiter(limiter) for limiter in limiters]
        for limiter, error in zip(limiters, await asyncio.gather(*closing, return_exceptions=True), strict=True):
            if error is not None:  # a quota store that fails must not keep the session open
                errors[limiter.name] = error
                logger.error("closing the limiter %s failed: %s", limiter.name, error)


async def _close_limiter(limiter: RateLimiter) -> None:
    from asyncconn.draining import GRACE

    try:
        async with asyncio.timeout(GRACE) as limit:
            await limiter.aclose()
    except TimeoutError as error:
        if limit.expired():
            raise TimeoutError(f"it did not end within {GRACE:g} s") from error
        raise
