"""The spool: what was appended is on disk, what was trimmed is gone, and the file has one user."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import sqlite3
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers import cancel_at_every_await, turns

from asyncconn.core.buffer.spool import Spool
from asyncconn.errors import ConfigError, SpoolError, SpoolFull, SpoolInUse, WrongLoop

from .spool_scene import HOME, items, killed, opened, program, sql

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# -- keeping -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fsync", [True, False])
async def test_what_was_appended_is_there_when_it_is_opened_again(path: Path, fsync: bool) -> None:
    async with opened(path, fsync=fsync) as spool:
        assert await spool.append([b"a", b"", b"ccc"]) == range(1, 4)
        assert await spool.append([b"d"]) == range(4, 5)
    async with opened(path) as spool:
        assert await spool.read() == [(1, b"a"), (2, b""), (3, b"ccc"), (4, b"d")]
        assert (spool.stats.records, spool.stats.bytes, spool.stats.path) == (4, 5, path)
        assert await spool.append([b"e"]) == range(5, 6)


async def test_only_its_owner_may_read_the_file_or_its_log(path: Path) -> None:
    before = os.umask(0)
    try:
        async with opened(path) as spool:
            await spool.append([b"a"])
            files = list(path.parent.iterdir())
            assert len(files) == 2
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    finally:
        os.umask(before)


async def test_through_a_link_to_nothing_yet_the_file_is_private_too(path: Path) -> None:
    (path.parent / "volume").mkdir()
    real = path.parent / "volume" / "elsewhere.spool"
    path.symlink_to(real)
    before = os.umask(0)
    try:
        async with opened(path) as spool:
            await spool.append([b"a"])
            files = list(real.parent.iterdir())
            assert sorted(file.name for file in files) == ["elsewhere.spool", "elsewhere.spool-wal"]
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    finally:
        os.umask(before)
    assert path.is_symlink()


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o640, 0o604])
async def test_a_file_that_others_may_read_is_made_private_and_that_is_told(
    path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    path.touch()
    path.chmod(mode)
    for _ in range(2):
        async with opened(path) as spool:
            await spool.append([b"a"])
            assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    [told] = [record.getMessage() for record in caplog.records]
    assert told == f"{path} could be read by others (mode {mode:o}): now it is its owner's alone"


async def test_a_log_that_others_may_read_is_made_private(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.to_thread(killed, path)
    for file in path.parent.iterdir():
        file.chmod(0o644)
    async with opened(path) as spool:
        assert spool.stats.records > 0
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert len(caplog.records) == 2


async def test_a_strangers_database_keeps_its_mode(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE accounts (id)")
    connection.close()
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="something else"):
        await Spool(path).open()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


async def test_appends_at_one_time_share_a_commit_and_keep_their_order(path: Path) -> None:
    async with opened(path) as spool:
        before = spool.stats.commits
        numbers = await asyncio.gather(*[spool.append([b"%d" % n]) for n in range(50)])
        assert numbers == [range(n, n + 1) for n in range(1, 51)]
        assert spool.stats.commits == before + 1
        assert await items(spool) == [b"%d" % n for n in range(50)]


async def test_what_comes_during_a_commit_goes_with_the_next(path: Path) -> None:
    async with opened(path, fsync=True) as spool:
        tasks = [asyncio.create_task(spool.append([b"first"]))]
        await turns(2)
        assert spool._commit is not None
        tasks += [asyncio.create_task(spool.append([b"%d" % n])) for n in range(9)]
        await asyncio.gather(*tasks)
        assert spool.stats.commits == 2


async def test_without_fsync_what_is_small_is_written_by_the_loop_and_what_is_large_is_not(path: Path) -> None:
    async with opened(path) as spool:
        small = asyncio.create_task(spool.append([b"small"]))
        await turns(2)
        assert spool.stats.commits == 1
        large = asyncio.create_task(spool.append([bytes(300_000)]))
        await turns(2)
        assert spool.stats.commits == 1
        await asyncio.gather(small, large)
        assert [len(item) for item in await items(spool)] == [5, 300_000]


async def test_without_fsync_the_loop_does_not_wait_for_who_works_on_the_file(path: Path) -> None:
    async with opened(path) as spool:
        with spool._at_work:
            waiting = asyncio.create_task(spool.append([b"a"]))
            await turns(5)
            assert not waiting.done()
        assert await waiting == range(1, 2)


async def test_without_fsync_the_log_is_moved_into_the_file_from_time_to_time(path: Path) -> None:
    item = bytes(100_000)
    async with opened(path, max_bytes=1 << 30) as spool:
        for _ in range(200):
            await spool.append([item])
        await spool.read()  # after the last of the thread's jobs
        log = path.with_name(path.name + "-wal").stat().st_size
        assert path.stat().st_size > 10_000_000
        assert log < 12_000_000
        assert len(await items(spool)) == 200


async def test_a_large_append_is_stored_in_several_rows(path: Path) -> None:
    many = [bytes([n % 256]) * 1000 for n in range(2000)]
    async with opened(path) as spool:
        await spool.append(many)
        assert await sql(spool, "SELECT count(*) FROM chunks") == [(8,)]
        assert len(await spool.read(max_bytes=300_000)) < 700
    async with opened(path) as spool:
        assert await items(spool) == many


@pytest.mark.parametrize("seed", range(6))
async def test_any_trims_leave_exactly_the_rest_also_after_opening_again(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    left: dict[int, bytes] = {}
    for _ in range(4):
        async with opened(path) as spool:
            for _ in range(12):
                if chance.random() < 0.5 or not left:
                    some = [chance.randbytes(chance.choice([0, 5, 2000])) for _ in range(chance.randint(1, 200))]
                    left.update(zip(await spool.append(some), some, strict=True))
                else:
                    first = chance.choice(list(left))
                    gone = range(first, first + chance.randint(1, 300))
                    await spool.trim([gone, range(first, first + 1)])
                    left = {number: item for number, item in left.items() if number not in gone}
            assert await spool.read(max_bytes=1 << 30) == list(left.items())
            assert spool.stats.records == len(left)
        if not left:
            path.unlink()
    async with opened(path) as spool:
        assert await spool.read(max_bytes=1 << 30) == list(left.items())
        await spool.trim([range(1, 1 << 20)])
        assert (spool.stats.records, spool.stats.bytes) == (0, 0)
        assert await sql(spool, "SELECT (SELECT count(*) FROM chunks) + (SELECT count(*) FROM done)") == [(0,)]


async def test_a_large_file_gives_its_space_back_when_it_is_empty(path: Path) -> None:
    async with opened(path) as spool:
        numbers = await spool.append([b"x" * 100_000] * 120)
        await spool.trim([numbers])
    assert path.stat().st_size < 100_000


# -- cancelling and closing --------------------------------------------------------------------------------------------


async def test_a_cancelled_append_leaves_nothing_and_disturbs_no_other(path: Path) -> None:
    async with opened(path) as spool:
        kept: list[bytes] = []

        async def make() -> Callable[[], Awaitable[object]]:
            return lambda: spool.append([b"no"])

        async def check(error: BaseException | None) -> None:
            other = b"yes %d" % len(kept)
            kept.append(other)
            await spool.append([other])
            await spool.trim([])
            if error is not None:
                assert b"no" not in await items(spool)

        assert await cancel_at_every_await(make, check) >= 1
        for count in range(6):  # cancelled from outside, before, during and after the commit
            task = asyncio.create_task(spool.append([b"no"]))
            await turns(count)
            if task.cancel():
                await asyncio.wait({task})
            elif not task.cancelled():
                await spool.trim([task.result()])
        await spool.trim([])
        await spool.trim([])
        assert [item for item in await items(spool) if item != b"no"] == kept
        assert (await items(spool)).count(b"no") == 1  # the run that was not cancelled


async def test_an_opening_that_is_cancelled_leaves_no_lock(path: Path) -> None:
    spools: list[Spool] = []

    async def make() -> Callable[[], Awaitable[object]]:
        spools.append(Spool(path))
        return spools[-1].open

    async def check(error: BaseException | None) -> None:
        assert spools[-1].is_open == (error is None)
        await spools[-1].aclose()
        async with opened(path):
            pass

    assert await cancel_at_every_await(make, check) >= 1


async def test_closing_writes_what_was_waiting_although_it_is_cancelled(path: Path) -> None:
    async def make() -> Callable[[], Awaitable[object]]:
        path.unlink(missing_ok=True)
        spool = Spool(path)
        await spool.open()
        await spool.append([b"a", b"b"])
        spool.forget([range(1, 2)])
        return spool.aclose

    async def check(error: BaseException | None) -> None:
        async with opened(path) as spool:
            assert await items(spool) == [b"b"]

    assert await cancel_at_every_await(make, check) >= 1


async def test_a_closed_spool_takes_nothing_and_can_be_opened_again(path: Path) -> None:
    spool = Spool(path)
    with pytest.raises(SpoolError, match="not open"):
        await spool.append([b"a"])
    assert await spool.open(create=False) is False
    assert not path.exists()
    for _ in range(2):
        assert await spool.open()
        await spool.append([b"a"])
        await spool.aclose()
        await spool.aclose()
    with pytest.raises(SpoolError, match="not open"):
        await spool.read()
    assert spool.stats.records == 2


async def test_one_that_is_dropped_open_says_so_and_lets_the_file_go(path: Path) -> None:
    spool = Spool(path)
    await spool.open()
    await spool.append([b"a"])
    dropped = [spool]
    del spool
    with pytest.warns(ResourceWarning, match="not closed"):
        dropped.clear()
    await asyncio.sleep(0.05)
    async with opened(path) as again:
        assert await items(again) == [b"a"]


async def test_another_loop_is_refused(path: Path) -> None:
    async with opened(path) as spool:
        with pytest.raises(WrongLoop):
            await asyncio.to_thread(asyncio.run, spool.append([b"a"]))


# -- one user ----------------------------------------------------------------------------------------------------------


HOLD = """
import asyncio, sys
from asyncconn.core.buffer.spool import Spool
async def main():
    spool = Spool(sys.argv[1])
    await spool.open()
    await spool.append([b"theirs"])
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await spool.aclose()
asyncio.run(main())
"""


async def test_a_second_process_is_refused_while_the_first_lives(path: Path) -> None:
    with subprocess.Popen(
        program(HOLD, path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": HOME}
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"open\n"
        for _ in range(2):  # having been refused changes nothing
            with pytest.raises(SpoolInUse, match=str(path)):
                await Spool(path).open()
        other.stdin.close()
        assert other.wait(10) == 0
    async with opened(path) as spool:
        assert await items(spool) == [b"theirs"]


async def test_a_second_spool_is_refused_and_does_not_let_another_process_in(path: Path) -> None:
    async with opened(path):
        with pytest.raises(SpoolInUse):
            await Spool(path).open()
        gc.collect()
        other = program("import sqlite3,sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')", path)
        done = await asyncio.to_thread(subprocess.run, other, capture_output=True, text=True, check=False)
        assert "locked" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_that_ends_leaves_the_parents_log_alone(path: Path) -> None:
    code = """
import asyncio, os, sys
from asyncconn.core.buffer.spool import Spool
loop = asyncio.new_event_loop()
spool = Spool(sys.argv[1])
loop.run_until_complete(spool.open())
loop.run_until_complete(spool.append([b"before"]))
if not os.fork():
    sys.exit(0)  # an orderly end, that closes whatever is open
os.wait()
print(os.path.exists(sys.argv[1] + "-wal"), flush=True)
async def after():
    task = asyncio.ensure_future(spool.append([b"after"]))
    while not task.done():  # the child has closed the loop's own wake-up, which the two of them shared
        await asyncio.sleep(0.01)
    await task
loop.run_until_complete(after())
os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        program(code, path), env={**os.environ, "PYTHONPATH": HOME}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "True\n"), done.stderr

    async def left() -> list[bytes]:
        async with opened(path) as spool:
            return await items(spool)

    assert asyncio.run(left()) == [b"before", b"after"]


async def test_a_spool_of_another_owner_is_refused_and_left_as_it_was(path: Path) -> None:
    async with opened(path, "acme") as spool:
        await spool.append([b"a"])
        with pytest.raises(ConfigError, match="another account"):
            await spool.open("other")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"records\.spool holds the records of another account"):
        await Spool(path).open("other")
    assert path.read_bytes() == before
    async with opened(path, "acme"), opened(path.with_name("new"), "other"):
        pass
    async with opened(path) as spool:  # whoever names no owner may look at it
        assert await items(spool) == [b"a"]


# -- no room -----------------------------------------------------------------------------------------------------------


async def test_more_than_max_bytes_is_refused_until_there_is_room(path: Path) -> None:
    async with opened(path, max_bytes=10) as spool:
        numbers = await spool.append([b"1234", b"5678"])
        with pytest.raises(SpoolFull, match="holds 8 bytes of records, of 10"):
            await spool.append([b"abc"])
        first, second = await asyncio.gather(spool.append([b"ab"]), spool.append([b"c"]), return_exceptions=True)
        assert (first, type(second)) == (range(3, 4), SpoolFull)
        await spool.trim([numbers])
        await spool.append([b"abc"])
        assert await items(spool) == [b"ab", b"abc"]


async def test_a_full_disk_refuses_records_and_still_lets_delivered_ones_go(path: Path) -> None:
    async with opened(path) as spool:
        first = await spool.append([b"x" * 50_000])
        [[pages]] = await sql(spool, "PRAGMA page_count")
        await sql(spool, f"PRAGMA max_page_count={pages}")  # the disk has no more
        task = asyncio.create_task(spool.append([b"y" * 90_000]))
        await spool.trim([first])  # in the same commit
        with pytest.raises(SpoolFull, match="the disk is full"):
            await task
        assert spool.stats.records == 0
        await spool.append([b"z" * 40_000])  # in the room of the first
        assert await items(spool) == [b"z" * 40_000]
    async with opened(path) as spool:
        assert await items(spool) == [b"z" * 40_000]


async def test_a_disk_that_became_read_only_is_an_error_and_a_trim_is_not_forgotten(path: Path) -> None:
    async with opened(path) as spool:
        numbers = await spool.append([b"a", b"b"])
        await sql(spool, "PRAGMA query_only=1")
        for _ in range(2):
            with pytest.raises(SpoolError, match=r"records\.spool cannot be written: attempt to write a readonly"):
                await spool.append([b"c"])
        with pytest.raises(SpoolError, match="readonly"):
            await spool.trim([numbers[:1]])
        assert await items(spool) == [b"a", b"b"]
        await sql(spool, "PRAGMA query_only=0")
        await spool.append([b"d"])
        assert await items(spool) == [b"b", b"d"]
