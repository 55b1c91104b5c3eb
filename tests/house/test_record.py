"""Traffic in a file, without secrets, and played back with the server gone."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import FormData, web

from asyncconn import Auth, Connector, HeaderKey, Hub, OAuth2, Platform, RetryPolicy, Secret, TokenAuth, Window
from asyncconn.errors import ConfigError, NotFound
from asyncconn.testing import Fake, record, replay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "made-up/t0ken+x"


class Tides(Connector):
    platform = Platform("tides", rates=Window(100, 1.0), retry=RetryPolicy(attempts=1))


class InBody(Auth):
    """Stands in bodies, where only the connector knows it."""

    def secrets(self) -> list[Secret]:
        return [Secret("s3cret-in-body")]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


async def platform(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/heights" if request.method == "POST":
            return web.json_response({"got": (await request.json())["m"]})
        case "/heights":
            at = int(request.query.get("at", "0"))
            return web.json_response({"items": [at, at + 1], "next": at + 2 if at < 4 else None})
        case "/rows":
            text = "".join(f'{{"id": {number}}}\n' for number in range(500))
            return web.Response(
                body=gzip.compress(text.encode()),
                headers={"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"},
            )
        case "/raw":
            return web.Response(body=bytes(range(256)) + TOKEN.encode(), content_type="application/octet-stream")
        case "/whoami":
            shown = request.headers.get("Authorization", "")
            said = {"you": shown, "access_token": "n3w-token", "note": "n3w-token, ü\u2028"}
            return web.Response(text=json.dumps(said, ensure_ascii=False), content_type="application/json")
        case "/token":
            return web.json_response({"access_token": "oauth-t0ken", "expires_in": 3600})
    return web.json_response({"message": "no such thing"}, status=404)


async def script(client: Tides) -> list[Any]:
    found: list[Any] = [item async for item in client.http.pages("/heights", next="next", param="at")]
    found.append(await client.http.call("POST", "/heights", json={"m": 1}))
    found.append(await client.http.call("POST", "/heights", json={"m": 2}))
    found.append([row["id"] async for row in client.http.rows("/rows")])
    with pytest.raises(NotFound) as missing:
        await client.http.call("GET", "/nothing")
    return [*found, missing.value.status, missing.value.message]


async def test_what_was_recorded_is_played_back_with_the_server_gone(tmp_path: Path) -> None:
    path = tmp_path / "tides.jsonl"
    async with Fake(platform) as fake, Hub() as hub:
        url, session = fake.url, hub.session
        async with record(hub, path):
            assert hub.session is not session
            first = await script(Tides(base_url=url, auth=TokenAuth(TOKEN), hub=hub))
        assert hub.session is session
        requests = fake.requests
        await Tides(base_url=url, auth=TokenAuth(TOKEN), hub=hub).http.request("GET", "/heights")  # not on the tape

    assert len(lines(path)) == requests == 7
    async with Hub(session=replay(path)) as hub:
        again = await script(Tides(base_url=url, auth=TokenAuth("another-one"), hub=hub))
    assert again == first
    assert first[:6] == [0, 1, 2, 3, 4, 5]


async def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tides.jsonl"
    async with Fake(platform) as fake, Hub() as hub:
        async with record(hub, path):
            client = Tides(base_url=fake.url, auth=TokenAuth(TOKEN), hub=hub)
            whoami = await client.http.call("GET", "/whoami", params={"api_key": "k3y-in-query", "day": "1"})
            await client.http.request("GET", "/raw")
            await client.http.call("POST", "/heights", json={"m": 1, "password": "pass-w0rd", "note": TOKEN})
            await client.http.request("GET", "/heights", headers={"Cookie": "session=c00kie"})
            keyed = Tides(base_url=fake.url, auth=HeaderKey("X-Key", "plain-k3y"), hub=hub)
            await keyed.http.request("GET", "/heights")
            login = OAuth2(f"{fake.url}/token", "client", "client-s3cret")
            await Tides(base_url=fake.url, auth=login, hub=hub).http.request("GET", "/heights")
            second = client.transport(TokenAuth("second-s3cret"))  # of the same client
            assert "second-s3cret" in (await second.request("GET", "/whoami")).text
            inside = Tides(base_url=fake.url, auth=InBody(), hub=hub)
            await inside.http.call("POST", "/heights", json={"m": 1, "id": "s3cret-in-body"})
        assert whoami["you"] == f"Bearer {TOKEN}"
        assert fake.requests == 9

    text = path.read_text(encoding="utf-8")
    raw = [line for line in lines(path) if line["url"].endswith("/raw")]
    assert "base64" in raw[0]["answer"]["body"]
    secrets = ["made-up", "t0ken", "k3y", "c00kie", "pass-w0rd", "n3w-token", "s3cret"]
    assert [secret for secret in secrets if secret in text] == []
    assert lines(path)[0]["url"].endswith("/whoami?api_key=***&day=1")
    assert json.loads(lines(path)[2]["body"]) == {"m": 1, "password": "***", "note": "***"}
    async with Hub(session=replay(path)) as hub:
        played = Tides(base_url=lines(path)[0]["url"].partition("/whoami")[0], hub=hub)
        whoami = await played.http.call("GET", "/whoami", params={"api_key": "any", "day": "1"})
    assert whoami == {"you": "***", "access_token": "***", "note": "***, ü\u2028"}


async def test_what_was_masked_may_be_anything_when_it_is_played(tmp_path: Path) -> None:
    path = tmp_path / "tides.jsonl"

    async def ask(client: Tides, password: str) -> Any:
        return await client.http.call(
            "POST", "/heights", params={"token": password}, json={"password": password, "m": 3}
        )

    async with Fake(platform) as fake, Hub() as hub:
        url = fake.url
        async with record(hub, path):
            await ask(Tides(base_url=url, hub=hub), "a-pass-w0rd")
    async with Hub(session=replay(path)) as hub:
        assert await ask(Tides(base_url=url, hub=hub), "b") == {"got": 3}


async def test_each_answer_is_given_once_in_order_and_one_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    path, count = tmp_path / "tides.jsonl", 0

    async def counting(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return web.json_response(count)

    async with Fake(counting) as fake, Hub() as hub:
        url = fake.url
        async with record(hub, path):
            for _ in range(3):
                await Tides(base_url=url, hub=hub).http.call("GET", "/n")
    async with Hub(session=replay(path)) as hub:
        client = Tides(base_url=url, hub=hub)
        assert [await client.http.call("GET", "/n") for _ in range(3)] == [1, 2, 3]
        with pytest.raises(ConfigError, match=r"no answer to GET http://\S+/n with this body: left are none"):
            await client.http.call("GET", "/n")
    async with Hub(session=replay(path)) as hub:
        client = Tides(base_url=url, hub=hub)
        with pytest.raises(ConfigError, match="3 are left for it with another query or body"):
            await client.http.call("GET", "/n", params={"q": 1})
        for method in ("POST", "DELETE"):
            with pytest.raises(ConfigError, match=r"left are GET http://\S+/n"):
                await client.http.call(method, "/n")


async def test_a_call_gets_the_answer_to_its_own_body(tmp_path: Path) -> None:
    path = tmp_path / "tides.jsonl"
    async with Fake(platform) as fake, Hub() as hub:
        url = fake.url
        async with record(hub, path):
            for height in (1, 2):
                await Tides(base_url=url, hub=hub).http.call("POST", "/heights", json={"m": height})
    async with Hub(session=replay(path)) as hub:
        client = Tides(base_url=url, hub=hub)
        for height in (2, 1):
            assert await client.http.call("POST", "/heights", json={"m": height}) == {"got": height}


async def test_a_call_that_was_not_answered_is_not_on_the_tape(tmp_path: Path) -> None:
    path = tmp_path / "tides.jsonl"
    async with Fake(platform, faults="drop_after, half_body") as fake, Hub() as hub:
        url = fake.url
        async with record(hub, path):
            client = Tides(base_url=url, hub=hub, retry=RetryPolicy(attempts=3, initial=0.01, maximum=0.02))
            assert await client.http.call("GET", "/heights", params={"at": 4}) == {"items": [4, 5], "next": None}
        assert fake.requests == 3

    assert [line["answer"]["status"] for line in lines(path)] == [200]
    async with Hub(session=replay(path)) as hub:
        assert (await Tides(base_url=url, hub=hub).http.call("GET", "/heights", params={"at": 4}))["items"] == [4, 5]


async def test_streamed_bodies_and_forms_are_played_by_their_place(tmp_path: Path) -> None:
    path = tmp_path / "tides.jsonl"

    async def body() -> AsyncIterator[bytes]:
        yield b"high"

    def form() -> FormData:
        made = FormData()
        made.add_field("file", b"high", filename="tide.csv")
        return made

    async def send(client: Tides) -> list[int]:
        return [(await client.http.request("PUT", "/heights", data=data)).status for data in (body, form)]

    async def take(request: web.Request) -> web.Response:
        assert b"high" in await request.read()
        return web.Response(status=201)

    async with Fake(take) as fake, Hub() as hub:
        url = fake.url
        async with record(hub, path):
            assert await send(Tides(base_url=url, hub=hub)) == [201, 201]
    assert [line["body"] for line in lines(path)] == [None, None]
    async with Hub(session=replay(path)) as hub:
        assert await send(Tides(base_url=url, hub=hub)) == [201, 201]


async def test_a_hub_that_closes_inside_the_block_closes_its_own_session(tmp_path: Path) -> None:
    path = tmp_path / "tides.jsonl"
    async with Fake(platform) as fake:
        hub = Hub()
        async with record(hub, path):
            session = hub.session
            await Tides(base_url=fake.url, hub=hub).http.request("GET", "/heights")
            await hub.aclose()

    assert session.closed
    assert len(lines(path)) == 1


@pytest.mark.parametrize("text", [None, "{}\n", "nonsense\n", '{"url": 1}\n'])
async def test_a_file_that_is_no_recording_is_an_error_that_names_it(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "tides.jsonl"
    if text is not None:
        path.write_text(text)
    async with Hub(session=replay(path)) as hub:
        with pytest.raises(ConfigError, match=r"tides\.jsonl"):
            await Tides(base_url="http://127.0.0.1:1", hub=hub).http.call("GET", "/n")
