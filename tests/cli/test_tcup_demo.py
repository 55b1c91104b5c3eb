"""The demonstration's part about TCUP is judged by the files, and by what the platform has done."""

from __future__ import annotations

import csv
import json
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from asyncconn.cli.demo import tcup
from asyncconn.cli.demo.part import verdicts
from asyncconn.cli.demo.seattle import default_data, load
from asyncconn.sandbox import TcupWorld
from asyncconn.sandbox.tcup.rules import Conditions
from cli.commands import DATA

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.cli.demo.seattle import Record


@pytest.fixture(scope="module")
def weather() -> list[Record]:
    return load(default_data())["weather"]


def shown(report: tcup.TcupReport) -> str:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(*tcup.lines(report), verdicts([tcup.last_word(report)]))
    return capture.get()


async def test_all_of_the_weather_comes_back_and_the_hot_days_are_computed_with(
    tmp_path: Path, weather: list[Record]
) -> None:
    report = await tcup.work(weather, tmp_path)

    with (DATA / "seattle-weather.csv").open() as stream:
        heat = sorted(float(day["temp_max"]) for day in csv.DictReader(stream))
    hot = [one for one in heat if one >= 26.7]
    assert (report.ok, report.wrong) == (True, [])
    assert (report.days, report.stored, report.values, report.altered) == (1461, 1461, 5 * 1461, 0)
    assert (report.hot_from, report.hot_days, report.routed) == (26.7, len(hot), len(hot))
    assert report.run == "COMPLETED"
    assert report.mean == pytest.approx(fmean(hot))
    text = shown(report)
    assert "157 of 157 hot days" in text
    assert "completed; their mean is 29.44 °C" in text
    assert "PASS TCUP every value came back" in " ".join(text.split())


async def test_without_pandas_the_rows_are_the_same(
    tmp_path: Path, weather: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcup, "find_spec", lambda _: None)
    report = await tcup.work(weather[:100], tmp_path)
    assert (report.ok, report.values, report.altered) == (True, 500, 0)


async def _nothing(*_: object, **__: object) -> None: ...


@pytest.mark.parametrize(
    ("place", "name", "broken", "said"),
    [
        (Conditions, "judge", lambda _, seen: seen, "hot days moved by the rule"),
        (tcup, "_MEAN", "print(1.0)", "their mean is 1.0 where"),
        (tcup, "_MEAN", "raise SystemExit(3)", "mean) failed"),
        (TcupWorld, "routed", lambda *_: [], "0 of 11 hot days moved by the rule"),
        (tcup, "_observe", _nothing, "0 of 100 days stored"),
    ],
    ids=["moves all", "wrong mean", "fails", "moves nothing", "stores nothing"],
)
async def test_what_is_wrong_fails_the_part_and_is_said(
    tmp_path: Path,
    weather: list[Record],
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    broken: Any,
    said: str,
) -> None:
    monkeypatch.setattr(place, name, broken)
    report = await tcup.work(weather[:100], tmp_path)
    assert report.ok is False
    assert said in "; ".join(report.wrong)
    text = " ".join(shown(report).split())
    assert "FAIL TCUP " in text
    assert "PASS" not in text
    json.dumps(report.wrong)
