"""Who puts in a tight loop is no faster than his own senders: batches do not pile up before them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from .batching_scene import Platform, make_buffer

if TYPE_CHECKING:
    from asyncconn.core.buffer.receipts import BatchStats, Receipt
    from asyncconn.core.clock import VirtualClock

SENDERS = 3
ROOMY: dict[str, Any] = {"max_pending_items": 1_000_000, "max_pending_bytes": 1_000_000_000, "max_in_flight": SENDERS}


def ready(stats: BatchStats) -> int:
    """Full batches that wait for a sender, where each holds ten."""
    return stats.pending // 10 - stats.in_flight


@pytest.mark.parametrize("way", ["put", "put_many"])
@virtual
async def test_at_most_two_full_batches_a_sender_wait_for_it(clock: VirtualClock, way: str) -> None:
    platform = Platform(seconds=0.1)
    buffer, _ = make_buffer(platform, clock, max_items=10, **ROOMY)
    ahead: list[int] = []
    for number in range(0, 3000, 5):
        some = [b"%04d" % (number + more) for more in range(5)]
        if way == "put":
            for one in some:
                await buffer.put(one)
        else:
            await buffer.put_many(some)
        ahead.append(ready(buffer.stats))
    report = await buffer.aclose()

    assert report.delivered == 3000
    assert max(ahead) == 2 * SENDERS


@virtual
async def test_of_batches_of_any_size_no_more_are_begun(clock: VirtualClock) -> None:
    platform = Platform(seconds=0.1)
    buffer, _ = make_buffer(platform, clock, max_items=10, max_bytes=60, **ROOMY)
    receipts: dict[Receipt, None] = {}
    ahead: list[int] = []
    for number in range(3000):
        receipts[await buffer.put(b"x" * (1 + number * 7 % 23))] = None
        stats = buffer.stats
        ahead.append(len(receipts) - stats.batches_delivered - stats.in_flight)
    report = await buffer.aclose()

    assert report.delivered == 3000
    assert max(ahead) <= 2 * SENDERS + 1  # the open one


@virtual
async def test_many_who_put_do_not_get_further_than_one(clock: VirtualClock) -> None:
    platform = Platform(seconds=0.1)
    buffer, _ = make_buffer(platform, clock, max_items=10, **ROOMY)
    ahead: list[int] = []

    async def writer() -> None:
        for _ in range(50):
            await buffer.put(b"x")
            ahead.append(ready(buffer.stats))

    await asyncio.gather(*[writer() for _ in range(40)])
    report = await buffer.aclose()

    assert report.delivered == 2000
    assert max(ahead) == 2 * SENDERS
