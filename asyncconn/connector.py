"""The base class of every platform client, ours and yours: a spec, a credential, one transport, one orderly end."""

from __future__ import annotations

import asyncio
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from asyncconn.core.durations import seconds
from asyncconn.core.rates.registry import Rates, Share, early_share
from asyncconn.core.retrying import RetryPolicy
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError
from asyncconn.http.auth import Auth, NoAuth, TokenAuth
from asyncconn.http.rules import MemberRules, PlainRules, RateHeaders, Rules
from asyncconn.http.transport import Timeouts, Transport
from asyncconn.hub import Hub
from asyncconn.settings import variable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from types import TracebackType

    from asyncconn.core.buffer.figures import BufferFigures
    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.core.rates.limiter import RateSnapshot
    from asyncconn.core.supervise import StreamFigures
    from asyncconn.health import Check, ReadinessPolicy
    from asyncconn.http.redact import Redactor

__all__ = ["Connector", "Platform"]

_GRACE = 5.0  # seconds beyond the time to close that a stop() has


@dataclass(frozen=True, slots=True)
class Platform:
    """What a connector's author knows of a platform. Nothing of it can be changed afterwards.

        >>> Platform("acme", base_url="https://api.acme.example", rates=Window(20, 1.0), did_nothing={503}).name
        'acme'

    ``rates`` limit each account: a part, several that hold together, or a mapping from the name that a request gives as
    ``limit`` to either (``"default"`` holds for all other calls). Each part is made anew for each credential; one that
    stands in several places of the mapping stays one. ``max_concurrency`` bounds an account's requests under way,
    ``max_pause`` the seconds that a server's Retry-After may hold it.

    An answer means what HTTP says, and beyond that: ``error_at`` names the member of a 2xx JSON object that means an
    error, ``did_nothing`` the statuses that surely did nothing (``NotDone``: repeated whatever the call is),
    ``headers_tell`` the headers with what is left of a limit. ``rules`` say it in code, instead of these three.

    An account is a base URL and a credential; with ``one_account`` the credential alone decides, and a 429 holds all of
    the account's services. Without ``cookies`` none are sent or kept. Raises ``ConfigError``.
    """

    name: str
    _: KW_ONLY
    base_url: str = ""
    rates: Rates = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeouts: Timeouts = field(default_factory=Timeouts)
    rules: Rules | None = None
    error_at: str = ""
    did_nothing: Collection[int] = frozenset()
    headers_tell: RateHeaders | None = None
    max_concurrency: int = 10
    max_pause: float = 3600.0
    cookies: bool = True
    one_account: bool = False

    def __post_init__(self) -> None:
        name: object = self.name
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"a platform's name is a text that is not empty, not {name!r}")
        if isinstance(self.rates, dict):
            object.__setattr__(self, "rates", MappingProxyType(dict(self.rates)))
        object.__setattr__(self, "did_nothing", frozenset(self.did_nothing))
        if self.error_at or self.did_nothing or self.headers_tell is not None:
            if self.rules is not None:
                raise ConfigError(f"{self.name}: rules say it all: leave out error_at, did_nothing and headers_tell")
            made = MemberRules(error_at=self.error_at, did_nothing=self.did_nothing, headers_tell=self.headers_tell)
            object.__setattr__(self, "rules", made)


class Connector(Unpicklable):
    """A client of one platform. Subclass it, say what is known of the platform, and use ``self.http``.

        >>> class Weather(Connector):
        ...     platform = Platform("weather", base_url="https://api.weather.example", rates=Window(60, 60.0))
        ...     async def today(self, city: str) -> dict:
        ...         return await self.http.call("GET", f"/today/{city}")

    With ``hub=`` it shares that hub's session; without one it makes a private hub, opened by ``async with`` and closed
    with it. What limits its account it shares with every connector of the loop that has the same platform, address and
    credential. ``rates``, ``retry``, ``timeouts`` and ``max_concurrency`` replace the platform's for this client.
    """

    _elsewhere = "make another one there: with from_env(), or with the arguments of this one"

    platform: ClassVar[Platform]

    def __init__(
        self,
        *,
        hub: Hub | None = None,
        base_url: str | None = None,
        auth: Auth | None = None,
        rates: Rates = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        max_concurrency: int | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        platform: object = getattr(self, "platform", None)
        if not isinstance(platform, Platform):
            raise ConfigError(f"{type(self).__name__} must have a platform: platform = Platform(name, ...)")
        self._owns_hub = hub is None
        self.hub = hub or Hub()
        self._drained = False
        self._flushed: FlushReport | None = None
        self._base_url = (base_url or platform.base_url).rstrip("/")  # however it is written, it is one address
        self._rates = platform.rates if rates is None else rates
        self._retry = retry or platform.retry
        self._timeouts = timeouts or platform.timeouts
        self._places = platform.max_concurrency if max_concurrency is None else max_concurrency
        self.http = self.transport(auth, redactor=redactor)
        self.hub.adopt(self)

    def transport(
        self,
        auth: Auth | None = None,
        *,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        redactor: Redactor | None = None,
        rules: Rules | None = None,
    ) -> Transport:
        """Another transport like ``self.http``: for a second credential, or another service of the same platform.

        With the same credential it is the same account, whatever its ``base_url``: the limits hold for both together.
        All transports of a client share its places and its events. ``headers`` go along with each of its requests;
        ``rules`` are for a service whose answers have a meaning of their own.
        """
        auth = auth or NoAuth()
        platform, hub = self.platform, self.hub
        address = (base_url or self._base_url).rstrip("/")
        early: list[Share] = []

        def share() -> tuple[Share, bool]:
            identity = auth.identity()
            if identity is not None:
                credential = identity if platform.one_account else f"{self._base_url}\n{identity}"
                return hub.share(platform.name, credential, address, self._rates, self._places)
            if not early:  # nothing goes through this one: the first call learns who asks
                early.append(early_share(platform.name, hub.clock, self._rates, self._places))
            return early[0], False

        made = Transport(
            lambda: hub.session,
            service=platform.name,
            base_url=address,
            auth=auth,
            headers=headers,
            limiters=share,
            owner=hub,
            max_pause=platform.max_pause,
            one_account=platform.one_account,
            retry=self._retry,
            timeouts=self._timeouts,
            rules=rules or platform.rules or PlainRules(),
            redactor=redactor,
            max_concurrency=self._places,
            clock=hub.clock,
            cookies=platform.cookies,
            traffic=hub.traffic,
            watching=hub.watching,
        )
        if (first := getattr(self, "http", None)) is not None:
            made.join(first)
        return made

    @classmethod
    def from_env(cls, *, prefix: str | None = None, hub: Hub | None = None, **options: Any) -> Self:
        """From the variables ``PREFIX_URL`` and ``PREFIX_TOKEN``, in the environment or ``.env``.

        ``prefix`` is by default the platform's name in capitals. ``options`` are the constructor's; a ``base_url`` or
        ``auth`` among them is not looked for. A constructor of your own is called with these two and ``hub``: it takes
        ``**options``, or its class has a ``from_env`` of its own. Raises ``ConfigError`` naming the variable that is
        missing.
        """
        prefix = cls.platform.name.upper().replace("-", "_") if prefix is None else prefix.rstrip("_")
        if "base_url" not in options:
            url = variable(f"{prefix}_URL") or cls.platform.base_url
            if not url:
                raise ConfigError(f"the variable {prefix}_URL is not set: it is the platform's address")
            options["base_url"] = url
        if "auth" not in options:
            token = variable(f"{prefix}_TOKEN")
            if not token:
                raise ConfigError(f"the variable {prefix}_TOKEN is not set: it is the token, or give auth=")
            options["auth"] = TokenAuth(token)
        return cls(hub=hub, **options)

    @property
    def rate(self) -> RateSnapshot:
        """The default limiter's books. ``ConfigError`` if this connector has none."""
        limiter = self.http.limiters.get("default")
        if limiter is None:
            raise ConfigError(f"{self.platform.name} has no default rate limit")
        return limiter.snapshot()

    def figures(self) -> Iterable[BufferFigures | StreamFigures]:
        """What can be read of buffers that it drains itself, and of connections that it keeps up; see ``Hub.figures``.

        >>> def figures(self) -> Iterable[BufferFigures | StreamFigures]:
        ...     return [BufferFigures("acme", self._buffer.stats)]
        """
        return ()

    async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
        """What else has to be well for this client to be of use, for :func:`asyncconn.readiness`: by default nothing.

        What :meth:`figures` and the rates say is seen without it. It has ``policy.timeout`` seconds to answer.

            >>> async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
            ...     return [Check.of("acme login", "" if await self.logged_in() else "the session is over")]
        """
        return ()

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

    async def stop(self) -> None:
        """Take nothing in any more, for connectors that read from somewhere: what came is still to be delivered.

        The hub stops all of its connectors before it drains the first.
        """

    async def drain(self, timeout: float) -> FlushReport | None:
        """Deliver what was accepted, and take no more. For connectors that hold records; called once by the hub."""
        return None

    async def aclose(self, timeout: float | None = None) -> FlushReport | None:
        """Stop, drain within ``timeout`` seconds and leave the hub; a private hub is closed. Idempotent."""
        if self._owns_hub:
            report = await self.hub.aclose(timeout)
            for error in report.errors.values():
                raise error
            return report.reports.get(self.platform.name)
        if not self._drained:
            self.hub.check_loop()  # what is begun elsewhere would be the end for good
            limit = self.hub.settings.shutdown_timeout if timeout is None else seconds("timeout", timeout)
            started = self.hub.clock.now()
            problem: BaseException | None = None
            try:
                async with asyncio.timeout(limit + _GRACE):
                    await self.stop()
            except BaseException as error:  # noqa: BLE001 - raised below: what was accepted is delivered first
                problem = error
            flushed = await self.hub.finish(self, max(0.0, limit - (self.hub.clock.now() - started)))
            if not self._drained:  # or another who closes it has been quicker
                self._drained, self._flushed = True, flushed
                self.hub.release(self, flushed)
            if problem is not None:
                raise problem
        return self._flushed
