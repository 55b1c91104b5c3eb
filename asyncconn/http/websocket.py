"""A WebSocket of a connector: opened with its credential over its hub's network, and refused in its platform's words.

The only importer of ``websockets``, and imported by who opens the first one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import TYPE_CHECKING

from multidict import CIMultiDict
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, ProxyError
from websockets.frames import Opcode

from asyncconn.errors import ConnectFailed, ProtocolError
from asyncconn.http.failures import translated
from asyncconn.http.response import Response
from asyncconn.http.session import ProxyRule

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from asyncconn.http.exchange import Call
    from asyncconn.http.session import Network
    from asyncconn.http.transport import Transport

__all__ = ["ClientConnection", "Dialler", "received"]

_FRAMES = 16  # that the library holds; what is behind them stays with the server
_FAREWELL = 2.0  # seconds for the other side to close


class Dialler:
    """Opens WebSockets at ``path``, one after the other.

    Of a message at most ``max_bytes`` are taken; a longer one ends the connection with 1009. Nothing is compressed: one
    packet could become thousands of messages. Nobody pings: who reads knows when the other side may be taken for dead.

        >>> dialler = Dialler(self.http, hub.network, "/v1/feed", params={"topic": "test"}, max_bytes=1_048_576)
        >>> socket = await dialler.dial()
        >>> await socket.close()
    """

    def __init__(
        self, transport: Transport, network: Network, path: str, *, params: Mapping[str, Any], max_bytes: int
    ) -> None:
        self._transport = transport
        self._network = network
        self._path = path
        self._params = params
        self._max_bytes = max_bytes
        self._trusted: ssl.SSLContext | None = None
        self._known = False

    async def dial(self) -> ClientConnection:
        """A connection. Raises ``NotSent``, what the refusal means, and ``ProtocolError`` for what is no WebSocket."""
        found = await self._transport.upgrade(self._path, self._dialled, params=self._params)
        self._known = True
        return found

    async def _dialled(self, call: Call) -> ClientConnection | Response:
        secure = call.url.scheme == "https"
        if secure and self._trusted is None:
            self._trusted = await asyncio.to_thread(self._network.context)  # it reads files
        options: dict[str, Any] = {"ssl": self._trusted} if secure else {}
        proxy = ProxyRule.of(self._network).proxy(call.url)
        try:
            return await _Connect(
                str(call.url.with_scheme("wss" if secure else "ws")),
                additional_headers={**call.headers, **call.auth},
                user_agent_header=None,  # ours is among the headers
                compression=None,
                max_size=self._max_bytes,
                max_queue=_FRAMES,
                ping_interval=None,
                open_timeout=None,
                close_timeout=_FAREWELL,
                proxy=None if proxy is None else proxy.whole(),
                logger=_Discreet(logging.getLogger("asyncconn.websocket"), {}),
                **options,
            )
        except InvalidStatus as refused:
            said = refused.response
            headers = CIMultiDict(said.headers.raw_items())
            return Response(call.service, call.method, call.path, said.status_code, headers, bytes(said.body or b""))
        except ProxyError as error:
            raise ConnectFailed(f"{call.what}: the proxy did not let it through to {call.host}") from error
        except (InvalidMessage, EOFError) as error:
            if isinstance(error, EOFError) or isinstance(error.__cause__, EOFError | ConnectionError):
                raise ConnectFailed(
                    f"{call.what}: the connection was closed without an answer by {call.host}"
                ) from error
            raise ProtocolError(f"{call.what}: the answer is not HTTP, from {call.host}") from error
        except InvalidHandshake as error:
            raise ProtocolError(f"{call.what}: {call.host} speaks no WebSocket there") from error
        except OSError as error:
            if self._known and isinstance(error, socket.gaierror):
                error = socket.gaierror(socket.EAI_AGAIN, "the name was known before, and is not now")
            ours = translated(error, call.what, host=call.host, sent=False)
            if ours is None:
                raise
            raise ours from error


async def received(socket: ClientConnection) -> list[bytes]:
    """The messages that have come and nobody has taken: one at least, in order. Raises ``ConnectionClosed``.

    The library hands out one a call, which costs more than all else that is done for one. Those that are whole are
    taken out of its queue here, which makes it go on reading as its own way does.
    """
    found = [await socket.recv(decode=False)]
    frames = socket.recv_messages.frames.queue
    while frames and frames[0].fin and frames[0].opcode is not Opcode.CONT:
        found.append(bytes(frames.popleft().data))
    socket.recv_messages.maybe_resume()
    return found


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow none: the credential is for nobody else."""
        return exc


class _Discreet(logging.LoggerAdapter[logging.Logger]):
    """The library's debug lines quote headers and messages."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's own name
        return level > logging.DEBUG and super().isEnabledFor(level)
