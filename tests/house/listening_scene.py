"""A connector that keeps connections up, as one of a user does; each can be cut."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from asyncconn import Connector, Hub, Platform, Reconnect, StreamFigures, StreamTally, Supervisor
from asyncconn.errors import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import Iterable


class Line:
    def __init__(self) -> None:
        self.cut = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    async def ended(self) -> None:
        await self.cut.wait()
        raise ConnectionLost("cut")


class Listening(Connector):
    platform = Platform("listening", base_url="http://127.0.0.1:1")

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub=hub)
        self.tally = StreamTally("listening.events")

    def line(self, pause: float) -> Supervisor[Line]:
        """A connection that is made anew ``pause`` seconds after it was cut."""
        policy = Reconnect(initial=pause, maximum=pause)
        return Supervisor(Line, name="listening:1", policy=policy, clock=self.hub.clock, tally=self.tally)

    def figures(self) -> Iterable[StreamFigures]:
        return [self.tally.figures()]
