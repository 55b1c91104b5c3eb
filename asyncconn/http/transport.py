"""The one road to the network: permit, place, attempt, answer, retry, for every HTTP call of every connector."""

from __future__ import annotations

import asyncio
import logging
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import aiohttp
import orjson
from yarl import URL

from asyncconn._version import __version__
from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.events import Events
from asyncconn.core.quota import Quota
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import AsyncConnError, ConfigError, LifecycleError, ProtocolError, RateLimited, Unauthorized
from asyncconn.http.auth import Auth, NoAuth
from asyncconn.http.exchange import Body, Call, Exchange, Road
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

USER_AGENT = f"asyncconn/{__version__}"
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_NOT_ENCODED = re.compile(r"[\x00-\x20\x7f]").search
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

    ``limiters`` are the limiters by name, or a function that gives them and says whether they are this transport's for
    good: it is asked again at the next call if not, as before it is known who asks. In the name of ``owner`` its calls
    wait for them. A pause that a server asks for lasts ``max_pause`` seconds at most.

    A hub's own session keeps no cookies; without ``cookies`` the jar of a borrowed one stays out of it, too.
    """

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        *,
        platform: str,
        base_url: str,
        auth: Auth | None = None,
        limiters: Mapping[str, RateLimiter] | Callable[[], tuple[Mapping[str, RateLimiter], bool]] | None = None,
        owner: object = None,
        max_pause: float = 3600.0,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        rules: Rules | None = None,
        redactor: Redactor | None = None,
        max_concurrency: int = 10,
        max_answer_bytes: int = 64 * 1024 * 1024,
        clock: Clock | None = None,
        cookies: bool = True,
    ) -> None:
        url = URL(base_url)
        if url.scheme not in ("http", "https") or not url.host:
            raise ConfigError(f"{platform}: the base URL must be http(s)://host[:port][/path], not {base_url!r}")
        if url.user or url.password or url.query_string or url.fragment:
            raise ConfigError(f"{platform}: a base URL takes no user, password, query or fragment")
        if max_concurrency < 1:
            raise ConfigError(f"{platform}: max_concurrency must be at least 1, not {max_concurrency}")
        if not max_pause >= 0:
            raise ConfigError(f"{platform}: max_pause must be at least 0 seconds, not {max_pause}")
        self.platform = platform
        self.base_url = base_url.rstrip("/")
        self.retry = retry or RetryPolicy()
        self.timeouts = timeouts or Timeouts()
        self._account = limiters if callable(limiters) else None
        self._limiters: Mapping[str, RateLimiter] = {} if callable(limiters) else dict(limiters or {})
        self.events = Events("attempt", "retry")
        self._auth = auth or NoAuth()
        self._anonymous = type(self._auth) is NoAuth
        self._rules = rules or PlainRules()
        self._given_redactor = redactor
        self._own_redactor = Redactor()
        self._known_secrets: list[SecretStr] = []
        self._by_part: dict[str, list[tuple[RateLimiter, float]]] = {}
        self._max_pause = max_pause
        self._max_answer_bytes = max_answer_bytes
        self._cookies = cookies
        self._clock = clock or SystemClock()
        self._road = Road(session, asyncio.Semaphore(max_concurrency), self.timeouts.place, self._clock, owner)

    @property
    def limiters(self) -> Mapping[str, RateLimiter]:
        """The limiters by name. Before the first call of a credential that comes from a function: not its own yet."""
        if self._account is not None:
            self._look_up(self._account)
        return self._limiters

    def _look_up(self, account: Callable[[], tuple[Mapping[str, RateLimiter], bool]]) -> None:
        self._limiters, settled = account()
        self._by_part.clear()
        if settled:
            self._account = None

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
        ``true`` or ``false``, and a list repeats its name. ``json`` is encoded as the body, or ``data`` is the body:
        bytes, a form, or a function that makes a form or a stream anew for each attempt (an upload that may have to be
        repeated must be such a function). ``limit`` names the limiter, ``cost`` what the call counts there,
        ``max_wait`` the seconds to wait for it at most (by default ``timeouts.rate``). ``idempotent`` says whether a
        repetition is harmless (by default what the method implies), ``timeout`` replaces the total seconds of each
        attempt.
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
            body = await self._read(answer)
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
            body = b"" if opened else await self._read(answer)
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
        url = self._url(path, params)
        sent = {"User-Agent": USER_AGENT}
        if headers:
            sent.update(headers)
        if headers and any(map(_CONTROL, headers.values())):
            raise ConfigError(f"{self.platform}: a header of {method} {path} holds a line break or control character")
        if json is not None:
            if data is not None:
                raise ConfigError(f"{self.platform}: {method} {path} takes a body as json or as data, not both")
            try:
                data = orjson.dumps(json)
            except TypeError as error:
                raise ConfigError(f"{self.platform}: the body of {method} {path} is not JSON: {error}") from error
            sent.setdefault("Content-Type", "application/json")
        if self._account is not None:
            self._look_up(self._account)
        limiter = self._limiters.get(limit)
        if limiter is None and limit != "default":
            raise ConfigError(
                f"{self.platform} has no rate limit {limit!r}: it has {', '.join(self._limiters) or 'none'}"
            )
        wait = self.timeouts.rate if max_wait is None else max_wait
        auth = {} if self._anonymous else await self._auth.headers()
        if self._account is not None:  # by now it is known who asks
            self._look_up(self._account)
            limiter = self._limiters.get(limit)
        shown = self.redactor.scrub(url.path)
        call = Call(self.platform, method, url, shown, data, sent, auth, limiter, cost, wait)
        call.cookies = self._cookies
        return call

    def _url(self, path: str, params: Mapping[str, Any] | None) -> URL:
        # Anything but a slash would go on with the host's name, and the credentials with it to another host.
        if (path and path[0] not in "/?") or _NOT_ENCODED(path):
            raise ConfigError(f"{self.platform}: a path begins with a slash and is percent-encoded, unlike {path!r}")
        url = URL(self.base_url + path, encoded=True)
        if not params:
            return url
        return url.update_query({name: _query(value) for name, value in params.items() if value is not None})

    def _time(self, call: Call, total: float | None, idle: float | None = None) -> None:
        connect = self.timeouts.connect
        if total is not None:
            connect = min(connect, 0.9 * total)  # so that who could not connect hears that nothing was sent
        call.timeout = _client_timeout(total, connect, idle)

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        limit = self._max_answer_bytes
        length = answer.content_length
        if length is not None and length <= limit and "Content-Encoding" not in answer.headers:
            return await answer.read()
        pieces: list[bytes] = []
        size = 0
        async for piece in answer.content.iter_any():
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
            asked = error.retry_after
            call.limiter.pause(min(asked, self._max_pause) if asked is not None and asked >= 0 else _PAUSE)
        raise error

    def _learn(self, call: Call, response: Response) -> None:
        """Let listeners and limiters know."""
        if logger.isEnabledFor(logging.DEBUG):
            shown = (self.platform, call.method, response.path, response.status, response.seconds)
            logger.debug("%s %s %s -> %d in %.3f s", *shown)
        if self.events.wanted("attempt"):
            self.events.emit("attempt", response)
        if self._limiters:
            # A platform may tell of all its limits with every answer, whichever of them the call counted against.
            for hint in self._rules.hints(response):
                for limiter, longest in self._limiters_with(hint.part):
                    reset = None if hint.reset_after is None else min(hint.reset_after, longest)
                    limiter.observe(part=hint.part, remaining=hint.remaining, reset_after=reset)

    def _limiters_with(self, part: str) -> list[tuple[RateLimiter, float]]:
        """Each part of that name once, by one limiter it stands in, and the longest hold that may be asked of it."""
        if part not in self._by_part:
            found = {id(one): (limiter, one) for limiter in self._limiters.values() for one in limiter.parts}
            self._by_part[part] = [
                (limiter, math.inf if isinstance(one, Quota) else self._max_pause)  # a day is as long as it is
                for limiter, one in found.values()
                if one.name == part
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


def _query(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return [_query(item) for item in value] if isinstance(value, list | tuple) else str(value)
