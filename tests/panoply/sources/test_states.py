"""A state is kept when what it covers has arrived: never before, and not much later."""

from __future__ import annotations

import asyncio
import json
import random
import stat
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from helpers import cancel_at_every_await
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.errors import ConfigError, StateInUse
from asyncconn.panoply.sources.states import Saved, StateFile, StateTracker, state_text

if TYPE_CHECKING:
    from pathlib import Path


def report(tracker: StateTracker, read: int, state_id: str, **state: Any) -> None:
    tracker.report(read, state_id, state_text(state))


def test_a_state_waits_for_the_rows_that_carry_its_id() -> None:
    tracker = StateTracker()
    report(tracker, 1, "a", at=100)
    tracker.end_read(1, {"a"}, 100)
    assert tracker.settle(0) is None
    assert tracker.settle(1) == {"at": 100}
    assert tracker.settle(1) is None


def test_states_are_merged_over_what_was_there() -> None:
    tracker = StateTracker({"old": 1, "forms": {"loaded": 5, "pages": 1}})
    report(tracker, 1, "a", forms={"loaded": 10})
    report(tracker, 1, "b", answers={"loaded": 3})
    tracker.end_read(1, {"a", "b"}, 2)
    assert tracker.settle(1) == {"old": 1, "forms": {"loaded": 10}, "answers": {"loaded": 3}}


def test_an_earlier_read_that_has_not_arrived_holds_a_state_back() -> None:
    tracker = StateTracker()
    tracker.end_read(1, set(), 10)
    report(tracker, 2, "a", at=20)
    tracker.end_read(2, {"a"}, 10)
    assert tracker.settle(1) is None
    assert tracker.settle(2) == {"at": 20}


def test_a_state_reported_ahead_of_its_rows_waits_for_them() -> None:
    tracker = StateTracker()
    report(tracker, 1, "a", at=1)
    tracker.end_read(1, {"a"}, 1)
    report(tracker, 2, "c", at=3)  # fetched ahead
    report(tracker, 2, "b", at=2)
    tracker.end_read(2, {"b"}, 1)
    assert tracker.settle(2) == {"at": 1}  # not 2 either: the report of 3 came before
    tracker.end_read(3, {"c"}, 1)
    assert tracker.settle(2) is None
    assert tracker.settle(3) == {"at": 2}


def test_a_state_reported_after_its_rows_covers_them() -> None:
    tracker = StateTracker()
    tracker.end_read(1, {"a"}, 1)
    report(tracker, 2, "a", at=1)
    tracker.end_read(2, {"b"}, 1)
    assert tracker.settle(1) is None
    assert tracker.settle(2) == {"at": 1}


def test_a_page_without_rows_goes_with_the_next_that_has_some() -> None:
    tracker = StateTracker()
    report(tracker, 1, "a", at=1)
    tracker.end_read(1, {"a"}, 1)
    report(tracker, 2, "empty", done="forms")
    tracker.end_read(2, set(), 0)
    assert tracker.settle(2) == {"at": 1}
    report(tracker, 3, "b", at=2)
    tracker.end_read(3, {"b"}, 1)
    assert tracker.settle(3) == {"at": 2, "done": "forms"}


def test_at_the_end_a_state_without_rows_is_kept_too() -> None:
    tracker = StateTracker()
    tracker.end_read(1, {"a"}, 1)
    report(tracker, 1, "last", done=True)
    tracker.end(1)
    assert tracker.settle(0) is None
    assert tracker.settle(1) == {"done": True}


def test_a_source_without_any_rows_keeps_its_state() -> None:
    tracker = StateTracker()
    report(tracker, 0, "nothing", seen="2024-02-29")
    tracker.end(0)
    assert tracker.settle(0) == {"seen": "2024-02-29"}


def test_where_no_row_carries_an_id_a_state_covers_the_rows_it_came_with() -> None:
    tracker = StateTracker()
    report(tracker, 1, "x", at=1)
    tracker.end_read(1, set(), 0)
    assert tracker.settle(1) is None  # its rows may be those of the next read
    report(tracker, 2, "y", at=2)
    tracker.end_read(2, set(), 5)
    assert tracker.settle(1) is None
    assert tracker.settle(2) == {"at": 2}


def test_a_state_is_what_it_was_when_it_was_reported() -> None:
    state = {"loaded": [1]}
    tracker = StateTracker()
    tracker.report(1, "a", state_text(state))
    state["loaded"].append(2)
    tracker.end_read(1, {"a"}, 1)
    assert tracker.settle(1) == {"loaded": [1]}


@given(seed=st.integers(0, 2**32), ahead=st.integers(0, 2))
def test_no_state_runs_ahead_of_delivery_and_none_is_lost(seed: int, ahead: int) -> None:
    """A source whose reads report, up to two pages ahead, how many pages have been fetched; some pages are empty."""
    dice = random.Random(seed)
    pages = [dice.choice([0, 1, 3]) for _ in range(12)]
    tracker = StateTracker()
    delivered = read = 0
    kept = -1
    reported = 0
    while read < len(pages):
        read += 1
        while reported < min(read + ahead, len(pages)):
            reported += 1
            report(tracker, read, f"p{reported}", pages=reported)
        tracker.end_read(read, {f"p{read}"} if pages[read - 1] else set(), pages[read - 1])
        while delivered < read and dice.random() < 0.6:
            delivered += 1
            if (state := tracker.settle(delivered)) is not None:
                kept = state["pages"]
                rows_covered = sum(pages[:kept])
                assert rows_covered <= sum(pages[:delivered]), (kept, delivered)
    tracker.end(read)
    final = tracker.settle(read)
    assert (final or {"pages": kept})["pages"] == len(pages)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"at": datetime(2024, 1, 1, tzinfo=UTC)}, "datetime"),
        ({"at": {1, 2}}, "set"),
        ({"at": float("nan")}, "must be JSON"),
        ([1], "a mapping, not list"),
        (None, "a mapping, not NoneType"),
    ],
)
def test_a_state_that_is_not_json_is_refused(state: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        state_text(state)


# -- the file ----------------------------------------------------------------------------------------------------------


async def test_a_state_file_gives_back_what_it_was_given(tmp_path: Path) -> None:
    store = StateFile(tmp_path / "deep" / "state.json")
    assert await store.load() == Saved()
    saved = Saved({"forms": {"loaded": 5}, "Zoë": None}, {"access_token": "made-up"})
    await store.save(saved)
    assert await StateFile(str(store.path)).load() == saved
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert [path.name for path in store.path.parent.iterdir()] == ["state.json"]
    assert "made-up" not in repr(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"state": {}}', '{"state": [], "source": {}}', "\xff\xfe"])
async def test_a_damaged_state_file_is_named_with_what_to_do_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"state\.json is damaged .* delete it"):
        await StateFile(path).load()
    assert path.read_bytes() == text.encode("latin-1")


async def test_a_damaged_state_file_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"state": {}, "source": {"access_token": "made-up-token"')
    with pytest.raises(ConfigError) as caught:
        await StateFile(path).load()
    assert "made-up-token" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_a_state_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        await StateFile(tmp_path).load()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be (read|written): "):
        await StateFile(tmp_path / "file" / "state.json").save(Saved())


async def test_a_state_file_may_be_a_link_into_a_volume(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    link, real = tmp_path / "state.json", tmp_path / "volume" / "state.json"
    link.symlink_to(real)
    await StateFile(link).save(Saved({"at": 1}))
    real.chmod(0o640)
    await StateFile(link).save(Saved({"at": 2}))
    assert (link.is_symlink(), stat.S_IMODE(real.stat().st_mode)) == (True, 0o640)
    assert (await StateFile(real).load()).state == {"at": 2}


async def test_a_state_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"state": {"at": 1}, "source": {"token": "t"}, "last": "nonsense"}')
    assert await StateFile(path).load() == Saved({"at": 1}, {"token": "t"})


async def test_a_file_that_was_removed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    store = StateFile(tmp_path / "state.json")
    await store.save(Saved({"at": 1}))
    await store.load()
    store.path.unlink()
    await store.save(Saved({"at": 2}))
    assert json.loads(store.path.read_bytes())["state"] == {"at": 2}


async def test_an_older_one_is_not_saved_over_what_somebody_else_saved(tmp_path: Path) -> None:
    older, newer = StateFile(tmp_path / "state.json"), StateFile(tmp_path / "state.json")
    await older.load()
    await newer.load()
    await newer.save(Saved({"at": 2}))
    await newer.save(Saved({"at": 3}))
    with pytest.raises(StateInUse, match="changed by another run"):
        await older.save(Saved({"at": 1}))
    assert (await newer.load()).state == {"at": 3}


async def test_a_lock_that_was_taken_by_a_cancelled_run_is_let_go(tmp_path: Path) -> None:
    stores: list[StateFile] = []

    async def make() -> Callable[[], Awaitable[object]]:
        stores.append(StateFile(tmp_path / "state.json"))

        async def hold() -> None:
            async with stores[-1].hold():
                await asyncio.sleep(0)

        return hold

    async def check(error: BaseException | None) -> None:
        async with StateFile(tmp_path / "state.json").hold():
            pass

    assert await cancel_at_every_await(make, check) >= 2


async def test_changed_parameters_that_are_not_json_leave_the_old_file(tmp_path: Path) -> None:
    store = StateFile(tmp_path / "state.json")
    await store.save(Saved({"at": 1}))
    changes: Mapping[str, Any] = {"access_token": b"bytes"}
    with pytest.raises(ConfigError, match="not JSON"):
        await store.save(Saved({"at": 2}, dict(changes)))
    assert json.loads(store.path.read_bytes())["state"] == {"at": 1}


@pytest.mark.parametrize("state", [{1: "a", "1": "b"}, {"in": [{None: 1, "null": 2}]}, {True: 1, "true": 2}])
def test_a_state_whose_keys_are_one_once_written_is_refused(state: dict[Any, Any]) -> None:
    with pytest.raises(ConfigError, match=r"two of its keys are '(1|null|true)' once written"):
        state_text(state)
