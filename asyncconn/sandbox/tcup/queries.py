"""Which observations are asked for, and where a page goes on.

Contract: tcup sections 2.6, 13.3, 13.15 and 13.21.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import operator
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncconn.sandbox.tcup.observations import Key, millis
from asyncconn.sandbox.tcup.times import read_time
from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncconn.sandbox.tcup.asking import Ask
    from asyncconn.sandbox.tcup.observations import Observations, Output, Record

__all__ = ["Cursors", "Query", "document", "number", "page_size", "wildcard"]

_TEST = re.compile(r"([^=!<>]+)(!=|>=|<=|=|>|<)(.*)", re.DOTALL)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_DEFAULT_LIMIT, _LARGEST_LIMIT = 1000, 10_000


def wildcard(patterns: Iterable[str]) -> re.Pattern[str]:
    """Fits what is one of ``patterns``, where ``*`` stands for any text."""
    each = (".*".join(re.escape(part) for part in pattern.split("*")) for pattern in patterns)
    return re.compile("|".join(each), re.DOTALL)


def number(value: object) -> float | None:
    """A value as a number, if it is one."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # whatever cannot be one says so
    except (TypeError, ValueError, OverflowError):
        return None


class _Test(NamedTuple):
    name: str
    compare: Callable[[Any, Any], bool]
    against: str

    def holds(self, output: Output | None) -> bool:
        if output is None:
            return False
        mine, other = number(output.value), number(self.against)
        if mine is not None and other is not None:
            return self.compare(mine, other)
        return self.compare(_as_text(output.value), self.against)


class Query:
    """The filters of a request. Raises 400."""

    def __init__(self, ask: Ask) -> None:
        sensors, features = ask.params.get("sensor"), ask.params.get("feature")
        if sensors is None and features is None:
            raise Refused(400, "at least one of sensor and feature is required")
        if (order := ask.param("order", "asc")) not in ("asc", "desc"):
            raise Refused(400, "order must be asc or desc")
        self.descending = order == "desc"
        self._sensors = None if sensors is None else wildcard(sensors)
        self._features = None if features is None else wildcard(features)
        self._names = frozenset(ask.params.get("observedProperty", ()))
        self._start = _time(ask, "starttime")
        self._end = _time(ask, "endtime")
        self._tests = [_test(text) for text in ask.params.get("value", ())]

    def names(self, record: Record) -> list[str]:
        """The outputs that are asked for, in order; none where the record is not."""
        if not self._fits(record):
            return []
        names = [name for name in record.outputs if not self._names or name in self._names]
        return sorted(names, reverse=self.descending)

    def find(self, observations: Observations, after: Key | None = None) -> Iterator[tuple[Record, list[str]]]:
        """Records with the names of their outputs."""
        for record in observations.scan(after, descending=self.descending):
            if names := self.names(record):
                yield record, names

    def _fits(self, record: Record) -> bool:
        start, sensor, has_feature, feature = record.key
        if not (self._start is None or start >= self._start) or not (self._end is None or start < self._end):
            return False
        if self._sensors is not None and self._sensors.fullmatch(sensor) is None:
            return False
        if self._features is not None and (not has_feature or self._features.fullmatch(feature) is None):
            return False
        return all(test.holds(record.outputs.get(test.name)) for test in self._tests)


def page_size(ask: Ask) -> int:
    """Records that are asked for at once. Raises 400."""
    return ask.number("limit", _DEFAULT_LIMIT, least=1, most=_LARGEST_LIMIT)


def document(found: Iterable[tuple[Record, list[str]]], after: str | None = None) -> dict[str, Any]:
    """The body of an answer; records of one sensor and feature that follow each other share an element."""
    observations: list[dict[str, Any]] = []
    count, last = 0, None
    for record, names in found:
        whose = record.key[1:]
        if whose != last:
            observations.append({"sensor": record.key.sensor, "feature": record.key.feature, "record": []})
            last = whose
        observations[-1]["record"].append(record.shown(names))
        count += 1
    return {"version": "1.0.1", "observations": observations, "count": count, "next": after}


class Cursors:
    """Where a page goes on: the last record's key, good only with the very parameters it was issued for."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def issue(self, key: Key, ask: Ask) -> str:
        """After this record."""
        text = json.dumps(key).encode()
        return base64.urlsafe_b64encode(self._mark(text, ask) + text).decode()

    def read(self, ask: Ask) -> Key | None:
        """None on the first page. Raises 400 for a cursor that was not issued for these parameters."""
        if not (cursor := ask.param("cursor")):
            return None
        try:
            raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        mark, text = raw[:32], raw[32:]
        if not hmac.compare_digest(mark, self._mark(text, ask)):
            raise Refused(400, "this cursor was not issued for these parameters")
        return Key(*json.loads(text))

    def _mark(self, text: bytes, ask: Ask) -> bytes:
        asked = sorted((name, value) for name, values in ask.params.items() if name != "cursor" for value in values)
        return hmac.digest(self._secret, json.dumps(asked).encode() + text, hashlib.sha256)


def _time(ask: Ask, name: str) -> int | None:
    text = ask.param(name)
    try:
        return millis(read_time(text)) if text else None
    except ValueError:
        raise Refused(400, f"{name} is not a time such as 03-JUL-2015 13:10:00 IST") from None


def _test(text: str) -> _Test:
    if (found := _TEST.fullmatch(text)) is None:
        raise Refused(400, "value must be a name, an operator and a value, such as obs2>10")
    name, sign, against = found.groups()
    return _Test(name.strip(), _OPERATORS[sign], against.strip())


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
