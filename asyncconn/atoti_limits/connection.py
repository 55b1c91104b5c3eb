"""Connecting session and Limits: look first, ask once, wait. Contract: limits sections 5, 12.4."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.causes import not_excluded
from asyncconn.atoti_limits.errors import ConnectionTimedOut, SessionUnreachable
from asyncconn.atoti_limits.resources.connections import Connections
from asyncconn.atoti_limits.wire import boolean, passing
from asyncconn.core.durations import positive
from asyncconn.core.notes import with_notes
from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.core.retrying import ONCE
from asyncconn.errors import ConfigError, PollTimeout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn.atoti_limits.calling import Calling
    from asyncconn.atoti_limits.reports import PreflightReport
    from asyncconn.core.clock import Clock

__all__ = ["POLLING", "Connected", "Connecting"]

#: Section 5.1: 0.25 s, then half as much again each time up to 2 s.
POLLING = PollPolicy(first=0.25, minimum=0.25, maximum=2.0, share=0.5, jitter=0.1, tolerate=10_000)


@dataclass(frozen=True, slots=True)
class Connected:
    """How it went: after how many ``seconds`` and ``polls``, and what the ``preflight`` found, if there was one."""

    seconds: float
    polls: int
    preflight: PreflightReport | None = None


@dataclass(frozen=True, slots=True)
class Connecting:
    """How one session gets connected, and who it is for its Limits server. For the rest see ``AtotiLimits``."""

    calling: Calling
    generation: int
    server_name: str
    connect_body: dict[str, Any]

    async def connect(self) -> None:
        """See ``AtotiLimits.connect``."""
        if self.generation == 1:
            raise ConfigError("the plugin of generation 1 connects by itself, once the cube exists: wait_connected()")
        body = dict(self.connect_body)
        if self.generation == 3:
            own = {
                "atotiBaseUrl": self.calling.session.base_url,
                "limitsBaseUrl": self.calling.server.base_url,
                "serverName": self.server_name,
            }
            body = {**own, **body}
        # Only what surely did not arrive is sent again: not what got no answer, nor what was refused with a 429.
        policy = replace(self.calling.session.retry, maybe_sent="never", max_retry_after=-1.0)
        await self.calling.request("autoconfig.connect", json=body or None, retry=policy)

    async def connected(self, **options: Any) -> bool:
        """See ``AtotiLimits.connected``; ``options`` are the request's."""
        if self.generation == 1:
            known = await Connections(self.calling).list(**options)
            return any(one.server_name == self.server_name and one.connected is True for one in known)
        return boolean(await self.calling.request("autoconfig.connected", **options))

    async def once(self) -> bool:
        """:meth:`connected` in one request: not even aiohttp sends it again over a new connection."""
        return await self.connected(retry=ONCE, idempotent=False)

    async def disconnect(self) -> None:
        """See ``AtotiLimits.disconnect``."""
        if self.generation != 3:
            raise ConfigError(f"generation {self.generation} cannot disconnect: end the session, or use generation 3")
        await self.calling.request("autoconfig.disconnect")

    async def wait(
        self,
        timeout: float,
        clock: Clock,
        *,
        preflight: Callable[[], Awaitable[PreflightReport]] | None,
        predicate: Callable[[], Awaitable[bool]] | None,
    ) -> Connected:
        """See ``AtotiLimits.wait_connected``."""
        positive("timeout", timeout)
        started = clock.now()
        report: PreflightReport | None = None
        lost: SessionUnreachable | None = None

        def too_late(
            message: str, cause: BaseException | None, *, last: Any = None, polls: int = 0
        ) -> ConnectionTimedOut:
            causes = not_excluded(
                generation=self.generation,
                session_url=self.calling.session.base_url,
                limits_url=self.calling.server.base_url,
                timeout=timeout,
                report=report,
            )
            error = ConnectionTimedOut(message, last=last, polls=polls, causes=[str(one) for one in causes])
            error.__cause__ = cause
            return error

        step = "the preflight"
        try:
            async with asyncio.timeout(timeout) as limit:
                if preflight is not None:
                    report = await preflight()
                step = "connect"
                if self.generation > 1:
                    try:
                        await self.connect()
                    except SessionUnreachable as error:
                        if not error.maybe_sent:
                            raise
                        lost = error  # it may have arrived: the polls will tell
        except TimeoutError:
            if not limit.expired():
                raise
            raise too_late(f"{step} had no answer within {timeout:g} s", None) from None
        left = timeout - (clock.now() - started)
        if left <= 0:
            raise too_late(f"not connected after {timeout:g} s", lost)

        poller = Poller(
            self.once if predicate is None else _asking(predicate),
            done=bool,
            result=bool,
            policy=replace(POLLING, deadline=left),
            clock=clock,
            name="the connection",
            passing=passing,
            watching=self.calling.session.watching,
        )
        try:
            await poller
        except PollTimeout as error:
            failure = error.__cause__ or lost
            why = f"; {with_notes(failure)}" if failure is not None else ""
            raise too_late(
                f"not connected after {timeout:g} s{why}", failure, last=error.last, polls=error.polls
            ) from failure
        return Connected(clock.now() - started, poller.polls, report)


def _asking(predicate: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    """The caller's own question, which has to be answered by true or false."""

    async def ask() -> bool:
        answer = await predicate()
        if answer is not True and answer is not False:
            raise ConfigError(f"the predicate must return True or False, not {type(answer).__name__}")
        return answer

    return ask
