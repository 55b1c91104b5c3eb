"""A batch, what may be said of its items, and the policy by which it is cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from asyncconn.core.buffer.receipts import Receipt
from asyncconn.core.durations import positive, seconds
from asyncconn.errors import ConfigError, LifecycleError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

__all__ = ["Batch", "BatchPolicy", "Marks", "Returned"]

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """When a batch leaves, and how much may wait.

    A batch is cut before it would exceed ``max_items`` or ``max_bytes``, and leaves at the latest ``max_age``
    seconds after its oldest record was accepted, or when one of ``max_in_flight`` senders becomes free after that, or
    when no earlier batch that shares a key with it is under way any more. What waits or travels is bounded by
    ``max_pending_items`` and ``max_pending_bytes``; beyond that a put waits (``overflow="wait"``) or raises
    ``BufferFull``. One that would begin another batch while twice ``max_in_flight`` wait for a sender waits for that
    too, ``max_age`` seconds at most. ``drain_timeout`` bounds, in seconds, a flush or close that names no time.
    ``max_hold`` is how many seconds a server that asks for a pause holds the senders at most.
    """

    max_items: int = 10_000
    max_bytes: int = 262_144
    max_age: float = 2.0
    max_pending_items: int = 200_000
    max_pending_bytes: int = 8 * 1024 * 1024
    max_in_flight: int = 4
    overflow: Literal["wait", "raise"] = "wait"
    drain_timeout: float = 60.0
    max_hold: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("max_items", "max_bytes", "max_in_flight", "max_hold"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"BatchPolicy.{name} must be more than 0, not {getattr(self, name)!r}")
        positive("BatchPolicy.max_age", self.max_age)
        positive("BatchPolicy.drain_timeout", self.drain_timeout)
        if self.max_pending_items < 1 or self.max_pending_bytes < self.max_bytes:
            raise ConfigError("BatchPolicy: what may be pending must hold at least one record and one batch")
        if self.overflow not in ("wait", "raise"):
            raise ConfigError(f"BatchPolicy.overflow must be 'wait' or 'raise', not {self.overflow!r}")


class Marks:
    """What the sending method has said of single items of a batch, by their place in it."""

    __slots__ = ("again", "numbers", "over", "rejected")

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}  # in a spool, of those to be sent again
        self.again: dict[int, float] = {}  # after how many seconds
        self.rejected: dict[int, Any] = {}  # why
        self.over = False

    def __bool__(self) -> bool:
        return bool(self.again or self.rejected)

    def clear(self) -> None:
        """The batch is sent anew."""
        self.again.clear()
        self.rejected.clear()


@dataclass(slots=True)
class Returned:
    """An item that is sent once more: its ``place`` under its ``receipt``, and how many ``tries`` it has behind it.

    ``number`` is its own in a spool.
    """

    receipt: Receipt
    place: int
    tries: int
    number: int = 0


class Batch(Generic[T]):
    """Records that travel together: what a sending method gets.

    ``items`` are as accepted, ``size`` their bytes, ``age`` the oldest's, when sent. Those that the platform did not
    take, although it took the batch, are given back with :meth:`again` or :meth:`reject`; the others are delivered when
    the method returns, and failed when it raises.

        >>> async def points(self, batch: Batch[dict[str, Any]]) -> None:
        ...     answer = await self.http.call("POST", "/points", json=batch.items)
        ...     for point, result in zip(batch.items, answer["results"]):
        ...         if result["status"] == "rejected":
        ...             batch.reject(point, result["error"])

    ``keys`` are those of the items that have one, by the space in which they are compared; None among them is nobody's.
    """

    __slots__ = (
        "age", "born", "due", "followers", "items", "kept", "keys", "marks", "most_bytes", "most_items", "once",
        "places", "receipt", "returned", "size", "spans",
    )  # fmt: skip

    def __init__(self, born: float) -> None:
        self.items: list[T] = []
        self.size = 0
        self.born = born
        self.age = 0.0
        self.due = False
        self.most_bytes = self.most_items = 0
        self.receipt = Receipt(self.items)
        self.keys: dict[str, list[Hashable]] = {}
        self.spans: dict[str, tuple[Any, Any] | None] = {}  # the least and greatest of them, once it takes no more
        self.once: set[tuple[str, Hashable]] = set()  # its keys, where it may hold one item of each only
        self.followers: list[Batch[T]] = []  # that wait until this one is over
        self.kept = False  # failed, and to be sent again
        self.marks = Marks()
        self.places: dict[int, list[int]] | None = None  # of the items not marked yet, by their identity
        self.returned: list[Returned] | None = None  # as many as items, where these are sent once more

    def hold(self, key: Hashable, space: str) -> None:
        """One of the items has ``key``."""
        if (known := self.keys.get(space)) is None:
            known = self.keys[space] = []
        known.append(key)

    def again(self, item: T, *, after: float = 0.0) -> None:
        """Send ``item``, one of ``items`` itself, once more: in a later batch, ``after`` seconds at the earliest.

        It is pending until then. Raises ``ConfigError`` for what is not an item of this batch, or has been marked, and
        ``LifecycleError`` once the batch is over.
        """
        self.marks.again[self._place(item)] = seconds("after", after)

    def reject(self, item: T, reason: Any) -> None:
        """The platform refuses ``item``, one of ``items`` itself, for good. Raises as :meth:`again`."""
        self.marks.rejected[self._place(item)] = reason

    def _place(self, item: T) -> int:
        if self.marks.over:
            raise LifecycleError("the batch is over: mark its items before the sending method returns")
        if self.places is None:
            self.places = {}
            for place in range(len(self.items) - 1, -1, -1):  # the first of equal ones is taken first
                self.places.setdefault(id(self.items[place]), []).append(place)
        places = self.places.get(id(item))
        if not places:
            raise ConfigError("again() and reject() take one of the batch's own items, the very object, and each once")
        return places.pop()

    def restart(self) -> None:
        """For the buffer: the batch is sent, perhaps not for the first time."""
        self.marks.clear()
        self.places = None

    def shown(self, items: list[S]) -> Batch[S]:
        """This batch with other ``items`` in the same places; what is marked there is marked here."""
        other: Batch[S] = Batch(self.born)
        other.items, other.size, other.age, other.marks = items, self.size, self.age, self.marks
        return other

    def tries(self, place: int) -> int:
        """How often the item has been sent before."""
        return self.returned[place].tries if self.returned is not None else 0

    def number(self, place: int) -> int:
        """The item's number in a spool, where it is to be sent again."""
        return self.marks.numbers.get(place, 0)

    def origin(self, place: int) -> tuple[Receipt, int]:
        """The receipt of an item, and its place among all that this stands for."""
        if self.returned is None:
            return self.receipt, place
        one = self.returned[place]
        return one.receipt, one.place

    def receipts(self) -> Iterable[Receipt]:
        """Those of all items."""
        return (self.receipt,) if self.returned is None else {one.receipt: None for one in self.returned}
