"""What ``run_source`` gives a source and keeps for it: as the platform did."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.errors import ConfigError, StateInUse
from asyncconn.panoply import DataSource, PanoplyException, Saved, run_source
from asyncconn.panoply.errors import ReadFailed, RowRefused, StateRefused, TruncateRefused

from .scene import AsyncScripted, ManualWriter, Scripted, both, params

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Seeing(DataSource):
    """Keeps what it was given, changes it in every way, and returns ``source["rows"]``."""

    seen: list[tuple[dict[str, Any], Any]]

    def __init__(self, source: dict[str, Any], options: Any) -> None:
        super().__init__(source, options)
        self.seen.append((dict(source), options))
        self.rows = source.get("rows", [])
        source["added"] = True

    def read(self, n: int | None = None) -> Any:
        return self.rows.pop(0) if self.rows else None


@pytest.fixture
def seeing() -> type[Seeing]:
    return type("Seeing", (Seeing,), {"seen": []})


# -- what it gets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [None, {}, {"past_days": 3}])
async def test_options_are_always_a_dict(seeing: type[Seeing], options: Any) -> None:
    await run_source(seeing, {"type": "t"}, options, into=ManualWriter())
    [(_, given)] = seeing.seen
    assert given == (options or {})
    assert type(given) is dict
    assert given is not options


async def test_the_callers_parameters_are_never_changed_at_any_depth(seeing: type[Seeing]) -> None:
    class Deep(seeing):  # type: ignore[misc, valid-type] # a class that a fixture made
        def read(self, n: int | None = None) -> Any:
            self.source["nested"]["list"][0]["set"].add(2)
            return super().read(n)

    given = {"type": "t", "rows": [[{"id": 1}]], "nested": {"list": ({"set": {1}},)}}
    await run_source(Deep, given, into=ManualWriter())
    assert given == {"type": "t", "rows": [[{"id": 1}]], "nested": {"list": ({"set": {1}},)}}


async def test_what_is_no_container_is_handed_on_as_it_is(seeing: type[Seeing]) -> None:
    connection = object()
    await run_source(seeing, {"type": "t", "connection": connection}, into=ManualWriter())
    assert seeing.seen[0][0]["connection"] is connection


async def test_parameters_that_hold_themselves_are_refused(seeing: type[Seeing]) -> None:
    given: dict[str, Any] = {"type": "t"}
    given["again"] = given
    with pytest.raises(ConfigError, match="nested without end"):
        await run_source(seeing, given, into=ManualWriter())


@pytest.mark.parametrize("wrong", [{"params": ["a"]}, {"options": "text"}, {"keep_state": "never"}])
async def test_what_is_no_dict_is_refused(seeing: type[Seeing], wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        await run_source(seeing, into=ManualWriter(), **wrong)
    assert seeing.seen == []


# -- what is done to its rows ------------------------------------------------------------------------------------------


@both
async def test_a_pattern_of_the_constructor_makes_ids_and_columns_of_the_caller_are_left_out(
    kind: type[Scripted],
) -> None:
    class Keyed(kind):  # type: ignore[misc, valid-type] # one of two
        def __init__(self, source: dict[str, Any], options: Any) -> None:
            super().__init__(source, options)
            source["idpattern"] = "{week}-{asin}"

    writer = ManualWriter()
    rows = [{"week": 1, "asin": name, "secret": "s", "more": '{"n": 1}'} for name in "ab"]
    for _ in range(2):
        await run_source(Keyed, params(rows, excludes=["secret"], stringFields=["more"]), into=writer)
    assert len({row["id"] for _, row in writer.rows}) == 2
    assert all(set(row) == {"week", "asin", "more", "id"} and row["more"] == {"n": 1} for _, row in writer.rows)


async def test_a_row_without_a_field_of_the_id_is_named() -> None:
    with pytest.raises(RowRefused, match=r"read 1, row 1: the idpattern '\{a\}' needs the field 'a'") as caught:
        await run_source(Scripted, params([{"a": 1}, {"b": 1}], idpattern="{a}"), into=ManualWriter())
    assert (caught.value.read, caught.value.row) == (1, 1)


@both
async def test_a_table_is_not_truncated_but_the_run_refused(kind: type[Scripted]) -> None:
    with pytest.raises(TruncateRefused):
        await run_source(kind, params([{"id": 1}], truncateTable=True), into=ManualWriter())
    source = kind(params([{"id": 1}], truncateTable="true"))
    with pytest.raises(TruncateRefused):
        await run_source(source, into=ManualWriter())
    assert (source.hints, source.closed) == ([], 1)


# -- what read may return ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunk", "data"),
    [
        ("a,b\n1,ü\n", "a,b\n1,ü\n".encode()),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"y"), b"y"),
    ],
)
async def test_a_chunk_of_a_file_becomes_a_raw_row(chunk: Any, data: bytes) -> None:
    writer = ManualWriter()
    report = await run_source(Scripted, params(chunk[:0], chunk, destination="{type}_{chunk}"), into=writer)
    [(table, row)] = writer.rows
    assert (table, base64.b64decode(row["raw"])) == ("raw_2", data)
    assert row == {"type": "raw", "tag": "t", "raw": row["raw"], "metadata": {"chunk": 2}}
    assert (report.reads, report.rows) == (2, 1)


async def test_a_raw_row_may_come_alone() -> None:
    writer = ManualWriter()

    def read(source: DataSource) -> Any:
        return source.raw("page", b"<html>", {"resource_id": "pages"})

    await run_source(Scripted, params(read, destination="{resource_id}"), into=writer)
    assert [(table, row["tag"]) for table, row in writer.rows] == [("pages", "page")]


@pytest.mark.parametrize("rows", [["text"], [b"bytes"], [[{"id": 1}]]])
async def test_in_a_list_a_text_is_no_row(rows: Any) -> None:
    with pytest.raises(RowRefused, match="read 1, row 0: a row must be a mapping"):
        await run_source(Scripted, params(rows), into=ManualWriter())


# -- after a success, after a failure ----------------------------------------------------------------------------------


def step(number: int, fails: bool = False) -> Callable[[DataSource], Any]:
    def read(source: DataSource) -> Any:
        if fails:
            raise PanoplyException("gone", retryable=False)
        source.state(f"s{number}", {"at": number})
        return [{"id": number, "n": number, "__state": f"s{number}"}]

    return read


async def test_a_state_comes_back_after_a_failure_and_not_after_a_success(tmp_path: Path) -> None:
    path, seen = tmp_path / "s.json", list[Any]()

    def look(source: DataSource) -> Any:
        seen.append(source.source.get("state"))
        return []

    with pytest.raises(ReadFailed):
        await run_source(Scripted, params(look, step(1), step(2, fails=True)), into=ManualWriter(), state=path)
    report = await run_source(Scripted, params(look, step(2)), into=ManualWriter(), state=path)
    await run_source(Scripted, params(look, step(1)), into=ManualWriter(), state=path)
    assert seen == [None, {"at": 1}, None]
    assert report.state == {"at": 2}


async def test_a_state_comes_back_after_a_success_when_that_is_asked_for(tmp_path: Path) -> None:
    path, seen = tmp_path / "s.json", list[Any]()

    def look(source: DataSource) -> Any:
        seen.append(source.source.get("state"))
        return []

    for number in (1, 2):
        await run_source(Scripted, params(look, step(number)), into=ManualWriter(), state=path, keep_state="always")
    assert seen == [None, {"at": 1}]
    assert json.loads(path.read_text())["state"] == {"at": 2}


async def test_tokens_outlive_a_success(tmp_path: Path) -> None:
    path = tmp_path / "s.json"

    def renew(source: DataSource) -> Any:
        source.fire("source-change", {"access_token": "new"})
        return []

    await run_source(Scripted, params(renew, step(1), access_token="old"), into=ManualWriter(), state=path)
    kept = json.loads(path.read_text())
    assert (kept["state"], kept["source"]) == ({}, {"access_token": "new"})


async def test_a_source_knows_when_the_last_run_that_succeeded_began(seeing: type[Seeing], tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    before = datetime.now(UTC).replace(microsecond=0)
    await run_source(seeing, {"type": "t"}, into=ManualWriter(), state=path)
    with pytest.raises(RowRefused):
        await run_source(seeing, {"type": "t", "rows": [["no row"]]}, into=ManualWriter(), state=path)
    await run_source(seeing, {"type": "t"}, into=ManualWriter(), state=path)
    await run_source(seeing, {"type": "t", "lastTimeSucceed": "2020-01-01"}, into=ManualWriter(), state=path)
    first, second, third, given = (source.get("lastTimeSucceed") for source, _ in seeing.seen)
    assert (first, second == third, given) == (None, True, "2020-01-01")
    assert third is not None
    assert third.endswith("Z")
    assert len(third) == len("2026-01-01T00:00:00.000Z")
    assert before <= datetime.fromisoformat(third) <= datetime.now(UTC)


async def test_the_greatest_value_of_the_incremental_key_is_where_the_next_run_begins(
    seeing: type[Seeing], tmp_path: Path
) -> None:
    path = tmp_path / "s.json"

    async def run(*values: Any, fails: bool = False, **more: Any) -> Any:
        rows = [[{"id": value, "at": value} for value in values], *([["no row"]] if fails else [])]
        given = {"type": "t", "inckey": "at", "incval": "start", "rows": rows, **more}
        try:
            await run_source(seeing, given, into=ManualWriter(), state=path)
        except RowRefused:
            assert fails
        return seeing.seen[-1][0].get("incval")

    assert await run("b", "d", "c") == "start"
    assert await run() == "d"
    assert await run("z", fails=True) == "d"  # there were no rows before
    assert await run("e") == "d"  # a run that failed does not count
    assert await run(incval="anew") == "anew"
    assert await run() == "e"
    assert await run(inckey="other") == "start"


async def test_an_incremental_key_of_the_constructor_counts_too(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Keyed(Scripted):
        def __init__(self, source: dict[str, Any], options: Any) -> None:
            super().__init__(source, options)
            seen.append(source.get("incval"))
            source["inckey"] = "n"

    for number in (1, 2):
        await run_source(Keyed, params(step(number)), into=ManualWriter(), state=tmp_path / "s.json")
    assert seen == [None, 1]


async def test_a_success_that_cannot_be_saved_is_an_error() -> None:
    class Full:
        async def load(self) -> Saved:
            return Saved()

        async def save(self, saved: Saved) -> None:
            raise ConfigError("the disk is full")

    with pytest.raises(StateRefused, match="the disk is full"):
        await run_source(Scripted, params([{"id": 1}]), into=ManualWriter(), state=Full())


# -- one run at a time -------------------------------------------------------------------------------------------------


@both
async def test_a_run_that_overlaps_another_is_refused_before_its_source_is_made(
    kind: type[Scripted], seeing: type[Seeing], tmp_path: Path
) -> None:
    path, link = tmp_path / "s.json", tmp_path / "link.json"
    link.symlink_to(path)
    writer = ManualWriter()

    async def meanwhile(source: DataSource) -> Any:
        for name in (path, link):
            with pytest.raises(StateInUse, match="is in use by another run"):
                await run_source(seeing, {"type": "t"}, into=writer, state=name)
        return [{"id": 1}]

    await run_source(AsyncScripted, params(lambda source: meanwhile(source)), into=writer, state=path)
    assert seeing.seen == []
    await run_source(kind, params([{"id": 2}]), into=writer, state=link)
    assert [row for _, row in writer.rows] == [{"id": 1}, {"id": 2}]


async def test_a_run_that_fails_lets_the_file_go(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(RowRefused):
            await run_source(Scripted, params(["no row"]), into=ManualWriter(), state=tmp_path / "s.json")


async def test_a_run_does_not_set_back_what_another_has_reached(tmp_path: Path) -> None:
    """The lock may be gone: removed by hand, or on a volume without any."""
    path = tmp_path / "s.json"

    def overtaken(source: DataSource) -> Any:
        path.write_text('{"state": {"at": 9}, "source": {}}')
        return step(1)(source)

    with pytest.raises(StateRefused, match="changed by another run meanwhile"):
        await run_source(Scripted, params(overtaken, step(2)), into=ManualWriter(), state=path)
    assert json.loads(path.read_text())["state"] == {"at": 9}
