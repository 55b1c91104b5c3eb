"""Runs the command line as a user does: in a process of its own, in an empty folder, with a clean environment."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from warm import SHOWING, python

import asyncconn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_OURS = str(Path(asyncconn.__file__).parents[1])
_NOT_INHERITED = ("ASYNCCONN_", "FORCE_COLOR", "GITHUB_ACTIONS", "NO_COLOR", "PY_COLORS", "COLUMNS", "TERM")
DATA = Path(__file__).parents[2] / "examples" / "data"


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    path = os.pathsep.join(filter(None, [_OURS, kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "PYTHONWARNINGS": SHOWING[1], **(more or {})}


def command(*args: str, patch: str = "") -> list[str]:
    if not patch:
        return [sys.executable, "-m", "asyncconn", *args]
    return [sys.executable, "-c", f"{patch}\nfrom asyncconn.cli import main\nmain()", *args]


def run(folder: Path, *args: str, env: Mapping[str, str] | None = None, given: bytes = b"", patch: str = "") -> Ended:
    """Run to the end. ``patch`` is Python that is run in the process before the command."""
    words = command(*args, patch=patch) if patch else python("-m", "asyncconn", *args, flags=SHOWING)
    done = subprocess.run(words, cwd=folder, env=environment(env), input=given, capture_output=True, timeout=55)
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


@asynccontextmanager
async def started(
    folder: Path, *args: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command that is running; killed if it still does at the end."""
    process = await asyncio.create_subprocess_exec(
        *command(*args),
        cwd=folder,
        env=environment(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(process: asyncio.subprocess.Process) -> Ended:
    out, err = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def arun(folder: Path, *args: str, env: Mapping[str, str] | None = None, given: bytes = b"") -> Ended:
    """Run to the end while this process's loop goes on, for commands that talk to a sandbox in it."""
    return await asyncio.to_thread(run, folder, *args, env=env, given=given)
