"""What Limits' nouns share: how its answers are read, lists in numbered pages, and what is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from asyncconn import resource
from asyncconn.atoti_limits.errors import LimitsProtocolError
from asyncconn.atoti_limits.models import Model, body_of, decode, decode_list
from asyncconn.atoti_limits.wire import document
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn.atoti_limits.paths import Paths
    from asyncconn.http.pages import Found
    from asyncconn.http.response import Response

__all__ = ["Caller", "Numbered", "Resource", "ids", "several"]

M = TypeVar("M", bound=Model)

_LARGEST = 1000  # of a page


class Caller(resource.Caller, Protocol):
    """What a noun knows of its client."""

    @property
    def paths(self) -> Paths:
        """The path table."""
        ...


class Resource(resource.Resource):
    """A noun of the client."""

    misfit = LimitsProtocolError
    _caller: Caller

    def _read(self, answer: Response) -> Any:
        return document(answer)

    def _made(self, kind: Any, found: Any, **options: Any) -> Any:
        return decode(kind, found)

    def _all(self, kind: Any, found: Any, **options: Any) -> Any:
        return decode_list(kind, found)

    async def _write(self, kind: type[M], name: str, items: Any) -> list[M]:
        bodies = [body_of(one) for one in several(items, "what is to be written")]
        return await self._many(kind, name, json=bodies)


@dataclass(frozen=True, slots=True)
class Numbered:
    """Pages by number from 0. Raises ``ConfigError`` for a ``size`` that none has."""

    size: int

    def __post_init__(self) -> None:
        if not 1 <= self.size <= _LARGEST:
            raise ConfigError(f"a page has 1 to {_LARGEST} items, not {self.size!r}")

    def params(self, cursor: Any) -> Mapping[str, Any]:
        """Which page, and how many items of it."""
        return {"page": cursor or 0, "size": self.size}

    def after(self, cursor: Any, found: Found) -> object:
        """The next one, by the total, else where this one is full. The server may give less than it was asked for."""
        number, size, total = (cursor or 0) + 1, found.answer.get("size"), found.answer.get("total")
        if not isinstance(size, int) or size < 1:
            size = self.size
        more = number * size < total if isinstance(total, int) else found.count >= size
        return number if found.count and more else None


def several(items: Any, what: str) -> Sequence[Any]:
    """A list of one or more. Raises ``ConfigError``."""
    if isinstance(items, Mapping | Model | str):
        items = [items]
    if not isinstance(items, Sequence) or not items:
        raise ConfigError(f"{what} must be one or more, not {type(items).__name__ if items else 'none'}")
    return items


def ids(values: Any, what: str) -> list[str]:
    """One id or several. Raises ``ConfigError``."""
    found = list(several(values, what))
    if not all(isinstance(one, str) and one.strip() for one in found):
        raise ConfigError(f"{what} must be names, not {found!r}")
    return found
