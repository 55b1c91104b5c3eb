"""The orderly end: every connector drains, within one deadline, however the hub is left."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import pytest
from helpers import cancel_at_every_await, virtual

from asyncconn import Quota, TokenAuth, UndeliveredWarning
from asyncconn.connector import Connector, Platform
from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.core.clock import VirtualClock
from asyncconn.errors import BatchError, DeliveryFailed, HubClosed
from asyncconn.hub import Hub, HubState
from asyncconn.settings import HubSettings

from .batched_scene import Acme as Batching
from .batched_scene import items


class Holding(Connector):
    """Holds records whose delivery takes some seconds, or goes wrong."""

    platform = Platform("holding", base_url="http://127.0.0.1:1")

    def __init__(
        self, hub: Hub | None, takes: float = 0.0, *, error: BaseException | None = None, name: str = "holding"
    ) -> None:
        super().__init__(hub=hub)
        self.takes = takes
        self.error = error
        self.platform = Platform(name, base_url="http://127.0.0.1:1")  # type: ignore[misc] # one each, to be told apart
        self.drains = 0
        self.drained = False
        self.timeout = 0.0

    async def drain(self, timeout: float) -> FlushReport | None:
        self.drains += 1
        self.timeout = timeout
        await asyncio.sleep(self.takes)
        if self.error is not None:
            raise self.error
        assert not self.hub.session.closed
        self.drained = True
        return FlushReport(delivered=3)


@virtual
async def test_connectors_drain_side_by_side(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        members = [Holding(hub, 10.0) for _ in range(5)]

    assert all(member.drained for member in members)
    assert clock.now() == pytest.approx(10.0, abs=0.1)
    assert hub.report is not None
    assert hub.report.seconds == pytest.approx(10.0, abs=0.1)
    assert sorted(hub.report.reports) == ["holding", "holding-1", "holding-2", "holding-3", "holding-4"]
    assert hub.report.complete


@virtual
async def test_all_get_the_one_deadline(clock: VirtualClock) -> None:
    hub = await Hub(clock=clock, settings=HubSettings(shutdown_timeout=7.0)).open()
    members = [Holding(hub) for _ in range(2)]
    await hub.aclose()
    other = await Hub(clock=clock).open()
    members.append(Holding(other))
    await other.aclose(timeout=3.0)

    assert [member.timeout for member in members] == [7.0, 7.0, 3.0]


@virtual
async def test_one_that_fails_does_not_keep_the_others_from_draining(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        broken = Holding(hub, 1.0, error=OSError("disk"), name="broken")
        fine = Holding(hub, 2.0, name="fine")
        session = hub.session

    assert fine.drained
    assert hub.report is not None
    assert hub.report.errors == {"broken": broken.error}
    assert list(hub.report.reports) == ["fine"]
    assert not hub.report.complete
    assert session.closed


@virtual
async def test_one_that_hangs_does_not_cost_the_others_their_report(clock: VirtualClock) -> None:
    async with Hub(clock=clock, settings=HubSettings(shutdown_timeout=5.0)) as hub:
        Holding(hub, 86_400.0, name="hanging")
        fine = Holding(hub, 2.0, name="fine")
        session = hub.session

    assert fine.drained
    assert hub.report is not None
    assert list(hub.report.reports) == ["fine"]
    assert {name: type(error) for name, error in hub.report.errors.items()} == {"hanging": TimeoutError}
    assert clock.now() <= 15.1
    assert session.closed
    assert hub.state is HubState.CLOSED


class _Store:
    """Of a quota. What is given back never arrives, or not at once."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def add(self, key: str, window: str, amount: int) -> int:
        if amount < 0 and self.error is not None:
            raise self.error
        await asyncio.sleep(86_400.0 if amount < 0 else 0.0)
        return amount


class Counted(Connector):
    """Its calls of a day are counted in a store."""

    platform = Platform("counted", base_url="http://127.0.0.1:1")


class _Losing(Holding):
    async def drain(self, timeout: float) -> FlushReport | None:
        return FlushReport(pending=1)


async def counted(hub: Hub, token: str, store: _Store) -> Counted:
    """One whose quota has something to give back."""
    made = Counted(hub=hub, auth=TokenAuth(token), rates=Quota(1000, store=store))
    (await made.http.limiters["default"].acquire()).done()
    return made


@virtual
async def test_limiters_that_hang_or_fail_cost_neither_the_report_nor_the_warning(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    hub = await Hub(clock=clock, settings=HubSettings(shutdown_timeout=5.0)).open()
    for number in range(9):
        await counted(hub, f"hangs {number}", _Store())
    await counted(hub, "fails", _Store(LookupError("gone")))
    _Losing(hub)
    session = hub.session
    with pytest.warns(UndeliveredWarning, match="1 lost records"):
        report = await hub.aclose()

    assert report.reports == {"holding": FlushReport(pending=1)}
    assert {name: str(error) for name, error in report.errors.items()} == {"counted.default": "gone"}
    assert (session.closed, hub.state, clock.now() <= 5.1) == (True, HubState.CLOSED, True)
    said = "closing the limiter counted.default failed: "
    assert caplog.messages.count(f"{said}it did not end within 5 s") == 9
    assert caplog.messages.count(f"{said}gone") == 1


@virtual
async def test_the_report_says_what_was_not_delivered(clock: VirtualClock) -> None:
    failure = DeliveryFailed("no", records=[{"id": 1}, {"id": 2}], maybe_delivered=True)

    class Failing(Holding):
        async def drain(self, timeout: float) -> FlushReport:
            return FlushReport(delivered=1, failed=2, failures=(failure,))

    with pytest.warns(UndeliveredWarning, match=r"2 lost records that nobody was told of \(failing: 2\); the last: no"):
        async with Hub(clock=clock) as hub:
            Failing(hub, name="failing")

    assert hub.report is not None
    assert hub.report.undelivered == [{"id": 1}, {"id": 2}]
    assert not hub.report.complete


@virtual
async def test_leaving_by_an_exception_drains_and_passes_it_on(clock: VirtualClock) -> None:
    members: list[Holding] = []

    async def main() -> None:
        async with Hub(clock=clock) as hub:
            members.append(Holding(hub, 5.0))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await main()
    assert members[0].drained


@virtual
async def test_leaving_by_cancellation_drains_and_stays_cancelled(clock: VirtualClock) -> None:
    hub = Hub(clock=clock)
    members: list[Holding] = []

    async def main() -> None:
        async with hub:
            members.append(Holding(hub, 5.0))
            await asyncio.sleep(86_400)

    task = asyncio.create_task(main())
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.sleep(1.0)
    task.cancel()  # impatient
    await asyncio.wait({task})

    assert task.cancelled()
    assert members[0].drained
    assert hub.state is HubState.CLOSED


@virtual
async def test_leaving_by_a_timeout_drains_and_stays_a_timeout(clock: VirtualClock) -> None:
    members: list[Holding] = []

    async def main() -> None:
        async with asyncio.timeout(1.0), Hub(clock=clock) as hub:
            members.append(Holding(hub, 5.0))
            await asyncio.sleep(86_400)

    with pytest.raises(TimeoutError):
        await main()
    assert members[0].drained


@virtual
async def test_leaving_by_an_anyio_scope_drains(clock: VirtualClock) -> None:
    hub = Hub(clock=clock)
    with anyio.move_on_after(1.0) as scope:
        async with hub:
            member = Holding(hub, 5.0)
            await anyio.sleep(86_400)

    assert scope.cancelled_caught
    assert member.drained


async def test_cancelled_at_any_await_of_the_end_everything_is_still_drained() -> None:
    scene: dict[str, Any] = {}

    async def make() -> Any:
        hub = await Hub().open()
        scene.update(hub=hub, members=[Holding(hub, 0.001), Holding(hub, 0.002)], session=hub.session)
        return hub.aclose

    async def check(error: BaseException | None) -> None:
        assert all(member.drained for member in scene["members"])
        assert scene["session"].closed
        assert scene["hub"].report.complete

    assert await cancel_at_every_await(make, check) >= 1


@virtual
async def test_while_it_drains_a_hub_serves_its_connectors_and_takes_no_new_ones(clock: VirtualClock) -> None:
    hub = await Hub(clock=clock).open()
    Holding(hub, 5.0)
    closing = asyncio.create_task(hub.aclose())
    await asyncio.sleep(1.0)

    assert hub.state is HubState.DRAINING
    assert not hub.session.closed
    with pytest.raises(HubClosed):
        Holding(hub)
    with pytest.raises(HubClosed):
        await hub.open()
    await closing


@virtual
async def test_a_connector_that_closed_by_itself_is_not_drained_again(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        member = Holding(hub)
        assert await member.aclose() is await member.aclose()

    assert member.drains == 1
    assert hub.report is not None
    assert hub.report.reports == {"holding": FlushReport(delivered=3)}


@pytest.mark.parametrize("with_hub", [True, False])
@virtual
async def test_a_connector_that_two_close_at_once_is_in_the_report_once(clock: VirtualClock, with_hub: bool) -> None:
    hub = await Hub(clock=clock).open()
    member = Holding(hub, 5.0)
    await asyncio.gather(hub.aclose() if with_hub else member.aclose(), member.aclose())

    assert (await hub.aclose()).reports == {"holding": FlushReport(delivered=3)}


async def test_a_private_hub_hands_over_its_connectors_report_or_error() -> None:
    async with Holding(None) as fine:
        pass
    assert await fine.aclose() == FlushReport(delivered=3)

    broken = Holding(None, error=BatchError("no"))
    with pytest.raises(BatchError, match="no"):
        async with broken:
            session = broken.hub.session
    assert session.closed


@virtual
async def test_failures_are_logged_once_each(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    async with Hub(clock=clock) as hub:
        Holding(hub, error=OSError("disk"), name="broken")
        Holding(hub, name="fine")

    assert [record.getMessage() for record in caplog.records] == ["closing broken failed: OSError: disk"]


# -- what the log says -------------------------------------------------------------------------------------------------


@virtual
async def test_the_log_says_what_is_pending_when_the_hub_closes_and_what_became_of_all(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="asyncconn.hub")
    async with Hub(clock=clock) as hub:
        acme = Batching(hub)
        acme.answers = {1: ["bad"]}
        acme.points.on("error", lambda failure: None)
        await acme.points.deliver(items(3))
        await acme.points.put({"id": 7})

    assert [f"{record.levelname} {record.getMessage()}" for record in caplog.records] == [
        "INFO the hub closes: 1 records are pending, for which it has 30 s",
        "INFO the hub has drained in 0.0 s: 3 delivered, 1 rejected, 0 failed, 0 unknown, 0 in spools",
    ]


async def test_a_hub_that_held_no_records_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="asyncconn.hub")
    async with Hub() as hub:
        Batching(hub)

    assert caplog.records == []
