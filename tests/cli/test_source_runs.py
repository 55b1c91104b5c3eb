"""``asyncconn source run``: what comes of dry runs and of real ones, and what is left when they fail or are ended."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from helpers import until

from asyncconn.core.files import FileLock
from asyncconn.sandbox import Sandbox
from cli.commands import arun, command, ended, environment, run, started
from cli.source_scene import COUNTING, ENV, PASSWORD, inside

if TYPE_CHECKING:
    from pathlib import Path

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
            await until(lambda: sandbox.panoply.counters.accepted)
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
