"""What there is to read of a buffer at any moment, and of those that are gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncconn.core.buffer.receipts import BatchStats

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.core.buffer.spool import SpoolStats

__all__ = ["BufferFigures", "Past"]

_GREATEST = ("oldest_age", "max_age_at_send", "lost_at")  # of several, where all else is summed


@dataclass(frozen=True, slots=True)
class BufferFigures:
    """A buffer's ``stats``, and those of its ``spool``, where it has one; ``full``: it has no room for another record.

    ``name`` is that of its kind, as ``panoply``, ``acme.points``, ``tcup.mqtt``: there may be several of a name.
    """

    name: str
    stats: BatchStats
    spool: SpoolStats | None = None
    full: bool = False


class Past:
    """What became of the records of buffers that are gone, by name: so that no count ever goes back."""

    def __init__(self) -> None:
        self._stats: dict[str, BatchStats] = {}

    def add(self, gone: BufferFigures) -> None:
        """One more."""
        known = self._stats.get(gone.name)
        self._stats[gone.name] = gone.stats if known is None else _joined(known, gone.stats)

    def figures(self) -> Iterable[BufferFigures]:
        """One of each name."""
        return [BufferFigures(name, stats) for name, stats in self._stats.items()]


def _joined(one: BatchStats, other: BatchStats) -> BatchStats:
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in BatchStats.__slots__}
    return BatchStats(**{name: _greatest(both) if name in _GREATEST else sum(both) for name, both in pairs.items()})


def _greatest(both: Iterable[Any]) -> Any:
    return max((one for one in both if one is not None), default=None)
