"""The base class of every platform client, ours and yours: credential, limits, one transport, one orderly end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Self

from asyncconn.core.durations import seconds
from asyncconn.core.rates.registry import made_limiters
from asyncconn.core.retrying import RetryPolicy
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError
from asyncconn.http.auth import Auth, NoAuth
from asyncconn.http.rules import PlainRules, Rules
from asyncconn.http.transport import Timeouts, Transport
from asyncconn.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.core.rates.limiter import RateLimiter, RateSnapshot
    from asyncconn.core.rates.windows import Part
    from asyncconn.http.redact import Redactor

__all__ = ["Connector"]


class Connector(Unpicklable):
    """A client of one platform. Subclass it, name the platform, and use ``self.http``.

        >>> class Weather(Connector):
        ...     platform = "weather"
        ...     base_url = "https://api.weather.example"
        ...     @classmethod
        ...     def limits(cls):
        ...         return {"default": [Window(60, 60.0)]}
        ...     async def today(self, city: str) -> dict:
        ...         return (await self.http.request("GET", f"/today/{city}")).json()

    With ``hub=`` it shares that hub's session; without one it makes a private hub, opened by ``async with`` and closed
    with it. The limiters of its credential it shares with every connector of the loop that has the same platform,
    address and credential. ``max_pause`` bounds the seconds that a server's Retry-After may hold them all.
    """

    elsewhere = "make another one there: with from_env() where it has that, or with the arguments of this one"

    platform: ClassVar[str] = ""
    base_url: ClassVar[str] = ""
    retry: ClassVar[RetryPolicy] = RetryPolicy()
    timeouts: ClassVar[Timeouts] = Timeouts()
    rules: ClassVar[Rules] = PlainRules()
    max_concurrency: ClassVar[int] = 10
    max_pause: ClassVar[float] = 3600.0
    cookies: ClassVar[bool] = True

    def __init__(
        self,
        *,
        hub: Hub | None = None,
        base_url: str | None = None,
        auth: Auth | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        max_concurrency: int | None = None,
        redactor: Redactor | None = None,
        limits: Callable[[], Mapping[str, Sequence[Part]]] | None = None,
    ) -> None:
        if not self.platform:
            raise ConfigError(f"{type(self).__name__} must name its platform")
        auth = auth or NoAuth()
        self._owns_hub = hub is None
        self.hub = hub or Hub()
        self._drained = False
        self._flushed: FlushReport | None = None
        self._base_url = base_url or self.base_url
        self._retry = retry or self.retry
        self._timeouts = timeouts or self.timeouts
        self._max_concurrency = self.max_concurrency if max_concurrency is None else max_concurrency
        self.http = self.transport(auth, limits=limits, redactor=redactor)
        self.hub.adopt(self)

    def transport(
        self,
        auth: Auth,
        *,
        base_url: str | None = None,
        limits: Callable[[], Mapping[str, Sequence[Part]]] | None = None,
        redactor: Redactor | None = None,
        rules: Rules | None = None,
    ) -> Transport:
        """Another transport like ``self.http``: for a second credential, or a second host of the same platform.

        It has the limiters of its own credential and address, shared by all of this loop. ``limits`` makes them, where
        the class's own are not meant; ``rules`` are for a host whose answers have a meaning of their own.
        """
        address = (base_url or self._base_url).rstrip("/")  # however it is written, it is one address
        build = limits or self.limits
        early: dict[str, RateLimiter] = {}

        def account() -> tuple[Mapping[str, RateLimiter], bool]:
            identity = auth.identity()
            if identity is not None:
                return self.hub.limiters(self.platform, f"{address}\n{identity}", build), _on_a_loop()
            if not early:  # nothing goes through these: the first call learns who asks
                early.update(made_limiters(self.platform, self.platform, self.hub.clock, build()))
            return early, False

        made = Transport(
            lambda: self.hub.session,
            service=self.platform,
            base_url=address,
            auth=auth,
            limiters=account,
            owner=self.hub,
            max_pause=self.max_pause,
            retry=self._retry,
            timeouts=self._timeouts,
            rules=rules or self.rules,
            redactor=redactor,
            max_concurrency=self._max_concurrency,
            clock=self.hub.clock,
            cookies=self.cookies,
        )
        first: Transport | None = getattr(self, "http", None)
        if first is not None and first.base_url == made.base_url:
            made.join(first)  # who listens there, or bounds it, means all its calls, whichever credential makes them
        return made

    @classmethod
    def limits(cls) -> Mapping[str, Sequence[Part]]:
        """The platform's limits, by the name that a request gives as ``limit``; ``"default"`` holds for all others."""
        return {}

    @property
    def name(self) -> str:
        """What reports and logs call it."""
        return self.platform

    @property
    def rate(self) -> RateSnapshot:
        """The default limiter's books. ``ConfigError`` if this connector has none."""
        limiter = self.http.limiters.get("default")
        if limiter is None:
            raise ConfigError(f"{self.platform} has no default rate limit")
        return limiter.snapshot()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.http.base_url}>"

    async def open(self) -> Self:
        """Get ready, where there is something to get ready. ``async with`` and ``hub_lifespan`` call it.

        Otherwise the first call does what is needed. A private hub is opened too. Twice changes nothing.
        """
        if self._owns_hub:
            await self.hub.open()
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def drain(self, timeout: float) -> FlushReport | None:
        """Deliver what was accepted, and take no more. For connectors that hold records; called once by the hub."""
        return None

    async def aclose(self, timeout: float | None = None) -> FlushReport | None:
        """Drain within ``timeout`` seconds and leave the hub; a private hub is closed. Idempotent."""
        if self._owns_hub:
            report = await self.hub.aclose(timeout)
            for error in report.errors.values():
                raise error
            return report.reports.get(self.name)
        if not self._drained:
            limit = self.hub.settings.shutdown_timeout if timeout is None else seconds("timeout", timeout)
            flushed = await self.drain(limit)
            if not self._drained:  # or another who closes it has been quicker
                self._drained, self._flushed = True, flushed
                self.hub.release(self, flushed)
        return self._flushed


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
