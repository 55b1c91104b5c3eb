"""The one road to the network: permit, place, attempt, answer, retry, for every HTTP call of every connector."""

from __future__ import annotations

import asyncio
import logging
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import aiohttp

from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.durations import positive, seconds
from asyncconn.core.events import Events
from asyncconn.core.rates.quota import Quota
from asyncconn.core.rates.registry import Room
from asyncconn.core.retrying import RetryPolicy
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.core.watching import Watching
from asyncconn.errors import (
    AsyncConnError,
    ConfigError,
    ProtocolError,
    RateLimited,
    Unauthorized,
)
from asyncconn.http.auth import Auth, NoAuth, checked, in_time, signs, waits
from asyncconn.http.calls import Calls
from asyncconn.http.compressed import read_whole
from asyncconn.http.exchange import Body, Call, Exchange, Places, Road, may_say_no
from asyncconn.http.failures import with_doubt
from asyncconn.http.outgoing import build, check_headers, checked_base, credential, joined
from asyncconn.http.redact import Redactor
from asyncconn.http.response import Response, decoded_by
from asyncconn.http.rules import LINES, GuardedRules, PlainRules, Rules
from asyncconn.http.stream import Pace, Stream
from asyncconn.http.timeouts import Timeouts, client_timeout
from asyncconn.http.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from asyncconn.core.rates.limiter import RateLimiter
    from asyncconn.core.rates.registry import Share
    from asyncconn.core.secret import Concealed

__all__ = ["Stream", "Timeouts", "Transport"]

logger = logging.getLogger("asyncconn.http")

T = TypeVar("T")

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_PEEK = 65_536  # bytes of a download in which an error may be looked for
_NOTHING: Mapping[str, str] = MappingProxyType({})
_PAUSE = 1.0  # seconds that all callers hold after a 429 that names no time


class Transport(Calls, Unpicklable):
    """Sends a connector's requests over the hub's session, under its limiter, retry policy, timeouts and redaction.

    Events: ``attempt`` (the :class:`Response` of each attempt that got an answer) and ``retry`` (the error that
    caused it).

    All errors are of :mod:`asyncconn.errors`: ``ConfigError`` for a bad URL or body, ``NotSent`` and ``MaybeSent``
    for the network, what ``rules`` make of the answer, ``ProtocolError`` for a redirect or an answer beyond
    ``max_answer_bytes``.

    ``limiters`` are the limiters by name, or a function that gives its account's :class:`Share` and says whether that
    is so for good: it is asked again at the next call if not, as before it is known who asks. In the name of ``owner``
    its calls wait for them. A pause that a server asks for lasts ``max_pause`` seconds at most, and holds the calls of
    the same limiter; with ``one_account``, all of the account. ``headers`` go along with every request.

    A hub's own session keeps no cookies; without ``cookies`` the jar of a borrowed one stays out of it, too. Every
    attempt is counted in ``traffic``, and who is ``watching`` follows each call.
    """

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        *,
        service: str,
        base_url: str,
        auth: Auth | None = None,
        headers: Mapping[str, str] | None = None,
        limiters: Mapping[str, RateLimiter] | Callable[[], tuple[Share, bool]] | None = None,
        owner: object = None,
        max_pause: float = 3600.0,
        one_account: bool = False,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        rules: Rules | None = None,
        redactor: Redactor | None = None,
        max_concurrency: int = 10,
        max_answer_bytes: int = 64 * 1024 * 1024,
        clock: Clock | None = None,
        cookies: bool = True,
        traffic: Traffic | None = None,
        watching: Watching | None = None,
    ) -> None:
        if max_concurrency < 1:
            raise ConfigError(f"{service}: max_concurrency must be at least 1, not {max_concurrency}")
        if not max_pause >= 0:
            raise ConfigError(f"{service}: max_pause must be at least 0 seconds, not {max_pause}")
        self.service = service
        self.base_url = checked_base(base_url, service)
        self.retry = retry or RetryPolicy()
        self.timeouts = timeouts or Timeouts()
        self._account = limiters if callable(limiters) else None
        self._limiters: Mapping[str, RateLimiter] = {} if callable(limiters) else dict(limiters or {})
        self.events = Events("attempt", "retry")
        self._auth = checked(auth or NoAuth())
        self._auth.travel(session, clock or SystemClock())
        self._anonymous = type(self._auth) is NoAuth
        self._sign = self._signed if signs(self._auth) else None
        check_headers(headers or {})
        self._headers = dict(headers or {})
        self._rules = GuardedRules(rules or PlainRules())
        self._given_redactor = redactor
        self._own_redactor = Redactor()
        self._known_secrets: Sequence[Concealed] = []
        self._by_part: dict[str, list[tuple[RateLimiter, float]]] = {}
        self._max_pause = max_pause
        self._share: Share | None = None
        self._one_account = one_account
        self._joined = False  # to a road whose places it shares
        self._max_answer_bytes = max_answer_bytes
        self._cookies = cookies
        self._clock = clock or SystemClock()
        places = Places(Room(max_concurrency))
        counting = (Traffic() if traffic is None else traffic).of(service)  # one with no rows yet is false
        self._road = Road(session, places, self.timeouts.place, self._clock, owner, counting, watching or Watching())

    @property
    def limiters(self) -> Mapping[str, RateLimiter]:
        """The limiters by name. Before the first call of a credential that comes from a function: not its own yet."""
        if self._account is not None:
            self._look_up(self._account)
        return self._limiters

    def _look_up(self, account: Callable[[], tuple[Share, bool]]) -> None:
        self._share, settled = account()
        self._limiters = self._share.limiters
        if not self._joined:
            self._road.places.room = self._share.places
        self._by_part.clear()
        if settled:
            self._account = None

    def join(self, other: Transport) -> None:
        """Share the events and the concurrent places of another road: both are the same client's."""
        self.events = other.events
        self._road.places = other._road.places
        self._joined = True

    @property
    def watching(self) -> Watching:
        """Who follows its calls."""
        return self._road.watching

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
        auth: Literal["own"] | None = "own",
        decode: Callable[[Response], object] | None = None,
        route: str = "",
    ) -> Response:
        """One call, answered completely; the :class:`Response` of its last attempt.

        ``path`` is appended to the base URL, already percent-encoded; or it is a whole URL of the same origin, as a
        server's links are. With ``auth=None`` that may be any host: no credential goes along, and the default limit
        does not count the call. ``decode`` makes the answer's ``value`` within the attempt: what it raises is the
        attempt's error, ``ProtocolError`` where it is none of ours. Of ``params``, None is left out, a bool becomes
        ``true`` or ``false``, a date or time ISO 8601, an Enum its value, and a list repeats its name; what means
        nothing in a query is refused. ``json`` is encoded as the body (every digit as it is; NaN is refused), or
        ``data`` is the body: bytes, a form, or a function that makes a form or a stream anew for each attempt (an
        upload that may have to be repeated must be such a function). ``limit`` names the limiter, ``cost`` what the
        call counts there, ``max_wait`` the seconds to wait for it at most (by default ``timeouts.rate``).
        ``idempotent`` says whether a repetition is harmless (by default what the method implies), ``timeout`` replaces
        the total seconds of each attempt. ``route`` is what the call is counted as (``hub.traffic``): its path with
        holes for ids; by default one that is made of it, in which what looks like an id is a hole.
        """
        total = self.timeouts.total if timeout is None else positive("timeout", timeout)
        call = self._call(method, path, params, json, data, headers, limit, cost, max_wait, total, auth, route)
        if call.own and not self._anonymous:
            await self._show(call)
        call.decode = decode
        # Of the total, something is left after the connecting, so that who could not connect hears why.
        call.timeout = client_timeout(total, min(self.timeouts.connect, 0.9 * total), None)
        policy, harmless = self._policy(call, retry, idempotent)
        if self._road.watching.watchers:
            with self._road.watching.follow("call", self.service, call) as call.following:
                return await self._renewing(call, self._attempt, policy, harmless, None)
        started = self._clock.now()
        try:  # the usual ends here: what a repetition needs is made after a failure
            return await self._attempt(call)
        except AsyncConnError as error:
            self.redactor.clean(error)
            first = error
        return await self._renewing(call, self._attempt, policy, harmless, (first, started))

    async def repeat(
        self, attempt: Callable[[], Awaitable[T]], *, idempotent: bool, retry: RetryPolicy | None = None
    ) -> T:
        """Run an attempt that is more than one request (or goes another way) under this transport's retry policy."""
        return await (retry or self.retry).run(
            lambda: self._cleaned(attempt),
            idempotent=idempotent,
            clock=self._clock,
            on_retry=lambda error, wait: self._retrying("repeated", error, wait),
        )

    async def _cleaned(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """An attempt whose error shows no secret, whoever made it, before anybody sees it."""
        try:
            return await attempt()
        except AsyncConnError as error:
            self.redactor.clean(error)
            raise

    def _policy(self, call: Call, retry: RetryPolicy | None, idempotent: bool | None) -> tuple[RetryPolicy, bool]:
        """How a call is repeated, and whether that is harmless."""
        policy = retry or self.retry
        harmless = call.method in IDEMPOTENT if idempotent is None else idempotent
        # What is made anew for each attempt is used up by the first: the library must not send it twice.
        call.repeatable = policy.repeats_unknown(idempotent=harmless) and not callable(call.body)
        return policy, harmless

    async def _renewing(
        self,
        call: Call,
        attempt: Callable[[Call], Awaitable[T]],
        policy: RetryPolicy,
        harmless: bool,
        first: tuple[AsyncConnError, float] | None,
    ) -> T:
        """Repeat a call whose ``first`` attempt has failed; after a 401 once more, if there is a newer token to show.

        Without a first, all of its attempts are made here.
        """

        async def run(failed: tuple[AsyncConnError, float] | None) -> T:
            try:
                return await policy.run(
                    lambda: self._cleaned(lambda: attempt(call)),
                    idempotent=harmless,
                    clock=self._clock,
                    not_counted=lambda: call.waited,
                    on_retry=lambda error, wait: self._retrying(f"{call.method} {call.path}", error, wait, call),
                    failed=failed,
                )
            except AsyncConnError as error:
                raise with_doubt(error, call.resent, harmless=harmless) from error.__cause__

        try:
            return await run(first)
        except Unauthorized as error:
            if not call.own:
                raise
            refused = error
        try:
            # A 401 was not carried out, so one more try with a newer token is harmless whatever the call is.
            if await in_time(self.service, self._auth.renew(call.auth), call.patience):
                call.auth = credential(await in_time(self.service, self._auth.headers(), call.patience))
                call.tries += 1
                return await run(None)
        except AsyncConnError as error:
            self.redactor.clean(error)
            raise with_doubt(error, refused.maybe_sent, harmless=harmless) from error.__cause__
        raise refused

    async def _attempt(self, call: Call) -> Response:
        exchange = Exchange(self._road, call)
        async with exchange as answer:
            # The body, which may quote a credential, is not to stand among the locals of a traceback.
            response = Response(
                self.service,
                call.method,
                call.path,
                answer.status,
                answer.headers,
                await read_whole(answer, self._max_answer_bytes, call.what),
            )
        response.seconds = exchange.seconds
        self._observe(call, response)
        if call.decode is not None:
            response.value = decoded_by(call.decode, response, call.what)
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
        timeout: float | None = None,
        idle_timeout: float = 60.0,
        min_rate: float = 0.0,
        max_bytes: int | None = None,
        retry: RetryPolicy | None = None,
        auth: Literal["own"] | None = "own",
        route: str = "",
    ) -> Stream:
        """A download that is not held in memory: ``async with transport.stream(...) as s: async for chunk in s: ...``.

        Opening is retried like a request. Each attempt has ``timeout`` seconds (by default ``idle_timeout``) to
        connect, send, and get status and headers, or the whole answer if it is an error's. Once open it may last as
        long as chunks come within ``idle_timeout`` seconds. Who fears a slow drip sets ``min_rate``, in bytes a second
        over any ``idle_timeout`` seconds of waiting (below: ``ReadTimeout``); who fears a flood, ``max_bytes``
        (above: ``ProtocolError``).
        """
        idle = positive("idle_timeout", idle_timeout)
        opening = idle if timeout is None else positive("timeout", timeout)
        if not 0 <= min_rate < float("inf") or (max_bytes is not None and max_bytes < 0):
            raise ConfigError("min_rate is 0 or more bytes a second, max_bytes 0 or more bytes")

        async def opened() -> tuple[Exchange, aiohttp.ClientResponse]:
            call = self._call(method, path, params, json, data, headers, limit, cost, max_wait, opening, auth, route)
            if call.own and not self._anonymous:
                await self._show(call)
            call.timeout = client_timeout(None, min(self.timeouts.connect, 0.9 * opening), idle)
            call.opening = opening
            with self._road.watching.follow("call", self.service, call) as call.following:
                return await self._renewing(call, self._open, *self._policy(call, retry, idempotent), None)

        shown = str(path).partition("?")[0]  # the query of a presigned address is a credential
        return Stream(opened, Pace(f"{self.service}: {method} {shown}", idle, min_rate, max_bytes))

    async def _open(self, call: Call) -> tuple[Exchange, aiohttp.ClientResponse]:
        exchange = Exchange(self._road, call)
        async with exchange as answer:
            response = Response(self.service, call.method, call.path, answer.status, answer.headers, b"")
            if 200 <= answer.status < 300:
                # What may be an error in spite of its status is a short JSON document: rules look at that.
                if whole := may_say_no(answer, _PEEK) and await exchange.peek(_PEEK, call.opening):
                    response.body = exchange.seen
                elif self._rules.judges_lines and answer.content_type.lower() in LINES:
                    whole = await exchange.first_line()
                    response.body = exchange.seen.partition(b"\n")[0]
                (self._observe if whole else self._learn)(call, response)
                exchange.keep()
                return exchange, answer
            async with asyncio.timeout(call.opening):
                response.body = await read_whole(answer, self._max_answer_bytes, call.what)
        self._observe(call, response)
        raise ProtocolError(f"{self.service}: {call.method} {call.path} answered {answer.status}, not a stream")

    # -- one attempt -------------------------------------------------------------------------------------------------

    def _call(
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
        patience: float | None = None,
        auth_of: Literal["own"] | None = "own",
        route: str = "",
    ) -> Call:
        if auth_of not in ("own", None):
            raise ConfigError(f"{self.service}: the auth of one call can only be None, which leaves the credential out")
        own = auth_of is not None
        if self._headers and own:
            headers = joined(self._headers, headers)
        made = refused = None
        try:
            made = build(
                self.base_url, method, path, params=params, json=json, data=data, headers=headers, anywhere=not own
            )
        except ConfigError as error:
            refused = error.message
        if made is None:  # out here, it has no context to quote from
            raise ConfigError(self.redactor.scrub(f"{self.service}: {refused}"))
        if self._account is not None:
            self._look_up(self._account)
        limiter = self._limiters.get(limit)
        if limiter is None and limit != "default":
            raise ConfigError(
                f"{self.service} has no rate limit {limit!r}: it has {', '.join(self._limiters) or 'none'}"
            )
        patience = self.timeouts.total if patience is None else patience
        wait = self.timeouts.rate if max_wait is None else seconds("max_wait", max_wait)
        shown = self.redactor.scrub(made.url.path) if self._anonymous or not own else ""
        call = Call(self.service, made.method, made.url, shown, made.body, made.headers, _NOTHING, limiter, cost, wait)
        call.cookies = self._cookies
        call.own = own
        if not own and limit == "default":
            call.limiter = None
        call.patience = patience
        call.limit = limit
        call.route = route
        call.sign = self._sign if own else None
        return call

    async def _show(self, call: Call) -> None:
        """Ask for the credential of a call, and count it for whoever that is."""
        asked = self._auth.headers()
        call.auth = credential(await (in_time(self.service, asked, call.patience) if waits(self._auth) else asked))
        if self._account is not None:  # by now it is known who asks
            self._look_up(self._account)
            call.limiter = self._limiters.get(call.limit)
        call.path = self.redactor.scrub(call.url.path)

    async def _signed(self, call: Call) -> Call:
        from asyncconn.http.signing import signed  # few credentials sign

        return await signed(call, self._auth, self.redactor)

    def _observe(self, call: Call, response: Response) -> None:
        """Learn from a complete answer, and raise the error it means if it means one."""
        self._learn(call, response)
        if 200 <= response.status < 300 and not self._rules.judges:
            return
        error = self._rules.error(response, self.redactor)
        if error is None:
            return
        if isinstance(error, RateLimited):
            asked = error.retry_after
            for limiter in self._held_by(call):
                limiter.pause(min(asked, self._max_pause) if asked is not None and asked >= 0 else _PAUSE)
        raise error

    def _held_by(self, call: Call) -> Iterable[RateLimiter]:
        """The limiters that a 429 to a call is meant for."""
        if self._one_account and self._share is not None and call.own:
            return self._share.everywhere()
        return () if call.limiter is None or not call.own else (call.limiter,)

    def _learn(self, call: Call, response: Response) -> None:
        """Let listeners and limiters know."""
        if logger.isEnabledFor(logging.DEBUG):
            shown = (self.service, call.method, response.path, response.status, response.seconds)
            logger.debug("%s %s %s -> %d in %.3f s", *shown)
        if self.events.wanted("attempt"):
            self.events.emit("attempt", response)
        if self._limiters and call.own and self._rules.tells:
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

    def _retrying(self, what: str, error: AsyncConnError, wait: float, call: Call | None = None) -> None:
        named = error.message.startswith(f"{self.service}: ")  # as those of the way there do; a server's words do not
        told = error.message if named else f"{self.service}: {what}: {error.message}"
        logger.info("%s; again in %.2f s", told, wait)
        self.events.emit("retry", error)
        if call is not None:
            call.tries += 1
            if isinstance(error, RateLimited):
                self._road.traffic.wait(call, wait)  # not in call.waited: such a wait counts towards the deadline
            call.following.event("retry", (error, wait))
