"""Observations as CSV files, up in the long and the wide form, down in the long one.

Contract: tcup sections 1.8, 2.7, 13.21 and 13.22.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.tcup.observations import moment
from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from asyncconn.sandbox.tcup.observations import Record

__all__ = ["COLUMNS", "Line", "read_lines", "written"]

COLUMNS = ("sensor", "feature", "starttime", "endtime", "name", "value", "type", "unit")
_COMMON = COLUMNS[:4]
_ROWS_A_PIECE = 500

#: The number of a row's last line (the header's is 1), and the observation that it says or why it says none.
Line = tuple[int, "dict[str, Any] | Refused"]


def read_lines(data: bytes, *, ignore_unknown: bool) -> Iterator[Line]:
    """An observation for each row. Raises 400 for what is no such file as a whole."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(400, "the file is not UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        titles = [title.strip() for title in next(reader)]
    except (StopIteration, csv.Error):
        raise Refused(400, "the file has no header") from None
    known = {title.lower(): place for place, title in enumerate(titles)}
    if len(known) < len(titles):
        raise Refused(400, "a column is there twice")
    # Both of them make it the long form, where no other columns have a meaning.
    is_long = {"name", "value"} <= known.keys()
    required = ("sensor", "starttime", "name", "value") if is_long else ("sensor", "starttime")
    if missing := [name for name in required if name not in known]:
        raise Refused(400, f"columns are missing: {', '.join(missing)}")
    unknown = [title for title in titles if title.lower() not in COLUMNS]
    if is_long and unknown and not ignore_unknown:
        raise Refused(400, f"columns are unknown: {', '.join(unknown)}")
    return _lines(reader, titles, known, is_long)


def _lines(reader: Any, titles: Sequence[str], known: dict[str, int], is_long: bool) -> Iterator[Line]:
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, Refused(400, str(error))
            continue
        if not row:
            continue
        if len(row) != len(titles):
            yield reader.line_num, Refused(400, f"{len(row)} cells, where the header has {len(titles)}")
            continue
        cells = {name: row[place] for name, place in known.items()}
        outputs = [_long_output(cells)] if is_long else _wide_outputs(titles, row)
        yield reader.line_num, _observation(cells, [output for output in outputs if output["value"] != ""])


def _long_output(cells: dict[str, str]) -> dict[str, Any]:
    return {name: cells[name] for name in ("name", "value", "type", "unit") if cells.get(name) or name == "value"}


def _wide_outputs(titles: Sequence[str], row: Sequence[str]) -> list[dict[str, Any]]:
    pairs = zip(titles, row, strict=True)
    return [{"name": title, "value": cell} for title, cell in pairs if title.lower() not in _COMMON]


def _observation(cells: dict[str, str], outputs: list[dict[str, Any]]) -> dict[str, Any]:
    times = {name: cells[name].strip() for name in ("starttime", "endtime") if cells.get(name, "").strip()}
    feature = {"feature": cells["feature"]} if cells.get("feature") else {}
    return {"sensor": cells["sensor"], **feature, "record": [{**times, "output": outputs}]}


def written(found: Iterable[tuple[Record, list[str]]]) -> Iterator[bytes]:
    """The file in pieces: its header, then a row for each output."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, (record, names) in enumerate(found, start=1):
        end = "" if record.end is None else moment(record.end)
        for name in names:
            value, kind, unit = record.outputs[name]
            cell = value if isinstance(value, str) else json.dumps(value)
            start = moment(record.key.start)
            writer.writerow((record.key.sensor, record.key.feature or "", start, end, name, cell, kind, unit or ""))
        if number % _ROWS_A_PIECE == 0:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode("utf-8", "replace")
