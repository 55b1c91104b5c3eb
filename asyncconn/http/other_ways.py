"""Calls whose attempts go another way: over a connection that becomes another protocol, or by a stranger's client."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.retrying import ONCE
from asyncconn.errors import ProtocolError
from asyncconn.http.response import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from asyncconn.http.exchange import Road
    from asyncconn.http.request import Call

__all__ = ["OtherWays"]

T = TypeVar("T")


class OtherWays:
    """What a transport can do beside requests of its own: counted, followed and limited as these are."""

    service: str
    _anonymous: bool
    _road: Road
    _call: Callable[..., Call]
    _show: Callable[[Call], Awaitable[None]]
    _observe: Callable[[Call, Response], None]
    _policy: Callable[..., tuple[Any, bool]]
    _renewing: Callable[..., Awaitable[Any]]
    repeat: Callable[..., Awaitable[Any]]

    async def upgrade(
        self,
        path: str,
        dial: Callable[[Call], Awaitable[T | Response]],
        *,
        params: Mapping[str, Any] | None = None,
    ) -> T:
        """A GET that is to become another protocol, as a WebSocket does, over the connection that ``dial`` makes.

        ``dial`` is given the call, with its credential, and returns what it has opened, or the answer where that is a
        refusal: its error is raised. It counts as a call; nothing is repeated, except once with a newer token.
        """

        async def attempt(call: Call) -> T:
            self._road.session()  # a closed hub should say so
            with self._counted(call, 101):
                asked = self._road.clock.now()
                async with call.limiter or nullcontext():
                    self._road.wait(call, self._road.clock.now() - asked)
                    found = await dial(call if call.sign is None else await call.sign(call))
                if isinstance(found, Response):
                    self._observe(call, found)
                    raise ProtocolError(f"{call.what} answered {found.status}, and does not change the protocol")
                return found

        call = self._call("GET", path, params, None, None, None, "default", 1, None)
        if not self._anonymous:
            await self._show(call)
        with self._road.watching.follow("call", self.service, call) as call.following:
            opened: T = await self._renewing(call, attempt, *self._policy(call, ONCE, True), None)
        return opened

    async def aside(self, method: str, path: str, attempt: Callable[[], Awaitable[T]], *, route: str) -> T:
        """A call whose attempts go another way, such as a stranger's client: counted, followed and repeated as others.

        It is not idempotent.
        """
        call = self._call(method, path, None, None, None, None, "default", 1, None, route=route)
        call.path = route

        async def counted() -> T:
            try:
                with self._counted(call, 200):
                    return await attempt()
            finally:
                call.tries += 1

        with self._road.watching.follow("call", self.service, call) as call.following:
            answered: T = await self.repeat(counted, idempotent=False)
        return answered

    @contextmanager
    def _counted(self, call: Call, status: int) -> Iterator[None]:
        """An attempt that goes another way; ``status`` is that of its success."""
        started = self._road.clock.now() - call.waited
        how: int | BaseException = status
        try:
            yield
        except BaseException as error:
            how = error
            raise
        finally:
            self._road.ended(call, how, self._road.clock.now() - call.waited - started)
