"""Messages on their way out: nothing accepted is forgotten, whatever happens to connections."""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Any

import pytest

from asyncconn.core.outbox import Outbox, Posted
from asyncconn.errors import BufferClosed, BufferFull, ConfigError, StreamLost


async def filled(number: int, **options: Any) -> tuple[Outbox[int], list[Posted[int]]]:
    outbox = Outbox[int](**options)
    return outbox, [await outbox.post(one) for one in range(number)]


async def taken(outbox: Outbox[int], number: int) -> list[Posted[int]]:
    return [await outbox.take() for _ in range(number)]


async def idle(waiting: asyncio.Future[Any]) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return not waiting.done()


async def test_messages_leave_in_order_and_end_when_acknowledged() -> None:
    outbox, posted = await filled(3)
    first, second, third = await taken(outbox, 3)
    assert [one.item for one in (first, second, third)] == [0, 1, 2]
    assert (len(outbox), outbox.in_flight) == (3, 3)
    outbox.settle(second)
    assert [one.done.done() for one in posted] == [False, True, False]
    outbox.settle(first)
    outbox.settle(third)
    await outbox.drained()
    assert (outbox.accepted, outbox.acknowledged, outbox.refused, len(outbox)) == (3, 3, 0, 0)


async def test_no_more_are_under_way_than_the_window() -> None:
    outbox, _ = await filled(3, window=2)
    first, _second = await taken(outbox, 2)
    third = asyncio.ensure_future(outbox.take())
    assert await idle(third)
    outbox.settle(first)
    assert (await third).item == 2


async def test_what_was_not_acknowledged_goes_first_on_the_next_connection() -> None:
    outbox, posted = await filled(5, window=3)
    await taken(outbox, 3)
    outbox.settle(posted[1])
    outbox.again()
    assert outbox.in_flight == 0
    assert [(one.item, one.sent) for one in await taken(outbox, 3)] == [(0, 2), (2, 2), (3, 1)]


async def test_an_acknowledgement_that_a_break_overtook_counts() -> None:
    outbox, posted = await filled(2)
    await taken(outbox, 1)
    outbox.again()
    outbox.settle(posted[0])
    assert posted[0].done.done()
    assert [one.item for one in await taken(outbox, 1)] == [1]


async def test_what_was_never_sent_cannot_be_acknowledged() -> None:
    outbox, posted = await filled(1)
    outbox.settle(posted[0])
    assert not posted[0].done.done()
    first = await outbox.take()
    outbox.settle(first)
    outbox.settle(first)
    assert outbox.acknowledged == 1


async def test_a_refusal_is_one_messages_own() -> None:
    outbox, posted = await filled(2)
    first, second = await taken(outbox, 2)
    error = StreamLost("a document that is none")
    outbox.settle(first, error)
    outbox.settle(second)
    with pytest.raises(StreamLost):
        await posted[0].done
    await posted[1].done
    assert (outbox.acknowledged, outbox.refused) == (1, 1)


async def test_a_full_box_waits_for_room() -> None:
    outbox, _ = await filled(2, window=1, max_pending=2)
    third = asyncio.ensure_future(outbox.post(2))
    assert await idle(third)
    outbox.settle(await outbox.take())
    assert (await third).item == 2


async def test_or_refuses() -> None:
    outbox, _ = await filled(2, window=1, max_pending=2, overflow="raise")
    with pytest.raises(BufferFull, match="2 messages"):
        await outbox.post(2)
    assert outbox.accepted == 2


@pytest.mark.parametrize("sent", [True, False])
async def test_what_is_withdrawn_is_not_sent_again(sent: bool) -> None:
    outbox, posted = await filled(2)
    if sent:
        await taken(outbox, 1)
    outbox.withdraw(posted[0], StreamLost("nobody waits"))
    outbox.withdraw(posted[0], StreamLost("a second time"))
    outbox.again()
    assert [one.item for one in await taken(outbox, 1)] == [1]
    assert (outbox.refused, len(outbox)) == (1, 1)
    with pytest.raises(StreamLost, match="nobody"):
        await posted[0].done


async def test_giving_up_tells_of_everything_that_is_left() -> None:
    outbox, posted = await filled(3, window=1, max_pending=3)
    waiting = asyncio.ensure_future(outbox.post(3))
    await taken(outbox, 1)
    assert await idle(waiting)
    assert [(one.item, one.sent) for one in outbox.close(StreamLost("closed"))] == [(0, 1), (1, 0), (2, 0)]
    for one in posted:
        with pytest.raises(StreamLost):
            await one.done
    for late in (waiting, asyncio.ensure_future(outbox.post(4))):
        with pytest.raises(BufferClosed):
            await late
    await outbox.drained()


async def test_who_is_cancelled_takes_nothing_with_him() -> None:
    outbox, posted = await filled(1)
    taking = asyncio.ensure_future(Outbox[int]().take())
    assert await idle(taking)
    taking.cancel()
    posted[0].done.cancel()
    outbox.settle(await outbox.take())
    assert (outbox.acknowledged, len(outbox)) == (1, 0)


@pytest.mark.parametrize("seed", range(20))
async def test_every_message_is_acknowledged_once_in_order_over_any_breaks(seed: int) -> None:
    chance = random.Random(seed)
    window = chance.randint(1, 10)
    outbox = Outbox[int](window=window, max_pending=chance.randint(10, 30))
    arrived: list[int] = []

    async def connections() -> None:
        while True:
            outbox.again()
            for _ in range(chance.randint(0, 12)):
                if outbox.in_flight in (window, len(outbox)):
                    break  # it would wait: the connection breaks instead
                posted = await outbox.take()
                if posted.item not in arrived:
                    arrived.append(posted.item)
                if chance.random() < 0.7:
                    outbox.settle(posted)
            await asyncio.sleep(0)

    serving = asyncio.ensure_future(connections())
    posted = [await outbox.post(number) for number in range(100)]
    await outbox.drained()
    serving.cancel()
    assert arrived == list(range(100))
    assert all(one.done.done() for one in posted)
    assert (outbox.accepted, outbox.acknowledged) == (100, 100)


@pytest.mark.parametrize("options", [{"window": 0}, {"window": 11, "max_pending": 10}, {"overflow": "drop"}])
def test_a_box_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Outbox[int](**options)


async def test_who_refuses_more_still_sends_what_was_accepted() -> None:
    outbox, posted = await filled(1)
    outbox.refuse(StreamLost("closing"))
    with pytest.raises(BufferClosed):
        await outbox.post(1)
    outbox.settle((await taken(outbox, 1))[0])
    await posted[0].done


async def test_what_may_have_arrived_ends_otherwise_than_what_was_never_sent() -> None:
    told: list[tuple[list[int], str]] = []
    outbox = Outbox[int](
        window=2, on_settled=lambda ended, error: told.append(([one.item for one in ended], str(error)[:5]))
    )
    posted = [await outbox.post(one) for one in range(4)]
    outbox.settle((await taken(outbox, 2))[0])
    outbox.close(StreamLost("never sent"), sent=StreamLost("maybe"))
    assert told == [([0], "None"), ([1], "maybe"), ([2, 3], "never")]
    with pytest.raises(StreamLost, match="maybe"):
        await posted[1].done


async def test_who_asked_and_waits_no_longer_leaves_no_complaint() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    outbox, posted = await filled(2)
    assert not posted[0].done.done()
    outbox.close(StreamLost("closed"))
    assert posted[1].done.done()  # asked afterwards
    posted.clear()
    gc.collect()
    assert complaints == []
