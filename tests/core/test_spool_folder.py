"""A folder of spools: each process has a file of its own, and what one has left is the next one's."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import asyncconn
from asyncconn import Spool
from asyncconn.errors import SpoolError, SpoolInUse


async def held(spool: Spool) -> list[bytes]:
    return [item for _, item in await spool.read()]


async def test_each_spool_takes_a_file_of_its_own(tmp_path: Path) -> None:
    spools = [Spool(f"{tmp_path}/out/") for _ in range(4)]
    try:
        await asyncio.gather(*(spool.open() for spool in spools))
        for number, spool in enumerate(spools):
            await spool.append([str(number).encode()])

        assert sorted(spool.path.name for spool in spools) == [f"{number}.spool" for number in range(4)]
        assert [await held(spool) for spool in spools] == [[b"0"], [b"1"], [b"2"], [b"3"]]
        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    finally:
        for spool in spools:
            await spool.aclose()


async def test_what_was_left_is_found_the_oldest_first(tmp_path: Path) -> None:
    first, second = Spool(f"{tmp_path}/"), Spool(f"{tmp_path}/")
    for spool in (first, second):
        await spool.open()
    await first.append([b"newer"])
    await second.append([b"older"])
    for spool in (first, second):
        await spool.aclose()
    os.utime(second.path, (1, 1))

    again, more, third = (Spool(f"{tmp_path}/") for _ in range(3))
    for spool in (again, more, third):
        await spool.open()
    try:
        assert [await held(again), await held(more), await held(third)] == [[b"older"], [b"newer"], []]
        assert third.path.name == "2.spool"
    finally:
        for spool in (again, more, third):
            await spool.aclose()


async def test_accounts_do_not_take_each_others_files(tmp_path: Path) -> None:
    one, other = Spool(f"{tmp_path}/"), Spool(f"{tmp_path}/")
    await one.open("a" * 16)
    await one.aclose()
    await other.open("b" * 16)
    await other.aclose()

    assert one.path != other.path


async def test_nothing_is_made_where_that_is_not_wanted(tmp_path: Path) -> None:
    spool = Spool(f"{tmp_path}/out/")

    assert not await spool.open(create=False)
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SpoolError, match="cannot be used"):
        await Spool(f"{tmp_path}/file/").open()


async def test_without_a_slash_it_is_one_file_for_one_spool(tmp_path: Path) -> None:
    one, other = Spool(tmp_path / "a"), Spool(tmp_path / "a")
    await one.open()
    try:
        with pytest.raises(SpoolInUse):
            await other.open()
    finally:
        await one.aclose()


PROGRAM = """
import asyncio, sys
from asyncconn import Spool

async def main():
    spool = Spool(sys.argv[1])
    await spool.open()
    await spool.append([sys.argv[2].encode()])
    print(spool.path.name, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.slow(60)
async def test_processes_that_are_killed_are_made_up_for_by_the_next(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(asyncconn.__file__).parents[1])}
    names = []
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, f"{tmp_path}/", name], stdout=subprocess.PIPE, text=True, env=environment
        )
        for name in ("a", "b", "c")
    ]
    for process in processes:
        assert process.stdout is not None
        names.append(process.stdout.readline().strip())
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()

    assert len(set(names)) == 3  # those who begin at once may pass each other, and leave numbers out
    found = []
    spools = [Spool(f"{tmp_path}/") for _ in range(3)]
    for spool in spools:
        await spool.open()
        found += await held(spool)
    for spool in spools:
        await spool.aclose()
    assert sorted(found) == [b"a", b"b", b"c"]
