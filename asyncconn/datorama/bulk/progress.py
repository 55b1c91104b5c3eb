"""How far a bulk call is, and how long the rest will take under the cap. Contract: datorama section 4.5."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncconn.core.progress import Progress, telling
from asyncconn.datorama.calling import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncconn.datorama.bulk.results import Outcome
    from asyncconn.datorama.calling import Calling
    from asyncconn.http.transport import Transport

__all__ = ["BulkProgress", "Meter", "seconds_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkProgress(Progress):
    """Where a bulk call stands: a :class:`~asyncconn.core.progress.Progress` that knows more.

    ``done`` of ``total`` are ``ok``, ``failed`` or ``unknown``; ``elapsed`` seconds so far. ``seconds_left`` is what
    the tokens' limits allow the remaining calls, and no less than the pace so far; None where nothing can be said, as
    while the ``unit`` is ``"jobs"``: the platform's own work is waited for.
    """

    ok: int
    failed: int
    unknown: int
    elapsed: float
    seconds_left: float | None

    @property
    def what(self) -> str:
        """The ``unit``."""
        return self.unit


class Meter:
    """Counts the outcomes of a bulk call and tells a listener of each.

    ``calls`` says how many calls so many inputs still need; None where time does not depend on calls.
    """

    def __init__(
        self,
        calling: Calling,
        total: int,
        listener: Callable[[BulkProgress], object] | None,
        *,
        what: str,
        calls: Callable[[int], float] | None = None,
    ) -> None:
        self._calling = calling
        self._total = total
        self._listener = telling(listener, "datorama")
        self._what = what
        self._calls = calls
        self._count: Counter[str] = Counter()
        self._started = calling.clock.now()
        self.tell()

    @property
    def done(self) -> int:
        """Inputs that have an outcome."""
        return self._count.total()

    def add(self, outcome: Outcome) -> None:
        """One more has an outcome."""
        self._count[outcome] += 1
        self.tell()

    def set(self, ok: int, failed: int) -> None:
        """These are the counts now."""
        self._count = Counter(ok=ok, failed=failed)
        self.tell()

    def tell(self) -> None:
        """Let the listener know."""
        if self._listener is not None:
            elapsed = self._calling.clock.now() - self._started
            count = self._count
            now = BulkProgress(
                self.done,
                self._total,
                self._what,
                ok=count["ok"],
                failed=count["failed"],
                unknown=count["unknown"],
                elapsed=elapsed,
                seconds_left=self._seconds_left(elapsed),
            )
            self._listener(now)

    def _seconds_left(self, elapsed: float) -> float | None:
        left = self._total - self.done
        if left <= 0:
            return 0.0
        if self._calls is None:
            return None
        calls = max(1, round(self._calls(left)))
        pace = elapsed / self.done * left if self.done else 0.0
        return max(pace, seconds_for(self._calling.pool.transports, calls))


def seconds_for(transports: Sequence[Transport], calls: int) -> float:
    """Seconds until the last of so many calls may begin, as the tokens' limiters stand now.

    ``calls`` include those of ours that wait at a limiter already.
    """
    limiters = [transport.limiters["default"] for transport in transports]
    books = [limiter.snapshot() for limiter in limiters]
    used = [min(part.limit for part in book.parts) - book.remaining for book in books]
    # Who has used less takes more of what is left, so that all come to an end together.
    level = (calls + sum(used)) / len(limiters)
    longest = 0.0
    for limiter, book, before in zip(limiters, books, used, strict=True):
        share = round(level - before) - min(book.waiting, AT_ONCE)
        if share > 0:
            longest = max(longest, limiter.estimated_wait(share))
    return longest
