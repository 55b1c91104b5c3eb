"""One attempt on the wire: its permit, its place among the connector's requests, its connection, and their return."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from asyncconn.core.clock import Clock
from asyncconn.core.rates.registry import Room
from asyncconn.core.watching import NOBODY, Watching
from asyncconn.errors import ApiError, AsyncConnError, ConfigError, ConnectionLost, PoolTimeout
from asyncconn.http.compressed import decoded
from asyncconn.http.failures import translated
from asyncconn.http.request import Body, Call
from asyncconn.http.traffic import Counting, Traffic

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from asyncconn.core.rates.limiter import Permit
    from asyncconn.http.attempts.attempt import Attempt

__all__ = ["Attempted", "Body", "Call", "Exchange", "Places", "Road", "may_say_no"]

_NO_REQUEST = aiohttp.RequestInfo(URL(), "", CIMultiDictProxy(CIMultiDict()), URL())
_SOON = 1.0  # seconds: an error comes at once, and what is slow is none
_QUOTING = (aiohttp.ClientResponseError, aiohttp.InvalidURL)


class Places:
    """How many requests may be under way: those of the account, once it is known."""

    __slots__ = ("room",)

    def __init__(self, room: Room) -> None:
        self.room = room


@dataclass(slots=True, repr=False, eq=False)
class Road:
    """What all attempts of one transport share."""

    session: Callable[[], aiohttp.ClientSession]
    places: Places
    place_timeout: float
    clock: Clock
    owner: object = None  # in whose name its calls wait for the rate limit
    traffic: Counting = field(default_factory=lambda: Traffic().of(""))
    watching: Watching = field(default_factory=Watching)

    def wait(self, call: Call, seconds: float) -> None:
        """A call has waited for its rate."""
        call.waited += seconds
        self.traffic.wait(call, seconds)

    def ended(self, call: Call, how: int | BaseException, seconds: float, received: int = 0) -> None:
        """An attempt of ``call`` is over: by an answer of that status, or in an error."""
        if isinstance(how, ApiError) and not getattr(how, "local", False):  # by an answer whose meaning that is
            how = how.status
        self.traffic.count(call, how if type(how) is int else type(how).__name__, seconds, received)
        if call.following is not NOBODY:
            call.following.event("attempt", Attempted(call.tries + 1, how, seconds))


@dataclass(frozen=True, slots=True)
class Attempted:
    """What who follows a call is told of each attempt: its number, its status or error, and the seconds it took."""

    number: int
    ended: int | BaseException
    seconds: float


class Exchange:
    """Entering it waits for a permit and a place and sends; leaving it returns both and releases the connection.

    Errors of the library underneath leave it as ours, wherever inside they come up.
    """

    seconds = 0.0  # it took, without the wait for its permit
    _counted = False
    _told = 0  # bytes of what is kept that were counted

    def __init__(self, road: Road, call: Call) -> None:
        self._road = road
        self._call = call
        self._attempt: Attempt | None = None
        self._answer: aiohttp.ClientResponse | None = None
        self._room: Room | None = None
        self._waited = False
        self._kept = False
        self._started = road.clock.now() - call.waited
        self.seen = b""  # of the body, by peek()
        self._ahead: AsyncGenerator[bytes, None] | None = None
        self._next: asyncio.Future[bytes] | None = None  # the chunk that peek() was still waiting for

    async def __aenter__(self) -> aiohttp.ClientResponse:
        call = self._call
        try:
            session = self._road.session()  # a closed hub should say so before anybody waits
            permit = None
            if call.limiter is not None:
                permit = call.limiter.acquire_nowait(call.cost) or await self._permit()
            attempt = _way(session)(call, permit, session)
            self._attempt = attempt
            room = self._road.places.room
            if not room.enter_nowait():
                await self._wait_for(room)
            self._room = room
            if self._waited:
                self._road.session()  # the hub may have closed meanwhile
            going = call if call.sign is None else await call.sign(call)
            if call.opening is None:
                self._answer = await attempt.send(going)
            else:
                async with asyncio.timeout(call.opening):
                    self._answer = await attempt.send(going)
        except BaseException as error:
            self.close(broken=True)
            self._raise_ours(error)
            raise
        return self._answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.close(broken=True)
            self._raise_ours(error)
        elif not self._kept:
            answer, call, road = self._answer, self._call, self._road
            if answer is not None:
                self.seconds = seconds = road.clock.now() - call.waited - self._started
                received = answer.content.total_bytes
                if call.following is NOBODY:
                    road.traffic.count(call, answer.status, seconds, received)
                else:
                    road.ended(call, answer.status, seconds, received)
            self.close()

    def keep(self) -> None:
        """Stay open beyond the ``async with``, in no place of a request; somebody else will :meth:`close`."""
        self._kept = True
        if self._answer is not None:
            self._ended(self._answer.status)
        self._leave_place()

    def _ended(self, how: int | BaseException) -> None:
        """Count an error, or the beginning of what is kept; once."""
        if not self._counted:
            self._counted = True
            road, call = self._road, self._call
            received = 0 if self._answer is None or self._kept else self._answer.content.total_bytes
            road.ended(call, how, road.clock.now() - call.waited - self._started, received)

    def _leave_place(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.leave()

    def close(self, *, broken: bool = False) -> None:
        """Return everything. A broken answer takes its connection with it. Idempotent."""
        if self._answer is not None:
            if self._kept:
                received = self._answer.content.total_bytes
                self._road.traffic.receive(self._call, received - self._told)
                self._told = received
            if broken:
                self._answer.close()
            else:
                self._answer.release()
        if self._next is not None and not self._next.cancel() and not self._next.cancelled():
            self._next.exception()  # or it would be reported as one that nobody asked for
        self._leave_place()
        if self._attempt is not None:
            self._attempt.end()

    async def peek(self, most: int, seconds: float | None) -> bool:
        """Read ``most`` bytes ahead, or a little more, into :attr:`seen`; whether they are all there is.

        Those that come within ``seconds``: of a slow answer it is the beginning. ``TimeoutError`` if nothing came.
        """
        now = asyncio.get_running_loop().time
        until = None if seconds is None else now() + seconds
        self._ahead = self.chunks()
        while len(self.seen) <= most:
            # A task, as a generator whose reading is cancelled has come to its end.
            coming = self._next = asyncio.ensure_future(anext(self._ahead, b""))
            if not (await asyncio.wait({coming}, timeout=None if until is None else until - now()))[0]:
                if not self.seen:
                    raise TimeoutError
                return False
            self._next = None
            piece = coming.result()
            if not piece:
                return True
            self.seen += piece
        return False

    async def first_line(self) -> bool:
        """Read what comes within a second into :attr:`seen`; whether a whole line is in it."""
        try:
            return await self.peek(0, _SOON) or b"\n" in self.seen
        except TimeoutError:
            return False

    async def whole(self) -> AsyncGenerator[bytes, None]:
        """The chunks, with what has been read ahead."""
        if self.seen:
            yield self.seen
        async with aclosing(self._ahead or self.chunks()) as chunks:
            if self._next is not None and (piece := await self._next):
                yield piece
            async for chunk in chunks:
                yield chunk

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The answer's body as it comes."""
        if self._answer is not None:
            try:
                async with aclosing(decoded(self._answer, self._call.what)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except Exception as error:
                self.close(broken=True)
                self._raise_ours(error)
                raise

    def _raise_ours(self, error: BaseException) -> None:
        call, attempt = self._call, self._attempt
        ours = translated(
            error,
            call.what,
            host=call.host,
            sent=attempt is not None and attempt.sent,
            full=attempt is not None and attempt.full,
        )
        if ours is None and isinstance(error, Exception) and not isinstance(error, AsyncConnError):
            ours = self._strange(error, call.what)
        self._ended(ours or error)
        if ours is not None:
            if isinstance(error, aiohttp.ClientResponseError):
                _forget_request(error)
            # Some of their errors quote the URL and the headers of the request: those do not travel along.
            raise ours from (None if isinstance(error, _QUOTING) else error)

    def _strange(self, error: Exception, what: str) -> AsyncConnError:
        """For what is not the network's: settings of a borrowed session that do not fit, hooks in it that raise."""
        why = f"{type(error).__name__}: {error}"
        if self._attempt is None or not self._attempt.sent:
            return ConfigError(f"{what} cannot be sent over this session: {why}")
        return ConnectionLost(f"{what}: the exchange failed: {why}")

    async def _permit(self) -> Permit | None:
        call = self._call
        if call.limiter is None:
            return None
        started = self._road.clock.now()
        self._waited = True
        try:
            return await call.limiter.acquire(call.cost, max_wait=call.max_wait, owner=self._road.owner)
        finally:
            self._road.wait(call, self._road.clock.now() - started)

    async def _wait_for(self, room: Room) -> None:
        seconds = self._road.place_timeout
        self._waited = True
        try:
            async with asyncio.timeout(seconds):
                await room.enter()
                self._room = room
        except TimeoutError:
            if self._room is None:
                raise PoolTimeout(f"{self._call.service}: all concurrent places were taken for {seconds:g} s") from None


def _way(session: aiohttp.ClientSession) -> Callable[[Call, Permit | None, aiohttp.ClientSession], Attempt]:
    """How an attempt goes over a session: the connector of a hub's own may know a shorter one."""
    if type(session) is aiohttp.ClientSession:  # and nothing that stands in its place
        way: Callable[[], Callable[..., Attempt] | None] | None = getattr(session.connector, "way", None)
        if way is not None and (shorter := way()) is not None:
            return shorter
    from asyncconn.http.attempts.by_session import BySession

    return BySession


def _forget_request(error: aiohttp.ClientResponseError) -> None:
    """Take URL, headers and answer out of a stranger's error: it still stands among the locals of our traceback."""
    error.request_info = _NO_REQUEST
    error.args, error.history, error.headers, error.message = (), (), None, ""


def may_say_no(answer: aiohttp.ClientResponse, most: int) -> bool:
    """Whether a download may be an error in disguise: one JSON document, and not known to have more bytes."""
    kind = answer.content_type.lower()
    return (kind == "application/json" or kind.endswith("+json")) and (answer.content_length or 0) <= most
