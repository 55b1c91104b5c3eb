"""What every noun needs: calls by their name in the path table, lists of models, pages by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from asyncconn.atoti_limits.errors import LimitsProtocolError
from asyncconn.atoti_limits.models import Model, body_of, decode, decode_list
from asyncconn.atoti_limits.wire import document
from asyncconn.core.paging import Page, Pager
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn.atoti_limits.paths import Paths
    from asyncconn.http.response import Response

__all__ = ["Caller", "Resource", "ids", "several"]

M = TypeVar("M", bound=Model)

_LARGEST = 1000  # of a page


class Caller(Protocol):
    """What a noun knows of its client."""

    @property
    def paths(self) -> Paths:
        """The path table."""
        ...

    async def call(self, name: str, **options: Any) -> Response:
        """One call of the path table."""
        ...


class Resource:
    """A noun of the client."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def _one(self, kind: type[M], name: str, **options: Any) -> M:
        return decode(kind, document(await self._caller.call(name, **options)))

    async def _list(self, kind: type[M], name: str, **options: Any) -> list[M]:
        return decode_list(kind, document(await self._caller.call(name, **options)))

    async def _write(self, kind: type[M], name: str, items: Any) -> list[M]:
        bodies = [body_of(one) for one in several(items, "what is to be written")]
        return await self._list(kind, name, json=bodies)

    def _pager(self, kind: type[M], name: str, size: int, params: Mapping[str, Any]) -> Pager[M]:
        if not 1 <= size <= _LARGEST:
            raise ConfigError(f"a page has 1 to {_LARGEST} items, not {size!r}")

        async def fetch(cursor: Any) -> Page[M]:
            number = cursor or 0
            found = document(await self._caller.call(name, params={**params, "page": number, "size": size}))
            if not isinstance(found, dict):
                raise LimitsProtocolError(f"{name}: a page must be an object, not {type(found).__name__}")
            items = decode_list(kind, found.get("content"))
            return Page(items, number + 1 if items and _more(found, number, len(items), size) else None)

        return Pager(fetch)


def _more(page: Mapping[str, Any], number: int, count: int, asked: int) -> bool:
    """Whether another page follows: by the total, else by whether this one is full. The server may give less."""
    size, total = page.get("size"), page.get("total")
    if not isinstance(size, int) or size < 1:
        size = asked
    return (number + 1) * size < total if isinstance(total, int) else count >= size


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
