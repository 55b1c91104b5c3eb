"""An outbox over a spool: what is in it outlives connections, bounds of memory, and the process."""

from __future__ import annotations

import asyncio
import gc
import random
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.core.buffer.spool import Spool
from asyncconn.core.outbox import Outbox, Posted
from asyncconn.core.spooled_outbox import SpooledOutbox, outbox_for
from asyncconn.errors import (
    BufferClosed,
    ConfigError,
    SpoolDamaged,
    SpoolError,
    SpoolFull,
    SpoolInUse,
    StreamLost,
)

from .spool_scene import sql
from .spooled_scene import stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def made(path: Path, *, max_bytes: int = 1 << 20, **options: Any) -> SpooledOutbox[int]:
    return SpooledOutbox(
        Spool(path, fsync=False, max_bytes=max_bytes),
        owner="acme",
        encode=lambda number: b"%d" % number,
        decode=int,
        **options,
    )


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[SpooledOutbox[int]]:
    """One that is left at the end with all that is in it."""
    outbox = made(path, **options)
    await outbox.open()
    try:
        yield outbox
    finally:
        outbox.close(StreamLost("the program ends"))
        await outbox.aclose()


async def sent(outbox: Outbox[int], number: int) -> list[int]:
    """The next so many, each acknowledged."""
    found: list[int] = []
    async with asyncio.timeout(5.0):
        while len(found) < number:
            posted = await outbox.take()
            found.append(posted.item)
            outbox.settle(posted)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.spool"


async def test_messages_are_on_disk_until_they_are_acknowledged(path: Path) -> None:
    async with opened(path) as outbox:
        posted = [await outbox.post(number) for number in range(5)]
        assert [item for _, item in await outbox.spool.read()] == [b"0", b"1", b"2", b"3", b"4"]
        assert await sent(outbox, 3) == [0, 1, 2]
        await posted[2].done
        assert (len(outbox), outbox.accepted, outbox.acknowledged) == (2, 5, 3)
    assert await stored(path) == [b"3", b"4"]


async def test_what_an_earlier_run_left_goes_first_in_order(path: Path) -> None:
    async with opened(path) as outbox:
        for number in range(5):
            await outbox.post(number)
        await outbox.take()
    async with opened(path) as outbox:
        assert (len(outbox), outbox.spooled, outbox.accepted) == (5, 5, 5)
        await outbox.post(5)
        assert await sent(outbox, 6) == [0, 1, 2, 3, 4, 5]
        await outbox.drained()
    assert await stored(path) == []


async def test_so_many_at_most_are_in_memory_and_the_rest_waits_on_disk(path: Path) -> None:
    async with opened(path, window=2, max_pending=10) as outbox:
        for number in range(100):
            await outbox.post(number)
        gc.collect()
        assert (len(outbox), outbox.spooled, len(outbox._known)) == (100, 90, 0)
        for expected in range(100):
            assert await sent(outbox, 1) == [expected]
            assert len(outbox) - outbox.spooled <= 10
        await outbox.post(100)
        assert outbox.spooled == 0
        assert await sent(outbox, 1) == [100]


async def test_who_keeps_what_waits_on_disk_only_hears_of_it(path: Path) -> None:
    async with opened(path, window=1, max_pending=1) as outbox:
        posted = [await outbox.post(number, tag=number) for number in range(4)]
        told: list[list[Any]] = []
        outbox.on_settled = lambda ended, _: told.append([one.tag for one in ended])
        del posted[2]
        assert await sent(outbox, 3) == [0, 1, 2]
        await asyncio.gather(*(one.done for one in posted[:2]))
        assert told == [[0], [1], [2]]
        last = posted[2]
    with pytest.raises(StreamLost):
        await last.done


async def test_a_window_as_large_as_the_memory_goes_on(path: Path) -> None:
    async with opened(path, window=2, max_pending=2) as outbox:
        for number in range(6):
            await outbox.post(number)
        flying = [await outbox.take() for _ in range(2)]
        third = asyncio.ensure_future(outbox.take())
        await asyncio.sleep(0.02)
        assert not third.done()
        outbox.settle(flying[0])
        assert (await third).item == 2


@pytest.mark.parametrize("memory", [1, 2, 5])
async def test_who_posts_and_who_takes_do_so_at_once(path: Path, memory: int) -> None:
    async with opened(path, window=1, max_pending=memory) as outbox:
        posting = asyncio.gather(*(outbox.post(number) for number in range(50)))
        first = await sent(outbox, 20)
        more = asyncio.gather(*(outbox.post(number) for number in range(50, 100)))
        assert first + await sent(outbox, 80) == list(range(100))
        await asyncio.gather(posting, more)
        assert (len(outbox), outbox.accepted, outbox.acknowledged) == (0, 100, 100)


async def test_what_is_on_disk_and_not_accepted_yet_is_not_handed_out(path: Path) -> None:
    async with opened(path, window=1, max_pending=2) as outbox:
        for number in range(3):
            await outbox.post(number)
        await outbox.spool.append([b"3"])  # as by a post that has not returned yet
        assert await sent(outbox, 3) == [0, 1, 2]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(outbox.take(), 0.05)


async def test_a_full_spool_waits_or_raises(path: Path) -> None:
    async with opened(path, max_bytes=3) as outbox:
        for number in range(3):
            await outbox.post(number)
        fourth = asyncio.ensure_future(outbox.post(3))
        await asyncio.sleep(0.02)
        assert not fourth.done()
        await sent(outbox, 3)
        await fourth
        assert await sent(outbox, 1) == [3]
        with pytest.raises(SpoolFull):  # there is nothing to wait for
            await outbox.post(12345)
    async with opened(path, max_bytes=1, overflow="raise") as outbox:
        await outbox.post(1)
        with pytest.raises(SpoolFull):
            await outbox.post(2)
        assert outbox.accepted == 1


async def test_a_refusal_takes_a_message_off_the_disk(path: Path) -> None:
    async with opened(path) as outbox:
        posted = await outbox.post(1)
        outbox.settle(await outbox.take(), StreamLost("refused"))
        with pytest.raises(StreamLost):
            await posted.done
        assert (outbox.refused, len(outbox)) == (1, 0)
    assert await stored(path) == []


async def test_a_post_that_is_cancelled_or_comes_too_late_is_not_half_taken(path: Path) -> None:
    async with opened(path) as outbox:
        cancelled = asyncio.ensure_future(outbox.post(1))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        under_way = asyncio.ensure_future(outbox.post(2))
        await asyncio.sleep(0)
        outbox.close(StreamLost("closed"))
        posted = await under_way
        with pytest.raises(StreamLost):
            await posted.done
        with pytest.raises(BufferClosed):
            await outbox.post(3)
        assert (outbox.accepted, outbox.spooled) == (1, 1)
    assert await stored(path) == [b"2"]


async def test_one_spool_is_for_one_outbox_and_one_owner(path: Path) -> None:
    async with opened(path) as outbox:
        other = SpooledOutbox(outbox.spool, owner="acme", encode=bytes, decode=bytes)
        with pytest.raises(SpoolInUse):
            await other.open()
        await other.aclose()
        with pytest.raises(SpoolInUse):
            await made(path).open()
    stranger = SpooledOutbox(path, owner="another", encode=bytes, decode=bytes)
    with pytest.raises(ConfigError, match="another"):
        await stranger.open()
    async with opened(path):
        pass


async def test_a_spool_that_was_open_before_stays_open(path: Path) -> None:
    spool = Spool(path, fsync=False)
    await spool.open("acme")
    outbox = SpooledOutbox(spool, owner="acme", encode=bytes, decode=bytes)
    await outbox.open()
    await outbox.post(b"1")
    outbox.close(StreamLost("closed"))
    await outbox.aclose()
    assert spool.is_open
    assert [item for _, item in await spool.read()] == [b"1"]
    await spool.aclose()


async def test_a_damaged_spool_cannot_get_better(path: Path) -> None:
    async with opened(path) as outbox:
        await outbox.post(1)
    async with opened(path) as outbox:
        await sql(outbox.spool, "UPDATE chunks SET crc = 0")
        with pytest.raises(SpoolDamaged) as damaged:
            await outbox.take()
        assert damaged.value.permanent


async def test_what_cannot_be_written_is_not_taken(path: Path) -> None:
    async with opened(path) as outbox:
        await sql(outbox.spool, "PRAGMA query_only=ON")
        with pytest.raises(SpoolError):
            await outbox.post(1)
        await sql(outbox.spool, "PRAGMA query_only=OFF")
        assert (len(outbox), outbox.accepted) == (0, 0)


@pytest.mark.parametrize("seed", range(10))
async def test_every_message_is_acknowledged_once_in_order_over_breaks_and_restarts(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    arrived: list[int] = []
    posted = 0
    while posted < 100 or len(arrived) < 100:
        window = chance.randint(1, 5)
        async with opened(path, window=window, max_pending=chance.randint(window, 12)) as outbox:
            for _ in range(chance.randint(1, 8)):
                for _ in range(min(chance.randint(0, 12), 100 - posted)):
                    await outbox.post(posted)
                    posted += 1
                outbox.again()
                for _ in range(chance.randint(0, 12)):
                    if outbox.in_flight in (window, len(outbox)):
                        break
                    taken: Posted[int] = await outbox.take()
                    if taken.item not in arrived:
                        arrived.append(taken.item)
                    if chance.random() < 0.7:
                        outbox.settle(taken)
    assert arrived == list(range(100))


def test_without_a_spool_it_is_kept_in_memory() -> None:
    options: dict[str, Any] = {"window": 1, "max_pending": 2, "overflow": "wait"}
    outbox = outbox_for(None, owner="", encode=bytes, decode=bytes, **options)
    assert (type(outbox), outbox.keeps, outbox.spooled) == (Outbox, False, 0)


async def test_several_are_stored_with_one_commit_or_none_of_them(path: Path) -> None:
    async with opened(path, max_bytes=10, max_pending=3, window=1) as outbox:
        before = outbox.spool.stats.commits
        await outbox.post_many(range(8))
        assert outbox.spool.stats.commits == before + 1
        assert (len(outbox), outbox.spooled) == (8, 5)
        with pytest.raises(SpoolFull):
            await outbox.post_many([8, 9, 10])
        assert outbox.accepted == 8
        assert await sent(outbox, 8) == list(range(8))
