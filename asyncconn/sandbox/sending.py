"""An answer on its way: whole, in pieces, as a WebSocket, or broken off."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, web

from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.sockets import Socket

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["HungUp", "hang_up", "send", "send_half"]

_WITHOUT_BODY = frozenset({204, 304})
# How long a WebSocket waits for the other side's farewell; within what the sandbox takes to end.
_FAREWELL_SECONDS = 0.5
# Above every platform's own limit, so that it is the platform that refuses.
_LARGEST_MESSAGE_BYTES = 64 * 1024 * 1024
_HALF_A_MESSAGE = b'\x81\x10{"'  # a text message of 16 bytes, of which two come


class HungUp(web.Response):
    """Nothing: the connection is closed. aiohttp wants one, and finds no socket to write it to."""


async def send(answer: Answer, request: web.Request) -> web.StreamResponse:
    """Send it to its end. Raises ``ConnectionError`` when the client is gone before."""
    answer = _fitting(answer, request)
    if answer.upgrade is not None:
        return await _talk(answer, request)
    response = await (_whole(answer, request) if answer.pieces is None else _begun(answer, request))
    if answer.pieces is not None and request.method != "HEAD":
        async with aclosing(_pieces(answer)) as pieces:
            async for piece in pieces:
                await response.write(piece)
    await response.write_eof()
    return response


async def send_half(answer: Answer, request: web.Request) -> web.StreamResponse:
    """Break off in the middle: of the body, of its first piece where its length is not known, of a socket's message."""
    answer = _fitting(answer, request)
    if answer.upgrade is not None:
        socket = await _open(answer, request)
        if request.transport is not None:
            request.transport.write(_HALF_A_MESSAGE)
        return socket
    response = await _begun(answer, request)
    left = None if response.content_length is None else response.content_length // 2
    async with aclosing(_pieces(answer)) as pieces:
        async for piece in pieces:
            left = len(piece) // 2 if left is None else left
            await response.write(piece[:left])
            left -= len(piece)
            if left <= 0:
                break
    return response


def hang_up(request: web.Request) -> HungUp:
    """Close the connection, whatever was sent on it."""
    if request.transport is not None:
        request.transport.close()
    return HungUp()


def _fitting(answer: Answer, request: web.Request) -> Answer:
    """No WebSocket for a client that did not ask for one."""
    if answer.upgrade is None or web.WebSocketResponse().can_prepare(request):
        return answer
    return Answer(426, b"Here is a WebSocket.\n", headers={"Upgrade": "websocket", "Connection": "Upgrade"})


def _headers(answer: Answer) -> dict[str, str]:
    return {"Content-Type": answer.content_type, **answer.headers}


async def _whole(answer: Answer, request: web.Request) -> web.StreamResponse:
    body = b"" if answer.status in _WITHOUT_BODY else answer.body
    response = web.Response(status=answer.status, body=body, headers=_headers(answer))
    await response.prepare(request)
    return response


async def _begun(answer: Answer, request: web.Request) -> web.StreamResponse:
    """Headers only; the body is written piece by piece."""
    response = web.StreamResponse(status=answer.status, headers=_headers(answer))
    response.content_length = len(answer.body) if answer.pieces is None else answer.length
    await response.prepare(request)
    return response


async def _pieces(answer: Answer) -> AsyncGenerator[bytes, None]:
    if answer.pieces is None:
        yield answer.body
        return
    try:
        if hasattr(answer.pieces, "__aiter__"):
            async for piece in answer.pieces:
                yield piece
        else:
            for piece in answer.pieces:
                yield piece
    finally:
        if (aclose := getattr(answer.pieces, "aclose", None)) is not None:
            await aclose()


async def _open(answer: Answer, request: web.Request) -> Socket:
    socket = Socket(
        timeout=_FAREWELL_SECONDS,
        protocols=answer.protocols,
        autoping=not answer.own_pings,
        max_msg_size=_LARGEST_MESSAGE_BYTES,
    )
    socket.headers.update(answer.headers)
    await socket.prepare(request)
    return socket


async def _talk(answer: Answer, request: web.Request) -> web.WebSocketResponse:
    socket = await _open(answer, request)
    if answer.upgrade is not None:
        try:
            await answer.upgrade(socket)
        except asyncio.CancelledError:
            await socket.close(code=WSCloseCode.GOING_AWAY)
            raise
        await socket.close()
    return socket
