"""Who asks: every kind of credential, the environment, cookies, and what is never shown."""

from __future__ import annotations

import asyncio
import base64
import traceback
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from loopback import Loopback, Reply
from pydantic import SecretStr
from secrecy import assert_silent, everything_logged, ours
from yarl import URL

from asyncconn import AtotiLimits, Hub, errors
from asyncconn.atoti_limits.errors import LimitsAuthError
from asyncconn.http.auth import HeaderKey, TokenAuth
from asyncconn.sandbox import Fault
from asyncconn.sandbox.atoti_limits import User

from .scene import QUICK, SHORT, STRUCTURE, scene

if TYPE_CHECKING:
    from collections.abc import Awaitable

PASSWORD = "made-up/p4ssword+"
LICENSE = "bWFkZS11cC1saWNlbmNl" * 3
ROLES = frozenset({"ROLE_USER", "ROLE_ADMIN", "ROLE_LIMITS", "ROLE_ACTIVITI_USER"})


# -- kinds -------------------------------------------------------------------------------------------------------------


async def test_user_and_password_are_sent_to_both_servers() -> None:
    async with scene() as world:
        for auth in (("admin", "admin"), ("admin", SecretStr("admin"))):
            limits = world.client(auth=auth)
            assert await limits.connected() is False
            assert await limits.connections.list().collect() == []


async def test_a_token_is_sent_as_jwt() -> None:
    async with scene() as world:
        for auth in (world.session.token(), SecretStr(world.session.token())):
            limits = world.client(auth=auth)
            await limits.wait_connected(timeout=10)
            assert len(await limits.connections.list()) == 1


async def test_a_bearer_token_is_sent_as_such() -> None:
    tokens = {"bearer_tokens": {"made-up-bearer": "admin"}}
    async with scene(session=tokens, limits=tokens) as world:
        limits = world.client(auth=TokenAuth("made-up-bearer", scheme="Bearer"))
        await limits.wait_connected(timeout=10)


async def test_an_expired_token_is_renewed_by_its_provider_once_and_connect_is_not_carried_out_twice() -> None:
    async with scene() as world:
        given = [world.session.token(expires_in=-1), world.session.token()]

        async def provider() -> str:
            return given.pop(0)

        limits = world.client(auth=TokenAuth(provider, scheme="Jwt"))
        await limits.wait_connected(timeout=10, preflight=False)
        assert given == []
        assert world.session.attempts == 1


async def test_the_limits_server_may_have_a_credential_of_its_own() -> None:
    users = {"ann": User("ann", PASSWORD, ROLES)}
    async with scene() as world:
        world.limits.users.update(users)
        limits = world.client(limits_auth=("ann", PASSWORD))
        assert await limits.connected() is False
        assert await limits.connections.list().collect() == []
        with pytest.raises(LimitsAuthError):
            await world.client(auth=("ann", PASSWORD)).connected()
        with pytest.raises(LimitsAuthError):
            await world.client(limits_auth=("ann", "wrong")).connections.list()


async def test_any_auth_will_do_and_none_is_refused_where_one_is_needed() -> None:
    encoded = base64.b64encode(b"admin:admin").decode()
    async with scene() as world:
        assert await world.client(auth=HeaderKey("Authorization", f"Basic {encoded}")).connected() is False
        with pytest.raises(LimitsAuthError):
            await world.client(auth=None).connected()


@pytest.mark.parametrize("auth", [("a:b", "c"), ("a",), ("a", "b", "c"), 3, "", "two\nlines"])
def test_what_is_no_credential_is_refused(auth: Any) -> None:
    with pytest.raises(errors.ConfigError):
        AtotiLimits("http://127.0.0.1:1", limits_url="http://127.0.0.1:1", auth=auth, hub=Hub())


@pytest.mark.parametrize("options", [{"generation": 4}, {"generation": 0}, {"server_name": " "}])
def test_what_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigError):
        AtotiLimits("http://127.0.0.1:1", limits_url="http://127.0.0.1:1", hub=Hub(), **options)


async def test_what_a_generation_cannot_is_said() -> None:
    async with scene() as world:
        with pytest.raises(errors.ConfigError, match="connects by itself"):
            await world.client(generation=1).connect()
        for generation in (1, 2):
            with pytest.raises(errors.ConfigError, match=f"generation {generation} cannot disconnect"):
                await world.client(generation=generation).disconnect()
        assert not world.session.requests


async def test_what_connect_sends_is_as_in_the_samples_and_can_be_changed() -> None:
    async with Loopback() as server, Hub() as hub:
        for generation, more in ((3, {}), (3, {"limitsBaseUrl": "http://limits:3090"}), (2, {}), (2, {"x": 1})):
            limits = AtotiLimits(
                f"{server.url}/foo/bar",
                limits_url="http://127.0.0.1:1",
                generation=generation,
                hub=hub,
                connect_body=more,
            )
            await limits.connect()
    own = f'{{"atotiBaseUrl":"{server.url}/foo/bar","limitsBaseUrl":"http://127.0.0.1:1","serverName":"atoti"}}'

    assert {seen.path for seen in server.seen} == {"/foo/bar/limits/autoconfig/connect"}
    assert [seen.body.decode() for seen in server.seen] == [
        own,
        own.replace("http://127.0.0.1:1", "http://limits:3090"),
        "",
        '{"x":1}',
    ]


# -- environment -------------------------------------------------------------------------------------------------------


def test_addresses_come_from_the_arguments_then_the_environment_then_the_guides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ATOTI_BASE_URL", "ATOTI_LIMITS_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("SESSION_URL", "LIMITS_URL"):  # somebody else's
        monkeypatch.setenv(name, "http://elsewhere.example")
    defaults = {generation: AtotiLimits(generation=generation, hub=Hub()) for generation in (1, 2, 3)}
    assert {generation: one.session_url for generation, one in defaults.items()} == {
        1: "http://localhost:6060",
        2: "http://localhost:7070",
        3: "http://localhost:7070",
    }
    assert {one.limits_url for one in defaults.values()} == {"http://localhost:3090"}

    monkeypatch.setenv("ATOTI_BASE_URL", "http://atoti.example/foo/bar")
    monkeypatch.setenv("ATOTI_LIMITS_URL", "http://limits.example:3091/")
    limits = AtotiLimits(hub=Hub())
    assert (limits.session_url, limits.limits_url) == ("http://atoti.example/foo/bar", "http://limits.example:3091")
    given = AtotiLimits("http://given.example", limits_url="http://given.example:1", hub=Hub())
    assert (given.session_url, given.limits_url) == ("http://given.example", "http://given.example:1")


async def test_a_client_is_made_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene() as world:
        monkeypatch.setenv("ATOTI_BASE_URL", world.session.url)
        monkeypatch.setenv("ATOTI_LIMITS_URL", world.limits.url)
        with pytest.raises(LimitsAuthError):
            await AtotiLimits.from_env(hub=world.hub).connected()
        monkeypatch.setenv("ASYNCCONN_ATOTI_LIMITS_USER", "admin")
        with pytest.raises(errors.ConfigError, match="belong together"):
            AtotiLimits.from_env(hub=world.hub)
        monkeypatch.setenv("ASYNCCONN_ATOTI_LIMITS_PASSWORD", "admin")
        assert await AtotiLimits.from_env(hub=world.hub).connected() is False
        monkeypatch.setenv("ASYNCCONN_ATOTI_LIMITS_TOKEN", world.session.token())
        monkeypatch.delenv("ASYNCCONN_ATOTI_LIMITS_PASSWORD")
        assert await AtotiLimits.from_env(hub=world.hub, generation=2).connected() is False


# -- cookies -----------------------------------------------------------------------------------------------------------


async def test_cookies_are_neither_sent_nor_kept_even_in_a_session_that_keeps_them() -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    cookie = {"Set-Cookie": "JSESSIONID=theirs; Path=/"}
    async with Loopback(otherwise=Reply(200, b"false", cookie)) as server, aiohttp.ClientSession(cookie_jar=jar) as own:
        jar.update_cookies({"mine": "1"}, URL(server.url))
        async with Hub(session=own) as hub:
            limits = AtotiLimits(server.url, limits_url=server.url, hub=hub)
            for _ in range(2):
                await limits.connected()
        async with own.get(server.url) as answer:  # what the owner does with the session is another matter
            await answer.read()

    assert ["cookie" in seen.headers for seen in server.seen] == [False, False, True]
    assert server.seen[2].headers["cookie"] == "mine=1"


# -- secrets -----------------------------------------------------------------------------------------------------------


MISHAPS = [
    Fault("status", status=401, times=None),
    Fault("status", status=503, times=None),
    Fault("drop_after", times=None),
    Fault("malformed", times=None),
]


async def failure(call: Awaitable[object]) -> BaseException:
    with pytest.raises(errors.AsyncConnError) as caught:
        await call
    return caught.value


async def test_nothing_that_happens_shows_a_credential_or_the_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOTI_LICENSE", LICENSE)
    pair = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    shown: list[str] = []
    caught: list[BaseException] = []

    def show(data: object) -> None:
        shown.extend((repr(data), str(data)))

    asyncio.get_running_loop().set_debug(True)
    asyncio.get_running_loop().slow_callback_duration = 0.0
    with everything_logged() as written:
        async with scene(auth=("ann", PASSWORD)) as world:
            user = User("ann", PASSWORD, ROLES)
            world.session.users["ann"] = world.limits.users["ann"] = user
            token = world.session.token("ann")
            clients = [
                world.client(),
                world.client(auth=token),
                world.client(auth=token, limits_auth=("ann", PASSWORD)),
            ]
            for limits in clients:
                for transport in (limits.http, limits.server):
                    for name in ("attempt", "retry"):
                        transport.events.on(name, show)
                await limits.wait_connected(timeout=10)
                await limits.structures.save(STRUCTURE)
                assert await limits.ready() is True
                for fault in MISHAPS:
                    for server, call in ((world.session, limits.connected), (world.limits, limits.structures.list)):
                        server.faults.add(fault)
                        caught.append(await failure(call()))
                        server.faults.clear()
                caught.append(await failure(limits.wait_connected(timeout=0.01)))
                shown += [repr(limits), repr(limits.hub), repr(limits.paths), str(limits.paths)]
            objects = ours(*clients, world.hub, *caught)
    for value in objects:
        shown += [repr(value), str(value)]
    for error in caught:
        shown += traceback.format_exception(error)
        shown += [repr(error), str(error), str(vars(error))]
    kinds = {type(value).__name__ for value in objects}
    assert {"AtotiLimits", "Transport", "Discreet", "BasicAuth", "TokenAuth", "LimitsAuthError"} <= kinds
    forms = {PASSWORD, pair, pair.rstrip("="), token, LICENSE}
    assert_silent(written.getvalue(), forms, "log")
    assert_silent("\n".join(shown), forms, "shown")


async def test_a_server_that_quotes_what_the_other_was_told_does_not_get_it_shown() -> None:
    echo = f'{{"error": "no {PASSWORD} other-s3cret-token", "details": [{{"message": "{PASSWORD}"}}]}}'.encode()
    async with Loopback(otherwise=Reply(422, echo)) as server, Hub() as hub:
        limits = AtotiLimits(
            server.url, limits_url=server.url, auth=("ann", PASSWORD), limits_auth="other-s3cret-token", hub=hub
        )
        for call in (limits.connected, limits.structures.list):
            with pytest.raises(errors.ApiError) as caught:
                await call()
            shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
            assert_silent(shown, {PASSWORD, "other-s3cret-token"}, "shown")


async def test_the_licence_is_sent_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOTI_LICENSE", LICENSE)
    async with Loopback(otherwise=Reply(200, b"false")) as server, Hub() as hub:
        limits = AtotiLimits.from_env(
            hub=hub, session_url=server.url, limits_url=server.url, auth=("ann", PASSWORD), retry=QUICK, timeouts=SHORT
        )
        await limits.connected()
        await limits.connect()

    assert len(server.seen) == 2
    assert LICENSE not in str(server.seen)
