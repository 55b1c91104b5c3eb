"""The part of ``asyncconn demo --report`` that kills a program which writes through a spool, and lets one go on."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asyncconn.cli.demo.part import Part, Verdict
from asyncconn.cli.demo.recording import mark
from asyncconn.cli.output import count, table
from asyncconn.core.tasks import reap
from asyncconn.sandbox import PanoplyWorld, Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from rich.console import RenderableType

__all__ = ["KilledReport", "last_word", "lines", "work"]

RECORDS = 4_000
_LOOKS = 0.05  # seconds between two looks into the warehouse
_TABLE = "steps"


@dataclass
class KilledReport(Part):
    """What was ``accepted``, and what had ``landed_before``, when the first program was killed; what ``landed`` then.

    ``twice`` are those that arrived twice, and are one by their id.
    """

    records: int = RECORDS
    accepted_before: int = 0
    landed_before: int = 0
    landed: int = 0
    twice: int = 0


async def work(folder: Path) -> KilledReport:
    """Run both programs, beside the sandbox that they write to. ``folder`` is for the spool."""
    report = KilledReport()
    with report.at_work():
        async with Sandbox(PanoplyWorld(), seed=1) as sandbox:
            looking = asyncio.create_task(_look(sandbox), name="asyncconn:demo:look")
            try:
                await _programs(sandbox, folder / "records.spool", report)
            finally:
                await reap([looking])
            mark("kill/landed", _landed(sandbox))
            report.landed = _landed(sandbox)
            report.twice = sandbox.panoply.counters.records - report.landed
        report.judge(
            (report.landed != RECORDS, f"{count(RECORDS - report.landed, 'record')} missing"),
            (not report.landed_before < RECORDS, "nothing was left when it was killed"),
        )
    return report


async def _programs(sandbox: Sandbox, spool: Path, report: KilledReport) -> None:
    first = await _started(sandbox, 0, spool)
    async for accepted in _told(first):
        if _landed(sandbox) * 5 >= RECORDS * 2:
            first.kill()
            report.accepted_before, report.landed_before = accepted, _landed(sandbox)
            mark("kill/killed", accepted)
            break
    await first.wait()
    second = await _started(sandbox, report.accepted_before, spool)
    async for _ in _told(second):
        pass
    await second.wait()


async def _started(sandbox: Sandbox, begin: int, spool: Path) -> asyncio.subprocess.Process:
    program = Path(__file__).with_name("writing.py")  # by itself: it need not wait for all that a demonstration loads
    words = ["-P", str(program), str(begin), str(RECORDS), str(spool)]
    env = {**os.environ, **sandbox.env}
    return await asyncio.create_subprocess_exec(sys.executable, *words, env=env, stdout=asyncio.subprocess.PIPE)


async def _told(program: asyncio.subprocess.Process) -> AsyncIterator[int]:
    """How many records a program has accepted, each time that it tells."""
    if program.stdout is None:
        return
    async for line in program.stdout:
        said = json.loads(line)
        if "age" in said:
            mark("kill/age", said["age"])
        else:
            mark("kill/accepted", said["accepted"])
            yield said["accepted"]


def _landed(sandbox: Sandbox) -> int:
    return sandbox.panoply.tables().get(_TABLE, 0)


async def _look(sandbox: Sandbox) -> None:
    while True:
        mark("kill/landed", _landed(sandbox))
        await asyncio.sleep(_LOOKS)


def lines(report: KilledReport) -> Iterator[RenderableType]:
    """For the screen."""
    rows = [
        (
            "write through a spool, and be killed",
            f"{report.accepted_before:,} accepted, {report.landed_before:,} landed",
        ),
        ("go on in another program", f"{report.landed:,} of {report.records:,} landed, {report.twice:,} came twice"),
    ]
    yield table("Panoply: a program that is killed, and one that goes on", ("step", "result"), rows)


def last_word(report: KilledReport) -> Verdict:
    """The verdict."""
    good = f"{count(report.accepted_before, 'record')} accepted when it was killed, and all {RECORDS:,} landed"
    return Verdict("kill and resume", report.ok, good if report.ok else "; ".join(report.wrong), report.seconds)
