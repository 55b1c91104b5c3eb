"""WebSockets of TCUP: one connection that hears, or that publishes, and what its end means. Contract: tcup 4.2-4.5.

Imported by who opens the first one: it brings the library along.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson
from websockets.exceptions import ConnectionClosed

from asyncconn.core.tasks import together
from asyncconn.errors import Answer, ConnectionLost, ProtocolError, StreamLost, SubscriptionRefused, api_error_class
from asyncconn.http.websocket import Dialler, received
from asyncconn.tcup.streams.finality import Finality
from asyncconn.tcup.streams.messages import Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn.core.outbox import Outbox, Posted
    from asyncconn.errors import AsyncConnError
    from asyncconn.http.session import Network
    from asyncconn.http.websocket import ClientConnection
    from asyncconn.tcup.calling import Service
    from asyncconn.tcup.streams.inbox import Inbox

__all__ = ["Ear", "Mouth", "Place"]

_NORMAL, _TOO_BIG = 1000, 1009
_PASSING = {1001: "the server is going away", 1011: "the server failed", 4429: "the server found us too slow"}
_FINAL = {1008: "the key may not do this any more", 4404: "the exchange or queue is gone"}
_PONGS = 4  # in the time between two pings
_BREATH = 50  # frames after which others have their turn: the library's send() may never wait


class _Over(Exception):
    """The other side has ended it in order."""


@dataclass(frozen=True, slots=True, repr=False)
class Place:
    """Where WebSockets are opened: whose service, what is asked for, and what holds for each of them.

    A message may take ``largest`` bytes. A connection is taken for dead when ``every`` seconds after a ping nothing has
    come, pings being as far apart.
    """

    service: Service
    network: Network
    params: dict[str, str]
    name: str
    largest: int
    every: float

    def dialler(self, call: str) -> Dialler:
        """For a call of the table."""
        path = self.service.routes.path(call)
        return Dialler(self.service.http, self.network, path, params=self.params, max_bytes=self.largest)


class _Line:
    """One WebSocket."""

    def __init__(self, socket: ClientConnection, place: Place) -> None:
        self.socket = socket
        self.place = place
        self.name = place.name
        self.came = 0
        self.waiting = False  # for room
        self._dead: StreamLost | None = None

    async def watch(self) -> None:
        """Ping while somebody reads: what a full inbox leaves in the socket may hide the answer.

        It hides the server's pings, too. Meanwhile pongs that nobody asked for tell that we live.
        """
        every = self.place.every
        try:
            while True:
                for _ in range(_PONGS):
                    await asyncio.sleep(every / _PONGS)
                    if self.waiting:
                        await self.socket.pong()
                if not self.waiting:
                    await self._ping(every)
        except ConnectionClosed:
            return  # who reads hears of it when all that came is taken

    async def _ping(self, patience: float) -> None:
        before = self.came
        try:
            async with asyncio.timeout(patience):
                await (await self.socket.ping())
        except TimeoutError:
            if self.came == before and not self.waiting:
                self._dead = StreamLost(f"{self.name}: nothing came for {patience:g} s after a ping")
                self.socket.transport.abort()  # nobody is there to say goodbye to
                raise self._dead from None

    def end(self, closed: ConnectionClosed) -> Exception:
        """What its end means."""
        if self._dead is not None:
            return self._dead
        theirs, ours = closed.rcvd, closed.sent
        if theirs is None:
            if ours is None or ours.code != _TOO_BIG:
                return StreamLost(f"{self.name}: the connection broke")
            return _permanent(f"{self.name}: a message takes more than {self.place.largest:,} bytes")
        code = theirs.code
        if code == _NORMAL:
            return _Over()
        if code == _TOO_BIG:
            return _permanent(f"{self.name}: the server does not take a message of that size ({code})")
        if code in _FINAL:
            return SubscriptionRefused(f"{self.name}: {_FINAL[code]} ({code})")
        return StreamLost(f"{self.name}: {_PASSING.get(code, 'the server has closed the connection')} ({code})")


class Ear:
    """Hears a topic or a queue: opens connections that put its messages into an inbox."""

    def __init__(self, place: Place) -> None:
        self.final = Finality()
        self._dialler = place.dialler("stream.subscribe")
        self._place = place
        params = place.params
        self._topic = params.get("topic") or params.get("queue", "")
        self._why = (
            "what the queue had given to the old connection is not given again"
            if params["type"] == "queue"
            else "a topic does not repeat what was published meanwhile"
        )

    @asynccontextmanager
    async def connect(self, inbox: Inbox[Message]) -> AsyncIterator[_Hearing]:
        """One connection."""
        async with _opened(self._dialler, self.final) as socket:
            yield _Hearing(socket, self._place, inbox, self._topic, self._why)


class _Hearing(_Line):
    def __init__(self, socket: ClientConnection, place: Place, inbox: Inbox[Message], topic: str, missed: str) -> None:
        super().__init__(socket, place)
        self.missed = missed
        self._inbox = inbox
        self._topic = topic

    async def ended(self) -> None:
        try:
            await together((self._hear(), self.watch()), name=self.name)
        except _Over:
            return

    async def _hear(self) -> None:
        inbox, topic = self._inbox, self._topic
        try:
            while True:
                for payload in await received(self.socket):
                    self.came += 1
                    message = Message(topic, payload)
                    if inbox.full:
                        self.waiting = True
                        await inbox.put(message)
                        self.waiting = False
                    else:
                        inbox.add(message)
        except ConnectionClosed as closed:
            raise self.end(closed) from closed


class Mouth:
    """Publishes what an outbox holds: opens connections that send it and settle what is acknowledged.

    What a connection leaves unacknowledged goes out again on the next; without ``resend`` it is a ``ConnectionLost``.
    """

    def __init__(self, place: Place, outbox: Outbox[bytes], *, resend: bool) -> None:
        self.final = Finality()
        self._dialler = place.dialler("stream.publish")
        self._place = place
        self._outbox = outbox
        self._resend = resend

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[_Speaking]:
        """One connection."""
        async with _opened(self._dialler, self.final) as socket:
            line = _Speaking(socket, self._place, self._outbox)
            try:
                yield line
            finally:
                if not self._resend:
                    for posted in line.unanswered:
                        self._outbox.settle(posted, ConnectionLost(f"{self._place.name}: no acknowledgement came"))
                self._outbox.again()


class _Speaking(_Line):
    def __init__(self, socket: ClientConnection, place: Place, outbox: Outbox[bytes]) -> None:
        super().__init__(socket, place)
        self._outbox = outbox
        self._sent: dict[int, Posted[bytes]] = {}

    @property
    def unanswered(self) -> list[Posted[bytes]]:
        return list(self._sent.values())

    async def ended(self) -> None:
        try:
            await together((self._hear(), self._speak(), self.watch()), name=self.name)
        except _Over:  # a publisher has more to say
            raise StreamLost(f"{self.name}: the server has ended the connection") from None

    async def _speak(self) -> None:
        try:
            for number in count(1):
                posted = await self._outbox.take()
                self._sent[number] = posted
                await self.socket.send(posted.item, text=True)
                if not number % _BREATH:
                    await asyncio.sleep(0)
        except ConnectionClosed as closed:
            raise self.end(closed) from closed

    async def _hear(self) -> None:
        try:
            while True:
                for answer in await received(self.socket):
                    self.came += 1
                    self._take(_acknowledgement(answer))
        except ConnectionClosed as closed:
            raise self.end(closed) from closed

    def _take(self, said: dict[str, Any] | None) -> None:
        posted = None if said is None else self._sent.pop(said["seq"], None)
        if said is None or posted is None:
            raise _permanent(f"{self.name}: an acknowledgement is of no frame that was sent")
        code = said["code"]
        self._outbox.settle(posted, None if 200 <= code < 300 else self._refusal(code, said.get("message")))

    def _refusal(self, code: int, said: object) -> AsyncConnError:
        http = self.place.service.http
        return api_error_class(code)(http.redactor.scrub(str(said or "refused"))[:300], Answer(http.service, code))


def _acknowledgement(raw: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    fits = isinstance(found, dict) and type(found.get("seq")) is int and type(found.get("code")) is int
    return found if fits else None


def _permanent(message: str) -> ProtocolError:
    error = ProtocolError(message)
    error.permanent = True
    return error


@asynccontextmanager
async def _opened(dialler: Dialler, final: Finality) -> AsyncIterator[ClientConnection]:
    socket = await dialler.dial()
    final.was_live = True
    try:
        yield socket
        await socket.close()
    finally:
        socket.transport.abort()  # of a closed one it is nothing
