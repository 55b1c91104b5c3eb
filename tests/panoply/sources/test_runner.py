"""``run_source``: reads to the end, delivers, retries, keeps no more state than has arrived, and always closes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from helpers import turns, virtual

from asyncconn.errors import ConfigError, DeliveryFailed, InvalidRecord
from asyncconn.panoply import DataSource, PanoplyException, Saved, SourceProgress, run_source
from asyncconn.panoply.errors import ReadFailed, ReadTimedOut, RowRefused, RowsUndelivered, SourceError, StateRefused

from .scene import QUICK_READS, AsyncScripted, ManualWriter, Scripted

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock

KINDS = [Scripted, AsyncScripted]
both = pytest.mark.parametrize("kind", KINDS, ids=["plain", "async"])


class MemoryStore:
    """Keeps every version that was saved."""

    def __init__(self, saved: Saved | None = None) -> None:
        self.versions = [saved or Saved()]

    async def load(self) -> Saved:
        return self.versions[-1]

    async def save(self, saved: Saved) -> None:
        await asyncio.sleep(0)
        self.versions.append(saved)

    @property
    def states(self) -> list[dict[str, Any]]:
        """All that were kept; what a run that has brought everything forgets in the end is not among them."""
        return [version.state for version in self.versions[1:] if version.state]


def params(*script: Any, **more: Any) -> dict[str, Any]:
    return {"type": "t", "script": script, **more}


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


# -- retries -----------------------------------------------------------------------------------------------------------


@both
async def test_a_read_that_fails_is_repeated_three_times_each_time_anew(kind: type[Scripted]) -> None:
    fails = [ValueError("1"), OSError("2"), PanoplyException("3")]
    report = await run_source(
        kind, params(*fails, [{"id": 1}], *fails, [{"id": 2}]), into=ManualWriter(), retry=QUICK_READS
    )
    assert (report.rows, report.retries) == (2, 6)


@both
async def test_a_fourth_failure_ends_the_run(kind: type[Scripted]) -> None:
    last = ValueError("4")
    source = kind(params([{"id": 0}], ValueError("1"), ValueError("2"), ValueError("3"), last, [{"id": 1}]))
    with pytest.raises(ReadFailed, match="read failed 4 times: ValueError: 4") as caught:
        await run_source(source, into=ManualWriter(), retry=QUICK_READS)
    assert caught.value.__cause__ is last
    assert (caught.value.attempts, caught.value.retryable, source.closed) == (4, True, 1)
    assert caught.value.report is not None
    assert (caught.value.report.delivered, caught.value.report.retries) == (1, 3)


@both
async def test_an_error_that_is_not_to_be_repeated_is_not(kind: type[Scripted]) -> None:
    class Gone(Exception):  # any class may say so
        retryable = False

    for error in (PanoplyException("no such form", retryable=False), Gone("away")):
        source = kind(params(ValueError("1"), error, [{"id": 1}]))
        with pytest.raises(ReadFailed, match="read failed 2 times, which it says") as caught:
            await run_source(source, into=ManualWriter(), retry=QUICK_READS)
        assert (caught.value.__cause__, caught.value.retryable, len(source.hints)) == (error, False, 2)


@virtual
async def test_the_waits_between_retries_grow_and_a_long_read_is_repeated_too(clock: VirtualClock) -> None:
    async def slow(_: Any) -> Any:
        await asyncio.sleep(1000)
        raise ValueError("after a long time")

    source = AsyncScripted(params(*[lambda s: slow(s)] * 3, [{"id": 1}]))
    report = await run_source(source, into=ManualWriter(clock=clock))
    assert (report.rows, report.retries) == (1, 3)
    assert 3000 <= clock.now() <= 3000 + 1 + 2 + 4


async def test_states_of_a_failed_read_are_forgotten() -> None:
    def half(source: DataSource) -> Any:
        source.state("lost", {"at": 99, "lost": True})
        raise ValueError("the rows never came")

    def whole(source: DataSource) -> Any:
        source.state("s", {"at": 1})
        return [{"id": 1, "__state": "s"}]

    store = MemoryStore()
    await run_source(Scripted, params(half, whole), into=ManualWriter(), state=store, retry=QUICK_READS)
    assert store.states == [{"at": 1}]


async def test_stop_iteration_out_of_a_plain_read_is_an_error_like_any_other() -> None:
    with pytest.raises(ReadFailed, match="StopIteration"):
        await run_source(Scripted, params(*[StopIteration()] * 4), into=ManualWriter(), retry=QUICK_READS)


# -- hanging -----------------------------------------------------------------------------------------------------------


async def _for_ever(_: Any = None) -> Any:
    await asyncio.sleep(10**9)


@virtual
async def test_a_read_that_hangs_is_given_up_at_the_deadline_and_not_repeated(clock: VirtualClock) -> None:
    source = AsyncScripted(params(ValueError("1"), [{"id": 0}], PanoplyException("2"), lambda s: _for_ever(s)))
    writer = ManualWriter(clock=clock)
    with pytest.raises(ReadTimedOut, match="no sign of life for 1800 s") as caught:
        await run_source(source, into=writer)
    assert len(source.hints) == 4
    assert 1800 <= clock.now() <= 1800 + 2 * 2
    assert (source.closed, len(writer.rows)) == (1, 1)
    assert caught.value.report is not None
    assert caught.value.report.delivered == 1


@virtual
async def test_a_sign_of_life_moves_the_deadline(clock: VirtualClock) -> None:
    async def busy(source: DataSource) -> Any:
        for sign in (
            lambda: source.progress(1, None),
            lambda: source.log("still here"),
            lambda: source.state("s", {}),
            lambda: source.fire("anything"),
        ):
            await asyncio.sleep(50)
            sign()
        await asyncio.sleep(50)
        return [{"id": 1}]

    report = await run_source(AsyncScripted, params(lambda s: busy(s)), into=ManualWriter(clock=clock), read_timeout=60)
    assert report.rows == 1
    assert clock.now() >= 250


async def test_a_plain_read_that_hangs_is_left_behind_and_close_sets_it_free() -> None:
    free = threading.Event()

    class Hanging(Scripted):
        def read(self, n: int | None = None) -> Any:
            self.threads.add(threading.current_thread())
            free.wait(15)

        def close(self) -> None:
            super().close()
            free.set()

    source = Hanging(params())
    with pytest.raises(ReadTimedOut):
        await run_source(source, into=ManualWriter(), read_timeout=0.05)
    assert source.closed == 1
    for thread in source.threads - {threading.current_thread()}:
        await asyncio.to_thread(thread.join, 5)


@virtual
async def test_a_close_that_hangs_or_fails_does_not_spoil_a_finished_run(clock: VirtualClock) -> None:
    class Hanging(AsyncScripted):
        async def close(self) -> None:  # type: ignore[override] # plain or not, both are allowed
            await _for_ever()

    class Failing(AsyncScripted):
        def close(self) -> None:
            raise ValueError("a stranger's bug")

    for kind in (Hanging, Failing):
        assert (await run_source(kind, params([{"id": 1}]), into=ManualWriter(clock=clock), close_timeout=5)).complete
    assert clock.now() == 5


async def test_a_source_without_close_is_fine() -> None:
    assert (await run_source(NoHint, {"type": "t"}, into=ManualWriter())).complete


# -- state -------------------------------------------------------------------------------------------------------------


def page(number: int) -> Callable[[DataSource], Any]:
    def read(source: DataSource) -> Any:
        source.state(f"p{number}", {"page": number})
        return [{"id": number, "__state": f"p{number}"}]

    return read


async def test_a_state_is_saved_when_its_rows_have_arrived_and_not_before() -> None:
    writer = ManualWriter(deliver_on_flush=False)
    store = MemoryStore()
    hold = asyncio.Event()

    async def wait(source: DataSource) -> Any:
        await hold.wait()
        return []

    script = params(page(1), page(2), page(3), lambda s: wait(s))
    run = asyncio.create_task(run_source(AsyncScripted, script, into=writer, state=store))
    await turns(50)
    assert len(writer.batches) == 3
    assert store.states == []
    writer.deliver(1)  # the second, out of order
    await turns(20)
    assert store.states == []
    writer.deliver(0)
    await turns(20)
    assert store.states == [{"page": 2}]
    hold.set()
    writer.deliver(2)
    report = await run
    assert store.states == [{"page": 2}, {"page": 3}]
    assert report.state == {"page": 3}


@both
async def test_a_saved_state_comes_back_in_the_parameters(kind: type[Scripted], tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    seen: list[Any] = []

    def remember(source: DataSource) -> Any:
        seen.append(source.source.get("state"))
        return []

    for number in (1, 2):
        await run_source(kind, params(remember, page(number)), into=ManualWriter(), state=path, keep_state="always")
    await run_source(kind, params(remember, state={"page": 0}), into=ManualWriter(), state=str(path))
    assert seen == [None, {"page": 1}, {"page": 2}]


async def test_a_run_that_ended_early_goes_on_where_it_was(tmp_path: Path) -> None:
    class Pages(DataSource):
        def __init__(self, source: dict[str, Any], options: Any = None) -> None:
            super().__init__(source, options)
            self.at = source.pop("state", {}).get("page", 0)

        async def read(self, n: int | None = None) -> Any:
            if self.at == source_ends[-1]:
                if self.at == 10:
                    return None
                raise PanoplyException("the network is gone", retryable=False)
            self.at += 1
            return page(self.at)(self)

    path = tmp_path / "state.json"
    writer = ManualWriter()
    source_ends = [4]
    with pytest.raises(ReadFailed):
        await run_source(Pages, {"type": "t"}, into=writer, state=path)
    assert json.loads(path.read_text())["state"] == {"page": 4}
    source_ends.append(10)
    report = await run_source(Pages, {"type": "t"}, into=writer, state=path)
    assert [row["id"] for _, row in writer.rows] == list(range(1, 11))
    assert (report.rows, report.state) == (6, {"page": 10})


async def test_a_state_of_the_last_read_is_saved_although_no_rows_follow() -> None:
    def done(source: DataSource) -> Any:
        source.state("done", {"finished": True})
        return None

    for script in ([page(1), done], [done], [lambda s: s.state("early", {"finished": True}) or []]):
        store = MemoryStore()
        report = await run_source(Scripted, params(*script), into=ManualWriter(), state=store)
        assert store.states[-1]["finished"] is True
        assert report.state == store.states[-1]
        assert store.versions[-1].state == {}


async def test_a_refused_row_leaves_the_state_of_the_read_before() -> None:
    def bad(source: DataSource) -> Any:
        source.state("bad", {"page": 2})
        return [{"id": 2, "__state": "bad"}, "text"]

    store = MemoryStore()
    with pytest.raises(RowRefused):
        await run_source(Scripted, params(page(1), bad), into=ManualWriter(), state=store)
    assert store.states == [{"page": 1}]


async def test_rows_that_cannot_be_delivered_end_the_run_and_hold_the_state() -> None:
    writer = ManualWriter(deliver_on_flush=False)
    store = MemoryStore()
    endless = [page(number) for number in range(2, 500)]

    async def slowly(source: DataSource) -> Any:
        await asyncio.sleep(0.001)
        return []

    script = [
        page(1),
        *[step for pair in zip(endless, [lambda s: slowly(s)] * len(endless), strict=True) for step in pair],
    ]
    run = asyncio.create_task(run_source(AsyncScripted, params(*script), into=writer, state=store))
    while len(writer.batches) < 3:
        await asyncio.sleep(0)
    writer.deliver(0)
    writer.fail(1)
    writer.deliver_on_flush = True
    with pytest.raises(RowsUndelivered) as caught:
        await run
    assert isinstance(caught.value.__cause__, DeliveryFailed)
    assert store.states == [{"page": 1}]
    assert len(writer.batches) < 400
    assert caught.value.report is not None
    assert caught.value.report.state == {"page": 1}


@both
async def test_a_state_that_is_not_json_ends_the_run(kind: type[Scripted]) -> None:
    def bad(source: DataSource) -> Any:
        source.state("s", {"at": object()})
        return [{"id": 1}]

    source = kind(params(bad, [{"id": 2}]))
    with pytest.raises(StateRefused, match="must be JSON"):
        await run_source(source, into=ManualWriter())
    assert source.closed == 1


async def test_a_state_that_cannot_be_saved_ends_the_run(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "state.json"

    def spoil(source: DataSource) -> Any:
        path.with_name("state.json.lock").unlink()
        path.parent.rmdir()
        path.parent.write_text("a file where the folder should be")
        return page(1)(source)

    with pytest.raises(StateRefused, match="cannot be written"):
        await run_source(Scripted, params(spoil), into=ManualWriter(), state=path)


async def test_a_store_that_fails_ends_the_run_with_its_error() -> None:
    class Broken(MemoryStore):
        async def save(self, saved: Saved) -> None:
            raise RuntimeError("a stranger's bug")

    with pytest.raises(StateRefused, match="could not be saved: RuntimeError") as caught:
        await run_source(Scripted, params(page(1), page(2)), into=ManualWriter(), state=Broken())
    assert isinstance(caught.value.__cause__, RuntimeError)


async def test_state_needs_the_class() -> None:
    source = Scripted(params([{}]))
    several: list[dict[str, Any]] = [{"state": "state.json"}, {"params": {}}, {"options": {}}]
    for given in several:
        with pytest.raises(ConfigError, match="give its class"):
            await run_source(source, into=ManualWriter(), **given)
    assert source.hints == []


# -- changed parameters ------------------------------------------------------------------------------------------------


@both
async def test_changed_parameters_are_saved_at_once_and_given_to_the_next_run(kind: type[Scripted]) -> None:
    store = MemoryStore()
    tokens: list[Any] = []

    def renew(source: DataSource) -> Any:
        tokens.append(source.source.get("access_token"))
        source.fire("source-change", {"access_token": f"token-{len(tokens)}"})
        raise PanoplyException("and then the network went", retryable=False)

    for _ in range(3):
        with pytest.raises(ReadFailed):
            await run_source(kind, params(renew, access_token="first"), into=ManualWriter(), state=store)
    assert tokens == ["first", "token-1", "token-2"]
    assert store.versions[-1].changes == {"access_token": "token-3"}
    assert "first" not in str(store.versions[-1].given)
    with pytest.raises(ReadFailed):
        await run_source(kind, params(renew, access_token="given anew"), into=ManualWriter(), state=store)
    with pytest.raises(ReadFailed):
        await run_source(kind, params(renew, access_token="given anew"), into=ManualWriter(), state=store)
    assert tokens[3:] == ["given anew", "token-4"]


@both
async def test_a_changed_parameter_is_saved_while_the_read_still_goes_on(kind: type[Scripted]) -> None:
    store = MemoryStore()
    kept = threading.Event()

    class Watched(MemoryStore):
        async def save(self, saved: Saved) -> None:
            await store.save(saved)
            kept.set()

    async def poll() -> Any:
        while not kept.is_set():
            await asyncio.sleep(0.001)
        return []

    def renew(source: DataSource) -> Any:
        source.fire("source-change", {"access_token": "new"})
        if kind is AsyncScripted:
            return poll()
        return [] if kept.wait(10) else None

    await asyncio.wait_for(run_source(kind, params(renew), into=ManualWriter(), state=Watched()), 12)
    assert store.versions[-1].changes == {"access_token": "new"}
    assert kept.is_set()


async def test_what_a_source_changes_must_be_a_dict() -> None:
    def wrong(source: DataSource) -> Any:
        source.fire("source-change", ["access_token"])
        return []

    with pytest.raises(StateRefused, match="takes a dict"):
        await run_source(Scripted, params(wrong), into=ManualWriter())


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


# -- cancelling --------------------------------------------------------------------------------------------------------


@both
async def test_a_cancelled_run_delivers_and_saves_what_it_has_and_closes(kind: type[Scripted]) -> None:
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    free = threading.Event()

    def hang(source: DataSource) -> Any:
        loop.call_soon_threadsafe(reached.set)
        if kind is AsyncScripted:
            return _for_ever()
        free.wait(10)
        return None

    store = MemoryStore()
    source: list[Scripted] = []

    def make(given: dict[str, Any], options: Any) -> Scripted:
        source.append(kind(given, options))
        return source[0]

    run = asyncio.create_task(run_source(make, params(page(1), hang), into=ManualWriter(), state=store))
    await reached.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    free.set()
    assert store.states == [{"page": 1}]
    assert source[0].closed == 1


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
