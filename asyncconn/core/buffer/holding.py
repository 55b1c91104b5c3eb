"""Holding a buffer's senders back for as long as the server asks, instead of losing one batch after another."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import Answer, ApiError, RateLimited

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn.core.buffer.batch import Batch
    from asyncconn.core.clock import Clock

__all__ = ["Hold"]

logger = logging.getLogger("asyncconn.delivery")

T = TypeVar("T")

_STEP = 0.001  # seconds: never wait for less, or a clock that stands a rounding error before the end turns for ever


class Hold:
    """Keeps all senders of a buffer waiting while the server has asked for more time than their retries would wait.

    A 429 or 503 with a Retry-After that ``retry`` (the policy of the senders) does not wait out holds every batch until
    then, ``longest`` seconds at most; the refused one goes out again, unless the server may have carried it out and the
    policy forbids to repeat that. Who is cancelled while he waits, by a close whose time is over, raises the refusal.

        >>> send = Hold("acme", clock, retry=RetryPolicy(), longest=3600.0).around(send)
    """

    def __init__(self, name: str, clock: Clock, *, retry: RetryPolicy | None, longest: float) -> None:
        self._name = name
        self._clock = clock
        self._retry = retry or RetryPolicy()
        self._longest = longest
        self._until = 0.0
        self._asked: ApiError | None = None

    def around(self, send: Callable[[Batch[T]], Awaitable[Any]]) -> Callable[[Batch[T]], Awaitable[Any]]:
        """``send``, for as long as it takes."""

        async def patient(batch: Batch[T]) -> Any:
            refused: ApiError | None = None
            while True:
                if self._asked is not None:
                    await self._over(refused)
                started = self._clock.now()
                batch.restart()
                try:
                    return await send(batch)
                except ApiError as error:
                    if not self._begins(error, self._clock.now() - started) or not self._repeatable(error):
                        raise
                    refused = error

        return patient

    async def _over(self, refused: ApiError | None) -> None:
        while (held := self.refusal()) is not None:
            try:
                await self._clock.sleep(max(held.retry_after or 0.0, _STEP))
            except asyncio.CancelledError:
                # The sender of one batch ends here either way, and its error says more than a cancellation.
                raise refused or self.refusal() or held from None
        self._asked = None

    def refusal(self) -> RateLimited | None:
        """Why a batch that has not been sent cannot be now; None where nothing is held."""
        asked, left = self._asked, self._until - self._clock.now()
        if asked is None or left <= 0:
            return None
        return RateLimited(
            "to an earlier batch, and this one was not sent", Answer(asked.service, asked.status, retry_after=left)
        )

    def _begins(self, error: ApiError, seconds: float) -> bool:
        """Whether ``error``, after ``seconds`` of trying, is to hold the senders; then they are held from now on."""
        wait = error.retry_after
        if wait is None or not wait > 0 or not (isinstance(error, RateLimited) or error.status == 503):
            return False
        retry = self._retry
        refused_here = isinstance(error, RateLimited) and error.local  # by our own limiter, for which nobody retries
        if not (refused_here or wait > retry.max_retry_after or seconds + wait + retry.maximum > retry.deadline):
            return False
        wait = min(wait, self._longest)
        if self._asked is None:
            end = (self._clock.utcnow() + timedelta(seconds=wait)).isoformat(timespec="seconds")
            logger.warning("%s: nothing is sent for %.0f s, until %s: %s", self._name, wait, end, error)
        self._asked = error
        self._until = max(self._until, self._clock.now() + wait)
        return True

    def _repeatable(self, error: ApiError) -> bool:
        return not error.maybe_sent or self._retry.repeats_unknown(idempotent=False)
