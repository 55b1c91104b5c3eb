"""``asyncconn sandbox``: the platforms on this machine until Ctrl-C, for programs in other processes."""

from __future__ import annotations

import asyncio
import hashlib
import shlex
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from rich.live import Live
from rich.text import Text

from asyncconn.cli.output import console, count, plain, remark, size, stderr, table
from asyncconn.core.files import replace_file
from asyncconn.errors import ConfigError
from asyncconn.sandbox import DatoramaWorld, LimitsWorld, PanoplyWorld, Sandbox, TcupWorld

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["sandbox"]

_MARK = "# Made up by 'asyncconn sandbox', which removes this file when it ends, unless it was changed: "
_REFRESH = 0.5  # seconds


def sandbox(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 takes a free one.")] = 0,
    faults: Annotated[
        str,
        typer.Option(
            "--faults", metavar="SCRIPT", help="What goes wrong, such as 'delay:0.5*3, status:503, drop_after'."
        ),
    ] = "",
    seed: Annotated[str | None, typer.Option("--seed", help="Makes credentials and chances repeatable.")] = None,
    warehouse: Annotated[
        Path | None, typer.Option("--warehouse", metavar="FILE", help="Keep what lands in this SQLite database.")
    ] = None,
    env_file: Annotated[
        Path | None,
        typer.Option("--env-file", metavar="FILE", help="Write the settings for clients there, as in .env."),
    ] = None,
    atoti_limits: Annotated[
        int, typer.Option("--atoti-limits", min=1, max=3, help="The generation of the Atoti session and its Limits.")
    ] = 3,
) -> None:
    """Run the embedded platforms until Ctrl-C, and show what lands.

    Prints the settings that lead clients here. The credentials are made up and good for nothing else.
    """
    limits = LimitsWorld(generation=cast(Literal[1, 2, 3], atoti_limits))
    worlds = (DatoramaWorld(), TcupWorld(), PanoplyWorld(warehouse=warehouse), limits)
    made = Sandbox(*worlds, host=host, port=port, faults=faults, seed=seed)
    asyncio.run(_serve(made, env_file))


async def _serve(made: Sandbox, env_file: Path | None) -> None:
    out = console()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # there, Ctrl-C ends it as any other program
            loop.add_signal_handler(number, stop.set)
    async with made:
        with _settings(env_file, made.env):
            out.print(Text.assemble("# sandbox until Ctrl-C, for a browser too: ", (made.url, "bold")))
            for name, value in made.env.items():
                print(f"export {name}={shlex.quote(value)}")
            print(flush=True)
            await _watch(made, stop)
        _show(made)


async def _watch(made: Sandbox, stop: asyncio.Event) -> None:
    screen = stderr()
    if not screen.is_terminal:
        await stop.wait()
        return
    with Live(console=screen, auto_refresh=False, transient=True) as live:
        while not stop.is_set():
            live.update(_line(made), refresh=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _REFRESH)


def _line(made: Sandbox) -> Text:
    tables = ", ".join(f"{name} {rows:,}" for name, rows in made.panoply.tables().items())
    counters = made.panoply.counters
    words = f"{count(counters.requests, 'request')}, {count(counters.accepted, 'message')}, {size(counters.bytes)}"
    more = "".join(f", {count(number, f'{name} call')}" for name, number in _calls(made).items() if number)
    return Text.assemble((words + more, "dim"), "   ", tables or "nothing has landed yet")


def _calls(made: Sandbox) -> dict[str, int]:
    limits = made.atoti_limits
    return {
        "Datorama": made.datorama.counters.requests,
        "TCUP": made.tcup.counters.requests.total(),
        "Atoti Limits": len(limits.session.arrivals) + len(limits.limits.arrivals),
    }


def _show(made: Sandbox) -> None:
    out = console()
    tables = made.panoply.tables()
    if tables:
        rows = [(name, f"{number:,}") for name, number in tables.items()]
        out.print(table("What landed", ("table", "rows"), rows, numbers=("rows",)))
    else:
        out.print("Nothing landed.")
    counters, books = made.panoply.counters, made.tcup.streams.books.values()
    for number, what in (
        (sum(made.faults.hits.values()), "requests struck by the fault script"),
        (counters.rejected_by_consumer, "records dropped for a wrong key or secret"),
        (counters.invalid_documents, "documents that could not be loaded"),
        *((number, f"calls of {name}") for name, number in _calls(made).items()),
        (made.datorama.refused, "calls of Datorama refused for the rate limit"),
        (len(made.tcup.sos.observations), "records of observations in TCUP"),
        (sum(book.published for book in books), "messages published to TCUP by MQTT and WebSocket"),
    ):
        if number:
            out.print(Text(f"{number:,} {what}"))


@contextmanager
def _settings(path: Path | None, values: Mapping[str, str]) -> Iterator[None]:
    """A file of settings, there as long as the sandbox is. Never one that somebody else has written, or added to."""
    if path is None:
        yield
        return
    made = _marked("".join(f"{name}={value}\n" for name, value in values.items()).encode())
    _write(path, made)
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_bytes() == made:
                path.resolve().unlink()  # what a link leads to: the link is the user's
            else:
                remark(plain(f"{path} was changed meanwhile; it is left as it is"))


def _write(path: Path, made: bytes) -> None:
    try:
        if path.exists() and not _ours(path.read_bytes()):
            raise ConfigError(
                f"{path} was not made by the sandbox, or was changed since; it is left as it is: "
                "name another, or move yours away"
            )
        replace_file(path, made)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None


def _marked(settings: bytes) -> bytes:
    """With a line above that tells whether they are still what a sandbox has written."""
    return f"{_MARK}{hashlib.sha256(settings).hexdigest()}\n".encode() + settings


def _ours(there: bytes) -> bool:
    return there == _marked(there.partition(b"\n")[2])
