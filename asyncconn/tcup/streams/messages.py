"""A subscription as an async iterator: messages one by one, each acknowledged when it has been handled."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypeVar

import orjson

from asyncconn.core.supervise import Change, Link, Reconnect, Supervisor, cannot_get_better
from asyncconn.core.tasks import reap
from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.tcup.streams.inbox import Inbox, Overflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from asyncconn.core.clock import Clock
    from asyncconn.core.events import Handler
    from asyncconn.core.supervise import Gap, State, StreamTally
    from asyncconn.core.watching import Watching

__all__ = ["Ack", "Message", "Messages", "Subscribed"]

Ack = Literal["after", "manual", "before"]

_UNREAD: Any = object()


class Message:
    """One message: ``topic``, ``payload`` in bytes, and ``json``, what it says.

    ``again`` is True where the broker says that it was sent before.
    """

    __slots__ = ("_acknowledge", "_json", "_kept", "again", "payload", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        *,
        again: bool = False,
        acknowledge: Callable[[], object] | None = None,
        kept: bool = False,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.again = again
        self._acknowledge = acknowledge
        self._kept = kept
        self._json: Any = _UNREAD

    def __repr__(self) -> str:
        return f"<Message of {self.topic}: {len(self.payload):,} bytes>"

    @property
    def json(self) -> Any:
        """The payload, decoded once; None where it is no JSON."""
        if self._json is _UNREAD:
            try:
                self._json = orjson.loads(self.payload)
            except orjson.JSONDecodeError:
                self._json = None
        return self._json

    @property
    def comes_again(self) -> bool:
        """Whether the broker keeps it until it is acknowledged, and it is not: the next connection brings it again."""
        return self._kept and self._acknowledge is not None

    @property
    def wants_ack(self) -> bool:
        """Whether the broker waits for its acknowledgement."""
        return self._acknowledge is not None

    async def ack(self) -> None:
        """Acknowledge it. Twice is once, and on a later connection than its own it is nothing: it comes again there."""
        acknowledge, self._acknowledge = self._acknowledge, None
        if acknowledge is not None:
            acknowledge()


M = TypeVar("M", bound=Message)


class Subscribed(Link, Protocol):
    """A connection that has subscribed. From its opening to the end of ``ended()`` it puts messages into the inbox."""

    @property
    def missed(self) -> str:
        """Why messages may have been missed before this connection, where it is not the first; or nothing."""
        ...


class Messages(Generic[M]):
    """What comes for a subscription, over as many connections as it takes.

        >>> async with tcup.mqtt.subscribe("amq.topic") as messages:
        ...     async for message in messages:
        ...         print(message.json)

    The block begins when it is connected and subscribed; a refusal that cannot get better is raised there, or by the
    iteration. ``ack="after"`` acknowledges a message when the next one is asked for, and the last one when the block is
    left without an exception; ``"manual"`` leaves it to :meth:`Message.ack`, and ``"before"`` does it on arrival, for
    who would rather lose messages than see one twice. With ``"after"`` one task at a time may ask.

    ``state`` is connecting, live, lost or closed; ``gaps`` are the places where messages may have been missed;
    ``dropped`` counts those that ``overflow="drop_oldest"`` made room of. ``on("live" | "lost" | "gap", handler)``.
    """

    def __init__(
        self,
        connect: Callable[[Inbox[M]], AbstractAsyncContextManager[Subscribed]],
        *,
        name: str,
        ack: Ack = "after",
        max_pending: int = 1_000,
        overflow: Overflow = "wait",
        reconnect: Reconnect | None = None,
        final: Callable[[Exception], bool] = cannot_get_better,
        handed: Callable[[M], object] | None = None,
        clock: Clock | None = None,
        watching: Watching | None = None,
        tally: StreamTally | None = None,
    ) -> None:
        if ack not in ("after", "manual", "before"):
            raise ConfigError(f"ack is 'after', 'manual' or 'before', not {ack!r}")
        self.name = name
        self.inbox: Inbox[M] = Inbox(max_pending, overflow)
        self._ack = ack
        self._connect = connect
        self._missed = ""
        self._handed = handed
        self._open: list[M] = []  # handed over, to be acknowledged when the next is asked for
        self._asked = False
        self._left = asyncio.Event()
        self._supervisor = Supervisor(
            self._connected, name=name, policy=reconnect, final=final, clock=clock, tally=tally, watching=watching
        )
        self._supervisor.events.on("live", self._live)
        self._end: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.name}: {self.state}, {len(self.inbox)} waiting>"

    @property
    def state(self) -> State:
        """The connection's: connecting, live, lost or closed."""
        return self._supervisor.state

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Where messages may have been missed: the last thousand."""
        return tuple(self._supervisor.gaps)

    @property
    def dropped(self) -> int:
        """Messages that ``overflow="drop_oldest"`` made room of."""
        return self.inbox.dropped

    def on(self, name: str, handler: Handler) -> Handler:
        """Call ``handler`` with each ``live`` and ``lost`` (a Change) or ``gap`` (a Gap)."""
        return self._supervisor.events.on(name, handler)

    def missed(self, why: str) -> None:
        """Tell that messages may have been missed. For connections."""
        self._supervisor.missed(why)

    # -- the block -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._end is not None:
            raise LifecycleError(f"{self.name} was opened before: subscribe again")
        await self._supervisor.__aenter__()
        self._end = asyncio.create_task(self._watch(), name=f"{self.name}:watch")
        try:
            await self._supervisor.link()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self._acknowledge()
        finally:
            await self.aclose()

    def stop(self) -> None:
        """Take nothing more in: the iteration ends with what is here and would not come again."""
        self.inbox.discard(lambda message: message.comes_again)
        self.inbox.end()

    async def aclose(self) -> None:
        """End the connection. What is not acknowledged comes again, where the broker keeps it."""
        self.stop()
        try:
            await self._supervisor.aclose()
            if self._end is not None:
                await reap([self._end])
        finally:
            self._left.set()

    async def left(self, timeout: float) -> None:
        """Wait so many seconds for the block to be left, and end the connection."""
        if self._end is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._left.wait()
        await self.aclose()

    def batch(self, most: int) -> list[M]:
        """What has come already and nobody was handed, up to so many, without waiting."""
        found: list[M] = []
        while len(found) < most and (message := self.inbox.next()) is not None:
            if self._handed is not None:
                self._handed(message)
            found.append(message)
        return found

    # -- the iteration -------------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> M:
        if self._end is None:
            raise LifecycleError(f"{self.name} is not open: use 'async with'")
        if self._asked and self._ack == "after":
            raise LifecycleError("another task waits for the next message: with several, use ack='manual'")
        if self._open:
            await self._acknowledge()
        message = self.inbox.next()
        if message is None:
            self._asked = True
            try:
                message = await self.inbox.get()
            finally:
                self._asked = False
            if message is None:
                raise StopAsyncIteration
        if self._ack == "after" and message.wants_ack:
            self._open.append(message)
        if self._handed is not None:
            self._handed(message)
        return message

    async def each(self, handler: Callable[[M], Any]) -> None:
        """Call ``handler`` with one message after the other, and wait for it if it is a coroutine function.

        What it raises ends it, as in a loop of one's own.
        """
        async for message in self:
            result = handler(message)
            if inspect.isawaitable(result):
                await result

    async def _acknowledge(self) -> None:
        while self._open:
            await self._open.pop().ack()

    # -- connections ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Subscribed]:
        async with self._connect(self.inbox) as link:
            self._missed = link.missed
            yield link

    def _live(self, change: Change) -> None:
        if change.connection > 1 and self._missed:
            self.missed(self._missed)

    async def _watch(self) -> None:
        try:
            await self._supervisor.over()
        except Exception as error:  # noqa: BLE001 - raised where the next message is asked for
            self.inbox.end(error)
        else:
            self.inbox.end()
