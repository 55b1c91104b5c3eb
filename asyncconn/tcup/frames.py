"""Observations as a typed pandas frame, page by page, in few steps a row. Contract: tcup section 1.8."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from math import inf
from types import GenericAlias
from typing import TYPE_CHECKING, Any

from asyncconn.core.extras import extra
from asyncconn.core.frames import exact_frame
from asyncconn.tcup.rows import COLUMNS
from asyncconn.tcup.times import SOS
from asyncconn.tcup.values import cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd

__all__ = ["Columns", "page_of", "ready"]

_KEY = ("sensor", "feature", "starttime")
_WHOLE, _REAL = ("count",), ("quantity", "decimal")


def ready() -> None:
    """Import what makes frames; blocks. Raises ``ConfigError`` without pandas."""
    extra("pandas")
    _decoder()


def page_of(body: bytes) -> tuple[Any, Any] | None:
    """Observations and cursor of an answer, decoded by msgspec; None where that is not installed, or does not fit.

    Its structs cost half of what dicts do, and are read here as these are.
    """
    decode = _decoder()
    if decode is None:
        return None
    try:
        found = decode(body)
    except ValueError:  # of another shape: the tolerant way reads it
        return None
    return found.observations, found.next


@lru_cache(maxsize=1)
def _decoder() -> Callable[[bytes], Any] | None:
    if importlib.util.find_spec("msgspec") is None:
        return None
    msgspec = extra("msgspec", "speed")
    text, value = str | None, str | int | float | bool | None

    def struct(name: str, *fields: tuple[str, Any, Any]) -> Any:
        return msgspec.defstruct(name, fields, gc=False)

    output = struct("Output", ("name", text, None), ("value", value, None), ("type", text, None), ("unit", text, None))
    record = struct("Record", ("output", _list(output), ()), ("starttime", text, None), ("endtime", text, None))
    observation = struct("Observation", ("record", _list(record), ()), ("sensor", text, None), ("feature", text, None))
    page = msgspec.defstruct("Page", [("observations", _list(observation)), ("next", Any, None)], gc=False)
    decode: Callable[[bytes], Any] = msgspec.json.Decoder(page).decode
    return decode


def _list(kind: Any) -> Any:
    return GenericAlias(list, (kind,))


class Columns:
    """The columns of rows, to which pages are added; :meth:`long` and :meth:`wide` are the frames of them.

    What stands in ``attrs["invalid"]`` of a frame are the places of the rows whose value does not fit its type, and is
    the text that it was.
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}

    def add(self, observations: Iterable[Any]) -> None:
        """More observations, as they came."""
        sensors, features, starts, ends, names, values, types, units = (c.append for c in self._columns.values())
        for one in observations:
            sensor, feature = one.get("sensor"), one.get("feature")
            for record in one.get("record") or ():
                start, end = record.get("starttime"), record.get("endtime")
                for output in record.get("output") or ():
                    get = output.get
                    sensors(sensor)
                    features(feature)
                    starts(start)
                    ends(end)
                    names(get("name"))
                    values(get("value"))
                    types(get("type"))
                    units(get("unit"))

    def add_decoded(self, observations: Iterable[Any]) -> None:
        """More observations, as :func:`page_of` decodes them."""
        sensors, features, starts, ends, names, values, types, units = (c.append for c in self._columns.values())
        for one in observations:
            sensor, feature = one.sensor, one.feature
            for record in one.record:
                start, end = record.starttime, record.endtime
                for output in record.output:
                    sensors(sensor)
                    features(feature)
                    starts(start)
                    ends(end)
                    names(output.name)
                    values(output.value)
                    types(output.type)
                    units(output.unit)

    def long(self) -> pd.DataFrame:
        """One row for each output, with the :data:`COLUMNS`. Raises ``ConfigError`` without pandas."""
        pandas = extra("pandas")
        columns = dict(self._columns)
        values, invalid = _values(columns["value"], columns["type"])
        columns.update(
            starttime=_moments(columns["starttime"]), endtime=_moments(columns["endtime"]), value=_column(values)
        )
        made: pd.DataFrame = pandas.DataFrame(columns, columns=list(COLUMNS))
        made.attrs["invalid"] = invalid
        return made

    def wide(self) -> pd.DataFrame:
        """One row for each sensor, feature and start time, with a column for each output; of equal ones the last."""
        columns = self._columns
        values, invalid = _values(columns["value"], columns["type"])
        names = list(dict.fromkeys(name for name in columns["name"] if name is not None))
        place = {name: at for at, name in enumerate(names, len(_KEY))}
        rows: dict[tuple[Any, ...], list[Any]] = {}
        for *key, name, value in zip(*(columns[name] for name in _KEY), columns["name"], values, strict=True):
            row = rows.get(tuple(key))
            if row is None:
                row = rows[tuple(key)] = [*key, *[None] * len(names)]
            if name is not None:
                row[place[name]] = value
        # An output may be called as one of the key's columns is: by place they are two.
        made: pd.DataFrame = exact_frame([*_KEY, *names], list(rows.values()))
        made.isetitem(_KEY.index("starttime"), _moments([key[2] for key in rows]))
        made.attrs["invalid"] = invalid
        return made


def _moments(texts: list[Any]) -> Any:
    """A column of times: aware UTC, to the millisecond."""
    pandas, numpy = extra("pandas"), extra("numpy", "pandas")
    if texts.count(None) == len(texts):
        made = numpy.full(len(texts), "NaT", dtype="datetime64[ms]")
    else:
        days: dict[str, str] = {}
        try:
            made = numpy.array([_by_place(text, days) for text in texts], dtype="datetime64[ms]")
        except ValueError:  # one that only looks like a time
            made = numpy.array([_iso(text) for text in texts], dtype="datetime64[ms]")
    return pandas.DatetimeIndex(made).tz_localize("UTC")


def _by_place(text: Any, days: dict[str, str]) -> str:
    """What SOS writes, as ISO has it: the day is read once, the clock stays as it is. All else by reading it."""
    if type(text) is not str or len(text) != 28 or text[24:] != " UTC":
        return _iso(text)
    if (day := days.get(text[:12])) is None:
        if (iso := _iso(text)) == "NaT":
            return iso
        day = days[text[:12]] = iso[:11]
    return day + text[12:24]


def _iso(text: Any) -> str:
    """A time as ISO has it, ``NaT`` where there is none."""
    try:
        return SOS.read(text).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] if isinstance(text, str) else "NaT"
    except ValueError:
        return "NaT"


def _values(values: list[Any], types: list[Any]) -> tuple[list[Any], list[int]]:
    """The values, cast by their types, and the places of those that do not fit."""
    kinds = set(types)
    if len(kinds) == 1 and (made := _alike(values, next(iter(kinds)))) is not None:
        return made, []
    found: list[Any] = [None] * len(values)
    invalid: list[int] = []
    for kind in kinds:
        places = [place for place, one in enumerate(types) if one == kind]
        some = [values[place] for place in places]
        if (made := _alike(some, kind)) is None:
            pairs = [cast(value, kind) for value in some]
            made = [value for value, _ in pairs]
            invalid += [place for place, (_, valid) in zip(places, pairs, strict=True) if not valid]
        for place, value in zip(places, made, strict=True):
            found[place] = value
    return found, sorted(invalid)


def _alike(values: list[Any], kind: Any) -> list[Any] | None:
    """A whole column of one type; None where not all of it is what that type is usually written as."""
    how = kind.lower() if isinstance(kind, str) else "text"
    if how in ("boolean", "time"):
        return None
    try:
        joined = "".join(values)
        if how not in (*_WHOLE, *_REAL):
            return values
        if "_" in joined or not joined.isascii() or "n" in joined or "N" in joined:
            return None  # what int() and float() read, and nobody means: 1_0, nan, infinity
        made = list(map(int, values)) if how in _WHOLE else list(map(float, values))
    except (TypeError, ValueError):  # JSON's own numbers, or what is none
        return None
    return None if how in _REAL and (inf in made or -inf in made) else made


def _column(values: list[Any]) -> Any:
    """A column of values, of the type that they all have, or of objects."""
    numpy = extra("numpy", "pandas")
    kinds = set(map(type, values))
    if kinds == {float} or kinds == {bool}:
        return numpy.array(values)
    if kinds == {int}:
        try:
            return numpy.array(values, dtype="int64")
        except OverflowError:
            pass
    if kinds <= {str}:
        return values
    made = numpy.empty(len(values), dtype=object)
    made[:] = values
    return made
