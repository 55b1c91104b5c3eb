"""What waits in a spool of records: looked at, taken out, given up. Contract: panoply section 5."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncconn.core.buffer.spool import Spool
from asyncconn.core.files import PartialFile
from asyncconn.core.paths import file_path
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError, SpoolError
from asyncconn.panoply.encoding import TABLE, decode_record

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator

__all__ = ["SpoolContents", "spool_contents"]


@dataclass
class SpoolContents:
    """Records by table, and the bytes of all of them."""

    tables: Counter[str] = field(default_factory=Counter)
    bytes: int = 0

    @property
    def records(self) -> int:
        """All of them."""
        return self.tables.total()


async def spool_contents(
    path: str | os.PathLike[str], *, export: str | os.PathLike[str] | None = None, discard: bool = False
) -> SpoolContents:
    """What has not arrived of what was written with the spool ``path``, to which nobody may be writing.

        >>> (await spool_contents("events.spool")).tables
        Counter({'events': 2990})

    A program that writes with it sends the records at its next start. For those that the platform refuses for good,
    ``export`` is a new file that they are written to, as JSON lines with their table as ``__table``; with ``discard``
    they are forgotten once they are safe there.

    Raises ``ConfigError`` where there is no spool, or the file to export to is there already or cannot be written, and
    for ``discard`` without it; ``SpoolError`` and its kinds.
    """
    if discard and export is None:
        raise ConfigError("records are discarded that are kept elsewhere: export them")
    out = None if export is None else PartialFile(file_path(export, "the export"), replace=False, sync=True)
    kept = await _opened(path)
    found = SpoolContents()
    try:
        if out is not None:
            await in_thread(out.open)
        async for item in _records(kept):
            found.tables[str(decode_record(item).get(TABLE))] += 1
            found.bytes += len(item)
            if out is not None:
                await in_thread(out.write, [item + b"\n"])
        if out is not None:
            await in_thread(out.finish)  # before anything is forgotten
        if discard:
            await kept.trim([range(1, kept.last + 1)])
    except FileExistsError:
        raise ConfigError(f"{export} is there already: choose another name") from None
    except OSError as problem:
        raise ConfigError(f"{export} cannot be written: {problem.strerror or problem}") from problem
    finally:
        if out is not None:
            await in_thread(out.discard)
        await kept.aclose()
    return found


async def _opened(path: str | os.PathLike[str]) -> Spool:
    kept = Spool(path)
    try:
        there = await kept.open(create=False)
    except SpoolError as error:
        if type(error) is SpoolError:
            error.advice = "make the file readable and writable"  # nobody wanted to write a record
        raise
    if not there:
        raise ConfigError(f"there is no spool {path}")
    return kept


async def _records(kept: Spool) -> AsyncIterator[bytes]:
    number = 0
    while some := await kept.read(number):
        for _, item in some:
            yield item
        number = some[-1][0]
