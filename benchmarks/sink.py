"""The server that all peers talk to: it does so little that the client is what is measured.

A POST gets an answer of SQS's shape, a GET a JSON document of some 200 bytes, a POST to ``/observations`` that of TCUP
to 500 of them. ``/stall`` never answers. It runs in a process of its own: ``python -m benchmarks.sink`` prints its
port, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = b'{"token":"t","rows":[' + b",".join(b'{"id":%d,"value":"abcdefgh"}' % i for i in range(6)) + b'],"next":null}'
SENT = (
    b"<SendMessageResponse><SendMessageResult><MessageId>00000000-0000-0000-0000-000000000000</MessageId>"
    b"</SendMessageResult></SendMessageResponse>"
)


def answer(body: bytes, kind: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (kind, len(body), body)


JSON_ANSWER = answer(ROWS, b"application/json")
SQS_ANSWER = answer(SENT, b"text/xml")
STORED = b",".join(b'{"index":%d,"id":"ts%d","code":201,"status":"Created"}' % (i, i % 50) for i in range(500))
TCUP_ANSWER = answer(b'{"code":201,"status":"Created","results":[%s]}' % STORED, b"application/json")


class Sink(asyncio.Protocol):
    """HTTP/1.1 with Content-Length, nothing more; bodies are counted and dropped, never joined."""

    def __init__(self) -> None:
        self.head = b""
        self.left = 0
        self.reply = b""
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        while data:
            if self.left:
                taken = min(self.left, len(data))
                self.left -= taken
                data = data[taken:]
            else:
                head, end, data = (self.head + data).partition(b"\r\n\r\n")
                if not end:
                    self.head = head
                    return
                self.head = b""
                self.begin(head.lower())
            if not self.left:
                self.transport.write(self.reply)
                if self.closing:
                    self.transport.close()
                    return

    def begin(self, head: bytes) -> None:
        _, found, rest = head.partition(b"\r\ncontent-length:")
        self.left = int(rest.partition(b"\r\n")[0]) if found else 0
        self.closing = b"\r\nconnection: close" in head
        posted = b"" if b" /stall" in head else TCUP_ANSWER if b"/observations " in head else SQS_ANSWER
        self.reply = JSON_ANSWER if head.startswith(b"get") else posted


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    gone = asyncio.Event()
    loop.add_reader(sys.stdin, gone.set)  # whoever started us has ended, however: a killed one ends nobody
    await gone.wait()
    server.close()


@contextlib.contextmanager
def running() -> Iterator[str]:
    """The base URL of a sink in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sink"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            process.terminate()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
