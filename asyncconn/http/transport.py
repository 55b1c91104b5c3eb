"""The one road to the network: permit, place, attempt, answer, retry, for every HTTP call of every connector."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import aiohttp

from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.events import Events
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import AsyncConnError, ConfigError, LifecycleError, ProtocolError, RateLimited, Unauthorized
from asyncconn.http.auth import Auth, NoAuth
from asyncconn.http.compressed import decoded
from asyncconn.http.exchange import Body, Call, Exchange, Road
from asyncconn.http.outgoing import Outgoing, build, check_headers, checked_base
from asyncconn.http.redact import Redactor
from asyncconn.http.response import Response, status_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
    from types import TracebackType

    from pydantic import SecretStr

    from asyncconn.core.ratelimit import RateLimiter

__all__ = ["PlainRules", "RateHint", "Rules", "Stream", "Timeouts", "Transport"]

logger = logging.getLogger("asyncconn.http")

T = TypeVar("T")

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_PAUSE = 1.0  # seconds that all callers hold after a 429 that names no time


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds for one attempt.

    ``connect`` for the socket and TLS; ``total`` to have the whole answer, looking up the name and waiting for a pooled
    connection included; ``place`` to wait for one of the connector's concurrent places; ``rate`` to wait for the rate
    limit. The last two are not part of the others.
    """

    connect: float = 10.0
    total: float = 30.0
    place: float = 60.0
    rate: float = 3600.0


@dataclass(frozen=True, slots=True)
class RateHint:
    """What an answer's headers say of one part of a limiter: ``remaining`` calls, ``reset_after`` seconds."""

    part: str
    remaining: int | None = None
    reset_after: float | None = None


class Rules(Protocol):
    """What a platform adds to the transport; pure functions of its wire layer."""

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """The error an answer means, or None."""
        ...

    def hints(self, response: Response) -> Iterable[RateHint]:
        """What its headers say of the rate limits."""
        ...


class PlainRules:
    """Statuses mean what HTTP says; no hints."""

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """See :func:`asyncconn.http.response.status_error`."""
        return status_error(response, redactor)

    def hints(self, response: Response) -> Iterable[RateHint]:
        """None."""
        return ()


class Transport:
    """Sends a connector's requests over the hub's session, under its limiter, retry policy, timeouts and redaction.

    Events: ``attempt`` (the :class:`Response` of each attempt that got an answer) and ``retry`` (the error that
    caused it).

    All errors are of :mod:`asyncconn.errors`: ``ConfigError`` for a bad URL or body, ``NotSent`` and ``MaybeSent``
    for the network, what ``rules`` make of the answer, ``ProtocolError`` for a redirect or an answer beyond
    ``max_answer_bytes``.

    A hub's own session keeps no cookies; without ``cookies`` the jar of a borrowed one stays out of it, too.
    """

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        *,
        platform: str,
        base_url: str,
        auth: Auth | None = None,
        limiters: Mapping[str, RateLimiter] | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        rules: Rules | None = None,
        redactor: Redactor | None = None,
        max_concurrency: int = 10,
        max_answer_bytes: int = 64 * 1024 * 1024,
        clock: Clock | None = None,
        cookies: bool = True,
    ) -> None:
        if max_concurrency < 1:
            raise ConfigError(f"{platform}: max_concurrency must be at least 1, not {max_concurrency}")
        self.platform = platform
        self.base_url = checked_base(base_url, platform)
        self.retry = retry or RetryPolicy()
        self.timeouts = timeouts or Timeouts()
        self.limiters = dict(limiters or {})
        self.events = Events("attempt", "retry")
        self._auth = auth or NoAuth()
        self._anonymous = type(self._auth) is NoAuth
        self._rules = rules or PlainRules()
        self._given_redactor = redactor
        self._own_redactor = Redactor()
        self._known_secrets: list[SecretStr] = []
        self._by_part: dict[str, list[RateLimiter]] = {}
        self._max_answer_bytes = max_answer_bytes
        self._cookies = cookies
        self._clock = clock or SystemClock()
        self._road = Road(session, asyncio.Semaphore(max_concurrency), self.timeouts.place, self._clock)

    @property
    def redactor(self) -> Redactor:
        """Knows every secret that this transport has used lately."""
        if self._given_redactor is not None:
            return self._given_redactor
        if self._anonymous:
            return self._own_redactor
        secrets = self._auth.secrets()
        if secrets != self._known_secrets:  # tokens change now and then
            self._own_redactor, self._known_secrets = Redactor(secrets), secrets
        return self._own_redactor

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Body = None,
        headers: Mapping[str, str] | None = None,
        limit: str = "default",
        cost: int = 1,
        max_wait: float | None = None,
        idempotent: bool | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> Response:
        """One call, answered completely; the :class:`Response` of its last attempt.

        ``path`` is appended to the base URL, already percent-encoded. Of ``params``, None is left out, a bool becomes
        ``true`` or ``false``, a date or time ISO 8601, an Enum its value, and a list repeats its name; what means
        nothing in a query is refused. ``json`` is encoded as the body (every digit as it is; NaN is refused), or
        ``data`` is the body: bytes, a form, or a function that makes a form or a stream anew for each attempt (an
        upload that may have to be repeated must be such a function). ``limit`` names the limiter, ``cost`` what the
        call counts there, ``max_wait`` the seconds to wait for it at most (by default ``timeouts.rate``).
        ``idempotent`` says whether a repetition is harmless (by default what the method implies), ``timeout`` replaces
        the total seconds of each attempt.
        """
        call = await self._call(method, path, params, json, data, headers, limit, cost, max_wait)
        self._time(call, self.timeouts.total if timeout is None else timeout)
        return await self._renewing(call, self._attempt, retry, idempotent)

    async def repeat(self, attempt: Callable[[], Awaitable[T]], *, idempotent: bool) -> T:
        """Run an attempt that is more than one request (or goes another way) under this transport's retry policy."""
        return await self.retry.run(
            attempt,
            idempotent=idempotent,
            clock=self._clock,
            on_retry=lambda error, wait: self._retrying("repeated", error, wait),
        )

    async def _renewing(
        self, call: Call, attempt: Callable[[Call], Awaitable[T]], retry: RetryPolicy | None, idempotent: bool | None
    ) -> T:
        """Run the attempts of a call; after a 401 once more, if there is a newer token to show."""
        policy = retry or self.retry
        harmless = call.method in IDEMPOTENT if idempotent is None else idempotent
        call.repeatable = policy.repeats_unknown(idempotent=harmless)
        started = self._clock.now()
        try:
            return await attempt(call)
        except AsyncConnError as error:
            first = error

        async def run(failed: tuple[AsyncConnError, float] | None) -> T:
            try:
                return await policy.run(
                    lambda: attempt(call),
                    idempotent=harmless,
                    clock=self._clock,
                    not_counted=lambda: call.waited,
                    on_retry=lambda error, wait: self._retrying(f"{call.method} {call.path}", error, wait),
                    failed=failed,
                )
            except AsyncConnError as error:
                error.maybe_sent = error.maybe_sent or call.resent
                raise

        try:
            return await run((first, started))
        except Unauthorized as refused:
            # A 401 was not carried out, so one more try with a newer token is harmless whatever the call is.
            if not await self._auth.renew(call.auth):
                raise
            unknown = refused.maybe_sent
        call.auth = await self._auth.headers()
        try:
            return await run(None)
        except AsyncConnError as error:
            error.maybe_sent = error.maybe_sent or unknown
            raise

    async def _attempt(self, call: Call) -> Response:
        started = self._clock.now() - call.waited
        async with Exchange(self._road, call) as answer:
            body = await self._read(call, answer)
        seconds = self._clock.now() - call.waited - started
        response = Response(self.platform, call.method, call.path, answer.status, answer.headers, body, seconds)
        self._observe(call, response)
        return response

    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        data: Body = None,
        headers: Mapping[str, str] | None = None,
        limit: str = "default",
        cost: int = 1,
        max_wait: float | None = None,
        idempotent: bool | None = None,
        idle_timeout: float = 60.0,
        retry: RetryPolicy | None = None,
    ) -> Stream:
        """A download that is not held in memory: ``async with transport.stream(...) as s: async for chunk in s: ...``.

        Opening is retried like a request; once open it may last as long as chunks come within ``idle_timeout`` seconds.
        """

        async def opened() -> tuple[Exchange, aiohttp.ClientResponse]:
            call = await self._call(method, path, params, json, data, headers, limit, cost, max_wait)
            self._time(call, None, idle_timeout)
            return await self._renewing(call, self._open, retry, idempotent)

        return Stream(opened)

    async def _open(self, call: Call) -> tuple[Exchange, aiohttp.ClientResponse]:
        exchange = Exchange(self._road, call)
        async with exchange as answer:
            opened = 200 <= answer.status < 300
            body = b"" if opened else await self._read(call, answer)
            response = Response(self.platform, call.method, call.path, answer.status, answer.headers, body)
            if opened:
                self._learn(call, response)
                exchange.keep()
                return exchange, answer
        self._observe(call, response)
        raise ProtocolError(f"{self.platform}: {call.method} {call.path} answered {answer.status}, not a stream")

    # -- one attempt -------------------------------------------------------------------------------------------------

    async def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        json: Any,
        data: Body,
        headers: Mapping[str, str] | None,
        limit: str,
        cost: int,
        max_wait: float | None,
    ) -> Call:
        made = self._outgoing(method, path, params=params, json=json, data=data, headers=headers)
        limiter = self.limiters.get(limit)
        if limiter is None and limit != "default":
            raise ConfigError(
                f"{self.platform} has no rate limit {limit!r}: it has {', '.join(self.limiters) or 'none'}"
            )
        wait = self.timeouts.rate if max_wait is None else max_wait
        auth = {} if self._anonymous else await self._auth.headers()
        if auth:
            check_headers(auth)
        shown = self.redactor.scrub(made.url.path)
        call = Call(self.platform, made.method, made.url, shown, made.body, made.headers, auth, limiter, cost, wait)
        call.cookies = self._cookies
        return call

    def _outgoing(self, method: str, path: str, **given: Any) -> Outgoing:
        try:
            return build(self.base_url, method, path, **given)
        except ConfigError as error:
            words = error.message
        raise ConfigError(self.redactor.scrub(f"{self.platform}: {words}"))  # out here, it has no context to quote from

    def _time(self, call: Call, total: float | None, idle: float | None = None) -> None:
        connect = self.timeouts.connect
        if total is not None:
            connect = min(connect, 0.9 * total)  # so that who could not connect hears that nothing was sent
        call.timeout = _client_timeout(total, connect, idle)

    async def _read(self, call: Call, answer: aiohttp.ClientResponse) -> bytes:
        limit = self._max_answer_bytes
        length = answer.content_length
        if length is not None and length <= limit and "Content-Encoding" not in answer.headers:
            return await answer.read()
        pieces: list[bytes] = []
        size = 0
        async with aclosing(decoded(answer, call.what)) as found:
            async for piece in found:
                size += len(piece)
                if size > limit:
                    raise ProtocolError(f"{self.platform}: the answer is larger than max_answer_bytes ({limit})")
                pieces.append(piece)
        return b"".join(pieces)

    def _observe(self, call: Call, response: Response) -> None:
        """Learn from a complete answer, and raise the error it means if it means one."""
        self._learn(call, response)
        error = self._rules.error(response, self.redactor)
        if error is None:
            return
        if call.limiter is not None and isinstance(error, RateLimited):
            call.limiter.pause(_PAUSE if error.retry_after is None else error.retry_after)
        raise error

    def _learn(self, call: Call, response: Response) -> None:
        """Let listeners and limiters know."""
        if logger.isEnabledFor(logging.DEBUG):
            shown = (self.platform, call.method, response.path, response.status, response.seconds)
            logger.debug("%s %s %s -> %d in %.3f s", *shown)
        if self.events.wanted("attempt"):
            self.events.emit("attempt", response)
        if self.limiters:
            # A platform may tell of all its limits with every answer, whichever of them the call counted against.
            for hint in self._rules.hints(response):
                for limiter in self._limiters_with(hint.part):
                    limiter.observe(part=hint.part, remaining=hint.remaining, reset_after=hint.reset_after)

    def _limiters_with(self, part: str) -> list[RateLimiter]:
        if part not in self._by_part:
            self._by_part[part] = [
                limiter
                for limiter in self.limiters.values()
                if any(known.name == part for known in limiter.snapshot().parts)
            ]
        return self._by_part[part]

    def _retrying(self, what: str, error: AsyncConnError, wait: float) -> None:
        logger.info("%s %s: %s; again in %.2f s", self.platform, what, error.message, wait)
        self.events.emit("retry", error)


class Stream:
    """An open download: ``status``, ``headers``, and its chunks of bytes by ``async for``."""

    def __init__(self, opened: Callable[[], Awaitable[tuple[Exchange, aiohttp.ClientResponse]]]) -> None:
        self._opened = opened
        self._exchange: Exchange | None = None
        self.status = 0
        self.headers: Mapping[str, str] = {}

    async def __aenter__(self) -> Self:
        self._exchange, answer = await self._opened()
        self.status, self.headers = answer.status, answer.headers
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._exchange is not None:
            # Not read to its end, the rest of the answer is still on the connection: do not use that again.
            exchange, self._exchange = self._exchange, None
            exchange.close(broken=True)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._exchange is None:
            raise LifecycleError("a stream is open only inside its 'async with'")
        async for chunk in self._exchange.chunks():
            yield chunk


@lru_cache(maxsize=64)
def _client_timeout(total: float | None, connect: float, idle: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, sock_connect=connect, sock_read=idle)
