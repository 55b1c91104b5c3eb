"""The part of ``asyncconn demo`` that is about Datorama: hundreds of streams under a cap of 60 calls a minute.

The minutes pass on a virtual clock. Sockets and calls are real, and who counts is the embedded platform.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.text import Text

from asyncconn import Datorama, Hub
from asyncconn.cli.datorama.common import span
from asyncconn.cli.datorama.watch import watching
from asyncconn.cli.demo.counting import worst_window
from asyncconn.cli.demo.part import Part, Verdict
from asyncconn.cli.demo.recording import mark
from asyncconn.cli.output import count, table
from asyncconn.core.clock import VirtualClock
from asyncconn.sandbox import DatoramaWorld, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from asyncconn.datorama import Job
    from asyncconn.sandbox.datorama import DatoramaWorld

__all__ = ["DatoramaReport", "last_word", "lines", "work"]

LIMIT, PERIOD = 60, 60.0
WORKSPACES, STREAMS, JOBS = 6, 200, 3
PROCESSED, DAYS = 60, ("2029-12-01", "2029-12-30")  # the virtual clock begins with 2030


@dataclass
class DatoramaReport(Part):
    """What ``--json`` prints under ``datorama``."""

    workspaces: int = 0
    streams: int = 0
    jobs: int = 0
    processed_streams: int = 0
    processed_jobs: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 0
    refused: int = 0
    worst_minute: int = 0
    virtual_seconds: float = 0.0


def work() -> DatoramaReport:
    """Read everything, process some of it, wait for the end, and compare with what the platform knows."""
    report, clock = DatoramaReport(), VirtualClock()
    with report.at_work():
        clock.run(_run(clock, report))
    report.virtual_seconds = round(clock.now(), 1)
    return report


async def _run(clock: VirtualClock, report: DatoramaReport) -> None:
    world = DatoramaWorld(workspaces=WORKSPACES, streams=STREAMS, jobs=JOBS, seed=1)
    async with Sandbox(world, clock=clock) as sandbox, Hub(clock=clock, proxy="") as hub:
        platform = sandbox.datorama
        datorama = Datorama(platform.token, base_url=sandbox.url, hub=hub)
        steps = _Steps(clock, platform, report)
        with watching() as show:
            found = await datorama.fetch_all_streams(on_progress=show)
            streams = [stream for some in found.values for stream in some]
            steps.done("list the streams", f"{len(streams)} in {count(len(found), 'workspace')}")
            listed = await datorama.fetch_all_jobs(streams, on_progress=show)
            report.jobs = sum(map(len, listed.values))
            steps.done("list their jobs", count(report.jobs, "job"))
            chosen = streams[:PROCESSED]
            processed = await datorama.process_streams(chosen, *DAYS, max_pending=None, wait=True, on_progress=show)
        jobs = [job for item in processed for job in item.value or ()]
        report.workspaces, report.streams = len(found), len(streams)
        report.processed_streams, report.processed_jobs = len(chosen), len(jobs)
        report.ended = dict(Counter(str(job.status).lower() for job in jobs).most_common())
        words = ", ".join(f"{number} {word}" for word, number in report.ended.items())
        steps.done(f"process 30 days of {len(chosen)}", f"{count(len(jobs), 'job')}: {words}")
        _compare(platform, jobs, report)


class _Steps:
    """What each step cost."""

    def __init__(self, clock: VirtualClock, platform: DatoramaWorld, report: DatoramaReport) -> None:
        self._clock, self._platform, self._report = clock, platform, report
        self._before = (clock.now(), platform.counters.platform)

    def done(self, what: str, result: str) -> None:
        """A step has ended."""
        before, self._before = self._before, (self._clock.now(), self._platform.counters.platform)
        seconds, calls = (now - then for now, then in zip(self._before, before, strict=True))
        self._report.steps.append({"step": what, "calls": calls, "seconds": round(seconds, 1), "result": result})


def _compare(platform: DatoramaWorld, jobs: list[Job], report: DatoramaReport) -> None:
    """The platform's own books decide."""
    report.calls, report.refused = platform.counters.platform, platform.refused
    for call in platform.calls:
        mark("datorama/calls", 1, call.at)
    report.worst_minute = worst_window([call.at for call in platform.calls], PERIOD)
    new = len(platform.live.stats) - STREAMS * JOBS
    unlike = [job.id for job in jobs if job.id not in platform.live.stats or not job.final]
    report.judge(
        (report.streams != STREAMS, f"{report.streams} streams listed of {STREAMS}"),
        (report.jobs != STREAMS * JOBS, f"{report.jobs} jobs listed of {STREAMS * JOBS}"),
        (new != PROCESSED * 3, f"{new} jobs queued instead of {PROCESSED * 3}"),
        (len(jobs) != new or unlike, f"{len(jobs) - len(unlike)} of {new} jobs seen to their end"),
        (report.refused, f"{count(report.refused, 'call')} refused (429)"),
        (report.worst_minute > LIMIT, f"{report.worst_minute} calls within {PERIOD:g} s where {LIMIT} are allowed"),
    )


def lines(report: DatoramaReport) -> Iterator[RenderableType]:
    """For the screen."""
    rows = [(step["step"], step["calls"], _takes(step["seconds"]), step["result"]) for step in report.steps]
    title = f"Datorama: {STREAMS} streams under a cap of {LIMIT} calls a minute (on a virtual clock)"
    yield table(title, ("step", "calls", "takes", "result"), rows, numbers=("calls",))
    yield Text.assemble(
        ("\nRate limit  ", "bold"),
        f"{report.calls} calls in {report.virtual_seconds / 60:.1f} virtual minutes ({report.seconds:.2f} s here); "
        f"most in any {PERIOD:g} s at the platform: {report.worst_minute}; refused: {report.refused}.",
    )


def last_word(report: DatoramaReport) -> Verdict:
    """The verdict."""
    good = "all streams and jobs were read, all new jobs ended"
    return Verdict("Datorama", report.ok, good if report.ok else "; ".join(report.wrong), report.seconds)


def _takes(seconds: float) -> str:
    return "no time" if seconds < 1 else span(seconds)
