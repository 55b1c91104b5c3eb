"""What an error says at its end, in brackets, is true of that error: of each class, and of what each command meets."""

from __future__ import annotations

import asyncio
import importlib
import json
import pkgutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import asyncconn
from asyncconn import AtotiLimits, Datorama, Tcup
from asyncconn.atoti_limits.offline.csv_formats import write_limits, write_structures
from asyncconn.cli.app import app
from asyncconn.core.retrying import ONCE
from asyncconn.errors import AsyncConnError
from asyncconn.sandbox import Sandbox
from cli.limits_scene import STRUCTURE, limit
from cli.tcup_scene import RULE

if TYPE_CHECKING:
    from collections.abc import Iterator
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

#: What meets the fault first only reads, also where the command would write afterwards.
READING = [
    "datorama workspaces", "datorama streams", "datorama jobs 7700101", "datorama rate", "datorama snapshot copies",
    "datorama query -w 1 --range LAST_MONTH -m Clicks", "datorama reports -w 1", "datorama download 1 2",
    "datorama process 1 --start 2026-01-01 --end 2026-01-02", "datorama rerun 2 --stream 1", "datorama rename 1 new",
    "limits structures", "limits limits", "limits incidents", "limits connect", "limits check-cube",
    "tcup sensors", "tcup query ts1", "tcup search x", "tcup download u/d/f",
    "tcup rules list", "tcup rules statistics", "tcup rules create rule.json", "tcup rules delete 1",
    "tcup task list p", "tcup task create p t", "tcup task deploy p t one.py", "tcup task start p t",
    "tcup task wait p t", "tcup task stop p t", "tcup task logs p t", "tcup task outputs p t", "tcup task delete p t",
    "tcup workflow list", "tcup workflow run pairs.csv --project p --name f", "tcup workflow runs F1",
    "tcup workflow wait I1", "tcup workflow history I1", "tcup workflow abort I1", "tcup workflow recover I1",
]  # fmt: skip
#: What meets the fault first may have been carried out.
WRITING = [
    "datorama report 1", "limits upload structures.csv", "limits upload limits.csv", "limits evaluate",
    "tcup observe ts1 a=1", "tcup register ts1 a:text", "tcup upload one.py", "tcup rules start 1",
    "tcup rules stop 1",
]  # fmt: skip
#: Whose errors are not those of one call.
ELSEWHERE = {
    "demo": "has a sandbox of its own",
    "sandbox": "has no platform",
    "doctor": "looks at errors as its results: test_doctor",
    "limits status": "looks at errors as its results: test_limits",
    "limits extract-ui": "has no platform",
    "limits compat": "has no platform",
    "panoply write": "saves what did not arrive: test_panoply_write",
    "panoply spool": "has a file, see below",
    "source describe": "has no platform",
    "source run": "has a source's own errors: test_source_runs",
    "tcup sse": "reconnects until it is told to end: test_tcup_streams",
    "tcup mqtt pub": "as above",
    "tcup mqtt sub": "as above",
    "tcup ws pub": "as above",
    "tcup ws sub": "as above",
    "rates show": "has a store: test_rates",
    "rates reset": "as above",
}
#: What is of no JSON, or of none at all: nothing of it can be garbled.
OPAQUE = {"datorama rate", "tcup download", "tcup rules start", "tcup rules stop", "tcup rules delete"}


def commands() -> Iterator[str]:
    """Every command there is."""

    def below(command: Any, *path: str) -> Iterator[str]:
        command = getattr(command, "itself", lambda: command)()
        for name, one in getattr(command, "commands", {}).items():
            yield from below(one, *path, name)
        if not hasattr(command, "commands"):
            yield " ".join(path)

    return below(get_command(app))


def named(line: str) -> str:
    """The command that a line runs."""
    return max((one for one in commands() if f"{line} ".startswith(f"{one} ")), key=len)


def test_no_command_is_left_out() -> None:
    assert sorted({*map(named, READING + WRITING), *ELSEWHERE}) == sorted(commands())


@pytest.fixture(autouse=True)
def _one_try(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in (Datorama, Tcup, AtotiLimits):
        monkeypatch.setattr(kind, "platform", replace(kind.platform, retry=ONCE))
    monkeypatch.chdir(tmp_path)
    texts = {
        "structures.csv": write_structures([STRUCTURE]),
        "limits.csv": write_limits([limit("fiat", 20_000, "CarName=Fiat")]),
        "pairs.csv": "source,destination,file\none,two,out.out\n",
        "rule.json": json.dumps(RULE),
        "one.py": "print(1)",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)


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
            (
                "a repetition does no harm: it is safe to repeat the call",
                "the call may have been carried out; start the",
            ),
            ("the server may have carried it out; check before", "the call may have been carried out; start the"),
        ),
        ("malformed*999", ("if this was a write, it may",), ("if this was a write, it may",)),
    ],
    ids=["refused", "failed", "lost", "garbled"],
)
async def test_a_hint_fits_what_a_command_has_met(
    monkeypatch: pytest.MonkeyPatch, faults: str, of_readings: tuple[str, ...], of_writings: tuple[str, ...]
) -> None:
    readings, writings = (
        [one for one in lines if faults != "malformed*999" or named(one) not in OPAQUE] for lines in (READING, WRITING)
    )
    said = await _said(monkeypatch, faults, readings + writings)
    for command in readings:
        hint = _hint(said[command])
        assert any(words in hint for words in of_readings), f"{command}: {hint}"
        assert "before repeating a write" not in hint, f"{command}: {hint}"
    for command in writings:
        hint = _hint(said[command])
        assert any(words in hint for words in of_writings), f"{command}: {hint}"
        assert "safe to repeat" not in hint, f"{command}: {hint}"


async def test_who_only_looks_at_a_spool_is_not_told_of_a_record(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert _hint(await asyncio.to_thread(_last_line, "panoply spool folder")) == "make the file readable and writable"
