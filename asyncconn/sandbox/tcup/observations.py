"""What was observed: records by time, sensor and feature, in the order in which they are read back.

Contract: tcup sections 2.3, 2.4, 13.14, 13.15, 13.19 and 13.20.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncconn.sandbox.tcup.times import sos_time

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Key", "Observations", "Output", "Record", "millis", "moment"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def millis(when: datetime) -> int:
    """Milliseconds since the epoch."""
    return (when - _EPOCH) // timedelta(milliseconds=1)


def moment(at: int) -> str:
    """The platform's text of such a number."""
    return sos_time(_EPOCH + timedelta(milliseconds=at))


class Key(NamedTuple):
    """What a record is known by, in the order in which records are sorted; ``start`` in milliseconds."""

    start: int
    sensor: str
    has_feature: bool
    feature_name: str

    @property
    def feature(self) -> str | None:
        """None where there is none."""
        return self.feature_name if self.has_feature else None


class Output(NamedTuple):
    """A value as it was sent, a text or a JSON number, with its type."""

    value: Any
    type: str
    unit: str | None = None

    def shown(self, name: str) -> dict[str, Any]:
        """As a member of ``output``."""
        shown = {"name": name, "value": self.value, "type": self.type}
        return shown if self.unit is None else {**shown, "unit": self.unit}


@dataclass(slots=True)
class Record:
    """Outputs of a sensor at a time; ``extras`` are what else a record may carry, as it came."""

    key: Key
    outputs: dict[str, Output]
    end: int | None = None
    extras: dict[str, Any] = field(default_factory=dict)

    def shown(self, names: list[str]) -> dict[str, Any]:
        """As a member of ``record``, with these outputs."""
        shown: dict[str, Any] = {"starttime": moment(self.key.start)}
        if self.end is not None:
            shown["endtime"] = moment(self.end)
        return {**shown, "output": [self.outputs[name].shown(name) for name in names], **self.extras}


class Observations:
    """All records of a tenant."""

    def __init__(self) -> None:
        self.records: dict[Key, Record] = {}
        self.of_sensor: Counter[str] = Counter()
        self.of_feature: Counter[str] = Counter()
        self._order: list[Key] = []
        self._in_order = True

    def __len__(self) -> int:
        return len(self.records)

    def put(self, record: Record) -> None:
        """Store it; what is there for the same output at the same time is replaced."""
        old = self.records.get(record.key)
        if old is not None:
            old.outputs.update(record.outputs)
            old.end = record.end if record.end is not None else old.end
            old.extras.update(record.extras)
            return
        self.records[record.key] = record
        self.of_sensor[record.key.sensor] += 1
        if record.key.feature is not None:
            self.of_feature[record.key.feature] += 1
        self._in_order = self._in_order and (not self._order or self._order[-1] < record.key)
        self._order.append(record.key)

    def forget(self, sensor: str) -> int:
        """Delete a sensor's; how many records they were."""
        gone = [key for key in self.records if key.sensor == sensor]
        for key in gone:
            del self.records[key]
            if key.feature is not None:
                self.of_feature[key.feature] -= 1
        del self.of_sensor[sensor]
        self._order = sorted(self.records)
        self._in_order = True
        return len(gone)

    def scan(self, after: Key | None = None, *, descending: bool = False) -> Iterator[Record]:
        """In order, those behind ``after``. What is stored meanwhile need not be among them."""
        order = self._sorted()
        if descending:
            last = len(order) if after is None else bisect_left(order, after)
            places = range(last - 1, -1, -1)
        else:
            places = range(0 if after is None else bisect_right(order, after), len(order))
        for place in places:
            record = self.records.get(order[place])
            if record is not None:
                yield record

    def rows(self) -> list[dict[str, Any]]:
        """A row for each output, in order; times as the platform writes them, ``endtime`` and ``unit`` may be None."""
        return [
            {
                "sensor": record.key.sensor,
                "feature": record.key.feature,
                "starttime": moment(record.key.start),
                "endtime": None if record.end is None else moment(record.end),
                "name": name,
                "value": record.outputs[name].value,
                "type": record.outputs[name].type,
                "unit": record.outputs[name].unit,
            }
            for record in self.scan()
            for name in sorted(record.outputs)
        ]

    def _sorted(self) -> list[Key]:
        """A list of its own once it must be sorted anew, so that a scan goes on over the one that it began with."""
        if not self._in_order:
            self._order = sorted(self._order)
            self._in_order = True
        return self._order
