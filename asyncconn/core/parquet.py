"""Files of rows in Parquet, a group of rows at a time. The library, pyarrow, is the extra ``parquet``.

Every method blocks. ``ValueError`` for what is no Parquet, or does not fit into it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from asyncconn.core.extras import extra

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["ParquetReader", "ParquetWriter", "row_count"]

_ROWS = 10_000  # that are read, or written as one group, at a time


def row_count(path: Path) -> int:
    """What a file says of itself."""
    count: int = extra("pyarrow.parquet", "parquet").read_metadata(path).num_rows
    return count


class ParquetReader:
    """The rows of a file, in pieces: None when there are no more."""

    def __init__(self, file: BinaryIO) -> None:
        self._arrow, parquet = extra("pyarrow", "parquet"), extra("pyarrow.parquet", "parquet")
        try:
            self._batches = parquet.ParquetFile(file).iter_batches(batch_size=_ROWS)
        except self._arrow.ArrowException as error:
            raise ValueError(str(error)) from error

    def some(self) -> list[dict[str, Any]] | None:
        """The next rows. Times are ``datetime``, as the file has them."""
        try:
            batch = next(self._batches, None)
        except self._arrow.ArrowException as error:
            raise ValueError(str(error)) from error
        return None if batch is None else batch.to_pylist()


class ParquetWriter:
    """Rows on their way into a file, whose pieces ``write`` takes.

    ``schema``, one of pyarrow, says which columns there are, and of which type; without one the first ``_ROWS`` do, and
    a column that has nothing but None there is of texts.
    """

    def __init__(self, write: Callable[[bytes], object], schema: Any = None) -> None:
        self._arrow, self._parquet = extra("pyarrow", "parquet"), extra("pyarrow.parquet", "parquet")
        self._sink = _Sink(write)
        self._schema = schema
        rows = f"none of the first {_ROWS} rows, which name the columns, has"
        self._lacking = rows if schema is None else "the schema lacks"
        self._writer: Any = None
        self._rows: list[dict[str, Any]] = []

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take rows, and write those that make a group."""
        self._rows += rows
        while len(self._rows) >= _ROWS:
            self._write(self._rows[:_ROWS])
            del self._rows[:_ROWS]

    def end(self) -> None:
        """Write what is left. No rows make a file without columns."""
        if self._rows or self._writer is None:
            self._write(self._rows)
        self._writer.close()

    def _write(self, rows: list[dict[str, Any]]) -> None:
        arrow = self._arrow
        try:
            if self._writer is None:
                if self._schema is None:
                    self._schema = self._found(rows)
                self._writer = self._parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
            known = set(self._schema.names)
            for row in rows:
                if not row.keys() <= known:
                    other = next(name for name in row if name not in known)
                    raise ValueError(f"{self._lacking} {other!r}")
            self._writer.write_table(arrow.Table.from_pylist(rows, schema=self._schema))
        except arrow.ArrowException as error:
            raise ValueError(str(error)) from error

    def _found(self, rows: list[dict[str, Any]]) -> Any:
        arrow = self._arrow
        names = dict.fromkeys(chain.from_iterable(rows))
        found = arrow.Table.from_pydict({name: [row.get(name) for row in rows] for name in names}).schema
        text = arrow.string()
        return arrow.schema([arrow.field(one.name, text) if one.type == arrow.null() else one for one in found])


class _Sink:
    """A file as pyarrow wants to see one."""

    closed = False

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        data = bytes(data)
        self._write(data)
        return len(data)

    def flush(self) -> None:
        """What takes the pieces does so when it likes."""
