"""``asyncconn tcup sensors | register | observe | query``: what observes, and what was seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from asyncconn.cli.options import STANDARD, FileForm, Input, Output
from asyncconn.cli.output import SHOWN, complain, count, error, plain, remark
from asyncconn.cli.sheets import Sheet, record
from asyncconn.cli.tcup.common import Where, local, moment, pairs
from asyncconn.core.row_files import Problem, RowFile, infer
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError
from asyncconn.tcup import Pattern, Sensor
from asyncconn.tcup.csv_files import CsvReport
from asyncconn.tcup.rows import COLUMNS
from asyncconn.tcup.times import SOS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from asyncconn import Tcup
    from asyncconn.tcup import ItemResult
    from asyncconn.tcup.inserting import InsertReport

__all__ = ["observe", "query", "register", "sensors"]

_SENSOR = ("name", "type", "feature", "output", "components", "description", "metadata")

Feature = Annotated[str | None, typer.Option("--feature", metavar="NAME", help="The real thing that is observed.")]


# -- sensors -----------------------------------------------------------------------------------------------------------


def sensors(where: Where, to: Output) -> None:
    """List the sensors, with what each puts out."""

    async def work(tcup: Tcup) -> list[Sensor]:
        return await tcup.sensors.list().collect()

    found = where.run(work)
    rows = [record(one, _SENSOR) for one in found]
    if to.shown:
        for row, one in zip(rows, found, strict=True):
            row[_SENSOR.index("output")] = ", ".join(output.name for output in one.output)
    shown = {"sensor": "name", "type": "type", "feature": "feature", "outputs": "output"}
    to.put(Sheet("sensor", _SENSOR, rows, shown))


def register(
    where: Where,
    sensor: Annotated[str, typer.Argument(metavar="SENSOR", help="The name of the sensor.")],
    outputs: Annotated[
        list[str], typer.Argument(metavar="OUTPUT:TYPE[:UNIT]...", help="What it puts out, such as obs2:quantity:Cel.")
    ],
    feature: Feature = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="In words.")] = None,
) -> None:
    """Register a sensor. A type is text, count, quantity, boolean or time."""
    given = dict(_output(text) for text in outputs)
    more = {"feature": feature, "description": description}
    made = Sensor.atomic(sensor, given, **{name: value for name, value in more.items() if value is not None})

    async def work(tcup: Tcup) -> ItemResult:
        return await tcup.sensors.create(made)

    where.run(work)
    remark(plain(f"{sensor} is registered"), result=True)


def _output(text: str) -> tuple[str, tuple[str, ...]]:
    name, *said = text.split(":")
    if not name or not 1 <= len(said) <= 2 or not all(said):
        raise ConfigError(f"an output is such as obs2:quantity or obs2:quantity:Cel, not {text!r}")
    return name, tuple(said)


# -- observe -----------------------------------------------------------------------------------------------------------


def observe(
    where: Where,
    many: Input,
    sensor: Annotated[str | None, typer.Argument(metavar="[SENSOR]", help="What has observed.")] = None,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[OUTPUT=VALUE]...", help="What; a number is what looks like one.")
    ] = None,
    feature: Feature = None,
    time: Annotated[str | None, typer.Option("--time", metavar="TIME", help="When; else now.")] = None,
    routing: Annotated[
        Literal["db", "mq", "both"] | None,
        typer.Option("--routing", help="To the store, to message routing, or both; else the server decides."),
    ] = None,
    form: Annotated[
        FileForm, typer.Option("--format", "-f", help="What is in FILE; auto goes by its name, else its beginning.")
    ] = FileForm.AUTO,
) -> None:
    """Store one observation, or those of a file: what `query` writes, or CSV with a column for each output.

    CSV has the columns sensor and starttime, may have feature and endtime, and name and value, or the outputs' names.

    JSON lines are rows with these names, or observations as SOS has them. A time is ISO 8601 or as SOS writes it.

    What is refused is named by its line, and the rest goes on.

    Status: 0 all stored, 1 not all stored (a line cannot be read, too), 2 bad input: nothing was sent.
    """
    if many.file is not None:
        if sensor is not None or values or feature is not None or time is not None:
            raise ConfigError("give an observation, or a file of them: not both")
        if many.file != STANDARD and not many.file.is_file():
            raise ConfigError(f"there is no file {many.file}")
        name = "<stdin>" if many.file == STANDARD else str(many.file)
        with local(many.file) as path:
            raise typer.Exit(_tell(name, _store(where, path, form, routing)))
    if sensor is None or not values:
        raise ConfigError("give a sensor and what it has observed, or --file")
    seen = {output: infer(value) for output, value in pairs(values, "an observation").items()}
    when = moment(time, "--time")
    where.run(lambda tcup: tcup.observations.insert(sensor, seen, feature, time=when, routing=routing))
    remark("1 observation stored", result=True)


def _store(where: Where, path: Path, form: FileForm, routing: Any) -> InsertReport:
    given: Any = None if form is FileForm.AUTO else form.value
    with RowFile(path, form=given).open() as file:
        if file.form != "csv":
            return where.run(lambda tcup: tcup.observations.insert_many(_lines(file), routing=routing))
    if routing is not None:
        raise ConfigError("--routing is not for CSV: the server decides")
    return where.run(lambda tcup: tcup.observations.upload_csv(path))


class _Line(dict[str, Any]):
    """A row that knows where it came from."""

    number = 0


async def _lines(file: RowFile) -> AsyncIterator[_Line]:
    pieces = file.pieces()
    while (some := await in_thread(next, pieces, None)) is not None:
        for row in some:
            # A line that cannot be read is rejected as what it is then: no observation.
            line = _Line({"problem": row.what} if isinstance(row, Problem) else row.record)
            line.number = row.line
            yield line


def _tell(name: str, report: InsertReport) -> int:
    """Say what became of the rows; the status."""
    bad = [(one.number, one.message) for one in report.bad_lines] if isinstance(report, CsvReport) else _bad(report)
    for number, why in bad[:SHOWN]:
        complain(plain(f"{name}:{number}: {why}"))
    if report.rejected > SHOWN:
        complain(f"and {report.rejected - SHOWN:,} more")
    remark(f"{report.delivered:,} of {count(report.accepted, 'observation')} stored", result=True)
    for number, words in (
        (report.rejected, "refused"),
        (report.failed, "not stored"),
        (report.unknown, "unknown: the answer was lost; look before they are sent again"),
    ):
        if number:
            error(f"{number:,} {words}")
    for failure in report.failures:
        if failure.__cause__ is not None:
            error(str(failure.__cause__))
    return 0 if report.delivered == report.accepted else 1


def _bad(report: InsertReport) -> list[tuple[int, str]]:
    return [(one.record.number, one.record.get("problem") or _why(one.reason)) for one in report.rejections]


def _why(reason: Any) -> str:
    return str(getattr(reason, "message", "") or getattr(reason, "status", "") or reason)


# -- query -------------------------------------------------------------------------------------------------------------


def query(
    where: Where,
    to: Output,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SENSOR]...", help="Of these; * in a name is any text.")
    ] = None,
    feature: Annotated[
        list[str] | None, typer.Option("--feature", metavar="NAME", help="Of this thing; repeat for more.")
    ] = None,
    properties: Annotated[
        list[str] | None, typer.Option("--property", "-p", metavar="NAME", help="Only this output; repeat for more.")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="From then on.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="TIME", help="Until then, excluded.")] = None,
    condition: Annotated[
        list[str] | None, typer.Option("--where", metavar="CONDITION", help="Such as 'obs2>10'; repeat for more.")
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="Of each sensor and feature only the newest.")] = False,
) -> None:
    """Show observations, a row for each value. What it writes is what `observe --file` reads.

    A time is ISO 8601 or as the platform writes it. Status: 0 all ok, 1 it failed, 2 bad input.
    """
    if latest and (start or end or condition):
        raise ConfigError("--latest goes without --start, --end and --where")
    asked: dict[str, Any] = {"sensor": _patterns(names), "feature": _patterns(feature), "properties": properties}
    span = {"start": moment(start, "--start"), "end": moment(end, "--end")}

    async def work(tcup: Tcup) -> list[dict[str, Any]]:
        if latest:
            return await tcup.observations.latest(**asked)
        return await tcup.observations.query(**asked, **span, where=condition).collect()  # type: ignore[arg-type] # each as its name says

    rows = [[_cell(name, row[name]) for name in COLUMNS] for row in where.run(work)]
    shown = {name: name for name in ("sensor", "feature", "starttime", "name", "value", "unit")}
    to.put(Sheet("value", COLUMNS, rows, shown))


def _patterns(names: Sequence[str] | None) -> list[Pattern] | None:
    return [Pattern(name) for name in names] if names else None


def _cell(name: str, value: Any) -> Any:
    """Times as SOS writes them, which is how they are read again."""
    when: datetime | Any = value
    return SOS.write(when) if hasattr(when, "utcoffset") else value
