"""What is known of a connection just before a request goes out on it, and of an address after none could be had."""

from __future__ import annotations

import select
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import aiohttp

if TYPE_CHECKING:
    from aiohttp.connector import Connection

__all__ = ["Stale", "forget_address", "pool_is_full", "unwatched", "usable", "watched"]

#: Connections that a request has gone out on: only on these can anything be that no request of ours asked for. With
#: each, how to ask the system whether there is something to read.
_used: WeakKeyDictionary[Any, Callable[[], object]] = WeakKeyDictionary()


class Stale(Exception):
    """A resting connection that cannot be used again; nothing was written to it."""


def usable(connection: Connection) -> bool:
    """Whether a request may go out on it: not if it is closing, or holds bytes that no request has asked for.

    What came while it rested would be taken for the answer to the next call. That is in the library's buffer, or still
    in the system's, if the loop has had no turn to fetch it; there, a server's goodbye is found in time as well.
    """
    protocol = connection.protocol
    if protocol is None:
        return False
    readable = _used.get(protocol)
    if readable is None:
        _used[protocol] = _question(connection)
        return True
    return not protocol.should_close and not readable()


def _question(connection: Connection) -> Callable[[], object]:
    transport = connection.transport
    socket = None if transport is None else transport.get_extra_info("socket")
    if socket is None:
        return lambda: False
    descriptor = socket.fileno()
    if not hasattr(select, "poll"):
        return lambda: select.select([descriptor], (), (), 0)[0]
    poll = select.poll()  # unlike select(), for descriptors of any number
    poll.register(descriptor, select.POLLIN)
    return partial(poll.poll, 0)


def watched(
    request: aiohttp.ClientRequest, began: Callable[[], object], written: Callable[[], object] | None = None
) -> None:
    """Have ``began`` called just before the first byte of ``request`` is written, and ``written`` after its sending.

    Its sending raises :class:`Stale` instead where the connection is not usable; the caller then takes another one.
    It is watched by its own method for it: aiohttp's tracing would cost a fifth of a call.
    """
    send = request.send

    async def sending(connection: Connection) -> aiohttp.ClientResponse:
        if not usable(connection):
            raise Stale
        unwatched(request)
        began()
        answer = await send(connection)
        if written is not None:
            written()
        return answer

    request.send = sending  # type: ignore[assignment, method-assign] # there is no hook between connecting and sending


def unwatched(request: aiohttp.ClientRequest) -> None:
    """Let go of a watched request: it and what watches it would keep each other, and the credential in it, alive."""
    vars(request).pop("send", None)


async def on_a_usable_connection(
    handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]], request: aiohttp.ClientRequest
) -> aiohttp.ClientResponse:
    """Send a :func:`watched` request, on as many connections as it takes: each stale one is closed, so this ends."""
    while True:
        try:
            return await handler(request)
        except Stale:
            continue


def forget_address(session: aiohttp.ClientSession, request: aiohttp.ClientRequest) -> None:
    """After no connection could be had: look the name up anew next time, as the service may have moved."""
    url = request.proxy or request.url
    if isinstance(session.connector, aiohttp.TCPConnector) and url.raw_host is not None:
        session.connector.clear_dns_cache(url.raw_host, url.port)


def pool_is_full(session: aiohttp.ClientSession) -> bool:
    """Whether every connection that the session may have is in use, as far as the library lets one see."""
    connector = session.connector
    return bool(connector is not None and 0 < connector.limit <= len(getattr(connector, "_acquired", ())))
