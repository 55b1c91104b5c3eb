"""How long one attempt may take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import aiohttp

from asyncconn.core.durations import positive, seconds

__all__ = ["Timeouts", "client_timeout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds for one attempt.

    ``connect`` for the socket and TLS; ``total`` to have the whole answer, looking up the name and waiting for a pooled
    connection included; ``place`` to wait for one of the connector's concurrent places; ``rate`` to wait for the rate
    limit. The last two are not part of the others, and 0 there means: do not wait. A function that gets a token has
    ``total`` seconds, too. Raises ``ConfigError`` for what would never end: 0, less, NaN, infinity.
    """

    connect: float = 10.0
    total: float = 30.0
    place: float = 60.0
    rate: float = 3600.0

    def __post_init__(self) -> None:
        positive("Timeouts.connect", self.connect)
        positive("Timeouts.total", self.total)
        seconds("Timeouts.place", self.place)
        seconds("Timeouts.rate", self.rate)


@lru_cache(maxsize=64)
def client_timeout(total: float | None, connect: float, idle: float | None) -> aiohttp.ClientTimeout:
    """For the library underneath: seconds in all, to connect, and between two pieces of an answer."""
    return aiohttp.ClientTimeout(total=total, sock_connect=connect, sock_read=idle)
