"""Tokens: one for each service, made anew in time, by the server's clock."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import jwt
import pytest
from helpers import virtual
from loopback import Loopback, Reply, saying

from asyncconn import Hub, VirtualClock
from asyncconn.errors import BadRequest, Unauthorized
from asyncconn.sandbox import Sandbox
from asyncconn.sandbox.tcup import TcupWorld
from asyncconn.tcup import Tcup

from .scene import QUICK, client, scene

SECRET = "s" * 40
COUNTS = {"count": {"sensors": 1, "features": 1}}


def made(server: Loopback, hub: Hub, **options: Any) -> Tcup:
    return Tcup(server.url, "k" * 64, hub=hub, retry=QUICK, auth_mode="jwt", **{"symmetric_key": SECRET, **options})


def tokens(server: Loopback) -> list[str]:
    return [seen.headers["authorization"].removeprefix("Bearer ") for seen in server.seen]


def claims(token: str, **options: Any) -> dict[str, Any]:
    return jwt.decode(
        token, SECRET, algorithms=["HS256"], options={"verify_aud": False, "verify_exp": False}, **options
    )


async def test_a_token_is_for_its_service_and_goes_beside_the_key() -> None:
    async with Loopback(otherwise=saying([])) as server, Hub() as hub:
        tcup = made(server, hub, app_key="app-key-1", paths={"task_path": "/jobs"})
        await tcup.call("sos.capabilities")
        await tcup.call("exchanges.list")
        await tcup.call("relations.list")
        await tcup.call("projects.list")
    found = [claims(token) for token in tokens(server)]

    assert [one["aud"] for one in found] == ["/api/sos/v2.0", "/MessageRouting/v2.0", "/dls", "/jobs"]
    assert {one["sub"] for one in found} == {"k" * 64}
    assert {one["exp"] - one["iat"] for one in found} == {300}
    assert len({one["jti"] for one in found}) == 4
    assert all(seen.headers["x-api-key"] == "k" * 64 for seen in server.seen)
    assert [seen.headers.get("x-app-key") for seen in server.seen] == [None, "app-key-1", None, None]
    assert [seen.headers.get("x-dls-key") for seen in server.seen] == [None, None, "k" * 64, None]


@virtual
async def test_a_token_is_used_until_half_a_minute_is_left(clock: VirtualClock) -> None:
    async with Sandbox(TcupWorld(auth_mode="jwt"), seed=1, clock=clock) as sandbox, Hub(clock=clock) as hub:
        tcup = client(sandbox, hub, auth_mode="jwt", symmetric_key=sandbox.tcup.tenant.symmetric_key)
        auth: Any = tcup.observations._caller.http._auth
        shown = []
        for wait in (0.0, 260.0, 20.0):
            await clock.sleep(wait)
            await tcup.observations.count()
            shown.append(auth._bearer())

    assert shown[0] == shown[1] != shown[2]


async def test_after_a_401_once_more_with_a_new_token() -> None:
    refusal = saying({"code": 401, "message": "token expired"}, 401)
    async with Loopback(refusal, otherwise=saying(COUNTS)) as server, Hub() as hub:
        assert await made(server, hub).observations.count() == {"sensors": 1, "features": 1}

    first, second = tokens(server)
    assert first != second


async def test_after_a_second_401_no_more() -> None:
    refusal = saying({"code": 401, "message": "bad signature"}, 401)
    async with Loopback(otherwise=refusal) as server, Hub() as hub:
        with pytest.raises(Unauthorized, match="bad signature"):
            await made(server, hub).observations.insert("ts1", {"a": 1})

    assert len(server.seen) == 2


async def test_a_401_inside_a_200_is_no_reason_for_another_token() -> None:
    async with Loopback(otherwise=saying({"code": 401, "message": "not for you"})) as server, Hub() as hub:
        with pytest.raises(Unauthorized):
            await made(server, hub).observations.insert("ts1", {"a": 1})

    assert len(server.seen) == 1


async def test_the_servers_clock_counts() -> None:
    async with scene(auth_mode="jwt", date_skew=4000.0, registered=False) as s:
        tcup = client(s.sandbox, s.hub, auth_mode="jwt", symmetric_key=s.world.tenant.symmetric_key)

        assert await tcup.observations.count() == {"sensors": 0, "features": 0}
        before = len(s.world.calls)
        await tcup.observations.count()
        assert len(s.world.calls) == before + 1


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_the_platform_takes_every_algorithm(algorithm: Any) -> None:
    async with scene(auth_mode="jwt", registered=False) as s:
        key = s.world.tenant.symmetric_key
        tcup = client(s.sandbox, s.hub, auth_mode="jwt", symmetric_key=key, algorithm=algorithm)

        assert await tcup.observations.count() == {"sensors": 0, "features": 0}


async def test_a_key_in_base64_is_decoded() -> None:
    async with Loopback(otherwise=saying(COUNTS)) as server, Hub() as hub:
        key = base64.b64encode(SECRET.encode()).decode()
        await made(server, hub, symmetric_key=key, symmetric_key_encoding="base64").observations.count()

    assert claims(tokens(server)[0])["sub"] == "k" * 64


def test_a_weak_key_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "asyncconn.tcup"):
        Tcup("https://x.example", "k", auth_mode="jwt", symmetric_key="weak")

    assert "symmetric key" in caplog.text
    assert "weak" not in caplog.text


async def test_no_error_shows_a_key_or_a_token() -> None:
    def quoting(seen: Any) -> Reply:
        return Reply(400, json.dumps({"message": f"{seen.headers}"}).encode())

    async with Loopback(otherwise=quoting) as server, Hub() as hub:
        with pytest.raises(BadRequest) as raised:
            await made(server, hub).observations.count()

    told = f"{raised.value!r} {raised.value} {vars(raised.value)}"
    assert not any(secret in told for secret in ("k" * 64, SECRET, tokens(server)[0]))
