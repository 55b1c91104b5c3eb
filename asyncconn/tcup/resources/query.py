"""What a query finds: a pager of rows, and the table that they make. Contract: tcup sections 1.8, 2.6."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from asyncconn.core.paging import Page, Pager
from asyncconn.core.threads import in_thread
from asyncconn.errors import ProtocolError
from asyncconn.tcup.frames import Columns, page_of, ready
from asyncconn.tcup.rows import COLUMNS, Row, rows_of
from asyncconn.tcup.tables import text_table

if TYPE_CHECKING:
    import pandas as pd

    from asyncconn.http.response import Response

__all__ = ["Found", "Rows", "Wanted"]

#: A member of an observation, and whether its value was asked for.
Wanted = tuple[str, Callable[[Any], bool]]


@dataclass(frozen=True, slots=True)
class Found:
    """A page as it came: its observations, and the cursor of the next one."""

    observations: list[Any]
    next: Any
    decoded: bool = False  # into structs

    def add_to(self, columns: Columns) -> None:
        """Its rows, too."""
        (columns.add_decoded if self.decoded else columns.add)(self.observations)

    @classmethod
    def of(cls, answer: Response, wanted: Sequence[Wanted] = ()) -> Self:
        """Out of an answer; of what came, that whose members are ``wanted``. Raises ``ProtocolError``."""
        found = answer.json()
        observations = found.get("observations") if isinstance(found, dict) else None
        if not isinstance(observations, list):
            raise ProtocolError(f"{answer.service}: {answer.method} {answer.path} answered without observations")
        for member, keep in wanted:
            observations = [one for one in observations if isinstance(one, dict) and keep(one.get(member))]
        return cls(observations, found.get("next") or None)


class Rows(Pager[Row]):
    """Rows of observations: await the first page, iterate over all, or make a table of them.

    >>> async for row in tcup.observations.query(sensor="ts1"):
    ...     print(row["starttime"], row["name"], row["value"])

    A row is a dict of ``sensor``, ``feature``, ``starttime``, ``endtime`` (aware UTC), ``name``, ``value`` (cast by its
    type), ``type``, ``unit``, and ``valid``: False where the value does not fit its type, and is the text it was.
    """

    def __init__(self, ask: Callable[[Any], Awaitable[Response]], wanted: Sequence[Wanted] = ()) -> None:
        self._ask = ask
        self._wanted = wanted

        async def page(cursor: Any) -> Page[Row]:
            found = Found.of(await ask(cursor), wanted)
            return Page(list(rows_of(found.observations)), found.next)

        super().__init__(page)

    async def observations(self) -> list[dict[str, Any]]:
        """All that was found, as SOS has it."""
        return [one async for page in self._every(self._found) for one in page.observations]

    async def frame(self, *, pivot: bool = False) -> pd.DataFrame:
        """All rows as a pandas frame, typed, times aware UTC; empty with its columns where nothing was found.

        With ``pivot`` it has one row for each sensor, feature and start time, and a column for each output: of two
        values of one output at one time, the later row's. ``attrs["invalid"]`` has the places of rows (before pivoting)
        whose value does not fit its type, and is the text that it was. Raises ``ConfigError`` without pandas.
        """
        await in_thread(ready)
        columns = Columns()
        async for page in self._every(self._columns_of):
            page.add_to(columns)
        return await in_thread(columns.wide if pivot else columns.long)

    async def table(self) -> str:
        """All rows as a table of plain text, below a line with the names of the columns."""
        return text_table(COLUMNS, [[row[name] for name in COLUMNS] async for row in self])

    async def _found(self, cursor: Any) -> Found:
        return Found.of(await self._ask(cursor), self._wanted)

    async def _columns_of(self, cursor: Any) -> Found:
        answer = await self._ask(cursor)
        decoded = None if self._wanted else page_of(answer.body)
        return (
            Found.of(answer, self._wanted) if decoded is None else Found(decoded[0], decoded[1] or None, decoded=True)
        )

    async def _every(self, fetch: Callable[[Any], Awaitable[Found]]) -> AsyncGenerator[Found, None]:
        async def page(cursor: Any) -> Page[Found]:
            found = await fetch(cursor)
            return Page([found], found.next)

        async with aclosing(Pager(page).pages()) as pages:
            async for one in pages:
                yield one.items[0]
