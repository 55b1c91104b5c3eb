"""A sandbox of TCUP with the topic exchange ``ex1``, and what tests of live data share."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from asyncconn.core.supervise import Reconnect

from .scene import Scene, scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncconn.tcup.streams.messages import Messages

TOPIC: dict[str, Any] = {"exchange": "ex1", "topic": "test"}
SOON = Reconnect(initial=0.01, maximum=0.05, timeout=5.0)


class Steady(Reconnect):
    """Half of each pause, always: what it comes to does not depend on luck."""

    def pause(self, failures: int, floor: float = 0.0, *, random: Callable[[], float] = lambda: 0.5) -> float:
        return super().pause(failures, floor, random=random)


@asynccontextmanager
async def stage(**world: Any) -> AsyncIterator[Scene]:
    async with scene(registered=False, **world) as made:
        made.world.mr.broker.create("ex1")
        yield made


def publish(made: Scene, *documents: Any, topic: str = "test") -> None:
    """What somebody else publishes."""
    for document in documents:
        made.world.mr.broker.to_topic("ex1", topic, document)


def published(made: Scene) -> list[Any]:
    """What came to the topic so far."""
    return made.world.mr.broker.routed("ex1", "test")


async def taken(messages: Messages[Any], count: int) -> list[Any]:
    """The next messages' JSON."""
    found: list[Any] = []
    async with asyncio.timeout(10.0):
        while len(found) < count:
            found.append((await anext(messages)).json)
    return found


def firsts(everything: list[Any]) -> list[Any]:
    """Each once, where it came first."""
    return list(dict.fromkeys(everything))
