"""What the TCUP commands share: their options, the client, and words that stand for times and pairs."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

import asyncconn
from asyncconn import Hub, Tcup
from asyncconn.cli.options import STANDARD
from asyncconn.errors import ConfigError
from asyncconn.tcup.times import read_time, zone_named

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["Where", "local", "moment", "pairs"]

T = TypeVar("T")


@dataclass(frozen=True)
class Where:
    """Where the platform is, as far as the command line says."""

    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="A ConfigFile.conf; what the environment says is above it."),
    ] = None
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Instead of the configured one: a sandbox, a proxy.")
    ] = None
    time_zone: Annotated[
        str | None, typer.Option("--time-zone", metavar="NAME", help="Of times that name none, such as Asia/Kolkata.")
    ] = None

    def __post_init__(self) -> None:
        try:
            if self.time_zone is not None:
                zone_named(self.time_zone)
        except ValueError as error:
            raise ConfigError(f"--time-zone: {error}") from None

    def run(self, work: Callable[[Tcup], Coroutine[Any, Any, T]]) -> T:
        """Do ``work`` with a client as configured. Ctrl-C and SIGTERM cancel it."""
        return asyncconn.run(self.main(work))

    def main(self, work: Callable[[Tcup], Coroutine[Any, Any, T]]) -> Callable[[Hub], Coroutine[Any, Any, T]]:
        """The same as a program's main function."""

        async def main(_: Hub) -> T:
            # On a hub of its own, which trusts the certificate that the configuration may name.
            given: dict[str, Any] = {"url": self.url, "default_timezone": self.time_zone}
            made = Tcup.from_env(**given) if self.config is None else Tcup.from_file(self.config, **given)
            async with made as tcup:
                return await work(tcup)

        return main


def moment(text: str | None, option: str) -> datetime | None:
    """A time of the command line: ISO 8601, or as SOS writes it. Raises ``ConfigError`` naming the option.

    >>> moment("2026-01-05", "--start"), moment("05-JAN-2026 00:00:00.000 UTC", "--start").year
    (datetime.datetime(2026, 1, 5, 0, 0), 2026)
    """
    if text is None:
        return None
    try:
        return read_time(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def pairs(texts: Sequence[str], what: str) -> dict[str, str]:
    """``name=value`` texts. Raises ``ConfigError`` for one that is none, and for a name that comes twice.

    >>> pairs(["colour=blue"], "--metadata")
    {'colour': 'blue'}
    """
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise ConfigError(f"{what}: a name and a value, such as name=value, not {text!r}")
        if name in found:
            raise ConfigError(f"{what}: {name} is there twice")
        found[name] = value
    return found


@contextmanager
def local(file: Path) -> Iterator[Path]:
    """A file that can be read more than once: standard input, for ``-``, is copied into one."""
    if file != STANDARD:
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="asyncconn-") as folder:
        copy = Path(folder) / "stdin"
        with copy.open("wb") as stream:
            shutil.copyfileobj(sys.stdin.buffer, stream)
        yield copy
