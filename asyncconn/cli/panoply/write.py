"""``asyncconn panoply``: files into Panoply, all of a file or, when a line of it is bad, nothing."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, cast

import typer
from rich.text import Text

import asyncconn
from asyncconn import Hub, Panoply
from asyncconn.cli.demo import SenderName
from asyncconn.cli.output import BAD_INPUT, console, count, error, progress, size, stderr
from asyncconn.cli.readers import Format, Problem, Row, detect_format, read_records
from asyncconn.core.files import replace_file
from asyncconn.core.text_files import check_delimiter, check_encoding, find_delimiter, look_at
from asyncconn.errors import AsyncConnError, ConfigError, InvalidRecord
from asyncconn.panoply import wire
from asyncconn.panoply.encoding import TABLE, dump_record, record_encoder
from asyncconn.panoply.settings import PanoplySettings
from asyncconn.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncconn.core.buffer.memory import BatchStats, Delivery
    from asyncconn.errors import DeliveryFailed

__all__ = ["write"]

_SHOWN = 20  # problems of a file; the rest is counted
_FLUSH_SECONDS = 120.0


class FormatName(StrEnum):
    """What a file is made of."""

    AUTO = "auto"
    CSV = "csv"
    JSONL = "jsonl"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Reading:
    """How the user says that the file is to be read; None is for us to find out."""

    types: bool = False
    delimiter: str | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A file that can be read twice."""

    name: str
    stream: BinaryIO
    form: Format
    reading: Reading
    id_column: str | None

    def rows(self) -> Iterator[Row | Problem]:
        """From the beginning."""
        how = self.reading
        found = read_records(self.stream, self.form, types=how.types, delimiter=how.delimiter, encoding=how.encoding)
        for row in found:
            yield _identified(row, self.id_column) if self.id_column and isinstance(row, Row) else row

    def fingerprint(self) -> tuple[int, int]:
        """Changes when somebody writes to the file."""
        status = os.fstat(self.stream.fileno())
        return status.st_size, status.st_mtime_ns


@dataclass
class Sending:
    """How far it got."""

    table: str
    total: int
    stats: BatchStats | None = None
    failures: list[DeliveryFailed] = field(default_factory=list)
    unread: list[dict[str, Any]] = field(default_factory=list)
    given: int = 0  # records that the writer has been given; it takes some at a time
    lines: deque[int] = field(default_factory=lambda: deque(maxlen=1024))  # of the last of them

    def records(self, rows: Iterator[Row]) -> Iterator[dict[str, Any]]:
        """What to send, up to the first batch that fails: what is left then is kept, to be saved with its records."""
        for row in rows:
            if self.failures:
                self.unread = [row.record, *(rest.record for rest in rows)]
                break
            self.given += 1
            self.lines.append(row.line)
            yield row.record

    def next_line(self, accepted: int) -> int:
        """The line of the first record that was not accepted: a writer that is cancelled leaves some it was given."""
        return self.lines[accepted - self.given] if self.given > accepted else 0


def write(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file, or - for standard input.")],
    table: Annotated[str, typer.Option("--table", "-t", help="The table in the warehouse.")],
    form: Annotated[
        FormatName, typer.Option("--format", "-f", help="What is in FILE; auto goes by its name, else its beginning.")
    ] = FormatName.AUTO,
    types: Annotated[
        bool, typer.Option("--types", help="CSV: make numbers, truth values and nulls of what looks like them.")
    ] = False,
    delimiter: Annotated[
        str | None,
        typer.Option(
            "--delimiter", metavar="CHARACTER", help="CSV: what separates columns (or: tab); else it is found."
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option("--encoding", metavar="NAME", help="Of the file, such as cp1252; else UTF-8 or UTF-16, as found."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="What tells records apart; becomes their 'id'.")
    ] = None,
    endpoint_url: Annotated[
        str | None, typer.Option("--endpoint-url", metavar="URL", help="Instead of the address in the secret.")
    ] = None,
    sender: Annotated[SenderName | None, typer.Option("--sender", help="How messages go to the queue.")] = None,
    save_failed: Annotated[
        Path, typer.Option("--save-failed", metavar="FILE", help="Where records go that could not be delivered.")
    ] = Path("undelivered.jsonl"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every line, and send nothing.")] = False,
) -> None:
    """Stream a CSV, JSON lines or JSON file into a table.

    The whole input is checked first: when any line of it is bad, nothing is sent. It may be compressed with gzip.

    ASYNCCONN_PANOPLY_API_KEY and ASYNCCONN_PANOPLY_API_SECRET hold the credentials, in the environment or in .env.

    Status: 0 all delivered, 1 not all delivered, 2 bad input.
    """
    try:
        record_encoder(table)
    except InvalidRecord as problem:
        raise typer.BadParameter(problem.message, param_hint="--table") from None
    reading = Reading(
        types, _checked(check_delimiter, delimiter, "--delimiter"), _checked(check_encoding, encoding, "--encoding")
    )
    options = {"endpoint_url": endpoint_url, "sender": sender.value if sender else None}
    options = {name: value for name, value in options.items() if value is not None}
    room = _room(dry_run)
    with ExitStack() as stack:
        source = _open(file, form, reading, id_column, stack)
        before = source.fingerprint()
        total, total_bytes = _check(source, table, room)
        if dry_run:
            console().print(
                Text(f"{count(total, 'record')} ({size(total_bytes)}) would go to {table!r}; none was sent")
            )
            return
        sending = Sending(table, total)
        if total == 0:
            console().print(Text(f"{source.name} holds no records: nothing to send"))
            return
        status = _send(source, sending, options)
        changed = source.fingerprint() != before
    _report(source, sending, save_failed, interrupted=status != 0)
    if changed:
        error(f"{source.name} was changed while it was being sent; what was sent may not be what was checked")
    raise typer.Exit(status or (1 if changed or _undelivered(sending) else 0))


# -- before ------------------------------------------------------------------------------------------------------------


def _room(dry_run: bool) -> int:
    """Bytes that a record may have; fails early when there are no credentials. A dry run needs none."""
    try:
        settings = load(PanoplySettings)
        credentials = wire.parse_credentials(settings.api_key, settings.api_secret)
    except ConfigError:
        if dry_run:
            return wire.DEFAULT_MAX_MESSAGE_BYTES
        raise
    attributes = wire.message_attributes(credentials, wire.DEFAULT_CLIENT_NAME)
    return wire.DEFAULT_MAX_MESSAGE_BYTES - wire.attributes_size(attributes)


def _checked(check: Callable[[str], str], given: str | None, option: str) -> str | None:
    try:
        return None if given is None else check(given)
    except ConfigError as problem:
        raise typer.BadParameter(problem.message, param_hint=option) from None


def _open(file: str, form: FormatName, reading: Reading, id_column: str | None, stack: ExitStack) -> Source:
    """The input as something that can be read twice: what is not a file goes to a temporary one, which has no name."""
    name = "<stdin>" if file == "-" else file
    stream: BinaryIO
    try:
        stream = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))  # noqa: SIM115 - the stack closes it
        if file == "-" or not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            spool = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - so does it here
            shutil.copyfileobj(stream, spool)
            stream = spool
    except OSError as problem:
        error(f"{name}: {problem.strerror or problem}")
        raise typer.Exit(BAD_INPUT) from None
    stream.seek(0)
    found = detect_format(name, stream.read(4096)) if form is FormatName.AUTO else cast("Format", form.value)
    look = look_at(stream, reading.encoding)
    delimiter = reading.delimiter or (find_delimiter(look) if found == "csv" else None)
    if told := look.told(delimiter):
        stderr().print(Text(f"{name}: read as {found.upper() if found != 'jsonl' else 'JSON lines'}, {told}"))
    return Source(name, stream, found, reading, id_column)


def _check(source: Source, table: str, room: int) -> tuple[int, int]:
    """Records and bytes of the input, if every line is good; else name the bad ones, and exit."""
    encode = record_encoder(table)
    seen: dict[Any, int] = {}
    records = total_bytes = bad = 0
    with progress(stderr()) as bar:
        task = bar.add_task("checking", total=None, note="")
        for row in source.rows():
            found = row if isinstance(row, Problem) else _problem(row, encode, room, seen if source.id_column else None)
            if isinstance(found, Problem):
                bad += 1
                if bad <= _SHOWN:
                    bar.console.print(Text(f"{source.name}:{found.line}: {found.what}{_hint(found, source)}"))
            else:
                records, total_bytes = records + 1, total_bytes + found
                if records % 1000 == 0:
                    bar.update(task, completed=records)
        bar.update(task, completed=records, total=records)
    if bad:
        more = f", {bad - _SHOWN:,} of them not shown" if bad > _SHOWN else ""
        error(f"{count(bad, 'problem')} in {source.name}{more}; nothing was sent")
        raise typer.Exit(BAD_INPUT)
    return records, total_bytes


def _hint(problem: Problem, source: Source) -> str:
    guessed = source.reading.encoding is None and problem.what.startswith("not UTF-8")
    return " (is it in another encoding? Say --encoding cp1252, or which)" if guessed else ""


def _problem(row: Row, encode: Callable[[Any], bytes], room: int, seen: dict[Any, int] | None) -> Problem | int:
    """What would keep this record from being sent, or its size in bytes."""
    if TABLE in row.record:
        return Problem(row.line, f"{TABLE!r} is not for records to use: it names the table")
    try:
        length = len(encode(row.record)) + wire.RECORD_OVERHEAD
    except InvalidRecord as problem:
        return Problem(row.line, problem.message)
    if length > room:
        return Problem(row.line, f"the record takes {length:,} bytes as sent; a message holds {room:,}")
    if seen is not None:
        first = seen.setdefault(row.record["id"], row.line)
        if first != row.line:
            return Problem(
                row.line, f"the id {row.record['id']!r} is that of line {first} too: one would replace the other"
            )
    return length


def _identified(row: Row, column: str) -> Row | Problem:
    value = row.record.get(column)
    if isinstance(value, dict | list):
        return Problem(row.line, f"the id in {column!r} is neither a text nor a number")
    if value is None or value == "":
        return Problem(
            row.line,
            f"there is no {column!r} to be its id"
            if column not in row.record
            else f"{column!r} is empty: it is to be the id",
        )
    if row.record.get("id", value) != value:
        return Problem(row.line, f"it has an 'id' already, another one than its {column!r}")
    return Row(row.line, {"id": value, **row.record})


# -- sending -----------------------------------------------------------------------------------------------------------


def _send(source: Source, sending: Sending, options: dict[str, Any]) -> int:
    """Send; 0 when it came to its end, otherwise the exit status of what ended it."""
    writer: Panoply | None = None
    status = 0
    with progress(stderr()) as bar:
        task = bar.add_task("delivering", total=sending.total, note="")

        def arrived(delivery: Delivery) -> None:
            bar.advance(task, delivery.records)

        async def main(hub: Hub) -> None:
            nonlocal writer
            # The spool of the environment is a service's, and has one user at a time. What fails here goes to a file.
            writer = Panoply.from_env(hub=hub, **{**options, "spool": None})
            writer.on("flush", arrived)
            writer.on("error", sending.failures.append)
            rows = (row for row in source.rows() if isinstance(row, Row))
            await writer.write_many(sending.table, sending.records(rows))
            await writer.flush(_FLUSH_SECONDS)

        try:
            asyncconn.run(main)  # on a signal it delivers what was accepted
        except KeyboardInterrupt:
            status = 130
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except (AsyncConnError, OSError) as problem:
            if writer is None:
                raise
            error(problem)
            status = 1
    if writer is not None:
        sending.stats = writer.stats
    return status


# -- after -------------------------------------------------------------------------------------------------------------


def _undelivered(sending: Sending) -> list[dict[str, Any]]:
    failed = [record for failure in sending.failures for record in failure.records]
    return [{name: value for name, value in record.items() if name != TABLE} for record in failed] + sending.unread


def _report(source: Source, sending: Sending, save_failed: Path, *, interrupted: bool) -> None:
    stats = sending.stats
    if stats is None:
        error("interrupted before anything was sent")
        return
    where = f"{count(stats.batches_delivered, 'message')}, {size(stats.bytes_delivered)}"
    console().print(
        Text(f"{stats.delivered:,} of {count(sending.total, 'record')} delivered to {sending.table!r} ({where})")
    )
    if interrupted:
        told = f"interrupted: {stats.delivered:,} of {count(stats.accepted, 'accepted record')} were delivered"
        rest = sending.total - stats.accepted
        error(
            told
            + (f"; {rest:,} were not sent, from {source.name}:{sending.next_line(stats.accepted)} on" if rest else "")
        )
    records = _undelivered(sending)
    if not records:
        return
    for message in dict.fromkeys(failure.message for failure in sending.failures[:3]):
        error(message)
    if any(failure.maybe_delivered for failure in sending.failures):
        error("some of these may have arrived all the same: records with an id can be written again without harm")
    error(f"{count(len(records), 'record')} not delivered; saved to {_save(records, save_failed)}, to be written again")


def _save(records: list[dict[str, Any]], wanted: Path) -> Path:
    """As JSON lines, where nothing is yet: an earlier file may be the only copy of what it holds."""
    lines = [dump_record(record) + "\n" for record in records]
    try:
        return _written(lines, wanted)
    except OSError as problem:
        error(f"{wanted}: {problem.strerror or problem}")
        return _written(lines, Path(tempfile.gettempdir()) / wanted.name)


def _written(lines: list[str], wanted: Path) -> Path:
    number, path = 1, wanted
    while True:
        try:
            replace_file(path, "".join(lines).encode("ascii"), replace=False)
        except FileExistsError:
            number += 1
            path = wanted.with_stem(f"{wanted.stem}-{number}")
        else:
            return path
