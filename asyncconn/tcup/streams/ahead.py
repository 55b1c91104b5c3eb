"""A socket for who reads it byte by byte."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

__all__ = ["ReadAhead"]

_AT_ONCE = 65_536  # bytes


class ReadAhead:
    """What paho needs of a connected socket: the system is asked once for all that has come.

    :meth:`pending` bytes are here, of which no readiness of the socket tells.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._rest = memoryview(b"")
        self.send = sock.send
        self.close = sock.close
        self.fileno = sock.fileno
        self.setblocking = sock.setblocking

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes; raises as the socket does."""
        if not self._rest:
            self._rest = memoryview(self._sock.recv(_AT_ONCE))
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)

    def pending(self) -> int:
        """Bytes that can be had without waiting."""
        if self._rest or not isinstance(self._sock, ssl.SSLSocket):
            return len(self._rest)
        return self._sock.pending()
