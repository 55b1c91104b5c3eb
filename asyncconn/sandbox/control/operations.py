"""The calls of the control: one table, by which they are found, their bodies checked, and the document written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from asyncconn.sandbox.clock import MOST_AHEAD
from asyncconn.sandbox.faults import KINDS
from asyncconn.sandbox.tcup.streams.faults import KINDS as STREAM_KINDS

if TYPE_CHECKING:
    from asyncconn.sandbox.exchange import Call

__all__ = ["BASE", "OPERATIONS", "Operation", "Refused", "find"]

BASE = "/_sandbox"
MOST_ROWS, MOST_BYTES, SECONDS = 1000, 1_048_576, 5.0  # what a query may take, unless it says less
_JSON = "application/json"

Schema = Mapping[str, Any]
Schemas = Mapping[str, Schema]


class Refused(Exception):
    """Becomes an error answer: ``{"error": message}``."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Operation:
    """A call; ``name`` is its operation id. ``body``, ``query`` and ``answer`` are JSON schemas by member.

    ``required`` are members of the body. ``answer`` None is 204 without a body; ``answers`` what it is otherwise.
    """

    name: str
    method: str
    path: str
    summary: str
    body: Schemas | None = None
    required: Sequence[str] = ()
    query: Schemas = field(default_factory=dict)
    answer: Schemas | None = None
    status: int = 200
    media: str = _JSON

    def args(self, path: str) -> dict[str, int] | None:
        """The numbers in a path that is this call's, None for another's."""
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[0-9]{1,9})", re.escape(BASE + self.path))
        found = re.fullmatch(pattern, path)
        return None if found is None else {name: int(number) for name, number in found.groupdict().items()}

    def read_body(self, call: Call) -> dict[str, Any]:
        """Its body, checked. Raises :class:`Refused`."""
        if self.body is None:
            return {}
        kind = call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != _JSON:
            raise Refused(415, f"the body must be JSON, with Content-Type: {_JSON}")
        try:
            given = json.loads(call.body, parse_constant=_finite, parse_float=_finite)
            if not isinstance(given, dict):
                raise Refused(400, "the body must be a JSON object")
            return _checked(given, self.body, self.required)
        except ValueError as error:
            raise Refused(400, f"the body is not JSON: {error}") from None
        except RecursionError:
            raise Refused(400, "the body is nested too deeply") from None

    def read_query(self, call: Call) -> dict[str, Any]:
        """What is asked for. Raises :class:`Refused`."""
        given: dict[str, Any] = {}
        for name, text in parse_qsl(call.query, keep_blank_values=True):
            wanted = self.query.get(name, {}).get("type")
            given[name] = int(text) if wanted == "integer" and re.fullmatch("[0-9]{1,9}", text) else text
        return _checked(given, self.query, ())


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:100]} is no finite number")
    return number


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def _checked(given: dict[str, Any], schemas: Schemas, required: Sequence[str]) -> dict[str, Any]:
    if unknown := [name for name in given if name not in schemas]:
        raise Refused(400, f"{unknown[0][:100]!r} is not known here: it may be {', '.join(schemas) or 'nothing'}")
    if missing := [name for name in required if name not in given]:
        raise Refused(400, f"{missing[0]} is missing")
    for name, value in given.items():
        wanted = schemas[name].get("type", list(_TYPES))
        types = [wanted] if isinstance(wanted, str) else wanted
        fits = any(isinstance(value, _TYPES[one]) and (one == "boolean") == isinstance(value, bool) for one in types)
        if not fits:
            raise Refused(400, f"{name} must be {' or '.join(types)}, not {json.dumps(value)[:100]}")
        least, most = schemas[name].get("minimum"), schemas[name].get("maximum")
        if value is None:
            continue
        if (least is not None and value < least) or (most is not None and value > most):
            raise Refused(400, f"{name} must be from {least} to {most}, not {value}")
    return given


# -- what they take, and what they answer ------------------------------------------------------------------------------


def _kinds(kinds: Mapping[str, str]) -> Schema:
    said = "; ".join(f"{kind}: {words}" for kind, words in kinds.items())
    return {"type": "string", "enum": list(kinds), "description": said, "x-enum-descriptions": dict(kinds)}


_LONGEST = 1e9  # seconds: JSON has whole numbers that are too large for any timer
_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_TIMES: Schema = {
    "type": ["integer", "null"],
    "description": "strike so often at most; null is without end",
    "default": 1,
}
_AFTER: Schema = {"type": "integer", "description": "let the first so many pass", "default": 0}
_SECONDS: Schema = {"type": ["number", "null"], "description": "how long", "minimum": 0, "maximum": _LONGEST}
_FAULT: Schemas = {
    "kind": _kinds(KINDS),
    "match": {"type": ["string", "null"], "description": "a path prefix (/...), or a platform; null is all"},
    "times": _TIMES,
    "after": _AFTER,
    "every": {"type": ["integer", "null"], "description": "then each so-many-th"},
    "probability": {"type": "number", "description": "each with this chance, above 0 and at most 1", "default": 1.0},
    "seconds": _SECONDS,
    "status": {"type": ["integer", "null"], "description": "of the kind status: 200 to 599"},
    "retry_after": {**_SECONDS, "description": "of the kind status: the header, in seconds"},
    "location": {"type": ["string", "null"], "description": "of the kind status: the header"},
}
_STREAM_FAULT: Schemas = {
    "kind": _kinds(STREAM_KINDS),
    "match": {
        "type": ["string", "null"],
        "description": "mqtt, websocket or sse, an MQTT client id, publish or subscribe; null is all",
    },
    "times": _TIMES,
    "after": _AFTER,
    "code": {"type": ["integer", "null"], "description": "of refuse (1 to 5) and close (1000 to 4999)"},
    "seconds": _SECONDS,
}
_PLANNED: Schemas = {
    "number": {**_WHOLE, "description": "what it is known by"},
    "on": {"type": "boolean", "description": "whether it strikes"},
    "seen": {**_WHOLE, "description": "requests that matched"},
    "struck": {**_WHOLE, "description": "requests that it struck"},
}
_SCRIPT = {
    "type": "string",
    "description": "instead of the others: faults as --faults has them, such as 'delay:0.5*3, status:503'",
}
_HITS: Schema = {"type": "object", "description": "how often each kind has struck"}
_ON: Schemas = {"on": {"type": "boolean", "description": "whether it is to strike"}}
_CLOCK: Schemas = {
    "now": {"type": "string", "format": "date-time", "description": "the sandbox's time, UTC"},
    "moved_seconds": {"type": "number", "description": "by how much it was moved on, in all"},
}
_REQUEST: Schemas = {
    "number": {**_WHOLE, "description": "counted from the sandbox's start"},
    "at": {"type": "string", "format": "date-time", "description": "the sandbox's time, UTC"},
    "platform": {**_TEXT, "description": "- for a path that none serves"},
    "method": _TEXT,
    "path": {**_TEXT, "description": "percent-decoded; credentials are ***, here and in the next two"},
    "query": _TEXT,
    "client": {**_TEXT, "description": "its User-Agent"},
    "body_bytes": {**_WHOLE, "description": "0 where the body is read in pieces"},
    "status": {"type": ["integer", "null"], "description": "null: it goes on, or was closed without an answer"},
    "seconds": {"type": ["number", "null"], "description": "null: it goes on"},
    "fault": {"type": ["string", "null"], "description": "the kind of fault that struck it"},
}


def _list_of(item: Schemas, description: str) -> Schema:
    return {"type": "array", "description": description, "items": {"type": "object", "properties": item}}


def _faults(path: str, name: str, words: str, fault: Schemas, extra: Schemas) -> list[Operation]:
    entry = {**_PLANNED, **fault, "kind": {**_TEXT, "description": "as it was added, as the others"}}
    shown = _list_of(entry, "in the order in which they strike")
    listed = {"faults": shown, "hits": _HITS}
    one = f"{path}/{{number}}"
    return [
        Operation(
            f"list_{name}s", "GET", path, f"The faults of {words}, and how often they have struck.", answer=listed
        ),
        Operation(
            f"add_{name}",
            "POST",
            path,
            f"Have something go wrong with {words}.",
            body={**fault, **extra},
            required=() if extra else ("kind",),
            answer={"faults": shown},
            status=201,
        ),
        Operation(f"clear_{name}s", "DELETE", path, f"Forget all faults of {words}; hits stay.", status=204),
        Operation(
            f"switch_{name}",
            "PATCH",
            one,
            "Switch a fault off, or on again; what it has counted stays.",
            body=_ON,
            required=("on",),
            answer=entry,
        ),
        Operation(f"remove_{name}", "DELETE", one, "Forget a fault.", status=204),
    ]


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "state",
        "GET",
        "/state",
        "All that the page shows, at this moment.",
        answer={
            "url": {**_TEXT, "description": "the sandbox's address"},
            "clock": {"type": "object", "description": "as clock answers", "properties": _CLOCK},
            "worlds": {
                "type": "object",
                "description": "by platform: url, requests, counters, tables, gauges, work, channels, gaps",
            },
            "faults": {"type": "object", "description": "as list_faults answers"},
            "stream_faults": {"type": "object", "description": "as list_stream_faults answers; not there without TCUP"},
            "requests": _list_of(_REQUEST, "the last 40, newest first"),
        },
    ),
    Operation(
        "events",
        "GET",
        "/events",
        "The same as server-sent events, one a second.",
        answer={},
        media="text/event-stream",
    ),
    Operation(
        "reset",
        "POST",
        "/reset",
        "Forget what has landed and happened, and all faults; streams break off. Credentials, options and clock stay.",
        status=204,
    ),
    *_faults("/faults", "fault", "requests", _FAULT, {"script": _SCRIPT}),
    *_faults("/stream-faults", "stream_fault", "MQTT, WebSockets and server-sent events", _STREAM_FAULT, {}),
    Operation("clock", "GET", "/clock", "The sandbox's time.", answer=_CLOCK),
    Operation(
        "move_clock",
        "POST",
        "/clock",
        "Move the time of all platforms on, ten years in all at most: rates, days, jobs, schedules and tokens follow.",
        body={
            "seconds": {"type": "number", "description": "by so much", "minimum": 0, "maximum": MOST_AHEAD},
            "until": {"type": "string", "format": "date-time", "description": "or to this moment, with its offset"},
        },
        answer=_CLOCK,
    ),
    Operation(
        "sql",
        "POST",
        "/sql",
        "Ask the tables that landed (Panoply's warehouse): one reading statement in SQLite's dialect. "
        "A mebibyte of rows at most; 503 while others ask.",
        body={
            "statement": _TEXT,
            "params": {"type": "array", "description": "for each ? in it: texts, numbers, truth values, null"},
            "most": {
                **_WHOLE,
                "description": "rows at most",
                "minimum": 1,
                "maximum": 100_000,
                "default": MOST_ROWS,
            },
            "texts": {
                "type": "boolean",
                "description": "every value as a text, so that JavaScript rounds no number",
                "default": False,
            },
        },
        required=("statement",),
        answer={
            "columns": {"type": "array", "items": _TEXT},
            "rows": {"type": "array", "items": {"type": "array"}, "description": "bytes are texts: hexadecimal digits"},
            "truncated": {"type": "boolean", "description": "there are more rows, or they are more than a mebibyte"},
        },
    ),
    Operation(
        "requests",
        "GET",
        "/requests",
        "The last requests to the platforms (a thousand are kept), newest first, without credentials.",
        query={
            "last": {**_WHOLE, "description": "so many", "minimum": 1, "maximum": 1000, "default": 100},
            "platform": {**_TEXT, "description": "of this one only"},
        },
        answer={
            "requests": _list_of(_REQUEST, "newest first"),
            "total": {"type": "object", "description": "by platform"},
        },
    ),
    Operation("openapi", "GET", "/openapi.json", "This document.", answer={}),
)


def find(method: str, path: str) -> tuple[Operation, dict[str, int]]:
    """The call, and the numbers in its path. Raises :class:`Refused`."""
    wanted = "GET" if method == "HEAD" else method
    allowed = []
    for operation in OPERATIONS:
        if (args := operation.args(path)) is not None:
            if operation.method == wanted:
                return operation, args
            allowed.append(operation.method)
    if allowed:
        raise Refused(405, f"this takes {', '.join(allowed)}", {"Allow": ", ".join(allowed)})
    raise Refused(404, f"there is no such path; {BASE}/ says which there are")
