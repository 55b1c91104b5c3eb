"""Who opened it closes it: the hub, its session, its connectors, and what they share."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from helpers import virtual
from loopback import Loopback

from asyncconn.connector import Connector, Platform
from asyncconn.core.rates.limiter import Window
from asyncconn.errors import ConfigError, HubClosed, HubNotOpen, WrongLoop
from asyncconn.http.auth import Auth, HeaderKey, TokenAuth
from asyncconn.hub import Hub, HubState
from asyncconn.settings import HubSettings

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock


class Plain(Connector):
    platform = Platform("plain", base_url="http://127.0.0.1:1", rates=Window(10, 60.0))

    def __init__(self, key: str = "key", *, auth: Auth | None = None, **options: Any) -> None:
        super().__init__(auth=auth or HeaderKey("x-api-key", key), **options)


async def test_a_hub_is_new_then_open_then_closed() -> None:
    hub = Hub()
    states = [hub.state]
    async with hub as same:
        assert same is hub
        states.append(hub.state)
        assert await hub.open() is hub
    states.append(hub.state)
    assert states == [HubState.NEW, HubState.OPEN, HubState.CLOSED]
    with pytest.raises(HubClosed):
        await hub.open()


async def test_before_it_is_open_and_after_it_is_closed_calls_say_what_to_do() -> None:
    hub = Hub()
    client = Plain(hub=hub)
    with pytest.raises(HubNotOpen, match="async with"):
        await client.http.request("GET", "/")
    async with hub:
        pass
    with pytest.raises(HubClosed, match="make a new one"):
        await client.http.request("GET", "/")
    with pytest.raises(HubClosed):
        Plain(hub=hub)


async def test_a_hub_that_was_never_opened_closes_into_an_empty_report() -> None:
    hub = Hub()
    report = await hub.aclose()

    assert (report.complete, hub.state) == (True, HubState.CLOSED)


async def test_closing_twice_gives_the_same_report() -> None:
    hub = await Hub().open()

    assert await hub.aclose() is await hub.aclose()


async def test_closing_from_two_tasks_closes_once() -> None:
    hub = await Hub().open()
    first, second = await asyncio.gather(hub.aclose(), hub.aclose())

    assert first is second


@virtual
async def test_who_closes_after_an_end_that_did_not_come_or_meanwhile_is_told_so_too(clock: VirtualClock) -> None:
    class Stuck(Plain):
        async def stop(self) -> None:
            try:
                await asyncio.sleep(60.0)
            except asyncio.CancelledError:  # for which it takes its time
                await asyncio.sleep(60.0)

    hub = await Hub(clock=clock).open()
    Stuck(hub=hub)
    closing = (hub.aclose(0.0), hub.aclose(0.0))
    first, second = await asyncio.gather(*closing, return_exceptions=True)
    await asyncio.sleep(60.0)  # until it has ended after all

    assert isinstance(first, TimeoutError)
    assert isinstance(second, TimeoutError)


async def test_our_own_session_is_closed_with_the_hub() -> None:
    async with Hub() as hub:
        session = hub.session
    assert session.closed


async def test_a_borrowed_session_stays_open_and_as_it_was() -> None:
    async with Loopback() as server, aiohttp.ClientSession() as session:
        async with Hub(session=session) as hub:
            async with Plain(hub=hub, base_url=server.url) as client:
                await client.http.request("GET", "/")
            assert hub.session is session
        assert not session.closed
        async with session.get(server.url) as answer:
            assert answer.status == 200


async def test_a_closed_session_cannot_be_borrowed() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(ConfigError):
        await Hub(session=session).open()


async def test_several_connectors_travel_over_one_session_and_one_connection() -> None:
    async with Loopback() as server, Hub() as hub:
        for key in ("one", "two", "three"):
            await Plain(key, hub=hub, base_url=server.url).http.request("GET", "/")

        assert server.connections == 1
        assert [seen.headers["x-api-key"] for seen in server.seen] == ["one", "two", "three"]


async def test_a_limit_is_shared_by_credential_and_not_beyond() -> None:
    async def provider() -> str:
        return "token"

    async def another() -> str:
        return "token"

    async with Loopback() as server, Hub() as hub:
        options: dict[str, Any] = {"hub": hub, "base_url": server.url}
        one, same, other = Plain("one", **options), Plain("one", **options), Plain("two", **options)
        first, shared = (Plain(auth=TokenAuth(provider), **options) for _ in range(2))
        apart = Plain(auth=TokenAuth(another), **options)
        await one.http.request("GET", "/")
        await first.http.request("GET", "/")

        assert [client.rate.remaining for client in (one, same, other)] == [9, 9, 10]
        assert [client.rate.remaining for client in (first, shared, apart)] == [9, 9, 10]


async def test_neither_the_hub_nor_its_connectors_show_a_credential() -> None:
    async with Hub() as hub:
        client = Plain("s3cret-key", hub=hub)
        shown = repr([hub, vars(hub), client, vars(client), vars(client.http), client.rate, hub.settings])

    assert "s3cret" not in shown


async def test_a_connector_closed_by_itself_leaves_the_hub_open() -> None:
    async with Loopback() as server, Hub() as hub:
        async with Plain(hub=hub, base_url=server.url) as client:
            pass
        assert hub.state is HubState.OPEN
        assert await client.aclose() is None
        await Plain(hub=hub, base_url=server.url).http.request("GET", "/")


async def test_a_private_hub_opens_and_closes_with_its_connector() -> None:
    async with Loopback() as server:
        client = Plain(base_url=server.url)
        with pytest.raises(HubNotOpen):
            await client.http.request("GET", "/")
        async with client:
            await client.http.request("GET", "/")
            session = client.hub.session
        assert session.closed
        assert client.hub.state is HubState.CLOSED


def test_a_hub_belongs_to_the_loop_that_opened_it() -> None:
    first = asyncio.new_event_loop()
    try:
        hub = first.run_until_complete(Hub().open())
        client = Plain(hub=hub)

        async def elsewhere() -> None:
            with pytest.raises(WrongLoop):
                await client.http.request("GET", "/")
            with pytest.raises(WrongLoop):
                await hub.aclose()

        asyncio.run(elsewhere())
        with pytest.raises(WrongLoop):
            hub.check()  # no loop at all
        first.run_until_complete(hub.aclose())
    finally:
        first.close()


async def test_a_check_from_a_thread_is_the_wrong_loop() -> None:
    caught: list[BaseException] = []

    def look() -> None:
        try:
            hub.check()
        except WrongLoop as error:
            caught.append(error)

    async with Hub() as hub:
        thread = threading.Thread(target=look)
        thread.start()
        await asyncio.to_thread(thread.join)

    assert len(caught) == 1


async def test_a_connector_must_name_its_platform_and_sensible_numbers() -> None:
    class Nameless(Connector):
        pass

    async with Hub() as hub:
        with pytest.raises(ConfigError, match="must have a platform"):
            Nameless(hub=hub)
        with pytest.raises(ConfigError, match="max_concurrency"):
            Plain(hub=hub, max_concurrency=0)
        with pytest.raises(ConfigError, match="base URL"):
            Plain(hub=hub, base_url="localhost:80")


async def test_the_settings_bound_the_connections() -> None:
    settings = HubSettings(max_connections=7, max_connections_per_host=3)
    async with Hub(settings=settings) as hub:
        connector = hub.session.connector
        assert isinstance(connector, aiohttp.TCPConnector)
        assert (connector.limit, connector.limit_per_host) == (7, 3)


async def test_a_hub_that_is_forgotten_open_is_a_resource_warning_and_an_unopened_one_is_not() -> None:
    Hub()
    Plain()
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hub = await Hub().open()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        del hub
        gc.collect()
        loop.set_exception_handler(None)

    assert {warning.category for warning in caught} == {ResourceWarning}


async def test_a_hub_has_one_connector_of_a_class_for_each_set_of_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIN_TOKEN", "made up")
    async with Hub() as hub:
        one = hub.connector(Plain)
        assert one.hub is hub
        assert hub.connector(Plain) is one
        assert hub.connector(Plain, base_url="http://127.0.0.1:2") is not one
        assert hub.connector(Plain, base_url="http://127.0.0.1:2") is hub.connector(
            Plain, base_url="http://127.0.0.1:2"
        )
        async with Hub() as other:
            assert other.connector(Plain) is not one

    with pytest.raises(HubClosed):
        hub.connector(Plain)


async def test_one_that_was_closed_is_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIN_TOKEN", "made up")
    async with Hub() as hub:
        other = hub.connector(Plain, base_url="http://127.0.0.1:2")
        async with hub.connector(Plain) as closed:
            pass
        made = hub.connector(Plain)

        assert made is not closed
        assert hub.connectors == (other, made)
        assert hub.connector(Plain, base_url="http://127.0.0.1:2") is other


async def test_a_connector_that_cannot_be_made_names_its_variable() -> None:
    async with Hub() as hub:
        with pytest.raises(ConfigError, match="PLAIN_TOKEN"):
            hub.connector(Plain)
