"""Batches of single things: a method that sends a batch becomes a buffer, with an outcome for each item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, TypedDict, TypeVar, Unpack, overload

from asyncconn.core.buffer.batch import Batch, BatchPolicy
from asyncconn.core.buffer.delivering import delivered
from asyncconn.core.buffer.figures import BufferFigures
from asyncconn.core.buffer.memory import BatchBuffer
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.buffer.spooled import SpooledBuffer
from asyncconn.core.buffer.watching import Watched
from asyncconn.core.decoding import json_of
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import AsyncConnError, ConfigError, InvalidRecord, LifecycleError
from asyncconn.http.outgoing import json_body

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterable, Awaitable, Callable, Hashable, Iterable

    from asyncconn.core.buffer.attached import Attached
    from asyncconn.core.buffer.protocol import Buffer
    from asyncconn.core.buffer.receipts import BatchStats, FlushReport, Receipt
    from asyncconn.core.events import Events
    from asyncconn.core.retrying import RetryPolicy
    from asyncconn.draining import Member
    from asyncconn.hub import Hub

__all__ = ["BatchedMethod", "Batches", "NotAMethod", "batched"]

C = TypeVar("C")
T = TypeVar("T")


class NotAMethod(LifecycleError, TypeError):
    """Called as a method, and it is a buffer that was made of one."""

    advice = "put an item, or deliver many; the buffer calls the method with each batch"


class _Policy(TypedDict, total=False):
    max_age: float
    max_in_flight: int
    max_pending_items: int
    max_pending_bytes: int
    overflow: Literal["wait", "raise"]
    drain_timeout: float
    max_hold: float


def batched(
    *,
    max_items: int,
    max_bytes: int,
    envelope: int = 0,
    size: Callable[[bytes], int] | None = None,
    key: Callable[[Any], Hashable] | None = None,
    spool: Callable[[Any], str | os.PathLike[str] | Spool | None] | None = None,
    tries: int = 8,
    encode: Callable[[Any], bytes | str] = json_body,
    decode: Callable[[bytes], Any] = json_of,
    **policy: Unpack[_Policy],
) -> Callable[[Callable[[C, Batch[T]], Awaitable[object]]], BatchedMethod[C, T]]:
    """Make a buffer of the method that sends a batch: of a connector, or of a noun that has a ``connector``.

        >>> class Acme(Connector):
        ...     platform = Platform("acme")
        ...     @batched(max_items=500, max_bytes=256 * 1024, envelope=20)
        ...     async def points(self, batch: Batch[dict[str, Any]]) -> None:
        ...         answer = await self.http.call("POST", "/v1/points", json={"points": batch.items})
        ...         for point, result in zip(batch.items, answer["results"], strict=True):
        ...             if result["status"] == "busy":
        ...                 batch.again(point)
        ...             elif result["status"] == "rejected":
        ...                 batch.reject(point, result["error"])
        >>> report = await acme.points.deliver(points)

    ``acme.points`` is then one :class:`Batches` for each instance. What the method gives back neither with
    ``batch.again`` (it is sent once more, ``tries`` times in all) nor with ``batch.reject`` is delivered when the
    method returns, and failed, or of unknown outcome, when it raises. The method does its own retries, as calls do.

    Items are encoded with ``encode`` when they are put, so that they may be changed afterwards and a bad one is refused
    there, and decoded for each sending. A batch holds at most ``max_items`` of them and ``max_bytes`` bytes:
    ``envelope``, and for each item one more than ``size`` says of it in its encoded form (its length).

    Items for which ``key`` gives the same keep their order: a batch holds one of them only, as it may have to be sent
    once more, and the next waits until it has an outcome. ``key`` is asked about items as the method gets them; one
    that is None is nobody's.

    ``spool`` gives, for an instance, the path of a file or a :class:`Spool`: what was accepted is then sent although
    the program is killed, by the next one that uses the buffer, or opens it; None keeps it in memory. ``policy`` are
    the other fields of a :class:`BatchPolicy`: ``max_age``, ``max_in_flight``, ``max_pending_items``,
    ``max_pending_bytes``, ``overflow``, ``drain_timeout``, ``max_hold``.

    Raises ``ConfigError``.
    """
    if not 0 <= envelope < max_bytes:
        raise ConfigError(f"an envelope of {envelope} bytes leaves no room in batches of {max_bytes}")
    if tries < 1:
        raise ConfigError(f"tries must be 1 or more, not {tries}")
    policy.setdefault("max_pending_bytes", max(BatchPolicy().max_pending_bytes, 4 * max_bytes))
    made = BatchPolicy(max_items=max_items, max_bytes=max_bytes - envelope, **policy)
    spec = _Spec(made, size or len, key, spool, tries, encode, decode)
    return lambda method: BatchedMethod(method, spec)


@dataclass(frozen=True, slots=True)
class _Spec:
    policy: BatchPolicy
    size: Callable[[bytes], int]
    key: Callable[[Any], Hashable] | None
    spool: Callable[[Any], str | os.PathLike[str] | Spool | None] | None
    tries: int
    encode: Callable[[Any], bytes | str]
    decode: Callable[[bytes], Any]


class BatchedMethod(Generic[C, T]):
    """What :func:`batched` puts into a class: an instance has its :class:`Batches` there, made at first use.

    ``send`` is the method itself, for a subclass that does more than it: ``await Acme.points.send(self, batch)``.
    """

    def __init__(self, send: Callable[[C, Batch[T]], Awaitable[object]], spec: _Spec) -> None:
        self.__doc__ = send.__doc__
        self.__wrapped__ = self.send = send
        self._spec = spec
        self._name = getattr(send, "__name__", "batches")

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: C, owner: type) -> Batches[T]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        try:
            known = instance.__dict__
        except AttributeError:
            raise ConfigError(f"{owner.__name__}.{self._name} needs instances with a __dict__: no __slots__") from None
        found: Batches[T] | None = known.get(self._name)
        if found is None or found.owner is not instance:  # that of another, where an instance was copied
            found = known[self._name] = Batches(instance, self._name, self.send, self._spec)
        return found

    def __set__(self, instance: C, value: object) -> NoReturn:
        raise AttributeError(f"{self._name} is a buffer, and cannot be replaced")


class Batches(Watched, Unpicklable, Generic[T]):
    """Takes items one by one, or all of an iterable, and sends them in batches by the method that it was made of.

    Made by :func:`batched`. It is drained when its connector is closed, after the connector's own ``drain``.
    """

    def __init__(
        self, owner: Any, name: str, send: Callable[[Any, Batch[Any]], Awaitable[object]], spec: _Spec
    ) -> None:
        member, hub, service, retry = _place_of(owner, name)
        self._attached: Attached | None = None
        self.owner = owner
        self.name = f"{service}.{name}"
        self._method = send
        self._hub = hub
        self._encode, self._decode, self._key = spec.encode, spec.decode, spec.key
        key_of = None if spec.key is None else self._key_of
        options: dict[str, Any] = {
            "size": spec.size,
            "overhead": 1,
            "policy": spec.policy,
            "reveal": spec.decode,
            "clock": hub.clock,
            "watching": hub.watching,
            "name": self.name,
            "retry": retry,
            "key_of": key_of,
            "tries": spec.tries,
            "shown": self._shown,
        }
        self._buffer: Buffer[bytes]
        spool = None if spec.spool is None else spec.spool(owner)
        self._spool: Spool | None = None
        if spool is None:
            self._buffer = BatchBuffer(self._send, **options)
        else:
            self._spool = spool if isinstance(spool, Spool) else Spool(spool)
            self._buffer = SpooledBuffer(self._send, self._spool, owner=self.name, **options)
        attached = hub.attached(member)
        attached.add(self, kept=spool is not None)
        self._attached = attached
        self._alone = member if isinstance(member, _Alone) else None

    def __call__(self, *args: Any, **options: Any) -> NoReturn:
        """Raises ``NotAMethod``."""
        raise NotAMethod(f"{self.name} is a buffer: put or deliver")

    def __repr__(self) -> str:
        return f"<Batches {self.name}, {self.stats.pending} pending>"

    def __del__(self) -> None:
        if (attached := getattr(self, "_attached", None)) is not None:
            attached.left(report := self._buffer.accounts.report(self.stats, 0.0), self.figures())
            if self._alone is not None:
                self._hub.release(self._alone, report)

    # -- taking in -----------------------------------------------------------------------------------------------------

    async def put(self, item: T) -> Receipt:
        """Accept one item, waiting for room if need be; await the receipt to know that it has arrived.

        Raises ``InvalidRecord`` for what cannot be encoded, ``RecordTooLarge``, ``BufferClosed``, ``BufferFull`` if the
        policy says so, ``SpoolError`` (with a spool), ``HubNotOpen``, ``HubClosed``, ``WrongLoop``. In each case
        nothing of this item is sent.
        """
        encoded = self._encoded(item)
        key = self._key_in(encoded)
        receipt = self._buffer.offer(encoded, key)
        if receipt is None:
            self._hub.check()
            receipt = await self._buffer.put(encoded, key)
        return receipt

    async def deliver(self, items: Iterable[T] | AsyncIterable[T], *, timeout: float | None = None) -> FlushReport:
        """Accept all of ``items``, flush them, and report what became of these and no others.

        ``timeout`` bounds, in seconds, the wait after the last was accepted; the default is ``drain_timeout``. What
        has no outcome by then is pending. Raises as :meth:`put`, with the ``index`` of the item; those before it are
        accepted. A generator is closed before this returns.

            >>> for refused in (await acme.points.deliver(read_rows("points.jsonl"))).rejections:
            ...     print(refused.record["id"], refused.reason)
        """
        return await delivered(items, self.put, self._buffer, self._hub.clock, timeout)

    def _encoded(self, item: T) -> bytes:
        try:
            encoded = self._encode(item)
        except Exception as error:
            why = error.message if isinstance(error, AsyncConnError) else f"{type(error).__name__}: {error}"
            raise InvalidRecord(f"{self.name}: it cannot be encoded: {why}") from error
        return encoded.encode() if isinstance(encoded, str) else encoded

    def _key_in(self, encoded: bytes) -> Hashable:
        if self._key is None:
            return None
        try:
            key = self._key(self._decode(encoded))
            hash(key)
        except Exception as error:
            raise InvalidRecord(f"{self.name}: it has no key: {type(error).__name__}: {error}") from error
        return key

    def _key_of(self, encoded: bytes) -> tuple[str, Hashable]:
        """For what is in the buffer or the spool already."""
        try:
            return "", self._key_in(encoded)
        except InvalidRecord:  # of an earlier program, with another idea of keys
            return "", None

    # -- sending -------------------------------------------------------------------------------------------------------

    async def _send(self, batch: Batch[bytes]) -> object:
        return await self._method(self.owner, self._shown(batch))

    def _shown(self, batch: Batch[bytes]) -> Batch[T]:
        return batch.shown([self._decode(item) for item in batch.items])

    async def open(self) -> None:
        """Begin to send what an earlier program left in the spool; the first :meth:`put` does so too."""
        self._hub.check()
        await self._buffer.open()

    # -- watching and ending -------------------------------------------------------------------------------------------

    @property
    def _events(self) -> Events:
        return self._buffer.events

    @property
    def stats(self) -> BatchStats:
        """Totals, in which every item is in one place at every moment."""
        return self._buffer.stats

    def figures(self) -> BufferFigures:
        """The totals under its name, and those of its spool."""
        spool = None if self._spool is None else self._spool.stats
        return BufferFigures(self.name, self.stats, spool, self._buffer.full)

    async def flush(self, timeout: float | None = None) -> FlushReport:
        """Send what was accepted so far at once, and wait for the outcome, ``timeout`` seconds at most.

        The report is of all items since the start.
        """
        return await self._buffer.flush(timeout)

    async def aclose(self, timeout: float | None = None) -> FlushReport:
        """Take no more, and deliver what was accepted. The hub does this when the connector closes."""
        return await self._buffer.aclose(timeout)


# -- where it belongs --------------------------------------------------------------------------------------------------


class _Alone:
    """Who stands for a noun that has a hub and no connector."""

    def __init__(self, name: str) -> None:
        self.platform = _Name(name)

    async def stop(self) -> None:
        """It takes nothing in."""

    async def drain(self, timeout: float) -> None:
        """It holds nothing."""


@dataclass(frozen=True, slots=True)
class _Name:
    name: str


def _place_of(owner: Any, name: str) -> tuple[Member, Hub, str, RetryPolicy | None]:
    """The connector that an owner belongs to, its hub, its platform's name, and how it retries."""
    member = getattr(owner, "connector", owner)
    hub: Hub | None = getattr(member, "hub", None)
    if hub is None:
        what = f"{type(owner).__name__}.{name}"
        raise ConfigError(f"{what} is batched: it must belong to a Connector, or to what has a 'connector'")
    if not hasattr(member, "drain"):
        member = _Alone(type(owner).__name__.lower())
        hub.adopt(member)
    return member, hub, member.platform.name, getattr(getattr(member, "http", None), "retry", None)
