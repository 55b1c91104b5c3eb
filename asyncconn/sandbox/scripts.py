"""A script of faults: what is to go wrong, in the order of its adding, and how often it has."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

__all__ = ["Planned", "Script"]


class _Limited(Protocol):
    @property
    def kind(self) -> str:
        """What happens."""
        ...

    @property
    def times(self) -> int | None:
        """How often at most."""
        ...


F = TypeVar("F", bound=_Limited)


@dataclass(slots=True, eq=False)
class Planned(Generic[F]):
    """A fault in a script: its ``number`` there, what it has ``seen`` and ``struck``; unless ``on`` it does neither."""

    number: int
    fault: F
    seen: int = 0
    struck: int = 0
    on: bool = True

    @property
    def used_up(self) -> bool:
        """Whether it has struck as often as it may."""
        return self.fault.times is not None and self.struck >= self.fault.times


class Script(Generic[F]):
    """``hits`` counts, by kind, the faults that struck; ``planned`` are those that are there, also used up or off."""

    def __init__(self, *faults: F) -> None:
        self.hits: Counter[str] = Counter()
        self.planned: list[Planned[F]] = []
        self._numbers = itertools.count(1)
        self.add(*faults)

    def add(self, *faults: F) -> None:
        """Append; those added earlier come first."""
        self.planned.extend(Planned(next(self._numbers), fault) for fault in faults)

    def remove(self, *faults: F) -> None:
        """Take these very ones back; nothing happens for one that is not there."""
        self.planned = [entry for entry in self.planned if not any(entry.fault is one for one in faults)]

    def clear(self) -> None:
        """Forget all faults, and what they had counted; ``hits`` stays."""
        self.planned.clear()

    def __len__(self) -> int:
        """How many faults can still strike."""
        return sum(entry.on and not entry.used_up for entry in self.planned)

    def strike(self, entry: Planned[F]) -> F:
        """Count a hit."""
        entry.struck += 1
        self.hits[entry.fault.kind] += 1
        return entry.fault
