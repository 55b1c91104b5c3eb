"""The books of a publisher: what became of every message that it accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from asyncconn.core.buffer.accounts import Accounts
from asyncconn.core.buffer.receipts import BatchStats
from asyncconn.tcup.sending import outcome_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.core.events import Events
    from asyncconn.errors import AsyncConnError, DeliveryFailed

__all__ = ["Books"]


class Books:
    """Counts of all, and the newest messages that were lost; ``error`` handlers hear of each, or else the log does.

    ``name`` is the publisher's. Messages stand in reports as they were given, where they are JSON.
    """

    def __init__(self, name: str, events: Events | None = None) -> None:
        self.accepted = 0
        self._counts = {"delivered": 0, "rejected": 0, "failed": 0, "unknown": 0}
        self._events = events
        self._accounts: Accounts[bytes] = Accounts(name, reveal=_revealed, describe=lambda _: "messages")

    @property
    def stats(self) -> BatchStats:
        """The totals."""
        counts = self._counts
        return BatchStats(
            accepted=self.accepted,
            **counts,
            pending=self.accepted - sum(counts.values()),
            pending_bytes=0,
            in_flight=0,
            batches_delivered=counts["delivered"],
            batches_failed=self.accepted and sum(counts.values()) - counts["delivered"],
            bytes_delivered=0,
            oldest_age=0.0,
            max_age_at_send=0.0,
        )

    def enter(self, messages: Sequence[bytes], error: AsyncConnError | None) -> None:
        """These are acknowledged, or lost for one reason."""
        outcome = outcome_of(error)
        self._counts[outcome] += len(messages)
        if error is None or not messages:
            return
        if outcome == "rejected":
            failure = self._accounts.refused(messages, [error] * len(messages))
        else:
            failure = self._accounts.failure(messages, error, sent=error.maybe_sent)
        self._accounts.enter(failure)
        if self._events is not None:
            heard = self._events.emit("error", failure)
            (self._accounts.tell if heard else self._accounts.unheard)(failure)

    def report(self, seconds: float = 0.0) -> FlushReport:
        """What became of each."""
        return self._accounts.report(self.stats, seconds)

    def tell(self, failure: DeliveryFailed) -> None:
        """Somebody has heard of it."""
        self._accounts.tell(failure)


def _revealed(message: bytes) -> Any:
    try:
        return orjson.loads(message)
    except orjson.JSONDecodeError:
        return message
