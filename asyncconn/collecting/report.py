"""What became of partitions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

from asyncconn.core.buffer.receipts import newest
from asyncconn.core.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CollectReport", "FailedPartition", "Outcome"]


@dataclass(frozen=True, slots=True)
class FailedPartition:
    """A ``partition`` of which nothing was kept, and the last ``error`` of its work."""

    partition: Any
    error: Exception


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of some partitions: those ``done`` with their ``rows``, tries that were ``repeated``, and those that failed.

    ``seconds`` it took.
    """

    done: int = 0
    rows: int = 0
    repeated: int = 0
    failed: int = 0
    failures: tuple[FailedPartition, ...] = ()
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """The partitions that it is of."""
        return self.done + self.failed

    @classmethod
    def joined(cls, outcomes: Iterable[Self]) -> Self:
        """One of several. The newest 10,000 failures are kept."""
        every = list(outcomes)
        return cls(
            done=sum(one.done for one in every),
            rows=sum(one.rows for one in every),
            repeated=sum(one.repeated for one in every),
            failed=sum(one.failed for one in every),
            failures=tuple(newest([chain.from_iterable(one.failures for one in every)])),
            seconds=sum(one.seconds for one in every),
        )


@dataclass(frozen=True, slots=True, repr=False)
class CollectReport(Shown):
    """What a run did: partitions ``done`` with their ``rows``, ``skipped`` as an earlier try had them, and ``failed``.

    ``repeated`` counts the tries of a partition after its first, as far as they are known of: a worker that is killed
    takes its count along. ``failures`` are those that failed, with their errors: the newest 10,000. ``run`` is the name
    by which another call goes on with this run, ``seconds`` the time that it took.
    """

    done: int = 0
    skipped: int = 0
    failed: int = 0
    rows: int = 0
    repeated: int = 0
    failures: tuple[FailedPartition, ...] = ()
    run: str = ""
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether the rows of every partition are there."""
        return not self.failed
