"""Server-sent events: a pure parser of the WHATWG event stream. Bytes in, events out, however they are cut."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncconn.core.decoding import json_of
from asyncconn.errors import ProtocolError

if TYPE_CHECKING:
    from asyncconn.core.decoding import Json

__all__ = ["EventParser", "ServerEvent"]

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"
_DIGITS = 9  # of milliseconds: a pause of days


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its kind, its lines of ``data`` joined by newlines, and the last ``id`` that the stream has named."""

    data: str
    event: str = "message"
    id: str = ""

    def json(self) -> Json:
        """The data, decoded. Raises ``ProtocolError`` where it is no JSON."""
        try:
            found: Json = json_of(self.data.encode())
        except ValueError as error:
            raise ProtocolError(f"the data of a server-sent event is no JSON: {error}") from None
        return found


class EventParser:
    """Turns the chunks of one ``text/event-stream`` into events; a new stream needs a new parser.

        >>> parser = EventParser()
        >>> parser.feed(b"id: 7\\ndata: warm")
        []
        >>> parser.feed(b" day\\r\\n\\r\\n")
        [ServerEvent(data='warm day', event='message', id='7')]

    An event is handed out with the line that ends it, and one that the stream leaves unfinished never. ``retry`` is the
    pause in seconds that the server asked for before the next connection, None if it did not. An event that takes more
    than ``max_bytes`` raises ``ProtocolError``: with it the stream has lost its place, and the parser its use.
    """

    def __init__(self, *, max_bytes: int = 1024 * 1024) -> None:
        self.retry: float | None = None
        self.last_id = ""
        self._max_bytes = max_bytes
        self._line: list[bytes] = []  # pieces of one that has not ended
        self._length = 0  # bytes of them
        self._kept = 0  # bytes of the data lines before it
        self._first = True
        self._after_cr = False
        self._data: list[str] = []
        self._event = ""

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that end within ``chunk``."""
        if self._after_cr and chunk[:1] == b"\n":  # the other half of a line end that is over already
            chunk, self._after_cr = chunk[1:], False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        found: list[ServerEvent] = []
        *ended, begun = _LINE_END.split(chunk)
        for piece in ended:
            self._hold(piece)
            line = b"".join(self._line)
            self._line, self._length = [], 0
            if self._first:
                line, self._first = line.removeprefix(_BOM), False
            if line:
                self._field(line)
            else:
                if self._data:
                    found.append(ServerEvent("\n".join(self._data), self._event or "message", self.last_id))
                self._data, self._kept, self._event = [], 0, ""
        if begun:
            self._hold(begun)
        return found

    def _hold(self, piece: bytes) -> None:
        self._line.append(piece)
        self._length += len(piece)
        if self._kept + self._length > self._max_bytes:
            self._line, self._data = [], []
            raise ProtocolError(f"a server-sent event takes more than {self._max_bytes:,} bytes: raise max_bytes")

    def _field(self, line: bytes) -> None:
        # A line end is no part of a character, so that each line can be decoded by itself.
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
                self._kept += len(line)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self.last_id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) <= _DIGITS:
                self.retry = int(value) / 1000
