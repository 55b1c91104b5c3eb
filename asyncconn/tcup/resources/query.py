"""What a query finds: a pager of rows, and the table that they make. Contract: tcup sections 1.8, 2.6."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from asyncconn.core.paging import Page, Pager
from asyncconn.errors import ProtocolError
from asyncconn.tcup.rows import Row

if TYPE_CHECKING:
    from asyncconn.http.response import Response

__all__ = ["Found", "Rows"]


@dataclass(frozen=True, slots=True)
class Found:
    """A page as it came: its observations, and the cursor of the next one."""

    observations: list[Any]
    next: Any

    @classmethod
    def of(cls, answer: Response, wanted: Sequence[tuple[str, Callable[[Any], bool]]] = ()) -> Self:
        """Out of an answer; of what came, that whose members are ``wanted``. Raises ``ProtocolError``."""
        found = answer.json()
        observations = found.get("observations") if isinstance(found, dict) else None
        if not isinstance(observations, list):
            raise ProtocolError(f"{answer.service}: {answer.method} {answer.path} answered without observations")
        for member, keep in wanted:
            observations = [one for one in observations if isinstance(one, dict) and keep(one.get(member))]
        return cls(observations, found.get("next") or None)


class Rows(Pager[Row]):
    """Rows of observations: await the first page, or iterate over all."""

    def __init__(self, page: Callable[[Any], Awaitable[Page[Row]]], fetch: Callable[[Any], Awaitable[Found]]) -> None:
        super().__init__(page)
        self._found = fetch
