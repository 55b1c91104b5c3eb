"""Many things, one loop: each asked once at a time, so many together, and told as it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.core.poll_group import Polled, PollGroup
from asyncconn.core.polling import PollPolicy
from asyncconn.errors import Answer, ConfigError, ConnectFailed, Forbidden, OperationFailed, PollTimeout

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock

EVERY_SECOND = PollPolicy(minimum=1.0, maximum=1.0, share=0.0, jitter=0.0, deadline=60.0)


class Jobs:
    """Each is done once the clock has its length; ``errors`` are raised instead of answers, one after the other."""

    def __init__(self, clock: VirtualClock, takes: float = 0.0, **lengths: float) -> None:
        self.clock = clock
        self.takes = takes
        self.lengths = lengths
        self.errors: dict[str, list[Exception | None]] = {}
        self.calls: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self.most = 0

    async def get(self, name: str) -> str:
        self.calls[name] += 1
        self.under_way[name] += 1
        self.most = max(self.most, self.under_way.total())
        try:
            await self.clock.sleep(self.takes)
            if self.errors.get(name) and (error := self.errors[name].pop(0)) is not None:
                raise error
            return "done" if self.clock.now() >= self.lengths[name] else "running"
        finally:
            self.under_way[name] -= 1

    def group(self, **more: Any) -> PollGroup[str, str]:
        options = {"policy": EVERY_SECOND, "done": lambda state: state == "done", "clock": self.clock, **more}
        return PollGroup(self.get, self.lengths, **options)


@virtual
async def test_each_is_told_as_it_ends_and_not_asked_for_again(clock: VirtualClock) -> None:
    jobs = Jobs(clock, slow=5.0, quick=2.0, there=0.0)

    seen = [(one.id, one.state, clock.now()) async for one in jobs.group()]

    assert seen == [("there", "done", 0.0), ("quick", "done", 2.0), ("slow", "done", 5.0)]
    assert jobs.calls == {"slow": 6, "quick": 3, "there": 1}


@virtual
async def test_an_end_is_told_while_the_round_goes_on(clock: VirtualClock) -> None:
    jobs = Jobs(clock, takes=10.0, **dict.fromkeys("abc", 0.0))

    assert [clock.now() async for _ in jobs.group(at_once=1)] == [10.0, 20.0, 30.0]


@virtual
async def test_awaiting_gives_how_all_of_them_ended(clock: VirtualClock) -> None:
    group = Jobs(clock, a=3.0, b=1.0).group()

    assert await group == {"b": Polled("b", "done"), "a": Polled("a", "done")}
    assert (await group, group.unfinished, clock.now()) == (group.ended, [], 3.0)


@virtual
async def test_so_many_are_under_way_and_no_more(clock: VirtualClock) -> None:
    jobs = Jobs(clock, takes=1.0, **{str(number): 0.0 for number in range(10)})

    await jobs.group(at_once=3)

    assert (jobs.most, clock.now()) == (3, 4.0)


@virtual
async def test_who_asks_for_one_under_way_gets_the_same_answer(clock: VirtualClock) -> None:
    jobs = Jobs(clock, takes=5.0, a=0.0)
    group = jobs.group()
    loop = asyncio.ensure_future(group.wait())
    await clock.sleep(1.0)

    assert [*await asyncio.gather(group.ask("a"), group.ask("a"))] == ["done", "done"]

    await loop
    assert (jobs.calls, clock.now()) == ({"a": 1}, 5.0)


@virtual
async def test_who_is_cancelled_leaves_the_others_the_answer_and_the_last_ends_it(clock: VirtualClock) -> None:
    jobs = Jobs(clock, takes=5.0, a=0.0)
    group = jobs.group()
    first, second = asyncio.ensure_future(group.ask("a")), asyncio.ensure_future(group.ask("a"))
    await clock.sleep(1.0)
    first.cancel()
    await asyncio.wait({first})
    assert jobs.under_way["a"] == 1
    assert await second == "done"

    third = asyncio.ensure_future(group.ask("a"))
    await clock.sleep(1.0)
    third.cancel()
    await asyncio.wait({third})
    assert (jobs.under_way["a"], jobs.calls["a"]) == (0, 2)


@virtual
async def test_an_error_is_the_end_of_one_alone(clock: VirtualClock) -> None:
    jobs = Jobs(clock, a=2.0, b=2.0)
    jobs.errors["a"] = [refused := Forbidden("no", Answer("acme", 403))]

    ended = await jobs.group()

    assert ended == {"a": Polled("a", None, refused), "b": Polled("b", "done")}
    assert jobs.calls == {"a": 1, "b": 3}


@virtual
async def test_a_call_that_somebody_else_cancels_is_the_end_of_one_alone(clock: VirtualClock) -> None:
    async def get(name: str) -> str:
        if name == "b":
            raise asyncio.CancelledError
        return "done"

    group = PollGroup(get, "abc", done=lambda state: state == "done", at_once=1, policy=EVERY_SECOND, clock=clock)

    assert {name: one.state for name, one in (await group).items()} == {"a": "done", "b": None, "c": "done"}
    assert "was cancelled" in str(group.ended["b"].error)


@virtual
async def test_a_state_that_failed_is_the_end_of_one_alone(clock: VirtualClock) -> None:
    def done(state: str) -> bool:
        if state == "done":
            raise OperationFailed("broken", state=state)
        return False

    [one] = [one async for one in Jobs(clock, a=1.0).group(done=done)]

    assert isinstance(one.error, OperationFailed)
    assert (one.id, one.state) == ("a", "done")


@virtual
async def test_passing_errors_of_one_are_tolerated_as_often_as_the_policy_says(clock: VirtualClock) -> None:
    policy = PollPolicy(minimum=1.0, maximum=1.0, share=0.0, jitter=0.0, deadline=60.0, tolerate=2)
    jobs = Jobs(clock, steady=9.0, weak=4.0, broken=4.0)
    x = ConnectFailed("x")
    jobs.errors = {"weak": [x, x, None, x], "broken": [x, x, x]}

    ended = await jobs.group(policy=policy)

    assert {name: one.error is None for name, one in ended.items()} == {"broken": False, "weak": True, "steady": True}
    assert jobs.calls == {"steady": 10, "weak": 5, "broken": 3}


@virtual
async def test_where_nobody_gets_an_answer_all_are_asked_less_and_less(clock: VirtualClock) -> None:
    jobs = Jobs(clock, a=0.0, b=0.0)
    jobs.errors = {name: [ConnectFailed("x") for _ in range(4)] for name in "ab"}
    policy = PollPolicy(minimum=1.0, maximum=500.0, share=0.0, jitter=0.0, deadline=5000.0)

    await jobs.group(policy=policy)

    assert jobs.calls == {"a": 5, "b": 5}
    assert clock.now() > 4.0


@virtual
async def test_others_may_be_added_while_it_runs_and_what_has_ended_again(clock: VirtualClock) -> None:
    jobs = Jobs(clock, a=3.0)
    group = jobs.group()
    jobs.lengths["b"] = 5.0
    seen = []
    async for one in group:
        seen.append((one.id, clock.now()))
        if one.id == "a":
            break
    group.add("b", "a")

    assert group.unfinished == ["b", "a"]
    assert [one.id async for one in group] == ["a", "b"]
    assert (seen, jobs.calls["a"]) == ([("a", 3.0)], 5)


@virtual
async def test_the_deadline_is_one_for_all_and_says_what_was_seen(clock: VirtualClock) -> None:
    jobs = Jobs(clock, quick=1.0, never=1e9)
    group = jobs.group()
    seen: list[str] = []

    async def look() -> None:
        async for one in group:
            seen.append(one.id)  # noqa: PERF401 - what was seen before the deadline counts, too

    with pytest.raises(PollTimeout) as late:
        await look()

    assert (seen, clock.now(), group.unfinished) == (["quick"], 60.0, ["never"])
    assert late.value.last == {"quick": "done", "never": "running"}


@virtual
async def test_a_deadline_in_the_first_round_ends_what_is_under_way(clock: VirtualClock) -> None:
    jobs = Jobs(clock, takes=40.0, a=0.0, b=0.0)

    with pytest.raises(PollTimeout) as late:
        await jobs.group(at_once=1)

    assert late.value.last == {"a": "done"}
    assert jobs.under_way.total() == 0


@virtual
async def test_leaving_the_loop_ends_it(clock: VirtualClock) -> None:
    jobs = Jobs(clock, a=0.0, b=1e9)
    async with aclosing(aiter(jobs.group())) as ends:
        assert (await anext(ends)).id == "a"
    calls = jobs.calls["b"]
    await clock.sleep(10.0)

    assert jobs.calls["b"] == calls


@virtual
async def test_nothing_to_wait_for_is_no_call(clock: VirtualClock) -> None:
    jobs = Jobs(clock)

    assert await jobs.group() == {}
    assert [one async for one in jobs.group()] == []
    with pytest.raises(ConfigError, match="at least one"):
        jobs.group(at_once=0)
