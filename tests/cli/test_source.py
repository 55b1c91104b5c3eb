"""``asyncconn source``: what a module asks for, where each value comes from, and how a run of it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from typer.testing import CliRunner

from asyncconn.cli.app import app
from asyncconn.core.files import FileLock
from asyncconn.sandbox import Sandbox
from cli.commands import Ended, arun, command, ended, environment, run, started

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = Path(__file__).parent / "sources"
COUNTING, ECHO = str(SOURCES / "counting.py"), str(SOURCES / "echo.py")
PASSWORD = "made-up-pass"
ENV = {"ASYNCCONN_SOURCE_PASSWORD": PASSWORD}
WHO = ("--host-name", "h", "--user", "u")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder and a clean environment for a command in this process, which may import what it likes."""
    for name in [name for name in os.environ if name.startswith("ASYNCCONN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    modules, path = set(sys.modules), list(sys.path)
    yield tmp_path
    for name in {"echo", "counting", "mine"} & (set(sys.modules) - modules):
        del sys.modules[name]
    sys.path[:] = path


def inside(*args: str, env: dict[str, str] | None = None) -> Ended:
    """The command in this process, without a terminal."""
    done = CliRunner().invoke(app, ["source", *args], env=env or {})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)


def echoed(*args: str, env: dict[str, str] | None = None) -> Any:
    """What the source was made with."""
    done = inside("run", ECHO, *args, "--dry-run", env=env)
    assert done.status == 0, done.text
    return json.loads(done.out)["source"]


def words(text: str) -> str:
    """Without the frames and line breaks of a help text."""
    return " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())


# -- describe and help -------------------------------------------------------------------------------------------------


def test_describe_shows_what_a_module_asks_for(here: Path) -> None:
    shown = inside("describe", COUNTING)

    assert shown.status == 0
    assert shown.out.startswith("Counting [of all kinds]\ncategories: DB, APIS\n")
    assert re.search(r"^--rows +number +5 +How many\. See", shown.out, re.MULTILINE)
    assert re.search(r"^--mode +select +plain +one of plain", shown.out, re.MULTILINE)
    assert re.search(r"^password +password +yes", shown.out, re.MULTILINE)
    assert "(ASYNCCONN_SOURCE_PASSWORD)" in shown.out


def test_describe_is_there_as_json(here: Path) -> None:
    shown = json.loads(inside("describe", ECHO, "--format", "json").out)

    params = {param["name"]: param for param in shown}
    assert (params["hostName"]["option"], params["hostName"]["required"]) == ("--host-name", True)
    assert (params["state"]["option"], params["state"]["variable"]) == ("--param-state", "ASYNCCONN_SOURCE_STATE")
    assert params["access_token"]["option"] is None
    assert (params["shops"]["values"], params["shops"]["dependencies"]) == ("dynamic", ["region"])
    assert params["mode"]["values"] == [{"name": "Full load", "value": "full"}, {"name": "Changes", "value": "inc"}]


def test_describe_shows_no_default_of_a_secret(here: Path) -> None:
    text = Path(COUNTING).read_text().replace('"required": True, "default": ""', '"default": "made-up-default"')
    assert "made-up-default" in text
    (here / "mine.py").write_text(text)

    for args in (("describe", "mine.py"), ("describe", "mine.py", "--format", "json"), ("run", "mine.py", "--help")):
        shown = inside(*args)
        assert shown.status == 0
        assert "made-up-default" not in shown.text


def test_help_of_a_module_has_its_options_beside_ours(here: Path) -> None:
    shown = words(inside("run", COUNTING, "--help").out)

    assert "Options of Counting [of all kinds]" in shown
    assert "--rows NUMBER How many. See [docs](https://a.example) (default: 5)" in shown
    assert "one of plain, failing, broken" in shown
    assert "--dry-run" in shown
    assert "ASYNCCONN_SOURCE_PASSWORD (password)" in shown
    assert "--password" not in shown


def test_help_hides_what_nobody_is_asked_for(here: Path) -> None:
    shown = inside("run", ECHO, "--help").out

    assert "--host-name" in shown
    assert "--zone" not in shown


def test_help_without_a_module_has_our_options(here: Path) -> None:
    shown = inside("run", "--help")

    assert shown.status == 0
    assert "--dry-run" in shown.out
    assert "--host-name" not in shown.out


@pytest.mark.parametrize("command_name", ["describe", "run"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "mine.py raised ZeroDivisionError while it was imported in "),
        ("import asyncconn.panoply", "mine.py: there is no Stream: add Stream ="),
        (None, "mine.py: there is no such file"),
    ],
)
def test_a_bad_module_is_one_line_and_status_2(here: Path, command_name: str, text: str | None, said: str) -> None:
    if text is not None:
        (here / "mine.py").write_text(text)
    refused = inside(command_name, "mine.py")

    assert refused.status == 2
    assert refused.err.startswith(f"error: {said}")
    assert refused.err.count("\n") == 1


def test_a_module_in_the_current_folder_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(Path(ECHO).read_text())
    found = run(tmp_path, "source", "describe", "mine", patch="import sys; sys.path.remove('')")

    assert found.status == 0, found.text
    assert found.out.startswith("Echo\n")


# -- values ------------------------------------------------------------------------------------------------------------


def test_values_arrive_as_their_types_and_defaults_silently(here: Path) -> None:
    source = echoed(
        *WHO, "--ratio", "0.50", "--tags", "a,b", "--tags", "c", "--mode", "Changes", "--param-state", "s"
    )  # fmt: skip

    assert source == {
        "type": "echo",
        "hostName": "h",
        "user": "u",
        "port": "5432",
        "ratio": "0.50",
        "tags": ["a", "b", "c"],
        "mode": {"name": "Changes", "value": "inc"},
        "zone": "eu",
        "state": "s",
    }


def test_choices_are_asked_for_with_what_they_depend_on_and_options(here: Path) -> None:
    source = echoed(*WHO, "--shops", "7,h-south 9", "--region", "h-south", "--option", "shops=[7, 9]")

    assert source["region"] == "h-south"
    assert source["shops"] == [{"name": "h-south 7", "value": 7}, {"name": "h-south 9", "value": 9}]


@pytest.mark.parametrize("args", [(*WHO, "--port", "1"), ("--", *WHO, "--port", "1")])
def test_options_stand_after_the_module_with_or_without_two_dashes(here: Path, args: tuple[str, ...]) -> None:
    assert echoed(*args)["port"] == "1"


def test_options_of_ours_may_stand_before_the_module(here: Path) -> None:
    done = inside("run", "--batch-size", "3", "--dry-run", COUNTING, env=ENV)

    assert (done.status, len(done.out.splitlines())) == (0, 5), done.text


def test_an_option_of_the_module_before_it_is_told_its_place(here: Path) -> None:
    refused = inside("run", "--host-name", "h", ECHO)

    assert refused.status == 2
    assert "MODULE comes first, then its options: found --host-name" in words(refused.err)


def test_the_command_line_comes_before_the_environment_and_that_before_a_file(here: Path) -> None:
    (here / ".env").write_text("ASYNCCONN_SOURCE_RATIO=3\nASYNCCONN_SOURCE_USER=dotenv\n")
    (here / "more.json").write_text('{"id": 5, "type": "shop", "hostName": "file", "user": "file", "port": 4}')
    env = {"ASYNCCONN_SOURCE_HOST_NAME": "env", "ASYNCCONN_SOURCE_USER": "env", "ASYNCCONN_SOURCE_TAGS": "a,b"}
    source = echoed("--host-name", "given", "--source", "more.json", env=env)

    assert source == {
        "id": 5, "type": "shop", "hostName": "given", "user": "env", "port": 4, "ratio": "3", "tags": ["a", "b"],
        "zone": "eu",
    }  # fmt: skip


def test_a_destination_goes_into_the_source(here: Path) -> None:
    done = inside("run", COUNTING, "--destination", "t_{half}", "--dry-run", env=ENV)

    assert [json.loads(line)["__table"] for line in done.out.splitlines()] == ["t_a"] * 3 + ["t_b"] * 2


def test_everything_that_is_missing_is_said_at_once(here: Path) -> None:
    refused = inside("run", ECHO, "--region", "x", "--dry-run")

    assert refused == Ended(
        2,
        "",
        "error: required and not given: --host-name (or ASYNCCONN_SOURCE_HOST_NAME), "
        "--user (or ASYNCCONN_SOURCE_USER)\n",
    )


def test_a_missing_password_is_asked_of_the_environment(here: Path) -> None:
    refused = inside("run", COUNTING, "--dry-run")

    assert refused == Ended(2, "", "error: required and not given: ASYNCCONN_SOURCE_PASSWORD (a secret)\n")


def test_an_empty_value_is_as_good_as_none_for_what_is_required(here: Path) -> None:
    assert "--user" in inside("run", ECHO, "--host-name", "h", "--user", "", "--dry-run").err


@pytest.mark.parametrize(
    "given", [("--password", "hunter22"), ("--password=hunter22",), ("--", "--password", "hunter22")]
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(here: Path, given: tuple[str, ...]) -> None:
    refused = inside("run", COUNTING, *given)

    assert refused.status == 2
    assert "--password is never taken from the command line" in words(refused.err)
    assert "set ASYNCCONN_SOURCE_PASSWORD" in words(refused.err)
    assert "hunter22" not in refused.text


def test_everything_that_does_not_fit_is_said_at_once(here: Path) -> None:
    env = {"ASYNCCONN_SOURCE_RATIO": "half"}
    refused = inside("run", ECHO, *WHO, "--port", "x", "--mode", "y", "--region", "z", "--dry-run", env=env)

    assert (refused.status, refused.out) == (2, "")
    assert refused.err.splitlines() == [
        "error: --port: 'x' is not a number",
        "error: ASYNCCONN_SOURCE_RATIO: 'half' is not a number",
        "error: --mode: 'y' is not one of Full load, Changes",
        "error: --region: 'z' is not one of h-north, h-south",
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--shops", "7"), "--shops: needs --region to be given as well"),
        (("--host-name", "nowhere", "--region", "x"), "--region: the values of 'region' could not be had: Connection"),
        (("--option", "a"), "--option takes NAME=JSON"),
        (("--option", "a=hunter22"), "--option a: not JSON after the '='; a text stands in double quotes"),
        (("--source", "no.json"), "no.json: No such file or directory"),
        (("--source", ECHO), "echo.py is not JSON: "),
        (("--destination", "{"), "the destination '{' has a brace"),
        (("--to", "sandbox"), "--dry-run sends nothing"),
    ],
)
def test_bad_input_is_one_line_and_status_2(here: Path, args: tuple[str, ...], said: str) -> None:
    refused = inside("run", ECHO, *WHO, *args, "--dry-run")

    assert (refused.status, refused.out) == (2, ""), refused.text
    assert said in refused.err
    assert refused.err.startswith("error: ")
    assert refused.err.count("\n") == 1
    assert "hunter22" not in refused.err


def test_an_unknown_option_is_refused_with_the_nearest_one(here: Path) -> None:
    refused = inside("run", ECHO, "--hostname=hunter22")

    assert refused.status == 2
    assert "No such option: --hostname" in refused.err
    assert "--host-name" in refused.err
    assert "hunter22" not in refused.err


def test_two_parameters_of_one_option_are_refused(here: Path) -> None:
    (here / "mine.py").write_text(Path(ECHO).read_text().replace('{"name": "user"', '{"name": "host_name"'))
    refused = inside("run", "mine.py")

    assert refused.status == 2
    assert "'hostName' and 'host_name' are both --host-name: rename one" in refused.err


# -- dry runs ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_prints_rows_and_nothing_else_on_standard_output(tmp_path: Path) -> None:
    done = run(tmp_path, "source", "run", COUNTING, "--dry-run", "--batch-size", "2", "--state", "s.json", env=ENV)

    assert done.status == 0, done.text
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert rows == [{"id": f"{n}", "half": "ab"[n % 2], "__table": "counting"} for n in range(5)]
    assert done.err.splitlines()[-1] == "5 rows in 1 table printed; nothing was sent"
    assert done.err.count("an old source prints") == 3
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_goes_on_from_the_state_and_leaves_it_alone(here: Path) -> None:
    state = here / "s.json"
    state.write_text('{"state": {"at": 3}, "source": {}}')
    before = state.read_bytes()
    done = inside("run", COUNTING, "--dry-run", "--state", "s.json", env=ENV)

    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["3", "4"]
    assert state.read_bytes() == before


def test_a_token_that_was_renewed_and_saved_need_not_be_given_again(here: Path) -> None:
    (here / "s.json").write_text('{"state": {}, "source": {"password": "made-up-token"}}')

    assert inside("run", COUNTING, "--dry-run").status == 2
    assert inside("run", COUNTING, "--dry-run", "--state", "s.json").status == 0


def test_a_limit_ends_a_dry_run(here: Path) -> None:
    done = inside("run", COUNTING, "--dry-run", "--limit", "3", "--batch-size", "2", env=ENV)

    assert done.status == 0
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["0", "1", "2"]
    assert inside("run", COUNTING, "--limit", "3", env=ENV).status == 2


def test_a_reader_that_goes_away_ends_a_dry_run_quietly(tmp_path: Path) -> None:
    args = command("source", "run", COUNTING, "--dry-run", "--rows", "100000")
    with subprocess.Popen(
        args, cwd=tmp_path, env=environment(ENV), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b'"id":"0"' in process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()

    assert "Traceback" not in said
    assert process.returncode == 1


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_into_the_sandbox_shows_what_landed_and_keeps_its_state_when_asked(tmp_path: Path) -> None:
    args = ("source", "run", COUNTING, "--to", "sandbox", "--batch-size", "2", "--state", "s.json", "--keep-state")
    first = run(tmp_path, *args, env=ENV)

    assert first.status == 0, first.text
    assert re.search(r"What landed in the sandbox\ntable +rows\n─+\ncounting +5\n5 of 5 rows delivered in", first.out)
    assert first.out.endswith("state saved in s.json\n")
    assert json.loads((tmp_path / "s.json").read_text())["state"] == {"at": 5}
    assert "\x1b" not in first.text

    second = run(tmp_path, *args, "--rows", "8", env=ENV)
    assert "3 of 3 rows delivered" in second.out
    assert PASSWORD not in (first.text + second.text + (tmp_path / "s.json").read_text())


def test_a_run_that_brought_everything_forgets_its_state_unless_asked_to_keep_it(here: Path) -> None:
    (here / "s.json").write_text('{"state": {"at": 3}, "source": {}}')
    args = ("run", COUNTING, "--to", "sandbox", "--state", "s.json")
    first, second = inside(*args, env=ENV), inside(*args, env=ENV)

    assert "2 of 2 rows delivered" in first.out
    assert "the next run begins anew" in first.out
    assert "5 of 5 rows delivered" in second.out
    assert inside("run", COUNTING, "--keep-state", env=ENV).status == 2


async def test_a_state_file_in_use_is_refused_and_a_dry_run_may_look_at_it(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "s.json")
    assert await asyncio.to_thread(lock.take)
    refused = await arun(tmp_path, "source", "run", COUNTING, "--to", "sandbox", "--state", "s.json", env=ENV)
    looked = await arun(tmp_path, "source", "run", COUNTING, "--dry-run", "--state", "s.json", env=ENV)
    await asyncio.to_thread(lock.release)

    assert (refused.status, looked.status) == (1, 0)
    assert "the state file s.json is in use by another run (wait until" in refused.err


async def test_a_run_goes_to_the_panoply_of_the_environment(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        done = await arun(
            tmp_path, "source", "run", COUNTING, "--rows", "2500", "--destination", "t_{half}",
            env={**sandbox.env, **ENV},
        )  # fmt: skip
        assert done.status == 0, done.text
        assert sandbox.panoply.tables() == {"t_a": 1250, "t_b": 1250}
        assert not [value for value in (PASSWORD, sandbox.panoply.api_key) if value in done.text]
    assert re.search(r"t_a +1,250\nt_b +1,250\n2,500 of 2,500 rows delivered", done.out)


def test_missing_credentials_are_said_before_anything_is_asked(here: Path) -> None:
    refused = inside("run", COUNTING)

    assert refused.status == 2
    assert refused.err.startswith("error: set ASYNCCONN_PANOPLY_API_KEY and ASYNCCONN_PANOPLY_API_SECRET (")


def test_a_spool_is_the_writers(tmp_path: Path) -> None:
    patch = """
from asyncconn import Panoply
def from_env(*, hub, **options):
    print(options)
    raise SystemExit(7)
Panoply.from_env = from_env
"""
    there = Sandbox().panoply
    env = {
        **ENV,
        "ASYNCCONN_PANOPLY_API_KEY": there.api_key,
        "ASYNCCONN_PANOPLY_API_SECRET": there.api_secret,
    }
    told = [run(tmp_path, "source", "run", COUNTING, *more, env=env, patch=patch) for more in ((), ("--spool", "x.db"))]

    assert [(one.status, one.out) for one in told] == [(7, "{}\n"), (7, "{'spool': PosixPath('x.db')}\n")]


@pytest.mark.parametrize(
    ("mode", "delivered", "said"),
    [
        ("failing", "2 of 2 rows delivered", "error: read failed once, which it says is not to be repeated: "),
        ("broken", None, "error: RuntimeError: cannot log in with ***"),
    ],
)
def test_a_source_that_fails_is_one_line_without_its_secrets(
    tmp_path: Path, mode: str, delivered: str | None, said: str
) -> None:
    args = ("source", "run", COUNTING, "--mode", mode, "--batch-size", "2", "--to", "sandbox")
    failed = run(tmp_path, *args, env=ENV)

    assert failed.status == 1, failed.text
    assert said in failed.err
    assert failed.err.count("\n") == 1
    assert PASSWORD not in failed.text
    assert delivered is None or delivered in failed.out
    assert "Traceback" in run(tmp_path, "--debug", *args, env=ENV).err


def test_what_a_source_logs_is_shown_without_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "telling.py").write_text(
        "from asyncconn import DataSource\n"
        "CONFIG = {'title': 'Telling', 'icon': '', 'params': [{'name': 'password', 'type': 'password'}]}\n"
        "class Stream(DataSource):\n"
        "    async def read(self, batch_size):\n"
        "        self.log('logged in with', self.source['password'])\n"
    )
    args = ("source", "run", "telling.py", "--to", "sandbox", "--destination", "t")
    done = run(tmp_path, *args, "-v", env=ENV)

    assert done.status == 0, done.text
    assert "logged in with ***" in done.err
    assert PASSWORD not in done.text


def test_a_read_that_is_repeated_does_not_put_the_words_of_its_error_on_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "flaky.py").write_text(
        "from asyncconn import DataSource\n"
        "CONFIG = {'title': 'Flaky', 'icon': '', 'params': []}\n"
        "class Stream(DataSource):\n"
        "    tries = 0\n"
        "    async def read(self, batch_size):\n"
        "        self.tries += 1\n"
        "        if self.tries == 1:\n"
        f"            raise RuntimeError('cannot log in with {PASSWORD}')\n"
    )
    done = run(tmp_path, "source", "run", "flaky.py", "--to", "sandbox", "--destination", "t", env=ENV)

    assert (done.status, done.err) == (0, ""), done.text
    assert "1 of 1 reads were repeated" in done.out


def test_a_corrupt_state_file_is_bad_input(here: Path) -> None:
    (here / "s.json").write_text("{")
    refused = inside("run", COUNTING, "--dry-run", "--state", "s.json", env=ENV)

    assert refused.status == 2
    assert "the state file s.json is damaged" in refused.err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_delivers_what_was_read_and_keeps_its_state(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    args = ("source", "run", COUNTING, "--rows", "60", "--batch-size", "1", "--pause", "0.01", "--state", "s.json")
    async with Sandbox() as sandbox:
        env = {**sandbox.env, **ENV}
        async with started(tmp_path, *args, "--rows", "100000", env=env) as process:
            async with asyncio.timeout(10):
                while not sandbox.panoply.counters.accepted:
                    await asyncio.sleep(0.02)
            process.send_signal(number)
            end = await ended(process)
        assert end.status == status, end.text
        landed = sandbox.panoply.tables()["counting"]
        assert f"interrupted: {landed:,} of {landed:,} rows delivered" in end.out
        assert not re.search("Traceback|Warning", end.text)
        assert json.loads((tmp_path / "s.json").read_text())["state"] == {"at": landed}

        more = ("--rows", f"{landed + 3}")
        rest = await arun(tmp_path, *args, *more, env=env)
        assert rest.status == 0, rest.text
        ids = [int(row["id"]) for row in sandbox.panoply.sql("select id from counting")]
    assert sorted(ids) == list(range(landed + 3))


# -- at a terminal -----------------------------------------------------------------------------------------------------

pty = pytest.importorskip("pty", reason="the system has no terminals")


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, folder: Path, *args: str, env: dict[str, str]) -> None:
        self.leader, follower = pty.openpty()
        self.seen = ""
        env = {**environment(env), "TERM": "xterm", "COLUMNS": "100"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _AT_TERMINAL, *command(*args)],
            cwd=folder, env=env, stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        )  # fmt: skip
        os.close(follower)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.leader)

    def until(self, text: str) -> None:
        deadline = time.monotonic() + 10
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} never came: {self.seen!r}"
            self._read(0.1)

    def type(self, text: str) -> None:
        os.write(self.leader, text.encode())

    def end(self, pressing: str = "") -> int:
        deadline = time.monotonic() + 10
        press = 0.0
        while self.process.poll() is None or self._read(0.1):
            assert time.monotonic() < deadline, f"it never ended: {self.seen!r}"
            if pressing and time.monotonic() > press:
                self.type(pressing)
                press = time.monotonic() + 4
            self._read(0.1)
        return self.process.wait()

    def _read(self, wait: float) -> bool:
        if not select.select([self.leader], [], [], wait)[0]:
            return False
        try:
            more = os.read(self.leader, 65536)
        except OSError:  # as Linux tells of the end
            return False
        self.seen += more.decode(errors="replace")
        return bool(more)


# The terminal becomes the one that the command is at: getpass asks there.
_AT_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_at_a_terminal_what_is_missing_is_asked_for_and_a_secret_is_not_echoed(tmp_path: Path) -> None:
    text = Path(ECHO).read_text().replace('"type": "select",', '"type": "select", "required": True,')
    text = text.replace('"type": "dynamic-list",', '"type": "dynamic-list", "required": True,')
    text = text.replace('"type": "oauth"', '"type": "oauth", "required": True')
    (tmp_path / "mine.py").write_text(text)
    with Terminal(tmp_path, "source", "run", "mine.py", "--user", "u", "--dry-run", env={}) as terminal:
        terminal.until("hostName: ")
        terminal.type("h\n")
        terminal.until("access_token: ")
        terminal.type(f"{PASSWORD}\n")
        terminal.until("1  h-north")
        terminal.until("2  h-south")
        terminal.until("region (number or name): ")
        terminal.type("west\n")
        terminal.until("'west' is not one of h-north, h-south")
        terminal.type("2\n")
        terminal.until("shops (numbers or names, with commas between): ")
        before = len(terminal.seen)
        assert PASSWORD not in terminal.seen
        terminal.type("2, h-south 7\n")
        assert terminal.end() == 0
    [line] = [line for line in terminal.seen[before:].splitlines() if line.startswith("{")]
    source = json.loads(line)["source"]
    assert (source["hostName"], source["access_token"], source["region"]) == ("h", PASSWORD, "h-south")
    assert source["shops"] == [{"name": "h-south 8", "value": 8}, {"name": "h-south 7", "value": 7}]


def test_at_a_terminal_nobody_is_asked_when_something_does_not_fit(tmp_path: Path) -> None:
    with Terminal(tmp_path, "source", "run", COUNTING, "--mode", "x", "--dry-run", env={}) as terminal:
        assert terminal.end() == 2
    assert "password" not in terminal.seen
    assert "'x' is not one of plain, failing, broken" in terminal.seen


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
@pytest.mark.parametrize(("args", "question"), [((ECHO,), "hostName: "), ((COUNTING,), "password: ")])
def test_a_question_can_be_left(tmp_path: Path, key: str, args: tuple[str, ...], question: str) -> None:
    with Terminal(tmp_path, "source", "run", *args, "--dry-run", env={}) as terminal:
        terminal.until(question)
        # One that comes just before Python waits for input is seen at the next key only.
        assert terminal.end(pressing=key) == 130
    assert "interrupted" in terminal.seen
    assert "Traceback" not in terminal.seen


def test_at_a_terminal_a_bar_shows_the_progress_of_the_source(tmp_path: Path) -> None:
    args = ("--batch-size", "1", "--pause", "0.15", "--to", "sandbox")
    with Terminal(tmp_path, "source", "run", COUNTING, *args, env=ENV) as terminal:
        assert terminal.end() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.seen)
    assert re.search("reading .*[234]/5 [234] of \\[5\\]", plain)
    assert re.search("5 rows delivered .*5/5", plain)
    assert "\x1b[2J" not in terminal.seen  # what the source says moves no cursor
