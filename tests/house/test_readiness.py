"""Whether a program is ready for work: what is well, what is not, and what is said of it."""

from __future__ import annotations

import asyncio
import gc
import math
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn import (
    AtotiLimits,
    BatchPolicy,
    Check,
    Connector,
    Datorama,
    Hub,
    HubSettings,
    Panoply,
    Platform,
    Readiness,
    ReadinessPolicy,
    Spool,
    Tcup,
    TokenAuth,
    Window,
    readiness,
)  # fmt: skip
from asyncconn.datorama import DatoramaLimits
from asyncconn.errors import Answer, ConfigError, ConnectionLost, NotSent, RateLimited, WrongLoop
from asyncconn.sandbox import Fault, Sandbox

from .batched_scene import Acme, Spooling, items
from .listening_scene import Listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=1) as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        yield running


def failed(state: Readiness) -> dict[str, str]:
    assert state.ready is not bool(state.failed)
    return {check.name: check.why for check in state.failed}


async def test_a_hub_with_all_platforms_that_are_well_is_ready(sandbox: Sandbox) -> None:
    async with Hub() as hub:
        panoply, datorama, tcup = Panoply.from_env(hub=hub), Datorama.from_env(hub=hub), Tcup.from_env(hub=hub)
        limits = AtotiLimits.from_env(hub=hub)
        await limits.wait_connected(preflight=False)
        await panoply.write("events", {"id": 1})
        await datorama.workspaces.list()
        await tcup.mqtt.publish("amq.topic", {"id": 1})
        async with tcup.mqtt.subscribe("amq.topic"):
            state = await readiness(hub)

    assert failed(state) == {}
    assert {check.name for check in state.checks} >= {
        "hub", "panoply room", "panoply age", "panoply losses", "datorama rate default", "datorama rate query",
        "atoti_limits connected", "tcup.mqtt.publish connections", "tcup.mqtt.subscribe connections",
    }  # fmt: skip


async def test_a_hub_is_ready_only_while_it_is_open() -> None:
    hub = Hub()
    before = await readiness(hub)
    async with hub:
        assert await readiness(hub) == Readiness(ready=True, checks=(Check("hub", ok=True),))
    after = await readiness(hub)

    assert (failed(before), failed(after)) == ({"hub": "it is not open yet"}, {"hub": "it is closed"})


async def test_a_hub_that_closes_is_not_ready_any_more() -> None:
    class Slow(Acme):
        async def drain(self, timeout: float) -> None:
            self.seen = failed(await readiness(self.hub))

    async with Hub() as hub:
        slow = Slow(hub)

    assert slow.seen == {"hub": "it is closing"}


async def test_another_loop_cannot_ask() -> None:
    async with Hub() as hub:

        def elsewhere() -> None:
            with pytest.raises(WrongLoop):
                asyncio.run(readiness(hub))

        await asyncio.to_thread(elsewhere)


# -- buffers -----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_lost_record_counts_for_a_while(clock: VirtualClock) -> None:
    async with Hub(clock=clock, on_undelivered="log") as hub:
        acme = Acme(hub)
        acme.errors = [ConnectionLost("no")]
        await acme.points.deliver(items(1))
        seen = []
        for _ in range(3):
            await asyncio.sleep(100.0)
            seen.append(failed(await readiness(hub)))
        shorter = await readiness(hub, ReadinessPolicy(after_loss=0.0))

    assert seen[1] == {"acme.points losses": "records were lost, the last 200 s ago"}
    assert (len(seen[0]), seen[2], shorter.ready) == (1, {}, True)


@virtual
async def test_a_lost_record_counts_also_when_its_connector_has_closed_since(clock: VirtualClock) -> None:
    async with Hub(clock=clock, on_undelivered="log") as hub:
        async with Acme(hub) as acme:
            acme.errors = [ConnectionLost("no")]
            await acme.points.deliver(items(1))
        async with Acme(hub) as other:
            await other.points.deliver(items(1))
        await asyncio.sleep(10.0)
        soon = failed(await readiness(hub))
        await asyncio.sleep(300.0)
        later = await readiness(hub)

    assert soon == {"acme.points losses": "records were lost, the last 10 s ago"}
    assert later.ready


@virtual
async def test_a_record_that_the_platform_refuses_is_the_records_own_fault(clock: VirtualClock) -> None:
    async with Hub(clock=clock, on_undelivered="log") as hub:
        acme = Acme(hub)
        acme.answers = {0: ["it is none"]}
        report = await acme.points.deliver(items(2))
        state = await readiness(hub)

    assert (report.rejected, report.delivered, state.ready) == (1, 1, True)


async def test_what_failed_and_is_in_a_spool_counts_until_something_arrives_again(tmp_path: Path) -> None:
    async with Hub() as hub:
        spooling = Spooling(hub, tmp_path / "spool")
        spooling.errors = [NotSent("away")]
        await spooling.kept.put({"id": 1})
        await spooling.kept.flush()
        away = failed(await readiness(hub))
        await spooling.kept.put({"id": 2})
        await spooling.kept.flush()
        back = await readiness(hub)

    assert away == {"acme.kept losses": "records failed and are in the spool, the last 0 s ago"}
    assert back.ready


@virtual
async def test_a_record_that_waits_too_long_is_seen(clock: VirtualClock) -> None:
    async with Hub(clock=clock, settings=HubSettings(shutdown_timeout=1000.0)) as hub:
        acme = Acme(hub)
        acme.seconds = 100.0
        for item in items(15):  # four senders take three each
            await acme.points.put(item)
        await asyncio.sleep(20.0)
        soon = await readiness(hub)
        await asyncio.sleep(20.0)
        late = failed(await readiness(hub))

    assert soon.ready
    assert late == {"acme.points age": "the oldest record has waited 40 s"}


@virtual
async def test_a_record_that_waits_for_the_end_of_a_servers_pause_is_seen(clock: VirtualClock) -> None:
    async with Hub(clock=clock, on_undelivered="log") as hub:
        acme = Acme(hub)
        acme.errors = [RateLimited("slow down", Answer("acme", 429, retry_after=3600.0))]
        await acme.points.put({"id": 1})
        await asyncio.sleep(60.0)
        late = failed(await readiness(hub))
        await asyncio.sleep(3600.0)
        later = await readiness(hub)

    assert late == {"acme.points age": "the oldest record has waited 60 s"}
    assert (later.ready, acme.arrived) == (True, [1, 1])


async def test_a_buffer_without_room_is_seen(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("stall", match="panoply", seconds=0.5, times=None))
    policy = BatchPolicy(max_items=1, max_pending_items=3)
    async with Hub(on_undelivered="log") as hub:
        panoply = Panoply.from_env(hub=hub, policy=policy)
        for number in range(3):
            await panoply.write("events", {"id": number})
        full = failed(await readiness(hub))
        sandbox.faults.clear()
        await panoply.flush()
        empty = await readiness(hub)

    assert full == {"panoply room": "it is full: 3 records wait"}
    assert empty.ready


async def test_a_spool_without_room_is_seen(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", fsync=False, max_bytes=25)
    await spool.open()
    await spool.append([b"0123456789"])
    room = spool.full
    await spool.append([b"0123456789"])
    full = spool.full
    await spool.aclose()

    assert (room, full) == (False, True)


# -- rates -------------------------------------------------------------------------------------------------------------


@virtual
async def test_a_quota_that_is_used_up_is_seen_and_one_token_that_is_left_is_enough(clock: VirtualClock) -> None:
    few = DatoramaLimits(calls_per_day=1)
    async with Hub(clock=clock) as hub:
        one = Datorama("tok-1", hub=hub, limits=few)
        async with one.http.limiters["default"]:
            used_up = failed(await readiness(hub))
            patient = await readiness(hub, ReadinessPolicy(max_wait=2 * 86_400.0))
            assert len(Datorama(["tok-1", "tok-2"], hub=hub, limits=few).rates) == 2
            another = await readiness(hub)

    assert set(used_up) == {"datorama rate default", "datorama rate query"}
    # Two seconds after midnight: clocks differ.
    assert used_up["datorama rate default"] == "daily is used up: no call before 2030-01-02 00:00:02 UTC"
    assert (patient.ready, another.ready) == (True, True)


@virtual
async def test_a_window_that_frees_soon_is_none_of_that_and_a_long_pause_is(clock: VirtualClock) -> None:
    class Limited(Connector):
        platform = Platform("limited", base_url="http://127.0.0.1:1", rates=Window(1, 60.0))

    async with Hub(clock=clock) as hub:
        limiter = Limited(hub=hub, auth=TokenAuth("very-secret")).http.limiters["default"]
        async with limiter:
            soon = await readiness(hub)
        limiter.pause(3600.0)
        late = await readiness(hub)

    assert soon.ready
    assert failed(late) == {
        "limited rate default": "the server asked for a pause: no call before 2030-01-01 01:00:00 UTC"
    }
    assert "very-secret" not in repr(late)


async def test_a_pause_without_end_is_seen() -> None:
    class Limited(Connector):
        platform = Platform("limited", base_url="http://127.0.0.1:1", rates=Window(1, 60.0))

    async with Hub() as hub:
        Limited(hub=hub, auth=TokenAuth("token")).http.limiters["default"].pause(math.inf)
        late = await readiness(hub)

    assert failed(late) == {"limited rate default": "the server asked for a pause: no call before further notice"}


# -- connections -------------------------------------------------------------------------------------------------------


async def test_a_connection_that_is_down_is_seen() -> None:
    async with Hub() as hub:
        line = Listening(hub).line(pause=30.0)
        never_opened = await readiness(hub)
        async with line:
            link = await line.link()
            live = await readiness(hub)
            link.cut.set()
            async with asyncio.timeout(5.0):
                while line.state == "live":
                    await asyncio.sleep(0)
            down = failed(await readiness(hub))
        closed = await readiness(hub)

    assert (never_opened.ready, live.ready, closed.ready) == (True, True, True)
    assert down == {"listening.events connections": "1 of 1 are down"}


async def test_a_broker_that_is_gone_is_seen(sandbox: Sandbox) -> None:
    async with Hub() as hub:
        tcup = Tcup.from_env(hub=hub)
        async with tcup.mqtt.subscribe("amq.topic") as messages:
            live = await readiness(hub)
            await sandbox.tcup.mqtt.stop()
            async with asyncio.timeout(5.0):
                while messages.state == "live":
                    await asyncio.sleep(0.005)
            down = failed(await readiness(hub))

    assert live.ready
    assert down == {"tcup.mqtt.subscribe connections": "1 of 1 are down"}


async def test_limits_that_are_not_connected_are_seen_and_can_be_left_out(sandbox: Sandbox) -> None:
    async with Hub() as hub:
        AtotiLimits.from_env(hub=hub)
        state = await readiness(hub)
        without = await readiness(hub, ReadinessPolicy(without=("atoti_limits *",)))

    assert failed(state) == {"atoti_limits connected": "session and Limits are not connected, or do not say so"}
    assert without.ready


# -- connectors of one's own -------------------------------------------------------------------------------------------


class Own(Acme):
    async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
        return [Check.of("acme login", "the session is over")]


class Hanging(Acme):
    async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
        await asyncio.Event().wait()
        return ()


class Failing(Acme):
    async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
        raise ValueError("token=very-secret")


class Cancelled(Acme):
    async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
        raise asyncio.CancelledError


def saying(wrong: Any) -> type[Acme]:
    class Saying(Acme):
        async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
            found: Sequence[Check] = wrong
            return found

    return Saying


NO_BOOL = Check("x", ok=None)  # type: ignore[arg-type]  # what a stranger may give
NO_CHECKS = "its checks() gave something else than a list of Check"


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (Own, {"acme login": "the session is over"}),
        (Hanging, {"acme answer": "no answer within 0.8 s"}),
        (Failing, {"acme answer": "asking failed: ValueError"}),
        (Cancelled, {"acme answer": "asking was cancelled"}),
        *((saying(wrong), {"acme answer": NO_CHECKS}) for wrong in (None, 1, ["x"], "x", [None], [NO_BOOL])),
        (saying([]), {}),
    ],
)
def test_a_connector_of_ones_own_says_how_it_is(kind: type[Acme], found: dict[str, str]) -> None:
    @virtual
    async def ask(clock: VirtualClock) -> None:
        async with Hub(clock=clock) as hub:
            kind(hub)
            assert failed(await readiness(hub)) == found

    ask()


@virtual
async def test_one_that_does_not_end_when_it_is_cancelled_is_neither_waited_for_nor_asked_twice(
    clock: VirtualClock,
) -> None:
    class Stubborn(Acme):
        asked = 0

        async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
            self.asked += 1
            try:
                await asyncio.sleep(3600.0)
            except asyncio.CancelledError:
                await asyncio.sleep(10.0)
            raise ValueError("nobody hears it")

    async with Hub(clock=clock) as hub:
        stubborn, began = Stubborn(hub), clock.now()
        first = failed(await readiness(hub))
        took = clock.now() - began
        second = failed(await readiness(hub))
        asked = stubborn.asked
        await asyncio.sleep(20.0)
        third = failed(await readiness(hub))
        await asyncio.sleep(20.0)

    assert first == {"acme answer": "no answer within 0.8 s"}
    assert took == pytest.approx(0.8)
    assert (second, asked) == ({"acme answer": "it was asked before, and has not answered yet"}, 1)
    assert (third, stubborn.asked) == (first, 2)


def test_one_that_never_answered_is_not_kept_when_its_loop_and_its_hub_have_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stubborn(Acme):
        async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.Event().wait()
            return ()

    async def ask() -> weakref.ref[Stubborn]:
        async with Hub() as hub:
            stubborn = Stubborn(hub)
            await readiness(hub, ReadinessPolicy(timeout=0.001))
        return weakref.ref(stubborn)

    loop = asyncio.new_event_loop()
    gone = loop.run_until_complete(ask())
    loop.close()
    gc.collect()

    assert gone() is None
    assert "asyncconn:readiness" in caplog.text  # asyncio tells of a task that was still there


async def test_who_asks_can_be_cancelled_and_takes_the_question_along() -> None:
    class Waiting(Acme):
        cancelled = False

        async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled = True
            return ()

    async with Hub() as hub:
        waiting = Waiting(hub)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(readiness(hub), 0.01)
        await asyncio.sleep(0)

    assert waiting.cancelled


async def test_all_but_the_hub_itself_can_be_left_out() -> None:
    async with Hub() as hub:
        Own(hub)
        state = await readiness(hub, ReadinessPolicy(without=("*",)))

    assert state == Readiness(ready=True, checks=(Check("hub", ok=True),))
    assert failed(await readiness(hub, ReadinessPolicy(without=("*",)))) == {"hub": "it is closed"}
    assert Readiness.of(()).ready


async def test_who_has_no_platform_is_told_of_by_its_class() -> None:
    class Bare:
        async def checks(self, policy: ReadinessPolicy) -> Sequence[Check]:
            raise ValueError

    bare: Any = Bare()
    async with Hub() as hub:
        hub.adopt(bare)
        state = failed(await readiness(hub))
        hub.release(bare)

    assert state == {"Bare answer": "asking failed: ValueError"}


@pytest.mark.parametrize("wrong", ["panoply losses", b"panoply", 1, None, (1,), iter(["panoply *"])])
def test_a_policy_refuses_what_are_no_names(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="collection of names"):
        ReadinessPolicy(without=wrong)


async def test_two_of_one_name_are_told_apart() -> None:
    async with Hub() as hub:
        Own(hub), Own(hub)
        state = await readiness(hub)

    assert list(failed(state)) == ["acme login", "acme login (2)"]


@pytest.mark.parametrize("wrong", [{"max_age": 0.0}, {"max_wait": -1.0}, {"timeout": 0.0}, {"after_loss": -1.0}])
def test_a_policy_refuses_what_is_no_time(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ReadinessPolicy(**wrong)
