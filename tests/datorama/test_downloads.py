"""Downloads: streamed, whole or not there at all."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import tracemalloc
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import cancel_at_every_await, until
from loopback import Loopback, Reply

from asyncconn import errors
from asyncconn.core.progress import Progress
from asyncconn.core.retrying import ONCE
from asyncconn.datorama import DataStream, Datorama
from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.sandbox.datorama import DatoramaWorld
from asyncconn.sandbox.faults import Fault

from .scene import FILE_STREAM, STREAM, WORKSPACE, scene

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DONE = {"SUCCESS": 1.0}
DOWNLOADS = "/v1/data-stream-stats"


async def a_job(datorama: Datorama, stream: int = STREAM) -> Any:
    return (await (await datorama.streams.get(stream)).jobs()).items[0]


def left(folder: Path) -> list[str]:
    """Whatever is in the folder, hidden or not."""
    return sorted(os.listdir(folder))  # noqa: PTH208 - hidden ones count


async def test_an_api_streams_data_is_a_zip_and_a_file_based_ones_a_csv(tmp_path: Path) -> None:
    async with scene() as there:
        datorama = there.client()
        zipped = await (await a_job(datorama)).download(tmp_path)
        plain = await (await a_job(datorama, FILE_STREAM)).download(tmp_path)
        with zipfile.ZipFile(zipped) as archive:
            assert archive.testzip() is None
        assert plain.read_text().startswith("Day,Campaign Key,Clicks\n")
        assert (zipped.suffix, plain.suffix) == (".zip", ".csv")
        named = await (await a_job(datorama)).download(tmp_path / "mine.bin")
        assert named.read_bytes() == zipped.read_bytes()
        assert left(tmp_path) == sorted([zipped.name, plain.name, "mine.bin"])


async def test_who_listens_hears_of_every_byte(tmp_path: Path) -> None:
    async with scene(DatoramaWorld(outcomes=DONE, download_bytes=300_000)) as there:
        heard: list[Progress] = []
        path = await (await a_job(there.client())).download(tmp_path, on_progress=heard.append)

        size = path.stat().st_size
        assert (heard[0].done, heard[-1]) == (0, Progress(size, heard[0].total, "bytes"))
        assert heard[0].total in (size, None)
        assert [one.done for one in heard] == sorted({one.done for one in heard})


async def test_a_listener_that_raises_ends_no_download(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(now: Progress) -> None:
        raise ValueError(now.unit)

    async with scene(DatoramaWorld(outcomes=DONE)) as there:
        path = await (await a_job(there.client())).download(tmp_path, on_progress=broken)

        assert path.stat().st_size > 0
        assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_where_the_jobs_were_found_decides_where_the_data_is(tmp_path: Path) -> None:
    async with scene() as there:
        datorama = there.client()
        misleading = DataStream(id=FILE_STREAM, data_source_name="Google Analytics", workspace_id=WORKSPACE)
        job = (await datorama.jobs.list(misleading)).items[0]
        path = await datorama.jobs.download(job, tmp_path)
        assert path.name == f"{WORKSPACE}_{FILE_STREAM}_{job.id}_data.csv"


async def test_memory_stays_flat_for_a_large_download(tmp_path: Path) -> None:
    size = 50_000_000
    async with scene(DatoramaWorld(outcomes=DONE, download_bytes=size)) as there:
        job = await a_job(there.client())
        tracemalloc.start(1)
        try:
            path = await job.download(tmp_path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert path.stat().st_size > 0.99 * size
        assert peak < 8_000_000


#: The script, how often it strikes, the error.
BROKEN: list[tuple[str, type[errors.AsyncConnError]]] = [
    ("half_body", errors.ConnectionLost),
    ("drop_after", errors.ConnectionLost),
    ("drop_before", errors.ConnectionLost),
    ("html_200", DatoramaProtocolError),
]


@pytest.mark.parametrize(("kind", "error"), BROKEN, ids=[row[0] for row in BROKEN])
@pytest.mark.parametrize("there_before", [False, True])
async def test_a_broken_download_leaves_nothing_half_written(
    kind: str, error: type[errors.AsyncConnError], there_before: bool, tmp_path: Path
) -> None:
    async with scene(DatoramaWorld(outcomes=DONE, download_bytes=300_000)) as there:
        job = await a_job(there.client(retry=ONCE))
        target = tmp_path / "data.zip"
        if there_before:
            target.write_bytes(b"yesterday's")
        there.fault(Fault(kind, match=DOWNLOADS, times=None))
        with pytest.raises(error):
            await job.download(target)
        assert left(tmp_path) == (["data.zip"] if there_before else [])
        assert not there_before or target.read_bytes() == b"yesterday's"


async def test_what_breaks_before_the_file_has_begun_is_tried_again(tmp_path: Path) -> None:
    async with scene() as there:
        job = await a_job(there.client())
        for kind in ("drop_before", "drop_after", "close"):
            there.fault(Fault(kind, match=DOWNLOADS))
        there.fault(Fault("status", status=503, match=DOWNLOADS))
        path = await job.download(tmp_path)
        assert zipfile.is_zipfile(path)


async def test_a_job_without_data_is_not_found(tmp_path: Path) -> None:
    async with scene() as there:
        datorama = there.client()
        stream = await datorama.streams.get(STREAM)
        [job] = await stream.process("2026-01-01", "2026-01-01")
        with pytest.raises(errors.NotFound, match="has no data"):
            await job.download(tmp_path)
        assert left(tmp_path) == []


@pytest.mark.parametrize("where", ["no/such/folder/x.zip", "taken/x.zip"])
async def test_a_place_that_cannot_be_written_is_said(where: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    async with scene() as there:
        job = await a_job(there.client())
        with pytest.raises(errors.ConfigError, match=r"x\.zip cannot be written"):
            await job.download(tmp_path / where)
        assert left(tmp_path) == ["taken"]


async def test_a_cancelled_download_leaves_nothing_behind_wherever_it_was(tmp_path: Path) -> None:
    folders = iter(range(1000))
    target = tmp_path
    content = b"x" * 3_000_000
    stream = DataStream(id=STREAM, workspace_id=WORKSPACE)
    reply = Reply(200, content, {"Content-Type": "application/zip"})
    async with Loopback(otherwise=reply) as server, Datorama("made-up-token", base_url=server.url) as datorama:

        async def make() -> Callable[[], Awaitable[object]]:
            nonlocal target
            target = tmp_path / str(next(folders))
            await asyncio.to_thread(target.mkdir)
            return lambda: datorama.jobs.download(1, target, stream=stream)

        async def check(error: BaseException | None) -> None:
            await asyncio.sleep(0.02)  # a thread may be at its last write
            there = left(target)
            name = f"{WORKSPACE}_{STREAM}_1_data.zip"
            assert there in ([], [name]), there
            assert error is not None or there == [name]
            assert not there or (target / name).stat().st_size == len(content)

        assert await cancel_at_every_await(make, check, most=400) > 5


async def test_a_download_that_is_cancelled_while_the_disk_is_slow_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, begun, may_go_on = tempfile.mkstemp, threading.Event(), threading.Event()

    def slowly(**options: Any) -> tuple[int, str]:
        begun.set()
        may_go_on.wait(10.0)
        return make(**options)

    monkeypatch.setattr(tempfile, "mkstemp", slowly)
    async with scene() as there:
        job = await a_job(there.client())
        task = asyncio.create_task(job.download(tmp_path))
        await until(begun.is_set)
        task.cancel()
        await asyncio.sleep(0.02)
        may_go_on.set()
        await asyncio.wait({task})
        assert task.cancelled()
        await asyncio.sleep(0.02)
        assert left(tmp_path) == []
