"""A sandbox that stands and a client for it, and how many sockets are open."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
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


def open_sockets() -> int:
    return sum(1 for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and _is_socket(fd))


def _is_socket(fd: Path) -> bool:
    try:
        return str(fd.readlink()).startswith("socket:")
    except FileNotFoundError:  # the listing's own descriptor is gone by now
        return False
