"""A limiter belongs to one loop, and says so; a block may end in another task than it began in."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from helpers import virtual

from asyncconn.core.buffer.memory import BatchBuffer
from asyncconn.core.polling import Poller
from asyncconn.core.rates.limiter import RateLimiter, TokenBucket, Window
from asyncconn.errors import WrongLoop
from asyncconn.http.auth import TokenAuth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncconn.core.buffer.memory import Batch
    from asyncconn.core.clock import VirtualClock
    from asyncconn.core.rates.windows import Part

PARTS: dict[str, Callable[[], Part]] = {
    "window": lambda: Window(5, 60.0),
    "bucket": lambda: TokenBucket(rate=1.0, burst=5),
}


async def use(limiter: RateLimiter) -> None:
    async with limiter:
        pass


@pytest.mark.parametrize("part", PARTS)
def test_a_second_loop_hears_at_once_that_it_is_the_wrong_one(part: str) -> None:
    limiter = RateLimiter(PARTS[part]())
    asyncio.run(use(limiter))
    with pytest.raises(WrongLoop, match="another event loop"):
        asyncio.run(use(limiter))


def test_a_second_loop_hears_it_at_the_latest_when_it_would_wait_where_a_call_was_left_in_flight() -> None:
    limiter = RateLimiter(Window(2, 60.0))

    async def leave_one() -> None:
        await limiter.acquire()

    asyncio.run(leave_one())
    asyncio.run(use(limiter))
    with pytest.raises(WrongLoop, match="another event loop"):
        asyncio.run(use(limiter))


def test_a_second_loop_hears_it_where_a_waiter_was_left_behind() -> None:
    limiter, loop = RateLimiter(Window(1, 3600.0)), asyncio.new_event_loop()
    waiting: list[asyncio.Task[object]] = []

    async def first() -> None:
        await use(limiter)
        waiting.append(asyncio.ensure_future(limiter.acquire()))
        await asyncio.sleep(0)

    loop.run_until_complete(first())
    with pytest.raises(WrongLoop):
        asyncio.run(use(limiter))
    waiting[0].cancel()
    loop.run_until_complete(asyncio.wait(waiting))
    loop.close()


@pytest.mark.parametrize("with_a_loop", [True, False])
async def test_another_thread_hears_it_whether_it_has_a_loop_or_not(with_a_loop: bool) -> None:
    limiter = RateLimiter(Window(5, 60.0))
    await use(limiter)
    heard: list[BaseException] = []

    def elsewhere() -> None:
        try:
            if with_a_loop:
                asyncio.run(use(limiter))
            else:
                limiter.acquire_nowait()
        except WrongLoop as error:
            heard.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)

    assert len(heard) == 1


def test_a_snapshot_may_be_taken_anywhere() -> None:
    limiter = RateLimiter(Window(5, 60.0))
    asyncio.run(use(limiter))

    assert limiter.snapshot().remaining == 4


# -- what else may be made before there is a loop ----------------------------------------------------------------------


def test_a_buffer_made_before_any_loop_belongs_to_the_loop_of_its_first_put() -> None:
    async def send(batch: Batch[bytes]) -> None:
        pass

    buffer = BatchBuffer(send, size=len)

    async def first() -> None:
        await buffer.put(b"one")
        await buffer.flush(5.0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(first())
    with pytest.raises(WrongLoop):
        asyncio.run(first())
    loop.run_until_complete(buffer.aclose())
    loop.close()


def test_a_poller_that_goes_through_a_limiter_of_another_loop_says_so_instead_of_trying_on() -> None:
    limiter = RateLimiter(Window(5, 60.0))

    async def fetch() -> str:
        await use(limiter)
        return "done"

    async def poll() -> str:
        return await Poller(fetch, done=lambda state: state == "done", result=str)

    assert asyncio.run(poll()) == "done"
    with pytest.raises(WrongLoop):
        asyncio.run(poll())


def test_a_token_can_be_asked_for_on_a_second_loop_although_the_first_ended_while_asking() -> None:
    answer: list[str] = []

    async def provider() -> str:
        if not answer:
            await asyncio.get_running_loop().create_future()  # never
        return answer[0]

    auth, loop = TokenAuth(provider), asyncio.new_event_loop()
    asking: list[asyncio.Task[object]] = []

    async def first() -> None:
        asking.append(asyncio.ensure_future(auth.headers()))
        await asyncio.sleep(0.01)

    loop.run_until_complete(first())
    answer.append("fresh")

    assert asyncio.run(asyncio.wait_for(auth.headers(), 5.0)) == {"Authorization": "Bearer fresh"}
    asking[0].cancel()
    loop.run_until_complete(asyncio.wait(asking))
    loop.close()


# -- a block that ends elsewhere ---------------------------------------------------------------------------------------


async def rows(limiter: RateLimiter) -> AsyncIterator[int]:
    async with limiter:
        yield 1
        yield 2


@virtual
async def test_a_generator_that_is_closed_in_another_task_frees_its_slot(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(3, 1.0, skew=0.0), clock=clock)
    for _ in range(3):
        found = rows(limiter)
        await asyncio.create_task(anext(found))  # type: ignore[arg-type] # a coroutine is what it is
        await found.aclose()  # type: ignore[attr-defined] # it is a generator
    await asyncio.sleep(2.0)

    assert (limiter.snapshot().in_flight, limiter.snapshot().remaining) == (0, 3)


@virtual
async def test_blocks_left_in_the_wrong_order_and_by_a_task_with_one_of_its_own_free_every_slot(
    clock: VirtualClock,
) -> None:
    limiter = RateLimiter(Window(3, 1.0, skew=0.0), clock=clock)
    first, second = rows(limiter), rows(limiter)
    for found in (first, second):
        await asyncio.create_task(anext(found))  # type: ignore[arg-type] # a coroutine is what it is
    async with limiter:
        await first.aclose()  # type: ignore[attr-defined] # it is a generator
    async with asyncio.TaskGroup() as group:
        group.create_task(second.aclose())  # type: ignore[attr-defined] # it is a generator
    await asyncio.sleep(2.0)

    assert (limiter.snapshot().in_flight, limiter.snapshot().remaining) == (0, 3)


@virtual
async def test_a_permit_that_another_block_ended_by_hand_is_not_taken_for_this_ones(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(3, 1.0), clock=clock)
    async with limiter as outer:
        outer.sent()
        outer.done()
        async with limiter:
            pass

    assert limiter.snapshot().in_flight == 0
