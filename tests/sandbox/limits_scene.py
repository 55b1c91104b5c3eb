"""The two servers of Atoti Limits, and a plain client for them; nothing of a real connector is in it."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from captures import ATOTI_LIMITS as CAPTURES

from asyncconn.sandbox import Call, Fault, Faults
from asyncconn.sandbox.atoti_limits import FakeAtotiSession, FakeLimitsServer

from . import scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


STRUCTURE: dict[str, Any] = CAPTURES["v2_structures_save"]["request"]["json"][0]
LIMIT: dict[str, Any] = CAPTURES["v2_limits_save"]["request"]["json"][0]
PIVOT = "/activeviam/pivot/rest/v10"
CONNECT, CONNECTED, DISCONNECT = (f"/limits/autoconfig/{word}" for word in ("connect", "connected", "disconnect"))
REST = "/limits/rest/v2"
DEFINITION = f"{REST}/limitDefinition"


def basic(user: str, password: str | None = None) -> dict[str, str]:
    word = user if password is None else password
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()}


class Reply(scene.Reply):
    @property
    def error(self) -> str:
        return str(self.json["error"])


class Client:
    """Sends one request, as ``user`` with the name as password; None sends no credentials."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str | None = "admin",
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> Reply:
        sent = {**(basic(user) if user else {}), **(headers or {})}
        given: dict[str, Any] = {"json": body} if body is not None else {"data": data}
        async with self.http.request(method, self.url + path, headers=sent, **given) as response:
            return await Reply.of(response)

    async def upload(self, what: str, text: str | bytes, *, user: str = "admin", part: str = "file") -> Reply:
        form = aiohttp.FormData()
        content = text.encode() if isinstance(text, str) else text
        form.add_field(part, content, filename="some.csv", content_type="text/csv")
        return await self("POST", f"{DEFINITION}/upload{what}", data=form, user=user)


@asynccontextmanager
async def plain_http() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(5)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield http
    await asyncio.sleep(0)


@asynccontextmanager
async def atoti(**knobs: Any) -> AsyncIterator[tuple[FakeAtotiSession, Client]]:
    """A session alone."""
    async with FakeAtotiSession(**knobs) as session, plain_http() as http:
        yield session, Client(http, session.url)


@asynccontextmanager
async def limits(**knobs: Any) -> AsyncIterator[tuple[FakeLimitsServer, Client]]:
    """A Limits server alone, which takes ``atoti`` for connected."""
    async with FakeLimitsServer(**knobs) as server, plain_http() as http:
        server.connect("atoti")
        yield server, Client(http, server.url)


@dataclass(frozen=True)
class Both:
    session: FakeAtotiSession
    limits: FakeLimitsServer
    ask: Client
    rest: Client

    async def connect(self, **changed: Any) -> Reply:
        body = {"atotiBaseUrl": self.session.url, "limitsBaseUrl": self.limits.url, "serverName": "atoti", **changed}
        return await self.ask("POST", CONNECT, body)

    async def connected(self) -> Any:
        return (await self.ask("GET", CONNECTED)).json

    async def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.rest("GET", f"{REST}/connections")).json
        return found


@asynccontextmanager
async def both(
    session: Mapping[str, Any] | None = None, limits: Mapping[str, Any] | None = None, **common: Any
) -> AsyncIterator[Both]:
    async with FakeLimitsServer(**{**common, **(limits or {})}) as server:
        knobs = {"limits_url": server.url, "connection_delay": 0.01, **common, **(session or {})}
        async with FakeAtotiSession(**knobs) as fake, plain_http() as http:
            yield Both(fake, server, Client(http, fake.url), Client(http, server.url))


def recording(seen: list[Call]) -> Faults:
    """A script that strikes nothing and notes every request."""

    def note(call: Call) -> bool:
        seen.append(call)
        return False

    return Faults(Fault("delay", seconds=0, match=note))


def shape(value: Any) -> Any:
    """Keys and types only; of an array, the shape of its first item."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


async def seeded(rest: Client, **structure: Any) -> None:
    """The captured structure (approving at once) and limit."""
    given = {**STRUCTURE, "limitChangesWorkflow": "StraightThrough", **structure}
    assert (await rest("POST", f"{DEFINITION}/structure/save", [given])).status == 200
    assert (await rest("POST", f"{DEFINITION}/limits/save", [LIMIT])).status == 200
