"""The tables of calls: one place for every path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import asyncconn
from asyncconn.errors import ConfigError
from asyncconn.tcup.routes import BASES, TABLES, tables

from .captures import CAPTURES

PACKAGE = Path(asyncconn.__file__).parent / "tcup"


def every_call() -> list[tuple[str, str]]:
    holes = {"name": "n", "id": 1, "version": 1, "filename": "f", "project": "P1", "task": "T1", "verb": "start",
             "file": "o", "definition": "D1", "schedule": "S1", "run": "I1"}  # fmt: skip
    return [table.resolve(name, **holes) for table in TABLES.values() for name in table.entries]


def test_no_call_stands_in_two_tables() -> None:
    names = [name for table in TABLES.values() for name in table.entries]

    assert len(names) == len(set(names))
    assert len(set(every_call())) == len(names)


@pytest.mark.parametrize("capture", [name for name, one in CAPTURES.items() if "path" in one.get("http", {})])
def test_the_captured_calls_are_in_the_tables(capture: str) -> None:
    http = CAPTURES[capture]["http"]
    path = http["path"].partition("?")[0].replace("/11", "/1")

    assert (http["method"], path) in every_call()


def test_only_one_module_knows_a_path() -> None:
    wrong = [
        f"{path.name}: {base}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "routes.py"
        for base in (*BASES.values(), "/observations", "/capabilities", "/catalog", "/projects", "/processDefinitions")
        if f'"{base}' in path.read_text(encoding="utf-8")
    ]

    assert wrong == []


def test_bases_and_calls_can_be_replaced() -> None:
    made, bases = tables({"task_path": "/tasks/v2/", "sensors.get": ("GET", "{sos_path}/sensor/{name}")})

    assert bases == {**BASES, "task_path": "/tasks/v2"}
    assert made["task_path"].path("projects.list") == "/tasks/v2/projects"
    assert made["sos_path"].path("sensors.get", name="a/b c") == "/api/sos/v2.0/sensor/a%2Fb%20c"


@pytest.mark.parametrize(
    "paths",
    [
        {"sos": "/x"},
        {"sos_path": "x"},
        {"sos_path": ""},
        {"sos_path": None},
        {"sensors.get": ("GET", "x")},
        {"mqtt_path": "/x"},
        [("sos_path", "/x")],
        7,
    ],
)
def test_paths_that_cannot_be_are_refused(paths: Any) -> None:
    with pytest.raises(ConfigError):
        tables(paths)
