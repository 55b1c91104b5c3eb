"""A real server with an application of ours in it, and clients that keep it busy while it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


class Serving:
    """A server's ``process``, the ``url`` it listens at, and what it ``said`` on standard error."""

    def __init__(self, process: asyncio.subprocess.Process, workers: int) -> None:
        self.process = process
        self._to_come = workers
        self.url = ""
        self.said: list[str] = []
        self.answered: list[int] = []
        self._reading = asyncio.create_task(self._read())
        self._up = asyncio.Event()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.said.append(line.decode())
            for words in ("running on ", "Listening at: "):
                if words in self.said[-1]:
                    self.url = self.said[-1].partition(words)[2].split()[0]
            self._to_come -= "Application startup complete" in self.said[-1]
            if not self._to_come:
                self._up.set()
        self._up.set()

    async def up(self) -> None:
        await self._up.wait()
        async with asyncio.timeout(5.0):
            while not self.url:
                assert not self._reading.done(), self.log
                await asyncio.sleep(0.01)

    @property
    def log(self) -> str:
        return "".join(self.said)

    async def load(self, *, clients: int = 20, until: Callable[[], object]) -> None:
        """Post records with a number each as fast as it goes, until none is taken any more.

        ``until`` is called once 200 are ``answered``.
        """
        numbers = iter(range(1_000_000))
        told = False

        async def keep_posting(client: httpx.AsyncClient) -> None:
            nonlocal told
            while True:
                number = next(numbers)
                try:
                    answer = await client.post("/events/clicks", json={"id": number})
                except httpx.HTTPError:
                    return
                if answer.status_code != 202:
                    return
                self.answered.append(number)
                if len(self.answered) >= 200 and not told:
                    told = True
                    until()

        async with httpx.AsyncClient(base_url=self.url, timeout=10.0) as client:
            await asyncio.gather(*[keep_posting(client) for _ in range(clients)])

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Its exit status."""
        await self._reading
        return await self.process.wait()


@asynccontextmanager
async def started(*command: str, folder: Path, env: Mapping[str, str], workers: int = 1) -> AsyncIterator[Serving]:
    """Python with ``command``, in ``folder``, where examples can be imported, once all ``workers`` are up."""
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{EXAMPLES}", **env},
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    serving = Serving(process, workers)
    try:
        await serving.up()
        yield serving
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await serving.ended()
        process._transport.close()  # type: ignore[attr-defined] # asyncio leaves it to the collector
