"""Partitions in batches: each once, without those that are there, and as many as a worker does in some seconds."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from asyncconn.collecting.naming import name_of, name_of_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.collecting.report import Outcome
    from asyncconn.collecting.working import Named

__all__ = ["Batches", "Size"]

P = TypeVar("P")

_SECONDS = 10.0  # that a batch should take
_LARGEST = 5000
_ROWS = 50_000  # that a batch should have at most
_GROWTH = 4.0  # from one batch to the next
_TURN = 500  # partitions that are looked at in one go


class Size:
    """How many partitions the next batch has: those of ``_SECONDS``, and fewer where few are left."""

    def __init__(self, batch: int | Literal["auto"], first: int, lanes: int) -> None:
        self._fixed = None if batch == "auto" else batch
        self._size = float(first)
        self._lanes = lanes

    def next(self, left: int | None) -> int:
        """``left`` is how many there are at most; None where nobody knows."""
        if self._fixed is not None:
            return self._fixed
        share = math.inf if left is None else math.ceil(left / self._lanes)
        return max(1, int(min(self._size, share)))

    def learn(self, count: int, outcome: Outcome) -> None:
        """From a batch that is done."""
        largest = count * min(_SECONDS / max(outcome.seconds, 1e-3), _ROWS / max(outcome.rows, 1))
        self._size = min(max(largest, self._size / _GROWTH, 1.0), self._size * _GROWTH, _LARGEST)


class Batches(Generic[P]):
    """Cut from ``partitions``, in their order. ``known`` are the names of those that need not be done."""

    def __init__(
        self,
        partitions: AsyncGenerator[P, None],
        known: set[str],
        size: Size,
        *,
        total: int | None,
        key: Callable[[P], str] | None,
    ) -> None:
        self._partitions = partitions
        self._known = known
        self._begun: set[str] = set()
        self._size = size
        self._total = total
        self._key = key
        self._turn = asyncio.Lock()
        self._read = 0
        self.skipped = 0

    async def next(self) -> list[Named[P]]:
        """The next batch; empty when there is none. Raises what the partitions raise, and ``ConfigError`` for names."""
        async with self._turn:
            size = self._size.next(None if self._total is None else max(0, self._total - self._read))
            found: list[Named[P]] = []
            async for partition in self._partitions:
                self._read += 1
                name = self._name(partition)
                if name in self._known:
                    self._known.discard(name)
                    self._begun.add(name)
                    self.skipped += 1
                elif name not in self._begun:
                    self._begun.add(name)
                    found.append((name, partition))
                    if len(found) >= size:
                        break
                if self._read % _TURN == 0:
                    await asyncio.sleep(0)
            return found

    def _name(self, partition: P) -> str:
        if self._key is None:
            return name_of(partition)
        key = self._key(partition)
        name = name_of_key(key)
        # Once, a key was the name as it stood: what such a run has is not done again.
        return key if key in self._known or key in self._begun else name
