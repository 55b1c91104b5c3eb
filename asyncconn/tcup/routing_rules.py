"""Documents of routing rules, made and checked before they are sent. Pure functions. Contract: tcup section 3.3.

Their members are spelled in several ways, and one that is misspelled would be no condition at all: the rule would move
everything. So what is not known is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Literal

from asyncconn.errors import ConfigError
from asyncconn.tcup.times import SOS

__all__ = ["Area", "Condition", "checked_rule", "routing_rule"]

_OPERATORS = ("", ">", "<", ">=", "<=", "!=")
_TYPES = ("text", "quantity", "count")
_RANGE = re.compile(r"!?\((-?\d+(?:\.\d+)?),(-?\d+(?:\.\d+)?)\)", re.ASCII).fullmatch
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII).fullmatch
_PARALLEL = re.compile(r"[1-9]|10", re.ASCII).fullmatch
_LISTS = ("ObservedProperties", "meta-data", "parameter", "quality")
_PARAMS = ("feature", "sensorID", "time", "expression", "position", *_LISTS)
_MEMBERS = ("RuleName", "RuleDescription", "parallelismFactor", "input", "params", "output")
_OWN = ("RuleID", "Status")  # the server's: what a document says of them is not read
_INPUT = ("type", "DirectExchange", "RoutingKey", "MQName", "TopicExchange")
_SHAPES = ("rectangle", "circles", "polygon")


@dataclass(frozen=True, slots=True)
class Condition:
    """What an observed property (or a ``meta-data``, a ``parameter``, a ``quality``) must be, for a rule to take it.

    ``operator`` is ``=``, ``>``, ``<``, ``>=``, ``<=`` or ``!=``. Numbers compare as ``quantity``, texts as ``text``;
    ``type`` says it otherwise.

    >>> Condition("pulse", "!=", 60).wire()
    {'name': 'pulse', 'type': 'quantity', 'value': '60', 'operator': '!='}
    >>> Condition.between("pulse", 40, 50, inside=False).wire()["value"]
    '!(40,50)'
    """

    name: str
    operator: str
    value: str | float
    type: Literal["text", "quantity", "count"] | None = None

    @classmethod
    def between(cls, name: str, low: float, high: float, *, inside: bool = True) -> Condition:
        """Values from ``low`` to ``high`` pass, or those outside."""
        return cls(name, "=", f"{'' if inside else '!'}({low},{high})", "quantity")

    def wire(self) -> dict[str, Any]:
        """As a rule has it."""
        kind = self.type or ("text" if isinstance(self.value, str) else "quantity")
        sign = "" if self.operator == "=" else self.operator
        return {"name": self.name, "type": kind, "value": str(self.value), "operator": sign}


@dataclass(frozen=True, slots=True)
class Area:
    """Where an observation must have been made: the corners of a ``rectangle`` or a ``polygon``, as (x, y).

    ``fencing`` asks to be told of what enters or leaves it.
    """

    points: Sequence[tuple[float, float]]
    shape: Literal["rectangle", "polygon"] = "rectangle"
    fencing: bool = False

    def wire(self) -> dict[str, Any]:
        """As a rule has it."""
        points = [{"x": str(x), "y": str(y)} for x, y in self.points]
        fencing = "YES" if self.fencing else "NO"
        return {"name": "position", "type": self.shape, "geoFencing": fencing, "value": {"points": points}}


def routing_rule(
    name: str,
    description: str,
    *,
    to: tuple[str, str],
    direct: str | tuple[str, str] = "",
    topic: tuple[str, str] | None = None,
    queue: str | None = None,
    sensor: str = "",
    feature: str = "",
    where: Iterable[Condition] = (),
    metadata: Iterable[Condition] = (),
    parameter: Iterable[Condition] = (),
    quality: Iterable[Condition] = (),
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    area: Area | None = None,
    if_: str = "",
    then: str = "",
    else_: str = "",
    parallelism: int = 1,
    default_timezone: str | tzinfo | None = None,
) -> dict[str, Any]:
    """A rule's document: what of the input passes all conditions goes ``to`` a topic exchange and topic.

    The input is a ``direct`` exchange and routing key (a key alone is of ``Direct.Exchange``, where SOS puts what it
    stores), a ``topic`` exchange and topic, or a ``queue``. ``sensor`` and ``feature`` are names, patterns with ``*``,
    or a regular expression that begins with ``^``. ``if_`` is a condition such as ``temp>80``, ``then`` and ``else_``
    are statements such as ``return "high";``. ``parallelism`` is 1 to 10.

    >>> routing_rule("warm", "over 30", to=("ex1", "test"), direct="key", where=[Condition("obs2", ">", 30)])["output"]
    {'TopicExchange': 'ex1', 'Topic': 'test'}

    Raises ``ConfigError`` that names the member.
    """
    if sum((bool(direct), topic is not None, queue is not None)) > 1:
        raise ConfigError("a rule's input is one of direct, topic and queue")
    exchange, key = ("Direct.Exchange", direct) if isinstance(direct, str) else direct
    source = {"type": "Direct", "DirectExchange": exchange, "RoutingKey": key, "MQName": ""}
    if topic is not None:
        source = {"type": "Topic", "TopicExchange": topic[0], "RoutingKey": topic[1], "MQName": ""}
    elif queue is not None:
        source = {"type": "Queue", "MQName": queue}
    times = {"starttime": _moment(since, default_timezone), "endtime": _moment(until, default_timezone)}
    lists = zip(_LISTS, (where, metadata, parameter, quality), strict=True)
    params: list[dict[str, Any]] = [
        {"name": "feature", "value": feature},
        {"name": "sensorID", "value": sensor},
        {"name": "time", "value": times},
        {"name": "expression", "value": {"if": if_, "then": then, "else": else_}},
        *([] if area is None else [area.wire()]),
        *({"name": what, "value": [one.wire() for one in conditions]} for what, conditions in lists),
    ]
    return checked_rule(
        {
            "RuleName": name,
            "RuleDescription": description,
            "parallelismFactor": str(parallelism),
            "input": source,
            "params": params,
            "output": {"TopicExchange": to[0], "Topic": to[1]},
        }
    )


def checked_rule(document: Mapping[str, Any]) -> dict[str, Any]:
    """A rule's document as it is sent: without what the server adds to it. Raises ``ConfigError`` naming the member."""
    if not isinstance(document, Mapping):
        raise ConfigError(f"a rule is an object, not {type(document).__name__}")
    made = {name: value for name, value in document.items() if name not in _OWN}
    _known(made, _MEMBERS, "a rule")
    for name in ("RuleName", "RuleDescription"):
        _named(made, name, "a rule")
    factor = made.get("parallelismFactor")
    if isinstance(factor, bool) or not _PARALLEL(str(factor)):
        raise ConfigError(f"parallelismFactor: a whole number from 1 to 10, not {factor!r}")
    _check_input(_object(made, "input"))
    output = _object(made, "output")
    _known(output, ("TopicExchange", "Topic"), "output")
    _named(output, "TopicExchange", "output")
    _named(output, "Topic", "output")
    params = made.get("params")
    if not isinstance(params, list):
        raise ConfigError(f"params: a list, not {type(params).__name__}")
    seen: set[str] = set()
    for place, param in enumerate(params):
        _check_param(param, f"params[{place}]", seen)
    return made


def _check_input(source: Mapping[str, Any]) -> None:
    _known(source, _INPUT, "input")
    for name, value in source.items():
        _string(value, f"input.{name}")
    kind = source.get("type") or "Direct"
    needed = {"Direct": "DirectExchange", "Topic": "TopicExchange", "Queue": "MQName"}.get(kind)
    if needed is None:
        raise ConfigError(f"input.type: Direct, Topic or Queue, not {kind!r}")
    _named(source, needed, "input")
    if kind == "Topic":
        _named(source, "RoutingKey", "input")


def _check_param(param: Any, place: str, seen: set[str]) -> None:
    if not isinstance(param, Mapping):
        raise ConfigError(f"{place}: an object, not {type(param).__name__}")
    name, value = param.get("name"), param.get("value")
    if name not in _PARAMS:
        raise ConfigError(f"{place}.name: one of {', '.join(_PARAMS)}, not {name!r}: a rule would take it for nothing")
    if name in seen:
        raise ConfigError(f"{place}: {name} is there twice")
    seen.add(name)
    allowed = ("name", "value", "type", "geoFencing") if name == "position" else ("name", "value")
    _known(param, allowed, place)
    if name in ("feature", "sensorID"):
        _string(value, f"{place} ({name})")
    elif name == "time":
        for end, text in _members(value, ("starttime", "endtime"), f"{place} (time)"):
            _moment(text, None, f"{place} (time).{end}")
    elif name == "expression":
        _members(value, ("if", "then", "else"), f"{place} (expression)")
    elif name == "position":
        _check_position(param, place)
    else:
        if not isinstance(value, list):
            raise ConfigError(f"{place} ({name}): a list of conditions, not {type(value).__name__}")
        for at, condition in enumerate(value):
            _check_condition(condition, f"{place} ({name})[{at}]")


def _check_position(param: Mapping[str, Any], place: str) -> None:
    if param.get("type") not in _SHAPES:
        raise ConfigError(f"{place} (position).type: one of {', '.join(_SHAPES)}, not {param.get('type')!r}")
    if param.get("geoFencing", "NO") not in ("YES", "NO"):
        raise ConfigError(f"{place} (position).geoFencing: YES or NO, not {param['geoFencing']!r}")
    if not isinstance(param.get("value"), Mapping):
        raise ConfigError(f"{place} (position).value: an object, such as {{'points': [...]}}")


def _check_condition(condition: Any, place: str) -> None:
    values = dict(_members(condition, ("name", "type", "value", "operator"), place))
    name, value, kind = values.get("name", ""), values.get("value", ""), values.get("type", "")
    if not name:
        if value:
            raise ConfigError(f"{place}.name: what is it that must be {value!r}?")
        return  # as the samples write "no condition"
    if values.get("operator", "") not in _OPERATORS:
        raise ConfigError(f"{place}.operator: one of {', '.join(map(repr, _OPERATORS))}, not {values['operator']!r}")
    if kind.lower() not in _TYPES:
        raise ConfigError(f"{place}.type: one of {', '.join(_TYPES)}, not {kind!r}")
    if kind.lower() == "text" or _NUMBER(value):
        return
    found = _RANGE(value)
    if found is None or float(found[1]) > float(found[2]):
        raise ConfigError(f"{place}.value: a number, or a range such as (80,120) or !(80,120), not {value!r}")


def _moment(given: Any, default_zone: str | tzinfo | None, place: str = "time") -> str:
    if given is None or given == "":
        return ""
    try:
        if isinstance(given, str):
            SOS.read(given)
            return given
        return SOS.write(given, default_zone=default_zone)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{place}: {error}") from error


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = holder.get(name)
    if not isinstance(found, Mapping):
        raise ConfigError(f"{name}: an object, not {type(found).__name__}")
    return found


def _members(found: Any, names: tuple[str, ...], place: str) -> list[tuple[str, str]]:
    """The members of an object of texts."""
    if not isinstance(found, Mapping):
        raise ConfigError(f"{place}: an object with {', '.join(names)}, not {type(found).__name__}")
    _known(found, names, place)
    return [(name, _string(value, f"{place}.{name}")) for name, value in found.items()]


def _known(found: Mapping[str, Any], names: tuple[str, ...], place: str) -> None:
    if strange := [name for name in found if name not in names]:
        raise ConfigError(f"{place}: {strange[0]!r} is none of its members, which are {', '.join(names)}")


def _named(holder: Mapping[str, Any], name: str, place: str) -> None:
    if not _string(holder.get(name), f"{place}.{name}").strip():
        raise ConfigError(f"{place}.{name}: must not be empty")


def _string(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{place}: must be text, not {type(value).__name__}")
    return value
