"""``asyncconn panoply spool``: shows, exports and discards what has not arrived."""

from __future__ import annotations

import asyncio
import json
import stat
from typing import TYPE_CHECKING

from asyncconn.core.buffer.spool import Spool
from asyncconn.panoply.encoding import encode_record
from cli.commands import run

if TYPE_CHECKING:
    from pathlib import Path


def fill(path: Path) -> None:
    async def main() -> None:
        spool = Spool(path)
        await spool.open("somebody")
        await spool.append([encode_record("t", {"id": number, "name": "Zoë"}) for number in range(3000)])
        await spool.append([encode_record("other", {"id": 1})])
        await spool.trim([range(1, 11)])
        await spool.aclose()

    asyncio.run(main())


def test_what_waits_is_shown_by_table_and_stays(tmp_path: Path) -> None:
    fill(tmp_path / "a.spool")
    for _ in range(2):
        end = run(tmp_path, "panoply", "spool", "a.spool")
        assert (end.status, end.err) == (0, "")
        assert [line.split() for line in end.out.splitlines() if line.startswith(("t ", "other"))] == [
            ["t", "2990"],
            ["other", "1"],
        ]
        assert "2,991 records (" in end.out


def test_records_are_exported_as_they_would_be_sent_and_then_discarded(tmp_path: Path) -> None:
    fill(tmp_path / "a.spool")
    end = run(tmp_path, "panoply", "spool", "a.spool", "--export", "out.jsonl", "--discard")
    assert end.status == 0, end.text
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows[0] == {"id": 10, "name": "Zoë", "__table": "t"}
    assert (len(rows), rows[-1]) == (2991, {"id": 1, "__table": "other"})
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o600
    assert run(tmp_path, "panoply", "spool", "a.spool").out.startswith("0 records (0 bytes)")


def test_nothing_is_discarded_without_an_export_or_over_a_file_that_is_there(tmp_path: Path) -> None:
    fill(tmp_path / "a.spool")
    (tmp_path / "out.jsonl").write_text("mine")
    for options, says in ((["--discard"], "give --export too"), (["--export", "out.jsonl"], "is there already")):
        end = run(tmp_path, "panoply", "spool", "a.spool", *options)
        assert end.status == 2
        assert says in " ".join(end.err.replace("│", " ").split())
    assert (tmp_path / "out.jsonl").read_text() == "mine"
    assert "2,991 records" in run(tmp_path, "panoply", "spool", "a.spool").out


def test_a_spool_that_is_none_is_named(tmp_path: Path) -> None:
    assert "there is no spool a.spool" in run(tmp_path, "panoply", "spool", "a.spool").err
    (tmp_path / "b.spool").write_text("no database at all, but long enough to look like one" * 50)
    end = run(tmp_path, "panoply", "spool", "b.spool")
    assert end.status == 2
    assert "b.spool is no spool" in end.err
