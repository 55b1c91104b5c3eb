"""A data lake and message routing in the sandbox, a client of them, and a wire between the two that can be cut."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from loopback import QuickClock, Server

from asyncconn import Hub
from asyncconn.core.retrying import RetryPolicy
from asyncconn.sandbox import Sandbox, TcupWorld
from asyncconn.tcup import Tcup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from asyncconn.sandbox import Fault
    from asyncconn.sandbox.tcup.dls import Dls
    from asyncconn.tcup.resources.datalake import Datalake
    from asyncconn.tcup.resources.routing import Routing


class Wire(Server):
    """Passes bytes on to ``port``; with ``cuts`` each connection breaks once so many bytes went one way or the other.

    ``cuts`` are the numbers of bytes, one a connection, until they are used up.
    """

    def __init__(self, port: int, cuts: Iterable[int] = ()) -> None:
        super().__init__(self._pass_on)
        self.cuts = list(cuts)
        self._to = port

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = [self.cuts.pop(0) if self.cuts else None]
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            ways = [asyncio.create_task(_pump(*way, left)) for way in ((reader, back), (there, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)
        finally:
            for end in (writer, back):
                end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: list[int | None]) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(16_384):
            room = left[0]
            if room is not None:
                left[0] = room - len(piece)
                piece = piece[:room]
            writer.write(piece)
            await writer.drain()
            if room is not None and left[0] <= 0:  # type: ignore[operator]  # it was set above
                return


@dataclass
class Scene:
    sandbox: Sandbox
    tcup: Tcup
    cuts: list[int] = field(default_factory=list)

    @property
    def lake(self) -> Datalake:
        return self.tcup.datalake

    @property
    def routing(self) -> Routing:
        return self.tcup.routing

    @property
    def world(self) -> TcupWorld:
        return self.sandbox.tcup

    @property
    def dls(self) -> Dls:
        return self.world.services(self.world.tenant).dls

    def content(self, uri: str) -> bytes:
        """What the sandbox keeps of a file."""
        stored = self.dls.stored(uri)
        pieces = stored.pieces(0, stored.size)
        assert pieces is not None
        return b"".join(pieces)

    def calls(self, *ways: str) -> int:
        """How many there were, such as ``POST /dls/file``; all of them without a word."""
        seen = Counter(f"{call.method} {call.path}" for call in self.world.calls)
        return sum(seen.values()) if not ways else sum(seen[way] for way in ways)

    def fail(self, *faults: Fault) -> None:
        self.sandbox.faults.add(*faults)

    def other(self, **options: Any) -> Tcup:
        """Another client on the same hub."""
        return _client(self.world.url, self.world.api_key, self.tcup.hub, **options)


def _client(url: str, key: str, hub: Hub, **options: Any) -> Tcup:
    return Tcup(url, key, hub=hub, **{"retry": RetryPolicy(attempts=4, deadline=600.0), **options})


@asynccontextmanager
async def scene(*faults: Fault, cuts: Iterable[int] | None = None, **options: Any) -> AsyncIterator[Scene]:
    """With ``cuts``, the client comes by a wire that breaks as they say."""
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(TcupWorld(), seed=1))
        hub = await stack.enter_async_context(Hub(clock=QuickClock()))
        sandbox.faults.add(*faults)
        url = sandbox.tcup.url
        wire = None
        if cuts is not None:
            port = urlsplit(url).port
            assert port is not None
            wire = await stack.enter_async_context(Wire(port, cuts))
            url = url.replace(f":{port}", f":{wire.port}")
        tcup = _client(url, sandbox.tcup.api_key, hub, **options)
        yield Scene(sandbox, tcup, [] if wire is None else wire.cuts)
