"""Many calls and one renewal: shared, its failure too, and no one's cancellation stops another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers import cancel_at_every_await
from loopback import Loopback, Reply, saying

from asyncconn.panoply import DataSource, TokenValidationException, validate_token

from .token_scene import OLD, OLD_REFRESH, REFRESH, Refused, Scene, granting

# -- together ----------------------------------------------------------------------------------------------------------


async def test_twenty_calls_that_failed_with_one_token_share_one_renewal(scene: Scene) -> None:
    async with Loopback(otherwise=granting()) as server:
        source = scene.source(server.url, callback="keep")
        answers = await asyncio.gather(*[source.request(str(n)) for n in range(20)])

    assert [rows[0]["what"] for rows in answers] == [str(n) for n in range(20)]
    assert len(server.seen) == 1
    assert source.told == ["new-access-1"]
    assert len(scene.changes) == 1


async def test_a_renewal_that_brings_the_same_token_is_shared_too(scene: Scene) -> None:
    reply = Reply(body=b'{"access_token": "%s"}' % OLD.encode(), wait=scene.after(20))
    async with Loopback(otherwise=reply) as server:
        source = scene.source(server.url)
        errors = await asyncio.gather(*[source.request("x") for _ in range(20)], return_exceptions=True)

    assert {type(error) for error in errors} == {Refused}
    assert len(server.seen) == 1


async def test_twenty_calls_share_one_failure_each_with_an_error_of_its_own(scene: Scene) -> None:
    async with Loopback(otherwise=Reply(400, wait=scene.after(20))) as server:
        source = scene.source(server.url)
        errors = await asyncio.gather(*[source.request("x") for _ in range(20)], return_exceptions=True)

    assert {type(error) for error in errors} == {TokenValidationException}
    assert len({id(error) for error in errors}) == 20
    assert len(server.seen) == 1


async def test_a_call_whose_token_was_replaced_meanwhile_does_not_renew_again(scene: Scene) -> None:
    class Slow(DataSource):
        async def read(self, n: int | None = None) -> Any: ...

        async def request(self) -> str:
            token: str = self.source["access_token"]
            if token == OLD:
                self.source["access_token"] = "somebody-elses"
                raise Refused
            return token

    async with Loopback(otherwise=granting()) as server:
        source = Slow({"access_token": OLD}, {"refresh": REFRESH})

        assert await validate_token(server.url)(Slow.request)(source) == "somebody-elses"
    assert server.seen == []


async def test_a_call_that_failed_with_the_new_token_waits_for_the_callback_and_then_renews_that_one(
    scene: Scene,
) -> None:
    gate = asyncio.Event()

    async def wait(token: str) -> None:
        if token == "new-access-1":
            await gate.wait()

    async with Loopback(otherwise=granting()) as server:
        source = scene.source(server.url, callback=wait)
        first = asyncio.create_task(source.request("first"))
        while source.source["access_token"] == OLD:
            await asyncio.sleep(0.001)
        scene.valid = "new-access-2"
        second = asyncio.create_task(source.request("second"))
        while len(scene.calls) < 2:
            await asyncio.sleep(0.001)
        requests = len(server.seen)
        gate.set()

        assert await second == [{"what": "second"}]
        await asyncio.gather(first, return_exceptions=True)  # it may have called before that, or after
    assert (requests, len(server.seen)) == (1, 2)


async def test_two_sources_and_two_endpoints_renew_apart(scene: Scene) -> None:
    async with Loopback(otherwise=saying({"access_token": "new-access-1"})) as server:
        sources = [scene.source(f"{server.url}/{n}") for n in range(2)] + [scene.source(f"{server.url}/0")]
        await asyncio.gather(*[source.request("x") for source in sources])

    assert sorted(seen.path for seen in server.seen) == ["/0", "/0", "/1"]


async def test_a_source_is_as_it_was_after_a_renewal(scene: Scene) -> None:
    async with Loopback(Reply(400), otherwise=granting()) as server:
        source = scene.source(server.url)
        with pytest.raises(TokenValidationException):
            await source.request("x")

        assert await source.request("x") == [{"what": "x"}]


# -- cancellation ------------------------------------------------------------------------------------------------------


async def test_whenever_the_leader_is_cancelled_a_token_that_was_given_out_is_kept_and_announced(scene: Scene) -> None:
    async with Loopback(otherwise=saying({"access_token": "new-access-1", "refresh_token": "rotated-0002"})) as server:
        made: list[Any] = []

        async def make() -> Any:
            scene.events.clear()
            server.seen.clear()
            made[:] = [scene.source(server.url, callback="keep")]
            return lambda: made[0].request("x")

        async def check(error: BaseException | None) -> None:
            tokens = (made[0].source["access_token"], made[0].source["refresh_token"])
            if server.seen:
                assert tokens == ("new-access-1", "rotated-0002")
                assert scene.changes == [{"access_token": "new-access-1", "refresh_token": "rotated-0002"}]
                assert made[0].told == ["new-access-1"]
            else:
                assert tokens == (OLD, OLD_REFRESH)

        assert await cancel_at_every_await(make, check) >= 3


async def test_followers_go_on_when_the_leader_is_cancelled_and_a_cancelled_follower_stops_nobody(scene: Scene) -> None:
    gate = asyncio.Event()
    reply = Reply(body=b'{"access_token": "new-access-1"}', wait=gate.wait)
    async with Loopback(reply) as server:
        source = scene.source(server.url)
        leader, *followers = [asyncio.create_task(source.request("x")) for _ in range(4)]
        await server.arrived()
        await asyncio.sleep(0.02)
        followers[0].cancel()
        leader.cancel()
        await asyncio.wait({followers[0]})
        gate.set()
        await asyncio.wait({leader, *followers})

        assert [task.cancelled() for task in (leader, *followers)] == [True, True, False, False]
        assert followers[1].result() == followers[2].result() == [{"what": "x"}]
    assert len(server.seen) == 1


async def test_who_waits_for_a_renewal_that_is_ended_from_outside_is_told_so(scene: Scene) -> None:
    never = asyncio.Event()
    async with Loopback(otherwise=Reply(wait=never.wait)) as server:
        source = scene.source(server.url)
        leader, follower = [asyncio.create_task(source.request("x")) for _ in range(2)]
        await server.arrived()
        while len(scene.calls) < 2:
            await asyncio.sleep(0.001)
        for task in asyncio.all_tasks():
            if task.get_name() == "asyncconn:token":
                task.cancel()
        await asyncio.wait({leader, follower})

    for error in (leader.exception(), follower.exception()):
        assert isinstance(error, TokenValidationException)
        assert error.retryable
    assert source.source["access_token"] == OLD
