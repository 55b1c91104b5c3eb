"""Panoply's writer at its edges: cancelled, closed, not open, on another loop, ended by a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from helpers import cancel_at_every_await

from asyncconn import Hub, Panoply, errors
from asyncconn.core.buffer.memory import BatchBuffer, BatchPolicy
from asyncconn.sandbox import Fault, PanoplyWorld, Sandbox

from .scene import SandboxTarget
from .writer_tests import SLOW, settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(PanoplyWorld(keep_messages=5000), seed=1) as running:
        yield running


@pytest.fixture(params=["form", "sqs"])
async def target(sandbox: Sandbox, request: pytest.FixtureRequest) -> AsyncIterator[SandboxTarget]:
    async with Hub() as hub:
        yield SandboxTarget(sandbox, hub, request.param)


# -- cancelled at every await ------------------------------------------------------------------------------------------


class Scene:
    """A fresh hub and writer for each run, and the books after it."""

    def __init__(self, sandbox: Sandbox, sender: str, **policy: Any) -> None:
        self._sandbox = sandbox
        self._sender = sender
        self._policy = BatchPolicy(**{"max_age": 60.0, **policy})
        self._runs = 0
        self.panoply: Panoply
        self.hub: Hub

    @property
    def table(self) -> str:
        return f"t{self._runs}"

    async def fresh(self) -> None:
        self._runs += 1
        self.hub = await Hub().open()
        self.panoply = SandboxTarget(self._sandbox, self.hub, self._sender).panoply(policy=self._policy)
        for i in range(3):
            await self.panoply.write(self.table, {"id": i})

    async def check(self, error: BaseException | None) -> None:
        """After the cancellation: close in peace, then everything accepted has arrived, and nothing is held."""
        report = await self.hub.aclose()
        assert report.complete
        stats = settled(self.panoply)
        assert stats.delivered == stats.accepted
        arrived = self._sandbox.panoply.tables().get(self.table, 0)
        assert arrived == stats.accepted >= 3
        assert self.panoply.http._road.places.room.free == 100
        assert isinstance(self.panoply._buffer, BatchBuffer)
        assert len(self.panoply._buffer._scope) == 0


@pytest.mark.parametrize("sender", ["form", "sqs"])
@pytest.mark.parametrize("what", ["flush", "aclose", "hub", "block"])
async def test_ending_can_be_cancelled_anywhere_and_delivers_all_the_same(
    sandbox: Sandbox, sender: str, what: str
) -> None:
    scene = Scene(sandbox, sender)

    async def block() -> None:
        async with scene.panoply:
            await scene.panoply.write(scene.table, {"id": 3})

    async def make() -> Callable[[], Awaitable[object]]:
        await scene.fresh()
        return {
            "flush": lambda: scene.panoply.flush(),
            "aclose": lambda: scene.panoply.aclose(),
            "hub": lambda: scene.hub.aclose(),
            "block": block,
        }[what]

    async def check(error: BaseException | None) -> None:
        if what in ("hub", "aclose", "block"):
            # The cancellation came after the work was done, not instead of it.
            assert settled(scene.panoply).delivered == scene.panoply.stats.accepted
        await scene.check(error)

    assert await cancel_at_every_await(make, check) >= 1


@pytest.mark.parametrize("sender", ["form", "sqs"])
async def test_a_write_that_waits_for_room_is_taken_wholly_or_not_at_all(sandbox: Sandbox, sender: str) -> None:
    scene = Scene(sandbox, sender, max_bytes=150, max_pending_bytes=150, max_in_flight=1)
    taken = 0

    async def writes() -> None:
        nonlocal taken
        for i in range(3, 9):
            await scene.panoply.write(scene.table, {"id": i, "s": "x" * 60})
            taken += 1

    async def make() -> Callable[[], Awaitable[object]]:
        nonlocal taken
        await scene.fresh()
        taken = 0
        return writes

    async def check(error: BaseException | None) -> None:
        assert scene.panoply.stats.accepted == 3 + taken
        await scene.check(error)

    assert await cancel_at_every_await(make, check) >= 3


# -- left by cancellation of every kind --------------------------------------------------------------------------------


async def natively(work: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.ensure_future(work())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # twice, as an impatient supervisor does
    await asyncio.wait({task})
    assert task.cancelled()


async def by_timeout(work: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await work()


async def by_scope(work: Callable[[], Awaitable[None]]) -> None:
    with anyio.move_on_after(0.05) as scope:
        await work()
    assert scope.cancelled_caught


async def by_error(work: Callable[[], Awaitable[None]]) -> None:
    async def failing() -> None:
        await asyncio.sleep(0.05)
        raise RuntimeError("a neighbour's bug")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(failing())
            group.create_task(work())  # type: ignore[arg-type] # wrong on purpose

    with pytest.raises(ExceptionGroup):
        await both()


@pytest.mark.parametrize("owns_hub", [True, False], ids=["private hub", "shared hub"])
@pytest.mark.parametrize("leave", [natively, by_timeout, by_scope, by_error])
async def test_a_block_left_by_cancellation_delivers_what_was_accepted(
    target: SandboxTarget, leave: Any, owns_hub: bool
) -> None:
    target.sandbox.faults.add(Fault("delay", seconds=0.1, times=None))
    panoply = target.panoply(policy=SLOW, hub=None if owns_hub else target.hub)

    async def work() -> None:
        async with panoply:
            for i in range(5):
                await panoply.write("t", {"id": i})
            await asyncio.sleep(3600)

    await leave(work)
    assert target.rows() == set(range(5))
    assert settled(panoply).delivered == 5
    client = getattr(panoply._sender, "_client", None)
    assert client is None or client._client is None, "AWS's client was left open"


# -- at the wrong time, in the wrong place -----------------------------------------------------------------------------


async def every_write(panoply: Panoply) -> list[BaseException | None]:
    """What each way of writing raises."""
    outcomes: list[BaseException | None] = []
    for write in (
        lambda: panoply.write("t", {"id": 100}),
        lambda: panoply.write_many("t", [{"id": 101}]),
        lambda: asyncio.sleep(0, panoply.write_nowait("t", {"id": 102})),
    ):
        try:
            await write()
        except Exception as error:  # noqa: BLE001 - collected
            outcomes.append(error)
        else:
            outcomes.append(None)
    return outcomes


def kinds(outcomes: list[BaseException | None]) -> set[type[Any]]:
    return {type(outcome) for outcome in outcomes}


async def test_before_the_hub_is_open_nothing_is_taken(target: SandboxTarget) -> None:
    hub = Hub()
    panoply = target.panoply(hub=hub)
    assert kinds(await every_write(panoply)) == {errors.HubNotOpen}
    private = target.panoply(hub=None)
    assert kinds(await every_write(private)) == {errors.HubNotOpen}
    assert panoply.stats.accepted == private.stats.accepted == 0
    async with hub:
        await panoply.write("t", {"id": 1})
    assert target.rows() == {1}


async def test_after_the_hub_has_closed_nothing_is_taken_and_the_accepted_ones_are_there(target: SandboxTarget) -> None:
    panoply = target.panoply(policy=SLOW)
    await panoply.write("t", {"id": 1})
    await target.hub.aclose()
    assert kinds(await every_write(panoply)) == {errors.HubClosed}
    with pytest.raises(errors.HubClosed):
        target.panoply()
    assert target.rows() == {1}
    assert settled(panoply).accepted == 1


async def test_after_the_writer_has_closed_nothing_is_taken(target: SandboxTarget) -> None:
    panoply = target.panoply(policy=SLOW)
    await panoply.write("t", {"id": 1})
    await panoply.aclose()
    assert kinds(await every_write(panoply)) == {errors.BufferClosed}
    assert target.rows() == {1}
    other = target.panoply(policy=SLOW)
    await other.write("t", {"id": 2})
    assert (await other.flush()).complete


async def test_on_another_loop_nothing_is_taken_and_the_accepted_ones_arrive(target: SandboxTarget) -> None:
    panoply = target.panoply(policy=SLOW)
    await panoply.write("t", {"id": 1})
    found: list[BaseException | None] = []

    async def elsewhere() -> None:
        found.extend(await every_write(panoply))
        for call in (panoply.flush, panoply.aclose, target.hub.aclose):
            try:
                await call()
            except Exception as error:  # noqa: BLE001 - collected
                found.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert len(found) == 6
    assert kinds(found) == {errors.WrongLoop}
    assert panoply.stats.accepted == 1
    await panoply.write("t", {"id": 2})
    assert (await panoply.flush()).delivered == 2
    assert target.rows() == {1, 2}


@pytest.mark.parametrize("bad", [["a"], None, "text", 5, b"x", [("a", 1)], {"a": object()}, {(1, 2): 3}])
async def test_a_bad_record_is_refused_and_the_accepted_ones_arrive(target: SandboxTarget, bad: Any) -> None:
    panoply = target.panoply(policy=SLOW)
    await panoply.write("t", {"id": 1})
    for write in (
        lambda: panoply.write("t", bad),
        lambda: panoply.write_many("t", [bad]),
        lambda: asyncio.sleep(0, panoply.write_nowait("t", bad)),
    ):
        with pytest.raises(errors.InvalidRecord):
            await write()
    assert panoply.stats.accepted == 1
    assert (await panoply.flush()).delivered == 1
    assert target.rows() == {1}


@pytest.mark.parametrize("table", [None, "", "  ", 5, b"t", ["t"]])
async def test_a_bad_table_is_refused_and_the_accepted_ones_arrive(target: SandboxTarget, table: Any) -> None:
    panoply = target.panoply(policy=SLOW)
    await panoply.write("t", {"id": 1})
    with pytest.raises(errors.InvalidRecord, match="table name"):
        await panoply.write(table, {"id": 2})
    with pytest.raises(errors.InvalidRecord, match="table name"):
        await panoply.write_many(table, [{"id": 2}])
    assert panoply.stats.accepted == 1
    assert (await panoply.flush()).delivered == 1


# -- ended by a signal -------------------------------------------------------------------------------------------------

SERVICE = """
import asyncio
import asyncconn
from asyncconn import Hub, Panoply
from asyncconn.core.buffer.memory import BatchBuffer, BatchPolicy

async def main(hub: Hub) -> None:
    panoply = Panoply.from_env(hub=hub, policy=BatchPolicy(max_age=60.0))
    for i in range(25):
        await panoply.write("t", {"id": i})
    print("written", flush=True)
    await asyncio.sleep(3600)

asyncconn.run(main)
"""


@pytest.mark.parametrize("sender", ["form", "sqs"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
async def test_a_service_ended_by_a_signal_delivers_what_it_accepted(
    sandbox: Sandbox, sender: str, number: signal.Signals, code: int
) -> None:
    sandbox.faults.add(Fault("status", status=503))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVICE,
        env={**os.environ, **sandbox.env, "ASYNCCONN_PANOPLY_SENDER": sender},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"written\n"
        process.send_signal(number)
        _, said = await asyncio.wait_for(process.communicate(), 15)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == code, said.decode()
    assert sandbox.panoply.tables() == {"t": 25}
    assert sandbox.faults.hits == {"status": 1}
    assert sandbox.panoply.api_secret not in said.decode()
