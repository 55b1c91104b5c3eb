"""Files that go to the data lake: in four modes, never sent twice blindly, gone on with. Contract: tcup 6.4, 13.6."""

from __future__ import annotations

import asyncio
import os
import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Progress
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import BadRequest, ConfigError, Conflict, MaybeSent, PayloadTooLarge, ProtocolError, RateLimited
from asyncconn.sandbox import Fault
from asyncconn.tcup.resources import datalake_chunks

from .lake_scene import scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncconn.tcup.resources.datalake_transfers import Mode

SENT = "POST /dls/file"
REPLACING: tuple[Mode, ...] = ("OVERWRITE", "APPEND", "ARCHIVE")
CHUNK = 64 * 1024
DATA = random.Random(7).randbytes(5 * CHUNK + 1000)


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks without many bytes."""
    monkeypatch.setattr(datalake_chunks, "CHUNK", CHUNK)


async def chunks(data: bytes = DATA) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 50_000):
        yield data[start : start + 50_000]


@pytest.mark.parametrize("kind", ["path", "bytes", "chunks", "function"])
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.usefixtures("_small_chunks")
async def test_whatever_is_given_arrives_and_tells_how_far_it_is(kind: str, resume: bool, tmp_path: Path) -> None:
    (tmp_path / "a b.bin").write_bytes(DATA)
    source: Any = {"path": tmp_path / "a b.bin", "bytes": DATA, "chunks": chunks(), "function": chunks}[kind]
    heard: list[Progress] = []
    async with scene() as s:
        name = None if kind == "path" else "a b.bin"
        uri = await s.lake.upload(source, filename=name, savepoint="sp1", resume=resume, on_progress=heard.append)
        assert s.content(uri) == DATA
        assert uri == "user1/dlsadmin/sp1/a b.bin"
        assert s.calls(SENT) == (6 if resume else 1)
    done = [one.done for one in heard]
    assert done == sorted(done)
    assert (done[0], done[-1], heard[-1].unit) == (0, len(DATA), "bytes")
    assert heard[-1].total == (len(DATA) if kind in ("path", "bytes") else None)


@pytest.mark.parametrize("resume", [False, True])
async def test_what_is_said_of_a_file_arrives_with_it(resume: bool) -> None:
    async with scene() as s:
        await s.lake.create_directories(["/d1"])
        uri = await s.lake.upload(
            b"", filename="a, ü (1)'s;&=.csv", directory="d1", savepoint="/x/", metadata={"colour": "light blue"},
            comment="first\nand second: ä", content_type="text/csv", resume=resume,
        )  # fmt: skip
        file = await s.lake.get(uri)
        assert (file.name, file.directory, file.savepoint, file.size_bytes) == ("a, ü (1)'s;&=.csv", "/d1", "x", 0)
        assert [(one.name, one.value) for one in file.metadata] == [("colour", "light blue")]
        (said,) = await s.lake.comments(uri)
        assert said.comment == "first\nand second: ä"


@pytest.mark.parametrize("resume", [False, True])
async def test_each_mode_does_what_it_says(resume: bool) -> None:
    async with scene() as s:
        for mode in REPLACING:
            with pytest.raises(BadRequest):
                await s.lake.upload(b"one", filename="f", mode=mode, resume=resume)
        uri = await s.lake.upload(b"one", filename="f", metadata={"colour": "blue"}, resume=resume)
        with pytest.raises(Conflict):
            await s.lake.upload(b"two", filename="f", resume=resume)
        assert s.content(uri) == b"one"

        await s.lake.upload(b"-two", filename="f", mode="APPEND", resume=resume)
        assert s.content(uri) == b"one-two"
        assert [one.value for one in (await s.lake.get(uri)).metadata if one.name == "colour"] == ["blue"]

        await s.lake.upload(b"three", filename="f", mode="OVERWRITE", metadata={"colour": "red"}, resume=resume)
        assert s.content(uri) == b"three"
        assert [file.uri async for file in s.lake.search()] == [uri]

        await s.lake.upload(b"four", filename="f", mode="ARCHIVE", resume=resume)
        assert s.content(uri) == b"four"
        (old,) = [file.uri async for file in s.lake.search() if file.uri != uri]
        assert s.content(old) == b"three"

        await s.lake.lock(uri)
        for mode in REPLACING:
            with pytest.raises(Conflict, match="locked"):
                await s.lake.upload(b"five", filename="f", mode=mode, resume=resume)
        assert s.content(uri) == b"four"


@pytest.mark.parametrize("mode", ["OVERWRITE", "APPEND"])
@pytest.mark.usefixtures("_small_chunks")
async def test_what_is_said_of_a_file_in_chunks_is_said_once_and_stays(mode: Mode) -> None:
    async with scene() as s:
        uri = await s.lake.upload(b"", filename="f", metadata={"colour": "blue"})
        await s.lake.upload(DATA, filename="f", mode=mode, metadata={"colour": "red"}, comment="new", resume=True)
        metadata = (await s.lake.get(uri)).metadata
        assert [one.value for one in metadata if one.name == "colour"] == ["red"]
        assert [one.comment for one in await s.lake.comments(uri)] == ["new"]


@pytest.mark.parametrize(
    "options",
    [
        {"filename": "../f"},
        {"filename": "a%2Fb"},
        {"filename": 'f"; name="metadata'},
        {"filename": "f\r\nX: 1"},
        {"filename": None},
        {"savepoint": "a/../b"},
        {"directory": "/a/../b"},
        {"metadata": {"colour": "blue,mine=1"}},
        {"mode": "REPLACE"},
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_sent(options: dict[str, Any]) -> None:
    async with scene() as s:
        with pytest.raises(ConfigError):
            await s.lake.upload(b"x", **{"filename": "f", **options})
        assert s.calls() == 0


async def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    async with scene() as s:
        for resume in (False, True):
            with pytest.raises(ConfigError, match="cannot be read"):
                await s.lake.upload(tmp_path / "none", resume=resume)
            with pytest.raises(ConfigError, match="is no file"):
                await s.lake.upload(tmp_path, filename="f", resume=resume)
        assert s.calls(SENT) == 0


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
async def test_an_upload_of_unknown_outcome_is_not_sent_again(kind: str) -> None:
    async with scene(Fault(kind, match="/dls/file")) as s:
        with pytest.raises(MaybeSent):
            await s.lake.upload(DATA, filename="f")
        assert s.calls(SENT) == (kind == "drop_after")
        assert len(s.dls.files()) == (kind == "drop_after")


@pytest.mark.parametrize("call", ["whole", "in chunks", "renamed"])
async def test_an_answer_that_is_no_uri_is_none(call: str) -> None:
    """No other call could be given it: whoever kept it would have lost the file."""
    async with scene() as s:
        uri = await s.lake.upload(DATA, filename="there")
        s.fail(Fault("malformed", match="/dls/file"))
        upload = partial(s.lake.upload, DATA, filename="f", resume=call == "in chunks")
        with pytest.raises(ProtocolError, match="answered no URI of a file: file-uri: holds the unprint") as caught:
            await (s.lake.rename(uri, "g") if call == "renamed" else upload())
        assert caught.value.maybe_sent


async def test_one_that_did_nothing_is_sent_again_whole() -> None:
    async with scene(Fault("status", status=429, retry_after=1, match="/dls/file")) as s:
        assert s.content(await s.lake.upload(chunks, filename="f")) == DATA


async def test_chunks_that_are_used_up_are_never_sent_again_as_if_they_were_all() -> None:
    async with scene(Fault("status", status=429, retry_after=1, match="/dls/file")) as s:
        with pytest.raises(RateLimited):
            await s.lake.upload(chunks(), filename="f")
        assert s.dls.files() == []


# -- gone on with ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "429", "503"])
@pytest.mark.parametrize("mode", ["RESTRICT", "OVERWRITE", "ARCHIVE", "APPEND"])
@pytest.mark.usefixtures("_small_chunks")
async def test_a_chunk_whose_answer_is_lost_is_there_once(mode: Any, kind: str, at: int) -> None:
    async with scene() as s:
        before = b"" if mode == "RESTRICT" else DATA[:10]  # the beginning of it, and yet not it
        if before:
            await s.lake.upload(before, filename="f")
        only: dict[str, Any] = {"match": lambda call: call.method == "POST", "after": at}
        s.fail(Fault("status", status=int(kind), **only) if kind.isdecimal() else Fault(kind, **only))
        uri = await s.lake.upload(chunks(), filename="f", mode=mode, resume=True)
        assert s.content(uri) == (before if mode == "APPEND" else b"") + DATA
        assert not len(s.sandbox.faults), "it never struck"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.usefixtures("_small_chunks")
async def test_an_upload_that_is_cut_at_random_goes_on_where_it_was(seed: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    chance = random.Random(seed)
    patient = RetryPolicy(attempts=9, deadline=600.0)  # all cuts may be in one chunk
    async with scene(cuts=[chance.randrange(2 * CHUNK) for _ in range(8)], retry=patient) as s:
        uri = await s.lake.upload(tmp_path / "f", resume=True)
        assert s.content(uri) == DATA
        assert len(s.cuts) < 8
    assert s.calls(SENT) <= 6 + 8


@pytest.mark.usefixtures("_small_chunks")
async def test_another_process_goes_on_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(DATA)
    async with scene() as s:
        half = asyncio.Event()

        def told(now: Progress) -> None:
            if now.done > 3 * CHUNK:
                half.set()

        first = asyncio.create_task(s.lake.upload(tmp_path / "f", resume=True, on_progress=told))
        await half.wait()
        first.cancel()
        await asyncio.wait({first})
        done = s.dls.stored("user1/dlsadmin/f").size
        assert 0 < done < len(DATA)

        sent = s.calls(SENT)
        heard: list[int] = []
        uri = await s.other().datalake.upload(
            tmp_path / "f", resume=True, on_progress=lambda now: heard.append(now.done)
        )
        assert s.content(uri) == DATA
        # One that finds the file there, and the chunks that are missing.
        assert s.calls(SENT) - sent == 1 + -(-(len(DATA) - done) // CHUNK)
        assert heard[-1] == len(DATA)

        sent = s.calls(SENT)
        assert await s.lake.upload(tmp_path / "f", resume=True) == uri
        assert s.calls(SENT) - sent == 1
        assert s.content(uri) == DATA


@pytest.mark.parametrize("there", [b"another", DATA + b"more", DATA[: CHUNK - 1] + b"?"])
@pytest.mark.usefixtures("_small_chunks")
async def test_a_file_that_is_not_the_beginning_of_it_is_left_alone(there: bytes) -> None:
    async with scene() as s:
        uri = await s.lake.upload(there, filename="f")
        with pytest.raises(Conflict):
            await s.lake.upload(DATA, filename="f", resume=True)
        assert s.content(uri) == there


@pytest.mark.parametrize("size", [len(DATA), len(DATA) + 5])
@pytest.mark.usefixtures("_small_chunks")
async def test_a_file_that_changes_while_it_is_sent_is_not_patched_together(size: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(DATA)

    def told(now: Progress) -> None:
        if now.done == CHUNK:
            os.truncate(path, size)
            os.utime(path, ns=(1, 1))

    async with scene() as s:
        with pytest.raises(ConfigError, match="changed"):
            await s.lake.upload(path, resume=True, on_progress=told)
        assert s.dls.stored("user1/dlsadmin/f").size == CHUNK


@pytest.mark.usefixtures("_small_chunks")
async def test_what_somebody_else_appends_is_noticed() -> None:
    async with scene() as s:
        other = s.other()

        async def disturbed() -> AsyncIterator[bytes]:
            yield DATA[:CHUNK]
            yield DATA[CHUNK : 2 * CHUNK]
            await other.datalake.upload(b"mine", filename="f", mode="APPEND")
            yield DATA[2 * CHUNK :]

        with pytest.raises(Conflict, match="somebody else"):
            await s.lake.upload(disturbed, filename="f", resume=True)


async def test_a_part_that_is_too_long_to_append_is_sent_in_chunks() -> None:
    data = bytes(11 * 1024 * 1024)
    async with scene() as s:
        uri = await s.lake.upload(b"x", filename="f")
        with pytest.raises((BadRequest, PayloadTooLarge)):
            await s.lake.upload(data, filename="f", mode="APPEND")
        await s.lake.upload(data, filename="f", mode="APPEND", resume=True)
        assert s.content(uri) == b"x" + data
