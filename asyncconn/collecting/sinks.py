"""What a place for the rows of partitions has to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncconn.hub import Hub

__all__ = ["PartitionSink", "Place", "Run", "Writing"]


@dataclass(frozen=True, slots=True)
class Run:
    """``name`` says what is done; ``attempt`` is another each time it is begun, or gone on with."""

    name: str
    attempt: str


class Writing(Protocol):
    """The rows of one batch on their way."""

    async def found(self, name: str) -> int | None:
        """How many rows a partition has there already; None if it is not there."""
        ...

    async def write(self, name: str, rows: AsyncIterable[Mapping[str, Any]]) -> int:
        """All rows of a partition, or none if this raises; how many there were."""
        ...

    async def finish(self) -> None:
        """What was written is there now, if it was not before."""
        ...


class Place(Protocol):
    """A sink as the one process has it that does batches."""

    def writing(self, names: Sequence[str]) -> Writing:
        """For a batch of partitions of these names."""
        ...


class PartitionSink(Protocol):
    """Takes the rows of a partition whole or not at all, and knows which it has: twice is once.

    It is sent to other processes, and holds nothing that is open.
    """

    @property
    def by_batch(self) -> bool:
        """Whether a batch becomes one thing, there as a whole or not at all; otherwise each partition does."""
        ...

    def hold(self, run: Run) -> AbstractAsyncContextManager[set[str]]:
        """Keep others off as long as the run lasts; the names of the partitions that it has of this run."""
        ...

    async def open(self, run: Run, hub: Hub) -> Place:
        """In a process that does batches. Raises ``ConfigError`` where that does not see what :meth:`hold` saw."""
        ...
