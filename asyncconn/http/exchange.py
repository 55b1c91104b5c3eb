"""One attempt on the wire: its permit, its place among the connector's requests, its connection, and their return."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from asyncconn.core.clock import Clock
from asyncconn.errors import PoolTimeout
from asyncconn.http.failures import translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from types import TracebackType

    from yarl import URL

    from asyncconn.core.ratelimit import Permit, RateLimiter

__all__ = ["Call", "Exchange", "Road", "send_marks"]


@dataclass(slots=True)
class Call:
    """One logical call: what to send, and the seconds its attempts have waited for the rate limit so far."""

    platform: str
    method: str
    url: URL
    path: str  # as it may be shown
    body: bytes | aiohttp.FormData | None
    headers: dict[str, str]
    auth: Mapping[str, str]
    limiter: RateLimiter | None
    cost: int
    max_wait: float | None
    timeout: aiohttp.ClientTimeout
    waited: float = 0.0


@dataclass(slots=True)
class Road:
    """What all attempts of one transport share."""

    session: Callable[[], aiohttp.ClientSession]
    places: asyncio.Semaphore
    place_timeout: float
    clock: Clock


class _Attempt:
    """The client middleware that pays for each time a request goes over the wire.

    aiohttp sends an idempotent request again when a kept-alive connection turns out dead: the middleware runs each
    time, so each time takes a permit.
    """

    def __init__(self, call: Call, permit: Permit | None) -> None:
        self._call = call
        self._first = permit
        self._permit: Permit | None = None
        self._body_left = len(call.body) if isinstance(call.body, bytes) else 0 if call.body is None else -1

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._first is not None:
            permit, self._first = self._first, None
        elif self._call.limiter is not None:
            permit = await self._call.limiter.acquire(self._call.cost)
        else:
            return await handler(request)
        self._permit = permit
        try:
            return await handler(request)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            permit.cancel()
            raise
        finally:
            permit.done()

    def wrote_headers(self) -> None:
        if self._body_left == 0 and self._permit is not None:
            self._permit.sent()

    def wrote_chunk(self, size: int) -> None:
        if self._body_left > 0:
            self._body_left -= size
            self.wrote_headers()

    def end(self) -> None:
        """A permit that no request ever used is given back."""
        if self._first is not None:
            self._first.cancel()


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

    trace = aiohttp.TraceConfig()
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
        self._placed = False
        self._kept = False

    async def __aenter__(self) -> aiohttp.ClientResponse:
        call = self._call
        try:
            self._road.session()  # a closed hub should say so before anybody waits
            self._attempt = _Attempt(call, await self._permit())
            await self._place()
            session = self._road.session()
            self._answer = await session.request(
                call.method,
                call.url,
                data=call.body,
                headers={**call.headers, **call.auth},
                allow_redirects=False,
                timeout=call.timeout,
                # Given per request they would replace those of a borrowed session.
                middlewares=(*getattr(session, "_middlewares", ()), self._attempt),
                trace_request_ctx=self._attempt,
            )
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
            raise ours from error

    async def _permit(self) -> Permit | None:
        call = self._call
        if call.limiter is None:
            return None
        started = self._road.clock.now()
        try:
            return await call.limiter.acquire(call.cost, max_wait=call.max_wait)
        finally:
            call.waited += self._road.clock.now() - started

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
