"""What sensors, features and observations must be like to be taken.

Contract: tcup sections 2.3 to 2.5, 13.4, 13.14, 13.19, 13.20 and 13.38.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.tcup.observations import Key, Output, Record, millis
from asyncconn.sandbox.tcup.times import read_time
from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["EXTRAS", "Item", "change_feature", "change_sensor", "new_feature", "new_sensor", "read_observation"]

Item = dict[str, Any]

#: What else a record may carry.
EXTRAS = ("meta-data", "parameter", "quality", "position")
_LONGEST_NAME = 255


# -- features and sensors ----------------------------------------------------------------------------------------------


def new_feature(given: object) -> Item:
    """The feature as it is kept. Raises 400."""
    item = _item(given)
    parent = item.get("parent")
    return {
        "name": _name(item.get("name")),
        "description": _description(item.get("description")),
        "parent": None if parent is None else _name(parent),
        "position": _position(item.get("position")),
        "metadata": _metadata(item.get("metadata")),
    }


def new_sensor(given: object, sensors: Mapping[str, Item]) -> Item:
    """The sensor as it is kept. Raises 400, and 404 for a component that does not exist."""
    item = _item(given)
    kind, feature, components = item.get("type", "atomic"), item.get("feature"), item.get("components") or []
    if kind not in ("atomic", "composite"):
        raise Refused(400, "type must be atomic or composite")
    if not isinstance(components, list) or not all(isinstance(each, str) for each in components):
        raise Refused(400, "components must be names of sensors")
    if kind == "composite" and not components:
        raise Refused(400, "a composite sensor has components")
    name = _name(item.get("name"))
    for component in components:
        if component not in sensors:
            raise Refused(404, f"component {component} is not registered")
    return {
        "name": name,
        "description": _description(item.get("description")),
        "type": kind,
        "feature": None if feature is None else _name(feature),
        "components": components,
        "output": _outputs(item.get("output")),
        "metadata": _metadata(item.get("metadata")),
    }


def change_feature(old: Item, given: Item) -> Item:
    """What becomes of it; absent members stay. Raises 400."""
    _same_name(old, given)
    return {**old, **_changed(given, {"description": _description, "position": _position, "metadata": _metadata})}


def change_sensor(old: Item, given: Item, *, observed: bool) -> Item:
    """What becomes of it; absent members stay. Raises 400, and 409 for an output that is gone though ``observed``."""
    _same_name(old, given)
    new = {**old, **_changed(given, {"description": _description, "output": _outputs, "metadata": _metadata})}
    gone = {output["name"] for output in old["output"]} - {output["name"] for output in new["output"]}
    if gone and observed:
        raise Refused(409, f"output {min(gone)} cannot be removed while there are observations")
    return new


def _name(name: object) -> str:
    """A name of 1 to 255 characters. Raises 400."""
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME:
        raise Refused(400, f"a name must be a text of 1 to {_LONGEST_NAME} characters")
    if name in (".", "..") or any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise Refused(400, "a name must have no control characters, and be neither . nor ..")
    return name


def _item(given: object) -> Item:
    if not isinstance(given, dict):
        raise Refused(400, "an item must be a JSON object")
    return given


def _same_name(old: Item, given: Item) -> None:
    if given.get("name", old["name"]) != old["name"]:
        raise Refused(400, "a name cannot be changed")


def _changed(given: Item, readers: Mapping[str, Callable[[object], Any]]) -> Item:
    """The members that are there, read; whatever else is there is left aside."""
    return {member: read(given[member]) for member, read in readers.items() if member in given}


def _description(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(400, "description must be a text")
    return value


def _position(value: object) -> Item | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not {"x", "y"} <= value.keys() <= {"x", "y", "z"}:
        raise Refused(400, "position must have x and y, and may have z")
    if not all(_is_number(each) for each in value.values()):
        raise Refused(400, "position must be of numbers")
    return value


def _metadata(value: object) -> Item:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(400, "metadata must be a JSON object")
    return value


def _outputs(value: object) -> list[Item]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Refused(400, "output must be a list")
    outputs: dict[str, Item] = {}
    for each in value:
        given = _item(each)
        name = _name(given.get("name"))
        if name in outputs:
            raise Refused(400, f"output {name} is there twice")
        unit = given.get("unit")
        if not isinstance(given.get("type", "text"), str) or not isinstance(unit, str | None):
            raise Refused(400, "type and unit must be texts")
        outputs[name] = {"name": name, "type": given.get("type", "text")} | ({} if unit is None else {"unit": unit})
    return list(outputs.values())


# -- observations ------------------------------------------------------------------------------------------------------


def read_observation(given: object, sensors: Mapping[str, Item], *, auto_register: bool) -> list[Record]:
    """The records of one element of ``observations``. Raises 400, and 404 for an unknown sensor."""
    item = _item(given)
    name = _name(item.get("sensor"))
    sensor = sensors.get(name)
    if sensor is None and not auto_register:
        raise Refused(404, "sensor is not registered")
    feature = item["feature"] if "feature" in item else None if sensor is None else sensor["feature"]
    if feature is not None:
        _name(feature)
    records = item.get("record")
    if not isinstance(records, list) or not records:
        raise Refused(400, "record must be a list that is not empty")
    types = None if sensor is None else {output["name"]: output["type"] for output in sensor["output"]}
    return [_record(name, feature, each, types, auto_register) for each in records]


def _record(sensor: str, feature: str | None, given: object, types: Mapping[str, str] | None, new: bool) -> Record:
    item = _item(given)
    outputs = item.get("output")
    if not isinstance(outputs, list) or not outputs:
        raise Refused(400, "output must be a list that is not empty")
    start, end = _time(item.get("starttime"), "starttime"), item.get("endtime")
    read: dict[str, Output] = {}
    for each in outputs:
        name = _name(_item(each).get("name"))
        if types is not None and name not in types and not new:
            raise Refused(400, f"output {name} is not one of the sensor's")
        read[name] = _output(each, (types or {}).get(name, "text"))
    return Record(
        Key(start, sensor, feature is not None, feature or ""),
        read,
        None if end in (None, "") else _time(end, "endtime"),
        {extra: item[extra] for extra in EXTRAS if item.get(extra) is not None},
    )


def _output(given: Item, registered: str) -> Output:
    value, kind, unit = given.get("value"), given.get("type"), given.get("unit")
    if not isinstance(value, str | bool) and not _is_number(value):
        raise Refused(400, "value must be a text, a number, true or false")
    if not isinstance(kind, str | None) or not isinstance(unit, str | None):
        raise Refused(400, "type and unit must be texts")
    return Output(value, kind or registered, unit)


def _time(value: object, name: str) -> int:
    if not isinstance(value, str):
        raise Refused(400, f"{name} must be a text")
    try:
        return millis(read_time(value))
    except ValueError:
        raise Refused(400, f"{name} is not a time such as 03-JUL-2015 13:10:00 IST") from None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) != math.inf
