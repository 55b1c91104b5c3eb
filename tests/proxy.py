"""A proxy on a loopback socket that writes down what it is asked for, and does as the test says."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from loopback import Server


class Proxy(Server):
    """Passes on what it gets; with ``says`` it answers that itself instead, with ``silent`` nothing at all.

    ``asked`` are the request lines, ``shown`` the values of ``Proxy-Authorization``.
    """

    def __init__(self, says: bytes | None = None, *, silent: bool = False) -> None:
        super().__init__(self._pass_on)
        self.asked: list[str] = []
        self.shown: list[str | None] = []
        self._says = says
        self._silent = silent

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
        self.asked.append(line)
        self.shown.append(headers.get("proxy-authorization"))
        if self._silent:
            await asyncio.Event().wait()
        if self._says is not None:
            writer.write(self._says)
            await writer.drain()
            return
        method, target, _ = line.split(" ", 2)
        where = urlsplit(target if "://" in target else f"//{target}")
        there, to_there = await asyncio.open_connection(where.hostname, where.port)
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                to_there.write(head)
            await asyncio.gather(_piped(reader, to_there), _piped(there, writer))
        finally:
            to_there.close()


async def _piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
