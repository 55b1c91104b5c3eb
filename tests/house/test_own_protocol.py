"""A protocol of one's own, kept up and emptied in order: what an author builds of the supervisor and the outbox."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from loopback import Server

from asyncconn import Outbox, Reconnect, Spool, SpooledOutbox, Supervisor
from asyncconn.errors import ConnectFailed, ConnectionLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn import Gap, Posted

SOON = Reconnect(initial=0.001, maximum=0.01)


class Lines:
    """One connection of a protocol that acknowledges each line with its text."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, outbox: Outbox[str]) -> None:
        self._reader = reader
        self._writer = writer
        self._outbox = outbox
        self._sent: dict[str, Posted[str]] = {}

    async def ended(self) -> None:
        sending = asyncio.ensure_future(self._send())
        try:
            await self._hear()
        except OSError as error:
            raise ConnectionLost("the device broke off") from error
        finally:
            sending.cancel()
            await asyncio.wait({sending})
        raise ConnectionLost("the device hung up")

    async def _send(self) -> None:
        while True:
            posted = await self._outbox.take()
            self._sent[posted.item] = posted
            self._writer.write(posted.item.encode() + b"\n")

    async def _hear(self) -> None:
        while line := await self._reader.readline():
            self._outbox.settle(self._sent[line.decode().strip()])


class Device:
    """What a user writes for it."""

    def __init__(self, port: int, outbox: Outbox[str]) -> None:
        self.outbox = outbox
        self.supervisor = Supervisor(self._connect, name="device", policy=SOON)
        self._port = port

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Lines]:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError as error:
            raise ConnectFailed("the device is away") from error
        try:
            if self.supervisor.connection:
                self.supervisor.missed("it has been away")
            yield Lines(reader, writer, self.outbox)
        finally:
            self.outbox.again()
            writer.close()


class Receiver:
    """Acknowledges lines, and hangs up in the middle of every ``cut``-th."""

    def __init__(self, cut: int) -> None:
        self.lines: list[str] = []
        self._count = count(1)
        self._cut = cut

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.lines.append(line.decode().strip())
            if next(self._count) % self._cut == 0:
                return
            writer.write(line)


def outboxes(folder: Path) -> dict[str, Outbox[str]]:
    kept = Spool(folder / "device.spool", fsync=False)
    return {
        "memory": Outbox[str](window=5),
        "spool": SpooledOutbox(kept, owner="device", encode=str.encode, decode=bytes.decode, window=5, max_pending=20),
    }


@pytest.mark.parametrize("kind", ["memory", "spool"])
async def test_every_line_is_acknowledged_in_order_over_breaks(kind: str, tmp_path: Path) -> None:
    receiver = Receiver(cut=7)
    gaps: list[Gap] = []
    outbox = outboxes(tmp_path)[kind]
    async with Server(receiver.serve) as server:
        device = Device(server.port, outbox)
        device.supervisor.events.on("gap", gaps.append)
        await outbox.open()
        async with device.supervisor:
            posted = [await outbox.post(str(number)) for number in range(50)]
            await asyncio.gather(*(one.done for one in posted))
            await outbox.drained()
        outbox.close(ConnectionLost("closed"))
        await outbox.aclose()
    assert list(dict.fromkeys(receiver.lines)) == [str(number) for number in range(50)]
    assert (outbox.accepted, outbox.acknowledged, len(outbox)) == (50, 50, 0)
    assert len(gaps) == device.supervisor.connection - 1 > 0
