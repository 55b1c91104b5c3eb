"""Connectors whose batches end as a test says, for the tests of ``batched``."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import TYPE_CHECKING, Any

from asyncconn import Connector, Hub, Platform
from asyncconn.batches import batched
from asyncconn.core.buffer.batch import Batch
from asyncconn.core.buffer.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path


Point = dict[str, Any]


class Acme(Connector):
    """Its server is a list: ``answers`` say of an item, by its id, what happens to it the next time."""

    platform = Platform("acme", base_url="http://127.0.0.1:1")

    def __init__(self, hub: Hub | None = None) -> None:
        super().__init__(hub=hub)
        self.calls: list[list[Point]] = []
        self.arrived: list[Any] = []
        self.at: list[float] = []
        self.answers: dict[Any, list[str]] = {}
        self.errors: list[Exception] = []
        self.seconds = 0.0

    async def receive(self, batch: Batch[Point]) -> None:
        self.calls.append(copy.deepcopy(batch.items))
        self.at.append(self.hub.clock.now())
        await asyncio.sleep(self.seconds)
        for item in batch.items:
            answers = self.answers.get(item["id"])
            answer = answers.pop(0) if answers else "ok"
            if answer == "busy":
                batch.again(item)
            elif answer.startswith("later"):
                batch.again(item, after=float(answer[6:]))
            elif answer != "ok":
                batch.reject(item, answer)
            else:
                self.arrived.append(item["id"])
        if self.errors:
            raise self.errors.pop(0)

    @batched(max_items=3, max_bytes=1000)
    async def points(self, batch: Batch[Point]) -> str:
        """Sends points."""
        await self.receive(batch)
        return "thanks"

    @batched(max_items=3, max_bytes=1000, key=lambda point: point.get("key"), tries=3)
    async def ordered(self, batch: Batch[Point]) -> None:
        await self.receive(batch)


def items(count: int, **more: Any) -> list[Point]:
    return [{"id": number, **more} for number in range(count)]


class Noun:
    def __init__(self, connector: Acme) -> None:
        self.connector = connector

    @batched(max_items=3, max_bytes=1000)
    async def points(self, batch: Batch[Point]) -> None:
        await self.connector.receive(batch)


class Spooling(Acme):
    """Its server may be away."""

    def __init__(self, hub: Hub, path: Path) -> None:
        super().__init__(hub)
        self.path = path

    @batched(
        max_items=4,
        max_bytes=1000,
        key=lambda point: point.get("key"),
        spool=lambda self: Spool(self.path, fsync=False),
        tries=3,
    )
    async def kept(self, batch: Batch[Point]) -> None:
        await self.receive(batch)


async def left_in(path: Path) -> list[Any]:
    spool = Spool(path, fsync=False)
    await spool.open()
    found = [json.loads(item)["id"] for _, item in await spool.read()]
    await spool.aclose()
    return found
