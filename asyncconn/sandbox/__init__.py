"""The platforms, embedded: real sockets on this machine, made-up credentials, the platforms' own rules.

async with Sandbox() as sandbox:
    os.environ.update(sandbox.env)  # clients that read the environment now talk to the sandbox
    sandbox.faults.add(Fault("drop_after", times=2))
    ...
    sandbox.panoply.sql("select count(*) as n from events")
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING, Self, TypeVar

from asyncconn.core.clock import SystemClock
from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox.atoti_limits import FakeAtotiSession, FakeLimitsServer, LimitsWorld
from asyncconn.sandbox.clock import MovableClock
from asyncconn.sandbox.control import Desk
from asyncconn.sandbox.datorama import DatoramaWorld
from asyncconn.sandbox.exchange import Answer, Arrival, BrokenOff, Call
from asyncconn.sandbox.faults import Fault, Faults
from asyncconn.sandbox.panoply import PanoplyWorld
from asyncconn.sandbox.server import Server
from asyncconn.sandbox.tcup import StreamFault, TcupWorld
from asyncconn.sandbox.views import Channel, Gap, Gauge, View, Work
from asyncconn.sandbox.world import Place, World

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Awaitable, Iterable
    from types import TracebackType

    from asyncconn.core.clock import Clock

__all__ = [
    "Answer",
    "Arrival",
    "BrokenOff",
    "Call",
    "Channel",
    "DatoramaWorld",
    "FakeAtotiSession",
    "FakeLimitsServer",
    "Fault",
    "Faults",
    "Gap",
    "Gauge",
    "LimitsWorld",
    "PanoplyWorld",
    "Place",
    "Sandbox",
    "Server",
    "StreamFault",
    "TcupWorld",
    "View",
    "Work",
    "World",
]

W = TypeVar("W", bound=World)


class Sandbox:
    """Worlds behind one address, for as long as its ``async with`` lasts; to be entered once.

    ``worlds`` are the platforms it plays, all that there are if none is given. A request goes to the first one that
    claims it. ``port`` 0 takes a free one. ``faults`` is a script to begin with: a :class:`Faults`, several
    :class:`Fault`, or a text for :meth:`Faults.parse`; it strikes the requests of all worlds. ``seed`` makes
    credentials and chances repeatable. ``keep_arrivals`` bounds ``arrivals``.

    Making it raises :class:`~asyncconn.errors.ConfigError` for two worlds of one name. Entering raises it when an
    address is taken, a world cannot open, or a fault can strike none of them. Leaving ends what waits at once, and
    takes about a second at most.

        >>> import asyncio
        >>> async def main() -> str:
        ...     async with Sandbox(PanoplyWorld(), seed=1) as sandbox:
        ...         return sandbox.panoply.url
        >>> asyncio.run(main()).rpartition(":")[0]
        'http://127.0.0.1'
    """

    def __init__(
        self,
        *worlds: World,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Faults | Iterable[Fault] | str | None = None,
        seed: int | str | None = None,
        clock: Clock | None = None,
        keep_arrivals: int = 100_000,
    ) -> None:
        if keep_arrivals < 0:
            raise ConfigError("keep_arrivals must be 0 or more")
        self.worlds = worlds or (DatoramaWorld(), TcupWorld(), PanoplyWorld(), LimitsWorld())
        for name, number in Counter(world.name for world in self.worlds).items():
            if not name or number > 1:
                raise ConfigError(f"each world of a sandbox needs a name of its own, not {name!r} for {number}")
        self.faults = _script(faults, seed)
        #: The time of all worlds; :meth:`advance` moves it on.
        self.clock = MovableClock(SystemClock() if clock is None else clock)
        place = Place(host, self.clock, self.faults, seed, keep_arrivals)
        self._log = place.log
        for world in self.worlds:
            world.settle(place)
        self._server = Server(self.worlds, place, Desk(self))
        self._host = host
        self._port = port
        self._url: str | None = None
        self._entered = False
        self._opened: list[World] = []

    def __repr__(self) -> str:
        return f"<Sandbox {self._url or 'not open'}>"

    @property
    def url(self) -> str:
        """``http://HOST:PORT``. Raises :class:`~asyncconn.errors.LifecycleError` when it is not open."""
        if self._url is None:
            raise LifecycleError("the sandbox is not open: its address is known inside 'async with'")
        return self._url

    @property
    def env(self) -> dict[str, str]:
        """Environment variables that lead clients here, past any proxy; they hold the made-up secrets."""
        if self._url is None:
            raise LifecycleError("the sandbox is not open: its address is known inside 'async with'")
        env = {name: value for world in self.worlds for name, value in world.env().items()}
        return env | _past_the_proxy(self._host)

    @property
    def panoply(self) -> PanoplyWorld:
        """Panoply. Raises :class:`~asyncconn.errors.ConfigError` when it is not among the worlds."""
        return self._world(PanoplyWorld)

    @property
    def datorama(self) -> DatoramaWorld:
        """Datorama. Raises :class:`~asyncconn.errors.ConfigError` when it is not among the worlds."""
        return self._world(DatoramaWorld)

    @property
    def atoti_limits(self) -> LimitsWorld:
        """Atoti Limits. Raises :class:`~asyncconn.errors.ConfigError` when it is not among the worlds."""
        return self._world(LimitsWorld)

    @property
    def tcup(self) -> TcupWorld:
        """TCUP. Raises :class:`~asyncconn.errors.ConfigError` when it is not among the worlds."""
        return self._world(TcupWorld)

    @property
    def requests(self) -> Counter[str]:
        """Requests that arrived, by world (``-`` for those that none serves)."""
        return self._server.requests

    @property
    def arrivals(self) -> deque[Arrival]:
        """When which request arrived, the last ``keep_arrivals`` of them."""
        return self._server.arrivals

    def advance(self, seconds: float) -> None:
        """Move the time of all worlds on, at once; what is due by then begins.

        Raises :class:`~asyncconn.errors.ConfigError` for going back, NaN, and more than ten years in all.
        Rates, quotas, jobs, schedules and the ends of tokens follow. To move one platform alone, move its own clock.
        """
        self.clock.advance(seconds)
        for world in self.worlds:
            world.moved()

    async def reset(self) -> None:
        """Forget what has landed and happened, and all faults, as between two tests.

        Addresses, credentials, options and the clock stay; streams break off. A file that is the ``warehouse`` of
        Panoply is emptied.
        """
        self.faults.clear()
        self.faults.hits.clear()
        self.requests.clear()
        self.arrivals.clear()
        self._log.entries.clear()
        await _all_of(world.reset() for world in self.worlds)

    async def __aenter__(self) -> Self:
        if self._entered:
            raise LifecycleError("a sandbox is entered once; make a new one")
        self._entered = True
        try:
            url = await self._server.start(self._port)
            for world in self.worlds:
                self._opened.append(world)
                await world.open(url)
            self.faults.begin()
        except BaseException:
            await self._close()
            raise
        self._url = url
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        self._url = None
        try:
            await self._server.stop()
        finally:
            closing = asyncio.create_task(self._close_worlds(), name="asyncconn-sandbox-close")
            try:
                await asyncio.wait({closing})
            except asyncio.CancelledError:
                await asyncio.wait({closing})  # it is bounded, and no world may outlive the sandbox
                raise
        closing.result()

    async def _close_worlds(self) -> None:
        await _all_of(world.close() for world in self._opened)

    def _world(self, kind: type[W]) -> W:
        for world in self.worlds:
            if isinstance(world, kind):
                return world
        raise ConfigError(f"this sandbox has no {kind.name}: make it with Sandbox({kind.__name__}(), ...)")


async def _all_of(work: Iterable[Awaitable[None]]) -> None:
    """Do each, whatever becomes of the others; then raise the first error."""
    for end in await asyncio.gather(*work, return_exceptions=True):
        if end is not None:
            raise end


def _past_the_proxy(host: str) -> dict[str, str]:
    """No proxy for this host: for clients of asyncconn (in a .env file, too), and for all others."""
    name = "no_proxy" if os.environ.get("no_proxy") else "NO_PROXY"
    others = [one for one in os.environ.get(name, "").split(",") if one.strip()]
    return {"ASYNCCONN_NO_PROXY": host, name: ",".join(others if host in others else [*others, host])}


def _script(faults: Faults | Iterable[Fault] | str | None, seed: int | str | None) -> Faults:
    if isinstance(faults, Faults):
        return faults
    if isinstance(faults, str):
        return Faults.parse(faults, seed=seed)
    return Faults(*(faults or ()), seed=seed)
