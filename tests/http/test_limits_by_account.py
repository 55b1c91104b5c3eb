"""Whose limits a call counts against: one account, however its token is come by, and whichever hub asks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback, Reply

from asyncconn.connector import Connector, Platform
from asyncconn.core.rates.limiter import Quota, RateLimiter, Window
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import ConfigError, RateLimited
from asyncconn.http.auth import HeaderKey, NoAuth, TokenAuth
from asyncconn.http.rules import PlainRules, RateHint
from asyncconn.http.transport import Transport
from asyncconn.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from asyncconn.http.response import Response


class Acme(Connector):
    platform = Platform("acme", retry=RetryPolicy(attempts=1), rates=Window(10, 60.0))


class Login:
    """Logs in by a method, or by being called."""

    def __init__(self, account: str) -> None:
        self.account = account

    async def token(self) -> str:
        return f"token-of-{self.account}"

    async def __call__(self) -> str:
        return await self.token()


@dataclass
class Unhashable:
    account: str

    async def __call__(self) -> str:
        return f"token-of-{self.account}"


async def asked(account: str) -> str:
    return f"token-of-{account}"


PROVIDERS: dict[str, Callable[[str], Any]] = {
    "bound method": lambda account: Login(account).token,
    "callable object": Login,
    "object that cannot be hashed": Unhashable,
    "partial": lambda account: partial(asked, account),
    "lambda": lambda account: lambda: asked(account),
}


async def rate_limiter(client: Acme) -> RateLimiter:
    await client.http.request("GET", "/")
    return client.http.limiters["default"]


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_an_account_is_known_by_the_first_token_its_provider_gave(kind: str) -> None:
    async with Loopback() as server, Hub() as hub:
        one, same, other = [
            await rate_limiter(Acme(hub=hub, base_url=server.url, auth=TokenAuth(PROVIDERS[kind](account))))
            for account in ("client-1", "client-1", "client-2")
        ]

    assert one is same
    assert one is not other
    assert one.snapshot().parts[0].remaining == 8


async def test_a_token_that_is_given_and_one_that_is_asked_for_are_one_account() -> None:
    async with Loopback() as server, Hub() as hub:
        given = Acme(hub=hub, base_url=server.url, auth=TokenAuth("token-of-client-1"))
        fetched = Acme(hub=hub, base_url=server.url, auth=TokenAuth(Login("client-1").token))

        assert await rate_limiter(given) is await rate_limiter(fetched)


async def test_a_token_that_is_renewed_changes_no_account() -> None:
    tokens = iter(["first", "second"])

    async def provider() -> str:
        return next(tokens)

    async with Loopback(Reply(), Reply(401), Reply()) as server, Hub() as hub:
        client = Acme(hub=hub, base_url=server.url, auth=TokenAuth(provider))
        before = await rate_limiter(client)

        assert await rate_limiter(client) is before
        assert before.snapshot().remaining == 7


async def test_one_provider_in_several_clients_is_one_account_whatever_it_gives_later() -> None:
    login, count = Login("client-1"), iter(range(10))

    async def fresh() -> str:
        return f"session-{next(count)}"

    login.token = fresh  # type: ignore[method-assign] # a new token each time
    async with Loopback() as server, Hub() as hub:
        one, same = (Acme(hub=hub, base_url=server.url, auth=TokenAuth(fresh)) for _ in range(2))

        assert await rate_limiter(one) is await rate_limiter(same)


async def test_an_identity_names_the_account_where_each_client_has_a_token_of_its_own() -> None:
    def session(number: int) -> Any:
        return lambda: asked(f"session-{number}")

    async with Loopback() as server, Hub() as hub:
        one, same, other = (
            Acme(hub=hub, base_url=server.url, auth=TokenAuth(session(number), identity=identity))
            for number, identity in ((1, "client-1"), (2, "client-1"), (3, "client-2"))
        )

        assert one.http.limiters["default"] is same.http.limiters["default"]
        assert one.http.limiters["default"] is not other.http.limiters["default"]


@pytest.mark.parametrize("identity", ["", 5])
def test_an_identity_is_a_text(identity: Any) -> None:
    with pytest.raises(ConfigError, match="identity"):
        TokenAuth("token", identity=identity)


async def test_a_credential_of_ones_own_may_know_its_account_after_its_first_headers() -> None:
    class Later(NoAuth):
        known: str | None = None

        async def headers(self) -> Mapping[str, str]:
            self.known = "client-1"
            return {}

        def identity(self) -> str | None:
            return self.known

    async with Loopback() as server, Hub() as hub:
        one, same = (Acme(hub=hub, base_url=server.url, auth=Later()) for _ in range(2))
        assert (one.rate.remaining, same.rate.remaining) == (10, 10)

        assert await rate_limiter(one) is await rate_limiter(same)


async def test_private_hubs_of_one_loop_share_a_cap() -> None:
    async with Loopback() as server:
        clients = [Acme(base_url=server.url, auth=HeaderKey("x", "key-1")) for _ in range(2)]
        async with clients[0], clients[1]:
            await asyncio.gather(*[client.http.request("GET", "/") for client in clients for _ in range(3)])

            assert [client.rate.remaining for client in clients] == [4, 4]


def test_clients_made_before_there_is_a_loop_share_one_as_well() -> None:
    hubs = [Hub(), Hub()]
    clients = [Acme(hub=hub, base_url="http://127.0.0.1:1", auth=HeaderKey("x", "key-1")) for hub in (*hubs, hubs[0])]
    before = [client.http.limiters["default"] for client in clients]

    async def main() -> list[RateLimiter]:
        async with hubs[0], hubs[1]:
            return [client.http.limiters["default"] for client in clients]

    after = asyncio.run(main())

    assert before[0] is before[2]
    assert after == [before[0]] * 3


# -- what a server may ask for -----------------------------------------------------------------------------------------

YEAR = 365 * 86_400.0


@pytest.mark.parametrize(("bound", "held"), [(None, 3600.0), (10.0, 10.0), (0.0, 0.0)])
async def test_a_pause_that_a_server_asks_for_is_bounded(bound: float | None, held: float) -> None:
    kind = Acme if bound is None else type("Bounded", (Acme,), {"platform": replace(Acme.platform, max_pause=bound)})
    async with Loopback(Reply(429, headers={"Retry-After": "31536000"})) as server, Hub() as hub:
        client = kind(hub=hub, base_url=server.url)
        with pytest.raises(RateLimited) as refused:
            await client.http.request("GET", "/")

        assert refused.value.retry_after == YEAR
        assert client.rate.paused_for == pytest.approx(held, abs=5.0)
        client.http.limiters["default"].resume()
        await client.http.request("GET", "/")


@pytest.mark.parametrize("bound", [-1.0, float("nan")])
async def test_the_bound_is_a_number_of_seconds(bound: float) -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigError, match="max_pause"):
            Transport(lambda: hub.session, service="p", base_url="http://127.0.0.1:1", max_pause=bound)


class Telling(PlainRules):
    def hints(self, response: Response) -> Iterable[RateHint]:
        yield RateHint("minute", 0, YEAR)
        yield RateHint("day", 0, 40_000.0)


class Counting(Window):
    told = 0

    def tighten(self, now: float, remaining: int | None, reset_after: float | None) -> None:
        self.told += 1
        super().tighten(now, remaining, reset_after)


async def test_a_hold_that_headers_ask_for_is_bounded_but_for_a_days_reset() -> None:
    limiter = RateLimiter(Window(10, 60.0, name="minute"), Quota(100, name="day"))
    async with Loopback() as server, Hub() as hub:
        http = Transport(
            lambda: hub.session, service="p", base_url=server.url, limiters={"default": limiter}, rules=Telling()
        )
        await http.request("GET", "/")

    minute, day = limiter.snapshot().parts
    assert minute.resets_in == pytest.approx(3600.0, abs=5.0)
    assert day.remaining == 0


async def test_a_hint_is_told_once_to_a_part_that_stands_in_several_limiters() -> None:
    shared = Counting(100, 60.0, name="minute")
    limiters = {"default": RateLimiter(shared), "orders": RateLimiter(Window(5, 1.0, name="orders"), shared)}
    async with Loopback() as server, Hub() as hub:
        http = Transport(lambda: hub.session, service="p", base_url=server.url, limiters=limiters, rules=Telling())
        await http.request("GET", "/")

    assert shared.told == 1
