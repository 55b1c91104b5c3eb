"""From a method and a path to the function that answers."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

from asyncconn.sandbox.datorama.answers import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncconn.sandbox.exchange import Answer, Call

__all__ = ["Ask", "Route", "Router"]

T = TypeVar("T", bound=dict[str, Any] | list[Any])

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to the API by the token of this index, with what its path holds."""

    token: int
    args: dict[str, str]
    call: Call

    def id(self, name: str) -> int:
        """A number of the path."""
        return int(self.args[name])

    def body(self, kind: type[T]) -> T:
        """The JSON body; :class:`ApiError` when it is none or of another kind."""
        try:
            value = json.loads(self.call.body)
        except ValueError:
            raise ApiError(400, "the body is not JSON") from None
        if not isinstance(value, kind):
            raise ApiError(400, f"the body is not a JSON {'object' if kind is dict else 'array'}")
        return value

    def query(self, name: str) -> str | None:
        """A parameter of the query string."""
        values = parse_qs(self.call.query).get(name)
        return values[-1] if values else None


Route = tuple[str, str, "Callable[[Ask], Answer]"]


class Router:
    """Patterns like ``/v1/data-streams/{ds}``; ``{name}`` and ``{uuid}`` take any text, other slots digits only."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: defaultdict[tuple[str, int], list[tuple[re.Pattern[str], Callable[[Ask], Answer]]]]
        self._routes = defaultdict(list)
        for method, pattern, handler in routes:
            regex = _SLOT.sub(_slot, pattern)
            self._routes[method, pattern.count("/")].append((re.compile(regex), handler))

    def find(self, method: str, path: str) -> tuple[Callable[[Ask], Answer], dict[str, str]] | None:
        """The handler and the path's slots."""
        for regex, handler in self._routes.get((method, path.count("/")), ()):
            if (match := regex.fullmatch(path)) is not None:
                return handler, match.groupdict()
        return None


def _slot(match: re.Match[str]) -> str:
    return f"(?P<{match[1]}>{'[^/]+' if match[1] in ('name', 'uuid') else '[0-9]{1,18}'})"
