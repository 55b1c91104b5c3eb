"""A file for a table is checked as a whole before anything is sent; what did not arrive is kept."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Progress, Spool, errors
from asyncconn.panoply import CheckedFile, check_file, spool_contents
from asyncconn.panoply.encoding import encode_record
from asyncconn.sandbox import Fault

from .scene import SandboxTarget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncconn.sandbox import Sandbox

LARGE = "x" * 20_000  # about a dozen records in a message


@pytest.fixture
def sender() -> str:
    return "form"


def written(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@asynccontextmanager
async def checked(target: SandboxTarget, path: Path, **how: Any) -> AsyncIterator[CheckedFile]:
    async with target.panoply() as panoply, await check_file(path, "t", into=panoply, **how) as file:
        yield file


async def test_every_fault_is_named_and_nothing_is_sent(target: SandboxTarget, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("k,n\nx,1\ny\n,3\nx,4\nz,5\n")

    async with checked(target, path, id_column="k") as file:
        assert [(one.line, one.what) for one in file.problems] == [
            (3, "1 value for 2 columns"),
            (4, "'k' is empty: it is to be the id"),
            (5, "the id 'x' is that of line 2 too: one would replace the other"),
        ]
        assert (file.records, file.problem_count) == (2, 3)
        with pytest.raises(errors.ConfigError, match="a file with problems is not sent"):
            await file.write()

    assert not target.sandbox.requests


async def test_a_checked_file_is_written_once_and_reported(target: SandboxTarget, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{"k": number, "text": LARGE} for number in range(100)])
    seen: list[Progress] = []

    async with checked(target, path, id_column="k", on_progress=seen.append) as file:
        assert (file.problems, file.told, seen[-1]) == ([], "", Progress(100, None, "records"))
        report = await file.write(on_progress=seen.append)
        with pytest.raises(errors.LifecycleError, match="was sent"):
            await file.write()

    assert (report.complete, report.records, report.accepted, report.delivered) == (True, 100, 100, 100)
    assert (report.messages, report.next_line, list(report.undelivered)) == (8, 0, [])
    assert seen[-1] == Progress(100, 100, "records")
    assert target.rows() == set(range(100))


async def test_a_stream_is_checked_without_an_account_and_only_looked_at(tmp_path: Path) -> None:
    async with await check_file(io.BytesIO(b"id;n\n1;2\n"), "t", types=True) as file:
        assert (file.records, file.told, file.problem_count) == (1, "CSV, columns separated by ';'", 0)
        with pytest.raises(errors.ConfigError, match="without a writer is not sent"):
            await file.write()
    with pytest.raises(errors.InvalidRecord, match="empty"):
        await check_file(tmp_path / "none", "")
    with pytest.raises(errors.ConfigError, match="No such file"):
        await check_file(tmp_path / "none", "t")
    with pytest.raises(errors.ConfigError, match="no encoding"):
        await check_file(tmp_path / "none", "t", encoding="unheard-of")


async def test_a_record_is_measured_by_the_room_of_its_writer(target: SandboxTarget, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{"id": 1}, {"id": 2, "text": "x" * 2_000}])

    async with (
        target.panoply(max_message_bytes=2_000) as panoply,
        await check_file(path, "t", into=panoply) as file,
    ):
        assert [one.line for one in file.problems] == [2]
        assert f"a message holds {panoply.room:,}" in file.problems[0].what
    async with checked(target, path) as file:
        assert file.problem_count == 0


async def test_what_fails_is_kept_with_all_that_is_behind_it(
    sandbox: Sandbox, target: SandboxTarget, tmp_path: Path
) -> None:
    records = [{"id": number, "text": LARGE} for number in range(1000)]
    sandbox.faults.add(Fault("status", status=400, after=2, times=None))

    async with checked(target, written(tmp_path / "a.jsonl", records)) as file:
        report = await file.write()
        saved = await report.save(tmp_path / "a.jsonl")

    assert 0 < report.delivered < report.accepted < 1000  # the rest was not sent any more
    assert report.next_line == 0
    assert not report.complete
    assert report.failures
    assert saved == tmp_path / "a-2.jsonl"
    kept = [json.loads(line) for line in saved.read_text().splitlines()]
    assert kept == list(report.undelivered)  # in the order in which batches failed: several were under way
    arrived = target.rows()
    assert sorted(record["id"] for record in kept) == [one["id"] for one in records if one["id"] not in arrived]


async def test_a_cancelled_file_tells_where_it_stopped(sandbox: Sandbox, target: SandboxTarget, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{"id": number, "text": LARGE} for number in range(1500)])
    sandbox.faults.add(Fault("delay", seconds=0.05, times=None))

    async with checked(target, path) as file:
        writing = asyncio.create_task(file.write())
        while not file.report.delivered:
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait({writing})
        assert writing.cancelled()

    report = file.report
    assert 0 < report.accepted < 1500
    assert (report.delivered, report.next_line) == (report.accepted, report.accepted + 1)
    assert target.rows() == set(range(report.accepted))


async def test_a_file_that_changes_meanwhile_is_told(target: SandboxTarget, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [{"id": 1}])

    async with checked(target, path) as file:
        await asyncio.to_thread(path.write_text, '{"id": 1}\n{"id": 2}\n')
        report = await file.write()

    assert report.changed
    assert not report.complete


# -- spools ------------------------------------------------------------------------------------------------------------


async def test_what_a_spool_holds_is_taken_out_and_forgotten(tmp_path: Path) -> None:
    path, out = tmp_path / "a.spool", tmp_path / "out.jsonl"
    spool = Spool(path)
    await spool.open("somebody")
    await spool.append([encode_record(table, {"id": number}) for number in range(500) for table in ("t", "u")])
    await spool.aclose()

    found = await spool_contents(path)
    assert (found.tables, found.records) == ({"t": 500, "u": 500}, 1000)
    with pytest.raises(errors.ConfigError, match="export them"):
        await spool_contents(path, discard=True)
    assert (await spool_contents(path, export=out, discard=True)).records == 1000
    assert (await asyncio.to_thread(out.read_text)).startswith('{"id":0,"__table":"t"}\n{"id":0,"__table":"u"}\n')
    assert (await spool_contents(path)).records == 0
    with pytest.raises(errors.ConfigError, match="is there already"):
        await spool_contents(path, export=out)
    with pytest.raises(errors.ConfigError, match="there is no spool"):
        await spool_contents(tmp_path / "none")
