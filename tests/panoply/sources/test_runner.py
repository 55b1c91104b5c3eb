"""``run_source``: reads to the end, writes where rows go, refuses those that cannot be written, and always closes."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from asyncconn.errors import ConfigError, InvalidRecord
from asyncconn.panoply import DataSource, SourceProgress, run_source
from asyncconn.panoply.errors import RowRefused, SourceError

from .scene import KINDS, AsyncScripted, ManualWriter, MemoryStore, Scripted, both, params

# -- reading to the end ------------------------------------------------------------------------------------------------


@both
async def test_every_row_up_to_none_goes_to_the_table_and_an_empty_list_is_not_the_end(kind: type[Scripted]) -> None:
    writer = ManualWriter()
    report = await run_source(kind, params([{"id": 1}], [], [{"id": 2}, {"id": 3}]), into=writer)
    assert writer.rows == [("t", {"id": 1}), ("t", {"id": 2}), ("t", {"id": 3})]
    assert (report.reads, report.rows, report.delivered, report.tables) == (3, 3, 3, {"t": 3})
    assert (report.finished, report.complete, report.retries) == (True, True, 0)


@both
async def test_an_object_is_driven_as_well_as_a_class(kind: type[Scripted]) -> None:
    source = kind(params([{"id": 1}]))
    report = await run_source(source, into=ManualWriter())
    assert (report.rows, source.closed) == (1, 1)


async def test_a_plain_source_lives_in_one_thread_from_its_constructor_to_its_close() -> None:
    made: list[Scripted] = []

    def make(source: dict[str, Any], options: Any) -> Scripted:
        made.append(Scripted(source, options))
        return made[0]

    await run_source(make, params([{"id": 1}], [{"id": 2}]), into=ManualWriter())
    [thread] = made[0].threads
    assert thread is not threading.current_thread()
    thread.join(5)
    assert not thread.is_alive()


async def test_an_async_source_lives_on_the_loop() -> None:
    source = AsyncScripted(params([{"id": 1}]))
    await run_source(source, into=ManualWriter())
    assert source.threads == {threading.current_thread()}


class NoHint(DataSource):
    left = 2

    def read(self) -> Any:  # type: ignore[override] # as some of the original's sources are written
        self.left -= 1
        return [{"left": self.left}] if self.left >= 0 else None


class KeywordHint(NoHint):
    def read(self, *, batch_size: int | None = None) -> Any:  # type: ignore[override] # as above
        return super().read()


@pytest.mark.parametrize("kind", [NoHint, KeywordHint])
async def test_the_hint_is_given_only_to_a_read_that_takes_it(kind: type[DataSource]) -> None:
    assert (await run_source(kind, {"type": "t"}, into=ManualWriter())).rows == 2
    source = Scripted(params([{}]))
    await run_source(source, into=ManualWriter(), batch_size=17)
    assert source.hints == [17, 17]


async def test_a_read_that_wants_more_than_a_hint_is_refused() -> None:
    class Two(DataSource):
        def read(self, n: int, more: int) -> Any:  # type: ignore[override] # that is the point
            return None

    with pytest.raises(ConfigError, match="at most one argument"):
        await run_source(Two, {"type": "t"}, into=ManualWriter())


async def test_a_source_without_close_is_fine() -> None:
    assert (await run_source(NoHint, {"type": "t"}, into=ManualWriter())).complete


async def test_a_source_can_be_read_by_hand() -> None:
    for kind in KINDS:
        source = kind(params([{"id": 1}], [], [{"id": 2}]))
        assert [rows async for rows in source] == [[{"id": 1}], [{"id": 2}]]
        assert source.closed == 0


def test_a_class_without_read_cannot_be_made() -> None:
    class Nothing(DataSource):
        pass

    with pytest.raises(TypeError, match="read"):
        Nothing({})  # type: ignore[abstract] # that is the point


# -- where rows go -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "argument", "table"),
    [
        ({}, None, "t"),
        ({"destination": "d"}, None, "d"),
        ({"destination": "d"}, "x_{kind}", "x_a"),
        ({"destination": "d_{kind}"}, None, "d_a"),
    ],
)
async def test_the_destination_is_the_nearest_that_is_given(
    given: dict[str, Any], argument: str | None, table: str
) -> None:
    writer = ManualWriter()
    await run_source(Scripted, params([{"kind": "a"}], **given), into=writer, destination=argument)
    assert [name for name, _ in writer.rows] == [table]


async def test_without_any_destination_nothing_is_read() -> None:
    source = Scripted({"script": [[{}]]})
    with pytest.raises(ConfigError, match="no destination"):
        await run_source(source, into=ManualWriter())
    assert (source.hints, source.closed) == ([], 1)


async def test_a_read_is_written_table_by_table_and_state_ids_are_taken_off() -> None:
    rows = [{"k": "a", "n": 1, "__state": "s"}, {"k": "b", "n": 2, "__state": "s"}, {"k": "a", "n": 3}]
    writer = ManualWriter()
    report = await run_source(Scripted, params(rows, destination="t_{k}"), into=writer)
    assert writer.rows == [("t_a", {"k": "a", "n": 1}), ("t_a", {"k": "a", "n": 3}), ("t_b", {"k": "b", "n": 2})]
    assert (len(writer.batches), report.tables) == (2, {"t_a": 2, "t_b": 1})
    assert rows[0] == {"k": "a", "n": 1, "__state": "s"}
    kept = ManualWriter()
    await run_source(Scripted, params([{"__state": "s"}]), into=kept, keep_state_ids=True)
    assert kept.rows == [("t", {"__state": "s"})]


async def test_record_groups_and_raw_rows_are_rows_too() -> None:
    group = {
        "data": [{"n": 1}, {"n": 2}],
        "metadata": {"resource_id": "forms", "timestamp": "2024-01-01T00:00:00.000Z"},
    }
    raw = {"type": "raw", "tag": "file.txt", "raw": "AA==", "metadata": {"resource_id": "files", "__state": "s"}}
    store = MemoryStore()

    def read(source: DataSource) -> Any:
        source.state("s", {"file": 1})
        return [raw, {"data": 1, "metadata": {}, "resource_id": "plain"}]

    writer = ManualWriter()
    script = params(group, [group], read, destination="{resource_id}")
    await run_source(Scripted, script, into=writer, state=store)
    assert [name for name, _ in writer.rows] == ["forms", "forms", "forms", "forms", "files", "plain"]
    assert writer.rows[4] == ("files", raw)
    assert store.states == [{"file": 1}]


# -- rows that cannot be written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "says", "row"),
    [
        ([{"id": 1}, "text"], "read 2, row 1: a row must be a mapping, not str", 1),
        ([{"id": 1}, {"id": 2, "x": object()}, {"id": 3}], r"read 2, row 1: \$\.x", 1),
        ([None], "read 2, row 0: a row must be a mapping, not NoneType", 0),
        ({"id": 1}, "read 2 returned a dict: return a list of rows", 0),
        (7, "read 2 returned a int", 0),
    ],
)
@both
async def test_a_row_that_cannot_be_written_ends_the_run_after_those_before_it(
    kind: type[Scripted], bad: Any, says: str, row: int
) -> None:
    writer = ManualWriter()
    source = kind(params([{"id": 0}], bad, [{"id": 9}]))
    with pytest.raises(RowRefused, match=says) as caught:
        await run_source(source, into=writer)
    error = caught.value
    assert (error.read, error.row, source.closed) == (2, row, 1)
    ids = [written["id"] for _, written in writer.rows]
    assert ids == [0, *[one["id"] for one in (bad if isinstance(bad, list) else [])[:row]]]
    assert error.report is not None
    assert (error.report.rows, error.report.delivered, error.report.finished) == (len(ids), 1, False)


async def test_a_destination_field_that_a_row_lacks_is_named_with_the_row() -> None:
    writer = ManualWriter()
    with pytest.raises(RowRefused, match=r"read 1, row 2: .*'k', which is not in the row") as caught:
        await run_source(Scripted, params([{"k": "a"}, {"k": "b"}, {}, {"k": "c"}], destination="{k}"), into=writer)
    assert isinstance(caught.value.__cause__, InvalidRecord)
    assert [name for name, _ in writer.rows] == ["a", "b"]


async def test_of_several_tables_only_rows_before_the_bad_one_are_sure_to_be_written() -> None:
    rows = [{"k": "a", "n": 0}, {"k": "b", "n": 1}, {"k": "a", "n": object()}, {"k": "b", "n": 3}, {"k": "c", "n": 4}]
    writer = ManualWriter()
    with pytest.raises(RowRefused, match="row 2"):
        await run_source(Scripted, params(rows, destination="{k}"), into=writer)
    assert writer.rows == [("a", {"k": "a", "n": 0}), ("b", {"k": "b", "n": 1})]


# -- watching ----------------------------------------------------------------------------------------------------------


@both
async def test_progress_is_told_on_the_loop(kind: type[Scripted]) -> None:
    seen: list[Any] = []

    def step(source: DataSource) -> Any:
        source.progress(1, 2, "one of two")
        source.progress(None, None)
        return [{"id": 1}]

    def told(data: Any) -> None:
        assert threading.current_thread() is threading.main_thread()
        seen.append(data)

    await run_source(kind, params(step), into=ManualWriter(), on_progress=told)
    assert seen == [SourceProgress(1, 2, "", msg="one of two"), SourceProgress(1, None, "", msg="")]


async def test_handlers_of_the_run_are_gone_after_it() -> None:
    source = Scripted(params([{}]))
    await run_source(source, into=ManualWriter())
    source.state("s", {"at": object()})  # nobody is there to refuse it
    assert source._events.wanted("source-state") is False


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"batch_size": 0}, {"read_timeout": 0}, {"close_timeout": -1}])
async def test_numbers_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="more than 0"):
        await run_source(Scripted, params(), into=ManualWriter(), **given)


async def test_what_is_no_source_is_refused() -> None:
    with pytest.raises(ConfigError, match="a source is a DataSource or its class, not int"):
        await run_source(7, {"type": "t"}, into=ManualWriter())  # type: ignore[arg-type] # that is the point


async def test_an_error_of_the_constructor_comes_through_as_it_is() -> None:
    class Refusing(DataSource):
        def __init__(self, source: dict[str, Any], options: Any = None) -> None:
            raise KeyError("user")

        def read(self, n: int | None = None) -> Any:
            return None

    with pytest.raises(KeyError, match="user"):
        await run_source(Refusing, {"type": "t"}, into=ManualWriter())


def test_every_error_of_a_run_says_what_to_do() -> None:
    kinds: list[type[SourceError]] = [SourceError, *SourceError.__subclasses__()]
    assert len(kinds) > 4
    assert all(kind.advice for kind in kinds)
