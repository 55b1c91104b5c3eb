"""TCUP's gateway: keys, tokens, rates, base paths, tenants, and the faults of its own."""

from __future__ import annotations

import base64
import uuid
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from asyncconn.core.clock import VirtualClock
from asyncconn.errors import ConfigError
from asyncconn.sandbox import PanoplyWorld, Sandbox, TcupWorld
from asyncconn.sandbox.tcup import SPELLINGS

from .observing_scene import MR, SOS, Client, observation, tcup, token

CAPABILITIES = f"{SOS}/capabilities"


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "f" * 64])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", CAPABILITIES), ("POST", f"{SOS}/observations"), ("GET", f"{MR}/overview")]
)
async def test_an_unknown_key_is_refused_with_a_real_403_on_every_service(key: str, method: str, path: str) -> None:
    async with tcup() as client:
        reply = await client(method, path, headers={"x-api-key": key})
        assert (reply.status, reply.json) == (403, {"code": 403, "message": "Invalid API key"})
        assert client.world.counters.unauthorized == 1
        assert client.world.counters.requests == {"-": 1}


async def test_keys_have_the_contracts_shape_and_follow_the_seed() -> None:
    one, two, other = (Sandbox(seed=seed).tcup.tenant for seed in (1, 1, 2))
    assert one == two
    assert one.api_key != other.api_key
    assert len(one.api_key) == 64
    assert int(one.api_key, 16)
    assert str(uuid.UUID(one.routing_key)) == one.routing_key
    assert one.dls_users["dlsadmin"].key == one.api_key
    assert one.api_key not in repr(one)


async def test_tenants_see_nothing_of_each_other() -> None:
    async with tcup(auto_register=True) as client:
        other = client.world.add_tenant("user2")
        await client.insert(observation())
        mine = await client("GET", CAPABILITIES)
        theirs = await client("GET", CAPABILITIES, headers={"x-api-key": other.api_key})
        assert (mine.json["count"]["sensors"], theirs.json["count"]["sensors"]) == (1, 0)
        assert client.world.services(other).sos.rows() == []
        assert [call.user for call in client.world.calls] == ["user1", "user1", "user2"]
        with pytest.raises(ConfigError, match="user2"):
            client.world.add_tenant("user2")


async def test_unknown_paths_and_methods_are_refused() -> None:
    async with tcup() as client:
        assert (await client("GET", "/nowhere")).status == 404
        assert (await client("GET", f"{SOS}/nowhere")).status == 404
        assert (await client("GET", SOS)).status == 404
        assert (await client("DELETE", f"{MR}/overview")).status == 405
        assert (await client("GET", f"{SOS}x/capabilities")).status == 404


async def test_services_may_be_moved() -> None:
    async with tcup(paths={"sos_path": "/proxied/sos"}) as client:
        assert (await client("GET", "/proxied/sos/capabilities")).status == 200
        assert (await client("GET", CAPABILITIES)).status == 404
        assert client.world.env()["ASYNCCONN_TCUP_SOS_PATH"] == "/proxied/sos"


@pytest.mark.parametrize(
    "options",
    [
        {"paths": {"sos": "/x"}},
        {"paths": {"sos_path": "x"}},
        {"paths": {"sos_path": "/x/"}},
        {"rate": 0},
        {"rate": True},
        {"auth_mode": "oauth"},
        {"symmetric_key_encoding": "hex"},
        {"inner": "errno"},
        {"date_skew": float("nan")},
    ],
)
def test_wrong_options_are_named(options: dict[str, Any]) -> None:
    [name] = options
    with pytest.raises(ConfigError, match=name):
        TcupWorld(**options)


async def test_a_sandbox_without_tcup_says_so() -> None:
    with pytest.raises(ConfigError, match="tcup"):
        _ = Sandbox(PanoplyWorld()).tcup


async def test_a_service_tells_its_version() -> None:
    async with tcup() as client:
        assert (await client("GET", f"{SOS}/v2/api-docs")).json["info"]["version"]


# -- rates -------------------------------------------------------------------------------------------------------------


async def test_more_than_so_many_requests_a_second_and_key_are_refused() -> None:
    async with tcup(rate=3, clock=VirtualClock()) as client:
        other = client.world.add_tenant("user2")
        statuses = [(await client("GET", CAPABILITIES)).status for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        refused = await client("POST", f"{SOS}/observations", {})
        assert (refused.status, refused.headers["Retry-After"], refused.json["code"]) == (429, "1", 429)
        assert (await client("GET", CAPABILITIES, headers={"x-api-key": other.api_key})).status == 200
        client.world.clock.advance(1)
        assert (await client("GET", CAPABILITIES)).status == 200
        assert client.world.counters.refused == 2


async def test_there_is_no_limit_unless_one_is_set() -> None:
    async with tcup(clock=VirtualClock()) as client:
        for _ in range(150):
            assert (await client("GET", f"{MR}/overview")).status == 200


# -- tokens ------------------------------------------------------------------------------------------------------------


def claims(client: Client, **changed: Any) -> dict[str, Any]:
    now = int(client.world.clock.utcnow().timestamp())
    made = {"sub": client.world.api_key, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4()), "aud": SOS}
    return {name: value for name, value in (made | changed).items() if value is not None}


async def ask_with(client: Client, said: str, path: str = CAPABILITIES) -> Any:
    reply = await client("GET", path, headers={"Authorization": f"Bearer {said}"})
    return reply.json["message"] if reply.status == 401 else reply.status


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_token_of_the_three_algorithms_is_taken(algorithm: str) -> None:
    async with tcup(auth_mode="jwt") as client:
        key = client.world.tenant.symmetric_key.encode()
        assert await ask_with(client, token(key, claims(client), algorithm)) == 200


@pytest.mark.parametrize(
    ("changed", "algorithm", "message"),
    [
        ({"sub": "f" * 64}, "HS256", "bad signature"),
        ({}, "none", "bad signature"),
        ({}, "RS256", "bad signature"),
        ({"exp": -61}, "HS256", "token expired"),
        ({"iat": 61}, "HS256", "token expired"),
        ({"exp": None}, "HS256", "token expired"),
        ({"aud": MR}, "HS256", "audience mismatch"),
        ({"aud": None}, "HS256", "audience mismatch"),
    ],
)
async def test_a_wrong_token_is_refused_in_its_own_words(changed: dict[str, Any], algorithm: str, message: str) -> None:
    async with tcup(auth_mode="jwt", clock=VirtualClock()) as client:
        now = int(client.world.clock.utcnow().timestamp())
        given = {name: now + value if isinstance(value, int) else value for name, value in changed.items()}
        made = {name: value for name, value in (claims(client) | given).items() if value is not None}
        assert await ask_with(client, token(client.world.tenant.symmetric_key.encode(), made, algorithm)) == message


@pytest.mark.parametrize("within", [{"exp": -59}, {"iat": 60}])
async def test_a_minute_of_difference_is_forgiven(within: dict[str, int]) -> None:
    async with tcup(auth_mode="jwt", clock=VirtualClock()) as client:
        now = int(client.world.clock.utcnow().timestamp())
        made = claims(client) | {name: now + seconds for name, seconds in within.items()}
        assert await ask_with(client, token(client.world.tenant.symmetric_key.encode(), made)) == 200


@pytest.mark.parametrize(
    ("said", "message"),
    [("", "token missing"), ("x", "bad signature"), ("a.b.c", "bad signature"), ("W10.W10.x", "bad signature")],
)
async def test_what_is_no_token_is_refused(said: str, message: str) -> None:
    async with tcup(auth_mode="jwt") as client:
        assert await ask_with(client, said) == message


async def test_a_token_signed_by_another_key_is_refused_with_a_real_401_on_a_write_too() -> None:
    async with tcup(auth_mode="jwt") as client:
        sent = {"Authorization": f"Bearer {token(b'x' * 32, claims(client))}"}
        reply = await client("POST", f"{SOS}/observations", {}, headers=sent)
        assert (reply.status, reply.json) == (401, {"code": 401, "message": "bad signature"})


async def test_an_unknown_key_comes_before_a_missing_token() -> None:
    async with tcup(auth_mode="jwt") as client:
        assert (await client("GET", CAPABILITIES, headers={"x-api-key": "x"})).status == 403
        assert (await client("GET", CAPABILITIES)).json["message"] == "token missing"


async def test_the_symmetric_key_may_be_base64() -> None:
    async with tcup(auth_mode="jwt", symmetric_key_encoding="base64") as client:
        text = client.world.tenant.symmetric_key
        assert await ask_with(client, token(base64.b64decode(text), claims(client))) == 200
        assert await ask_with(client, token(text.encode(), claims(client))) == "bad signature"
        assert client.world.env()["ASYNCCONN_TCUP_SYMMETRIC_KEY_ENCODING"] == "base64"
        client.world.tenant.symmetric_key = short = base64.b64encode(b"short").decode()
        assert await ask_with(client, token(short.encode(), claims(client))) == 200


async def test_a_clock_that_is_ahead_shows_in_the_date_and_in_the_tokens_check() -> None:
    async with tcup(auth_mode="jwt", date_skew=600, clock=VirtualClock()) as client:
        key = client.world.tenant.symmetric_key.encode()
        stale = token(key, claims(client))
        reply = await client("GET", CAPABILITIES, headers={"Authorization": f"Bearer {stale}"})
        assert reply.json["message"] == "token expired"
        there = parsedate_to_datetime(reply.headers["Date"])
        assert there - client.world.clock.utcnow() == timedelta(seconds=600)
        now = int(there.timestamp())
        assert await ask_with(client, token(key, claims(client, iat=now, exp=now + 300))) == 200


# -- faults ------------------------------------------------------------------------------------------------------------


async def test_a_page_of_html_comes_with_a_200() -> None:
    async with tcup(faults="html_200", auto_register=True) as client:
        reply = await client.insert(observation())
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert len(client.world.sos.rows()) == 1


async def test_an_internal_error_hides_in_a_200() -> None:
    async with tcup(faults="inner_500", auto_register=True) as client:
        assert (await client.insert(observation())).code == 500
        assert (await client.insert(observation())).code == 201


@pytest.mark.parametrize("path", [f"{SOS}/observations", f"{MR}/overview", "/elsewhere"])
async def test_a_fault_speaks_as_the_platform(path: str) -> None:
    async with tcup(faults="status:503") as client:
        reply = await client("GET", path)
        assert (reply.status, reply.json["code"]) == (503, 503)


@pytest.mark.parametrize("digits", [False, True])
@pytest.mark.parametrize("inner", SPELLINGS)
async def test_the_status_inside_is_spelled_as_wanted(inner: str, digits: bool) -> None:
    async with tcup(inner=inner, inner_digits=digits) as client:
        await client("POST", f"{SOS}/sensors", {"sensors": [{"name": "ts1", "output": [{"name": "obs1"}]}]})
        for sensor, code, word in (("ts1", 201, "created"), ("tsX", 404, "not found")):
            reply = (await client.insert(observation(sensor))).json
            for said in (reply, *reply["results"]):
                if inner == "word":
                    assert (said["status"], "code" in said) == (word, False)
                elif inner == "message":
                    assert said["message"].startswith(word)
                    assert not {"status", "code"} & said.keys()
                else:
                    assert said[inner] == (str(code) if digits else code)
                    assert ("code" in said) == (inner == "code")


async def test_the_settings_lead_a_client_here() -> None:
    async with tcup(auth_mode="jwt", mqtt_port=None) as client:
        tenant = client.world.tenant
        assert client.world.env() == {
            "ASYNCCONN_TCUP_URL": client.world.url,
            "ASYNCCONN_TCUP_API_KEY": tenant.api_key,
            "ASYNCCONN_TCUP_AUTH_MODE": "jwt",
            "ASYNCCONN_TCUP_SYMMETRIC_KEY": tenant.symmetric_key,
            "ASYNCCONN_TCUP_SYMMETRIC_KEY_ENCODING": "utf8",
        }


async def test_all_platforms_stand_side_by_side() -> None:
    async with Sandbox(seed=1) as sandbox, aiohttp.ClientSession(sandbox.url) as http:
        headers = {"x-api-key": sandbox.tcup.api_key}
        async with http.get(CAPABILITIES, headers=headers) as reply:
            assert reply.status == 200
        assert sandbox.requests == {"tcup": 1}
