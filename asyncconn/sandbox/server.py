"""Listening, handing requests to the worlds, playing the faults, and ending in bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from aiohttp import web

from asyncconn.errors import ConfigError
from asyncconn.sandbox.exchange import NOBODY, Answer, Arrival, BrokenOff, Call
from asyncconn.sandbox.sending import HungUp, hang_up, send, send_half

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from asyncconn.sandbox.faults import Fault
    from asyncconn.sandbox.log import Entry
    from asyncconn.sandbox.sockets import Socket
    from asyncconn.sandbox.world import Place, World

__all__ = ["Server", "Stopping"]

T = TypeVar("T")
Sending = Callable[[Answer, web.Request], Coroutine[Any, Any, web.StreamResponse]]

_log = logging.getLogger("asyncconn.sandbox")

# Above every platform's own limit, so that it is the platform that refuses, in its own words.
_LARGEST_REQUEST_BYTES = 64 * 1024 * 1024
# What waits ends at once by itself; this bounds a handler that is really at work.
_SHUTDOWN_SECONDS = 1.0
_GARBAGE = b"\x00<<<{ this is neither XML nor JSON"
_HEALTH = "/sandbox/health"  # answers 200 and does nothing: for probes, and for counting calls


class Stopping(Exception):
    """The server stops, and the work was given up."""


class Server:
    """One listening socket in front of one or several worlds.

        server = Server([world], Place(faults=Faults.parse("status:503*2")))
        url = await server.start()
        ...
        await server.stop()

    ``arrivals`` says when which request arrived, the last ``place.keep_arrivals`` of them; ``requests`` counts all, by
    world (``-`` for those that none serves). What ``desk`` claims is answered by it, is neither counted nor struck by
    faults. Opening and closing the worlds is left to the caller.
    """

    def __init__(self, worlds: Sequence[World], place: Place, desk: World | None = None) -> None:
        self.requests: Counter[str] = Counter()
        self.arrivals: deque[Arrival] = deque(maxlen=place.keep_arrivals)
        self._worlds = tuple(worlds)
        self._place = place
        for world in self._worlds:
            place.faults.meet(world.name, world.fault_kinds)
        self._desk = desk
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._serving: WeakSet[asyncio.Task[None]] = WeakSet()  # one a connection

    async def start(self, port: int = 0) -> str:
        """Listen, also again after a stop; returns ``http://HOST:PORT``. Port 0 takes a free one.

        Raises :class:`~asyncconn.errors.ConfigError` when the address cannot be had.
        """
        self._closing.clear()
        host = self._place.host
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
        return f"http://{f'[{host}]' if ':' in host else host}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End what is still going on, close every socket; takes at most about a second."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._closing.set()
        cleanup = asyncio.create_task(self._end(runner), name="asyncconn-sandbox-stop")
        try:
            await asyncio.wait({cleanup})
        except asyncio.CancelledError:
            await asyncio.wait({cleanup})  # it is bounded, and sockets must not outlive the sandbox
            raise
        cleanup.result()
        await asyncio.sleep(0)  # closed transports let go of their sockets one turn later

    async def _end(self, runner: web.AppRunner) -> None:
        await runner.cleanup()
        # One may still wait for the rest of a body whose sender has gone.
        if waiting := [task for task in self._serving if not task.done()]:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)

    async def pause(self, seconds: float | None) -> bool:
        """Wait; True when the server stops."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return False
        return True

    async def while_open(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work``, but give it up when this server stops. Raises :class:`Stopping` then."""
        doing = asyncio.create_task(work, name="asyncconn-sandbox-work")
        closing = asyncio.create_task(self._closing.wait(), name="asyncconn-sandbox-closing")
        try:
            await asyncio.wait({doing, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            doing.cancel()
            closing.cancel()
            await asyncio.wait({doing, closing})
        if doing.cancelled():
            raise Stopping
        return doing.result()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        desk = self._desk
        if desk is not None and desk.claims(request.method, request.path, request.headers):
            return await self._ask(desk, request)
        self._serving.add(request.task)
        clock = self._place.clock
        at = clock.now()
        world = self._world_for(request)
        name = NOBODY if world is None else world.name
        self.requests[name] += 1
        self.arrivals.append(Arrival(at, name, request.method, request.path))
        query = request.rel_url.raw_query_string
        entry = self._place.log.begin(clock.utcnow(), name, request.method, request.path, query, request.headers)
        response: web.StreamResponse | None = None
        try:
            response = await self._serve(world, request, entry)
            return response
        finally:
            entry.seconds = clock.now() - at
            if response is not None and not isinstance(response, HungUp):
                entry.status = response.status

    async def _ask(self, desk: World, request: web.Request) -> web.StreamResponse:
        try:
            return await self._send(await desk.answer(await _read(desk, request)), request)
        except (BrokenOff, Stopping):
            return hang_up(request)

    async def _serve(self, world: World | None, request: web.Request, entry: Entry) -> web.StreamResponse:
        try:
            call = await _read(world, request)
            entry.body_bytes = len(call.body)
            fault = self._place.faults.take(call, frozenset() if world is None else world.fault_kinds)
            if fault is None:
                return await self._send(await self._answer(world, call), request)
            entry.fault = fault.kind
            _log.info("fault %s strikes a %s", fault.kind, call.method)
            return await self._play(fault, world, call, request)
        except BrokenOff:
            _log.info("the body of a %s did not come to its end", request.method)  # its path may hold a credential
        except Stopping:
            pass
        return hang_up(request)

    def _world_for(self, request: web.Request) -> World | None:
        for world in self._worlds:
            if world.claims(request.method, request.path, request.headers):
                return world
        return None

    async def _answer(self, world: World | None, call: Call) -> Answer:
        if world is None:
            if call.path == _HEALTH:
                return Answer(200, b"ok\n")
            return Answer(404, b"no world of this sandbox serves this path\n")
        # Only what reads from the client can wait for it without end.
        return await (world.answer(call) if call.pieces is None else self.while_open(world.answer(call)))

    async def _play(self, fault: Fault, world: World | None, call: Call, request: web.Request) -> web.StreamResponse:
        match fault.kind:
            case "status":
                return await self._send(_status(fault, world, call), request)
            case "drop_before":
                return hang_up(request)
            case "stall":
                await self.pause(fault.seconds)
                return hang_up(request)
        answer = await self._answer(world, call)
        match fault.kind:
            case "drop_after":
                return hang_up(request)
            case "stall_after":
                await self.pause(fault.seconds)
                return hang_up(request)
            case "delay":
                return hang_up(request) if await self.pause(fault.seconds) else await self._send(answer, request)
            case "half_body":
                await self._out(send_half, answer, request)
                return hang_up(request)
            case "close":
                await self._send(_without_farewell(answer, request), request)
                return hang_up(request)
            case "malformed":
                answer = replace(answer, status=200, body=_GARBAGE, pieces=None, upgrade=None)
            case _ if world is not None:
                answer = world.spoil(fault.kind, answer)
        return await self._send(answer, request)

    async def _send(self, answer: Answer, request: web.Request) -> web.StreamResponse:
        return await self._out(send, answer, request)

    async def _out(self, how: Sending, answer: Answer, request: web.Request) -> web.StreamResponse:
        try:
            if answer.pieces is None and answer.upgrade is None:
                return await how(answer, request)
            return await self.while_open(how(answer, request))
        except ConnectionError:  # the client is gone, which is its own affair
            return hang_up(request)


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


async def _read(world: World | None, request: web.Request) -> Call:
    """The call, with its body unless the world reads that itself. Raises :class:`BrokenOff`."""
    name = NOBODY if world is None else world.name
    said = (name, request.method, request.path, request.rel_url.raw_query_string, request.headers)
    if world is not None and world.takes_pieces(request.method, request.path, request.headers):
        return Call(*said, pieces=_body(request), target=request.raw_path, peer=request.remote or "")
    try:
        return Call(*said, await request.read(), target=request.raw_path, peer=request.remote or "")
    except (ConnectionError, web.RequestPayloadError) as error:
        raise BrokenOff from error


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.content.iter_any():
            yield piece
    except (ConnectionError, web.RequestPayloadError) as error:
        raise BrokenOff from error


def _status(fault: Fault, world: World | None, call: Call) -> Answer:
    status = fault.status or 500
    answer = Answer(status) if world is None else world.refusal(call, status)
    headers = dict(answer.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    if fault.location is not None:
        headers["Location"] = fault.location
    return replace(answer, headers=headers)


def _without_farewell(answer: Answer, request: web.Request) -> Answer:
    """A WebSocket that talks as it would, and ends without a close frame."""
    talk = answer.upgrade
    if talk is None:
        return answer

    async def vanish(socket: Socket) -> None:
        await talk(socket)
        hang_up(request)

    return replace(answer, upgrade=vanish)
