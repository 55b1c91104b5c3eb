"""A readiness probe that may be asked by anybody at any rate: one request a second, one at a time, one second long."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from asyncconn.core.tasks import reap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn.core.clock import Clock

__all__ = ["Readiness"]

logger = logging.getLogger("asyncconn.atoti_limits")


class Readiness:
    """Asks ``probe`` and remembers the answer. All times in seconds."""

    def __init__(self, probe: Callable[[], Awaitable[bool]], *, clock: Callable[[], Clock], every: float = 1.0) -> None:
        self._probe = probe
        self._clock = clock
        self._every = every
        self._asked: float | None = None
        self._answer = False
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def ask(self) -> bool:
        """The answer, at most ``every`` old when it was asked for. Whatever goes wrong means False."""
        if self._closed:
            return False
        if self._task is None:
            now = self._clock().now()
            if self._asked is not None and now - self._asked < self._every:
                return self._answer
            self._asked = now
            # A task of its own: whoever asked first may go away, and the others still get their answer.
            self._task = asyncio.get_running_loop().create_task(self._ask(), name="asyncconn:atoti_limits:ready")
        await asyncio.wait({self._task})
        return self._answer

    async def _ask(self) -> None:
        answer = False
        try:
            async with asyncio.timeout(self._every):
                answer = await self._probe()
        except Exception as error:  # noqa: BLE001 - also a token provider that fails means "not ready"
            logger.debug("not ready: %s", type(error).__name__)  # a stranger's text may quote a credential
        finally:
            self._answer, self._task = answer, None

    async def aclose(self) -> None:
        """Not ready any more; nothing of it is left running."""
        self._closed = True
        if self._task is not None:
            await reap([self._task])
