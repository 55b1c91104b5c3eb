"""By what the platform recognises a record again: its table, without case, and its ``id``.

Contract: panoply section 6, "Vendor pages on keys". Two ids count as one where the platform might take them for one
(``7``, ``7.0`` and ``"7"``): that costs waiting, never order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from decimal import Decimal
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asyncconn.panoply.encoding import TABLE, decode_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["record_key", "record_keys", "stored_key"]

_id_of = itemgetter("id")
_OTHER_SPELLINGS = frozenset({"ID", "Id", "iD"})
_DIGITS = 4000  # Python reads no more than 4,300 of an integer


def record_key(record: Mapping[Any, Any], item: bytes) -> Hashable:
    """What stands for the ``id`` of ``record``, whose encoded form is ``item``; None if it has none."""
    value: Any = record.get("id")
    kind = type(value)
    if kind is UUID or (kind is str and not value.isdecimal()):
        return str(value)
    if kind is int or kind is str or kind is float:
        return _comparable(value)
    if value is None and record.keys().isdisjoint(_OTHER_SPELLINGS):
        return None
    return stored_key(item)[1]  # as the platform will see it


def record_keys(records: Sequence[Mapping[Any, Any]], items: Sequence[bytes]) -> list[Hashable] | None:
    """:func:`record_key` of as many as were encoded, at less cost; None if none of them has an id."""
    if len(items) < len(records):
        records = records[: len(items)]
    try:
        keys: list[Any] = list(map(_id_of, records))
        # Whole numbers make a whole number, at a sixth of what asking each for its type costs. An IntEnum hides in it.
        if type(keys[0]) is int is type(keys[-1]) and type(sum(keys)) is int:
            return keys
    except (KeyError, IndexError, TypeError):
        keys = []
    if keys and set(map(type, keys)) == {str} and not any(map(str.isdecimal, keys)):
        return keys
    keys = [record_key(record, item) for record, item in zip(records, items, strict=True)]
    return keys if keys.count(None) < len(keys) else None


def stored_key(item: bytes) -> tuple[str, Hashable]:
    """The table, without case, and the key of an encoded record."""
    try:
        document = decode_record(item)
    except (ValueError, RecursionError):  # not ours
        return "", None
    if not isinstance(document, dict):
        return "", None
    found = None
    for name, value in document.items():
        if name.lower() == "id":  # of several the last one counts
            found = value
    return str(document.get(TABLE)).lower(), _comparable(found)


def _comparable(value: Any) -> Hashable:
    """Equal for ids that the platform might take for one."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) <= _DIGITS else value
    if isinstance(value, float | Decimal):
        return value if math.isfinite(value) else None
    if isinstance(value, list | dict):
        return json.dumps(value, default=str)
    number: int | None = value  # or a bool, which is one
    return number
