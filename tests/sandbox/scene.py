"""A sandbox that stands, a client for it, and what it answers."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from asyncconn.sandbox import Sandbox, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @classmethod
    async def of(cls, response: aiohttp.ClientResponse) -> Self:
        return cls(response.status, await response.read(), response.headers)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@asynccontextmanager
async def standing(*worlds: World, **options: Any) -> AsyncIterator[tuple[Sandbox, aiohttp.ClientSession]]:
    timeout = aiohttp.ClientTimeout(5)
    async with Sandbox(*worlds, **options) as sandbox, aiohttp.ClientSession(sandbox.url, timeout=timeout) as http:
        yield sandbox, http
    await asyncio.sleep(0)
