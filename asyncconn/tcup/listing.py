"""Lists of TCUP that are tables, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from asyncconn.core.frames import exact_frame
from asyncconn.core.paging import Pager
from asyncconn.core.threads import in_thread
from asyncconn.tcup.models import Model

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Listing"]

M = TypeVar("M", bound=Model)


class Listing(Pager[M]):
    """A list whose items are the rows of a table.

    >>> frame = await tcup.datalake.search(metadata={"colour": "blue"}).frame()
    """

    def __init__(self, pager: Pager[M], kind: type[M]) -> None:
        super().__init__(pager._fetch)
        self._kind = kind

    async def frame(self) -> pd.DataFrame:
        """All of it, a row an item; without items it has its columns still. Raises ``ConfigError`` without pandas."""
        rows = [one.model_dump() for one in await self.collect()]
        columns = list(dict.fromkeys([*self._kind.model_fields, *(name for row in rows for name in row)]))
        cells = [[row.get(name) for name in columns] for row in rows]
        made: pd.DataFrame = await in_thread(exact_frame, columns, cells)  # the import of pandas takes long
        return made
