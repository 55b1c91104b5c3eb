"""A plain HTTP client for the embedded Datorama, and a clock that stands still."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from asyncconn.core.clock import VirtualClock
from asyncconn.sandbox import DatoramaWorld, PanoplyWorld, Sandbox

from .scene import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from asyncconn.sandbox import Fault
    from asyncconn.sandbox.datorama import Live

#: The moment of the contract's samples.
START = datetime(2026, 1, 1, tzinfo=UTC)
WORKSPACE, STREAM, FILES = 41001, 7700101, 7700102
STAT = 900000001


class Api:
    """Calls with a token, the first one unless told."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    @property
    def world(self) -> Live:
        return self.sandbox.datorama.live

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: int | None = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = self.sandbox.datorama.tokens[token]
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        url = self.sandbox.datorama.url + path
        async with self.session.request(method, url, data=data, headers=sent) as response:
            return await Reply.of(response)

    async def ok(self, method: str, path: str, body: object = None, *, token: int = 0) -> Any:
        """The JSON of an answer 200 or 201."""
        reply = await self(method, path, body, token=token)
        assert reply.status in (200, 201), (reply.status, reply.text)
        return reply.json

    async def statuses(
        self, number: int, path: str = "/v1/workspaces", method: str = "GET", body: object = None
    ) -> str:
        """``number`` calls after another: a dot for each that was let through, x for each 429."""
        return "".join(["x" if (await self(method, path, body)).status == 429 else "." for _ in range(number)])

    def advance(self, seconds: float) -> None:
        self.sandbox.datorama.clock.advance(seconds)


@asynccontextmanager
async def datorama(*faults: Fault, **options: Any) -> AsyncIterator[Api]:
    """One workspace with an API stream and a TotalConnect stream, unless told; the clock stands still."""
    world = DatoramaWorld(
        **{"workspaces": 1, "streams": 2, "file_every": 2, "seed": 1, "outcomes": {"SUCCESS": 1}, **options}
    )
    async with (
        Sandbox(world, PanoplyWorld(), faults=faults, clock=VirtualClock(START)) as sandbox,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session,
    ):
        yield Api(sandbox, session)
