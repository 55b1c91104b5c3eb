"""The books of a publisher, and of one caller of it: what became of every message that was accepted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson

from asyncconn.core.buffer.accounts import Accounts, LastLoss
from asyncconn.core.buffer.receipts import BatchStats
from asyncconn.core.clock import SystemClock
from asyncconn.tcup.sending import outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.core.clock import Clock
    from asyncconn.errors import AsyncConnError, DeliveryFailed

__all__ = ["Books", "revealed"]


class Books:
    """Counts of all messages, and the newest that were lost. ``name`` and ``clock`` are the publisher's.

    >>> books = Books("acme")
    >>> books.accepted = 3
    >>> books.arrived(2)
    >>> books.pending
    1
    """

    def __init__(
        self,
        name: str,
        *,
        told: Callable[[DeliveryFailed], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.accepted = 0
        self.settled = 0
        self._counts = {"delivered": 0, "rejected": 0, "failed": 0, "unknown": 0}
        self._losses = LastLoss(clock or SystemClock())
        self._told = told  # who wants to know that somebody has looked at a failure in the report
        self._over = False
        self._below: tuple[int, asyncio.Future[None]] | None = None

    @cached_property
    def accounts(self) -> Accounts[bytes]:
        """The failures. Most callers have none."""
        return Accounts(self.name, reveal=revealed, describe=lambda _: "messages")

    @property
    def pending(self) -> int:
        """Messages without an outcome."""
        return self.accepted - self.settled

    @property
    def stats(self) -> BatchStats:
        """The totals."""
        counts = self._counts
        return BatchStats(
            accepted=self.accepted,
            **counts,
            pending=self.pending,
            pending_bytes=0,
            in_flight=0,
            batches_delivered=counts["delivered"],
            batches_failed=self.settled - counts["delivered"],
            bytes_delivered=0,
            oldest_age=0.0,
            max_age_at_send=0.0,
            lost_at=self._losses.at,
        )

    def arrived(self, count: int = 1) -> None:
        """So many are acknowledged."""
        self._count("delivered", count)

    def failure(self, messages: Sequence[bytes], error: AsyncConnError) -> DeliveryFailed:
        """The error of messages that are lost for one reason."""
        if outcome_of(error) == "rejected":
            return self.accounts.refused(messages, [error] * len(messages))
        return self.accounts.failure(messages, error, sent=error.maybe_sent)

    def enter(self, failure: DeliveryFailed) -> None:
        """Its messages are lost."""
        self.accounts.enter(failure)
        self._losses.enter(failure)
        outcome = "rejected" if failure.reasons else "unknown" if failure.maybe_delivered else "failed"
        self._count(outcome, len(failure.records))

    def report(self, seconds: float, spooled: int = 0) -> FlushReport:
        """What became of each; ``spooled`` of those without an outcome are in a spool only."""
        return replace(self.accounts.report(self.stats, seconds, spooled), tell=self._told)

    async def below(self, count: int) -> None:
        """Wait until fewer than so many have no outcome, or none will have one. For one task at a time."""
        while self.pending >= count and not self._over:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._below = count, turn
            await turn

    def end(self) -> None:
        """The publisher has ended: what is pending stays so, in its spool."""
        self._over = True
        self._wake()

    def _count(self, outcome: str, count: int) -> None:
        self._counts[outcome] += count
        self.settled += count
        if self._below is not None and self.pending < self._below[0]:
            self._wake()

    def _wake(self) -> None:
        if self._below is not None:
            (_, turn), self._below = self._below, None
            if not turn.done():
                turn.set_result(None)


def revealed(message: bytes) -> Any:
    """A message as it was given, where it is JSON."""
    try:
        return orjson.loads(message)
    except orjson.JSONDecodeError:
        return message
