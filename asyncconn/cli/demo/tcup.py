"""The part of ``asyncconn demo`` that is about TCUP: the weather as observations, routed, and computed with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from statistics import fmean
from typing import TYPE_CHECKING, Any

from rich.text import Text

from asyncconn import Hub, Tcup
from asyncconn.cli.demo.part import Part, Verdict, steps
from asyncconn.cli.output import count, plain, table
from asyncconn.core.notes import with_notes
from asyncconn.core.polling import PollPolicy
from asyncconn.errors import AsyncConnError
from asyncconn.sandbox import Sandbox, TcupWorld
from asyncconn.tcup import Condition, Sensor, Task, routing_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rich.console import RenderableType

    from asyncconn.cli.demo.seattle import Record

__all__ = ["TcupReport", "last_word", "lines", "work"]

_SENSOR, _FEATURE, _OUTPUT = "weather-station", "Seattle", "temp_max"
_OUTPUTS = {
    "precipitation": ("quantity", "mm"),
    "temp_max": ("quantity", "Cel"),
    "temp_min": ("quantity", "Cel"),
    "wind": ("quantity", "m/s"),
    "weather": "text",
}
_EXCHANGE, _TOPIC = "weather", "hot"
_QUICK = PollPolicy(minimum=0.02, maximum=0.2, deadline=15.0)  # each task takes a fraction of a second
_CHOOSE = """\
import csv, sys
for row in csv.DictReader(open("observations.csv", newline="")):
    if float(row["value"]) >= float(sys.argv[1]):
        print(row["value"])
"""
_MEAN = """\
from statistics import fmean
print(fmean(map(float, open("out.out"))))
"""


@dataclass
class TcupReport(Part):
    """What ``--json`` prints under ``tcup``. A day is hot from ``hot_from`` on: the hottest tenth of all."""

    days: int = 0
    stored: int = 0
    values: int = 0
    altered: int = 0
    hot_from: float = 0.0
    hot_days: int = 0
    routed: int = 0
    run: str = ""
    mean: float | None = None
    expected_mean: float = 0.0
    calls: int = 0


async def work(weather: list[Record], folder: Path) -> TcupReport:
    """Store the days, read them again, let the hot ones be moved and computed with; compare with the files.

    ``folder`` is for what goes to the platform and comes from it.
    """
    heat = sorted(day[_OUTPUT] for day in weather)
    report = TcupReport(days=len(weather), hot_from=heat[len(heat) * 9 // 10])
    hot = [day for day in heat if day >= report.hot_from]
    report.hot_days, report.expected_mean = len(hot), fmean(hot)
    with report.at_work():
        try:
            async with Sandbox(TcupWorld(), seed=1) as sandbox, Hub(proxy="") as hub:
                world = sandbox.tcup
                tcup = Tcup(world.url, world.api_key, hub=hub)
                with steps("TCUP", 5) as begin:
                    await _observe(tcup, weather, report, begin)
                    report.routed = sum(len(one["observations"]) for one in world.routed(_EXCHANGE, _TOPIC))
                    await _compute(tcup, folder, report, begin)
                report.calls = world.counters.requests.total()
        except AsyncConnError as error:
            report.wrong.append(plain(with_notes(error)))
        _compare(report)
    return report


async def _observe(tcup: Tcup, weather: list[Record], report: TcupReport, begin: Callable[[str], None]) -> None:
    """Store each day, while a rule moves the hot ones, and read all of them again."""
    begin("storing days")
    await tcup.routing.exchanges.create(_EXCHANGE)
    hot = Condition(_OUTPUT, ">=", report.hot_from)
    rule = routing_rule("hot days", "the hottest tenth", where=[hot], to=(_EXCHANGE, _TOPIC))
    await tcup.routing.rules.start((await tcup.routing.rules.create(rule)).id or 0)

    await tcup.sensors.create(Sensor.atomic(_SENSOR, _OUTPUTS, feature=_FEATURE))
    days = [(_time(day), {name: day[name] for name in _OUTPUTS}) for day in weather]
    stored = await tcup.observations.insert_many((_SENSOR, values, _FEATURE, time) for time, values in days)
    report.stored = stored.delivered

    begin("reading them")
    query = tcup.observations.query(sensor=_SENSOR)
    # Without the extra of pandas the same rows come one by one.
    rows = (await query.frame()).to_dict("records") if find_spec("pandas") else await query.collect()
    found = {(row["starttime"], row["name"]): row["value"] for row in rows}
    expected = {(time, name): value for time, values in days for name, value in values.items()}
    report.values = len(rows)
    report.altered = sum(found.get(key) != value for key, value in expected.items())


def _time(day: Record) -> datetime:
    return datetime.fromisoformat(day["date"]).replace(tzinfo=UTC)


async def _compute(tcup: Tcup, folder: Path, report: TcupReport, begin: Callable[[str], None]) -> None:
    """The mean of the hot days, by two tasks: one chooses, the other computes with what the first has written."""
    begin("deploying tasks")
    inputs = folder / "inputs"
    await asyncio.to_thread(inputs.mkdir)
    await tcup.observations.download_csv(inputs / "observations.csv", sensor=_SENSOR, properties=_OUTPUT)
    chosen = await _deployed(tcup, folder / "choose.py", _CHOOSE, inputs=inputs, arguments=[f"{report.hot_from}"])
    mean = await _deployed(tcup, folder / "mean.py", _MEAN)
    await mean.link_files([(chosen, "out.out")])
    flow = await tcup.workflows.create([(chosen, mean)], name="mean of the hot days", version="1")
    begin("running the workflow")
    run = await flow.pre_initiate()
    await run.relink()
    await run.initiate()
    report.run = str((await run.wait(policy=_QUICK)).status)
    begin("fetching its result")
    result = await (await run.task(mean)).download("out.out", folder / "mean.txt")
    report.mean = float(await asyncio.to_thread(result.read_text))


async def _deployed(tcup: Tcup, program: Path, code: str, **options: Any) -> Task:
    await asyncio.to_thread(program.write_text, code)
    task = await tcup.tasks.create(project="demo", job=program.stem)
    await task.deploy(program, runtime="py", **options)
    return task


def _compare(report: TcupReport) -> None:
    values = report.days * len(_OUTPUTS)
    mean = report.mean is not None and round(report.mean - report.expected_mean, 9) == 0
    report.judge(
        (report.stored != report.days, f"{report.stored:,} of {count(report.days, 'day')} stored"),
        (report.values != values, f"{report.values:,} of {count(values, 'value')} came back"),
        (report.altered, f"{count(report.altered, 'value')} not as in the file"),
        (report.routed != report.hot_days, f"{report.routed} of {count(report.hot_days, 'hot day')} moved by the rule"),
        (not mean, f"their mean is {report.mean} where {report.expected_mean} is due"),
    )


def lines(report: TcupReport) -> Iterator[RenderableType]:
    """For the screen."""
    mean = "none" if report.mean is None else f"{report.mean:.2f} °C"
    rows = [
        ("store the days as observations", f"{report.stored:,} of {report.days:,}"),
        ("read them again as a frame", f"{count(report.values, 'row')}, {report.altered} altered"),
        (f"move those of {report.hot_from:g} °C and more", f"{report.routed} of {count(report.hot_days, 'hot day')}"),
        ("run a workflow of two tasks on them", f"{report.run.lower() or 'not begun'}; their mean is {mean}"),
    ]
    yield table("TCUP: the weather of Seattle as observations, routed, and computed with", ("step", "result"), rows)
    yield Text.assemble(("\nPlatform  ", "bold"), f"{count(report.calls, 'call')} ({report.seconds:.2f} s in all).")


def last_word(report: TcupReport) -> Verdict:
    """The verdict."""
    good = "every value came back, the hot days were moved, and their mean is right"
    return Verdict("TCUP", report.ok, good if report.ok else "; ".join(report.wrong), report.seconds)
