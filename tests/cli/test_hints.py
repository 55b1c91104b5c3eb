"""What an error says at its end, in brackets, is true of that error: of each class, and of what each command meets."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import asyncconn
from asyncconn import AtotiLimits, Datorama, Tcup
from asyncconn.cli.app import app
from asyncconn.core.retrying import ONCE
from asyncconn.errors import AsyncConnError
from asyncconn.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

# -- of each class -----------------------------------------------------------------------------------------------------

#: Those that others are made of, and those that the code of a data source raises in its own words.
WITHOUT = {
    "AsyncConnError", "TransportError", "BatchError", "PollError", "StreamError", "LifecycleError", "LimitsError",
    "_Unreachable", "DataSourceException", "PanoplyException", "TokenCallbackException", "TokenValidationException",
}  # fmt: skip


def classes() -> list[type[AsyncConnError]]:
    for module in pkgutil.walk_packages(asyncconn.__path__, "asyncconn."):
        if module.name.endswith(("errors", "exceptions", "syncing", "normalisation", "running")):
            importlib.import_module(module.name)
    found = [AsyncConnError]
    for one in found:
        found += [
            kind for kind in one.__subclasses__() if kind not in found and kind.__module__.startswith("asyncconn.")
        ]
    return sorted(set(found), key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__qualname__)
def test_the_advice_of_a_class_is_true_of_it(kind: type[AsyncConnError]) -> None:
    advice = kind.advice
    assert advice or kind.__name__ in WITHOUT
    if any(words in advice for words in ("safe to repeat", "nothing was sent", "nothing reached", "was not taken")):
        assert not kind.maybe_sent
    if "carried" in advice:
        assert kind.maybe_sent
    assert not advice.endswith(".")


# -- of each command ---------------------------------------------------------------------------------------------------

READING = [
    "datorama workspaces", "datorama streams", "datorama jobs 7700101", "datorama rate", "limits structures",
    "limits limits", "limits incidents", "limits connect", "limits check-cube", "tcup sensors", "tcup query ts1",
    "tcup search x", "tcup rules list", "tcup task list p",
]  # fmt: skip
WRITING = ["tcup observe ts1 a=1", "limits evaluate"]


@pytest.fixture(autouse=True)
def _one_try(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in (Datorama, Tcup, AtotiLimits):
        monkeypatch.setattr(kind, "platform", replace(kind.platform, retry=ONCE))
    monkeypatch.chdir(tmp_path)


def _last_line(command: str) -> str:
    ended = CliRunner().invoke(app, command.split())
    assert ended.exit_code == 1, f"{command}: {ended.output}"
    return ended.stderr.strip().splitlines()[-1]


async def _said(monkeypatch: pytest.MonkeyPatch, faults: str, commands: list[str]) -> dict[str, str]:
    async with Sandbox(faults=faults) as sandbox:
        for name, value in sandbox.env.items():
            monkeypatch.setenv(name, value)
        return {command: await asyncio.to_thread(_last_line, command) for command in commands}


def _hint(line: str) -> str:
    assert line.startswith("error: ")
    assert line.endswith(")"), line
    return line[line.rindex(" (") + 2 : -1]


async def test_what_was_never_sent_may_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Sandbox() as sandbox:
        env = sandbox.env
    for name, value in env.items():  # nobody listens there any more
        monkeypatch.setenv(name, value)
    for command in READING + WRITING:
        hint = _hint(await asyncio.to_thread(_last_line, command))
        assert "nothing reached the server; it is safe to repeat" in hint or "nothing was sent; start the" in hint, (
            command
        )


@pytest.mark.parametrize(
    ("faults", "of_readings", "of_writings"),
    [
        ("status:401*999", ("check the credential",), ("check the credential",)),
        ("status:503*999", ("try again later", "wait until the session is ready"), ("try again later",)),
        (
            "drop_before*999",
            ("it only reads: it is safe to repeat the call", "the call may have been carried out; start the"),
            ("the server may have carried it out; check before", "the call may have been carried out; start the"),
        ),
        ("malformed*999", ("if this was a write, it may",), ("if this was a write, it may",)),
    ],
    ids=["refused", "failed", "lost", "garbled"],
)
async def test_a_hint_fits_what_a_command_has_met(
    monkeypatch: pytest.MonkeyPatch, faults: str, of_readings: tuple[str, ...], of_writings: tuple[str, ...]
) -> None:
    readings = [one for one in READING if (one, faults) != ("datorama rate", "malformed*999")]  # reads headers only
    said = await _said(monkeypatch, faults, readings + WRITING)
    for command in readings:
        hint = _hint(said[command])
        assert any(words in hint for words in of_readings), f"{command}: {hint}"
        assert "before repeating a write" not in hint, f"{command}: {hint}"
    for command in WRITING:
        hint = _hint(said[command])
        assert any(words in hint for words in of_writings), f"{command}: {hint}"
        assert "safe to repeat" not in hint, f"{command}: {hint}"


async def test_who_only_looks_at_a_spool_is_not_told_of_a_record(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert _hint(await asyncio.to_thread(_last_line, "panoply spool folder")) == "make the file readable and writable"
