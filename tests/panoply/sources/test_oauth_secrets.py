"""Renewing a token: what is sent and what is answered stays out of logs, errors and their causes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from loopback import DROP, Loopback, Reply, saying
from secrecy import locals_of_ours

from asyncconn.http import token_endpoint
from asyncconn.http.transport import Timeouts
from asyncconn.panoply import PanoplyException

from .token_scene import CLIENT_SECRET, OLD, OLD_REFRESH, REFRESH, Refused, Scene, as_json, elsewhere, granting, shown

CANARY = "answer-canary-77"
QUERY = "query-secret-0001"
NEVER = [OLD, OLD_REFRESH, CLIENT_SECRET, "s3cret", REFRESH["client_id"], CANARY, QUERY, "new-access-1", "rotated-0002"]

_EVERYTHING = as_json(
    {"error": "invalid_grant", "error_description": CANARY, "echo": [OLD, OLD_REFRESH, CLIENT_SECRET]}
)

_ANSWERS = {
    "400 in JSON": [Reply(400, _EVERYTHING)],
    "401 as text": [Reply(401, f"{CANARY} {OLD_REFRESH}".encode())],
    "429": [Reply(429, _EVERYTHING)] * 3,
    "503": [Reply(503, _EVERYTHING)] * 3,
    "redirect": [Reply(302, _EVERYTHING, {"Location": f"http://127.0.0.1:1/{OLD_REFRESH}"})],
    "HTML": [Reply(body=f"<p>{CANARY} {OLD}</p>".encode())],
    "an own word as error": [saying({"error": CANARY})],
    "a list": [saying([CANARY, OLD_REFRESH])],
    "not HTTP": [Reply(raw=f"{CANARY} {OLD}\r\n\r\n".encode(), close=True)] * 3,
    "a broken header": [Reply(raw=f"HTTP/1.1 200 OK\r\n{CANARY}\x00: {OLD}\r\n\r\n".encode(), close=True)] * 3,
    "dropped": [DROP] * 3,
    "cut off": [Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + CANARY.encode(), close=True)] * 3,
}


@pytest.fixture
def _lowest(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("", "asyncconn", "asyncio", "aiohttp", *logging.root.manager.loggerDict):
        caplog.set_level(0, logger=name)


def _nothing_secret(*texts: Any) -> None:
    for text in texts:
        for secret in NEVER:
            assert secret not in str(text)


def _log_text(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join([caplog.text, *(repr((record.msg, record.args)) for record in caplog.records)])


@pytest.mark.usefixtures("_lowest")
@pytest.mark.parametrize("answer", _ANSWERS)
async def test_a_failure_shows_nothing_of_the_form_or_the_answer(
    scene: Scene, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    async with Loopback(*_ANSWERS[answer]) as server:
        source = scene.source(f"{server.url}/token?key={QUERY}")
        with pytest.raises(PanoplyException) as caught:
            await source.request("x")

    assert len(server.seen) == len(_ANSWERS[answer])
    _nothing_secret(shown(caught.value), *locals_of_ours(caught.value), _log_text(caplog), scene.logs)


@pytest.mark.usefixtures("_lowest")
@pytest.mark.parametrize("answer", ["400 in JSON", "HTML", "not HTTP"])
def test_nor_does_it_in_a_thread(scene: Scene, caplog: pytest.LogCaptureFixture, answer: str) -> None:
    with elsewhere(*_ANSWERS[answer], otherwise=granting()) as server, pytest.raises(PanoplyException) as caught:
        scene.source(f"{server.url}/token?key={QUERY}").fetch("x")

    _nothing_secret(shown(caught.value), *locals_of_ours(caught.value), _log_text(caplog), scene.logs)


@pytest.mark.usefixtures("_lowest")
async def test_a_connection_that_cannot_be_made_in_time_does_not_quote_the_url(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_endpoint, "TIMEOUTS", Timeouts(connect=1e-6, total=5.0))
    async with Loopback() as server:
        with pytest.raises(PanoplyException) as caught:
            await scene.source(f"{server.url}/token?key={QUERY}").request("x")

    assert type(caught.value.__cause__).__name__ in ("ConnectTimeout", "ConnectFailed")
    _nothing_secret(shown(caught.value), _log_text(caplog), scene.logs)


@pytest.mark.usefixtures("_lowest")
async def test_a_success_in_debug_mode_shows_nothing_either(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    async with Loopback(otherwise=granting(refresh_token="rotated-0002", note=CANARY)) as server:
        source = scene.source(f"{server.url}/token?key={QUERY}", callback="keep")
        await source.request("x")

    ours = [record for record in caplog.records if "asyncconn" in record.getMessage()]
    assert any("Executing" in record.getMessage() for record in ours)
    _nothing_secret(*(record.getMessage() for record in ours))


@pytest.mark.usefixtures("_lowest")
async def test_a_success_shows_nothing_either(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async with Loopback(Reply(503), otherwise=granting(refresh_token="rotated-0002", note=CANARY)) as server:
        source = scene.source(f"{server.url}/{OLD}/token?key={QUERY}", callback="keep")
        await source.request("x")

    assert "/***/token" in caplog.text  # something was logged, and this was masked in it
    _nothing_secret(_log_text(caplog), scene.logs)


@pytest.mark.usefixtures("_lowest")
async def test_the_text_of_a_callback_s_error_is_masked_where_we_quote_it(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(token: str) -> None:
        raise ValueError(f"{token} is no good")

    async with Loopback(otherwise=granting()) as server:
        with pytest.raises(PanoplyException, match=r"failed \(\*\*\* is no good\)") as caught:
            await scene.source(server.url, callback=fail).request("x")

    frames = [line for line in locals_of_ours(caught.value) if "error = ValueError" not in line]  # the callback's own
    _nothing_secret(caught.value, *frames, _log_text(caplog), scene.logs)


async def test_the_source_s_own_error_does_not_travel_along(scene: Scene) -> None:
    async with Loopback(otherwise=Reply(400)) as server:
        with pytest.raises(PanoplyException) as caught:
            await scene.source(server.url).request("x")

    assert Refused.__name__ not in shown(caught.value)
