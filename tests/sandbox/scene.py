"""A sandbox that stands and a client for it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from asyncconn.sandbox import Sandbox, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def standing(*worlds: World, **options: Any) -> AsyncIterator[tuple[Sandbox, aiohttp.ClientSession]]:
    timeout = aiohttp.ClientTimeout(5)
    async with Sandbox(*worlds, **options) as sandbox, aiohttp.ClientSession(sandbox.url, timeout=timeout) as http:
        yield sandbox, http
    await asyncio.sleep(0)
