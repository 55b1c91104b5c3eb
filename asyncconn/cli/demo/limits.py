"""The part of ``asyncconn demo`` that is about Atoti Limits: connect two servers, evaluate limits, find the breach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.text import Text

from asyncconn import AtotiLimits, Hub
from asyncconn.atoti_limits.offline.csv_formats import write_limits, write_structures
from asyncconn.cli.demo.part import Part, Verdict, steps
from asyncconn.cli.output import count, plain, table
from asyncconn.core.notes import with_notes
from asyncconn.errors import AsyncConnError
from asyncconn.sandbox import LimitsWorld, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from asyncconn.sandbox.atoti_limits import LimitsWorld

__all__ = ["LimitsReport", "last_word", "lines", "work"]

DAY = "2026-01-31"
_SECONDS = 10.0  # to connect in; it takes a tenth of one
_USED = {"fiat": 120.5, "lada": 95.0, "saab": 50.0}  # percent of the limit: there is no real cube behind it
_VALUES = {"fiat": 20_000, "lada": 10_000, "saab": 90_000}
_EXPECTED = {"fiat": "BREACH", "lada": "WARNING"}
_CUBE = {"Cube Name": "Cars_Cube", "Server Name": "atoti", "Measure Name": "Price.SUM"}
_STRUCTURE: dict[str, Any] = {
    "Structure ID": "price",
    "Name": "Price",
    "Polling Frequency": "EOD",
    "KPI Type": "Greater Than",
    "Absolute Value Indicator": False,
    "Warning Threshold": 80,
    "Scope Keys": "CarName",
    "Limit Changes Workflow": "StraightThrough",
    "Exception Workflow": "Exception",
    **_CUBE,
}


@dataclass
class LimitsReport(Part):
    """What ``--json`` prints under ``atoti_limits``."""

    polls: int = 0
    connected_after: float = 0.0
    structures: int = 0
    limits: int = 0
    found: list[dict[str, Any]] = field(default_factory=list)
    incidents: int = 0


async def work() -> LimitsReport:
    """Connect and wait, upload a structure and limits, evaluate, and compare with what has to be found."""
    report = LimitsReport()
    with report.at_work():
        try:
            async with Sandbox(LimitsWorld(), seed=1) as sandbox, Hub(proxy="") as hub:
                await _run(sandbox.atoti_limits, hub, report)
        except AsyncConnError as error:
            report.wrong.append(plain(with_notes(error)))
    return report


async def _run(world: LimitsWorld, hub: Hub, report: LimitsReport) -> None:
    with steps("Atoti Limits", 4) as begin:
        await _asked(world, hub, report, begin)
    _compare(report)


async def _asked(world: LimitsWorld, hub: Hub, report: LimitsReport, begin: Callable[[str], None]) -> None:
    world.limits.utilizations.update(_USED)
    admin = world.session.users["admin"]
    limits = AtotiLimits(world.url, limits_url=world.limits.url, auth=(admin.name, admin.password), hub=hub)
    begin("connecting")
    done = await limits.wait_connected(_SECONDS)
    report.polls, report.connected_after = done.polls, round(done.seconds, 3)
    begin("uploading")
    uploaded = await limits.upload.structures(write_structures([_STRUCTURE]))
    report.structures = uploaded.created or 0
    uploaded = await limits.upload.limits(write_limits(map(_limit, _VALUES)))
    report.limits = uploaded.created or 0
    wanted = ("Limit ID", "Incident Type", "Measure Value", "Location", "As Of Date")
    begin("evaluating")
    found = (await limits.evaluate.all(DAY)).rows()
    report.found = [{name: _plain(row.get(name)) for name in wanted} for row in found]
    begin("reading incidents")
    report.incidents = len([one async for one in limits.incidents.list(as_of_date=DAY)])


def _limit(name: str) -> dict[str, Any]:
    return {
        "Structure Group": "Cars",
        "Structure Name": "Price",
        "Structure ID": "price",
        "Limit ID": name,
        "Limit Name": "Price",
        "Start Date": "2026-01-01",
        "Limit Type": "OFFICIAL",
        "Limit Value": _VALUES[name],
        "Scope": f"CarName={name.title()}",
        "Limit Status": "APPROVED",
        "Precedence": 0,
        **_CUBE,
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float) else str(value)


def _compare(report: LimitsReport) -> None:
    found = {row["Limit ID"]: row["Incident Type"] for row in report.found}
    measures = {row["Limit ID"]: row["Measure Value"] for row in report.found}
    due = {name: _VALUES[name] * _USED[name] / 100 for name in _EXPECTED}
    report.judge(
        (report.structures != 1, f"{count(report.structures, 'structure')} uploaded of 1"),
        (report.limits != len(_VALUES), f"{count(report.limits, 'limit')} uploaded of {len(_VALUES)}"),
        (found != _EXPECTED, f"found {found or 'nothing'} where {_EXPECTED} is due"),
        (found == _EXPECTED and measures != due, f"measured {measures} where {due} is due"),
        (report.incidents != len(_EXPECTED), f"{count(report.incidents, 'incident')} stored of {len(_EXPECTED)}"),
    )


def lines(report: LimitsReport) -> Iterator[RenderableType]:
    """For the screen."""
    rows = [
        (row["Limit ID"], row["Incident Type"], f"{row['Measure Value']:,.0f}", f"{_VALUES[row['Limit ID']]:,}", DAY)
        for row in report.found
        if row["Limit ID"] in _VALUES and isinstance(row["Measure Value"], int | float)
    ]
    columns = ("limit", "found", "measure", "limit value", "as of")
    yield table(
        "Atoti Limits: a session and a Limits server, connected, then evaluated",
        columns,
        rows,
        numbers=("measure", "limit value"),
    )
    yield Text.assemble(
        ("\nConnection  ", "bold"),
        f"after {report.connected_after:.2f} s and {count(report.polls, 'poll')}; "
        f"uploaded {count(report.structures, 'structure')} and {count(report.limits, 'limit')} "
        f"({report.seconds:.2f} s in all).",
    )


def last_word(report: LimitsReport) -> Verdict:
    """The verdict."""
    good = "the breach and the warning were found, and nothing else"
    return Verdict("Atoti Limits", report.ok, good if report.ok else "; ".join(report.wrong), report.seconds)
