"""``wait_connected`` and ``ready`` in virtual time: what they wait for, and for how long, to the second."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from helpers import cancel_at_every_await, turns, virtual

from asyncconn import AtotiLimits, Hub
from asyncconn.atoti_limits import PreflightReport
from asyncconn.atoti_limits.errors import ConnectionTimedOut, SessionNotReady, SessionOutcomeUnknown
from asyncconn.errors import Answer, ConfigError
from asyncconn.http.response import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn.core.clock import VirtualClock

VERSIONS = b'{"serverVersion": "6.2.2", "apis": {"pivot": {"versions": [{"id": "10", "restPath": "p/v10"}]}}}'
DISCOVERY = b"""{"catalogs": [{"name": "c", "cubes": [{"name": "cube", "measures": [], "dimensions": [{"name": "D",
"hierarchies": [{"name": "Date", "slicing": true, "levels": [{"name": "Date", "type": "TIME"}]}]}]}]}]}"""
BODIES = {
    "session.versions": VERSIONS,
    "session.ping": b"pong",
    "session.discovery": DISCOVERY,
    "server.versions": VERSIONS,
    "autoconfig.connect": b"",
}


class Scripted(AtotiLimits):
    """Answers by itself: ``said`` are the answers of ``connected``, ``takes`` the seconds that a call needs."""

    def __init__(self, clock: VirtualClock, *said: bool | Exception, **takes: float) -> None:
        super().__init__("http://session.invalid", limits_url="http://limits.invalid", hub=Hub(clock=clock))
        self.clock = clock
        self.said = list(said)
        self.takes = {name.replace("_", ".", 1): seconds for name, seconds in takes.items()}
        self.asked: list[tuple[float, str]] = []
        self._calling.request = self.answer  # type: ignore[method-assign] # instead of the two servers

    async def answer(self, name: str, **_: Any) -> Response:
        self.asked.append((self.clock.now(), name))
        await asyncio.sleep(self.takes.get(name, 0.0))
        if name == "autoconfig.connected":
            answer = self.said.pop(0) if self.said else False
            if isinstance(answer, Exception):
                raise answer
            return _answer(b"true" if answer else b"false")
        return _answer(BODIES[name])

    def polls(self) -> list[float]:
        return [at for at, name in self.asked if name == "autoconfig.connected"]


def _answer(body: bytes) -> Response:
    return Response("atoti_limits", "GET", "/x", 200, {}, body)


NOT_READY = SessionNotReady("no", Answer("atoti_limits", 503))


@virtual
async def test_the_intervals_grow_by_half_from_a_quarter_to_two_seconds(clock: VirtualClock) -> None:
    limits = Scripted(clock)
    with pytest.raises(ConnectionTimedOut):
        await limits.wait_connected(timeout=30)

    polls = limits.polls()
    waits = [later - earlier for earlier, later in itertools.pairwise(polls)]
    assert polls[0] == 0.25
    for at, wait in zip(polls, waits, strict=False):
        expected = min(2.0, 0.25 + 0.5 * at)
        assert 0.9 * expected - 1e-6 <= wait <= 1.1 * expected + 1e-6
    assert clock.now() == pytest.approx(30)


@virtual
async def test_with_nothing_but_refusals_it_asks_no_faster_and_ends_at_the_deadline(clock: VirtualClock) -> None:
    limits = Scripted(clock, *[NOT_READY] * 1000)
    with pytest.raises(ConnectionTimedOut) as caught:
        await limits.wait_connected(timeout=60)

    polls = limits.polls()
    assert all(later - earlier >= 0.25 for earlier, later in itertools.pairwise(polls))
    assert clock.now() == pytest.approx(60)
    assert (caught.value.last, caught.value.polls) == (None, len(polls))


@pytest.mark.parametrize(
    "slow", ["session_versions", "session_discovery", "server_versions", "autoconfig_connect", "autoconfig_connected"]
)
@virtual
async def test_whatever_hangs_the_deadline_holds(clock: VirtualClock, slow: str) -> None:
    limits = Scripted(clock, **{slow: 1e6})
    with pytest.raises(ConnectionTimedOut):
        await limits.wait_connected(timeout=7)

    assert clock.now() == pytest.approx(7)
    assert [name for _, name in limits.asked].count("autoconfig.connect") <= 1


@virtual
async def test_what_came_before_the_first_poll_is_taken_from_the_time_for_polling(clock: VirtualClock) -> None:
    limits = Scripted(clock, session_versions=3.0, autoconfig_connect=3.0)
    with pytest.raises(ConnectionTimedOut):
        await limits.wait_connected(timeout=10)

    assert clock.now() == pytest.approx(10)
    assert limits.polls()[0] == 6.25


@virtual
async def test_a_yes_tells_how_long_it_took(clock: VirtualClock) -> None:
    done = await Scripted(clock, False, NOT_READY, True, autoconfig_connect=1.0).wait_connected(timeout=60)

    assert done.polls == 3
    assert done.seconds == clock.now() > 1.0


@virtual
async def test_a_timeout_error_of_somebody_elses_is_passed_on(clock: VirtualClock) -> None:
    async def predicate() -> bool:
        raise TimeoutError("not ours")

    async def preflight(**_: Any) -> PreflightReport:
        raise TimeoutError("not ours")

    with pytest.raises(TimeoutError, match="not ours"):
        await Scripted(clock).wait_connected(timeout=60, predicate=predicate)
    limits = Scripted(clock)
    limits.preflight = preflight  # type: ignore[method-assign] # a subclass may do anything there
    with pytest.raises(TimeoutError, match="not ours"):
        await limits.wait_connected(timeout=60)


@virtual
async def test_a_wait_can_be_cancelled_at_every_step(clock: VirtualClock) -> None:
    async def make() -> Callable[[], Awaitable[object]]:
        limits = Scripted(clock, False, NOT_READY, False, True, session_ping=1.0)
        return lambda: limits.wait_connected(timeout=60)

    async def check(error: BaseException | None) -> None:
        await turns()
        assert len(asyncio.all_tasks()) == 1

    assert await cancel_at_every_await(make, check) > 8


# -- ready -------------------------------------------------------------------------------------------------------------


@virtual
async def test_a_readiness_probe_asks_once_a_second_whoever_asks(clock: VirtualClock) -> None:
    limits = Scripted(clock, *[True] * 10)
    for _ in range(8):
        assert await asyncio.gather(*(limits.ready() for _ in range(5))) == [True] * 5
        await asyncio.sleep(0.25)

    assert limits.polls() == [0.0, 1.0]


@virtual
async def test_those_who_ask_meanwhile_wait_for_the_same_answer(clock: VirtualClock) -> None:
    limits = Scripted(clock, True, autoconfig_connected=0.5)
    asking = [asyncio.ensure_future(limits.ready()) for _ in range(3)]
    await asyncio.sleep(0.2)

    assert [await limits.ready(), *await asyncio.gather(*asking)] == [True] * 4
    assert (clock.now(), len(limits.polls())) == (0.5, 1)


@virtual
async def test_the_first_to_ask_may_go_away(clock: VirtualClock) -> None:
    limits = Scripted(clock, True, autoconfig_connected=0.5)
    first = asyncio.ensure_future(limits.ready())
    second = asyncio.ensure_future(limits.ready())
    await asyncio.sleep(0.1)
    first.cancel()

    assert await second is True
    assert first.cancelled()


@virtual
async def test_not_ready_is_known_after_a_second(clock: VirtualClock) -> None:
    limits = Scripted(clock, True, autoconfig_connected=1e6)

    assert await limits.ready() is False
    assert clock.now() == 1.0


@pytest.mark.parametrize(
    "error", [NOT_READY, SessionOutcomeUnknown("x"), ConfigError("x"), ValueError("a provider's own")]
)
@virtual
async def test_an_error_is_a_no_and_the_next_second_may_be_better(clock: VirtualClock, error: Exception) -> None:
    limits = Scripted(clock, True, error, True)

    answers = []
    for _ in range(3):
        answers.append(await limits.ready())
        await asyncio.sleep(1.0)
    assert answers == [True, False, True]


@virtual
async def test_closing_ends_the_probe(clock: VirtualClock) -> None:
    limits = Scripted(clock, True, autoconfig_connected=0.5)
    await limits.open()
    asking = asyncio.ensure_future(limits.ready())
    await asyncio.sleep(0.1)
    await limits.aclose()

    assert await asking is False
    assert await limits.ready() is False
    assert len(limits.polls()) == 1
    assert clock.now() == pytest.approx(0.1)


@virtual
async def test_before_the_hub_is_open_it_is_not_ready(clock: VirtualClock) -> None:
    assert (
        await AtotiLimits("http://127.0.0.1:1", limits_url="http://127.0.0.1:1", hub=Hub(clock=clock)).ready() is False
    )
