"""A Redis server for tests, what can happen between it and a client, and a platform that counts exactly."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from loopback import Server
from redis.asyncio import Redis

from asyncconn.core.rates.limiter import RateLimiter
from asyncconn.integrations.redis import RedisRates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from asyncconn.core.rates.parts import Part
    from asyncconn.core.rates.registry import Rates

HOLDER = Path(__file__).with_name("redis_holder.py")
CREDENTIAL = "https://api.acme.example\ns3cret-token"


class RedisServer:
    """A real server on a port of its own, with nothing on disk; started again it has forgotten everything."""

    def __init__(self, *options: str) -> None:
        self._options = options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", "/"]
        command = [program, *where, *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(1500):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0) as there:
                there.sendall(b"PING\r\n")
                if there.recv(100).startswith(b"+PONG"):
                    return
            if self._process.poll() is not None:  # somebody has the port for a moment
                self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            time.sleep(0.01)
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # else it may still answer

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Redis]:
        client = Redis(port=self.port, decode_responses=True)
        try:
            yield client
        finally:
            await client.aclose()

    async def scripts(self) -> int:
        """How often the script ran."""
        async with self.client() as client:
            stats: dict[str, Any] = await client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval"))


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    server = RedisServer(*options)
    try:
        yield server
    finally:
        server.kill()


# -- between a client and the server -----------------------------------------------------------------------------------


class Between(Server):
    """Passes bytes on to ``port``, and swallows a share of the answers to scripts: of those the connection is lost,
    or no word comes. What was asked has been done by then."""

    def __init__(self, port: int, swallows: float = 0.0) -> None:
        super().__init__(self._pass_on)
        self._there = port
        self._share = swallows
        self._chance = random.Random(11)
        self.swallowed = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection("127.0.0.1", self._there)
        script = False

        async def asks() -> None:
            nonlocal script
            while data := await reader.read(1 << 16):
                script = b"EVAL" in data
                to.write(data)

        asking = asyncio.ensure_future(asks())
        try:
            while data := await there.read(1 << 16):
                if script and self._chance.random() < self._share:
                    self.swallowed += 1
                    if self.swallowed % 2:
                        return
                    continue
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            asking.cancel()
            await asyncio.wait({asking})
            to.close()
            with suppress(ConnectionError):
                await to.wait_closed()


# -- a platform --------------------------------------------------------------------------------------------------------


class Counting(Server):
    """Counts each call as it arrives, in an exact sliding window, and says yes or no; both ways take their time."""

    def __init__(self, limit: int, period: float, jitter: bool = True) -> None:
        super().__init__(self._serve)
        self.limit, self.period = limit, period
        self._jitter = jitter
        self._chance = random.Random(7)
        self._counted: deque[float] = deque()
        self.arrivals: list[float] = []
        self.refused = 0
        self.by: Counter[str] = Counter()

    async def _way(self) -> None:
        if self._jitter:
            await asyncio.sleep(0.2 if self._chance.random() < 0.02 else self._chance.uniform(0.0, 0.03))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                await self._way()
                now = time.monotonic()
                while self._counted and self._counted[0] <= now - self.period:
                    self._counted.popleft()
                if len(self._counted) < self.limit:
                    self._counted.append(now)
                    self.arrivals.append(now)
                    self.by[line.decode().strip()] += 1
                    answer = b"yes\n"
                else:
                    self.refused += 1
                    answer = b"no\n"
                await self._way()
                writer.write(answer)
        except ConnectionError:
            pass

    def share(self, windows: int) -> float:
        """What was granted of the allowance of so many whole windows, from the first call on."""
        first = self.arrivals[0]
        return sum(at < first + windows * self.period for at in self.arrivals) / (windows * self.limit)

    def worst(self, period: float | None = None) -> int:
        """Most calls in any window."""
        period = self.period if period is None else period
        window: deque[float] = deque()
        most = 0
        for at in self.arrivals:
            window.append(at)
            while window[0] <= at - period:
                window.popleft()
            most = max(most, len(window))
        return most


# -- processes ---------------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What a holder told at its end."""

    calls: int
    errors: list[str] = field(default_factory=list)
    longest: float = 0.0


class Holder:
    """A process with callers at full demand."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, **what: Any) -> Self:
        pipe = asyncio.subprocess.PIPE
        arguments = [sys.executable, str(HOLDER), json.dumps(what)]
        return cls(await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe))

    async def ready(self) -> None:
        assert self.process.stdout is not None
        assert await self.process.stdout.readline() == b"ready\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")

    async def told(self) -> Told:
        out, _ = await self.process.communicate()
        return Told(**json.loads(out))

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.communicate()


@asynccontextmanager
async def holders(count: int, **what: Any) -> AsyncIterator[list[Holder]]:
    """Processes that are ready; those that are still there at the end are killed."""
    started = [await Holder.start(**what, name=str(number)) for number in range(count)]
    try:
        for one in started:
            await one.ready()
        yield started
    finally:
        for one in started:
            if one.process.returncode is None:
                await one.kill()


# -- in this process ---------------------------------------------------------------------------------------------------


async def shared_for_long(
    url: str, rates: RedisRates, kinds: Rates, credential: str = CREDENTIAL
) -> dict[str, list[Any]]:
    """Shared parts that the server knows already: when it has just been started it grants nothing for a window."""
    shared: Any = rates.share("acme", credential, kinds)
    async with Redis.from_url(url) as client:
        run = (await client.info("server"))["run_id"]
        for part in (one for parts in shared.values() for one in parts if hasattr(one, "cap")):
            books: dict[Any, Any] = {"run": run, "kind": part.kind, "label": part.cap.label, "used": 0}
            books |= {"limit": part.limit, "tokens": part.limit, "period": 1000}
            await client.hset(part.cap.keys(part.kind)[0], mapping=books)
    return {kind: [part.fresh() for part in parts] for kind, parts in shared.items()}


@asynccontextmanager
async def limiter(url: str, *parts: Part, credential: str = CREDENTIAL, **options: Any) -> AsyncIterator[RateLimiter]:
    """A limiter with ``parts`` shared through the server at ``url``, as another process would have it."""
    async with RedisRates(url, **options) as rates:
        shared = await shared_for_long(url, rates, parts, credential)
        made = RateLimiter(*shared["default"], name="acme")
        try:
            yield made
        finally:
            await made.aclose()


async def calls(limiter: RateLimiter, count: int) -> None:
    """Some, each answered at once."""
    for _ in range(count):
        await call(limiter)


async def call(limiter: RateLimiter) -> None:
    """One that is answered at once."""
    permit = await limiter.acquire()
    permit.sent()
    permit.done()
