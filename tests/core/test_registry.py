"""One set of limiters for an account in a loop; the books of a loop or hub that has ended go to the next."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING, Any

import pytest
from helpers import turns, virtual

from asyncconn.core.clock import SystemClock, VirtualClock
from asyncconn.core.rates.limiter import Quota, RateLimiter, TokenBucket, Window
from asyncconn.core.rates.registry import figures_of, forget_limiters, release_limiters, share_of
from asyncconn.core.rates.stores import FileQuotaStore
from asyncconn.errors import LifecycleError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from asyncconn.core.clock import Clock
    from asyncconn.core.rates.windows import Part


class User:
    """Stands for a hub."""


def parts() -> Mapping[str, Sequence[Part]]:
    day = Quota(1000, name="day")
    return {
        "default": [Window(10, 60.0, name="minute"), TokenBucket(1.0, 20, name="bucket"), day],
        "query": [Window(5, 60.0, name="queries"), day],
    }


def ask(user: User, clock: Clock | None = None, account: str = "p:1", make: Any = parts) -> dict[str, RateLimiter]:
    share, settled = share_of(
        "p", account, "http://p.example", make(), 10, clock=clock or SystemClock(), user=user, early={}
    )
    assert settled
    return dict(share.limiters)


def left(limiters: Mapping[str, RateLimiter]) -> dict[str, int]:
    return {part.name: part.remaining for limiter in limiters.values() for part in limiter.snapshot().parts}


async def calls(limiter: RateLimiter, count: int) -> None:
    for _ in range(count):
        async with limiter:
            pass


async def test_all_of_a_loop_get_the_same_and_other_accounts_their_own() -> None:
    one, other = User(), User()

    assert ask(one) == ask(other)
    assert ask(one)["default"] is not ask(one, account="p:2")["default"]


async def test_virtual_clocks_are_clocks_of_their_own_and_the_machines_is_one() -> None:
    user, clock = User(), VirtualClock()

    assert ask(user, SystemClock())["default"] is ask(user, SystemClock())["default"]
    assert ask(user, clock)["default"] is ask(user, clock)["default"]
    assert ask(user, clock)["default"] is not ask(user, VirtualClock())["default"]


async def test_an_account_without_limits_has_none() -> None:
    assert ask(User(), make=dict) == {}


def test_the_books_of_a_loop_that_has_ended_go_to_the_next_and_are_handed_over_once() -> None:
    first, second = User(), User()

    async def use(user: User, count: int) -> dict[str, int]:
        limiters = ask(user)
        await calls(limiters["default"], count)
        await calls(limiters["query"], 1)
        return left(limiters)

    asyncio.run(use(first, 3))
    after = asyncio.run(use(second, 2))

    assert after == {"minute": 5, "bucket": 15, "day": 993, "queries": 3}
    assert asyncio.run(use(User(), 0)) == {"minute": 5, "bucket": 15, "day": 992, "queries": 2}


def test_a_pause_and_what_the_server_said_go_along() -> None:
    first, second = User(), User()

    async def told() -> None:
        limiters = ask(first)
        limiters["default"].pause(600.0)
        limiters["query"].observe(part="queries", remaining=2)

    async def next_one() -> tuple[bool, int]:
        limiters = ask(second)
        return limiters["default"].snapshot().paused_for > 500.0, limiters["query"].snapshot().remaining

    asyncio.run(told())

    assert asyncio.run(next_one()) == (True, 2)


def test_permits_that_are_out_on_a_loop_that_has_ended_keep_their_slots_as_long_as_they_may_count() -> None:
    clock = VirtualClock()
    first, second = User(), User()

    async def leave() -> None:
        limiter = ask(first, clock)["query"]
        await limiter.acquire()
        (await limiter.acquire()).sent()
        (await limiter.acquire()).done()

    async def next_one() -> list[int]:
        limiter = ask(second, clock)["query"]
        seen = [limiter.snapshot().remaining]
        for _ in range(2):
            await asyncio.sleep(61.0)
            seen.append(limiter.snapshot().remaining)
        return seen

    clock.run(leave())

    assert clock.run(next_one()) == [2, 3, 5]


async def test_while_a_loop_lives_another_gets_its_own_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    here, there = User(), User()
    mine = ask(here)
    await calls(mine["default"], 4)

    def elsewhere() -> list[int]:
        async def look() -> int:
            return left(ask(there))["minute"]

        return [asyncio.run(look()) for _ in range(2)]

    with caplog.at_level(logging.WARNING, logger="asyncconn.ratelimit"):
        seen = await asyncio.to_thread(elsewhere)

    assert seen == [10, 10]
    assert [record.getMessage() for record in caplog.records] == [
        "p: this account is in use on another event loop of this process: its cap now holds per loop"
    ]
    assert ask(here)["default"] is mine["default"]


# -- who uses it -------------------------------------------------------------------------------------------------------


@virtual
async def test_it_is_closed_by_the_last_that_uses_it_and_its_books_are_kept(clock: VirtualClock) -> None:
    one, other = User(), User()
    limiters = ask(one, clock)
    assert ask(other, clock) == limiters
    await calls(limiters["default"], 4)

    assert release_limiters(one) == []
    assert release_limiters(other) == list(limiters.values())
    for limiter in limiters.values():
        await limiter.aclose()
    again = ask(User(), clock)
    assert left(again)["minute"] == 6
    async with again["default"]:
        pass


@virtual
async def test_a_user_that_is_gone_uses_nothing_any_more(clock: VirtualClock) -> None:
    user = User()
    limiters = ask(user, clock)
    await calls(limiters["default"], 4)
    del user
    gc.collect()

    assert ask(User(), clock)["default"] is not limiters["default"]


@virtual
async def test_who_waits_in_the_name_of_one_that_is_released_hears_of_it_and_others_wait_on(
    clock: VirtualClock,
) -> None:
    one, other = User(), User()
    limiter = ask(one, clock)["query"]
    ask(other, clock)
    await calls(limiter, 5)
    theirs = asyncio.create_task(limiter.acquire(owner=one))
    ours = asyncio.create_task(limiter.acquire(owner=other))
    await turns()
    release_limiters(one)
    with pytest.raises(LifecycleError, match="closed"):
        await theirs
    (await ours).done()

    assert clock.now() == pytest.approx(60.0)
    assert limiter.snapshot().waiting == 0


@virtual
async def test_a_quota_of_a_file_is_given_back_by_the_last_and_goes_on_with_the_next(
    clock: VirtualClock, tmp_path: Path
) -> None:
    def stored() -> Mapping[str, Sequence[Part]]:
        return {"default": [Quota(100, store=FileQuotaStore(tmp_path / "quota.json"), chunk=40)]}

    granted = 0
    for _ in range(3):
        user = User()
        limiters = ask(user, clock, make=stored)
        await calls(limiters["default"], 30)
        granted += 30
        for limiter in release_limiters(user):
            await limiter.aclose()
    last = ask(User(), clock, make=stored)["default"]
    await calls(last, 10)

    assert (await FileQuotaStore(tmp_path / "quota.json").add("p:1/quota", "2030-01-02T00:00:00+00:00", 0)) == 100


# -- clients that know of different limits -----------------------------------------------------------------------------


@virtual
async def test_a_client_that_knows_of_one_more_limit_adds_it_and_shares_the_parts_of_one_name(
    clock: VirtualClock,
) -> None:
    one, other = User(), User()

    def more() -> Mapping[str, Sequence[Part]]:
        return {"orders": [Window(2, 60.0, name="orders"), Window(10, 60.0, name="minute")]}

    await calls(ask(one, clock)["default"], 9)
    limiters = ask(other, clock, make=more)
    await calls(limiters["orders"], 2)

    assert clock.now() == pytest.approx(60.0)


@virtual
async def test_other_figures_for_the_same_limit_are_told_and_the_first_hold(clock: VirtualClock) -> None:
    one, other = User(), User()

    def larger() -> Mapping[str, Sequence[Part]]:
        return {"query": [Window(50, 60.0, name="queries"), Quota(1000, name="day")]}

    ask(one, clock)
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign] # a listener
    logging.getLogger("asyncconn.ratelimit").addHandler(handler)
    try:
        limiters = [ask(other, clock, make=larger) for _ in range(2)]
    finally:
        logging.getLogger("asyncconn.ratelimit").removeHandler(handler)

    assert left(limiters[0])["queries"] == 5
    assert heard == ["p.query: this account has other limits already, made by an earlier client: those hold"]


@virtual
async def test_accounts_that_nobody_uses_and_that_have_counted_nothing_are_forgotten(clock: VirtualClock) -> None:
    import asyncconn.core.rates.registry as registry

    for number in range(1000):
        user = User()
        ask(user, clock, account=f"p:{number}")
        release_limiters(user)

    assert len(registry._accounts) < 200


def known() -> int:
    import asyncconn.core.rates.registry as registry

    return len(registry._accounts)


@virtual
async def test_accounts_of_closed_limiters_are_forgotten_once_nothing_counts_any_more(
    clock: VirtualClock, tmp_path: Path
) -> None:
    def stored() -> Mapping[str, Sequence[Part]]:
        return {"default": [Window(10, 60.0), Quota(100, store=FileQuotaStore(tmp_path / "quota.json"), chunk=40)]}

    for number in range(100):
        user = User()
        await calls(ask(user, clock, account=f"p:{number}", make=stored)["default"], 1)
        for limiter in release_limiters(user):
            await limiter.aclose()
    assert known() == 100
    await asyncio.sleep(63.0)
    for number in range(100, 200):
        ask(User(), clock, account=f"p:{number}", make=dict)

    assert known() < 150


@virtual
async def test_accounts_whose_clients_are_gone_are_forgotten_while_their_hub_lives_on(clock: VirtualClock) -> None:
    user = User()
    for number in range(1000):
        ask(user, clock, account=f"p:{number}")

    assert known() < 200
    assert figures_of(user) == []


@virtual
async def test_accounts_in_which_calls_count_are_remembered_while_their_hub_lives_on(clock: VirtualClock) -> None:
    user, told = User(), "p:told"
    ask(user, clock, account=told)["query"].pause(1e6)
    for number in range(300):
        await calls(ask(user, clock, account=f"p:{number}")["default"], 2)

    assert len(figures_of(user)) == 301
    assert {left(ask(user, clock, account=f"p:{number}"))["day"] for number in range(300)} == {998}
    assert ask(user, clock, account=told)["query"].snapshot().paused_for > 9e5


@virtual
async def test_an_account_that_a_client_has_is_not_forgotten_however_idle_it_is(clock: VirtualClock) -> None:
    user = User()
    share, _ = share_of("p", "p:1", "http://p.example", parts(), 10, clock=clock, user=user, early={})
    for number in range(300):
        ask(user, clock, account=f"p:other {number}")

    assert ask(user, clock)["default"] is share.limiters["default"]
    assert len(figures_of(user)) == 1


@virtual
async def test_an_account_with_a_place_taken_is_not_forgotten(clock: VirtualClock) -> None:
    user = User()
    share, _ = share_of("p", "p:1", "http://p.example", {}, 10, clock=clock, user=user, early={})
    places = share.places
    await places.enter()
    del share
    for number in range(300):
        ask(user, clock, account=f"p:other {number}", make=dict)
    again, _ = share_of("p", "p:1", "http://p.example", {}, 10, clock=clock, user=user, early={})

    assert again.places is places


@virtual
async def test_what_is_reserved_in_a_store_is_not_forgotten_before_it_is_given_back(
    clock: VirtualClock, tmp_path: Path
) -> None:
    def stored() -> Mapping[str, Sequence[Part]]:
        return {"default": [Quota(100, store=FileQuotaStore(tmp_path / "quota.json"), chunk=40)]}

    user = User()
    await calls(ask(user, clock, make=stored)["default"], 1)
    for number in range(300):
        ask(user, clock, account=f"p:other {number}", make=dict)
    for limiter in release_limiters(user):
        await limiter.aclose()

    assert (await FileQuotaStore(tmp_path / "quota.json").add("p:1/quota", "2030-01-02T00:00:00+00:00", 0)) == 1


@virtual
async def test_forgetting_begins_as_a_new_process_would(clock: VirtualClock) -> None:
    user = User()
    await calls(ask(user, clock)["default"], 4)
    forget_limiters()

    assert left(ask(user, clock))["minute"] == 10


async def test_a_file_that_an_earlier_client_does_not_count_in_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def kept(name: str | None) -> Any:
        store = None if name is None else FileQuotaStore(tmp_path / name)
        return lambda: {"default": [Quota(10, store=store)]}

    user = User()
    for name in ("day.json", "day.json", None):
        ask(user, make=kept(name))
    assert caplog.text == ""
    ask(user, make=kept("another.json"))
    ask(user, account="p:2", make=kept(None))
    ask(user, account="p:2", make=kept("day.json"))
    assert [record.getMessage().partition(":")[2] for record in caplog.records] == [
        " this account has other limits already, made by an earlier client: those hold"
    ] * 2
