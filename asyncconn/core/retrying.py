"""When to try again: by what is known of the failed attempt. The only importer of tenacity."""

from __future__ import annotations

import asyncio
import importlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.durations import positive, seconds
from asyncconn.errors import AsyncConnError, ConfigError, NotDone, NotSent, ProtocolError, RateLimited

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import RetryCallState

__all__ = ["ONCE", "RetryPolicy"]

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, how long, and above all what may be repeated.

    ``attempts`` counts the first one. Waits grow from ``initial`` to ``maximum`` seconds with full jitter; a
    Retry-After of the server is a floor with the jitter above it, and one longer than ``max_retry_after`` ends the
    trying. No new attempt begins more than ``deadline`` seconds after the start, time spent waiting for a rate
    limit not counted.

    What surely was not sent, and what was refused with nothing done (``NotDone``, or a ``maybe_sent`` that rules have
    set to False), is always repeated; not where no repetition helps (``permanent``: a certificate, an unknown name).
    ``maybe_sent`` says what happens when the outcome is unknown (a broken connection, a 5xx): repeat ``"never"``, for
    ``"idempotent"`` calls only, or ``"always"``, accepting duplicates.
    """

    attempts: int = 4
    initial: float = 0.25
    maximum: float = 8.0
    deadline: float = 60.0
    maybe_sent: Literal["never", "idempotent", "always"] = "idempotent"
    max_retry_after: float = 60.0

    def __post_init__(self) -> None:
        for name in ("initial", "maximum", "deadline"):
            positive(f"RetryPolicy.{name}", getattr(self, name))
        if self.max_retry_after >= 0:  # less: a Retry-After always ends the trying
            seconds("RetryPolicy.max_retry_after", self.max_retry_after)
        if not self.attempts >= 1 or self.maximum < self.initial:
            raise ConfigError(f"a retry policy needs attempts >= 1 and initial <= maximum: {self}")
        if self.maybe_sent not in ("never", "idempotent", "always"):
            raise ConfigError(
                f"RetryPolicy.maybe_sent must be 'never', 'idempotent' or 'always', not {self.maybe_sent!r}"
            )

    def allows(self, error: BaseException, *, idempotent: bool) -> bool:
        """Whether a call that ended in ``error`` may be repeated. An allow-list: cancellation is never on it."""
        if isinstance(error, NotSent):
            return not error.permanent
        if isinstance(error, NotDone):
            return (error.retry_after or 0.0) <= self.max_retry_after
        if isinstance(error, RateLimited):
            return not error.local and (error.retry_after or 0.0) <= self.max_retry_after
        if isinstance(error, ProtocolError):
            # Of a wrong address it will be the same again: only who must deliver at any price repeats it.
            return error.maybe_sent and self.maybe_sent == "always"
        if isinstance(error, AsyncConnError) and error.maybe_sent:
            return self.repeats_unknown(idempotent=idempotent)
        # A kind whose outcome is unknown, and one of it that is known: nothing was done.
        return isinstance(error, AsyncConnError) and type(error).maybe_sent

    def repeats_unknown(self, *, idempotent: bool) -> bool:
        """Whether a call may go out again while the outcome of the first time is unknown."""
        return self.maybe_sent == "always" or (self.maybe_sent == "idempotent" and idempotent)

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        idempotent: bool,
        clock: Clock | None = None,
        not_counted: Callable[[], float] = lambda: 0.0,
        on_retry: Callable[[AsyncConnError, float], object] | None = None,
        failed: tuple[AsyncConnError, float] | None = None,
    ) -> T:
        """Call ``attempt`` until it succeeds or may not be repeated; then raise its last error.

        ``failed`` is for callers who made the first attempt themselves: its error, and when it began.

        ``not_counted`` gives the seconds so far that do not count towards the deadline; ``on_retry`` is told the
        error and the seconds until the next attempt. The error raised has ``maybe_sent`` set if any attempt's
        outcome is unknown.
        """
        clock = clock or SystemClock()
        if failed is None:
            started = clock.now()
            try:
                return await attempt()
            except AsyncConnError as error:
                first = error
        else:
            first, started = failed
        if self.attempts == 1 or not self.allows(first, idempotent=idempotent):
            raise first
        errors = [first]
        try:
            # Only a failure pays for tenacity: about 40 us that a plain first attempt saves.
            return await self._again(
                errors,
                attempt,
                AsyncConnError,
                lambda error: self.allows(error, idempotent=idempotent),
                clock,
                started,
                not_counted,
                on_retry,
            )
        except AsyncConnError as last:
            unknown = next((error for error in reversed(errors) if error.maybe_sent), None)
            if unknown is not None and isinstance(last, NotSent):
                raise unknown from unknown.__cause__  # "nothing was sent" is true of the last attempt only
            last.maybe_sent = unknown is not None
            raise

    async def repeat(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        when: Callable[[BaseException], bool],
        clock: Clock | None = None,
        on_retry: Callable[[Exception, float], object] | None = None,
    ) -> T:
        """:meth:`run` for a stranger's code: any ``Exception`` for which ``when`` is true may be repeated."""
        clock = clock or SystemClock()
        started = clock.now()
        try:
            return await attempt()
        except Exception as error:
            if self.attempts == 1 or not when(error):
                raise
            errors = [error]
        return await self._again(errors, attempt, Exception, when, clock, started, lambda: 0.0, on_retry)

    async def _again(
        self,
        errors: list[E],
        attempt: Callable[[], Awaitable[T]],
        kind: type[E],
        allowed: Callable[[BaseException], bool],
        clock: Clock,
        started: float,
        not_counted: Callable[[], float],
        on_retry: Callable[[E, float], object] | None,
    ) -> T:
        """All attempts but the first, whose error is in ``errors`` already; theirs are added to it."""
        if not _tenacity_is_here():
            # Importing it takes some 150 ms, and waits for a thread that is at it already: the loop goes on meanwhile.
            await asyncio.to_thread(importlib.import_module, "tenacity")
        from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

        growing = wait_random_exponential(multiplier=self.initial, max=self.maximum)
        first: E | None = errors[0]

        async def next_attempt() -> T:
            nonlocal first
            if first is not None:
                failed, first = first, None
                raise failed
            try:
                return await attempt()
            except kind as error:
                errors.append(error)
                raise

        def wait(state: RetryCallState) -> float:
            floor = getattr(errors[-1], "retry_after", None) or 0.0
            return floor + growing(state)

        def enough(state: RetryCallState) -> bool:
            return (
                state.attempt_number >= self.attempts
                or clock.now() - started - not_counted() + state.upcoming_sleep > self.deadline
            )

        def before_sleep(state: RetryCallState) -> None:
            if on_retry is not None:
                on_retry(errors[-1], state.upcoming_sleep)

        return await AsyncRetrying(
            retry=retry_if_exception(allowed),
            stop=enough,
            wait=wait,
            sleep=clock.sleep,
            before_sleep=before_sleep,
            reraise=True,
        )(next_attempt)


def _tenacity_is_here() -> bool:
    """Whether its import has come to its end: while it runs, the module is there already, and half empty."""
    spec = getattr(sys.modules.get("tenacity"), "__spec__", None)
    return spec is not None and not getattr(spec, "_initializing", False)


#: One attempt, whatever happens.
ONCE = RetryPolicy(attempts=1)
