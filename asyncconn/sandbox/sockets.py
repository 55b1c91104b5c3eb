"""The server's side of a WebSocket, which can be broken off, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import asyncio

    from aiohttp.abc import AbstractStreamWriter

__all__ = ["Socket"]


class Socket(web.WebSocketResponse):
    """``transport`` is its connection's, None before it is open; to abort that is to vanish without a farewell."""

    transport: asyncio.Transport | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Open it."""
        self.transport = request.transport
        return await super().prepare(request)
