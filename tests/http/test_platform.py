"""The spec of a connector, and whose limits and places its calls take."""

from __future__ import annotations

import asyncio
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from loopback import Loopback, Reply

from asyncconn import Connector, Hub, PlainRules, Platform, TokenAuth, Window
from asyncconn.core.rates.quota import Quota
from asyncconn.core.rates.registry import _accounts, fresh_parts
from asyncconn.core.rates.stores import FileQuotaStore
from asyncconn.core.rates.windows import TokenBucket
from asyncconn.core.retrying import ONCE
from asyncconn.errors import ConfigError, RateLimited


class Acme(Connector):
    platform = Platform("acme", rates=Window(10, 60.0), retry=ONCE)


class OneAccount(Connector):
    platform = Platform("acme", rates=Window(10, 60.0), retry=ONCE, one_account=True)


def test_a_platform_cannot_be_changed() -> None:
    rates = {"default": Window(1, 1.0)}
    spec = Platform("acme", rates=rates, did_nothing={503})
    rates["query"] = Window(2, 1.0)
    with pytest.raises(FrozenInstanceError):
        spec.name = "other"  # type: ignore[misc] # as somebody may try
    with pytest.raises(TypeError):
        spec.rates["query"] = Window(2, 1.0)  # type: ignore[index] # as above
    assert isinstance(spec.did_nothing, frozenset)
    assert list(fresh_parts(spec.rates)) == ["default"]


@pytest.mark.parametrize("facts", [{"error_at": "error"}, {"did_nothing": {503}}])
def test_rules_and_facts_together_are_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="rules"):
        Platform("acme", rules=PlainRules(), **facts)


@pytest.mark.parametrize("name", ["", "  ", None, 7])
def test_a_platform_has_a_name(name: Any) -> None:
    with pytest.raises(ConfigError, match="name"):
        Platform(name)


def test_a_part_is_made_fresh_with_what_it_was_given(tmp_path: Any) -> None:
    store = FileQuotaStore(tmp_path / "day.json")
    parts = [Window(5, 2.0, skew=1.0, name="w"), TokenBucket(2.0, 3, name="b"), Quota(7, store=store, name="q")]
    twins = [part.fresh() for part in parts]

    assert [(type(one), one.name, one.limit, one.period) for one in parts] == [
        (type(one), one.name, one.limit, one.period) for one in twins
    ]
    assert all(one is not twin for one, twin in zip(parts, twins, strict=True))
    assert getattr(twins[2], "store", None) is store


def test_a_part_that_stands_in_two_places_stays_one() -> None:
    day = Quota(100, name="day")
    made = fresh_parts({"default": [Window(1, 1.0), day], "query": day})

    assert made["default"][1] is made["query"][0] is not day


async def test_each_credential_has_its_own_parts() -> None:
    async with Loopback() as server, Hub() as hub:
        one, other = (Acme(hub=hub, base_url=server.url, auth=TokenAuth(token)) for token in ("one", "other"))
        for _ in range(3):
            await one.http.request("GET", "/")

        assert (one.rate.remaining, other.rate.remaining) == (7, 10)


async def test_rates_of_one_client_replace_the_platforms() -> None:
    async with Hub() as hub:
        assert Acme(hub=hub, base_url="http://127.0.0.1:1", rates=Window(3, 1.0)).rate.remaining == 3


async def test_the_services_of_a_client_share_its_limits_and_a_429_holds_its_own() -> None:
    async with Loopback(Reply(429, headers={"Retry-After": "50"})) as server, Loopback() as second, Hub() as hub:
        acme = Acme(hub=hub, base_url=server.url, auth=TokenAuth("token"))
        files = acme.transport(TokenAuth("token"), base_url=second.url)
        with pytest.raises(RateLimited):
            await acme.http.request("GET", "/")
        await files.request("GET", "/")

        assert acme.rate.paused_for > 40
        assert files.limiters["default"].snapshot().paused_for == 0
        assert files.limiters["default"].snapshot().remaining == 8


async def test_with_one_account_a_429_holds_all_of_its_services_and_the_address_does_not_matter() -> None:
    async with Loopback(Reply(429, headers={"Retry-After": "50"})) as server, Loopback() as second, Hub() as hub:
        acme = OneAccount(hub=hub, base_url=server.url, auth=TokenAuth("token"))
        elsewhere = OneAccount(hub=hub, base_url=second.url, auth=TokenAuth("token"))
        await elsewhere.http.request("GET", "/")
        with pytest.raises(RateLimited):
            await acme.http.request("GET", "/")

        assert elsewhere.rate.paused_for > 40
        assert elsewhere.rate.parts[0].remaining == 8


async def test_two_clients_of_one_account_share_its_places() -> None:
    entered, gate = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        entered.set()
        await gate.wait()

    async with Loopback(Reply(wait=hold)) as server, Hub() as hub:
        one, two = (Acme(hub=hub, base_url=server.url, auth=TokenAuth("t"), max_concurrency=1) for _ in range(2))
        first = asyncio.create_task(one.http.request("GET", "/first"))
        await entered.wait()
        second = asyncio.create_task(two.http.request("GET", "/second"))
        await asyncio.sleep(0.05)
        assert [seen.path for seen in server.seen] == ["/first"]
        gate.set()
        await asyncio.gather(first, second)


async def test_an_open_stream_takes_no_place_of_requests() -> None:
    async with Loopback() as server, Hub() as hub:
        acme = Acme(hub=hub, base_url=server.url, max_concurrency=1)
        async with acme.http.stream("GET", "/long"), asyncio.timeout(5):
            await acme.http.request("GET", "/short")


async def test_headers_of_a_transport_go_along_and_a_calls_own_count_more() -> None:
    async with Loopback() as server, Hub() as hub:
        acme = Acme(hub=hub, base_url=server.url)
        http = acme.transport(headers={"X-App": "one", "Accept": "text/csv"})
        await http.request("GET", "/")
        await http.request("GET", "/", headers={"accept": "application/json"})

    first, second = server.seen
    assert (first.headers["x-app"], first.headers["accept"]) == ("one", "text/csv")
    assert (second.headers["x-app"], second.headers["accept"]) == ("one", "application/json")


async def test_a_plain_connector_is_made_from_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Loopback() as server, Hub() as hub:
        monkeypatch.setenv("ACME_TOKEN", "s3cret-token")
        with pytest.raises(ConfigError, match="ACME_URL"):
            Acme.from_env(hub=hub)
        monkeypatch.setenv("ACME_URL", server.url)
        await Acme.from_env(hub=hub).http.request("GET", "/")
        monkeypatch.setenv("OTHER_URL", server.url)
        with pytest.raises(ConfigError, match="OTHER_TOKEN"):
            Acme.from_env(prefix="OTHER", hub=hub)

    assert server.seen[0].headers["authorization"] == "Bearer s3cret-token"


async def test_every_client_stops_before_the_first_drains() -> None:
    heard: list[str] = []

    class Bridge(Connector):
        platform = Platform("bridge", base_url="http://127.0.0.1:1")

        async def stop(self) -> None:
            await asyncio.sleep(0.01)
            heard.append("stop")

        async def drain(self, timeout: float) -> None:
            heard.append("drain")

    async with Hub() as hub:
        for _ in range(3):
            Bridge(hub=hub)
    assert heard == ["stop"] * 3 + ["drain"] * 3


async def test_one_that_cannot_stop_is_drained_and_reported_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    drained: list[int] = []

    class Stubborn(Connector):
        platform = Platform("stubborn", base_url="http://127.0.0.1:1")

        async def stop(self) -> None:
            raise OSError("no")

        async def drain(self, timeout: float) -> None:
            drained.append(1)

    async with Hub() as hub:
        Stubborn(hub=hub)
    assert drained == [1]
    assert hub.report is not None
    assert isinstance(hub.report.errors["stubborn"], OSError)
    assert "closing stubborn failed" in caplog.text


async def test_who_cannot_stop_is_closed_all_the_same_and_says_so() -> None:
    drained: list[float] = []

    class Stubborn(Connector):
        platform = Platform("stubborn", base_url="http://127.0.0.1:1")

        async def stop(self) -> None:
            raise OSError("no")

        async def drain(self, timeout: float) -> None:
            drained.append(timeout)

    async with Hub() as hub:
        client = Stubborn(hub=hub)
        with pytest.raises(OSError, match="no"):
            await client.aclose(7.0)
        assert drained == [pytest.approx(7.0, abs=1.0)]
        await client.aclose()
    assert len(drained) == 1


async def test_closing_at_once_stops_and_drains() -> None:
    async with Hub() as hub:
        assert await Acme(hub=hub, base_url="http://127.0.0.1:1").aclose(0) is None


@pytest.mark.parametrize("auth", ["token", object(), TokenAuth])
async def test_what_is_no_way_to_show_who_asks_is_refused(auth: Any) -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigError, match="inherits from Auth"):
            Acme(hub=hub, base_url="http://127.0.0.1:1", auth=auth)


def test_a_program_that_runs_many_loops_keeps_the_books_of_the_last_only() -> None:
    async def ask() -> Any:
        async with Hub() as hub:
            acme = Acme(hub=hub, base_url="http://127.0.0.1:1")
            acme.http.limiters["default"].acquire_nowait()
            return hub.share("acme", "http://127.0.0.1:1\n", "x", None, 10)[0].services

    for _ in range(5):
        asyncio.run(ask())
    [account] = [one for some in _accounts.values() for one in some]
    assert all(not old._before for old in account._before)
