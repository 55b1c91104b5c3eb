"""The end of a connector with batched methods: its own drain, then its buffers, once, within one time for both."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from helpers import virtual

from asyncconn import FlushReport, Hub
from asyncconn.errors import DeliveryFailed

from .batched_scene import Acme, items

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock


class Own(Acme):
    """Holds three records of its own, besides those in its buffers."""

    drains = 0
    takes = 0.0
    breaks = False

    async def drain(self, timeout: float) -> FlushReport:
        self.drains += 1
        await asyncio.sleep(self.takes)
        self.arrived.append("own")
        if self.breaks:
            raise OSError("broken")
        return FlushReport(delivered=3)


async def ended(acme: Own, hub: Hub, by: str, timeout: float) -> FlushReport | None:
    """Its report, by a close of its own or of the hub."""
    if by == "connector":
        return await acme.aclose(timeout)
    return (await hub.aclose(timeout)).reports.get("acme")


@pytest.mark.parametrize("by", ["connector", "hub"])
@virtual
async def test_its_own_drain_comes_first_and_all_is_in_one_report(clock: VirtualClock, by: str) -> None:
    async with Hub(clock=clock) as hub:
        acme = Own(hub)
        acme.takes = 0.5
        for item in items(2):
            await acme.points.put(item)
        await acme.ordered.put({"id": 9})
        report = await ended(acme, hub, by, 10.0)

    assert acme.arrived[0] == "own"
    assert set(acme.arrived[1:]) == {0, 1, 9}
    assert report is not None
    assert report.delivered == 6
    assert hub.report is not None
    assert hub.report.reports == {"acme": report}


@pytest.mark.parametrize("by", ["connector", "hub"])
@virtual
async def test_both_have_one_deadline(clock: VirtualClock, by: str) -> None:
    failures: list[DeliveryFailed] = []
    async with Hub(clock=clock) as hub:
        acme = Own(hub)
        acme.takes, acme.seconds = 6.0, 60.0
        acme.points.on("error", failures.append)
        await acme.points.put({"id": 1})
        report = await ended(acme, hub, by, 8.0)
        took = clock.now()

    assert report is not None
    assert (report.delivered, report.unknown) == (3, 1)
    assert [failure.records for failure in failures] == [[{"id": 1}]]
    assert took == pytest.approx(8.0, abs=0.1)


@virtual
async def test_a_drain_that_fails_is_told_and_not_done_again_and_nothing_counts_twice(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Own(hub)
        acme.breaks = True
        await acme.points.deliver(items(2))
        await acme.points.put({"id": 9})
        for _ in range(2):
            with pytest.raises(OSError, match="broken"):
                await acme.aclose()

    assert (acme.drains, acme.arrived) == (1, [0, 1, "own", 9])
    assert hub.report is not None
    assert {name: type(error) for name, error in hub.report.errors.items()} == {"acme": OSError}
    assert [report.delivered for report in hub.report.reports.values()] == [3]


@pytest.mark.parametrize("after", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
@pytest.mark.parametrize("often", [1, 3])
@virtual
async def test_who_closes_and_is_cancelled_loses_nothing(clock: VirtualClock, after: float, often: int) -> None:
    async with Hub(clock=clock) as hub:
        acme = Own(hub)
        acme.takes = acme.seconds = 1.0
        for item in items(2):
            await acme.points.put(item)
        closing = asyncio.create_task(acme.aclose())
        await asyncio.sleep(after)
        for _ in range(often):
            closing.cancel()
            await asyncio.sleep(0.2)
        with suppress(asyncio.CancelledError):
            await closing

    assert (acme.drains, acme.arrived) == (1, ["own", 0, 1])
    assert hub.report is not None
    assert [report.delivered for report in hub.report.reports.values()] == [5]


@virtual
async def test_several_who_close_at_once_get_the_same(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Own(hub)
        acme.takes = acme.seconds = 1.0
        await acme.points.put({"id": 1})
        first, second, whole = await asyncio.gather(acme.aclose(), acme.aclose(0.1), hub.aclose())

    assert acme.drains == 1
    assert first == second == whole.reports["acme"]
    assert whole.reports["acme"].delivered == 4
