"""The demonstration's part about TCUP's streams breaks connections, and is judged by what landed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from asyncconn.cli.demo import streams
from asyncconn.cli.demo.part import verdicts
from asyncconn.cli.demo.seattle import default_data, load
from asyncconn.sandbox.panoply.warehouse import Warehouse
from asyncconn.sandbox.tcup.streams.mqtt.sessions import Session
from asyncconn.tcup.streams.messages import Messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.cli.demo.seattle import Record


@pytest.fixture(scope="module")
def weather() -> list[Record]:
    return load(default_data())["weather"]


def shown(report: streams.StreamsReport) -> str:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(*streams.lines(report), verdicts([streams.last_word(report)]))
    return " ".join(capture.get().split())


async def test_every_reading_lands_over_connections_that_break(weather: list[Record]) -> None:
    report = await streams.work(weather[:400])

    assert (report.ok, report.wrong) == (True, [])
    assert (report.readings, report.acknowledged, report.landed, report.altered) == (800, 800, 800, 0)
    assert report.broken == 4
    assert 0 <= report.again <= 3 * 20  # what the broker hands out at once, at each break
    assert 0 < report.viewed <= 800
    assert report.gaps >= 1
    text = shown(report)
    assert "800 of 800 acknowledged" in text
    assert "PASS TCUP streams no reading was lost over broken connections" in text


def _lossy(store: Callable[..., int]) -> Callable[..., int]:
    def lossy(self: Any, writer: Any, table: Any, rows: Any, *rest: Any) -> int:
        rows.items.pop()
        return store(self, writer, table, rows, *rest) + 1

    return lossy


def _careless(store: Callable[..., int]) -> Callable[..., int]:
    def careless(self: Any, writer: Any, table: Any, rows: Any, *rest: Any) -> int:
        rows.items[0][1][3] = 99.9
        return store(self, writer, table, rows, *rest)

    return careless


def _forgetful(attach: Callable[..., None]) -> Callable[..., None]:
    def forgets(self: Any, outlet: Any) -> None:
        self.in_flight.clear()
        self.waiting.clear()
        attach(self, outlet)

    return forgets


def _deaf(_: Any) -> Callable[..., object]:
    return lambda *_: None


@pytest.mark.parametrize(
    ("place", "name", "broken", "said"),
    [
        (Warehouse, "_store", _lossy, "acknowledged and lost"),
        (Warehouse, "_store", _careless, "not as in the file"),
        (Session, "attach", _forgetful, "acknowledged and lost"),
        (Messages, "_live", _deaf, "was told of no gap"),
        (streams, "_faults", lambda _: lambda _: [], "no connection was broken"),
    ],
    ids=["loses a row", "alters a value", "forgets", "tells no gap", "breaks nothing"],
)
async def test_what_is_wrong_fails_the_part_and_is_said(
    weather: list[Record], monkeypatch: pytest.MonkeyPatch, place: Any, name: str, broken: Any, said: str
) -> None:
    monkeypatch.setattr(streams, "_SECONDS", 1.0)
    monkeypatch.setattr(place, name, broken(getattr(place, name)))
    report = await streams.work(weather[:300])

    assert report.ok is False
    assert said in "; ".join(report.wrong)
    assert "FAIL TCUP streams " in shown(report)
    assert "PASS" not in shown(report)
    json.dumps(report.wrong)
