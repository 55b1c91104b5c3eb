"""WebSockets: publishing with an acknowledgement for each frame, and hearing topics and queues.

Contract: tcup sections 4.2 to 4.5.
"""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import WSMsgType

from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.tcup.asking import read_json
from asyncconn.sandbox.tcup.service import Service
from asyncconn.sandbox.tcup.streams.connections import Connection, abort
from asyncconn.sandbox.tcup.streams.sources import DELETED, Source, Subscriber, Target
from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from aiohttp import WSMessage

    from asyncconn.sandbox.sockets import Socket
    from asyncconn.sandbox.tcup.asking import Ask, Route
    from asyncconn.sandbox.tcup.broker import Broker
    from asyncconn.sandbox.tcup.streams.connections import Streams
    from asyncconn.sandbox.tcup.tenants import Tenant

__all__ = ["WebSockets"]

_LARGEST_FRAME = 1024 * 1024
_TOO_BIG = 1009
_FAREWELL_SECONDS = 1.0
_END = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})


class WebSockets(Service):
    """One tenant's WebSockets."""

    def __init__(self, tenant: Tenant, broker: Broker, streams: Streams) -> None:
        self._tenant = tenant
        self._broker = broker
        self._streams = streams

    def routes(self) -> list[Route]:
        """The calls of the contract's table."""
        return [("GET", "/publish", self._publish), ("GET", "/subscribe", self._subscribe)]

    def _publish(self, ask: Ask) -> Answer:
        target = Target.of(ask, self._broker, self._tenant.routing_key)
        return self._open(Publisher(self._streams, self._tenant.user, self._broker, target))

    def _subscribe(self, ask: Ask) -> Answer:
        source = Source.of(ask, self._broker)
        return self._open(Listener(self._streams, self._tenant.user, self._broker, source))

    @staticmethod
    def _open(talk: Talk) -> Answer:
        return Answer(101, upgrade=talk.run, own_pings=True)


class Talk(Connection):
    """One of them, until either side ends it."""

    protocol = "websocket"

    def __init__(self, streams: Streams, name: str, user: str) -> None:
        super().__init__(streams, name, user)
        self._end: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._pong = asyncio.Event()
        self._socket: Socket | None = None

    async def run(self, socket: Socket) -> None:
        """Talk to the client to the end."""
        self._socket = socket
        if socket.transport is not None:
            self.streams.transports.add(socket.transport)
        self.opened()
        work = (self._read(socket), self._ping(socket), self.work(socket))
        tasks = {asyncio.create_task(one, name="asyncconn-sandbox-websocket") for one in work}
        try:
            code = await self._end
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self.closed()
        if code is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await socket.close(code=code)

    def kill(self) -> None:
        """Break it off, without a close frame."""
        if self._socket is not None:
            abort(self._socket.transport)
        self._finish(None)

    def leave(self, code: int) -> None:
        """Close it with this code."""
        self._finish(code)

    @property
    def ended(self) -> bool:
        """Whether nothing is to be sent any more."""
        return self._end.done()

    @abstractmethod
    async def work(self, socket: Socket) -> None:
        """What it does beside reading."""

    async def hear(self, socket: Socket, message: WSMessage) -> None:
        """A frame of the client came."""

    def _finish(self, code: int | None) -> None:
        if not self._end.done():
            self._end.set_result(code)

    async def _read(self, socket: Socket) -> None:
        with suppress(ConnectionError):
            while True:
                message = await socket.receive()
                await self.flowing.wait()
                if message.type in _END or self.ended:
                    break
                if message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is WSMsgType.PONG:
                    self._pong.set()
                else:
                    await self.hear(socket, message)
        self._finish(None)

    async def _ping(self, socket: Socket) -> None:
        seconds = self.streams.options.ping
        while True:
            await asyncio.sleep(seconds)
            await self.flowing.wait()
            self._pong.clear()
            try:
                async with asyncio.timeout(seconds):
                    await socket.ping()
                    await self._pong.wait()
            except (TimeoutError, ConnectionError):
                self.kill()
                return


class Publisher(Talk):
    """Takes documents, and acknowledges each of them by its place."""

    def __init__(self, streams: Streams, user: str, broker: Broker, target: Target) -> None:
        super().__init__(streams, "publish", user)
        self._broker = broker
        self._target = target
        self.about = str(target)
        self._seq = 0

    async def work(self, socket: Socket) -> None:
        """Nothing beside reading."""

    async def hear(self, socket: Socket, message: WSMessage) -> None:
        """One document."""
        raw = message.data if isinstance(message.data, bytes) else message.data.encode()
        if len(raw) > _LARGEST_FRAME:
            self.leave(_TOO_BIG)
            return
        await self.took()
        self._seq += 1
        code, said = 200, "Published"
        try:
            if message.type is not WSMsgType.TEXT:
                raise Refused(400, "this is no text frame")
            self._target.publish(self._broker, read_json(raw), raw)
        except Refused as refused:
            if refused.status == 404:
                self.leave(DELETED)
                return
            code, said = refused.status, refused.message
        if await self.may_answer():
            await socket.send_str(json.dumps({"seq": self._seq, "code": code, "message": said}))
        self.suffer()


class Listener(Talk):
    """Sends messages as they were published, a frame each."""

    def __init__(self, streams: Streams, user: str, broker: Broker, source: Source) -> None:
        super().__init__(streams, "subscribe", user)
        self._broker = broker
        self._source = source
        self.about = str(source)

    async def run(self, socket: Socket) -> None:
        """From now on, and not before."""
        self._subscriber = Subscriber(self._broker, self._source, self.streams.options.buffer, self.leave)
        try:
            await super().run(socket)
        finally:
            self._subscriber.leave()

    async def work(self, socket: Socket) -> None:
        """Send one by one."""
        with suppress(ConnectionError):
            while await self._subscriber.ready():
                await self.flowing.wait()
                if self.ended:
                    return
                payload = self._subscriber.pop().payload
                try:
                    await socket.send_str(payload.decode())
                except UnicodeDecodeError:  # what came by MQTT may be anything
                    await socket.send_bytes(payload)
                self.gave()
                await asyncio.sleep(0)  # small frames never wait, and others want their turn
        self._finish(None)
