"""One attempt on the wire: its permit, its place among the connector's requests, its connection, and their return."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from asyncconn.core.clock import Clock
from asyncconn.errors import ConnectionLost, PoolTimeout
from asyncconn.http.failures import translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping
    from types import TracebackType

    from yarl import URL

    from asyncconn.core.ratelimit import Permit, RateLimiter

__all__ = ["Body", "Call", "Exchange", "Road", "send_marks"]

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
_QUOTING = (aiohttp.ClientResponseError, aiohttp.InvalidURL)


Body = bytes | aiohttp.FormData | Callable[[], aiohttp.FormData | AsyncIterable[bytes]] | None


@dataclass(slots=True, repr=False)  # it holds credentials
class Call:
    """One logical call: what to send, and the seconds its attempts have waited for the rate limit so far."""

    platform: str
    method: str
    url: URL
    path: str  # as it may be shown
    body: Body
    headers: dict[str, str]
    auth: Mapping[str, str]
    limiter: RateLimiter | None
    cost: int
    max_wait: float | None
    timeout: aiohttp.ClientTimeout = _NO_TIMEOUT
    total: float | None = None  # seconds for one attempt, its waiting for the rate limit not counted
    repeatable: bool = True  # whether it may go out again although its outcome is unknown
    waited: float = 0.0

    def fresh_body(self) -> Any:
        """The body for one more attempt: a form or a stream is used up by the one before."""
        body = self.body
        return body() if callable(body) and not isinstance(body, aiohttp.FormData) else body


@dataclass(slots=True)
class Road:
    """What all attempts of one transport share."""

    session: Callable[[], aiohttp.ClientSession]
    places: asyncio.Semaphore
    place_timeout: float
    clock: Clock


class _Attempt:
    """The client middleware that pays for each time a request goes over the wire.

    aiohttp sends an idempotent request again when its connection breaks: the middleware runs each time, so each time
    takes a permit, and a call that may not go out twice does not.
    """

    def __init__(
        self, call: Call, permit: Permit | None, again: Callable[[], Awaitable[Permit | None]], watched: bool
    ) -> None:
        self._call = call
        self._first = permit
        self._again = again
        self._permit: Permit | None = None
        self._body_left = 0
        self._times = 0
        self._watched = watched  # the session tells us what it writes
        self._began = False  # it has written something
        self._broke = False

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._broke and not self._call.repeatable:
            raise ConnectionLost(f"{self._call.platform}: {self._call.method} {self._call.path}: the connection broke")
        permit = await self._again() if self._times else self._first
        self._times += 1
        self._permit = permit
        body = self._call.body
        self._body_left = len(body) if isinstance(body, bytes) else 0 if body is None else -1
        self._began = False
        try:
            answer = await handler(request)
        except BaseException as error:
            self._broke = isinstance(error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError)
            if permit is not None:
                if not self._unsent(error):
                    permit.sent()  # perhaps: and then the server may count it a little later than now
                permit.cancel()
            raise
        if permit is not None:
            permit.done()
        return answer

    def _unsent(self, error: BaseException) -> bool:
        return (self._watched and not self._began) or isinstance(
            error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
        )

    def wrote_headers(self) -> None:
        self._began = True
        if self._body_left == 0 and self._permit is not None:
            self._permit.sent()

    def wrote_chunk(self, size: int) -> None:
        if self._body_left > 0:
            self._body_left -= size
            self.wrote_headers()

    def end(self) -> None:
        """A permit that no request ever used is given back."""
        if not self._times and self._first is not None:
            self._first.cancel()


class _Marks(aiohttp.TraceConfig):
    """Ours, to be told from a stranger's."""


def send_marks() -> aiohttp.TraceConfig:
    """For a session of our own: tells a permit when its request is completely on the wire.

    A borrowed session is left as it is; its permits count from the answer alone, which is as safe and a little slower.
    """

    async def headers_sent(session: aiohttp.ClientSession, context: Any, sent: object) -> None:
        if isinstance(attempt := context.trace_request_ctx, _Attempt):
            attempt.wrote_headers()

    async def chunk_sent(
        session: aiohttp.ClientSession, context: Any, sent: aiohttp.TraceRequestChunkSentParams
    ) -> None:
        if isinstance(attempt := context.trace_request_ctx, _Attempt):
            attempt.wrote_chunk(len(sent.chunk))

    trace = _Marks()
    trace.on_request_headers_sent.append(headers_sent)
    trace.on_request_chunk_sent.append(chunk_sent)
    return trace


class Exchange:
    """Entering it waits for a permit and a place and sends; leaving it returns both and releases the connection.

    Errors of the library underneath leave it as ours, wherever inside they come up.
    """

    def __init__(self, road: Road, call: Call) -> None:
        self._road = road
        self._call = call
        self._attempt: _Attempt | None = None
        self._answer: aiohttp.ClientResponse | None = None
        self._time: asyncio.Timeout | None = None
        self._placed = False
        self._kept = False

    async def __aenter__(self) -> aiohttp.ClientResponse:
        call = self._call
        try:
            session = self._road.session()  # a closed hub should say so before anybody waits
            watched = any(isinstance(trace, _Marks) for trace in session.trace_configs)
            self._attempt = _Attempt(call, await self._permit(), self._permit_again, watched)
            await self._place()
            session = self._road.session()
            self._time = asyncio.timeout(call.total)
            await self._time.__aenter__()
            self._answer = await session.request(
                call.method,
                call.url,
                data=call.fresh_body(),
                headers={**call.headers, **call.auth},
                allow_redirects=False,
                timeout=call.timeout,
                # Given per request they would replace those of a borrowed session.
                middlewares=(*getattr(session, "_middlewares", ()), self._attempt),
                trace_request_ctx=self._attempt,
            )
        except BaseException as error:
            await self._fail(error)
            raise
        return self._answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            await self._fail(error)
            return
        if self._time is not None:
            await self._time.__aexit__(None, None, None)
        if not self._kept:
            self.close()

    async def _fail(self, error: BaseException) -> None:
        """Return everything, and raise our error for ``error`` if it was not ours already."""
        self.close(broken=True)
        timer, self._time = self._time, None
        if timer is not None:
            try:
                await timer.__aexit__(type(error), error, error.__traceback__)
            except TimeoutError as late:
                error = late
        self._raise_ours(error)

    def keep(self) -> None:
        """Stay open beyond the ``async with``; somebody else will :meth:`close`."""
        self._kept = True

    def close(self, *, broken: bool = False) -> None:
        """Return everything. A broken answer takes its connection with it. Idempotent."""
        if self._answer is not None:
            if broken:
                self._answer.close()
            else:
                self._answer.release()
        if self._placed:
            self._placed = False
            self._road.places.release()
        if self._attempt is not None:
            self._attempt.end()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The answer's body as it comes."""
        if self._answer is not None:
            try:
                async for chunk in self._answer.content.iter_any():
                    yield chunk
            except Exception as error:
                self.close(broken=True)
                self._raise_ours(error)
                raise

    def _raise_ours(self, error: BaseException) -> None:
        ours = translated(error, f"{self._call.platform}: {self._call.method} {self._call.path}")
        if ours is not None:
            # Some of their errors quote the URL and the headers of the request: those do not travel along.
            raise ours from (None if isinstance(error, _QUOTING) else error)

    async def _permit(self) -> Permit | None:
        call = self._call
        if call.limiter is None:
            return None
        started = self._road.clock.now()
        try:
            return await call.limiter.acquire(call.cost, max_wait=call.max_wait)
        finally:
            call.waited += self._road.clock.now() - started

    async def _permit_again(self) -> Permit | None:
        """A permit for one more time on the wire; the attempt's own time stands still meanwhile."""
        timer, loop = self._time, asyncio.get_running_loop()
        when = None if timer is None else timer.when()
        if timer is None or when is None:
            return await self._permit()
        left = when - loop.time()
        timer.reschedule(None)
        try:
            return await self._permit()
        finally:
            timer.reschedule(loop.time() + left)

    async def _place(self) -> None:
        places = self._road.places
        if places.locked():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._road.place_timeout):
                    await places.acquire()
                    self._placed = True
            if not self._placed:
                seconds = self._road.place_timeout
                raise PoolTimeout(f"{self._call.platform}: all concurrent places were taken for {seconds:g} s")
        else:
            await places.acquire()
            self._placed = True
