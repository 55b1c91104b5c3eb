"""What a task writes, line by line while it runs. Contract: tcup sections 7.2, 13.31."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from asyncconn.core.digits import whole
from asyncconn.core.polling import PollPolicy, passes
from asyncconn.errors import AsyncConnError, ConfigError, PollTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from asyncconn.core.clock import Clock
    from asyncconn.http.stream import Stream

    #: Opens what is there from a byte on.
    Opener = Callable[[int], AbstractAsyncContextManager[Stream]]

__all__ = ["LOG_POLLING", "Logs"]

#: All by how long nothing came.
LOG_POLLING = PollPolicy(minimum=0.5, maximum=10.0, share=0.2, deadline=24 * 3600.0)

_LONGEST = 1024 * 1024  # bytes of a line; what is longer comes in pieces


class Logs:
    """The lines of a log: iterate over them. Those that are there come at once, the others as they are written.

        >>> logs = task.logs()
        >>> async for line in logs:
        ...     print(line)
        >>> task.logs(start=logs.offset)  # goes on after the last of these lines, here or elsewhere

    ``offset`` is in bytes. It ends with the task, or without ``follow`` with what is there. What is no UTF-8 becomes
    U+FFFD. While the platform does not answer it is asked again, as often in a row as the policy tolerates. Raises
    ``PollTimeout``, whose token is the offset, where nothing was written for the policy's deadline.
    """

    def __init__(
        self,
        opener: Opener,
        ended: Callable[[], Awaitable[bool]],
        *,
        start: int,
        follow: bool,
        policy: PollPolicy,
        clock: Clock,
    ) -> None:
        if start < 0:
            raise ConfigError(f"a log starts at byte 0, not at {start}")
        self._opener = opener
        self._ended = ended
        self._follow = follow
        self._policy = policy
        self._clock = clock
        self.offset = start
        self._rest = b""  # of a line that has not ended

    async def __aiter__(self) -> AsyncIterator[str]:
        self._rest = b""
        over, errors, quiet = False, 0, self._clock.now()
        while True:
            before = self._read
            try:
                async with aclosing(self._lines()) as lines:
                    async for line in lines:
                        yield line
                came = self._read > before
                if not self._follow or (over and not came):
                    break
                if not came:
                    over = await self._ended()  # and look once more: its last words came before its end
                errors = 0
            except AsyncConnError as error:
                came = self._read > before
                errors = 0 if came else errors + 1
                if not passes(error) or errors > self._policy.tolerate:
                    raise
            if came:
                quiet = self._clock.now()
            elif not over:
                silent = self._clock.now() - quiet
                if silent >= self._policy.deadline:
                    why = f"nothing was written for {silent:g} s, and it has not ended"
                    raise PollTimeout(why, token=str(self.offset))
                await self._clock.sleep(self._policy.interval(silent))
        if self._rest:
            self.offset += len(self._rest)
            yield _text(self._rest)

    @property
    def _read(self) -> int:
        return self.offset + len(self._rest)

    async def _lines(self) -> AsyncGenerator[str, None]:
        """Those of one answer that have ended."""
        begin = self._read
        async with self._opener(begin) as stream:
            async for chunk in stream:
                *lines, rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    self.offset += len(line) + 1
                    self._rest = b""
                    yield _text(line)
                self._rest = rest
                if len(rest) >= _LONGEST:
                    self.offset += len(rest)
                    self._rest = b""
                    yield _text(rest)
            # Where the platform counts otherwise, as it writes something else than the task wrote, its count holds.
            told = whole(stream.headers.get("X-Next-Offset"))
        if told is not None and told >= begin:
            self.offset = told - len(self._rest)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
