"""A day's count, or any quota's, in the store that processes share."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncconn.integrations.redis.parts import Cap

__all__ = ["RedisQuotaStore"]


@dataclass(slots=True)
class _Ours:
    """What this holder has counted in one window."""

    calls: int = 0
    number: int = 0
    adding: asyncio.Lock = field(default_factory=asyncio.Lock)


class RedisQuotaStore:
    """The count of one quota of one credential: a ``QuotaStore``.

    Each holder tells its own sum with every call, so a repetition counts nothing twice, and what a Redis server has
    forgotten comes back from those that are still there.
    """

    def __init__(self, cap: Cap, limit: int) -> None:
        self._cap = cap
        self._limit = limit
        self._me = secrets.token_hex(8)
        self._windows: dict[str, _Ours] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RedisQuotaStore) and other._cap.key == self._cap.key

    def __hash__(self) -> int:
        return hash(self._cap.key)

    async def add(self, key: str, window: str, amount: int) -> int:
        """See ``QuotaStore``; whose quota it is the store knows. Raises ``RateStoreUnavailable``."""
        ours = self._windows.setdefault(window, _Ours())
        server = self._cap.server
        async with ours.adding:
            ours.number += 1
            books = f"{self._cap.key}:quota"
            keys = [f"{books}:books", f"{books}:{window}", f"{books}:leases", f"{books}:waiting", f"{books}:holders"]
            told: list[str | int | float] = [
                "quota",
                self._me,
                ours.number,
                window,
                self._cap.label,
                self._limit,
                ours.calls,
                amount,
            ]
            server.enter()
            try:
                (total,) = await server.ask(keys, lambda: told)
            finally:
                await server.leave()
            ours.calls += amount
        return total
