"""What a spooled buffer knows of its batches: the records in them, and what their failures mean for later ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from asyncconn.core.batch import Batch
    from asyncconn.core.spool_file import Span

__all__ = ["Failed", "Notes", "Refused", "StuckKeys", "first_of"]


@dataclass(slots=True)
class Notes:
    """The numbers of a batch's records, and how often it has failed before."""

    spans: list[Span] = field(default_factory=list)
    failures: int = 0

    def add(self, first: int, last: int) -> None:
        """The batch holds these too."""
        if self.spans and self.spans[-1][1] + 1 == first:
            self.spans[-1] = (self.spans[-1][0], last)
        else:
            self.spans.append((first, last))

    @property
    def count(self) -> int:
        """How many records they are."""
        return sum(last - first + 1 for first, last in self.spans)

    def numbers(self) -> Iterator[int]:
        """One by one, in the order of the batch."""
        return chain.from_iterable(range(first, last + 1) for first, last in self.spans)


@dataclass(frozen=True, slots=True)
class Failed:
    """A batch that is kept to be sent again, with its notes."""

    batch: Batch[bytes]
    notes: Notes


def first_of(failed: Sequence[Failed], max_items: int, max_bytes: int) -> list[Failed]:
    """As many of them as make one batch. No two share a key: the later one would have waited."""
    some: list[Failed] = []
    items = size = 0
    for one in failed:
        items += one.notes.count
        size += one.batch.size
        if some and (items > max_items or size > max_bytes):
            break
        some.append(one)
    return some


class StuckKeys:
    """Keys of records that stay in the spool when it is closed: later records with them have to stay there too."""

    def __init__(self) -> None:
        self._keys: dict[str, set[Hashable]] = {}

    def add(self, batch: Batch[bytes]) -> None:
        """What ``batch`` holds is stuck."""
        for space, keys in batch.keys.items():
            known = self._keys.setdefault(space, set())
            known.update(keys)
            known.discard(None)

    def touch(self, batch: Batch[bytes]) -> bool:
        """Whether one of the batch's keys is stuck."""
        return any(not known.isdisjoint(batch.keys.get(space, ())) for space, known in self._keys.items())


class Refused:
    """Records that the receiver refused for good. To send one at the next start is right as long as no later one of its
    key has arrived: then it would undo that one.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, dict[Hashable, list[int]]] = {}

    def add(
        self, numbers: Iterable[int], items: Iterable[bytes], key_of: Callable[[bytes], tuple[str, Hashable]]
    ) -> None:
        """These were refused."""
        for number, item in zip(numbers, items, strict=True):
            space, key = key_of(item)
            if key is not None:
                self._numbers.setdefault(space, {}).setdefault(key, []).append(number)

    def undone_by(self, batch: Batch[bytes]) -> list[int]:
        """The numbers of those that ``batch``, which has arrived, makes obsolete; they are forgotten here."""
        found: list[int] = []
        for space, keys in batch.keys.items():
            known = self._numbers.get(space)
            if known:
                found += chain.from_iterable(known.pop(key) for key in known.keys() & set(keys))
        return found
