"""Files of rows are read and saved without being held in memory, and none is ever half of one."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import sys
import threading
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from helpers import cancel_at_every_await, until

from asyncconn.core.paging import Page, Pager
from asyncconn.core.row_files import Row, RowFile
from asyncconn.errors import ConfigError, InvalidRecord
from asyncconn.rows import read_rows, save_rows

ROWS = [{"id": "1", "name": 'Zoë, "Z"'}, {"id": "2", "name": "two\nlines\rthree"}, {"id": "3", "name": ""}]
NAMES = ["a.jsonl", "a.ndjson", "a.json", "a.csv", "a.tsv", "a.jsonl.gz", "a.csv.gz", "A.TSV.GZ", "a.parquet"]


async def all_of(path: Path) -> list[dict[str, Any]]:
    return [row async for row in read_rows(path)]


class Source:
    """Rows, and whether somebody has closed them."""

    def __init__(self, rows: list[Any], error: Exception | None = None) -> None:
        self._rows = rows
        self._error = error
        self.closed = False

    async def rows(self) -> AsyncGenerator[Any, None]:
        try:
            for row in self._rows:
                await asyncio.sleep(0)
                yield row
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True

    def in_order(self) -> Iterator[Any]:
        try:
            yield from self._rows
        finally:
            self.closed = True


@pytest.mark.parametrize("name", NAMES)
async def test_what_was_saved_is_read_again(name: str, tmp_path: Path) -> None:
    path = tmp_path / name

    assert await save_rows(path, ROWS) == 3
    assert await all_of(path) == ROWS
    assert [one.name for one in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
async def test_no_rows_are_a_file_without_rows(name: str, tmp_path: Path) -> None:
    assert await save_rows(tmp_path / name, []) == 0
    assert await all_of(tmp_path / name) == []


async def test_any_kind_of_rows_is_taken(tmp_path: Path) -> None:
    async def fetch(cursor: int | None) -> Page[dict[str, Any]]:
        return Page([{"n": cursor or 0}], 1 if cursor is None else None)

    pager = Pager(fetch)
    source = Source(ROWS)
    path = str(tmp_path / "a.jsonl")

    assert await save_rows(path, (row for row in ROWS)) == 3
    assert await save_rows(path, pager) == 2
    assert await save_rows(path, source.in_order()) == 3
    assert source.closed
    assert await save_rows(path, read_rows(path)) == 3  # the file itself: the old one is read, the new one written
    assert await all_of(Path(path)) == ROWS


async def test_json_is_json_and_csv_has_a_header(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"a": 2**70, "b": True, "c": None},
        {"a": Decimal("1.10"), "b": [1, "x"], "c": date(2026, 1, 31)},
    ]
    await save_rows(tmp_path / "a.json", rows)
    await save_rows(tmp_path / "a.csv", rows)
    await save_rows(tmp_path / "a.tsv", [{"a": "x,y", "b": ""}])

    assert json.loads((tmp_path / "a.json").read_text())[0] == {"a": 2**70, "b": True, "c": None}
    assert (tmp_path / "a.csv").read_bytes() == (
        b'a,b,c\r\n1180591620717411303424,true,\r\n1.10,"[1,""x""]",2026-01-31\r\n'
    )
    assert (tmp_path / "a.tsv").read_bytes() == b"a\tb\r\nx,y\t\r\n"


async def test_a_later_row_may_lack_a_column_and_have_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    await save_rows(path, [{"a": 1, "b": 2}, {"b": 3}])
    assert await all_of(path) == [{"a": "1", "b": "2"}, {"a": "", "b": "3"}]

    with pytest.raises(ConfigError, match=r"a\.csv: row 2 cannot be saved: it has the column 'c'"):
        await save_rows(path, [{"a": 1, "b": 2}, {"a": 1, "c": 2}])
    assert len(await all_of(path)) == 2


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"a": float("nan")}, "a"),
        ({"a": object()}, "a"),
        ({1: "a"}, "(text|column 1)"),
        ([1], "list, not a mapping"),
        ({"a": "\ud800"}, "half a character"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
async def test_a_row_that_cannot_be_saved_leaves_the_old_file(name: str, row: Any, what: str, tmp_path: Path) -> None:
    path = tmp_path / name
    await save_rows(path, ROWS)
    source = Source([{"a": 1}, row])

    with pytest.raises(ConfigError, match=f"row 2 cannot be saved: .*{what}"):
        await save_rows(path, source.rows())
    assert source.closed
    assert await all_of(path) == ROWS
    assert [one.name for one in tmp_path.iterdir()] == [name]


async def test_an_error_of_the_rows_leaves_the_old_file_and_comes_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    await save_rows(path, ROWS)

    with pytest.raises(ConnectionResetError):
        await save_rows(path, Source([{"a": 1}], ConnectionResetError("theirs")).rows())
    assert await all_of(path) == ROWS
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl.gz"]


async def test_a_save_that_is_cancelled_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    source = Source([])

    async def make() -> Callable[[], Awaitable[object]]:
        nonlocal source
        source = Source([{"id": "4"}])
        await save_rows(path, ROWS)
        return lambda: save_rows(path, source.rows())

    async def check(error: BaseException | None) -> None:
        assert source.closed or error
        saved = await all_of(path)
        assert saved == [{"id": "4"}] or (error and saved == ROWS)
        assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]

    assert await cancel_at_every_await(make, check) > 3


@pytest.mark.parametrize("name", ["a", "a.txt", "a.gz", "a.parquet.gz"])
async def test_a_name_that_says_nothing_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.jsonl"):
        await save_rows(tmp_path / name, ROWS)


async def test_a_file_that_cannot_be_opened_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        await all_of(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        await all_of(tmp_path)
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        await save_rows(tmp_path / "none" / "a.csv", ROWS)


async def test_a_bad_row_comes_after_those_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\nnope\n{"a": 4}\n')
    rows = read_rows(path)

    assert [await anext(rows), await anext(rows)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(InvalidRecord, match=r"a\.jsonl:3: not JSON: Expecting value at column 1") as caught:
        await anext(rows)
    assert caught.value.index == 2


@pytest.mark.parametrize("cut", [5, 40, -1])
async def test_a_gzip_file_that_is_cut_off_is_an_error(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n" * 1000)[:cut])

    with pytest.raises(InvalidRecord, match="the gzip file is cut off"):
        await all_of(path)
    path.write_bytes(b"\x1f\x8b" + b"x" * 100)
    with pytest.raises(InvalidRecord, match="the gzip file is damaged"):
        await all_of(path)


async def test_what_is_in_a_file_counts_where_its_name_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "export"
    for data in (b'[{"a":"1"}]', b'{"a":"1"}', b"a\n1\n", gzip.compress(b'\xef\xbb\xbf{"a":"1"}')):
        path.write_bytes(data)
        assert await all_of(path) == [{"a": "1"}]


async def test_the_file_is_closed_when_the_loop_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    threads: set[str] = set()
    real = Path.open

    def watched(self: Path, *args: Any, **kwargs: Any) -> Any:
        threads.add(threading.current_thread().name)
        opened.append(real(self, *args, **kwargs))
        return opened[-1]

    path = tmp_path / "a.jsonl"
    await save_rows(path, ROWS)
    monkeypatch.setattr(Path, "open", watched)
    async for row in read_rows(path):
        assert row == ROWS[0]
        break
    gc.collect()
    await until(lambda: opened[0].closed)
    async with aclosing(read_rows(path)) as rows:
        await anext(rows)
    assert opened[1].closed
    assert threading.current_thread().name not in threads


async def test_rows_are_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    tracemalloc.start()
    try:
        assert await save_rows(path, ({"id": i, "text": "x" * 1000} for i in range(20_000))) == 20_000
        seen = 0
        async for _ in read_rows(path):
            seen += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert seen == 20_000
    assert path.stat().st_size > 20_000_000
    assert peak < 6_000_000


# -- Parquet -----------------------------------------------------------------------------------------------------------


async def test_parquet_keeps_types_and_groups_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows: list[dict[str, Any]] = [
        {"id": number, "x": number / 2, "at": datetime(2026, 1, 1, tzinfo=UTC), "tags": ["a"], "none": None}
        for number in range(25_000)
    ]
    rows[1]["late"] = "in the second row"

    assert await save_rows(path, rows) == 25_000

    found = await all_of(path)
    assert found[:2] == [{**rows[0], "late": None}, rows[1]]
    assert [row["id"] for row in found] == list(range(25_000))


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"id": 1}, {"id": "two"}], "cannot be saved"),
        ([*({"id": 1} for _ in range(10_000)), {"id": 1, "new": 2}], "none of the first 10000 rows, .* has 'new'"),
        ([{"id": object()}], "cannot be saved"),
    ],
)
async def test_what_does_not_fit_into_parquet_leaves_the_old_file(
    rows: list[dict[str, Any]], why: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"old")

    with pytest.raises(ConfigError, match=why):
        await save_rows(path, rows)

    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize("cut", [0, 7, 200])
async def test_parquet_that_is_damaged_is_an_error(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    await save_rows(path, [{"id": number} for number in range(1000)])
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(InvalidRecord, match="it is not Parquet, or damaged"):
        await all_of(path)


async def test_without_its_library_parquet_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    with pytest.raises(ConfigError, match=r"pip install 'asyncconn\[parquet\]'"):
        await save_rows(tmp_path / "a.parquet", ROWS)
    assert not list(tmp_path.iterdir())


async def test_parquet_is_read_twice_from_one_open_file(tmp_path: Path) -> None:
    await save_rows(tmp_path / "a.parquet", ({"id": number} for number in range(3)))

    def twice() -> list[Any]:
        with RowFile(tmp_path / "a.parquet").open() as file:
            return [list(file.rows()) for _ in range(2)]

    assert await asyncio.to_thread(twice) == [[Row(number + 1, {"id": number}) for number in range(3)]] * 2


# -- how it is read ----------------------------------------------------------------------------------------------------


async def test_how_a_file_is_read_may_be_said(tmp_path: Path) -> None:
    path = tmp_path / "export"
    path.write_bytes("id;näme\n7;1,5\n".encode("cp1252"))

    found = [row async for row in read_rows(path, form="csv", types=True, delimiter=";", encoding="cp1252")]

    assert found == [{"id": 7, "näme": "1,5"}]
    for wrong in ({"form": "xml"}, {"delimiter": "ab"}, {"encoding": "unheard-of"}):
        with pytest.raises(ConfigError):
            await anext(read_rows(path, **wrong))  # type: ignore[arg-type] # wrong on purpose


async def test_numbers_keep_every_digit(tmp_path: Path) -> None:
    for name, text in (("a.json", '[{"n": 12345678901234567.89}]'), ("a.jsonl", '{"n": 12345678901234567.89}')):
        (tmp_path / name).write_text(text)
        assert await all_of(tmp_path / name) == [{"n": Decimal("12345678901234567.89")}]


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no named pipes")
async def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writing = asyncio.create_task(asyncio.to_thread(path.write_text, '{"a": 1}\n{"a": 2}\n'))

    assert await all_of(path) == [{"a": 1}, {"a": 2}]
    await writing


# -- where, as what, and of which columns ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet"])
async def test_a_form_that_is_given_counts_whatever_the_name(form: Any, tmp_path: Path) -> None:
    assert await save_rows(tmp_path / "rows.txt", ROWS, form=form) == 3
    assert [row async for row in read_rows(tmp_path / "rows.txt", form=form)] == ROWS


async def test_a_stream_is_written_to_and_left_open(tmp_path: Path) -> None:
    with (tmp_path / "all").open("wb") as stream:
        stream.write(b"#")
        await save_rows(stream, ROWS[:1], form="jsonl")
        await save_rows(stream, ROWS[1:2], form="jsonl")
        assert not stream.closed
        with pytest.raises(ConfigError, match="row 1 cannot be saved"):
            await save_rows(stream, [{"value": float("nan")}], form="jsonl")
        assert not stream.closed
    assert [json.loads(line) for line in (tmp_path / "all").read_text()[1:].splitlines()] == ROWS[:2]
    with pytest.raises(ConfigError, match="the name of a file of rows ends in"):
        await save_rows(stream, ROWS)


async def test_columns_that_are_given_stand_in_the_file_even_without_rows(tmp_path: Path) -> None:
    await save_rows(tmp_path / "none.csv", [], columns=["id", "name"])
    assert (tmp_path / "none.csv").read_text() == "id,name\n"
    await save_rows(tmp_path / "some.csv", [{"name": "Ada"}], columns=["id", "name"])
    assert await all_of(tmp_path / "some.csv") == [{"id": "", "name": "Ada"}]
    with pytest.raises(ConfigError, match="column 'size'"):
        await save_rows(tmp_path / "some.csv", [{"size": 1}], columns=["id", "name"])


async def test_a_reader_that_has_gone_is_no_error_of_ours() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "wb", buffering=0)
    with pytest.raises(BrokenPipeError):
        await save_rows(stream, ROWS, form="jsonl")
    stream.close()
