"""What one ``read`` of a source returned, as rows. Contract: panoply sections 6 (return forms), 8 (record groups)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asyncconn.panoply.errors import RowRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["rows_of"]

_CHUNKS = (str, bytes, bytearray, memoryview)


def rows_of(returned: Any, read: int, tag: str) -> Iterator[tuple[Any, Mapping[str, Any] | None]]:
    """Each row, with the fields that stand outside of it: those of a record group's or a raw row's ``metadata``.

    A list holds rows, raw rows and record groups; one of the latter two may come alone. A chunk of a file, text or
    bytes, becomes a raw row: Base64 of its bytes (text as UTF-8), ``tag``, and which ``chunk`` it is: the number
    ``read`` of the call that returned it. An empty chunk is no row.

    Raises ``RowRefused`` for anything else.
    """
    if isinstance(returned, _CHUNKS):
        return _chunk(returned, read, tag)
    if is_group(returned) or is_raw(returned):
        returned = [returned]
    elif not isinstance(returned, list | tuple):
        what = type(returned).__name__
        raise RowRefused(f"read {read} returned a {what}: return a list of rows, or None at the end", read=read, row=0)
    return _rows(returned)


def _chunk(chunk: Any, read: int, tag: str) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    data = chunk.encode("utf-8", "surrogatepass") if isinstance(chunk, str) else bytes(chunk)
    if data:
        metadata = {"chunk": read}
        yield {"type": "raw", "tag": tag, "raw": base64.b64encode(data).decode("ascii"), "metadata": metadata}, metadata


def _rows(returned: list[Any] | tuple[Any, ...]) -> Iterator[tuple[Any, Mapping[str, Any] | None]]:
    for row in returned:
        if is_group(row):
            for member in row["data"]:
                yield member, row["metadata"]
        elif is_raw(row):
            yield row, row["metadata"]
        else:
            yield row, None


def is_raw(value: Any) -> bool:
    """Whether it is what ``DataSource.raw`` makes."""
    return isinstance(value, Mapping) and value.get("type") == "raw" and isinstance(value.get("metadata"), Mapping)


def is_group(value: Any) -> bool:
    """Whether it is what ``to_record`` makes."""
    return (
        isinstance(value, Mapping)
        and value.keys() == {"data", "metadata"}
        and isinstance(value["data"], list)
        and isinstance(value["metadata"], Mapping)
    )
