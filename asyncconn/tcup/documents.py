"""The document that observations travel in. Pure functions. Contract: tcup sections 2.3, 3.5, 13.14."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

import orjson

from asyncconn.errors import ConfigError
from asyncconn.http.outgoing import json_body
from asyncconn.tcup.times import SOS, read_time
from asyncconn.tcup.values import Encoding, encoded

__all__ = ["VERSION", "document", "json_text", "observation", "payload", "record_of", "time_of"]

#: What every sample says, and SOS discards.
VERSION = "1.0.1"


def payload(
    sensor: str,
    values: Mapping[str, Any],
    feature: str | None = None,
    *,
    time: datetime | str | None = None,
    endtime: datetime | str | None = None,
    value_encoding: Encoding = "string",
    default_timezone: str | tzinfo | None = None,
) -> dict[str, Any]:
    """The JSON that SOS, message routing and MQTT understand, of one observation: ``values`` by the output's name.

    >>> payload("ts1", {"obs1": "test_1", "obs2": 1}, "tf1", time="05-JAN-2026 00:00:00.000 UTC")["observations"]
    [{'sensor': 'ts1', 'feature': 'tf1', 'record': [{'starttime': '05-JAN-2026 00:00:00.000 UTC',
    'output': [{'name': 'obs1', 'value': 'test_1', 'type': 'text'}, {'name': 'obs2', 'value': '1', 'type': 'count'}]}]}]

    ``time`` is now if it is not given; a text is ISO 8601, or in SOS's own form and goes as it is. None among
    the values is left out. ``value_encoding="native"`` sends numbers and truth values as JSON has them, not as texts.

    Raises ``ConfigError``: for NaN and infinity, for a value of a type that SOS has not, for a time without a zone, and
    where nothing is left to observe.
    """
    return document(
        [
            observation(
                sensor,
                values,
                feature,
                time=time,
                endtime=endtime,
                value_encoding=value_encoding,
                default_timezone=default_timezone,
            )
        ]
    )


def document(observations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The document of several observations."""
    return {"version": VERSION, "observations": list(observations)}


def observation(
    sensor: str,
    values: Mapping[str, Any],
    feature: str | None = None,
    *,
    time: datetime | str | None = None,
    endtime: datetime | str | None = None,
    value_encoding: Encoding = "string",
    default_timezone: str | tzinfo | None = None,
) -> dict[str, Any]:
    """One element of a document. Arguments and errors are those of :func:`payload`."""
    made: dict[str, Any] = {"sensor": _name(sensor, "sensor")}
    if feature is not None:
        made["feature"] = _name(feature, "feature")
    made["record"] = [record_of(values, time, endtime, value_encoding, default_timezone)]
    return made


def record_of(
    values: Mapping[str, Any],
    time: datetime | str | None = None,
    endtime: datetime | str | None = None,
    value_encoding: Encoding = "string",
    default_timezone: str | tzinfo | None = None,
) -> dict[str, Any]:
    """A record: what was seen at one time."""
    given: Any = values
    if not isinstance(given, Mapping):
        raise ConfigError(f"the values of an observation are a mapping from output to value, not {_kind(given)}")
    made: dict[str, Any] = {"starttime": time_of(datetime.now(UTC) if time is None else time, default_timezone)}
    if endtime is not None:
        made["endtime"] = time_of(endtime, default_timezone)
    output = []
    for name, value in given.items():
        if value is None:
            continue
        try:
            kind, sent = encoded(value, value_encoding, default_timezone)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the value of {name!r} cannot be sent: {error}") from error
        output.append({"name": _name(name, "output"), "value": sent, "type": kind})
    if not output:
        raise ConfigError("an observation needs at least one value that is not None")
    made["output"] = output
    return made


def time_of(given: datetime | str, default_zone: str | tzinfo | None) -> str:
    """When something was observed, as SOS takes it: a text in its own form stays as it is. Raises ``ConfigError``.

    >>> time_of("2026-01-05T12:00:00Z", None), time_of("5-jan-2026 12:00:00", None)
    ('05-JAN-2026 12:00:00.000 UTC', '5-jan-2026 12:00:00')
    """
    try:
        if isinstance(given, str):
            try:
                SOS.read(given)  # or the server would refuse it, among many others
                return given.strip()
            except ValueError:
                given = read_time(given)
        return SOS.write(given, default_zone=default_zone)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the time of an observation: {error}") from error


def _name(given: Any, what: str) -> str:
    if type(given) is str and given and given.isprintable():
        return given
    if not isinstance(given, str) or not given or any(ord(mark) < 32 or ord(mark) == 127 for mark in given):
        raise ConfigError(f"the name of a {what} is a text without control characters, not {given!r}")
    return given


def _kind(given: Any) -> str:
    return type(given).__name__


def json_text(given: Any) -> bytes:
    """JSON of what it can hold, or a text or bytes that are JSON already, as they are. Raises ``ConfigError``.

    >>> json_text({"a": 1}), json_text(' {"a": 1}')
    (b'{"a":1}', b' {"a": 1}')
    """
    if given is None:
        raise ConfigError("there is no document to send")
    if not isinstance(given, str | bytes):
        return json_body(given)
    try:
        orjson.loads(given)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"the document is no JSON: {error.msg} at {error.pos}") from None
    return given.encode() if isinstance(given, str) else given
