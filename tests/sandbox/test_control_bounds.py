"""What the sandbox's control does not let anybody break."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from asyncconn.errors import ConfigError
from asyncconn.sandbox import Sandbox, View, World
from asyncconn.sandbox.clock import MOST_AHEAD
from asyncconn.sandbox.exchange import Answer, Call

from .control_scene import Control
from .scene import standing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with standing(seed=1) as (sandbox, http):
        yield Control(sandbox, http)


# -- numbers, and the clock --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" + "0" * 400])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/clock", '{"seconds": %s}'),
        ("/faults", '{"kind": "delay", "seconds": %s}'),
        ("/faults", '{"kind": "status", "status": 503, "retry_after": %s}'),
        ("/faults", '{"kind": "drop_after", "probability": %s}'),
        ("/stream-faults", '{"kind": "stall", "seconds": %s}'),
        ("/sql", '{"statement": "select ?", "params": [%s]}'),
        ("/sql", '{"statement": "select 1", "most": %s}'),
    ],
)
async def test_a_number_that_is_none_or_too_large_is_refused(
    control: Control, path: str, body: str, number: str
) -> None:
    status, _ = await control.refusal("POST", path, data=body % number, headers=JSON)

    assert status == 400
    assert (await control.ask("GET", "/state"))[0] == 200


async def test_the_clock_moves_on_by_ten_years_in_all_at_most(control: Control) -> None:
    too_far = control.sandbox.clock.utcnow() + timedelta(seconds=MOST_AHEAD + 3600)
    assert (await control.refusal("POST", "/clock", {"until": too_far.isoformat()}))[0] == 400
    assert (await control.refusal("POST", "/clock", {"until": "9999-12-31T23:59:59-23:00"}))[0] == 400
    half = {"seconds": MOST_AHEAD / 2}
    assert (await control.ask("POST", "/clock", half))[0] == 200
    assert (await control.ask("POST", "/clock", half))[0] == 200
    status, error = await control.refusal("POST", "/clock", {"seconds": 1})

    assert (status, error) == (400, "the sandbox's clock moves on by 315576000 s (ten years) in all at most")
    assert control.sandbox.clock.moved == MOST_AHEAD
    assert (await control.ask("GET", "/state"))[0] == 200
    assert await control.ask("POST", "/reset") == (204, None)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, MOST_AHEAD + 1])
async def test_a_program_cannot_break_the_clock_either(seconds: float) -> None:
    async with Sandbox(seed=1) as sandbox:
        with pytest.raises(ConfigError, match="the sandbox's clock"):
            sandbox.advance(seconds)
        assert sandbox.clock.moved == 0


# -- what cannot be read, and what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["[" * 100_000, '{"params": ' + "[" * 900 + "]" * 900 + "}", '{"a":' * 50_000])
async def test_a_body_that_is_nested_deeply_is_refused(control: Control, body: str) -> None:
    assert (await control.refusal("POST", "/sql", data=body, headers=JSON))[0] == 400


class Broken(World):
    """Can neither be shown nor reset."""

    name = "broken"

    async def answer(self, call: Call) -> Answer:
        return Answer(200)

    async def view(self) -> View:
        raise KeyError("nobody's business")

    async def reset(self) -> None:
        raise KeyError("nobody's business")


async def test_an_error_nobody_thought_of_is_answered_as_others_are_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with standing(Broken()) as (_, http), http.get("/_sandbox/state") as answer:
        assert answer.status == 500
        assert await answer.json() == {"error": "the sandbox failed: KeyError; its log says more"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "a call of the sandbox's control failed" in caplog.text


async def test_a_reset_resets_all_that_can_be() -> None:
    class Other(World):
        name = "other"
        resets = 0

        async def answer(self, call: Call) -> Answer:
            return Answer(200)

        async def reset(self) -> None:
            self.resets += 1

    async with standing(Broken(), other := Other()) as (sandbox, http):
        async with http.get("/other"):
            pass
        assert (await Control(sandbox, http).refusal("POST", "/reset"))[0] == 500
        assert other.resets == 1
        assert not sandbox.requests
        assert not sandbox.arrivals
