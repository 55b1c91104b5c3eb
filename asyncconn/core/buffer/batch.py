"""A batch, and the policy by which it is cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from asyncconn.core.buffer.receipts import Receipt
from asyncconn.core.durations import positive
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Batch", "BatchPolicy"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """When a batch leaves, and how much may wait.

    A batch is cut before it would exceed ``max_items`` or ``max_bytes``, and leaves at the latest ``max_age``
    seconds after its oldest record was accepted, or when one of ``max_in_flight`` senders becomes free after that, or
    when no earlier batch that shares a key with it is under way any more. What
    waits or travels is bounded by ``max_pending_items`` and ``max_pending_bytes``; beyond that a put waits
    (``overflow="wait"``) or raises ``BufferFull``. ``drain_timeout`` bounds, in seconds, a flush or close that
    names no time. ``max_hold`` is how many seconds a server that asks for a pause holds the senders at most.
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


class Batch(Generic[T]):
    """Records that travel together.

    ``items`` are as accepted, ``size`` their bytes, ``age`` the oldest's, when sent. ``keys`` are those of the items
    that have one, by the space in which they are compared; None among them is nobody's.
    """

    __slots__ = (
        "age", "born", "due", "followers", "items", "kept", "keys", "most_bytes", "most_items", "receipt", "size",
    )  # fmt: skip

    def __init__(self, born: float) -> None:
        self.items: list[T] = []
        self.size = 0
        self.born = born
        self.age = 0.0
        self.due = False
        self.most_bytes = self.most_items = 0
        self.receipt = Receipt()
        self.keys: dict[str, list[Hashable]] = {}
        self.followers: list[Batch[T]] = []  # that wait until this one is over
        self.kept = False  # failed, and to be sent again

    def hold(self, key: Hashable, space: str) -> None:
        """One of the items has ``key``."""
        if (known := self.keys.get(space)) is None:
            known = self.keys[space] = []
        known.append(key)
