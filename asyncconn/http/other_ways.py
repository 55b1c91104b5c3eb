"""Calls whose attempts go another way: over a connection that becomes another protocol, or by a stranger's client."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from asyncconn.core.retrying import ONCE
from asyncconn.errors import ProtocolError
from asyncconn.http.response import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from asyncconn.http.exchange import Road
    from asyncconn.http.request import Call

__all__ = ["Ways", "aside", "upgrade"]

T = TypeVar("T")


class Ways(Protocol):
    """A transport, as far as they know it."""

    service: str
    _anonymous: bool
    _road: Road

    @property
    def repeat(self) -> Callable[..., Awaitable[Any]]:
        """An attempt that is more than one request, under the retry policy."""
        ...

    @property
    def _call(self) -> Callable[..., Call]: ...
    @property
    def _show(self) -> Callable[[Call], Awaitable[None]]: ...
    @property
    def _observe(self) -> Callable[[Call, Response], None]: ...
    @property
    def _policy(self) -> Callable[..., tuple[Any, bool]]: ...
    @property
    def _renewing(self) -> Callable[..., Awaitable[Any]]: ...


async def upgrade(
    http: Ways, path: str, dial: Callable[[Call], Awaitable[T | Response]], params: Mapping[str, Any] | None
) -> T:
    """See ``Transport.upgrade``."""
    road = http._road

    async def attempt(call: Call) -> T:
        road.session()  # a closed hub should say so
        with _counted(road, call, 101):
            async with _permitted(road, call):
                found = await dial(call if call.sign is None else await call.sign(call))
            if isinstance(found, Response):
                http._observe(call, found)
                raise ProtocolError(f"{call.what} answered {found.status}, and does not change the protocol")
            return found

    call = http._call("GET", path, params, None, None, None, "default", 1, None)
    if not http._anonymous:
        await http._show(call)
    with road.watching.follow("call", http.service, call) as call.following:
        opened: T = await http._renewing(call, attempt, *http._policy(call, ONCE, True), None)
    return opened


async def aside(http: Ways, method: str, path: str, attempt: Callable[[], Awaitable[T]], route: str) -> T:
    """See ``Transport.aside``."""
    call = http._call(method, path, None, None, None, None, "default", 1, None, route=route)
    call.path = route

    async def counted() -> T:
        try:
            with _counted(http._road, call, 200):
                return await attempt()
        finally:
            call.tries += 1

    with http._road.watching.follow("call", http.service, call) as call.following:
        answered: T = await http.repeat(counted, idempotent=False)
    return answered


@asynccontextmanager
async def _permitted(road: Road, call: Call) -> AsyncIterator[None]:
    """Room in the rate, which is waited for no longer than a call may."""
    if call.limiter is None:
        yield
        return
    asked = road.clock.now()
    try:
        permit = await call.limiter.acquire(call.cost, max_wait=call.max_wait, owner=road.owner)
    finally:
        road.wait(call, road.clock.now() - asked)
    try:
        yield
    except BaseException:
        permit.sent()  # perhaps
        permit.cancel()
        raise
    permit.done()


@contextmanager
def _counted(road: Road, call: Call, status: int) -> Iterator[None]:
    """An attempt that goes another way; ``status`` is that of its success."""
    started = road.clock.now() - call.waited
    how: int | BaseException = status
    try:
        yield
    except BaseException as error:
        how = error
        raise
    finally:
        road.ended(call, how, road.clock.now() - call.waited - started)
