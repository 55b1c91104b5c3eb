"""From a request to the function that answers it: a path with slots, the query, the body."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from asyncconn.sandbox.exchange import Answer, Call

__all__ = ["Ask", "Route", "Router", "read_json", "segments"]


@dataclass(frozen=True)
class Ask:
    """A request to a service, with what the slots of its path hold, percent-decoded."""

    call: Call
    args: dict[str, str]

    @cached_property
    def params(self) -> dict[str, list[str]]:
        """The query: all values of each parameter, in their order, blank ones left out."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in parse_qsl(self.call.query, keep_blank_values=False):
            found[name].append(value)
        return dict(found)

    def param(self, name: str, default: str = "") -> str:
        """The last value of a parameter."""
        return self.params.get(name, [default])[-1]

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number of the query. Raises 400."""
        text = self.param(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise Refused(400, f"{name} must be a whole number from {least} to {most}")
        return int(text)

    def flag(self, name: str) -> bool | None:
        """``true`` or ``false`` of the query, in any letter case; None when absent. Raises 400."""
        text = self.param(name).lower()
        if text not in ("", "true", "false"):
            raise Refused(400, f"{name} must be true or false")
        return None if not text else text == "true"

    def json(self) -> Any:
        """The body, any JSON. Raises 400."""
        return read_json(self.call.body)

    def document(self) -> dict[str, Any]:
        """The body, a JSON object. Raises 400."""
        value = self.json()
        if not isinstance(value, dict):
            raise Refused(400, "the body is not a JSON object")
        return value

    def header(self, name: str) -> str:
        """A header's text, without blanks around it."""
        return self.call.headers.get(name, "").strip()


Route = tuple[str, str, "Callable[[Ask], Answer | Awaitable[Answer]]"]


def read_json(body: bytes) -> Any:
    """Strict JSON: no NaN, no endless nesting. Raises 400."""
    try:
        return json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not valid JSON") from None


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def segments(target: str) -> tuple[str, ...]:
    """The parts of a path as it came, percent-decoded after they were parted: ``%2F`` stays in its part."""
    return tuple(unquote(part) for part in target.partition("?")[0].split("/")[1:])


class Router:
    """Patterns such as ``/sensors/{name}``; a slot takes one part of the path, and not an empty one.

    Where two patterns fit, the one without a slot at the first difference is taken.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: defaultdict[int, list[tuple[str, tuple[str, ...], Any]]] = defaultdict(list)
        for method, pattern, handler in routes:
            parts = tuple(pattern.split("/")[1:])
            self._routes[len(parts)].append((method, parts, handler))
        for same in self._routes.values():
            same.sort(key=lambda route: [part.startswith("{") for part in route[1]])

    def find(self, method: str, target: str) -> tuple[Callable[[Ask], Answer | Awaitable[Answer]], dict[str, str]]:
        """The handler and what the slots hold. Raises 404 for an unknown path, 405 for an unknown method of one."""
        asked, known = segments(target), False
        for verb, parts, handler in self._routes.get(len(asked), ()):
            if (args := _fit(parts, asked)) is not None:
                if verb == method:
                    return handler, args
                known = True
        raise Refused(405, "this path has no such method") if known else Refused(404, "there is no such path")


def _fit(parts: tuple[str, ...], asked: tuple[str, ...]) -> dict[str, str] | None:
    args = {}
    for part, given in zip(parts, asked, strict=True):
        if part.startswith("{"):
            if not given:
                return None
            args[part[1:-1]] = given
        elif part != given:
            return None
    return args
