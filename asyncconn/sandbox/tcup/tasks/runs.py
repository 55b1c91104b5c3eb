"""A run of a task: a Python program in a process of its own, or one of the other runtimes in name only."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from asyncconn.sandbox.tcup.tasks.archives import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncconn.sandbox.tcup.timers import Timer, Timers

__all__ = ["Outcome", "Process", "Program", "Run", "Simulated"]

_MOST_PRINTED_BYTES = 16 * 1024**2
_MOST_OUTPUT_BYTES = 64 * 1024**2
_STDOUT_FILE = "out.out"


@dataclass(frozen=True, slots=True)
class Program:
    """What is run: the executable, zips of what it needs and reads, other tasks' files, and its arguments."""

    name: str
    code: bytes = field(repr=False)
    zips: Sequence[bytes] = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    arguments: Sequence[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, and the files that it left."""

    exit_code: int
    message: str = ""
    outputs: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Run(Protocol):
    """A run under way. After :meth:`stop` nothing is heard of it."""

    def pause(self) -> None:
        """Stand still."""
        ...

    def resume(self) -> None:
        """Go on."""
        ...

    def stop(self) -> None:
        """End it at once."""
        ...


class Simulated:
    """Takes its time by the world's clock, prints a line and ends as it was told."""

    def __init__(
        self, timers: Timers, seconds: float, exit_code: int, printed: bytes, ended: Callable[[Outcome], None]
    ) -> None:
        self._timers = timers
        self._left = seconds
        message = f"exit code {exit_code}" if exit_code else ""
        self._outcome = Outcome(exit_code, message, {_STDOUT_FILE: printed})
        self._ended = ended
        self._timer: Timer | None = None
        self.resume()

    def pause(self) -> None:
        """Stand still."""
        if self._timer is not None:
            self._left = max(0.0, self._timer.when - self._timers.clock.now())
        self.stop()

    def resume(self) -> None:
        """Go on."""
        self._timer = self._timers.after(self._left, lambda: self._ended(self._outcome))

    def stop(self) -> None:
        """End it at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Process:
    """A Python program, for at most ``limit_seconds`` while it is not paused.

    What it prints goes to ``printed`` by stream as it comes; :meth:`wait` ends when no process and no file is left.
    """

    def __init__(
        self,
        program: Program,
        limit_seconds: float,
        printed: Callable[[str, bytes], None],
        ended: Callable[[Outcome], None],
    ) -> None:
        self._program = program
        self._left = limit_seconds
        self._limit: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._printed = printed
        self._ended = ended
        self._out = bytearray()
        self._size = 0
        self._pid: int | None = None
        self._paused = self._stopped = False
        self._why = ""
        self._task = asyncio.create_task(self._work(), name="asyncconn-sandbox-task")

    def pause(self) -> None:
        """Stand still, and so does the time limit."""
        self._paused = True
        self._signal(signal.SIGSTOP)
        if self._limit is not None:
            self._left -= asyncio.get_running_loop().time() - self._began
        self._stop_counting()

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._signal(signal.SIGCONT)
        if self._pid is not None:
            self._count()

    def stop(self) -> None:
        """End it at once, and whatever it has started."""
        self._stopped = True
        self._kill()

    async def wait(self) -> None:
        """Until nothing of it is left. Its own cancellation does not end it."""
        await asyncio.wait({self._task})

    async def _work(self) -> None:
        with TemporaryDirectory(prefix="asyncconn-task-", ignore_cleanup_errors=True) as made:
            try:
                outcome = await self._run(Path(made))
            except (OSError, ValueError) as error:  # no process, no place, or a name that is none
                outcome = Outcome(-1, f"the task could not be run: {error}")
        if not self._stopped:
            self._ended(outcome)

    async def _run(self, folder: Path) -> Outcome:
        placed = await asyncio.to_thread(_place, self._program, folder)
        if self._stopped:
            return Outcome(-1)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            self._program.name,
            *self._program.arguments,
            cwd=folder,
            env=_environment(folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._pid = process.pid
        readers = asyncio.gather(self._read("stdout", process.stdout), self._read("stderr", process.stderr))
        try:
            self._begin()
            exit_code = await process.wait()
        finally:
            self._stop_counting()
            self._kill()  # what it has started must not outlive it
            self._pid = None
            await readers
        outputs, much = await asyncio.to_thread(_collect, folder, placed)
        outputs.setdefault(_STDOUT_FILE, bytes(self._out))
        why = self._why or ("the task left too many bytes" if much else f"exit code {exit_code}" if exit_code else "")
        return Outcome(exit_code or (1 if why else 0), why, outputs)

    async def _read(self, stream: str, reader: asyncio.StreamReader | None) -> None:
        while reader is not None and (piece := await reader.read(65_536)):
            self._size += len(piece)
            if self._size > _MOST_PRINTED_BYTES:
                self._give_up("the task printed too much")
                continue
            if stream == "stdout":
                self._out += piece
            self._printed(stream, piece)

    def _begin(self) -> None:
        if self._stopped:
            self._kill()
        elif self._paused:
            self._signal(signal.SIGSTOP)
        else:
            self._count()

    def _count(self) -> None:
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        self._limit = loop.call_later(max(0.0, self._left), self._give_up, "the task took longer than it may")

    def _stop_counting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _give_up(self, why: str) -> None:
        self._why = self._why or why
        self._kill()

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._pid is not None:
            with suppress(ProcessLookupError, PermissionError):  # it may have ended by itself
                os.killpg(self._pid, number)


def _environment(folder: Path) -> dict[str, str]:
    """Little of ours: a task must not see the credentials of who runs the sandbox."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "HOME": str(folder), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _place(program: Program, folder: Path) -> dict[Path, tuple[int, int]]:
    for data in program.zips:
        unpack(data, folder)
    for name, data in {**program.files, program.name: program.code}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return {path: _mark(path) for path in _files(folder)}


def _collect(folder: Path, placed: Mapping[Path, tuple[int, int]]) -> tuple[dict[str, bytes], bool]:
    """The files that are new or changed, and whether there were more than are kept."""
    found: dict[str, bytes] = {}
    size = 0
    for path in _files(folder):
        if placed.get(path) == _mark(path):
            continue
        size += path.stat().st_size
        if size > _MOST_OUTPUT_BYTES:
            return found, True
        found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found, False


def _files(folder: Path) -> list[Path]:
    """Links are left out: they may lead anywhere."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]


def _mark(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_mtime_ns, about.st_size
