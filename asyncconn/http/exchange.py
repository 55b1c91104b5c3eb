"""One attempt on the wire: its permit, its place among the connector's requests, its connection, and their return."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from asyncconn.core.clock import Clock
from asyncconn.errors import AsyncConnError, ConfigError, ConnectFailed, ConnectionLost, PoolTimeout, TransportError
from asyncconn.http.compressed import decoded
from asyncconn.http.connections import Stale, forget_address, pool_is_full, unwatched, watched
from asyncconn.http.failures import translated
from asyncconn.http.redact import unprinted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from types import TracebackType

    from asyncconn.core.rates.limiter import Permit, RateLimiter

__all__ = ["Body", "Call", "Exchange", "Places", "Road"]

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
_NO_REQUEST = aiohttp.RequestInfo(URL(), "", CIMultiDictProxy(CIMultiDict()), URL())
_SHORT = 65_536  # bytes of a body
_SOON = 1.0  # seconds: an error comes at once, and what is slow is none
_QUOTING = (aiohttp.ClientResponseError, aiohttp.InvalidURL)


Body = bytes | memoryview | aiohttp.FormData | Callable[[], aiohttp.FormData | AsyncIterable[bytes]] | None


class Places:
    """How many requests may be under way: those of the account, once it is known."""

    __slots__ = ("semaphore",)

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self.semaphore = semaphore


@dataclass(slots=True, repr=False, eq=False)  # it holds credentials
class Call:
    """One logical call: what to send, and the seconds its attempts have waited for the rate limit so far."""

    service: str
    method: str
    url: URL
    path: str  # as it may be shown
    body: Body
    headers: dict[str, str]
    auth: Mapping[str, str]
    limiter: RateLimiter | None
    cost: int
    max_wait: float
    timeout: aiohttp.ClientTimeout = _NO_TIMEOUT
    opening: float | None = None  # seconds until status and headers are there, where the timeout has no total
    repeatable: bool = True  # whether it may go out again although its outcome is unknown
    patience: float = 30.0  # seconds that its credential may take
    waited: float = 0.0
    resent: bool = False  # by the library underneath, within one attempt, after the connection broke
    cookies: bool = True  # whether the session's cookie jar takes part
    sign: Callable[[Call], Awaitable[Call]] | None = None  # what each attempt shows anew
    own: bool = True  # whether it is the account's: with its credential, and heard by its limiters
    decode: Callable[[Any], Any] | None = None  # what to make of its Response, within the attempt

    @property
    def what(self) -> str:
        """The call, as errors name it."""
        return f"{self.service}: {self.method} {self.path}"

    @property
    def host(self) -> str:
        """Where it goes, as errors name it."""
        return f"{self.url.host}:{self.url.port}"

    def fresh_body(self) -> Any:
        """The body for one more attempt: a form or a stream is used up by the one before."""
        body = self.body
        return body() if callable(body) and not isinstance(body, aiohttp.FormData) else body


@dataclass(slots=True, repr=False, eq=False)
class Road:
    """What all attempts of one transport share."""

    session: Callable[[], aiohttp.ClientSession]
    places: Places
    place_timeout: float
    clock: Clock
    owner: object = None  # in whose name its calls wait for the rate limit


class _Attempt:
    """The client middleware that pays for each time a request goes over the wire, and knows whether it did.

    aiohttp sends an idempotent request again when its connection breaks: the middleware runs each time, so each time
    takes a permit, and a call that may not go out twice does not.
    """

    def __init__(self, call: Call, permit: Permit | None, session: aiohttp.ClientSession) -> None:
        self._call = call
        self._first = permit
        self._session = session
        self._permit: Permit | None = None
        self._times = 0
        self._began = False  # something may have been written, this time
        self._answered = False  # the time before got its answer: who repeats it, in a borrowed session, has seen that
        self.sent = False  # something may have been written, this time or before
        self.full = False  # no connection could be had, for all were in use

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        permit = await self._once_more() if self._times else self._first
        self._times += 1
        self._answered = False
        self._permit = permit
        self._began = False
        watched(request, self._begin, None if permit is None else self._written)
        if not self._call.cookies:
            request.headers.popall("Cookie", None)
        try:
            while True:
                try:
                    answer = await handler(request)
                    break
                except Stale:  # that one is closed: another, until one is usable
                    continue
        except BaseException:
            unwatched(request)
            if not self._began:
                self.full = pool_is_full(self._session)
                forget_address(self._session, request)
            if permit is not None:
                if self._began:
                    permit.sent()  # perhaps: and then the server may count it a little later than now
                permit.cancel()
            raise
        self._answered = True
        if permit is not None:
            permit.done()
        if not self._call.cookies:
            answer._raw_cookie_headers = ()  # or a borrowed session's jar would keep them
        return answer

    async def _once_more(self) -> Permit | None:
        """A permit for the same request again, if it may go out twice and one can be had without waiting.

        If not, our own retries take over: the wait for a permit is then no part of this attempt's time. Only the
        middleware of a borrowed session repeats what was answered (with a digest, say); nobody would take over there.
        """
        call = self._call
        if self._answered and call.sign is None:
            return None if call.limiter is None else await call.limiter.acquire(call.cost, max_wait=call.max_wait)
        if call.sign is None and (call.repeatable or not self.sent):
            call.resent = call.resent or self.sent
            if call.limiter is None:
                return None
            if (permit := call.limiter.acquire_nowait(call.cost)) is not None:
                return permit
        kind: type[TransportError] = ConnectionLost if self.sent else ConnectFailed
        raise kind(f"{call.service}: {call.method} {call.path}: the connection broke to {call.host}")

    def _begin(self) -> None:
        self._began = self.sent = True

    def _written(self) -> None:
        """Of what fits a socket's buffer, all is on its way by now; of more than that, only the answer tells."""
        body = self._call.body
        short = body is None or (isinstance(body, bytes | memoryview) and len(body) <= _SHORT)
        if short and self._permit is not None:
            self._permit.sent()

    def end(self) -> None:
        """A permit that no request ever used is given back."""
        if not self._times and self._first is not None:
            self._first.cancel()


class Exchange:
    """Entering it waits for a permit and a place and sends; leaving it returns both and releases the connection.

    Errors of the library underneath leave it as ours, wherever inside they come up.
    """

    def __init__(self, road: Road, call: Call) -> None:
        self._road = road
        self._call = call
        self._attempt: _Attempt | None = None
        self._answer: aiohttp.ClientResponse | None = None
        self._place: asyncio.Semaphore | None = None
        self._waited = False
        self._kept = False
        self.seen = b""  # of the body, by peek()
        self._ahead: AsyncGenerator[bytes, None] | None = None
        self._next: asyncio.Future[bytes] | None = None  # the chunk that peek() was still waiting for

    async def __aenter__(self) -> aiohttp.ClientResponse:
        call = self._call
        try:
            session = self._road.session()  # a closed hub should say so before anybody waits
            permit = None
            if call.limiter is not None:
                permit = call.limiter.acquire_nowait(call.cost) or await self._permit()
            attempt = self._attempt = _Attempt(call, permit, session)
            places = self._road.places.semaphore
            if places.locked():
                await self._wait_for(places)
            else:
                await places.acquire()
            self._place = places
            if self._waited:
                session = self._road.session()  # the hub may have closed meanwhile
            going = call if call.sign is None else await call.sign(call)
            sending = session.request(
                going.method,
                going.url,
                data=going.fresh_body(),
                headers={**going.headers, **going.auth},
                allow_redirects=False,
                auto_decompress=False,
                timeout=call.timeout,
                raise_for_status=False,  # a borrowed session may want it: what an answer means is for the rules
                # Given per request they would replace those of a borrowed session.
                middlewares=(*getattr(session, "_middlewares", ()), attempt),
            )
            if call.opening is None:
                self._answer = unprinted(await sending)
            else:
                async with asyncio.timeout(call.opening):
                    self._answer = unprinted(await sending)
        except BaseException as error:
            self.close(broken=True)
            self._raise_ours(error)
            raise
        return self._answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.close(broken=True)
            self._raise_ours(error)
        elif not self._kept:
            self.close()

    def keep(self) -> None:
        """Stay open beyond the ``async with``, in no place of a request; somebody else will :meth:`close`."""
        self._kept = True
        self._leave_place()

    def _leave_place(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.release()

    def close(self, *, broken: bool = False) -> None:
        """Return everything. A broken answer takes its connection with it. Idempotent."""
        if self._answer is not None:
            if broken:
                self._answer.close()
            else:
                self._answer.release()
        if self._next is not None and not self._next.cancel() and not self._next.cancelled():
            self._next.exception()  # or it would be reported as one that nobody asked for
        self._leave_place()
        if self._attempt is not None:
            self._attempt.end()

    async def peek(self, most: int, seconds: float | None) -> bool:
        """Read ``most`` bytes ahead, or a little more, into :attr:`seen`; whether they are all there is.

        Those that come within ``seconds``: of a slow answer it is the beginning. ``TimeoutError`` if nothing came.
        """
        now = asyncio.get_running_loop().time
        until = None if seconds is None else now() + seconds
        self._ahead = self.chunks()
        while len(self.seen) <= most:
            # A task, as a generator whose reading is cancelled has come to its end.
            coming = self._next = asyncio.ensure_future(anext(self._ahead, b""))
            if not (await asyncio.wait({coming}, timeout=None if until is None else until - now()))[0]:
                if not self.seen:
                    raise TimeoutError
                return False
            self._next = None
            piece = coming.result()
            if not piece:
                return True
            self.seen += piece
        return False

    async def first_line(self) -> bool:
        """Read what comes within a second into :attr:`seen`; whether a whole line is in it."""
        try:
            return await self.peek(0, _SOON) or b"\n" in self.seen
        except TimeoutError:
            return False

    async def whole(self) -> AsyncGenerator[bytes, None]:
        """The chunks, with what has been read ahead."""
        if self.seen:
            yield self.seen
        async with aclosing(self._ahead or self.chunks()) as chunks:
            if self._next is not None and (piece := await self._next):
                yield piece
            async for chunk in chunks:
                yield chunk

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The answer's body as it comes."""
        if self._answer is not None:
            try:
                async with aclosing(decoded(self._answer, self._call.what)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except Exception as error:
                self.close(broken=True)
                self._raise_ours(error)
                raise

    def _raise_ours(self, error: BaseException) -> None:
        call, attempt = self._call, self._attempt
        ours = translated(
            error,
            call.what,
            host=call.host,
            sent=attempt is not None and attempt.sent,
            full=attempt is not None and attempt.full,
        )
        if ours is None and isinstance(error, Exception) and not isinstance(error, AsyncConnError):
            ours = self._strange(error, call.what)
        if ours is not None:
            if isinstance(error, aiohttp.ClientResponseError):
                _forget_request(error)
            # Some of their errors quote the URL and the headers of the request: those do not travel along.
            raise ours from (None if isinstance(error, _QUOTING) else error)

    def _strange(self, error: Exception, what: str) -> AsyncConnError:
        """For what is not the network's: settings of a borrowed session that do not fit, hooks in it that raise."""
        why = f"{type(error).__name__}: {error}"
        if self._attempt is None or not self._attempt.sent:
            return ConfigError(f"{what} cannot be sent over this session: {why}")
        return ConnectionLost(f"{what}: the exchange failed: {why}")

    async def _permit(self) -> Permit | None:
        call = self._call
        if call.limiter is None:
            return None
        started = self._road.clock.now()
        self._waited = True
        try:
            return await call.limiter.acquire(call.cost, max_wait=call.max_wait, owner=self._road.owner)
        finally:
            call.waited += self._road.clock.now() - started

    async def _wait_for(self, places: asyncio.Semaphore) -> None:
        seconds = self._road.place_timeout
        self._waited = True
        try:
            async with asyncio.timeout(seconds):
                await places.acquire()
                self._place = places
        except TimeoutError:
            if self._place is None:
                raise PoolTimeout(f"{self._call.service}: all concurrent places were taken for {seconds:g} s") from None


def _forget_request(error: aiohttp.ClientResponseError) -> None:
    """Take URL, headers and answer out of a stranger's error: it still stands among the locals of our traceback."""
    error.request_info = _NO_REQUEST
    error.args, error.history, error.headers, error.message = (), (), None, ""
