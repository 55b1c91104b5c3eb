"""A run keeps no more state than has arrived, and what a source changed in its parameters."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from helpers import turns, until

from asyncconn.errors import ConfigError, DeliveryFailed
from asyncconn.panoply import DataSource, PanoplyException, Saved, run_source
from asyncconn.panoply.errors import ReadFailed, RowRefused, RowsUndelivered, StateRefused

from .scene import AsyncScripted, ManualWriter, MemoryStore, Scripted, both, for_ever, params

if TYPE_CHECKING:
    from pathlib import Path


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
        await until(kept.is_set)
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


# -- cancelling --------------------------------------------------------------------------------------------------------


@both
async def test_a_cancelled_run_delivers_and_saves_what_it_has_and_closes(kind: type[Scripted]) -> None:
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    free = threading.Event()

    def hang(source: DataSource) -> Any:
        loop.call_soon_threadsafe(reached.set)
        if kind is AsyncScripted:
            return for_ever()
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
