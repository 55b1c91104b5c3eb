"""The rows of an answer, as they come: CSV, JSON lines or a JSON array, also in a gzip file."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.core.decoding import charset_of
from asyncconn.core.row_formats import BadRow, RowReader, form_of_name
from asyncconn.errors import ConfigError, ConnectionLost, ProtocolError
from asyncconn.http.compressed import Inflater
from asyncconn.http.shapes import readied, shaped

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping

    from asyncconn.http.requesting import Requests, StreamOptions

__all__ = ["Form", "rows"]

Form = Literal["auto", "csv", "jsonl", "json"]

_FORMS = ("auto", "csv", "jsonl", "json")
_GZIP = b"\x1f\x8b"


async def rows(
    road: Requests, method: str, path: str, *, form: Form, model: Any, options: StreamOptions
) -> AsyncGenerator[Any, None]:
    """See ``Transport.rows``."""
    if form not in _FORMS:
        raise ConfigError(f"rows come as {', '.join(_FORMS)}, not {form!r}")
    name = path.partition("?")[0]
    what = f"{road.service}: {method} {name}"
    await readied(model)
    async with road.stream(method, path, **options) as stream:
        reader = _reader(form, stream.headers, name)
        number = 0
        async with aclosing(_unpacked(stream, what)) as chunks:
            async for chunk in chunks:
                for row in _told(reader.feed(chunk), what):
                    number += 1
                    yield row if model is None else shaped(row, model, what, f"row {number}, $")
        for row in _told(reader.end(), what):
            number += 1
            yield row if model is None else shaped(row, model, what, f"row {number}, $")


def _reader(form: Form, headers: Mapping[str, str], name: str) -> RowReader:
    """By what the answer calls itself, else by how the address ends, else by how it begins."""
    kind = headers.get("Content-Type", "")
    encoding = charset_of(kind)
    if form != "auto":
        return RowReader(form, encoding=encoding)
    kind = kind.partition(";")[0].strip().lower()
    if "csv" in kind or "tab-separated" in kind:
        return RowReader("csv", encoding=encoding)
    named = form_of_name(name)
    if "json" in kind or named in ("json", "jsonl"):  # lines or an array: servers mix up their names
        return RowReader(json=True, encoding=encoding)
    return RowReader(named, encoding=encoding)


def _told(found: Iterator[dict[str, Any]], what: str) -> Iterator[dict[str, Any]]:
    try:
        yield from found
    except BadRow as bad:
        wrong = str(bad)
    else:
        return
    raise ProtocolError(f"{what}: {wrong}")  # out here, as the error may hold what could not be read


async def _unpacked(chunks: AsyncIterable[bytes], what: str) -> AsyncGenerator[bytes, None]:
    """The chunks; of a gzip file, what is in it. Raises ``ConnectionLost`` where that is cut off or damaged."""
    inflater: Inflater | None = None
    beginning = b""
    known = False
    async for chunk in chunks:
        data = chunk
        if not known:
            beginning += chunk
            if len(beginning) < len(_GZIP):
                continue
            known, data = True, beginning
            inflater = Inflater("gzip") if beginning.startswith(_GZIP) else None
        if inflater is None:
            yield data
            continue
        try:
            for piece in inflater.feed(data):
                yield piece
        except ValueError as error:
            raise ConnectionLost(f"{what}: the gzip file is damaged: {error}") from error
    if not known:
        yield beginning
    elif inflater is not None and not inflater.complete:
        raise ConnectionLost(f"{what}: the gzip file broke off in the middle")
