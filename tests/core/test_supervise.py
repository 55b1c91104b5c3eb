"""A connection that is kept up, on a clock that costs no time."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import VirtualClock
from asyncconn.core.supervise import Change, Gap, Reconnect, Supervisor, cannot_get_better
from asyncconn.errors import (
    Answer,
    BadRequest,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    LifecycleError,
    NotFound,
    RateLimited,
    ServerError,
    Unauthorized,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine


class Line:
    """One connection: ``script`` says how it comes up and ends."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ended(self) -> None:
        await self.end


class Station:
    """Makes lines; the errors in ``refusals`` come first, one an attempt."""

    def __init__(self, *refusals: BaseException, silent: bool = False) -> None:
        self.refusals = list(refusals)
        self.silent = silent
        self.attempts: list[float] = []
        self.lines: list[Line] = []
        self.open = 0
        self.bad_end: Exception | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Line]:
        self.attempts.append(asyncio.get_running_loop().time())
        if self.silent:
            await asyncio.sleep(10_000)
        if self.refusals:
            raise self.refusals.pop(0)
        line = Line(len(self.lines) + 1)
        self.lines.append(line)
        self.open += 1
        try:
            yield line
        finally:
            self.open -= 1
            if self.bad_end is not None:
                raise self.bad_end


def run(scene: Callable[[VirtualClock], Coroutine[Any, Any, None]]) -> None:
    clock = VirtualClock()
    clock.run(scene(clock))


def lost() -> ConnectionLost:
    return ConnectionLost("the line went dead")


def test_a_broken_connection_is_made_anew_and_told() -> None:
    async def scene(clock: VirtualClock) -> None:
        station, heard = Station(ConnectFailed("refused")), list[Change]()
        supervisor = Supervisor(station.connect, name="acme", clock=clock)
        supervisor.events.on("live", heard.append)
        supervisor.events.on("lost", heard.append)
        async with supervisor:
            assert (await supervisor.link()).number == 1
            assert (supervisor.state, supervisor.connection) == ("live", 1)
            station.lines[0].end.set_exception(lost())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert supervisor.state == "lost"
            assert (await supervisor.link()).number == 2
        assert station.open == 0
        assert [(one.state, one.connection, type(one.error).__name__) for one in heard] == [
            ("lost", 0, "ConnectFailed"),
            ("live", 1, "NoneType"),
            ("lost", 1, "ConnectionLost"),
            ("live", 2, "NoneType"),
        ]

    run(scene)


def test_who_is_cancelled_while_it_closes_leaves_it_closed() -> None:
    async def scene(clock: VirtualClock) -> None:
        station = Station()

        @asynccontextmanager
        async def connect() -> AsyncIterator[Line]:
            async with station.connect() as line:
                try:
                    yield line
                finally:
                    await asyncio.sleep(3.0)  # as a goodbye that is waited for

        async with Supervisor(connect, name="acme", clock=clock) as supervisor:
            await supervisor.link()
            closing = asyncio.create_task(supervisor.aclose())
            await asyncio.sleep(1.0)
            closing.cancel()
            await asyncio.wait({closing})
            assert closing.cancelled()
            assert (supervisor.state, station.open) == ("closed", 0)

    run(scene)


def test_pauses_grow_with_each_failure_and_begin_anew_after_a_healthy_time() -> None:
    async def scene(clock: VirtualClock) -> None:
        station, pauses = Station(*[ConnectFailed("refused") for _ in range(8)]), list[float]()
        policy = Reconnect(initial=1.0, maximum=16.0, healthy=60.0)
        supervisor = Supervisor(station.connect, name="acme", clock=clock, policy=policy)
        supervisor.events.on("lost", lambda change: pauses.append(change.pause))
        async with supervisor:
            await supervisor.link()
            assert all(pause <= min(16.0, 2.0**number) for number, pause in enumerate(pauses))
            assert len(set(pauses)) == len(pauses)

            await asyncio.sleep(59)  # not healthy yet: the failures go on to count
            station.lines[-1].end.set_exception(lost())
            await asyncio.sleep(0.001)
            assert (await supervisor.link()).number == 2
            assert len(pauses) == 9

            await asyncio.sleep(61)
            station.lines[-1].end.set_exception(lost())
            await asyncio.sleep(0.001)
            assert (await supervisor.link()).number == 3
            assert len(pauses) == 10
            assert pauses[-1] <= 1.0

    run(scene)


@pytest.mark.parametrize("seed", range(5))
def test_a_server_that_accepts_and_closes_is_not_hammered(seed: int) -> None:
    random.seed(seed)  # of two thousand such times one sees nine

    async def scene(clock: VirtualClock) -> None:
        station = Station()

        @asynccontextmanager
        async def connect() -> AsyncIterator[Line]:
            async with station.connect() as line:
                line.end.set_exception(lost())
                yield line

        async with Supervisor(connect, name="acme", clock=clock):
            await asyncio.sleep(10)
        assert 2 <= len(station.attempts) <= 8

    run(scene)


def test_what_the_server_asks_for_is_the_least_pause() -> None:
    async def scene(clock: VirtualClock) -> None:
        station = Station(RateLimited("too many", Answer("acme", status=429, retry_after=20.0)))
        async with Supervisor(station.connect, name="acme", clock=clock) as supervisor:
            await supervisor.link()
        assert 20.0 <= station.attempts[1] - station.attempts[0] <= 20.5

    run(scene)


@pytest.mark.parametrize("error", [lost(), RateLimited("too many", Answer("acme", status=429))], ids=["stream", "call"])
def test_a_server_that_asks_for_a_year_is_asked_again_after_an_hour(error: Any) -> None:
    year = 365 * 86_400.0
    if isinstance(error, RateLimited):
        error.answer = Answer("acme", status=429, retry_after=year)
    else:
        error.retry_after = year

    async def scene(clock: VirtualClock) -> None:
        station = Station(error)
        async with Supervisor(station.connect, name="acme", clock=clock) as supervisor:
            await supervisor.link()
        assert 3600.0 <= station.attempts[1] - station.attempts[0] <= 3600.5

    run(scene)


@pytest.mark.parametrize(
    "error",
    [Unauthorized("no", Answer("acme", status=401)), ConfigError("no such file"), ZeroDivisionError("a fault of ours")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_cannot_get_better_ends_it_and_reaches_who_waits(error: Exception) -> None:
    async def scene(clock: VirtualClock) -> None:
        station = Station(error)
        async with Supervisor(station.connect, name="acme", clock=clock) as supervisor:
            for _ in range(2):
                with pytest.raises(type(error)) as raised:
                    await supervisor.link()
                assert raised.value is error
            assert supervisor.state == "closed"
        assert len(station.attempts) == 1

    run(scene)


def test_the_end_can_be_waited_for() -> None:
    async def scene(clock: VirtualClock) -> None:
        async with Supervisor(Station(ConfigError("no such file")).connect, name="acme", clock=clock) as supervisor:
            with pytest.raises(ConfigError):
                await supervisor.over()
        station = Station()
        async with Supervisor(station.connect, name="acme", clock=clock) as supervisor:
            (await supervisor.link()).end.set_result(None)
            await supervisor.over()
        supervisor = Supervisor(station.connect, name="acme", clock=clock)
        async with supervisor:
            waiting = asyncio.ensure_future(supervisor.over())
        await waiting

    run(scene)


def test_which_errors_are_final_can_be_said() -> None:
    async def scene(clock: VirtualClock) -> None:
        station = Station(ConnectFailed("refused"))
        supervisor = Supervisor(station.connect, name="acme", clock=clock, final=lambda error: True)
        async with supervisor:
            with pytest.raises(ConnectFailed):
                await supervisor.link()

    run(scene)


def test_attempts_can_be_bounded() -> None:
    async def scene(clock: VirtualClock) -> None:
        station = Station(*[ConnectFailed("refused") for _ in range(5)])
        policy = Reconnect(attempts=3)
        async with Supervisor(station.connect, name="acme", clock=clock, policy=policy) as supervisor:
            with pytest.raises(ConnectFailed):
                await supervisor.link()
        assert len(station.attempts) == 3

    run(scene)


def test_a_silent_server_is_an_attempt_that_failed() -> None:
    async def scene(clock: VirtualClock) -> None:
        station = Station(silent=True)
        policy = Reconnect(attempts=2, timeout=5.0)
        async with Supervisor(station.connect, name="acme", clock=clock, policy=policy) as supervisor:
            with pytest.raises(ConnectTimeout, match="no connection within 5 s"):
                await supervisor.link()
        assert len(station.attempts) == 2

    run(scene)


def test_the_other_side_may_end_it() -> None:
    async def scene(clock: VirtualClock) -> None:
        station = Station()
        async with Supervisor(station.connect, name="acme", clock=clock) as supervisor:
            (await supervisor.link()).end.set_result(None)
            await asyncio.sleep(1)
            assert supervisor.state == "closed"
            with pytest.raises(LifecycleError):
                await supervisor.link()
        assert len(station.attempts) == 1

    run(scene)


def test_an_end_that_fails_does_not_hide_what_broke_the_connection() -> None:
    async def scene(clock: VirtualClock) -> None:
        station, heard = Station(), list[Change]()
        station.bad_end = OSError("bad file descriptor")
        supervisor = Supervisor(station.connect, name="acme", clock=clock)
        supervisor.events.on("lost", heard.append)
        async with supervisor:
            (await supervisor.link()).end.set_exception(lost())
            await asyncio.sleep(0.001)
            assert (await supervisor.link()).number == 2
        assert [type(one.error) for one in heard] == [ConnectionLost]

    run(scene)


def test_a_cancellation_that_is_not_its_own_is_a_connection_that_broke() -> None:
    async def scene(clock: VirtualClock) -> None:
        station, heard = Station(), list[Change]()
        supervisor = Supervisor(station.connect, name="acme", clock=clock)
        supervisor.events.on("lost", heard.append)
        async with supervisor:
            await supervisor.link()
            station.lines[0].end.cancel()  # as the reader of a library underneath
            await asyncio.sleep(0.001)
            assert (await supervisor.link()).number == 2
        assert [type(one.error).__name__ for one in heard] == ["ConnectionLost"]
        assert station.open == 0

    run(scene)


def test_an_attempt_that_something_else_cancels_is_made_again() -> None:
    async def scene(clock: VirtualClock) -> None:
        station = Station()
        station.refusals.append(asyncio.CancelledError())
        async with Supervisor(station.connect, name="acme", clock=clock) as supervisor:
            assert (await supervisor.link()).number == 1
        assert len(station.attempts) == 2

    run(scene)


def test_a_bug_in_who_says_what_is_final_ends_it_and_reaches_who_waits() -> None:
    def final(error: Exception) -> bool:
        raise KeyError("status")

    async def scene(clock: VirtualClock) -> None:
        station = Station(ConnectFailed("refused"))
        async with Supervisor(station.connect, name="acme", clock=clock, final=final) as supervisor:
            for waiting in (supervisor.over, supervisor.link):
                with pytest.raises(KeyError, match="status") as caught:
                    await waiting()
                assert isinstance(caught.value.__context__, ConnectFailed)
            assert supervisor.state == "closed"

    run(scene)


def test_closing_ends_an_attempt_a_pause_and_a_connection() -> None:
    async def scene(clock: VirtualClock) -> None:
        for station in (Station(silent=True), Station(*[ConnectFailed("refused")] * 50), Station()):
            async with Supervisor(station.connect, name="acme", clock=clock) as supervisor:
                waiting = asyncio.ensure_future(supervisor.link())
                await asyncio.sleep(0.01)
            assert supervisor.state == "closed"
            assert station.open == 0
            if station.lines:
                assert (await waiting).number == 1
            else:
                with pytest.raises(LifecycleError, match="acme is closed"):
                    await waiting
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "acme:supervise"]

    run(scene)


def test_before_it_is_open_there_is_no_connection() -> None:
    async def scene(clock: VirtualClock) -> None:
        supervisor = Supervisor(Station().connect, name="acme", clock=clock)
        with pytest.raises(LifecycleError, match="async with"):
            await supervisor.link()
        await supervisor.aclose()

    run(scene)


def test_gaps_are_told_and_the_newest_kept() -> None:
    async def scene(clock: VirtualClock) -> None:
        heard = list[Gap]()
        supervisor = Supervisor(Station().connect, name="acme", clock=clock)
        supervisor.events.on("gap", heard.append)
        async with supervisor:
            await supervisor.link()
            for number in range(1_005):
                supervisor.missed(f"message {number}")
        assert len(heard) == 1_005
        assert (len(supervisor.gaps), supervisor.gaps[0].why, supervisor.gaps[-1].why) == (
            1_000,
            "message 5",
            "message 1004",
        )
        assert supervisor.gaps[-1].connection == 1

    run(scene)


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (ConnectFailed("refused"), False),
        (ServerError("later", Answer("acme", status=503)), False),
        (RateLimited("too many", Answer("acme", status=429)), False),
        (NotFound("no such exchange", Answer("acme", status=404)), True),
        (BadRequest("what?", Answer("acme", status=400)), True),
        (KeyError("a fault of ours"), True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_cannot_get_better(error: Exception, final: bool) -> None:
    assert cannot_get_better(error) is final


def test_a_certificate_that_is_not_trusted_cannot_get_better() -> None:
    error = ConnectFailed("not trusted")
    error.permanent = True
    assert cannot_get_better(error)


@pytest.mark.parametrize(
    "options",
    [{"initial": 0}, {"maximum": 0.1}, {"healthy": -1}, {"timeout": float("inf")}, {"attempts": 0}],
    ids=lambda options: next(iter(options)),
)
def test_a_policy_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Reconnect(**options)
