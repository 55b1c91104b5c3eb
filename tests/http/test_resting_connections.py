"""An answer that came while its connection rested is nobody's, and a goodbye found in time costs no call."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import aiohttp
import pytest
from senders import both, sending

from asyncconn.hub import Hub

if TYPE_CHECKING:
    from types import TracebackType

ASKED = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"MessageId":"1"}'
UNASKED = ASKED.replace(b"200 OK", b"404 Not yours")


class Talkative:
    """A server in a thread: it answers each request; on its first connection it then says ``more``, and may hang up.

    Its thread works while the loop does not: what it says then is in the system's buffer and nowhere else.
    """

    def __init__(self, more: bytes, *, hangs_up: bool = False) -> None:
        self.connections = 0
        self.said = threading.Event()
        self.speak = threading.Event()
        self._more = more
        self._hangs_up = hangs_up
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.speak.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(connection, self.connections)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(ConnectionError), connection, connection.makefile("rb") as lines:
            while self._request(lines):
                connection.sendall(ASKED)
                if number == 1 and not self.said.is_set():
                    self.speak.wait()
                    connection.sendall(self._more)
                    if self._hangs_up:
                        connection.shutdown(socket.SHUT_WR)
                    self.said.set()

    @staticmethod
    def _request(lines: object) -> bool:
        length = 0
        while (line := lines.readline()) not in (b"\r\n", b""):  # type: ignore[attr-defined] # a file
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if length:
            lines.read(length)  # type: ignore[attr-defined] # as above
        return bool(line)


CASES = [(UNASKED, False), (b"HTTP/1.1 408 Bored\r\n\r\n", True), (b"", True)]


@both
@pytest.mark.parametrize("seen", [True, False], ids=["read by the loop", "in the system's buffer"])
@pytest.mark.parametrize("owned", [True, False], ids=["own session", "borrowed session"])
@pytest.mark.parametrize(("more", "hangs_up"), CASES, ids=["an answer", "408 and a goodbye", "a goodbye"])
async def test_what_came_unasked_is_never_the_next_calls_answer(
    sender: str, seen: bool, owned: bool, more: bytes, hangs_up: bool
) -> None:
    session = None if owned else aiohttp.ClientSession()
    with Talkative(more, hangs_up=hangs_up) as server:
        async with Hub(session=session) as hub, sending(hub, server.url, sender) as send:
            await send()
            server.speak.set()
            assert server.said.wait(5.0)  # without a turn for the loop
            if seen:
                for _ in range(10):
                    await asyncio.sleep(0)
            await send()
        if session is not None:
            await session.close()

    assert server.connections == 2


@both
async def test_a_connection_on_which_nothing_came_is_used_again(sender: str) -> None:
    with Talkative(b"") as server:
        server.speak.set()
        async with Hub() as hub, sending(hub, server.url, sender) as send:
            for _ in range(3):
                await send()

    assert server.connections == 1
