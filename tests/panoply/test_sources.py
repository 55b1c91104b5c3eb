"""Sources into the real writer, before a server that misbehaves: every row arrives, and no state before its rows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Hub
from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.core.retrying import RetryPolicy
from asyncconn.panoply import DataSource, Saved, run_source
from asyncconn.panoply.errors import RowsUndelivered
from asyncconn.sandbox import Fault

from .scene import SandboxTarget

if TYPE_CHECKING:
    from asyncconn.sandbox import Sandbox

ROWS, PAGE = 600, 50
MISHAPS = [
    Fault("status", status=503, times=3),
    Fault("drop_after"),
    Fault("drop_before", times=2),
    Fault("delay", seconds=0.05, times=4),
    Fault("status", status=429, times=2),
]
SMALL = BatchPolicy(max_items=35, max_age=0.05, max_in_flight=3)


class Numbers(DataSource):
    """Pages of numbers; a row's ``__state`` is that of its page."""

    def __init__(self, source: dict[str, Any], options: Any = None) -> None:
        super().__init__(source, options)
        self.at = source.pop("state", {}).get("next", 0)

    def read(self, n: int | None = None) -> Any:
        if self.at >= ROWS:
            return None
        first, self.at = self.at, self.at + PAGE
        self.progress(self.at, ROWS)
        self.state(f"page-{first}", {"next": self.at})
        return [{"id": i, "parity": i % 2, "__state": f"page-{first}"} for i in range(first, self.at)]


class AsyncNumbers(Numbers):
    async def read(self, n: int | None = None) -> Any:
        return super().read(n)


class Checking:
    """A store that compares each state, when it is saved, with what the warehouse holds."""

    def __init__(self, target: SandboxTarget) -> None:
        self._target = target
        self.saved = Saved()
        self.saves = 0

    async def load(self) -> Saved:
        return self.saved

    async def save(self, saved: Saved) -> None:
        here = await asyncio.to_thread(lambda: self._target.rows("t_0") | self._target.rows("t_1"))
        assert set(range(saved.state.get("next", 0))) <= here, "the state is ahead of what has arrived"
        self.saved = saved
        self.saves += 1


@pytest.mark.parametrize("kind", [Numbers, AsyncNumbers], ids=["plain", "async"])
@pytest.mark.parametrize("faults", [[], MISHAPS], ids=["well", "with mishaps"])
async def test_every_row_arrives_and_no_state_before_its_rows(
    target: SandboxTarget, kind: type[Numbers], faults: list[Fault]
) -> None:
    target.sandbox.faults.add(*faults)
    store = Checking(target)
    async with target.panoply(policy=SMALL) as panoply:
        report = await run_source(kind, {"type": "n"}, into=panoply, state=store, destination="t_{parity}")
    assert (report.rows, report.delivered, report.state) == (ROWS, ROWS, {"next": ROWS})
    assert target.rows("t_0") | target.rows("t_1") == set(range(ROWS))
    assert store.saves >= 1


async def test_a_server_that_stays_away_ends_the_run_and_the_next_one_goes_on(target: SandboxTarget) -> None:
    once = RetryPolicy(attempts=1, maybe_sent="always")
    store = Checking(target)
    async with target.panoply(policy=BatchPolicy(max_items=35, max_age=0.05, max_in_flight=1), retry=once) as panoply:

        @panoply.on("flush")
        def then_away(delivery: Any) -> None:
            if panoply.stats.delivered >= 200:
                target.sandbox.faults.add(Fault("status", status=503, times=None))

        with pytest.raises(RowsUndelivered) as caught:
            await run_source(Numbers, {"type": "n"}, into=panoply, state=store, destination="t_{parity}")
        panoply.off("flush", then_away)
        assert caught.value.report is not None
        assert not caught.value.report.complete
        assert 0 < store.saved.state["next"] < ROWS
        target.sandbox.faults.clear()
        report = await run_source(Numbers, {"type": "n"}, into=panoply, state=store, destination="t_{parity}")
    assert report.complete
    assert target.rows("t_0") | target.rows("t_1") == set(range(ROWS))


async def test_a_run_that_raises_has_told_of_all_its_rows(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("status", status=400, times=None))
    async with Hub() as hub:  # which would warn, and warnings are errors here
        panoply = SandboxTarget(sandbox, hub, "form").panoply(policy=BatchPolicy(max_items=10, max_in_flight=1))
        with pytest.raises(RowsUndelivered) as caught:
            await run_source(Numbers, {"type": "n"}, into=panoply, destination="t_{parity}")
    assert hub.report is not None
    report = hub.report.reports["panoply"]
    assert (report.failed, report.unknown) == (report.accepted, 0)
    assert report.failed > 10
    assert (report.untold, report.complete) == (0, False)
    assert caught.value.report is not None
    assert caught.value.report.delivered == 0
