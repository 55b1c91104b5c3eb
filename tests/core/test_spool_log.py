"""What lies behind damage in a spool's log is found; what a killed process leaves behind is none."""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest

from asyncconn.core.buffer.spool_log import lost_commit

FRAME = 24 + 512


def logged(path: Path, commits: int, *, large: int = 0, reuse: bool = False) -> bytes:
    """The log of so many commits, as a killed process leaves it; after that one large one of several frames."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA page_size=512")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)")
    if reuse:
        for n in range(300):
            connection.execute("INSERT INTO t VALUES (?, ?)", (n + 10_000, random.Random(n).randbytes(300)))
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
    for n in range(commits):
        connection.execute("INSERT INTO t VALUES (?, ?)", (n, random.Random(n).randbytes(200)))
    if large:
        connection.execute("BEGIN")
        for n in range(large):
            connection.execute("INSERT INTO t VALUES (?, ?)", (commits + n, random.Random(n).randbytes(400)))
        connection.execute("COMMIT")
    log = Path(f"{path}-wal").read_bytes()
    connection.close()
    return log


@pytest.fixture
def log(tmp_path: Path) -> bytes:
    return logged(tmp_path / "a.db", 20)


def recovered(folder: Path, log: bytes) -> int:
    """How many rows SQLite finds behind a log; the database itself is empty."""
    path = folder / "copy.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA page_size=512")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    Path(f"{path}-wal").write_bytes(log)
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])
    except sqlite3.Error:
        return 0
    finally:
        connection.close()
        path.unlink()


def commits(log: bytes) -> list[int]:
    """Where the frames begin that end a transaction."""
    return [at for at in range(32, len(log), FRAME) if struct.unpack_from(">I", log, at + 4)[0]]


@pytest.mark.parametrize("reuse", [False, True], ids=["new", "begun anew over an old one"])
def test_a_whole_log_is_sound(tmp_path: Path, reuse: bool) -> None:
    log = logged(tmp_path / "a.db", 20, large=30, reuse=reuse)
    assert len(commits(log)) >= 21
    assert not lost_commit(log)


def test_no_log_and_the_beginning_of_one_are_sound(log: bytes) -> None:
    assert not any(lost_commit(log[:size]) for size in (0, 1, 31, 32))


@pytest.mark.parametrize("reuse", [False, True], ids=["new", "begun anew over an old one"])
def test_any_flipped_bit_before_the_last_commit_is_told(tmp_path: Path, reuse: bool) -> None:
    log = logged(tmp_path / "a.db", 20, reuse=reuse)
    salts = log[16:24]
    last = max(at for at in commits(log) if log[at + 8 : at + 16] == salts)
    begin_of_last = max(at for at in commits(log) if at < last and log[at + 8 : at + 16] == salts) + FRAME
    chance = random.Random(1)
    for _ in range(150):
        at = chance.randrange(begin_of_last)
        harmed = bytearray(log)
        harmed[at] ^= 1 << chance.randrange(8)
        assert lost_commit(bytes(harmed)), at


def test_a_flipped_bit_within_one_large_commit_is_told(tmp_path: Path) -> None:
    log = logged(tmp_path / "a.db", 2, large=40)
    first, last = commits(log)[-2] + FRAME, commits(log)[-1]
    chance = random.Random(2)
    for _ in range(50):
        at = chance.randrange(first, last)
        harmed = bytearray(log)
        harmed[at] ^= 1 << chance.randrange(8)
        assert lost_commit(bytes(harmed)), at


@pytest.mark.parametrize("length", [8, 40, 512, 600, 3000])
@pytest.mark.parametrize("kind", ["zeros", "noise", "cut out", "put in"])
def test_zeros_noise_and_missing_or_added_bytes_are_told(log: bytes, length: int, kind: str) -> None:
    chance = random.Random(length)
    limit = commits(log)[-1] - 2 * FRAME - length
    for _ in range(20):
        at = chance.randrange(limit)
        rest = log[at + length :] if kind != "put in" else log[at:]
        middle = {"zeros": b"\0" * length, "noise": chance.randbytes(length), "cut out": b""}.get(
            kind, chance.randbytes(length)
        )
        if (harmed := log[:at] + middle + rest) != log:
            assert lost_commit(harmed), at


@pytest.mark.parametrize(
    "garbage", [b"", b"\0" * 2000, random.Random(3).randbytes(2000)], ids=["cut", "zeros", "noise"]
)
def test_a_log_that_ends_anywhere_is_what_a_killed_process_leaves(log: bytes, garbage: bytes) -> None:
    chance = random.Random(4)
    ends = [*range(32, len(log), FRAME), *(chance.randrange(33, len(log)) for _ in range(60))]
    assert not any(lost_commit(log[:end] + garbage) for end in ends)


@pytest.mark.parametrize("seed", range(4))
def test_a_log_torn_over_one_begun_before_is_what_a_killed_process_leaves(tmp_path: Path, seed: int) -> None:
    log = logged(tmp_path / "a.db", 20, large=10, reuse=True)
    salts = log[16:24]
    ours = [at for at in range(32, len(log), FRAME) if log[at + 8 : at + 16] == salts]
    assert len(ours) < len(range(32, len(log), FRAME))
    chance = random.Random(seed)
    old = chance.randbytes(FRAME)
    for at in chance.sample(ours, 15):
        torn = chance.randrange(FRAME)  # bytes of this frame that came; behind it lies what was there before
        assert not lost_commit(log[:at] + log[at : at + torn] + old[torn:] + log[ours[-1] + FRAME :])


def test_frames_of_a_transaction_that_was_given_up_are_no_loss(tmp_path: Path) -> None:
    """A process dies while it writes a commit, and the next one writes a shorter one over its beginning."""
    path, copy = tmp_path / "a.db", tmp_path / "b.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA page_size=512")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)")
    connection.execute("INSERT INTO t VALUES (0, 'there')")
    connection.execute("BEGIN")
    for n in range(20):
        connection.execute("INSERT INTO t VALUES (?, ?)", (n + 1, random.Random(n).randbytes(400)))
    connection.execute("COMMIT")
    torn = Path(f"{path}-wal").read_bytes()[:-512] + b"\0" * 512
    shutil.copy(path, copy)
    connection.close()
    Path(f"{copy}-wal").write_bytes(torn)
    connection = sqlite3.connect(copy, isolation_level=None)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)
    connection.execute("INSERT INTO t VALUES (1, 'short')")
    log = Path(f"{copy}-wal").read_bytes()
    connection.close()
    assert len(log) == len(torn)
    assert log[-FRAME:] == torn[-FRAME:]
    assert not lost_commit(log)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_called_sound_loses_at_most_the_last_commit(tmp_path: Path, seed: int) -> None:
    log = logged(tmp_path / "a.db", 20)
    whole = recovered(tmp_path, log)
    assert whole == 20
    chance = random.Random(seed)
    for _ in range(40):
        harmed = bytearray(log)
        at = chance.randrange(len(log))
        harmed[at : at + chance.choice([1, 30])] = chance.randbytes(1)
        if not lost_commit(bytes(harmed)):
            assert recovered(tmp_path, bytes(harmed)) >= whole - 1
