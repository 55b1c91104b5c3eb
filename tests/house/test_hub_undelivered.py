"""A hub that closes with losses says so, unless somebody has been told; and it forgets none of them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import BufferFigures, Connector, Hub, Platform, UndeliveredWarning, draining
from asyncconn.core.buffer.memory import Batch, BatchBuffer, BatchPolicy
from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.buffer.spooled import SpooledBuffer
from asyncconn.errors import Answer, BadRequest, ConfigError, DeliveryFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SAID = r"the hub closed with {} lost records that nobody was told of \(acme: {}\)"


class Acme(Connector):
    """Holds records, as a connector of a user does; the platform takes none of them."""

    platform = Platform("acme", base_url="http://127.0.0.1:1")

    def __init__(self, hub: Hub | None = None) -> None:
        super().__init__(hub=hub)
        self.points: BatchBuffer[bytes] = BatchBuffer(
            self.send, size=len, policy=BatchPolicy(max_items=10), name="acme", clock=self.hub.clock
        )

    async def send(self, batch: Batch[bytes]) -> None:
        raise BadRequest("no", Answer("acme", 400))

    async def drain(self, timeout: float) -> FlushReport:
        return await self.points.aclose(timeout)


@pytest.fixture
def strict() -> Any:
    """As where a program makes errors of warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# -- warning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("private", [False, True])
async def test_a_hub_that_closes_with_losses_nobody_was_told_of_warns(private: bool) -> None:
    async def main() -> Hub:
        if private:
            async with Acme() as acme:
                await acme.points.put_many([b"x"] * 12)
                await acme.points.flush()  # a report that is returned has not told anybody
            return acme.hub
        async with Hub() as hub:
            await Acme(hub).points.put_many([b"x"] * 12)
        return hub

    with pytest.warns(UndeliveredWarning, match=SAID.format(12, 12)) as warned:
        hub = await main()
    assert warned[0].filename == __file__
    assert issubclass(UndeliveredWarning, RuntimeWarning)
    assert hub.report is not None
    assert (hub.report.untold, len(hub.report.undelivered), hub.report.complete) == (12, 12, False)


async def test_of_records_whose_connector_does_not_end_the_numbers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(Acme):
        def figures(self) -> Iterable[BufferFigures]:
            return [BufferFigures("acme", self.points.stats)]

        async def drain(self, timeout: float) -> FlushReport:
            await asyncio.sleep(3600.0)
            raise AssertionError("it was not cut short")

    monkeypatch.setattr(draining, "GRACE", 0.01)
    hub = await Hub().open()
    stuck = Stuck(hub)
    await stuck.points.put_many([b"x"] * 3)
    with pytest.warns(UndeliveredWarning, match="3 lost records"):
        await hub.aclose(0.01)

    assert hub.report is not None
    assert (hub.report.untold, type(hub.report.errors["acme"])) == (3, TimeoutError)
    await stuck.points.aclose(0)


async def test_where_a_connector_goes_on_although_it_was_cancelled_the_numbers_are_told_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_up = asyncio.Event()

    class Obstinate(Acme):
        def figures(self) -> Iterable[BufferFigures]:
            return [BufferFigures("acme", self.points.stats)]

        async def drain(self, timeout: float) -> FlushReport:
            while not given_up.is_set():
                with suppress(asyncio.CancelledError):
                    await given_up.wait()
            raise asyncio.CancelledError

    monkeypatch.setattr(draining, "GRACE", 0.01)
    hub = await Hub().open()
    obstinate = Obstinate(hub)
    await obstinate.points.put_many([b"x"] * 3)
    asyncio.get_running_loop().call_later(0.3, given_up.set)
    with pytest.raises(TimeoutError), pytest.warns(UndeliveredWarning, match="3 lost records"):
        await hub.aclose(0.01)

    assert hub.report is not None
    assert hub.report.untold == 3
    await obstinate.points.aclose(0)


async def test_each_hub_that_closes_with_losses_warns_also_at_the_same_place() -> None:
    async def main() -> None:
        for _ in range(3):
            async with Acme() as acme:
                await acme.points.put(b"x")

    with pytest.warns(UndeliveredWarning) as warned:
        await main()
    assert len(warned) == 3


@pytest.mark.parametrize("how", ["handler", "awaited", "awaited later", "asked"])
async def test_it_is_silent_where_somebody_was_told(how: str, strict: None) -> None:
    async with Hub() as hub:
        acme = Acme(hub)
        if how == "handler":
            acme.points.events.on("error", lambda _: None)
        receipt = await acme.points.put(b"x")
        if how == "awaited":
            _, failure = await asyncio.gather(acme.points.flush(), receipt.wait(), return_exceptions=True)
            assert isinstance(failure, DeliveryFailed)
        await acme.points.flush()
        if how == "awaited later":
            with pytest.raises(DeliveryFailed):
                await receipt
        elif how == "asked":
            assert receipt.error is not None
    assert hub.report is not None
    assert (hub.report.untold, hub.report.complete) == (0, False)


async def test_only_what_nobody_was_told_of_is_counted_and_raised() -> None:
    hub = await Hub(on_undelivered="raise").open()
    acme = Acme(hub)
    heard = await acme.points.put(b"heard")
    await acme.points.flush()
    assert heard.error is not None
    await acme.points.put(b"unheard")
    with pytest.raises(DeliveryFailed, match=SAID.format(1, 1)) as caught:
        await hub.aclose()
    assert caught.value.records == [b"unheard"]
    assert hub.report is not None
    assert hub.report.undelivered == [b"heard", b"unheard"]


@pytest.mark.parametrize("mode", ["warn", "raise", "log"])
async def test_what_is_in_a_spool_is_pending_and_no_loss(tmp_path: Path, mode: Any, strict: None) -> None:
    class Spooling(Acme):
        def __init__(self, hub: Hub) -> None:
            super().__init__(hub)
            self.spooled = SpooledBuffer(self.send, Spool(tmp_path / "spool", fsync=False))

        async def drain(self, timeout: float) -> FlushReport:
            return await self.spooled.aclose(timeout)

    async with Hub(on_undelivered=mode) as hub:
        await Spooling(hub).spooled.put_many([b"one", b"two"])
    assert hub.report is not None
    assert (hub.report.untold, hub.report.undelivered, hub.report.complete) == (0, [], False)
    assert hub.report.reports["acme"].pending == 2


async def test_what_a_report_of_ones_own_calls_failed_or_pending_is_lost() -> None:
    class Own(Acme):
        async def drain(self, timeout: float) -> FlushReport:
            return FlushReport(delivered=1, failed=2, pending=3)

    with pytest.warns(UndeliveredWarning, match=SAID.format(5, 5)):
        async with Hub() as hub:
            Own(hub)


# -- the other ways ----------------------------------------------------------------------------------------------------


async def test_it_raises_where_that_is_asked_for_when_everything_is_closed() -> None:
    hub = await Hub(on_undelivered="raise").open()
    session = hub.session

    async def main() -> None:
        async with hub:
            await Acme(hub).points.put_many([b"1", b"2", b"3"])

    with pytest.raises(DeliveryFailed, match=SAID.format(3, 3)) as caught:
        await main()
    assert caught.value.records == [b"1", b"2", b"3"]
    assert session.closed
    assert await hub.aclose() is hub.report


@pytest.mark.parametrize("mode", ["raise", "warn"])
@pytest.mark.parametrize("leaves", [KeyError("mine"), asyncio.CancelledError()])
async def test_it_never_raises_over_another_exception(
    mode: Any, leaves: BaseException, strict: None, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Hub(on_undelivered=mode) as hub:
            await Acme(hub).points.put(b"x")
            raise leaves

    with pytest.raises(type(leaves)):
        await main()
    assert caplog.records[-1].levelname == "ERROR"
    assert "1 lost records that nobody was told of" in caplog.records[-1].getMessage()


async def test_a_close_that_is_cancelled_tells_of_its_losses_all_the_same() -> None:
    class Slow(Acme):
        async def send(self, batch: Batch[bytes]) -> None:
            await asyncio.sleep(0.05)
            await super().send(batch)

    hub = await Hub().open()
    await Slow(hub).points.put(b"x")
    closing = asyncio.create_task(hub.aclose())
    await asyncio.sleep(0.01)
    closing.cancel()
    with pytest.warns(UndeliveredWarning, match=SAID.format(1, 1)):
        await asyncio.wait({closing})
    assert closing.cancelled()


async def test_where_it_is_to_log_it_logs_and_nothing_else(strict: None, caplog: pytest.LogCaptureFixture) -> None:
    async with Hub(on_undelivered="log") as hub:
        await Acme(hub).points.put(b"x")
    said = [record.getMessage() for record in caplog.records if record.name == "asyncconn.hub"]
    assert said[0].startswith(
        "the hub closed with 1 lost records that nobody was told of (acme: 1); the last: acme: 1 "
    )


def test_another_way_is_refused() -> None:
    with pytest.raises(ConfigError, match="'warn', 'raise' or 'log', not 'ignore'"):
        Hub(on_undelivered="ignore")  # type: ignore[arg-type] # what is tested


# -- the report --------------------------------------------------------------------------------------------------------


async def test_a_connector_that_closed_before_the_hub_is_not_forgotten() -> None:
    hub = await Hub().open()
    for _ in range(3):
        async with Acme(hub) as early:
            await early.points.put(b"early")
    await Acme(hub).points.put(b"late")
    with pytest.warns(UndeliveredWarning, match=r"4 lost records that nobody was told of \(acme: 1, acme-closed: 3\)"):
        await hub.aclose()
    assert hub.report is not None
    assert hub.report.undelivered == [b"late", b"early", b"early", b"early"]


async def test_its_list_of_records_is_bounded_and_says_when_there_were_more() -> None:
    failure = DeliveryFailed("no", records=list(range(6000)), maybe_delivered=False)

    class Own(Acme):
        async def drain(self, timeout: float) -> FlushReport:
            return FlushReport(failed=6000, failures=(failure,), told=6000)

    async with Hub() as hub:
        for _ in range(2):
            Own(hub)
    assert hub.report is not None
    assert (len(hub.report.undelivered), hub.report.truncated) == (10_000, True)
    assert not hub.report.reports["acme"].truncated


# -- run ---------------------------------------------------------------------------------------------------------------

PROGRAM = """
import asyncconn
from asyncconn.core.buffer.memory import BatchBuffer

class Acme(asyncconn.Connector):
    platform = asyncconn.Platform("acme", base_url="http://127.0.0.1:1")
    def __init__(self, **options):
        super().__init__(**options)
        self.points = BatchBuffer(self.send, size=len, name="acme")
    async def send(self, batch):
        raise OSError("no route")
    async def drain(self, timeout):
        return await self.points.aclose(timeout)

async def main(hub):
    acme = Acme(hub=hub)
    {watch}
    await acme.points.put(b"x")

asyncconn.run(main{options})
print("after")
"""


@pytest.mark.parametrize(
    ("watch", "options", "code", "says"),
    [
        ("pass", "", 1, "UndeliveredWarning: the hub closed with 1 lost records that nobody was told of"),
        ("pass", ", on_undelivered='raise'", 1, "DeliveryFailed: the hub closed with 1 lost records"),
        ("pass", ", on_undelivered='log'", 0, "is given them\nthe hub closed"),
        ("acme.points.events.on('error', lambda failure: None)", "", 0, ""),
    ],
    ids=["by default", "raise", "log", "told"],
)
def test_run_ends_non_zero_when_records_were_lost_and_nobody_was_told(
    watch: str, options: str, code: int, says: str
) -> None:
    program = PROGRAM.format(watch=watch, options=options)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=False)
    assert (done.returncode, done.stdout) == (code, "" if code else "after\n")
    assert says in done.stderr
    assert bool(done.stderr) == bool(says)


@pytest.mark.parametrize(("given", "code"), [("", 1), ("0", 1), ("7", 7)])
def test_a_main_that_exits_by_itself_is_no_success_when_records_were_lost(given: str, code: int) -> None:
    program = PROGRAM.format(watch="import sys", options="").replace('put(b"x")', f'put(b"x")\n    sys.exit({given})')
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=15, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert "UndeliveredWarning" in done.stderr


def test_the_logger_of_the_package_has_no_handler_that_hides_it() -> None:
    assert logging.getLogger("asyncconn").handlers == []
    assert logging.getLogger("asyncconn.sandbox").handlers == []
