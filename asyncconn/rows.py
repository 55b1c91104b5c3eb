"""Files of rows, in and out: JSON lines, a JSON array, CSV or Parquet, by how the name ends; ``.gz`` is gzip.

    >>> await save_rows("series.csv.gz", acme.series())
    >>> await acme.points.deliver(read_rows("points.jsonl"))

Files are read and written in a thread, a piece at a time.
"""

from __future__ import annotations

import csv
import io
import os
import zlib
from collections.abc import AsyncIterable, Iterable, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar, Unpack

from asyncconn.core.closing import each
from asyncconn.core.files import PartialFile
from asyncconn.core.parquet import ParquetWriter
from asyncconn.core.paths import file_path
from asyncconn.core.progress import OnProgress, Progress, telling
from asyncconn.core.row_files import NoRows, Problem, RowFile
from asyncconn.core.row_formats import form_of_name
from asyncconn.core.text_files import header_problem
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError, InvalidRecord
from asyncconn.http.outgoing import json_body, query_text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from asyncconn.core.row_files import FileForm, RowOptions

__all__ = ["read_rows", "save_into", "save_rows"]

_PIECE = 256 * 1024  # bytes that are written at a time
_ROWS = 1000  # rows of Parquet that are handed on at a time

T = TypeVar("T")


async def read_rows(path: str | os.PathLike[str], **how: Unpack[RowOptions]) -> AsyncGenerator[dict[str, Any], None]:
    """The rows of a file: CSV (with a header; all values are texts), JSON lines, one JSON array of objects, or Parquet.

        >>> async for row in read_rows("points.jsonl"): ...
        >>> async for row in read_rows("export", form="csv", types=True, delimiter=";", encoding="cp1252"): ...

    The name says which (``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson``, ``.json``, ``.parquet``), else the first
    character. The delimiter, UTF-8 or UTF-16, and gzip are found. ``types=True`` makes numbers, truth values and nulls
    of what looks like them in CSV. A number is a ``Decimal`` where neither int nor float has all its digits. The file
    is closed when the loop is left. Parquet takes the extra ``parquet``.

    Raises ``ConfigError`` for a file that cannot be read, ``InvalidRecord`` for a row that cannot, with its line and,
    as ``index``, how many rows are before it.
    """
    file = file_path(path, "the file of rows")
    reading = RowFile(file, **how)
    count = 0
    try:
        await _on_disk(file, "read", reading.open)
        pieces = reading.pieces()
        while (some := await _on_disk(file, "read", next, pieces, None)) is not None:
            for row in some:
                if isinstance(row, NoRows):
                    return
                if isinstance(row, Problem):
                    raise InvalidRecord(f"{file}:{row.line}: {row.what}", index=count)
                yield row.record
                count += 1
    finally:
        await in_thread(reading.close)


async def _on_disk(file: Path, what: str, work: Callable[..., T], *args: Any) -> T:
    """Do something with a file, in a thread."""
    try:
        return await in_thread(work, *args)
    except BrokenPipeError:
        raise  # whoever reads the other end has gone: nothing is wrong here
    except OSError as error:
        raise ConfigError(f"{file} cannot be {what}: {error.strerror or error}") from error


def _is_parquet(file: Path) -> bool:
    return file.name.lower().endswith(".parquet")


# -- saving ------------------------------------------------------------------------------------------------------------


async def save_rows(
    path: str | os.PathLike[str] | BinaryIO,
    rows: AsyncIterable[Mapping[str, Any]] | Iterable[Mapping[str, Any]],
    *,
    form: FileForm | None = None,
    columns: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> int:
    """Save rows as ``path``, which appears, or changes, when all are there; returns how many.

        >>> await save_rows("series.jsonl", acme.series())
        >>> await save_rows(sys.stdout.buffer, acme.series(), form="csv", columns=["id", "value"])

    An open binary stream is written to, and left open. The name says how, unless ``form`` does: ``.jsonl`` or
    ``.ndjson``, ``.json`` (one array), ``.csv`` or ``.tsv``; with ``.gz`` after that, gzip; or ``.parquet`` (the extra
    ``parquet``), where the first 10,000 rows say which columns there are, and of which types. The columns of CSV are
    ``columns``, else those of the first row; None and what a row lacks are empty there, true and false are words, and
    objects and lists are JSON. ``rows`` is closed when it has been read, or cannot be saved.
    ``on_progress`` hears of rows, whenever some are written.

    Raises ``ConfigError`` for a name that says nothing, a file that cannot be written, and a row that cannot be saved
    (no mapping, no JSON, a column that the first row did not have), with its number; and what ``rows`` raises. Whatever
    is raised, a file that was there before stays as it was.
    """
    return await save_into(_partial(path), rows, form=form, columns=columns, on_progress=on_progress)


async def save_into(
    partial: PartialFile,
    rows: AsyncIterable[Mapping[str, Any]] | Iterable[Mapping[str, Any]],
    *,
    form: FileForm | None = None,
    columns: Sequence[str] = (),
    schema: Any = None,
    on_progress: OnProgress | None = None,
) -> int:
    """As :func:`save_rows`, into a file that somebody else has made; ``schema`` is one of pyarrow, for Parquet."""
    file = partial.path
    form = form or ("parquet" if _is_parquet(file) else form_of_name(file.name))
    saving = _SavingParquet(partial, schema) if form == "parquet" else _Saving(partial, form, columns)
    tell = telling(on_progress, f"saving {file.name}") or _nobody
    count = 0
    try:
        await _on_disk(file, "written", partial.open)
        async with aclosing(each(rows)) as every:
            async for row in every:
                count += 1
                if not isinstance(row, Mapping):
                    wrong = f"it is {type(row).__name__}, not a mapping from name to value"
                    raise ConfigError(f"{file}: row {count} cannot be saved: {wrong}")
                try:
                    full = saving.add(row)
                except ConfigError as error:
                    wrong = error.message.removeprefix("the body is not JSON: ")
                    raise ConfigError(f"{file}: row {count} cannot be saved: {wrong}") from None
                if full:
                    await _on_disk(file, "written", saving.write)
                    tell(Progress(count, None, "rows"))
        await _on_disk(file, "written", saving.end)
        tell(Progress(count, count, "rows"))
    finally:
        await in_thread(partial.discard)
    return count


def _nobody(now: Progress) -> None:
    pass


def _partial(path: str | os.PathLike[str] | BinaryIO) -> PartialFile:
    if isinstance(path, str | bytes | os.PathLike) or not hasattr(path, "write"):
        return PartialFile(file_path(path, "the file of rows"))
    return _Stream(path)


class _Stream(PartialFile):
    """A stream that is open, and stays so: what is written is there at once."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(Path(str(getattr(stream, "name", "the stream"))))
        self._stream = stream

    def open(self) -> None:
        pass

    def write(self, pieces: Iterable[bytes]) -> None:
        self._stream.writelines(pieces)

    def finish(self) -> None:
        self._stream.flush()


class _Saving:
    """Rows as text, on their way into a file; ``add`` says when it is time to ``write``, which blocks."""

    def __init__(self, partial: PartialFile, form: FileForm | None, columns: Sequence[str]) -> None:
        name = partial.path.name.lower()
        if form is None:
            endings = ".jsonl, .ndjson, .json, .csv or .tsv, or .gz too, or in .parquet"
            raise ConfigError(f"{partial.path}: the name of a file of rows ends in {endings}")
        self._encoder: _Encoder = (
            _JsonLines() if form == "jsonl" else _JsonArray() if form == "json" else _Csv(_delimiter(name), columns)
        )
        self._partial = partial
        self._zipped = zlib.compressobj(wbits=16 + zlib.MAX_WBITS) if name.endswith(".gz") else None
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, row: Mapping[str, Any]) -> bool:
        self._pieces.append(self._encoder.row(row))
        self._size += len(self._pieces[-1])
        return self._size >= _PIECE

    def write(self) -> None:
        pieces, self._pieces, self._size = self._pieces, [], 0
        self._partial.write(pieces if self._zipped is None else [self._zipped.compress(b"".join(pieces))])

    def end(self) -> None:
        self._pieces.append(self._encoder.end())
        self.write()
        if self._zipped is not None:
            self._partial.write([self._zipped.flush()])
        self._partial.finish()


class _SavingParquet:
    """As :class:`_Saving`."""

    def __init__(self, partial: PartialFile, schema: Any) -> None:
        self._partial = partial
        self._writer = ParquetWriter(lambda data: partial.write([data]), schema)
        self._rows: list[dict[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> bool:
        self._rows.append(dict(row))
        return len(self._rows) >= _ROWS

    def write(self) -> None:
        rows, self._rows = self._rows, []
        with _told(self._partial.path):
            self._writer.add(rows)

    def end(self) -> None:
        self.write()
        with _told(self._partial.path):
            self._writer.end()
        self._partial.finish()


@contextmanager
def _told(file: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{file} cannot be saved: {error}") from error


class _Encoder(Protocol):
    """Rows as bytes; ``ConfigError`` for one that cannot be written so."""

    def row(self, row: Mapping[str, Any]) -> bytes: ...

    def end(self) -> bytes: ...


class _JsonLines:
    def row(self, row: Mapping[str, Any]) -> bytes:
        return json_body(dict(row)) + b"\n"

    def end(self) -> bytes:
        return b""


class _JsonArray:
    def __init__(self) -> None:
        self._before = b"[\n"

    def row(self, row: Mapping[str, Any]) -> bytes:
        before, self._before = self._before, b",\n"
        return before + json_body(dict(row))

    def end(self) -> bytes:
        return b"[]\n" if self._before == b"[\n" else b"\n]\n"


class _Csv:
    """A line that names the columns, and one for each row."""

    def __init__(self, delimiter: str, columns: Sequence[str]) -> None:
        self._text = io.StringIO(newline="")
        # With this end of a line, a cell that holds either half of it is quoted.
        self._writer = csv.writer(self._text, delimiter=delimiter, lineterminator="\r\n")
        self._columns: list[str] = []
        if columns:
            self._name(columns)

    def _name(self, names: Iterable[Any]) -> None:
        given = list[Any](names)
        if strange := [name for name in given if not isinstance(name, str)]:
            raise ConfigError(f"a column is called {strange[0]!r}, which is no text")
        if wrong := header_problem(given):
            raise ConfigError(wrong)
        self._columns = given
        self._writer.writerow(given)

    def row(self, row: Mapping[str, Any]) -> bytes:
        if not self._columns:
            self._name(row)
        elif len(row) > len(self._columns) or not row.keys() <= set(self._columns):
            other = next(name for name in row if name not in self._columns)
            raise ConfigError(f"it has the column {other!r}, and the first row, which named the columns, had not")
        self._writer.writerow([_cell(row.get(name), name) for name in self._columns])
        return self.end()

    def end(self) -> bytes:
        """What has not been handed on: a line, or of no rows the names of their columns."""
        line = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        try:
            return line.encode()
        except UnicodeEncodeError:
            pass
        raise ConfigError("it holds half a character (a lone surrogate)")


def _delimiter(name: str) -> str:
    return "\t" if name.removesuffix(".gz").endswith(".tsv") else ","


def _cell(value: Any, name: str) -> str:
    if type(value) is str:
        return value
    if value is None:
        return ""
    return json_body(value).decode() if isinstance(value, dict | list | tuple) else query_text(value, name)
