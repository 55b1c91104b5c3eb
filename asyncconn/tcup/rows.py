"""Observations as rows, and rows as observations. Pure functions. Contract: tcup sections 1.8, 2.3, 13.20."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asyncconn.errors import ConfigError
from asyncconn.tcup.documents import observation
from asyncconn.tcup.times import SOS
from asyncconn.tcup.values import Encoding, cast

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

__all__ = ["COLUMNS", "Row", "observation_of", "rows_of"]

#: A row is one output of one record.
COLUMNS = ("sensor", "feature", "starttime", "endtime", "name", "value", "type", "unit")

#: By the names of :data:`COLUMNS`, and ``valid``: False where the value does not fit its type, and stays as it came.
Row = dict[str, Any]


def rows_of(observations: Iterable[Any]) -> Iterator[Row]:
    """The rows of observations as they came: times are aware UTC, values are cast by their type.

    >>> [(row["name"], row["value"]) for row in rows_of(payload("ts1", {"obs2": 1})["observations"])]
    [('obs2', 1)]

    A time that cannot be read stays the text that it was.
    """
    for one in observations:
        if not isinstance(one, Mapping):
            continue
        for record in one.get("record") or ():
            start, end = _moment(record.get("starttime")), _moment(record.get("endtime"))
            for output in record.get("output") or ():
                value, valid = cast(output.get("value"), output.get("type"))
                yield {
                    "sensor": one.get("sensor"),
                    "feature": one.get("feature"),
                    "starttime": start,
                    "endtime": end,
                    "name": output.get("name"),
                    "value": value,
                    "type": output.get("type"),
                    "unit": output.get("unit"),
                    "valid": valid,
                }


def _moment(text: Any) -> datetime | Any:
    if not isinstance(text, str):
        return text
    try:
        return SOS.read(text)
    except ValueError:
        return text


def observation_of(
    row: Any, value_encoding: Encoding = "string", default_timezone: str | tzinfo | None = None
) -> dict[str, Any]:
    """The observation that a row means: ``(sensor, {output: value}, feature, time)``, of which the last two may be left
    out; an observation as SOS has it, with its ``record``; or a :data:`Row`.

    Raises ``ConfigError``.
    """
    kind = type(row)
    if kind is tuple or kind is list or (isinstance(row, Sequence) and not isinstance(row, str | bytes)):
        if not 2 <= len(row) <= 4:
            raise ConfigError(f"an observation is (sensor, values, feature, time), not {len(row)} things")
        feature, time = (*row[2:], None, None)[:2]
        return observation(
            row[0], row[1], feature, time=time, value_encoding=value_encoding, default_timezone=default_timezone
        )
    if not isinstance(row, Mapping):
        raise ConfigError(f"an observation is a triple or a mapping, not {type(row).__name__}")
    if isinstance(row.get("record"), list) and row.get("sensor"):
        return dict(row)
    if "name" in row and "value" in row:
        made = observation(
            row.get("sensor") or "",
            {row["name"]: row["value"]},
            row.get("feature"),
            time=row.get("starttime"),
            endtime=row.get("endtime"),
            value_encoding=value_encoding,
            default_timezone=default_timezone,
        )
        output = made["record"][0]["output"][0]
        output.update({name: row[name] for name in ("type", "unit") if row.get(name)})
        return made
    raise ConfigError("a mapping is an observation with its 'sensor' and 'record', or a row with 'name' and 'value'")
