"""The command: its options, its parts one after the other, and the last word."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from asyncconn.cli.demo import datorama, killed, limits, panoply, source, streams, tcup
from asyncconn.cli.demo.part import screen, verdicts
from asyncconn.cli.demo.recording import recorded
from asyncconn.cli.demo.report import report_page
from asyncconn.cli.demo.seattle import default_data, load
from asyncconn.cli.options import SenderName
from asyncconn.core.extras import needed
from asyncconn.core.files import PartialFile, replace_file
from asyncconn.errors import ConfigError
from asyncconn.sandbox import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncconn.cli.demo.seattle import Record

__all__ = ["demo"]


def demo(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Folder of the CSV files, instead of those packaged.")
    ] = None,
    faults: Annotated[
        str,
        typer.Option(
            "--faults",
            metavar="SCRIPT",
            help="What goes wrong at Panoply, for records and the source: 'status:503*2, drop_after'.",
        ),
    ] = "",
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="N", help="Trickle N records in per second, so that their age can be seen."),
    ] = None,
    sender: Annotated[SenderName, typer.Option("--sender", help="How messages go to the queue.")] = SenderName.FORM,
    page: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", help="Also kill a program that writes, and draw all of it as a page of HTML."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")] = False,
) -> None:
    """Stream 10,220 real records into the embedded sandbox and check, by SQL, that every one landed.

    Then run a data source that breaks off, read and process 200 data streams of an embedded Datorama under its cap,
    connect an embedded Atoti session to its Limits server to find the breach of a limit, let an embedded TCUP route the
    hot days and compute their mean, and let sensors publish over connections that break, with a bridge into Panoply and
    a viewer. Needs no account and no network. Ends with 1 if anything is missing or different.
    """
    if rate is not None and not rate > 0:
        raise ConfigError(f"--rate must be more than 0 records per second, not {rate:g}")
    records = load(default_data() if data is None else data)
    script = Faults.parse(faults)
    if page is not None:
        _check_page(page)
    out = screen()
    if not as_json:
        panoply.announce(out, records, sender.value, faults, rate)
    with recorded() as recording:
        report = asyncio.run(panoply.work(records, script, rate, sender.value))
        if not as_json:
            panoply.show(out, report)
        said = [panoply.last_word(report)]
        for name, work, part in _others(records, faults, kill=page is not None):
            found = work()
            said.append(part.last_word(found))
            setattr(report, name, asdict(found))
            if not as_json:
                out.print(*part.lines(found), sep="\n")
    report.ok = all(one.ok for one in said)
    if as_json:
        print(json.dumps({**asdict(report), "verdicts": [asdict(one) for one in said]}, indent=2))
    else:
        out.print(verdicts(said))
    if page is not None:  # last, as a disk may be full by now
        replace_file(page, report_page(recording, said).encode())
        if not as_json:
            out.print(Text(f"\nThe figures are in {page}."))
    raise typer.Exit(0 if report.ok else 1)


def _check_page(page: Path) -> None:
    """Raise ``ConfigError`` where it cannot be drawn or written: before the work."""
    needed("matplotlib", "report")
    tried = PartialFile(page)
    try:
        if page.is_dir() or not page.absolute().parent.is_dir():
            why = "it is a folder" if page.is_dir() else "there is no such folder"
            raise ConfigError(f"--report: {page} cannot be written: {why}")
        if page.is_file() or not page.exists():  # a pipe would wait for its reader
            tried.open()
    except OSError as error:
        raise ConfigError(f"--report: {page} cannot be written: {error.strerror}") from error
    finally:
        tried.discard()


def _others(
    records: dict[str, list[Record]], faults: str, *, kill: bool
) -> Iterator[tuple[str, Callable[[], Any], Any]]:
    """The parts after the first: the name in the report, the work, and the module that tells of it."""
    weather = records["weather"]
    with tempfile.TemporaryDirectory(prefix="asyncconn-") as name:
        folder = Path(name)
        hours, script = records["temperatures"], Faults.parse(faults)
        yield "source", lambda: asyncio.run(source.work(hours, script, folder)), source
        yield "datorama", datorama.work, datorama
        yield "atoti_limits", lambda: asyncio.run(limits.work()), limits
        yield "tcup", lambda: asyncio.run(tcup.work(weather, folder)), tcup
        yield "tcup_streams", lambda: asyncio.run(streams.work(weather)), streams
        if kill:
            yield "killed", lambda: asyncio.run(killed.work(folder)), killed
