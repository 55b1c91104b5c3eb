"""Listening, handing requests to the platforms, playing the faults, and ending in bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from asyncconn.errors import ConfigError
from asyncconn.sandbox.exchange import Answer, Arrival, Call

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from asyncconn.core.clock import Clock
    from asyncconn.sandbox.exchange import Platform
    from asyncconn.sandbox.faults import Fault, Faults

__all__ = ["Server"]

_log = logging.getLogger("asyncconn.sandbox")

# Above every platform's own limit, so that it is the platform that refuses, in its own words.
_LARGEST_REQUEST_BYTES = 64 * 1024 * 1024
# Stalled and delayed handlers end at once by themselves; this bounds a handler that is really at work.
_SHUTDOWN_SECONDS = 1.0
_GARBAGE = b"\x00<<<{ this is neither XML nor JSON"
_NOBODY = "-"
_HEALTH = "/sandbox/health"  # answers 200 and does nothing: for probes, and for counting calls
_WITHOUT_BODY = frozenset({204, 304})


class Server:
    """One listening socket in front of several platforms."""

    def __init__(self, platforms: Sequence[Platform], faults: Faults, clock: Clock, *, keep_arrivals: int) -> None:
        self.requests: Counter[str] = Counter()
        self.arrivals: deque[Arrival] = deque(maxlen=keep_arrivals)
        self._platforms = tuple(platforms)
        self._faults = faults
        self._clock = clock
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, also again after a stop; returns the port.

        Raises :class:`~asyncconn.errors.ConfigError` when the address cannot be had.
        """
        self._closing.clear()
        app = web.Application(client_max_size=_LARGEST_REQUEST_BYTES)
        app.router.add_route("*", "/{rest:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._runner = runner
        try:
            await runner.setup()
            await _whole(web.TCPSite(runner, host, port).start())
        except BaseException as error:
            await self.stop()
            if isinstance(error, OSError | OverflowError):
                raise ConfigError(f"the sandbox cannot listen on {host} port {port}: {error}") from error
            raise
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """End stalled requests, close every socket; takes at most about a second."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._closing.set()
        cleanup = asyncio.create_task(runner.cleanup(), name="asyncconn-sandbox-stop")
        try:
            await asyncio.wait({cleanup})
        except asyncio.CancelledError:
            await asyncio.wait({cleanup})  # it is bounded, and sockets must not outlive the sandbox
            raise
        cleanup.result()
        await asyncio.sleep(0)  # closed transports let go of their sockets one turn later

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        at = self._clock.now()
        platform = self._platform_for(request)
        name = _NOBODY if platform is None else platform.name
        self.requests[name] += 1
        self.arrivals.append(Arrival(at, name, request.method, request.path))
        try:
            body = await request.read()
        except (ConnectionError, web.RequestPayloadError):
            _log.info("the body of a %s did not come to its end", request.method)  # its path may hold a credential
            return _hang_up(request)
        call = Call(name, request.method, request.path, request.query_string, request.headers, body, request.raw_path)
        fault = self._faults.take(call, frozenset() if platform is None else platform.fault_kinds)
        if fault is not None:
            _log.info("fault %s strikes a %s", fault.kind, call.method)
            return await self._play(fault, platform, call, request)
        return _response(await _answer(platform, call))

    def _platform_for(self, request: web.Request) -> Platform | None:
        for platform in self._platforms:
            if platform.claims(request.method, request.path, request.headers):
                return platform
        return None

    async def _play(
        self, fault: Fault, platform: Platform | None, call: Call, request: web.Request
    ) -> web.StreamResponse:
        match fault.kind:
            case "status":
                return _response(_status(fault, platform, call))
            case "drop_before":
                return _hang_up(request)
            case "stall":
                await self.pause(fault.seconds)
                return _hang_up(request)
        answer = await _answer(platform, call)
        match fault.kind:
            case "drop_after":
                return _hang_up(request)
            case "stall_after":
                await self.pause(fault.seconds)
                return _hang_up(request)
            case "delay":
                return _hang_up(request) if await self.pause(fault.seconds) else _response(answer)
            case "half_body":
                return await _send_half(answer, request)
            case "close":
                return await _send_and_hang_up(answer, request)
            case "malformed":
                return _response(replace(answer, status=200, body=_GARBAGE, pieces=None))
        return _response(answer if platform is None else platform.spoil(fault.kind, answer))

    async def pause(self, seconds: float | None) -> bool:
        """Wait; True when the sandbox is closing."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return False
        return True


async def _whole(listen: Coroutine[Any, Any, None]) -> None:
    """Do not break off: a socket that listens already would belong to nobody, and stay open."""
    listening = asyncio.create_task(listen, name="asyncconn-sandbox-start")
    try:
        await asyncio.wait({listening})
    except asyncio.CancelledError:
        await asyncio.wait({listening})
        listening.exception()  # looked at, so that nobody complains
        raise
    listening.result()


async def _answer(platform: Platform | None, call: Call) -> Answer:
    if platform is None:
        if call.path == _HEALTH:
            return Answer(200, b"ok\n")
        return Answer(404, b"no platform of this sandbox serves this path\n")
    return await platform.answer(call)


def _status(fault: Fault, platform: Platform | None, call: Call) -> Answer:
    status = fault.status or 500
    answer = Answer(status) if platform is None else platform.refusal(call, status)
    headers = dict(answer.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    if fault.location is not None:
        headers["Location"] = fault.location
    return replace(answer, headers=headers)


def _response(answer: Answer) -> web.Response:
    headers = {"Content-Type": answer.content_type, **answer.headers}
    if answer.pieces is not None:
        headers["Content-Length"] = str(answer.length)
        return web.Response(status=answer.status, body=_Pieces(answer.pieces), headers=headers)
    body = b"" if answer.status in _WITHOUT_BODY else answer.body
    return web.Response(status=answer.status, body=body, headers=headers)


class _Pieces:
    """An asynchronous iterator for aiohttp; unlike a generator it may be dropped half-way."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()  # aiohttp wants one, and finds no socket to write it to


async def _send_half(answer: Answer, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type, **answer.headers})
    length = len(answer.body) if answer.pieces is None else answer.length
    response.content_length = length
    await response.prepare(request)
    left = length // 2
    for piece in [answer.body] if answer.pieces is None else answer.pieces:
        await response.write(piece[:left])
        left -= len(piece)
        if left <= 0:
            break
    _hang_up(request)
    return response


async def _send_and_hang_up(answer: Answer, request: web.Request) -> web.StreamResponse:
    response = _response(answer)
    await response.prepare(request)
    await response.write_eof()
    _hang_up(request)
    return response
