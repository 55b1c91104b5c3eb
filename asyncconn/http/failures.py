"""What aiohttp's errors mean to a caller: surely not sent, perhaps sent, or not an answer at all."""

from __future__ import annotations

import aiohttp

from asyncconn.errors import (
    AsyncConnError,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    HubClosed,
    ProtocolError,
    ReadTimeout,
)

__all__ = ["translated"]

# In this order: aiohttp's classes inherit from one another across the line between sent and not sent.
_MEANING: tuple[tuple[type[Exception], type[AsyncConnError], str], ...] = (
    (aiohttp.InvalidURL, ConfigError, "the URL is not valid"),
    (aiohttp.ConnectionTimeoutError, ConnectTimeout, "no connection in time"),
    (aiohttp.ClientConnectorError, ConnectFailed, "no connection"),
    (aiohttp.ServerTimeoutError, ReadTimeout, "no complete answer in time"),
    (aiohttp.ClientPayloadError, ConnectionLost, "the answer broke off"),
    (aiohttp.ClientConnectionError, ConnectionLost, "the connection broke"),
    (aiohttp.ClientResponseError, ProtocolError, "the answer is not HTTP"),
    (aiohttp.ClientError, ConnectionLost, "the exchange failed"),
    (TimeoutError, ReadTimeout, "no complete answer in time"),
    (OSError, ConnectionLost, "the connection broke"),
)


def translated(error: BaseException, what: str) -> AsyncConnError | None:
    """Our error for a stranger's, ``what`` naming the call; None for our own and for what is not the network's."""
    if isinstance(error, AsyncConnError):
        return None
    for theirs, ours, words in _MEANING:
        if isinstance(error, theirs):
            # Their text stays in the cause: some of their errors quote headers or URLs.
            return ours(f"{what}: {words}")
    if isinstance(error, RuntimeError) and str(error) == "Session is closed":
        return HubClosed(f"{what}: the session was closed")
    return None
