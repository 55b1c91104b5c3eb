"""Lists of TCUP that are tables, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.frames import exact_frame
from asyncconn.core.paging import Pager
from asyncconn.core.threads import in_thread
from asyncconn.tcup.models import Model
from asyncconn.tcup.tables import text_table

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

__all__ = ["Listing"]

M = TypeVar("M", bound=Model)
T = TypeVar("T")


class Listing(Pager[T]):
    """A list whose items are the rows of a table: models of a ``kind``, or what ``shown`` makes one of.

    >>> frame = await tcup.datalake.search(metadata={"colour": "blue"}).frame()
    """

    def __init__(self, pager: Pager[T], kind: type[Model], shown: Callable[[T], Model] | None = None) -> None:
        super().__init__(pager._fetch, scrub=pager._scrub)
        self._kind = kind
        self._shown: Callable[[Any], Model] = shown or (lambda item: item)

    async def frame(self) -> pd.DataFrame:
        """All of it, a row an item; without items it has its columns still. Raises ``ConfigError`` without pandas."""
        made: pd.DataFrame = await in_thread(exact_frame, *await self._cells())  # the import of pandas takes long
        return made

    async def table(self) -> str:
        """All of it as a table of plain text, below a line with the names of the columns."""
        return text_table(*await self._cells())

    async def _cells(self) -> tuple[list[str], list[list[Any]]]:
        rows = [self._shown(one).model_dump() for one in await self.collect()]
        columns = list(dict.fromkeys([*self._kind.model_fields, *(name for row in rows for name in row)]))
        return columns, [[row.get(name) for name in columns] for row in rows]
