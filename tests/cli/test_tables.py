"""What every command shows on a screen of 80 columns: no word of it broken, and counts that agree with their nouns."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import chdir
from pathlib import Path
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from asyncconn.atoti_limits.offline.csv_formats import write_limits, write_structures
from asyncconn.cli import output
from asyncconn.cli.app import app
from asyncconn.sandbox import DatoramaWorld, LimitsWorld, Sandbox, TcupWorld
from cli.limits_scene import DAY, STRUCTURE, limit
from cli.tcup_scene import RULE

SOURCES = Path(__file__).parent / "sources"
WIDTH = 80
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ONE_OF_MANY = re.compile(r"(?<![\d.,:-])1 (?!less\b|was\b|is\b|this\b)[a-z]+s\b")


def on_a_screen(folder: Path, args: str, env: dict[str, str], columns: int, given: bytes = b"") -> str:
    """What a command writes to a terminal so wide, results and remarks, without its styles."""
    screen = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1"}
    with chdir(folder), patch.object(output.spoken, "quiet", new=False):
        ended = CliRunner().invoke(app, args.split(), env={**env, **screen}, input=given)
    assert ended.exit_code in (0, 1), f"{args}: {ended.output}"
    return _STYLE.sub("", ended.stdout)


def broken(wide: str, narrow: str) -> list[str]:
    """Words of the wide screen that are not on the narrow one."""
    there = set(narrow.split())
    return [word for word in wide.split() if word not in there and not word.startswith("─")]


def wrong_counts(text: str) -> list[str]:
    """``1 records``, and the like."""
    return _ONE_OF_MANY.findall(text)


class Screens:
    """Runs commands, and looks at what they show."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._env = env
        self.shown: list[str] = []

    async def does(self, args: str, given: bytes = b"") -> str:
        """A command that changes something: its counts are right."""
        text = await asyncio.to_thread(on_a_screen, self._folder, args, self._env, WIDTH, given)
        assert wrong_counts(text) == [], args
        return text

    async def shows(self, args: str) -> str:
        """A command that shows something, the same each time: on a narrow screen each word that is on a wide one."""
        wide = await asyncio.to_thread(on_a_screen, self._folder, args, self._env, 400)
        narrow = await self.does(args)
        assert len(wide.splitlines()) > 1, f"{args} shows nothing: {wide}"
        assert broken(wide, narrow) == [], narrow
        longest = max(map(len, narrow.split()))
        assert max(map(len, map(str.rstrip, narrow.splitlines()))) <= max(WIDTH, longest + 40), narrow
        self.shown.append(args)
        return narrow


async def test_lists_of_datorama(tmp_path: Path) -> None:
    async with Sandbox(DatoramaWorld(workspaces=2, streams=3, jobs=1), seed=1) as sandbox:
        screens = Screens(tmp_path, sandbox.env)
        stream, fields = next(iter(sandbox.datorama.live.streams.items()))
        where = fields["workspaceId"]
        for args in ("workspaces", "streams", "jobs"):
            await screens.shows(f"datorama {args}")
        await screens.shows(f"datorama query -w {where} --range LAST_MONTH -m Clicks -d Day")
        await screens.does(f"datorama process {stream} --start 2026-01-01 --end 2026-01-02")
        await screens.does("datorama snapshot snapshots")
        await screens.does("datorama rate")


async def test_lists_of_atoti_limits(tmp_path: Path) -> None:
    (tmp_path / "structures.csv").write_text(write_structures([STRUCTURE]))
    (tmp_path / "limits.csv").write_text(write_limits([limit("fiat", 20_000, "CarName=Fiat")]))
    async with Sandbox(LimitsWorld(), seed=1) as sandbox:
        sandbox.atoti_limits.limits.utilizations.update(fiat=120.5)
        sandbox.atoti_limits.limits.connect("atoti", sandbox.atoti_limits.session.url)
        screens = Screens(tmp_path, sandbox.env)
        assert "1 structure" in await screens.does("limits upload structures.csv")
        assert "1 limit" in await screens.does("limits upload limits.csv")
        for args in ("status", "check-cube", "structures", "limits", f"evaluate --date {DAY}", "incidents", "compat"):
            await screens.shows(f"limits {args}")


async def test_lists_of_tcup(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("print(20 + 1)")
    (tmp_path / "two.py").write_text("print(42)")
    (tmp_path / "pairs.csv").write_text("source,destination,file\none,two,out.out\n")
    (tmp_path / "flights.csv").write_text("a,b\n1,2\n")
    async with Sandbox(TcupWorld(), seed=1) as sandbox:
        screens = Screens(tmp_path, sandbox.env)
        await screens.does("tcup register ts1 obs1:text obs2:quantity:Cel --feature tf1")
        await screens.does("tcup rules create - --start", json.dumps(RULE).encode())
        assert "1 observation stored" in await screens.does("tcup observe ts1 obs2=31 --time 2026-01-05T00:00Z")
        await screens.does("tcup upload flights.csv -m colour=blue -m rows=3 --savepoint y2026/march")
        for name in ("one", "two"):
            await screens.does(f"tcup task deploy p {name} {name}.py")
        await screens.does("tcup workflow run pairs.csv --project p --name f")
        flow = await asyncio.to_thread(on_a_screen, tmp_path, "tcup workflow list -f json", sandbox.env, 80)
        for args in (
            "sensors", "query ts1", "search", "rules list", "rules statistics", "task list p",
            "workflow list", f"workflow runs {json.loads(flow)[0]['processDefinitionId']}", "workflow history I1",
        ):  # fmt: skip
            await screens.shows(f"tcup {args}")


async def test_what_needs_no_platform(tmp_path: Path) -> None:
    screens = Screens(tmp_path, {})
    for name in ("echo", "counting"):
        await screens.shows(f"source describe {SOURCES / name}.py")
    (tmp_path / "in.csv").write_text("id,name\n1,one\n")
    await screens.does("panoply write in.csv -t names --dry-run")


@pytest.mark.parametrize("noun", ["record", "query", "batch"])
def test_a_count_that_is_wrong_is_found(noun: str) -> None:
    assert wrong_counts(f"1 {noun}s written") == [f"1 {noun}s"]
    assert wrong_counts(f"21 {noun}s, 0.1 {noun}s, 1 {noun} written, 2026-01-1 {noun}s") == []


def test_a_word_that_is_broken_is_found() -> None:
    assert broken("id 2026-01-31", "id 2026-01-\n31") == ["2026-01-31"]
