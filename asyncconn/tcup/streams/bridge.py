"""A subscription delivered into a sink: a message is acknowledged when its row has arrived."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from asyncconn.core.buffer.receipts import LONGEST_LIST, FlushReport
from asyncconn.errors import DeliveryFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.clock import Clock
    from asyncconn.core.sinks import Sink
    from asyncconn.tcup.streams.messages import Message, Messages

__all__ = ["bridged"]

logger = logging.getLogger("asyncconn.tcup")


async def bridged(
    subscription: Messages[Any],
    into: Sink[Any],
    *,
    row: Callable[[Any], Any] | None = None,
    max_items: int = 1_000,
    clock: Clock,
) -> FlushReport:
    """Deliver all that comes, and report when nothing more does.

    What is here goes together, up to ``max_items``; it does not wait for more, as a broker may hand out none before
    these are acknowledged. Raises ``DeliveryFailed`` when the sink could not deliver a row; those are not acknowledged.
    """
    started = clock.now()
    books = _Books()
    async with subscription as messages:
        async for first in messages:
            batch = [first, *await _rest(messages, max_items - 1)]
            rows = [made for made in (books.row(message, row) for message in batch) if made is not None]
            if rows:
                books.count(await into.deliver(rows))
            for message in batch:
                await message.ack()
    return books.report(clock.now() - started)


async def _rest(messages: Messages[Any], most: int) -> list[Any]:
    """What else has come, and what the socket still holds."""
    found: list[Any] = []
    while len(found) < most:
        await asyncio.sleep(0)
        more = messages.batch(most - len(found))
        if not more:
            break
        found += more
    return found


class _Books:
    def __init__(self) -> None:
        self._delivered = 0
        self._rejected = 0
        self._failures: list[DeliveryFailed] = []

    def row(self, message: Message, make: Callable[[Message], Any] | None) -> Any:
        """The row of a message; None where there is none, which is counted."""
        made = (message.json if isinstance(message.json, dict) else None) if make is None else make(message)
        if made is None:
            if not self._rejected:
                logger.warning(
                    "a message of %s has no row: it is counted as rejected, as others will be", message.topic
                )
            self._reject([message.payload], ["it is no JSON object" if make is None else "no row was made of it"])
        return made

    def count(self, report: FlushReport) -> None:
        """What became of some rows. Raises ``DeliveryFailed`` where one may not have arrived."""
        if report.failed or report.unknown or report.pending - report.spooled:
            raise DeliveryFailed(
                f"the sink has not delivered {report.failed + report.unknown + report.pending:,} rows;"
                " their messages are not acknowledged and come again",
                records=report.undelivered,
                maybe_delivered=bool(report.unknown or report.pending),
            )
        self._delivered += report.delivered + report.spooled
        for refused in report.rejections:
            self._reject([refused.record], [refused.reason])

    def report(self, seconds: float) -> FlushReport:
        return FlushReport(
            delivered=self._delivered, rejected=self._rejected, seconds=seconds, failures=tuple(self._failures)
        )

    def _reject(self, records: list[Any], reasons: list[Any]) -> None:
        self._rejected += len(records)
        self._failures.append(
            DeliveryFailed("rows were rejected", records=records, maybe_delivered=False, reasons=reasons)
        )
        del self._failures[:-LONGEST_LIST]
