"""What the sandbox's control does not let anybody break."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from asyncconn.errors import ConfigError
from asyncconn.sandbox import PanoplyWorld, Sandbox, View, World
from asyncconn.sandbox.clock import MOST_AHEAD
from asyncconn.sandbox.exchange import Answer, Call
from asyncconn.sandbox.log import masked

from .control_scene import Control
from .scene import standing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

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


# -- questions ---------------------------------------------------------------------------------------------------------

ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n, t"
NUMBERS = "with recursive n(i) as (select 1 union all select i + 1 from n)"


@pytest.mark.parametrize("in_a_file", [False, True])
async def test_what_lands_and_the_state_do_not_wait_for_a_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_a_file: bool
) -> None:
    monkeypatch.setattr("asyncconn.sandbox.control.desk.SECONDS", 3.0)
    async with standing(PanoplyWorld(warehouse=tmp_path / "landed.db" if in_a_file else None)) as (sandbox, http):
        control = Control(sandbox, http)
        await control.land({"id": 1})
        asked = asyncio.create_task(control.refusal("POST", "/sql", {"statement": ENDLESS}))
        await asyncio.sleep(0.1)  # real time: the question is at work in a thread
        await control.land({"id": 2}, {"id": 3, "new": 1})
        _, state = await control.ask("GET", "/state")
        assert state["worlds"]["panoply"]["tables"] == {"t": 3}
        assert await control.ask("POST", "/reset") == (204, None)
        assert not asked.done()

        assert await asked == (400, "sql: interrupted: it took longer than 3 s")
        assert "no such table" in (await control.refusal("POST", "/sql", {"statement": "select * from t"}))[1]
        await control.land({"id": 4})
        assert (await control.ask("POST", "/sql", {"statement": "select id from t"}))[1]["rows"] == [[4]]


async def test_questions_do_not_queue_up(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncconn.sandbox.control.desk.SECONDS", 0.2)
    await control.land({"id": 1})
    ask = {"statement": ENDLESS}
    answers = await asyncio.gather(*(control.refusal("POST", "/sql", ask) for _ in range(7)))

    late, busy = "sql: interrupted: it took longer than 0.2 s", "4 questions are being asked already: ask again "
    assert sorted((status, error[: len(busy)]) for status, error in answers) == [
        *[(400, late[: len(busy)])] * 4,
        *[(503, busy)] * 3,
    ]
    assert (await control.ask("POST", "/sql", {"statement": "select 1"}))[0] == 200


@pytest.mark.parametrize("value", ["zeroblob(1000)", "printf('%1000d', 1)", "printf('%.*c', 300, char(233))"])
async def test_an_answer_is_no_larger_than_a_mebibyte(control: Control, value: str) -> None:
    ask = {"statement": f"{NUMBERS} select {value} from n", "most": 100_000}
    async with control.http.post("/_sandbox/sql", json=ask) as answer:
        text = await answer.read()
        found = await answer.json()

    assert 1_000_000 < len(text) < 1_100_000
    assert found["truncated"] is True


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("select zeroblob(100000000)", "string or blob too big"),
        ("select zeroblob(900000)", "the first row is larger than 1048576 bytes: select less of it"),
    ],
)
async def test_a_value_that_is_too_large_is_an_error(control: Control, statement: str, words: str) -> None:
    assert await control.refusal("POST", "/sql", {"statement": statement}) == (400, f"sql: {words}")


# -- credentials -------------------------------------------------------------------------------------------------------

DIGEST = 'Digest username="anna", realm="plants", uri="/v1/anna/plants", nonce="n0nce-77", response="d1gest-77"'


@pytest.mark.parametrize(
    ("path", "headers", "shown"),
    [
        ("/v1/x?pw=hidden1&pwd=hidden2&sig=hidden3&code=hidden4&jwt=hidden5&db_pwd=hidden6&country_code=de", {}, "de"),
        ("/v1/x?pass=hidden1&power=11", {}, "power=11"),
        ("/v1/c00kie-99/a%20b9/dark", {"Cookie": "sid=c00kie-99; other=a%20b9; theme=d"}, "/v1/***/***/dark"),
        ("/v1/d1gest-77/n0nce-77/anna/plants", {"Authorization": DIGEST}, "/v1/***/***/anna/plants"),
    ],
)
async def test_whatever_looks_like_a_credential_is_not_shown(
    control: Control, path: str, headers: dict[str, str], shown: str
) -> None:
    async with control.http.get(path, headers=headers):
        pass
    _, told = await control.ask("GET", "/requests")

    [entry] = told["requests"]
    assert shown in f"{entry['path']}?{entry['query']}"
    for secret in ("hidden", "c00kie", "a b9", "d1gest", "n0nce"):
        assert secret not in str(entry)


@pytest.mark.parametrize("times", [0, 1, 2, 3])
@pytest.mark.parametrize("spelt", [str, str.upper, str.lower])
async def test_a_known_secret_is_not_shown_in_any_spelling(
    control: Control, spelt: Callable[[str], str], times: int
) -> None:
    secrets = [*control.sandbox.panoply.secrets(), *control.sandbox.tcup.secrets(), "Pä/sz word+1"]
    sent = [spelt(secret) for secret in secrets]
    for _ in range(times):
        sent = [quote(text, safe="") for text in sent]
    texts = [masked(f"a {text} z", secrets) for text in sent]

    assert set(texts) == {"a *** z"}


# -- events ------------------------------------------------------------------------------------------------------------


async def test_the_state_is_looked_at_once_however_many_listen() -> None:
    class Watched(World):
        name = "watched"
        views = 0

        async def answer(self, call: Call) -> Answer:
            return Answer(200)

        async def view(self) -> View:
            self.views += 1
            await asyncio.sleep(0)  # the others come meanwhile
            return View({"views": self.views})

    async with standing(watched := Watched()) as (_, http):

        async def told(events: int) -> list[bytes]:
            async with http.get("/_sandbox/events") as answer:
                lines = [await answer.content.readline() for _ in range(2 + 3 * events)]
            return [line for line in lines if line.startswith(b"data: ")]

        heard = await asyncio.gather(*(told(2) for _ in range(20)))

    assert [len(events) for events in heard] == [2] * 20
    assert watched.views < 10  # 2, on a machine that has time for all of them
