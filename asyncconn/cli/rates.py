"""``asyncconn rates``: what several processes share in a Redis server, shown and forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from asyncconn.cli.options import Output, group
from asyncconn.cli.output import count, remark
from asyncconn.cli.sheets import Sheet
from asyncconn.core.extras import needed
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn.integrations.redis import RedisRates

__all__ = ["app"]

_COLUMNS = (
    "platform", "part", "kind", "key", "limit", "period", "used", "leased", "holders", "waiting", "held_for",
)  # fmt: skip
_SHOWN = {
    **{name: name for name in _COLUMNS if name not in ("period", "held_for")},
    "period s": "period",
    "held s": "held_for",
}


@dataclass(frozen=True)
class Store:
    """Where rates are shared."""

    redis: Annotated[
        str | None,
        typer.Option("--redis", metavar="URL", help="redis://host:port/database; else ASYNCCONN_REDIS_URL."),
    ] = None
    prefix: Annotated[str, typer.Option("--prefix", metavar="WORD", help="That of the hubs.")] = "asyncconn"

    def rates(self) -> RedisRates:
        """The store. Raises ``ConfigError`` where there is none."""
        needed("redis")
        from asyncconn.integrations.redis import RedisRates

        if self.redis is None:
            return RedisRates.from_env(prefix=self.prefix)
        return RedisRates(self.redis, prefix=self.prefix)


def show(where: Store, to: Output) -> None:
    """Every limit that processes share and have used lately: what is used of it, by how many, and who waits.

    A key stands for account and credential, and tells neither.
    """
    found = asyncio.run(where.rates().show())
    rows = [[getattr(one, name) for name in _COLUMNS] for one in found]
    to.put(Sheet("limit", _COLUMNS, rows, _SHOWN))


def reset(
    where: Store,
    platform: Annotated[str | None, typer.Option("--platform", metavar="NAME", help="Only that platform's.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those of all platforms.")] = False,
) -> None:
    """Forget what was counted, as if no call had been made lately.

    The platform itself forgets nothing: what was sent in the last period still counts there, and it may refuse calls.
    """
    if (platform is None) is not everything:
        raise ConfigError("whose limits? --platform NAME, or --all")
    forgotten = asyncio.run(where.rates().reset(platform))
    remark(f"{count(forgotten, 'limit')} forgotten", result=True)


app = group("Shared rates: what several processes may still use of a platform's limits.", show, reset)
