"""Files that are no spool or no longer whole, and logs that were torn: found, told, and left as they are."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from asyncconn.core.buffer.spool import Spool
from asyncconn.errors import ConfigError, SpoolDamaged, SpoolError, SpoolInUse

from .spool_scene import items, killed, opened, sql

# -- files that are not as they should be ------------------------------------------------------------------------------


async def test_a_database_of_something_else_is_refused_and_left_as_it_was(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE accounts (id)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="a database of something else"):
        await Spool(path).open()
    assert path.read_bytes() == before


async def test_a_spool_of_a_later_version_is_refused(path: Path) -> None:
    async with opened(path) as spool:
        await sql(spool, "PRAGMA user_version=7")
    with pytest.raises(ConfigError, match="version 7"):
        await Spool(path).open()


@pytest.mark.parametrize("text", [b"id,name\n1,Amble\n", b"these are not the records you are looking for" * 100])
async def test_a_file_that_is_no_database_is_no_spool_and_left_as_it_was(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=r"records\.spool is no spool.*name another"):
        await Spool(path).open()
    assert path.read_bytes() == text


async def test_a_spool_that_has_lost_its_first_bytes_is_damaged(path: Path) -> None:
    async with opened(path) as spool:
        await spool.append([b"a"])
    path.write_bytes(bytes(16) + path.read_bytes()[16:])
    with pytest.raises(SpoolDamaged, match=r"records\.spool is damaged.*not a database.*recover"):
        await Spool(path).open()


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE chunks SET count = count + 1",
        "UPDATE chunks SET count = 'many'",
        "UPDATE chunks SET lengths = NULL",
        "UPDATE chunks SET first = first - 1 WHERE first > 1",
        "INSERT INTO done VALUES (1, x'0000000009000000')",
        "INSERT INTO done VALUES (1, x'00')",
        "DROP TABLE chunks",
    ],
)
async def test_rows_that_do_not_fit_together_are_found_when_it_is_opened(path: Path, harm: str) -> None:
    async with opened(path) as spool:
        await spool.append([b"a", b"b"])
        await spool.append([b"c"])
        await sql(spool, harm)
    with pytest.raises(SpoolDamaged, match="is damaged"):
        await Spool(path).open()


@pytest.mark.parametrize("harm", ["data = x'6263'", "crc = crc + 1", "lengths = x'0200000000000000'"])
async def test_records_that_were_changed_are_found_when_they_are_read(path: Path, harm: str) -> None:
    async with opened(path) as spool:
        await spool.append([b"a", b"b"])
        await sql(spool, f"UPDATE chunks SET {harm}")
    async with opened(path) as spool:
        with pytest.raises(SpoolDamaged, match="from number 1 on"):
            await spool.read()


@pytest.mark.parametrize("seed", range(5))
async def test_random_damage_is_an_error_of_ours_or_does_no_harm(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    stored = [chance.randbytes(700) for _ in range(200)]
    async with opened(path) as spool:
        for start in range(0, 200, 20):
            await spool.append(stored[start : start + 20])
    sound = path.read_bytes()
    found = 0
    for _ in range(12):
        image = bytearray(sound)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(image))
            image[at : at + 40] = chance.randbytes(40)
        path.write_bytes(image)
        try:
            async with opened(path) as spool:
                assert set(await items(spool)) <= set(stored)
        except (SpoolError, ConfigError):
            found += 1
        path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
    assert found


@pytest.mark.parametrize("what", ["directory", "missing", "below a file", "special"])
async def test_a_place_that_cannot_be_written_is_named(path: Path, what: str) -> None:
    where = path
    if what == "directory":
        path.mkdir()
    elif what == "missing":
        where = path / "no" / "such"
    elif what == "below a file":
        path.write_bytes(b"")
        where = path / "spool"
    else:
        where = Path("/proc/asyncconn.spool")
    with pytest.raises(SpoolError, match=f"{where} cannot be opened"):
        await Spool(where).open()


@pytest.mark.parametrize(("given", "size"), [("", 1), (":memory:", 1), ("x", 0)])
def test_what_can_be_no_spool_is_refused_at_once(given: str, size: int) -> None:
    with pytest.raises(ConfigError):
        Spool(given, max_bytes=size)


# -- a torn tail -------------------------------------------------------------------------------------------------------


async def test_damage_in_the_log_is_told_and_what_there_is_stays_as_it_is(path: Path) -> None:
    ends = await asyncio.to_thread(killed, path)
    log = path.with_name(f"{path.name}-wal")
    sound = log.read_bytes()
    chance = random.Random(5)
    for at in [5, 20, 30, *(chance.randrange(ends[-2]) for _ in range(10))]:
        harmed = bytearray(sound)
        harmed[at] ^= 1
        log.write_bytes(harmed)
        for _ in range(2):  # looking at it does not mend it
            with pytest.raises(SpoolDamaged, match=r"records\.spool-wal is damaged"):
                await Spool(path).open()
        assert log.read_bytes() == harmed
        assert sorted(file.name for file in path.parent.iterdir()) == ["records.spool", "records.spool-wal"]
    log.write_bytes(sound)
    async with opened(path) as spool:
        assert len(await items(spool)) == sum(1 + n % 5 for n in range(12))


async def test_a_log_that_somebody_is_writing_is_in_use_and_not_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as spool:
        await spool.append([b"a"])
        monkeypatch.setattr("asyncconn.core.buffer.spool_file.lost_commit", lambda log: True)
        with pytest.raises(SpoolInUse):
            await Spool(path).open()
        await spool.append([b"b"])
        assert await items(spool) == [b"a", b"b"]


@pytest.mark.parametrize(
    "garbage", [b"", b"\0" * 5000, random.Random(1).randbytes(5000)], ids=["cut", "zeros", "noise"]
)
async def test_a_torn_tail_costs_nothing_that_was_committed_before_it(path: Path, garbage: bytes) -> None:
    ends = await asyncio.to_thread(killed, path)
    groups = [[b"%d-%d" % (n, m) * 200 for m in range(1 + n % 5)] for n in range(12)]
    log = path.with_name(f"{path.name}-wal").read_bytes()
    assert len(log) == ends[-1]
    chance = random.Random(7)
    cuts = [*ends, *(end - 1 for end in ends), *(chance.randrange(ends[0], ends[-1]) for _ in range(15))]
    for number, cut in enumerate(cuts):
        copy = path.with_name(f"copy-{number}")
        shutil.copy(path, copy)
        copy.with_name(f"{copy.name}-wal").write_bytes(log[:cut] + garbage)
        whole = [item for group, end in zip(groups, ends, strict=True) if end <= cut for item in group]
        async with opened(copy) as spool:
            assert await items(spool) == whole
            await spool.append([b"more"])
        async with opened(copy) as spool:
            assert await items(spool) == [*whole, b"more"]
