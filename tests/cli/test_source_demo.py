"""The demonstration's part about a source breaks off and goes on, and is judged by what landed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from asyncconn.cli.demo import source
from asyncconn.cli.demo.part import verdicts
from asyncconn.cli.demo.seattle import default_data, load
from asyncconn.sandbox import Faults
from asyncconn.sandbox.panoply.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncconn.cli.demo.seattle import Record


@pytest.fixture(scope="module")
def hours() -> list[Record]:
    return load(default_data())["temperatures"][:200]


def shown(report: source.SourceReport) -> str:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(*source.lines(report), verdicts([source.last_word(report)]))
    return " ".join(capture.get().split())


@pytest.mark.parametrize("faults", ["", "status:503*2, drop_after"])
async def test_the_second_run_brings_what_the_first_has_not(tmp_path: Path, hours: list[Record], faults: str) -> None:
    report = await source.work(hours, Faults.parse(faults), tmp_path)

    assert (report.ok, report.wrong) == (True, [])
    assert (report.rows, report.before, report.after, report.landed, report.altered) == (200, 100, 100, 200, 0)
    assert "100 of 200 rows delivered, and remembered" in shown(report)
    assert "PASS source every row of the source landed" in shown(report)


def _forgets(self: Any, *_: object) -> None:
    """No state is told."""


def _lossy(store: Callable[..., int]) -> Callable[..., int]:
    def lossy(self: Any, writer: Any, table: Any, rows: Any, *rest: Any) -> int:
        rows.items.pop()
        return store(self, writer, table, rows, *rest) + 1

    return lossy


@pytest.mark.parametrize(
    ("place", "name", "broken", "said"),
    [
        (source.Archive, "state", _forgets, "200 rows read by the run that went on"),
        (Warehouse, "_store", _lossy(Warehouse._store), "rows missing"),
    ],
    ids=["forgets", "loses rows"],
)
async def test_what_is_wrong_fails_the_part_and_is_said(
    tmp_path: Path,
    hours: list[Record],
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    broken: Any,
    said: str,
) -> None:
    monkeypatch.setattr(place, name, broken)
    report = await source.work(hours, Faults(), tmp_path)

    assert report.ok is False
    assert said in "; ".join(report.wrong)
    assert "FAIL source " in shown(report)
    json.dumps(report.wrong)


async def test_a_server_that_refuses_for_good_is_told(tmp_path: Path, hours: list[Record]) -> None:
    report = await source.work(hours, Faults.parse("status:400*9"), tmp_path)
    assert report.ok is False
    assert "answered 400" in "; ".join(report.wrong)
