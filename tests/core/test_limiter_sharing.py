"""One part in several limiters: whoever waits at any of them is woken, in the order of asking."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING

import pytest
from helpers import turns, virtual

from asyncconn.core.rates.limiter import PartSnapshot, Quota, RateLimiter, TokenBucket, Window
from asyncconn.errors import WrongLoop

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.clock import Clock, VirtualClock
    from asyncconn.core.rates.windows import Part, Slot


class Places:
    """A part of a user's own: so many calls at once, however long they take. It wakes nobody by itself."""

    period = float("inf")

    def __init__(self, limit: int, name: str = "places") -> None:
        self.limit, self.name, self.used = limit, name, 0
        self.told: list[int | None] = []

    def bind(self, clock: Clock, wake: Callable[[], None], key: str) -> None:
        pass

    def ready_at(self, now: float, cost: int) -> float | None:
        return now if self.used + cost <= self.limit else None

    def estimate(self, now: float, cost: int) -> float:
        return now

    def take(self, now: float, cost: int) -> Slot:
        from asyncconn.core.rates.parts import slot_of

        self.used += cost
        return slot_of(cost)

    def sent(self, now: float, slot: Slot) -> None:
        pass

    def done(self, now: float, slot: Slot) -> None:
        self.used -= slot.cost

    def give_back(self, now: float, slot: Slot) -> None:
        self.used -= slot.cost

    def tighten(self, now: float, remaining: int | None, reset_after: float | None) -> None:
        self.told.append(remaining)

    def snapshot(self, now: float) -> PartSnapshot:
        return PartSnapshot(self.name, self.limit, self.limit - self.used, 0.0)

    async def aclose(self) -> None:
        pass

    def fresh(self) -> Places:
        return Places(self.limit, name=self.name)


SHARED: dict[str, Callable[[], Part]] = {
    "window": lambda: Window(2, 1.0, name="account"),
    "bucket": lambda: TokenBucket(rate=2.0, burst=2, name="account"),
    "a part of one's own": lambda: Places(2, name="account"),
}


@pytest.mark.parametrize("kind", SHARED)
@virtual
async def test_what_one_limiter_frees_goes_to_who_waits_at_the_other(clock: VirtualClock, kind: str) -> None:
    account = SHARED[kind]()
    reads = RateLimiter(account, clock=clock)
    orders = RateLimiter(Window(5, 1.0, name="orders"), account, clock=clock)
    held = [await reads.acquire() for _ in range(2)]
    waiting = asyncio.create_task(orders.acquire())
    await turns()
    for permit in held:
        permit.sent()
        permit.done()

    async with asyncio.timeout(60):
        (await waiting).done()


@pytest.mark.parametrize("kind", SHARED)
@virtual
async def test_what_one_limiter_gives_back_goes_to_who_waits_at_the_other(clock: VirtualClock, kind: str) -> None:
    account = SHARED[kind]()
    reads, orders = RateLimiter(account, clock=clock), RateLimiter(account, clock=clock)
    held = [await reads.acquire() for _ in range(2)]
    waiting = asyncio.create_task(orders.acquire())
    await turns()
    at = clock.now()
    held[0].cancel()
    (await waiting).cancel()

    assert clock.now() == at


@virtual
async def test_who_has_waited_longest_at_any_of_them_goes_first(clock: VirtualClock) -> None:
    account = Window(1, 1.0)
    limiters = [RateLimiter(account, clock=clock) for _ in range(3)]
    order: list[int] = []

    async def call(number: int) -> None:
        (await limiters[number % 3].acquire()).done()
        order.append(number)

    await asyncio.gather(*[call(number) for number in (0, 2, 1, 4, 3, 5, 8, 6, 7)])

    assert order == [0, 2, 1, 4, 3, 5, 8, 6, 7]


@virtual
async def test_one_that_lacks_something_of_its_own_does_not_hold_up_the_others(clock: VirtualClock) -> None:
    account = Window(2, 1.0, name="account")
    reads = RateLimiter(account, clock=clock)
    orders = RateLimiter(Window(1, 3600.0, name="orders"), account, clock=clock)
    (await orders.acquire()).done()
    blocked = asyncio.create_task(orders.acquire())
    await turns()
    for _ in range(4):
        (await reads.acquire()).done()
    blocked.cancel()
    await asyncio.wait({blocked})

    assert clock.now() < 3.0


@virtual
async def test_the_cap_of_a_shared_window_holds_for_all_together(clock: VirtualClock) -> None:
    account = Window(10, 1.0, name="account")
    limiters = [RateLimiter(Window(8, 1.0, name="own"), account, clock=clock) for _ in range(3)]
    calls: list[float] = []

    async def call(number: int) -> None:
        async with limiters[number % 3]:
            calls.append(clock.now())

    await asyncio.gather(*[call(number) for number in range(60)])

    assert max(sum(start <= at < start + 1.0 for at in calls) for start in calls) == 10
    assert clock.now() == pytest.approx(5.0, abs=0.1)


@virtual
async def test_a_limiter_that_is_gone_is_not_kept_by_those_that_shared_with_it(clock: VirtualClock) -> None:
    account = Quota(10)
    kept, gone = RateLimiter(Window(5, 1.0), account, clock=clock), RateLimiter(Window(6, 1.0), clock=clock)
    del gone
    gc.collect()
    async with kept:
        pass

    assert kept.snapshot().in_flight == 0


@virtual
async def test_of_limiters_that_are_gone_nothing_is_left_with_those_that_shared_with_them(clock: VirtualClock) -> None:
    window, day = Window(5, 60.0), Quota(100, name="day")
    kept = RateLimiter(window, day, name="kept", clock=clock)
    gone: weakref.WeakSet[RateLimiter] = weakref.WeakSet()
    for _ in range(300):
        gone.add(RateLimiter(window, day, name="gone", clock=clock))
    gc.collect()
    async with kept:
        pass

    assert (len(gone), len(kept._family.others)) == (0, 0)
    assert len(day._wakes) < 10


@virtual
async def test_many_short_lived_limiters_are_not_counted_up_at_one_that_rests(clock: VirtualClock) -> None:
    window = Window(5, 60.0)
    kept = RateLimiter(window, name="kept", clock=clock)
    for _ in range(300):
        RateLimiter(window, name="gone", clock=clock)
        gc.collect(0)

    assert len(kept._family.others) < 100


def test_a_part_cannot_stand_in_limiters_of_two_loops_that_live() -> None:
    account = Window(5, 1.0)
    here, there = RateLimiter(account), RateLimiter(account)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(here.acquire())
        with pytest.raises(WrongLoop, match="shares a part"):
            asyncio.run(there.acquire())
    finally:
        loop.close()
    asyncio.run(there.acquire())  # now the other loop has ended


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # what had not begun when that loop ended
@pytest.mark.parametrize("asking", [True, False])
def test_who_was_left_waiting_on_a_loop_that_ended_holds_up_nobody_on_the_next(asking: bool) -> None:
    class Store:
        used = 0

        async def add(self, key: str, window: str, amount: int) -> int:
            await asyncio.sleep(0.01)
            self.used += amount
            return self.used

    account = Quota(1000, store=Store(), chunk=1)
    here, there = RateLimiter(account), RateLimiter(account)
    loop = asyncio.new_event_loop()

    async def left_behind() -> list[asyncio.Task[object]]:
        waiting: list[asyncio.Task[object]] = [asyncio.ensure_future(here.acquire()) for _ in range(3)]
        await asyncio.sleep(0 if asking else 0.015)
        return waiting

    waiting = loop.run_until_complete(left_behind())
    loop.close()

    async def next_one() -> None:
        async with asyncio.timeout(5):
            for _ in range(3):
                (await there.acquire()).done()

    asyncio.run(next_one())
    for task in waiting:
        task._log_destroy_pending = False  # type: ignore[attr-defined] # it is meant to be left behind
