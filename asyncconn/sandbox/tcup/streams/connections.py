"""The connections that stay: what passed on them, and what a fault or a user does to them."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakSet

from asyncconn.sandbox.tcup.streams.faults import StreamFaults, fits

if TYPE_CHECKING:
    from asyncconn.sandbox.tcup.options import Options
    from asyncconn.sandbox.tcup.streams.faults import Match, StreamFault

__all__ = ["Absence", "Books", "Connection", "Streams", "abort"]

_log = logging.getLogger("asyncconn.sandbox")

_KEEP_CONNECTS = 10_000
_KEEP_ABSENCES = 1000


def abort(transport: asyncio.WriteTransport | None) -> None:
    """Close it at once, whatever is still to be written; one that asyncio has closed already takes no second blow."""
    socket = None if transport is None else transport.get_extra_info("socket")
    if transport is not None and socket is not None and socket.fileno() != -1:
        transport.abort()


@dataclass(slots=True)
class Books:
    """What one protocol did since the sandbox was made.

    ``connects`` counts connections that opened, ``refused`` those that MQTT did not let in, ``published`` messages that
    clients sent and ``answered`` the acknowledgements for them, ``delivered`` messages on their way to clients, those
    that are delivered again included, ``acknowledged`` those that MQTT's clients have acknowledged. ``connected_at``
    are the moments of the last connects, in seconds of the event loop.
    """

    connects: int = 0
    refused: int = 0
    published: int = 0
    answered: int = 0
    delivered: int = 0
    acknowledged: int = 0
    connected_at: deque[float] = field(default_factory=lambda: deque(maxlen=_KEEP_CONNECTS))


@dataclass(slots=True)
class Absence:
    """A time without a connection of this key; ``ended`` None while it is not back. Seconds of the event loop."""

    key: tuple[str, str, str, str]
    began: float
    ended: float | None = None


class Streams:
    """All connections of a world that stay.

        world.streams.faults.add(StreamFault("swallow_ack", match="websocket", times=3))
        world.streams.kill("mqtt")
        world.streams.books["mqtt"].connects

    ``live`` are those that are open now, oldest first; ``absences`` are the last times without one that had been there
    before; ``transports`` are to be shut when the world closes.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.faults = StreamFaults()
        self.books: defaultdict[str, Books] = defaultdict(Books)
        self.live: list[Connection] = []
        self.absences: deque[Absence] = deque(maxlen=_KEEP_ABSENCES)
        self.transports: WeakSet[asyncio.Transport] = WeakSet()

    def __repr__(self) -> str:
        return f"<Streams {len(self.live)} live, {self.faults!r}>"

    def reset(self) -> None:
        """Break all off, and forget what passed, and the faults."""
        self.kill()
        self.live.clear()
        self.faults.clear()
        self.faults.hits.clear()
        self.books.clear()
        self.absences.clear()

    def came(self, one: Connection) -> None:
        """It is one of the live ones, and may end an absence."""
        self.live.append(one)
        for absence in self.absences:
            if absence.ended is None and absence.key == one.key:
                absence.ended = asyncio.get_running_loop().time()
                return

    def went(self, one: Connection) -> None:
        """It is none of them any more."""
        if one in self.live:
            self.live.remove(one)
            self.absences.append(Absence(one.key, asyncio.get_running_loop().time()))

    def close(self) -> None:
        """Shut what a client that does not read would keep open."""
        for transport in tuple(self.transports):
            abort(transport)

    def pick(self, match: Match = None) -> list[Connection]:
        """The live ones that ``match`` picks: a protocol, a name, a callable, or None for all."""
        return [one for one in self.live if fits(match, one)]

    def kill(self, match: Match = None) -> int:
        """Break them off now, without a farewell; how many they were."""
        picked = self.pick(match)
        for one in picked:
            one.kill()
        return len(picked)

    def leave(self, code: int, match: Match = None) -> int:
        """End them in order, a WebSocket with this close code; how many they were."""
        picked = self.pick(match)
        for one in picked:
            one.leave(code)
        return len(picked)

    def stall(self, match: Match = None, seconds: float | None = None) -> int:
        """Neither read nor write on them any more, or for so long; how many they were."""
        picked = self.pick(match)
        for one in picked:
            one.stall(seconds)
        return len(picked)


class Connection(ABC):
    """One of them; ``received`` and ``sent`` count messages, not packets. ``flowing`` is clear while it stalls."""

    protocol: str
    about: str = ""  # what it hears, or where it publishes

    def __init__(self, streams: Streams, name: str, user: str) -> None:
        self.name = name
        self.user = user
        self.received = 0
        self.sent = 0
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.streams = streams
        self._struck: set[object] = set()
        self._over = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.received} received, {self.sent} sent>"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What a connection that takes its place has in common with it."""
        return self.protocol, self.user, self.name, self.about

    @property
    def messages(self) -> int:
        """Those that passed, either way."""
        return self.received + self.sent

    @property
    def books(self) -> Books:
        """Of its protocol."""
        return self.streams.books[self.protocol]

    @abstractmethod
    def kill(self) -> None:
        """Break it off, without a farewell."""

    @abstractmethod
    def leave(self, code: int) -> None:
        """End it in order; ``code`` is for WebSockets."""

    def stall(self, seconds: float | None = None) -> None:
        """Neither read nor write any more, or for so long."""
        self.flowing.clear()
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self.flow)

    def flow(self) -> None:
        """Read and write again."""
        self.flowing.set()

    def opened(self) -> None:
        """It is one of the live ones from here on."""
        self.streams.came(self)
        self.books.connects += 1
        self.books.connected_at.append(asyncio.get_running_loop().time())
        self.suffer()

    def closed(self) -> None:
        """It is none of the live ones."""
        self.streams.went(self)

    async def took(self) -> None:
        """A message came from the client."""
        self.received += 1
        self.books.published += 1
        await asyncio.sleep(0)  # what was sent in one go is read without waiting, and subscribers want their turn

    def gave(self) -> None:
        """A message went to the client."""
        self.sent += 1
        self.books.delivered += 1
        self.suffer()

    async def may_answer(self) -> bool:
        """Whether the message that came is to be acknowledged, once it may be."""
        fault = self.fault("swallow_ack", "delay_ack")
        if fault is not None and fault.seconds is not None:
            await asyncio.sleep(fault.seconds)
        answers = fault is None or fault.kind != "swallow_ack"
        self.books.answered += answers
        return answers

    def fault(self, *kinds: str) -> StreamFault | None:
        """The one that strikes here and now."""
        fault = self.streams.faults.take(self, kinds, self._struck)
        if fault is not None:
            _log.info("fault %s strikes a connection by %s", fault.kind, self.protocol)
        return fault

    def suffer(self) -> None:
        """Play what is to happen after so many messages; it ends once."""
        while not self._over and (fault := self.fault("kill", "close", "stall")) is not None:
            self._over = fault.kind != "stall"
            if fault.kind == "kill":
                self.kill()
            elif fault.kind == "stall":
                self.stall(fault.seconds)
            elif fault.code is not None:
                self.leave(fault.code)
