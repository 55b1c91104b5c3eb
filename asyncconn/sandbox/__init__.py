"""The platforms, embedded: real sockets on this machine, made-up credentials, the platforms' own rules.

async with Sandbox() as sandbox:
    os.environ.update(sandbox.env)  # clients that read the environment now talk to the sandbox
    sandbox.faults.add(Fault("drop_after", times=2))
    ...
    sandbox.panoply.sql("select count(*) as n from events")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from asyncconn.core.clock import SystemClock
from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox.atoti_limits import AtotiLimitsSandbox, FakeAtotiSession, FakeLimitsServer, LimitsWorld
from asyncconn.sandbox.credentials import Inventor
from asyncconn.sandbox.datorama import DatoramaSandbox, World
from asyncconn.sandbox.exchange import Arrival, Call
from asyncconn.sandbox.faults import Fault, Faults
from asyncconn.sandbox.panoply import PanoplySandbox
from asyncconn.sandbox.server import Server

if TYPE_CHECKING:
    from collections import Counter, deque
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from asyncconn.core.clock import Clock
    from asyncconn.sandbox.exchange import Platform

__all__ = [
    "Arrival",
    "Call",
    "FakeAtotiSession",
    "FakeLimitsServer",
    "Fault",
    "Faults",
    "LimitsWorld",
    "Sandbox",
    "World",
]


class Sandbox:
    """All platforms behind one address, for as long as its ``async with`` lasts; to be entered once.

    ``port`` 0 takes a free one. ``faults`` is a script to begin with: a :class:`Faults`, several
    :class:`Fault`, or a text for :meth:`Faults.parse`. ``seed`` makes credentials and chances repeatable.
    ``keep_arrivals`` bounds ``arrivals``.

    For Panoply: ``max_message_bytes`` is the queue's limit (decoded body and attributes), ``warehouse`` a
    file for the SQLite database instead of memory, ``keep_messages`` how many messages (and invalid
    documents) are kept to look at. ``datorama`` is the :class:`World` that Datorama plays, a small one if not given.

    For Atoti Limits: ``atoti_limits`` starts a session and a Limits server on ports of their own, which share the fault
    script; without it they are not there.

    Entering raises :class:`~asyncconn.errors.ConfigError` when the address is taken or the warehouse cannot
    be opened. Leaving ends stalled requests at once, and takes about a second at most.

        >>> import asyncio
        >>> async def main() -> str:
        ...     async with Sandbox(seed=1) as sandbox:
        ...         return sandbox.url
        >>> asyncio.run(main()).rpartition(":")[0]
        'http://127.0.0.1'
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Faults | Iterable[Fault] | str | None = None,
        seed: int | str | None = None,
        *,
        max_message_bytes: int = 262_144,
        warehouse: str | Path | None = None,
        keep_messages: int = 200,
        keep_arrivals: int = 100_000,
        atoti_limits: LimitsWorld | None = None,
        clock: Clock | None = None,
        datorama: World | None = None,
    ) -> None:
        if max_message_bytes < 1 or keep_messages < 0 or keep_arrivals < 0:
            raise ConfigError("max_message_bytes must be 1 or more, keep_messages and keep_arrivals 0 or more")
        clock = SystemClock() if clock is None else clock
        self.faults = _script(faults, seed)
        self.panoply = PanoplySandbox(
            Inventor(seed),
            clock,
            max_message_bytes=max_message_bytes,
            warehouse=warehouse,
            keep_messages=keep_messages,
        )
        world = World() if datorama is None else datorama
        self.datorama = DatoramaSandbox(world, clock, seed=seed, keep_calls=keep_arrivals)
        self._platforms: tuple[Platform, ...] = (self.datorama, self.panoply)
        self._limits = AtotiLimitsSandbox(atoti_limits, self.faults, clock, seed) if atoti_limits else None
        self._server = Server(self._platforms, self.faults, clock, keep_arrivals=keep_arrivals)
        self._host = host
        self._port = port
        self._url: str | None = None
        self._entered = False

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
        env = {name: value for platform in self._platforms for name, value in platform.env().items()}
        env |= _past_the_proxy(self._host)
        return env if self._limits is None else env | self._limits.env()

    @property
    def atoti_limits(self) -> AtotiLimitsSandbox:
        """The session and the Limits server. Raises :class:`~asyncconn.errors.ConfigError` when not asked for."""
        if self._limits is None:
            raise ConfigError("this sandbox has no Atoti Limits: make it with atoti_limits=LimitsWorld()")
        return self._limits

    @property
    def requests(self) -> Counter[str]:
        """Requests that arrived, by platform (``-`` for those no platform serves)."""
        return self._server.requests

    @property
    def arrivals(self) -> deque[Arrival]:
        """When which request arrived, the last ``keep_arrivals`` of them."""
        return self._server.arrivals

    async def __aenter__(self) -> Self:
        if self._entered:
            raise LifecycleError("a sandbox is entered once; make a new one")
        self._entered = True
        try:
            port = await self._server.start(self._host, self._port)
            host = f"[{self._host}]" if ":" in self._host else self._host
            url = f"http://{host}:{port}"
            for platform in self._platforms:
                await platform.open(url)
            if self._limits is not None:
                await self._limits.start(self._host)
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
            for platform in self._platforms:
                platform.close()
            if self._limits is not None:
                await self._limits.stop()


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
