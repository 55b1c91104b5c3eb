"""The command: its options, its parts one after the other, and the last word."""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from asyncconn.cli.demo import datorama, limits, panoply, streams, tcup
from asyncconn.cli.demo.seattle import default_data, load
from asyncconn.cli.options import SenderName
from asyncconn.cli.output import console
from asyncconn.errors import ConfigError
from asyncconn.sandbox import Faults

__all__ = ["demo"]


def demo(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Folder of the CSV files, instead of those packaged.")
    ] = None,
    faults: Annotated[
        str,
        typer.Option(
            "--faults", metavar="SCRIPT", help="What goes wrong at the server, such as 'status:503*2, drop_after'."
        ),
    ] = "",
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="N", help="Trickle N records in per second, so that their age can be seen."),
    ] = None,
    sender: Annotated[SenderName, typer.Option("--sender", help="How messages go to the queue.")] = SenderName.FORM,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")] = False,
) -> None:
    """Stream 10,220 real records into the embedded sandbox and check, by SQL, that every one landed.

    Then read and process 200 data streams of an embedded Datorama under its cap, connect an embedded Atoti session to
    its Limits server to find the breach of a limit, let an embedded TCUP route the hot days and compute their mean, and
    let sensors publish over connections that break, with a bridge into Panoply and a viewer.
    Needs no account and no network. Ends with 1 if anything is missing or different.
    """
    if rate is not None and not rate > 0:
        raise ConfigError(f"--rate must be more than 0 records per second, not {rate:g}")
    records = load(default_data() if data is None else data)
    script = Faults.parse(faults)
    out = console()
    if not as_json:
        panoply.announce(out, records, sender.value, faults, rate)
    report = asyncio.run(panoply.work(records, script, rate, sender.value))
    if not as_json:
        panoply.show(out, report)
    of_datorama, of_limits = datorama.work(), asyncio.run(limits.work())
    with tempfile.TemporaryDirectory(prefix="asyncconn-") as folder:
        of_tcup = asyncio.run(tcup.work(records["weather"], Path(folder)))
    of_streams = asyncio.run(streams.work(records["weather"]))
    said = [
        (report.ok, panoply.last_word(report)),
        (of_datorama.ok, datorama.last_word(of_datorama)),
        (of_limits.ok, limits.last_word(of_limits)),
        (of_tcup.ok, tcup.last_word(of_tcup)),
        (of_streams.ok, streams.last_word(of_streams)),
    ]
    report.datorama, report.atoti_limits, report.tcup = asdict(of_datorama), asdict(of_limits), asdict(of_tcup)
    report.tcup_streams = asdict(of_streams)
    report.ok = all(ok for ok, _ in said)
    if as_json:
        print(json.dumps(asdict(report), indent=2))
    else:
        for part in (
            datorama.lines(of_datorama), limits.lines(of_limits), tcup.lines(of_tcup), streams.lines(of_streams)
        ):  # fmt: skip
            out.print(*part, sep="\n")
        # Where something failed, nothing else is praised.
        out.print(Text("\n").join(text for ok, text in said if ok is report.ok))
    raise typer.Exit(0 if report.ok else 1)
