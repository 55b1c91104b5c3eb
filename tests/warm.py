"""Programs that begin at once: a process that has loaded Python and the libraries forks one for each.

Loading them takes longer than most programs of the tests take to run. Nothing of ours is loaded before: what a program
needs of the package it imports itself, and it is a process of its own, to the end of its interpreter.
"""

from __future__ import annotations

import gc
import importlib
import marshal
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

#: None of them starts a thread, which no fork would take along.
LIBRARIES = (
    "aiohttp.web anyio orjson pydantic_settings rich.live rich.progress rich.table sqlite3 tenacity typer.rich_utils"
)

#: The flags of programs whose warnings are errors.
STRICT = ("-W", "error")

_doors: dict[tuple[str, ...], Path] = {}


@contextmanager
def starter(*flags: str) -> Iterator[None]:
    """Inside, what :func:`python` says with these flags begins at once; elsewhere it says what is usual."""
    if sys.platform != "linux":
        yield
        return
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        path = Path(folder, "door")  # a short one: an address has hundred bytes
        door.bind(str(path))
        door.listen(64)
        command = [sys.executable, *flags, __file__, str(door.fileno())]
        with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[door.fileno()], env=_plain()):
            _doors[flags] = path
            try:
                yield
            finally:
                del _doors[flags]


def python(*arguments: str, flags: tuple[str, ...] = ()) -> list[str]:
    """The command for ``python FLAGS ARGUMENTS``: the path of a program or -m with a module, and what it is given.

    It is for programs that run to their end: a signal to the process is not passed on, but its death is.
    """
    if flags not in _doors:
        return [sys.executable, *flags, *arguments]
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("warm_client.py")), str(_doors[flags]), *arguments]


def _plain() -> dict[str, str]:
    """Without the variables that Python reads when it starts: those of a program come with it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _wanted(door: socket.socket) -> socket.socket | None:
    """A connection, in a fork for each program that is asked for; None where there will be no more."""
    with door:
        sources: list[Any] = [door, 0]
        while True:
            ready, _, _ = select.select(sources, [], [])
            if 0 in ready:
                return None
            connection, _ = door.accept()
            if os.fork() == 0:
                return connection
            connection.close()


def _keep(connection: socket.socket, program: int) -> NoReturn:
    """Tell how the program ended; it ends with whoever asked for it."""
    ended = os.pidfd_open(program)
    sources: list[Any] = [connection, ended]
    ready, _, _ = select.select(sources, [], [])
    if connection in ready:
        os.kill(program, signal.SIGKILL)
    _, status = os.waitpid(program, 0)
    with suppress(OSError):
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(arguments: list[str], folder: str, variables: dict[str, str], files: list[int]) -> None:
    """What Python does before it runs a program."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    for number, given in enumerate(files):
        os.dup2(given, number)
        os.close(given)
    encoding = variables.get("PYTHONIOENCODING", sys.stdout.encoding)
    modes: list[dict[str, Any]] = [{}, {"mode": "w"}, {"mode": "w", "buffering": 1, "errors": "backslashreplace"}]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        file = open(number, encoding=encoding, closefd=False, **modes[number])  # noqa: SIM115 - to the program's end
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)
    sys.argv = arguments
    where = folder if arguments[0] == "-m" else str(Path(arguments[0]).resolve().parent)
    sys.path[:1] = [where, *filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))]


def _load() -> None:
    for name in LIBRARIES.split():
        with suppress(ModuleNotFoundError):  # of an extra that is not there
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if (_connection := _wanted(socket.socket(fileno=int(sys.argv[1])))) is not None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _message, _files, _, _ = socket.recv_fds(_connection, 1 << 20, 3)
        _arguments, _folder, _variables = marshal.loads(_message)  # noqa: S302 - of our own tests
        if _program := os.fork():
            _keep(_connection, _program)
        _connection.close()
        _become(_arguments, _folder, _variables, _files)
        if sys.argv[0] == "-m":
            del sys.argv[0]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
