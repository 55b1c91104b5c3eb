"""Room for so many at once: first come, first served, and nobody who is cancelled takes a place along."""

from __future__ import annotations

import asyncio

from helpers import turns

from asyncconn.core.rates.registry import Room


async def test_who_waits_gets_a_place_in_the_order_of_coming() -> None:
    room, order = Room(1), []

    async def guest(number: int) -> None:
        await room.enter()
        order.append(number)
        await turns()
        room.leave()

    await asyncio.gather(*[guest(number) for number in range(5)])

    assert order == [0, 1, 2, 3, 4]
    assert room.free == 1


async def test_a_newcomer_does_not_take_the_place_that_was_handed_on() -> None:
    room = Room(1)
    assert room.enter_nowait()
    waiting = asyncio.create_task(room.enter())
    await turns()
    room.leave()

    assert not room.enter_nowait()
    await waiting


async def test_who_is_cancelled_in_the_turn_of_getting_a_place_hands_it_on() -> None:
    room = Room(1)
    assert room.enter_nowait()
    first, second = (asyncio.create_task(room.enter()) for _ in range(2))
    await turns()
    room.leave()
    first.cancel()
    await asyncio.wait({first})
    await asyncio.wait_for(second, 1.0)

    assert first.cancelled()
    assert room.free == 0


async def test_who_is_cancelled_while_waiting_leaves_the_line() -> None:
    room = Room(1)
    assert room.enter_nowait()
    waiting = asyncio.create_task(room.enter())
    await turns()
    waiting.cancel()
    await asyncio.wait({waiting})
    room.leave()

    assert room.free == 1
