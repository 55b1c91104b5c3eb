"""The commands around the main ones, and what all of them have in common."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from typer.main import get_command

from asyncconn import __version__
from asyncconn.cli.app import app
from asyncconn.cli.output import count, size
from asyncconn.sandbox import Sandbox
from cli.commands import Ended, arun, ended, run, started

if TYPE_CHECKING:
    from pathlib import Path

KEY, SECRET = "ASYNCCONN_PANOPLY_API_KEY", "ASYNCCONN_PANOPLY_API_SECRET"


def said(process_output: bytes) -> dict[str, str]:
    lines = [
        line.removeprefix("export ") for line in process_output.decode().splitlines() if line.startswith("export ")
    ]
    return dict(line.split("=", 1) for line in lines)


# -- all of them -------------------------------------------------------------------------------------------------------


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert run(tmp_path, "--version") == Ended(0, f"asyncconn {__version__}\n", "")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--help",), ("demo", "sandbox", "doctor", "panoply")),
        (("demo", "--help"), ("--faults", "--rate", "--json")),
        (("panoply", "write", "-h"), ("--table", "--dry-run", "--save-failed")),
    ],
)
def test_help_names_what_there_is_in_plain_text(tmp_path: Path, args: tuple[str, ...], words: tuple[str, ...]) -> None:
    help_text = run(tmp_path, *args)
    assert help_text.status == 0
    assert all(word in help_text.out for word in words)
    assert "\x1b" not in help_text.text


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path, missing: str) -> None:
    without = run(tmp_path, "--version", patch=f"import sys; sys.modules[{missing!r}] = None")
    assert without == Ended(1, "", f"error: the command line needs {missing}: pip install 'asyncconn[cli]'\n")


def test_another_missing_module_is_not_taken_for_the_extra(tmp_path: Path) -> None:
    without = run(tmp_path, "panoply", "--help", patch="import sys; sys.modules['orjson'] = None")
    assert without.status == 1
    assert "ModuleNotFoundError" in without.err


def test_only_the_command_line_imports_typer_and_rich(tmp_path: Path) -> None:
    code = "import asyncconn, asyncconn.cli, asyncconn.hub, asyncconn.panoply, asyncconn.sandbox, sys\n"
    seen = run(tmp_path, patch=code + "print([m for m in ('typer', 'rich') if m in sys.modules]); sys.exit()")
    assert seen.out == "[]\n"


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_a_command_loads_nothing_of_the_others(word: str, tmp_path: Path) -> None:
    heavy = "('aiohttp', 'pydantic', 'asyncconn.panoply', 'asyncconn.datorama', 'asyncconn.sandbox')"
    code = f"import atexit, sys\natexit.register(lambda: print([m for m in {heavy} if m in sys.modules]))"
    assert run(tmp_path, word, patch=code).out.splitlines()[-1] == "[]"


def test_a_list_of_commands_says_of_each_what_it_says_itself() -> None:
    root: Any = get_command(app)
    for name, later in root.commands.items():
        itself = " ".join(later.itself().help.split())
        assert itself.startswith(later.help.rstrip(".")), name


def completed(folder: Path, *words: str) -> list[str]:
    """What a shell would offer for the last of the words."""
    env = {"COMP_WORDS": " ".join(("asyncconn", *words)), "COMP_CWORD": str(len(words))}
    return run(folder, env={**env, "_ASYNCCONN_COMPLETE": "complete_bash"}).out.split()


def test_a_shell_completes_commands_of_modules_that_were_not_loaded(tmp_path: Path) -> None:
    assert completed(tmp_path, "da") == ["datorama"]
    assert completed(tmp_path, "datorama", "re") == ["rerun", "rename", "report", "reports"]
    assert completed(tmp_path, "datorama", "process", "--dr") == ["--dry-run"]
    assert completed(tmp_path, "tcup", "task", "st") == ["start", "stop"]
    assert completed(tmp_path, "tcup", "mqtt", "") == ["pub", "sub"]
    assert completed(tmp_path, "tcup", "ws", "sub", "--ex") == ["--exchange"]
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # whichever shell the tests run in
    assert "complete_bash" in run(tmp_path, "--show-completion", "bash", env=named).out


# -- words anywhere ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [("--debug", "demo", "--rate", "0"), ("demo", "--rate", "0", "--debug")])
def test_debug_shows_the_traceback_of_an_error(args: tuple[str, ...], tmp_path: Path) -> None:
    plain = run(tmp_path, *[word for word in args if word != "--debug"])
    assert (plain.status, plain.err.count("\n")) == (2, 1)
    assert "Traceback" in run(tmp_path, *args).err


@pytest.mark.parametrize(
    ("args", "lines"),
    [
        (("datorama", "workspaces"), []),
        (("datorama", "workspaces", "-v"), ["again in"]),
        (("-v", "datorama", "workspaces", "-v"), ["again in", "GET /v1/workspaces -> 200"]),
        (("datorama", "-vv", "workspaces", "--quiet"), ["again in", "GET /v1/workspaces -> 200"]),
    ],
)
async def test_verbose_shows_what_is_logged_from_anywhere_on_the_line(
    args: tuple[str, ...], lines: list[str], tmp_path: Path
) -> None:
    async with Sandbox(faults="status:503") as sandbox:
        ended = await arun(tmp_path, *args, env=sandbox.env)
    assert ended.status == 0, ended.text
    assert [words for words in ("again in", "GET /v1/workspaces -> 200") if words in ended.err] == lines
    assert bool(ended.err) == bool(lines)
    assert sandbox.datorama.token not in ended.text


async def test_quiet_leaves_results_and_errors(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id;name\n1;one\n")
    dry = ("panoply", "write", "in.csv", "-t", "names", "--dry-run")
    loud = await arun(tmp_path, *dry)
    quiet = await arun(tmp_path, *dry, "-q")
    assert "read as CSV" in loud.err
    assert (quiet.status, quiet.err, quiet.out) == (0, "", loud.out)
    assert run(tmp_path, "-q", "datorama", "workspaces").err.startswith("error: ")


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 bytes"), (1, "1 byte"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (10**9, "1.0 GB")]
)  # fmt: skip
def test_sizes_are_readable(number: int, text: str) -> None:
    assert size(number) == text


def test_counts_agree_with_their_nouns() -> None:
    assert [count(n, "record") for n in (0, 1, 2000)] == ["0 records", "1 record", "2,000 records"]


# -- sandbox -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_sandbox_takes_records_from_another_process_and_ends_cleanly(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "in.csv").write_text("id,name\n1,one\n2,two\n")
    args = ("--env-file", ".env", "--warehouse", "landed.db", "--seed", "3")
    async with started(tmp_path, "sandbox", *args) as sandbox:
        assert sandbox.stdout is not None
        shown = await asyncio.wait_for(sandbox.stdout.readuntil(b"\n\n"), 10)
        settings = said(shown)
        datorama = {"ASYNCCONN_DATORAMA_TOKEN", "ASYNCCONN_DATORAMA_BASE_URL"}
        limits = {"ATOTI_BASE_URL", "ATOTI_LIMITS_URL", *(f"ASYNCCONN_ATOTI_LIMITS_{n}" for n in ("USER", "PASSWORD"))}
        tcup = {"ASYNCCONN_TCUP_URL", "ASYNCCONN_TCUP_API_KEY"}
        mqtt = {f"ASYNCCONN_TCUP_MQTT_{n}" for n in ("HOST", "PORT", "TLS", "USERNAME", "PASSWORD")}
        others = {"ASYNCCONN_NO_PROXY", "NO_PROXY", *datorama, *tcup, *mqtt, *limits}
        assert {*map(str.upper, settings)} == {KEY, SECRET, "ASYNCCONN_PANOPLY_ENDPOINT_URL", *others}
        assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
        written = await arun(tmp_path, "panoply", "write", "in.csv", "--table", "names")
        assert written.status == 0, written.text
        sandbox.send_signal(number)
        end = await ended(sandbox)
    assert end.status == 0, end.text
    assert end.err == ""
    assert "What landed" in end.out
    assert end.out.split()[-2:] == ["names", "2"]
    assert not (tmp_path / ".env").exists()
    connection = sqlite3.connect(tmp_path / "landed.db")
    assert connection.execute("select id, name from names order by id").fetchall() == [("1", "one"), ("2", "two")]
    connection.close()
    assert not [value for name, value in settings.items() if not name.endswith("_URL") and value in written.text]


async def test_the_sandbox_starts_atoti_limits_too_and_counts_the_calls_of_datorama(tmp_path: Path) -> None:
    async with started(tmp_path, "sandbox", "--atoti-limits", "2", "--seed", "3") as sandbox:
        assert sandbox.stdout is not None
        settings = said(await asyncio.wait_for(sandbox.stdout.readuntil(b"\n\n"), 10))
        token = {"Authorization": settings["ASYNCCONN_DATORAMA_TOKEN"]}
        async with aiohttp.ClientSession() as http:
            for name in ("ATOTI_BASE_URL", "ATOTI_LIMITS_URL"):
                async with http.get(settings[name] + "/versions/rest") as answer:
                    assert "apis" in await answer.json()
            for _ in range(2):
                async with http.get(
                    settings["ASYNCCONN_DATORAMA_BASE_URL"] + "/v1/workspaces", headers=token
                ) as answer:
                    assert answer.status == 200
        sandbox.send_signal(signal.SIGTERM)
        end = await ended(sandbox)
    assert (end.status, end.err) == (0, "")
    assert "2 calls of Datorama" in end.out


def test_the_sandbox_leaves_a_file_alone_that_it_did_not_write(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MINE=1\n")
    refused = run(tmp_path, "sandbox", "--env-file", ".env")
    assert refused.status == 2
    assert refused.err.startswith("error: .env was not made by the sandbox")
    assert (tmp_path / ".env").read_text() == "MINE=1\n"


async def test_the_sandbox_leaves_its_own_file_alone_once_a_line_was_added(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    async with started(tmp_path, "sandbox", "--env-file", ".env") as sandbox:
        assert sandbox.stdout is not None
        await asyncio.wait_for(sandbox.stdout.readuntil(b"\n\n"), 10)
        made = file.read_text()
        file.write_text(f"{made}MINE=1\n")
        sandbox.send_signal(signal.SIGTERM)
        end = await ended(sandbox)
    assert (end.status, end.err) == (0, ".env was changed meanwhile; it is left as it is\n")
    refused = await arun(tmp_path, "sandbox", "--env-file", ".env")
    assert refused.status == 2
    assert "or was changed since; it is left as it is" in refused.err
    assert file.read_text() == f"{made}MINE=1\n"


async def test_the_sandbox_replaces_what_another_that_was_killed_has_left(tmp_path: Path) -> None:
    for end in (signal.SIGKILL, signal.SIGTERM):
        async with started(tmp_path, "sandbox", "--env-file", ".env") as sandbox:
            assert sandbox.stdout is not None
            await asyncio.wait_for(sandbox.stdout.readuntil(b"\n\n"), 10)
            assert (tmp_path / ".env").exists()
            sandbox.send_signal(end)
            assert (await ended(sandbox)).err == ""
    assert not (tmp_path / ".env").exists()


async def test_an_address_that_is_taken_is_one_line(tmp_path: Path) -> None:
    async with Sandbox() as other:
        refused = await arun(tmp_path, "sandbox", "--port", other.url.rpartition(":")[2])
    assert refused.status == 2
    assert refused.err.startswith("error: the sandbox cannot listen on 127.0.0.1")
    assert refused.err.count("\n") == 1
