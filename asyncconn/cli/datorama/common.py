"""What the Datorama commands share: their options, and the client."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

import asyncconn
from asyncconn import Datorama, Hub
from asyncconn.cli.output import waits_told
from asyncconn.datorama.models import DataStream
from asyncconn.errors import ConfigError, NotFound

__all__ = ["Known", "Where", "span", "stream_of"]

T = TypeVar("T")


@dataclass(frozen=True)
class Where:
    """Where the platform is, as far as the command line says."""

    region: Annotated[
        str | None, typer.Option("--region", metavar="NAME", help="us, us2, eu or eu2, instead of the environment's.")
    ] = None
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="Instead of the region's address: a sandbox, a proxy."),
    ] = None

    def options(self) -> dict[str, Any]:
        """For ``Datorama.from_env``. A region given here is not overruled by an address in the environment."""
        if self.base_url is not None:
            return {"base_url": self.base_url}
        return {} if self.region is None else {"region": self.region, "base_url": None}

    def run(self, work: Callable[[Datorama], Coroutine[Any, Any, T]], *, hub: Callable[[], Hub] | None = None) -> T:
        """Do ``work`` with a client from the environment, on another ``hub`` if given. Ctrl-C and SIGTERM cancel it."""

        async def main(own: Hub) -> T:
            if hub is None:
                return await work(Datorama.from_env(hub=own, **self.options()))
            async with hub() as other:
                return await work(Datorama.from_env(hub=other, **self.options()))

        with waits_told():
            return asyncconn.run(main)


@dataclass(frozen=True)
class Known(Where):
    """The same, and what is known of it without a call."""

    snapshot: Annotated[
        Path | None,
        typer.Option("--snapshot", metavar="DIR", help="What there is, as 'snapshot' wrote it: without a call."),
    ] = None

    def run(self, work: Callable[[Datorama], Coroutine[Any, Any, T]], *, hub: Callable[[], Hub] | None = None) -> T:
        """With a client that knows the streams of the snapshot."""

        async def knowing(datorama: Datorama) -> T:
            if self.snapshot is not None:
                await datorama.snapshots.restore_streams(self.snapshot)
            return await work(datorama)

        return super().run(knowing, hub=hub)


async def stream_of(datorama: Datorama, stream_id: int) -> DataStream:
    """A stream by its id, for one call. Raises ``ConfigError`` when there is none."""
    try:
        return await datorama.streams.get(stream_id)
    except NotFound:
        raise ConfigError(f"there is no data stream {stream_id} that the token may see") from None


def span(seconds: float) -> str:
    """A time as people say it.

    >>> [span(seconds) for seconds in (0.4, 59, 61, 5000)]
    ['1 s', '59 s', '2 min', '1 h 24 min']
    """
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(-(-int(seconds) // 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
