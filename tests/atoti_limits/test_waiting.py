"""``wait_connected`` against the simulators: every way it can go, and how often it asks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers import cancel_at_every_await
from loopback import QuickClock

from asyncconn import AtotiLimits, errors
from asyncconn.atoti_limits.connection import POLLING
from asyncconn.atoti_limits.errors import (
    ConnectionTimedOut,
    ExtensionNotLoaded,
    LimitsAuthError,
    LimitsPermissionError,
    LimitsProtocolError,
    LimitsValidationError,
    SessionNotReady,
    SessionUnreachable,
)
from asyncconn.http.transport import Timeouts
from asyncconn.sandbox import Fault
from asyncconn.sandbox.atoti_limits.session import BODIES

from .scene import CONNECTIONS, Scene, at_connect, scene

CONNECTED = "/limits/autoconfig/connected"


def most_polls(deadline: float) -> int:
    """As many as the policy allows in so many seconds, if all its chances fall on the short side."""
    now, count = POLLING.first, 0
    while now < deadline:
        count += 1
        now += (1 - POLLING.jitter) * min(POLLING.maximum, POLLING.minimum + POLLING.share * now)
    return count


def fewest_polls(deadline: float) -> int:
    now, count = POLLING.first, 0
    while now < deadline:
        count += 1
        now += (1 + POLLING.jitter) * min(POLLING.maximum, POLLING.minimum + POLLING.share * now)
    return count


# -- it connects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", [2, 3])
@pytest.mark.parametrize("base_path", ["", "/foo/bar"])
async def test_one_call_connects_session_and_limits(generation: int, base_path: str) -> None:
    async with scene(session={"generation": generation, "base_path": base_path}) as world:
        limits = world.client()
        assert await limits.connected() is False
        done = await limits.wait_connected(timeout=10)

        assert world.session.connected
        assert await limits.connected() is True
        assert (world.connects, done.polls) == (1, world.polls - 2)
        assert done.preflight is not None
        assert done.preflight.session_version == world.session.server_version
        assert list(world.limits.store.connections) == ["atoti"]
        assert world.limits.store.connections["atoti"]["atotiBaseUrl"] == world.session.url


@pytest.mark.parametrize("base_path", ["", "/foo/bar"])
async def test_generation_1_is_asked_for_at_the_limits_server_and_connects_by_itself(base_path: str) -> None:
    knobs = {"generation": 1, "cubes": [], "base_path": base_path}
    async with scene(session=knobs, limits={"version": "3.3.1"}) as world:
        limits = world.client()
        assert await limits.connected() is False
        await world.session.add_cube()
        await limits.wait_connected(timeout=10)

        assert await limits.connected() is True
        assert (world.connects, world.polls) == (0, 0)
        assert world.limits.requests[CONNECTIONS] >= 3


async def test_generation_1_waits_for_the_server_of_its_name_to_be_connected() -> None:
    async with scene(clock=QuickClock(), session={"generation": 1, "cubes": []}) as world:
        world.limits.connect("other")
        world.limits.connect("atoti")
        world.limits.store.connections["atoti"]["connected"] = False
        with pytest.raises(ConnectionTimedOut):
            await world.client().wait_connected(timeout=5, preflight=False)

        assert await world.client(server_name="other").connected() is True


async def test_a_predicate_of_the_callers_is_asked_instead() -> None:
    answers = [False, False, True]

    async def predicate() -> bool:
        return answers.pop(0)

    async with scene(clock=QuickClock(), session={"generation": 1, "limits_url": None}) as world:
        done = await world.client().wait_connected(timeout=20, predicate=predicate)

        assert (done.polls, answers) == (3, [])
        assert world.limits.requests[CONNECTIONS] == 0


async def test_a_predicate_must_say_true_or_false() -> None:
    async def predicate() -> Any:
        return "true"

    async with scene(session={"generation": 1}) as world:
        with pytest.raises(errors.ConfigError, match="not str"):
            await world.client().wait_connected(timeout=5, preflight=False, predicate=predicate)


async def test_it_waits_for_limits_to_connect_back() -> None:
    async with scene(limits={"callback_delay": 0.5}) as world:
        done = await world.client().wait_connected(timeout=10)

        assert done.polls >= 2
        assert (world.connects, world.session.connected) == (1, True)


async def test_the_session_may_need_several_attempts() -> None:
    async with scene(limits={"failures_first": 3}) as world:
        await world.client().wait_connected(timeout=10)

        assert (world.connects, world.session.attempts) == (1, 4)


async def test_a_number_of_noes_is_waited_out() -> None:
    async with scene(clock=QuickClock(), session={"connected_script": [False] * 12}) as world:
        done = await world.client().wait_connected(timeout=60)

        assert (done.polls, world.polls, world.connects) == (13, 13, 1)


async def test_the_first_yes_of_a_flapping_connection_counts() -> None:
    async with scene(clock=QuickClock(), session={"connected_script": [False, True, False]}) as world:
        done = await world.client().wait_connected(timeout=60)

        assert (done.polls, world.polls) == (2, 2)


# -- it does not -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [5.0, 60.0])
async def test_a_connection_that_never_comes_ends_at_the_deadline(timeout: float) -> None:
    clock = QuickClock()
    async with scene(clock=clock, session={"never_connects": True}) as world:
        started = clock.now()
        with pytest.raises(ConnectionTimedOut, match=rf"not connected after {timeout:g} s") as caught:
            await world.client().wait_connected(timeout=timeout)

        assert clock.now() - started == pytest.approx(timeout, abs=2.0)
        assert caught.value.last is False
        assert caught.value.polls == world.polls
        assert fewest_polls(timeout) - 1 <= world.polls <= most_polls(timeout)
        assert world.connects == 1
        assert "different JWT key pairs" in str(caught.value)
        assert "no cube has a slicing" not in str(caught.value)


async def test_a_wrong_key_is_among_the_causes_of_a_timeout() -> None:
    async with scene(session={"wrong_jwt_key": True}) as world:
        with pytest.raises(ConnectionTimedOut) as caught:
            await world.client().wait_connected(timeout=1.0)

        assert world.session.attempts >= 2
        assert any("JWT" in cause for cause in caught.value.causes)
        assert not any("slicing" in cause or "no cube" in cause for cause in caught.value.causes)


@pytest.mark.parametrize("body", sorted(BODIES))
async def test_an_answer_that_is_no_boolean_ends_the_wait_at_once(body: str) -> None:
    async with scene(clock=QuickClock(), session={"connected_body": body}) as world:
        with pytest.raises(LimitsProtocolError):
            await world.client().wait_connected(timeout=60)

        assert world.polls == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, LimitsValidationError),
        (401, LimitsAuthError),
        (403, LimitsPermissionError),
        (404, ExtensionNotLoaded),
        (429, errors.RateLimited),
        (500, errors.ServerError),
    ],
)
async def test_a_refused_poll_ends_the_wait_at_once(status: int, kind: type[Exception]) -> None:
    async with scene(clock=QuickClock(), session={"connected_script": [False, status]}) as world:
        with pytest.raises(kind):
            await world.client().wait_connected(timeout=60)

        assert world.polls == 2


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_poll_that_a_gateway_refuses_is_not_yet(status: int) -> None:
    script = [status, False, status, status, True]
    async with scene(clock=QuickClock(), session={"connected_script": script}) as world:
        assert (await world.client().wait_connected(timeout=60)).polls == 5


async def test_refusals_to_the_end_are_named_in_the_timeout_and_are_not_too_many() -> None:
    async with scene(clock=QuickClock(), session={"connected_script": [False, *[503] * 500]}) as world:
        with pytest.raises(ConnectionTimedOut, match="answered 503") as caught:
            await world.client().wait_connected(timeout=60)

        assert caught.value.last is False
        assert isinstance(caught.value.__cause__, SessionNotReady)
        assert 60 / POLLING.maximum / 2 < world.polls <= 60 / POLLING.minimum


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "half_body", "close"])
async def test_a_broken_connection_in_the_middle_is_not_yet(kind: str) -> None:
    async with scene(clock=QuickClock(), session={"connected_script": [False] * 6}) as world:
        world.session.faults.add(Fault(kind, match=CONNECTED, after=1, times=3))
        await world.client().wait_connected(timeout=60)

        assert world.session.connected


async def test_a_poll_is_one_attempt() -> None:
    async with scene(clock=QuickClock(), session={"connected_script": [False] * 4}) as world:
        world.session.faults.add(Fault("drop_before", match=CONNECTED, after=1, times=2))
        done = await world.client().wait_connected(timeout=60)

        assert done.polls == world.polls == 7


async def test_a_poll_without_an_answer_is_given_up_and_asked_again() -> None:
    async with scene(session={"connected_script": [False]}, timeouts=Timeouts(connect=0.2, total=0.2)) as world:
        world.session.faults.add(Fault("stall", match=CONNECTED, times=2))
        await world.client().wait_connected(timeout=10, preflight=False)

        assert world.polls >= 4


async def test_a_session_that_restarts_in_the_middle_is_waited_for() -> None:
    async with scene(session={"connected_script": [False]}) as world:
        waiting = asyncio.ensure_future(world.client().wait_connected(timeout=10))
        while not world.polls:
            await asyncio.sleep(0.01)
        await world.session.go_down()
        await asyncio.sleep(0.4)
        assert not waiting.done()
        await world.session.come_up()
        await waiting


async def test_a_session_that_never_answers_again_ends_at_the_deadline() -> None:
    async with scene(clock=QuickClock()) as world:
        limits = world.client()
        await limits.preflight()
        await limits.connect()
        await world.session.go_down()
        with pytest.raises(SessionUnreachable) as caught:  # by now connect itself finds nobody
            await limits.wait_connected(timeout=60, preflight=False)

        assert caught.value.maybe_sent is False


# -- connect is sent once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop_after", "half_body"])
async def test_a_connect_whose_answer_is_lost_is_not_repeated_and_the_polls_tell(kind: str) -> None:
    async with scene() as world:
        world.session.faults.add(Fault(kind, match=at_connect))
        await world.client().wait_connected(timeout=10)

        assert world.connects == 1


async def test_a_connect_that_was_lost_for_good_is_named_in_the_timeout() -> None:
    async with scene(clock=QuickClock()) as world:
        world.session.faults.add(Fault("drop_before", match=at_connect))
        with pytest.raises(ConnectionTimedOut, match="may have been carried out"):
            await world.client().wait_connected(timeout=20)

        assert world.connects == 1


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 503])
async def test_a_connect_that_is_refused_is_not_repeated(status: int) -> None:
    async with scene(clock=QuickClock()) as world:
        world.session.faults.add(Fault("status", status=status, match=at_connect, times=None))
        with pytest.raises(errors.ApiError) as caught:
            await world.client().wait_connected(timeout=20)

        assert (caught.value.status, world.connects, world.polls) == (status, 1, 0)


async def test_a_connect_that_surely_did_not_arrive_is_sent_again() -> None:
    async with scene() as world:
        limits = world.client()
        await world.session.go_down()
        waiting = asyncio.ensure_future(limits.connect())
        limits.http.events.on("retry", lambda _: asyncio.ensure_future(world.session.come_up()))
        await waiting

        assert world.connects == 1


# -- cancelling --------------------------------------------------------------------------------------------------------


async def test_a_wait_that_is_cancelled_anywhere_leaves_nothing_behind() -> None:
    async with scene(clock=QuickClock(), max_concurrency=1, timeouts=Timeouts(total=2.0, place=0.2)) as world:
        limits = world.client()
        tasks: set[asyncio.Task[Any]] = set()

        async def make() -> Any:
            world.session.connected_script = [False, 503, False]
            return lambda: limits.wait_connected(timeout=60)

        async def check(error: BaseException | None) -> None:
            world.session.connected_script = []
            ours = {task for task in asyncio.all_tasks() if task.get_name().startswith("asyncconn:")}
            assert ours - tasks == set()
            assert isinstance(await limits.connected(), bool)  # with one place for all, none is lost

        assert await cancel_at_every_await(make, check, most=200) > 10


async def test_two_clients_may_wait_for_the_same_session() -> None:
    async with scene() as world:

        async def wait(scene: Scene) -> None:
            await scene.client().wait_connected(timeout=10)

        await asyncio.gather(wait(world), wait(world))
        assert world.session.attempts == 1


async def test_a_private_hub_will_do() -> None:
    async with (
        scene() as world,
        AtotiLimits(world.session.url, limits_url=world.limits.url, auth=("admin", "admin")) as own,
    ):
        await own.wait_connected(timeout=10)
