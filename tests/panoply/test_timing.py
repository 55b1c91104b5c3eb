"""When records leave, and over which connections."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from helpers import virtual

from asyncconn import Hub, Panoply
from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.panoply import wire
from asyncconn.sandbox import Fault

from .scene import SandboxTarget
from .writer_tests import SLOW, settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncconn.core.clock import VirtualClock
    from asyncconn.sandbox import Sandbox

KEY = "acme/k1r4nd0mr4nd0m01"
SECRET = "cjRuZDJyNG5kMnI0bmQyMi8zZjJiOGMxZS0wMDAwLTQwMDAtODAwMC0wMTIzNDU2Nzg5YWIvMTIzNDU2Nzg5MDEyL3VzLWVhc3QtMQ=="


class ClockedSender:
    """Takes ``seconds`` for each message, and notes when it left with how many records."""

    def __init__(self, clock: VirtualClock, seconds: float) -> None:
        self.left: list[tuple[float, int]] = []
        self._clock = clock
        self._seconds = seconds

    async def send(self, items: Sequence[bytes]) -> wire.SentMessage:
        self.left.append((self._clock.now(), len(items)))
        await self._clock.sleep(self._seconds)
        return wire.SentMessage("id", verified=True)

    async def aclose(self) -> None:
        pass


def clocked(clock: VirtualClock, hub: Hub, seconds: float, **policy: Any) -> tuple[Panoply, ClockedSender]:
    panoply = Panoply(KEY, SECRET, hub=hub, policy=BatchPolicy(**policy))
    panoply._sender = sender = ClockedSender(clock, seconds)
    return panoply, sender


@virtual
async def test_a_lone_record_leaves_within_two_seconds(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        panoply, sender = clocked(clock, hub, 0.1)
        receipt = await panoply.write("t", {"id": 1})
        await receipt
        [(at, count)] = sender.left
        assert count == 1
        assert 1.5 < at <= 2.0
        assert panoply.stats.max_age_at_send <= 2.0


@virtual
async def test_a_record_that_follows_just_before_the_deadline_does_not_put_it_off(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        for gap in (1.9, 1.97, 1.99, 2.0):
            panoply, sender = clocked(clock, hub, 0.1)
            started = clock.now()
            await panoply.write("t", {"id": 1})
            await clock.sleep(gap)
            await panoply.write("t", {"id": 2})
            await clock.sleep(3.0)
            assert sender.left[0][0] - started <= 2.0
            assert sum(count for _, count in sender.left) == 2
            assert panoply.stats.max_age_at_send <= 2.0


@virtual
async def test_with_a_record_every_now_and_then_none_waits_longer(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        panoply, sender = clocked(clock, hub, 0.3)
        for i in range(100):
            await panoply.write("t", {"id": i})
            await clock.sleep(0.3)
        await panoply.flush()
        assert panoply.stats.max_age_at_send <= 2.0
        assert len(sender.left) <= 30.0 / 1.9 + 1


@virtual
async def test_a_slow_server_does_not_make_records_travel_alone(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        panoply, sender = clocked(clock, hub, 2.5, max_in_flight=1)
        for i in range(1000):
            await panoply.write("t", {"id": i})
            await clock.sleep(0.01)
        await panoply.flush()
        assert len(sender.left) <= 6
        assert sum(count for _, count in sender.left) == 1000


async def test_at_the_sandbox_too_no_record_grows_older_than_promised(target: SandboxTarget) -> None:
    panoply = target.panoply(policy=BatchPolicy(max_age=0.4))
    await panoply.write("warm", {})
    await panoply.flush()
    await panoply.write("t", {"id": 1})
    await asyncio.sleep(0.37)
    receipt = await panoply.write("t", {"id": 2})
    await receipt
    await panoply.flush()
    assert 0.3 < panoply.stats.max_age_at_send <= 0.45
    assert target.rows() == {1, 2}


async def test_at_the_sandbox_too_a_slow_server_gets_few_and_full_messages(target: SandboxTarget) -> None:
    target.sandbox.faults.add(Fault("delay", seconds=0.3, times=None))
    panoply = target.panoply(policy=BatchPolicy(max_age=0.1, max_in_flight=1))
    for i in range(60):
        await panoply.write("t", {"id": i})
        await asyncio.sleep(0.015)
    await panoply.flush()
    assert len(target.sandbox.panoply.messages) <= 8
    assert target.rows() == set(range(60))


# -- one session -------------------------------------------------------------------------------------------------------


class Sockets:
    """Counts the connections that a session makes."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, address: Any) -> socket.socket:
        self.made += 1
        family, kind, protocol, _, _ = address
        return socket.socket(family, kind, protocol)


async def test_all_writers_of_a_hub_share_its_connections_and_leave_a_borrowed_session_open(sandbox: Sandbox) -> None:
    sockets = Sockets()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=sockets)) as session:
        async with Hub(session=session) as hub:
            writers = [SandboxTarget(sandbox, hub, sender).panoply(policy=SLOW) for sender in ("form", "sqs") * 2]
            for number, writer in enumerate([*writers, *writers]):
                await writer.write("t", {"id": number})
                await writer.flush()
            await writers[0].aclose()
            await writers[1].aclose()
            await writers[2].write("t", {"id": 8})
            await writers[3].write("t", {"id": 9})
        assert sockets.made <= 2  # two of them at once, when the hub closed
        assert not session.closed
        async with session.get(sandbox.url) as answer:
            assert answer.status
    assert len(sandbox.panoply.messages) == 10


@pytest.mark.parametrize("max_in_flight", [1, 3])
async def test_no_more_requests_are_on_the_way_than_the_policy_says(target: SandboxTarget, max_in_flight: int) -> None:
    target.sandbox.faults.add(Fault("delay", seconds=0.1, times=None))
    panoply = target.panoply(policy=BatchPolicy(max_age=60.0, max_items=1, max_in_flight=max_in_flight))
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, panoply.stats.in_flight)
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    await panoply.write_many("t", [{"id": i} for i in range(6)])
    await panoply.flush()
    watching.cancel()
    await asyncio.wait({watching})
    assert most == max_in_flight
    assert settled(panoply).delivered == 6
    arrivals = [arrival.at for arrival in target.sandbox.arrivals]
    assert arrivals[-1] - arrivals[0] >= 0.1 * (6 / max_in_flight - 1) * 0.9
