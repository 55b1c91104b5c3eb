"""What every buffer can do, whether it keeps its records in memory or in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from asyncconn.core.buffer.accounts import Accounts
    from asyncconn.core.buffer.batch import BatchPolicy
    from asyncconn.core.buffer.receipts import BatchStats, FlushReport, Receipt
    from asyncconn.core.events import Events

__all__ = ["Buffer"]

T_contra = TypeVar("T_contra", contravariant=True)


class Buffer(Protocol[T_contra]):
    """Takes items one by one, sends them in batches, and accounts for every one.

    :class:`~asyncconn.core.buffer.memory.BatchBuffer` tells what each method does, and what it raises;
    :class:`~asyncconn.core.buffer.spooled.SpooledBuffer` in what a file makes it different.
    """

    @property
    def policy(self) -> BatchPolicy:
        """How batches are cut, and how much may wait."""
        ...

    @property
    def events(self) -> Events:
        """``send``, ``flush``, ``error``."""
        ...

    @property
    def accounts(self) -> Accounts[Any]:
        """What has failed, and who has heard of it."""
        ...

    @property
    def stats(self) -> BatchStats:
        """The totals at this moment."""
        ...

    @property
    def full(self) -> bool:
        """Whether the next item, of the size of those that are here, has to wait for room or is refused."""
        ...

    async def prepare(self) -> bool:
        """Open the file, where there is one, and send nothing yet."""
        ...

    async def abandon(self) -> None:
        """The opposite of :meth:`prepare`, if nothing has been sent or put since."""
        ...

    async def open(self) -> None:
        """Begin to send what an earlier run left in the file."""
        ...

    def offer(self, item: T_contra, key: Hashable = None, space: str = "") -> Receipt | None:
        """Take ``item`` if that needs no waiting."""
        ...

    def offer_many(
        self, items: Sequence[T_contra], keys: Sequence[Hashable] | None = None, space: str = ""
    ) -> Receipt | None:
        """Take several if that needs no waiting: all or none."""
        ...

    def put_nowait(self, item: T_contra, key: Hashable = None, space: str = "") -> Receipt:
        """Take ``item`` now or raise."""
        ...

    async def put(self, item: T_contra, key: Hashable = None, space: str = "") -> Receipt:
        """Take ``item``."""
        ...

    async def put_many(
        self, items: Sequence[T_contra], keys: Sequence[Hashable] | None = None, space: str = ""
    ) -> list[Receipt]:
        """Take several, in order."""
        ...

    def when_settled(self, call: Callable[[], object]) -> None:
        """Have ``call`` called each time the fate of some items is known, before the events are."""
        ...

    async def flush(self, timeout: float | None = None) -> FlushReport:
        """Send what was accepted so far, and wait for the outcome."""
        ...

    async def aclose(self, timeout: float | None = None) -> FlushReport:
        """Take no more, and deliver what was accepted."""
        ...
