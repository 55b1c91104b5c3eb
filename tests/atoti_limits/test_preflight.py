"""What is looked at before anything is asked of the session: each step, its deadline, and what it finds."""

from __future__ import annotations

from typing import Any

import pytest

from asyncconn import errors
from asyncconn.atoti_limits.errors import (
    ConnectionTimedOut,
    ExtensionNotLoaded,
    LimitsProtocolError,
    LimitsUnreachable,
    SessionNotReady,
    SessionUnreachable,
    SlicingHierarchyMissing,
)
from asyncconn.sandbox import Fault

from .scene import at_connect, scene


async def test_what_the_preflight_finds_keeps_connect_from_being_sent() -> None:
    async with scene(session={"slicing": "missing"}) as world:
        with pytest.raises(SlicingHierarchyMissing, match="Cars_Cube"):
            await world.client().wait_connected(timeout=10)
        world.session.cubes.clear()
        with pytest.raises(SlicingHierarchyMissing, match="no cube yet"):
            await world.client().wait_connected(timeout=10)
        await world.limits.go_down()
        with pytest.raises(LimitsUnreachable):
            await world.client().preflight(discovery=False)
        await world.session.go_down()
        with pytest.raises(SessionUnreachable):
            await world.client().wait_connected(timeout=10)

        assert world.connects == 0


async def test_a_session_without_the_extension_is_named_so() -> None:
    async with scene(session={"extension_loaded": False}) as world:
        with pytest.raises(ExtensionNotLoaded, match=r"autoconfig.connect = POST /limits/autoconfig/connect"):
            await world.client().wait_connected(timeout=10)


async def test_a_session_that_is_not_ready_lets_only_administrators_in() -> None:
    async with scene(session={"not_ready": True}) as world:
        with pytest.raises(SessionNotReady):
            await world.client(auth=("user1", "user1")).wait_connected(timeout=10)
        await world.client().wait_connected(timeout=10)


async def test_the_preflight_is_part_of_the_deadline() -> None:
    async with scene() as world:
        world.session.faults.add(Fault("stall", match="/versions/rest", times=None))
        with pytest.raises(ConnectionTimedOut, match=r"the preflight had no answer within 0\.3 s") as caught:
            await world.client().wait_connected(timeout=0.3)

        assert (caught.value.polls, world.connects) == (0, 0)
        assert len(caught.value.causes) >= 6


async def test_connect_is_part_of_the_deadline() -> None:
    async with scene() as world:
        world.session.faults.add(Fault("stall", match=at_connect))
        with pytest.raises(ConnectionTimedOut, match=r"connect had no answer within 0\.3 s"):
            await world.client().wait_connected(timeout=0.3)


STEPS = {
    "versions": ("session", "GET /versions/rest"),
    "ping": ("session", "GET /activeviam/pivot/rest/v10/ping"),
    "discovery": ("session", "GET /activeviam/pivot/rest/v10/cube/discovery"),
    "limits": ("limits", "GET /versions/rest"),
}


@pytest.mark.parametrize("off", [[], *([step] for step in STEPS), list(STEPS)])
async def test_each_step_of_the_preflight_can_be_switched_off(off: list[str]) -> None:
    async with scene() as world:
        switches: dict[str, Any] = dict.fromkeys(off, False)
        report = await world.client().preflight(**switches)

        for step, (server, request) in STEPS.items():
            assert getattr(world, server).requests[request] == (step not in off)
        assert (report.session_version is None) == ("versions" in off)
        assert (report.ping, bool(report.cubes), report.limits) == tuple(
            step not in off for step in ("ping", "discovery", "limits")
        )


async def test_waiting_takes_the_options_of_the_preflight() -> None:
    async with scene() as world:
        with pytest.raises(SlicingHierarchyMissing):
            await world.client().wait_connected(timeout=10, preflight={"as_of_date": "Other@Date@Cars"})
        await world.client().wait_connected(timeout=10, preflight={"limits": False})

        assert world.limits.requests["GET /versions/rest"] == 0


@pytest.mark.parametrize("slicing", ["ambiguous", "unverified"])
async def test_a_doubt_about_the_cube_is_a_warning(slicing: str) -> None:
    async with scene(session={"slicing": slicing}) as world:
        report = await world.client().preflight()

        assert [cube.status for cube in report.cubes] == [slicing]
        assert report.warnings == (report.cubes[0].message,)


async def test_one_cube_of_several_is_enough_and_the_others_are_warned_of() -> None:
    async with scene() as world:
        await world.session.add_cube("Other", "missing")
        report = await world.client().preflight()

        assert [cube.status for cube in report.cubes] == ["ok", "missing"]
        assert len(report.warnings) == 1


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("style", ["sdk", "docs", "short", "some_rest_path"])
async def test_the_path_of_the_session_is_found_in_every_form(style: str, wrapped: bool) -> None:
    async with scene(session={"versions_style": style, "pre6_wrapper": wrapped}) as world:
        report = await world.client().preflight()

        assert (report.ping, [cube.status for cube in report.cubes]) == (True, ["ok"])


async def test_a_session_that_names_no_path_is_none() -> None:
    async with scene(session={"versions_style": "no_rest_path"}) as world:
        with pytest.raises(LimitsProtocolError):
            await world.client().preflight()


async def test_a_session_that_does_not_answer_pong_is_none() -> None:
    async with scene() as world:
        world.session.faults.add(Fault("malformed", match="/activeviam/pivot/rest/v10/ping", times=None))
        with pytest.raises(LimitsProtocolError, match="did not answer pong"):
            await world.client().preflight()


async def test_a_limits_server_that_is_not_ready_is_not_taken_for_the_session() -> None:
    async with scene() as world:
        world.limits.faults.add(Fault("status", status=503, times=None))
        with pytest.raises(errors.ServerError) as caught:
            await world.client().preflight()

        assert not isinstance(caught.value, SessionNotReady)


async def test_a_limits_server_that_only_answers_its_ping_is_up() -> None:
    async with scene() as world:
        world.limits.faults.add(Fault("status", status=404, match="/versions/rest", times=None))
        report = await world.client().preflight()

        assert (report.limits, report.limits_version) == (True, None)


async def test_something_else_at_the_limits_address_is_not_limits() -> None:
    async with scene() as world:
        world.limits.faults.add(Fault("malformed", times=None))
        with pytest.raises(LimitsProtocolError, match="did not answer pong"):
            await world.client().preflight()


@pytest.mark.parametrize("timeout", [0, -1.0])
async def test_a_deadline_of_nothing_is_refused(timeout: float) -> None:
    async with scene() as world:
        with pytest.raises(errors.ConfigError, match="more than 0 seconds"):
            await world.client().wait_connected(timeout=timeout)
