"""An author's application behind a socket: limits by credential, faults, books."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from asyncconn import BasicAuth, Connector, Hub, Platform, RetryPolicy, TokenAuth, TokenBucket, VirtualClock, Window
from asyncconn.errors import ConfigError, ConnectionLost, LifecycleError, RateLimited, ServerError
from asyncconn.sandbox import Fault, Faults
from asyncconn.testing import Fake

QUICK = RetryPolicy(attempts=4, initial=0.01, maximum=0.02, max_retry_after=-1)


class Tides(Connector):
    platform = Platform("tides", retry=QUICK)


async def echo(request: web.Request) -> web.Response:
    text = f"{request.method} {request.raw_path} {request.headers.get('X-Harbour', '-')} {await request.text()}"
    return web.Response(text=text, headers={"X-Echo": "yes"})


async def test_a_handler_sees_the_request_as_it_was_sent_and_the_caller_the_answer_as_it_is() -> None:
    async with Fake(echo) as fake, Tides(base_url=fake.url) as client:
        answer = await client.http.request(
            "POST", "/a%2Fb/c%20d", params={"q": "x&y"}, data=b"high", headers={"X-Harbour": "dover"}
        )

    assert answer.text == "POST /a%2Fb/c%20d?q=x%26y dover high"
    assert (answer.headers["X-Echo"], answer.content_type) == ("yes", "text/plain")


async def test_an_application_keeps_its_routes_redirects_and_compression() -> None:
    async def packed(request: web.Request) -> web.Response:
        answer = web.json_response({"m": 6.7})
        answer.enable_compression(web.ContentCoding.gzip)
        return answer

    async def moved(request: web.Request) -> web.Response:
        raise web.HTTPFound("/heights")

    app = web.Application()
    app.router.add_get("/heights", packed)
    app.router.add_get("/old", moved)
    async with Fake(app) as fake, Tides(base_url=fake.url) as client, aiohttp.ClientSession() as session:
        assert await client.http.call("GET", "/heights") == {"m": 6.7}
        async with session.get(f"{fake.url}/old", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "/heights")
        async with session.get(f"{fake.url}/nothing") as answer:
            assert answer.status == 404
        async with session.get(f"{fake.url}/heights", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"


async def test_each_credential_has_a_count_of_its_own_and_what_exceeds_it_is_refused_unseen() -> None:
    seen: list[str] = []

    async def count(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.Response()

    async with Fake(count, rates=[Window(2, 60.0), Window(100, 60.0)]) as fake, Hub() as hub:
        one, two = (Tides(base_url=fake.url, auth=TokenAuth(token), hub=hub) for token in ("token-1", "token-2"))
        for client in (one, one, two, two):
            await client.http.request("GET", "/")
        with pytest.raises(RateLimited) as refused:
            await one.http.request("GET", "/")
        assert (fake.refused, fake.requests, len(fake.arrivals)) == (1, 5, 5)
        fake.forget()
        one.http.limiters  # noqa: B018 - it has none: nothing holds the next call
        await one.http.request("GET", "/")

    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= 60
    assert seen == ["Bearer token-1"] * 2 + ["Bearer token-2"] * 2 + ["Bearer token-1"]


def test_it_counts_by_the_clock_that_the_connector_waits_on() -> None:
    clock = VirtualClock()

    async def hurry() -> None:
        async with Fake(echo, rates=Window(5, 60.0), clock=clock) as fake, Hub(clock=clock) as hub:
            begun = clock.now()
            client = Tides(base_url=fake.url, hub=hub, rates=Window(5, 60.0))
            for _ in range(12):
                await client.http.request("GET", "/")
            assert clock.now() - begun >= 120
            assert (fake.requests, fake.refused) == (12, 0)

    clock.run(hurry())


@pytest.mark.parametrize(
    "faults", ["status:503*2", [Fault("status", status=503, times=2)], Faults(Fault("status", status=503, times=2))]
)
async def test_the_script_is_played_and_a_refusal_quotes_the_request(faults: Any) -> None:
    async with Fake(echo, faults=faults) as fake:
        async with Tides(
            base_url=fake.url, auth=BasicAuth("user", "s3cret-word"), retry=RetryPolicy(attempts=1)
        ) as client:
            with pytest.raises(ServerError) as refused:
                await client.http.request("GET", "/")
            async with aiohttp.ClientSession() as session, session.post(fake.url, data=b"s3cret-word") as answer:
                assert answer.status == 503
                assert "s3cret-word" in await answer.text()
            await client.http.request("GET", "/")

        assert fake.faults.hits == {"status": 2}

    assert "Authorization: Basic ***" in refused.value.body


async def test_an_answer_without_end_goes_out_as_it_is_made_and_ends_with_the_fake() -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"drop")
        await asyncio.Event().wait()
        return answer

    async with aiohttp.ClientSession() as session, Fake(drip) as fake, session.get(fake.url) as answer:
        assert await answer.content.read(4) == b"drop"


async def test_what_is_dropped_after_the_work_has_reached_the_application() -> None:
    seen: list[str] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(await request.text())
        return web.Response()

    async with Fake(note, faults="drop_before, drop_after") as fake, Tides(base_url=fake.url) as client:
        for word in (b"before", b"after", b"whole"):
            try:
                await client.http.request("POST", "/", data=word)
            except ConnectionLost:
                continue

    assert seen == ["after", "whole"]


async def test_it_says_what_it_cannot_be_made_of_and_when_it_is_open() -> None:
    for wrong, options in ((3, {}), (echo, {"rates": TokenBucket(1.0, 1)}), (echo, {"faults": "nothing"})):
        with pytest.raises(ConfigError):
            Fake(wrong, **options)  # type: ignore[arg-type] # that is what it says
    fake = Fake(echo)
    with pytest.raises(LifecycleError, match="not open"):
        _ = fake.url
    async with fake:
        assert repr(fake) == f"<Fake of <_AppWorld {fake.url}>, 0 requests, 0 refused>"
    with pytest.raises(LifecycleError, match="entered once"):
        await fake.__aenter__()
