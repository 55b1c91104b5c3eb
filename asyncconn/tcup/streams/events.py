"""Server-sent events of TCUP: topics, queues and the feed, gone on with after a break. Contract: tcup 2.2, 4.6."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from asyncconn.core.retrying import ONCE
from asyncconn.errors import ProtocolError, StreamLost, TransportError
from asyncconn.tcup.streams.finality import Finality
from asyncconn.tcup.streams.messages import Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from asyncconn.http.events import EventStream
    from asyncconn.tcup.calling import Service
    from asyncconn.tcup.streams.inbox import Inbox

__all__ = ["StreamEvent", "Viewer"]

_LARGEST = 1024 * 1024 + 4096  # bytes of an event: a document, and what stands around it
_SILENCE = 45.0  # seconds: the server says something every 15


class StreamEvent(Message):
    """A message with the ``id`` by which the server can go on after it, and the kind of ``event``, mostly "message"."""

    __slots__ = ("event", "id")

    def __init__(self, topic: str, payload: bytes, *, event: str, id: str) -> None:  # noqa: A002 - the standard's word
        super().__init__(topic, payload)
        self.event = event
        self.id = id


class Viewer:
    """Opens streams of events that put them into an inbox, each after the last event that was handed over.

    What waits in the inbox at a break stays there, and is passed over when it comes again.
    """

    def __init__(
        self, service: Service, call: str, params: Mapping[str, str], name: str, *, last_id: str, timeout: float
    ) -> None:
        self.last_id = last_id
        self.final = Finality()
        self._service = service
        self._call = call
        self._params = params
        self.name = name
        self.topic = params.get("topic", "")
        self._timeout = timeout
        self._repeats = params.get("type") != "queue"
        self.ahead: deque[StreamEvent] = deque()  # received, and not handed over

    def handed(self, event: StreamEvent) -> None:
        """One of them was: the next connection goes on after it."""
        self.ahead.popleft()
        self.last_id = event.id

    @asynccontextmanager
    async def connect(self, inbox: Inbox[StreamEvent]) -> AsyncIterator[_Viewing]:
        """One connection."""
        options: dict[str, Any] = {"params": self._params, "idle_timeout": _SILENCE, "timeout": self._timeout}
        opening = self._service.server_events(
            self._call, last_id=self.last_id, max_event_bytes=_LARGEST, retry=ONCE, **options
        )
        # Of now: what is handed over until the answer comes is repeated all the same.
        again = {(event.id, event.payload) for event in self.ahead if event.id}
        missed = "" if self.last_id and self._repeats else "what came meanwhile is not repeated"
        async with opening as stream:
            self.final.was_live = True
            yield _Viewing(self, stream, inbox, again, missed)


class _Viewing:
    def __init__(
        self, viewer: Viewer, stream: EventStream, inbox: Inbox[StreamEvent], again: set[tuple[str, bytes]], missed: str
    ) -> None:
        self.missed = missed
        self._viewer = viewer
        self._stream = stream
        self._inbox = inbox
        self._again = again

    async def ended(self) -> None:
        viewer, again = self._viewer, self._again
        try:
            async for said in self._stream:
                event = StreamEvent(viewer.topic, said.data.encode(), event=said.event, id=said.id)
                if (event.id, event.payload) in again:
                    again.discard((event.id, event.payload))
                    continue
                viewer.ahead.append(event)
                await self._inbox.put(event)
        except ProtocolError as error:
            error.permanent = True  # the same event would come again
            raise
        except TransportError as error:
            raise self._lost(f"{viewer.name}: {error.message}") from error
        if not self._stream.over:
            raise self._lost(f"{viewer.name}: the server has ended the stream")

    def _lost(self, message: str) -> StreamLost:
        error = StreamLost(message)
        error.retry_after = self._stream.retry
        return error
