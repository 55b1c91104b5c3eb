"""Sources of the original SDK and the example, run as modules from the command line, with options out of ``CONFIG``."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli.commands import arun, run
from loopback import Loopback, Reply, Seen, saying

from .original import ORIGINALS, ported

if TYPE_CHECKING:
    from asyncconn.sandbox import Sandbox

pytestmark = [pytest.mark.usefixtures("warm_commands"), pytest.mark.slow(60)]  # programs, one after the other

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_tables_of_a_database_are_chosen_by_name_and_land_in_the_sandbox(tmp_path: Path) -> None:
    ported("postgres_like", tmp_path)
    connection = sqlite3.connect(tmp_path / "shop.db")
    with connection:
        for table in ("people", "places", "things"):
            connection.execute(f"create table {table} (id integer)")
            connection.executemany(f"insert into {table} values (?)", [(n,) for n in range(7)])
    connection.close()
    args = ("source", "run", "postgres_like.py", "--database", "shop.db", "--tables", "people,things")

    done = run(tmp_path, *args, "--to", "sandbox", "--keep-state", "--state", "state.json")

    assert (done.status, done.err) == (0, "")
    assert {"postgres_people 7", "postgres_things 7"} <= {" ".join(line.split()) for line in done.out.splitlines()}
    assert "places" not in done.out
    assert json.loads((tmp_path / "state.json").read_text())["state"] == {"last_index": 1}

    done = run(tmp_path, *args[:-1], "ghosts", "--to", "sandbox")

    assert done.status == 2
    assert "'ghosts' is not one of people, places, things" in done.err


def test_an_original_whose_import_was_not_changed_is_told_what_to_change(tmp_path: Path) -> None:
    done = run(tmp_path, "source", "describe", str(ORIGINALS / "ocr_like.py"))

    assert done.status == 2
    assert "import asyncconn.panoply as panoply" in done.err


async def test_a_token_comes_from_the_environment_and_the_forms_from_the_api(tmp_path: Path) -> None:
    ported("typeform_like", tmp_path)

    def api(seen: Seen) -> Reply:
        if seen.headers["authorization"] != "Bearer sesame":
            return saying({}, 400)
        return saying({"items": [{"id": "poll", "title": "Poll", "token": "1"}]})

    async with Loopback(otherwise=api) as server:
        env = {"TYPEFORM_LIKE_URL": server.url, "ASYNCCONN_SOURCE_ACCESS_TOKEN": "sesame"}
        done = await arun(tmp_path, "source", "run", "typeform_like.py", "--forms", "Poll", "--dry-run", env=env)

    assert done.status == 0
    assert json.loads(done.out) == {"id": "poll", "title": "Poll", "token": "1", "__table": "typeform_poll"}
    assert "sesame" not in done.text


async def test_the_example_describes_itself_and_runs_into_the_panoply_of_the_environment(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    def files(seen: Seen) -> Reply:
        if seen.path == "/stations.json":
            return saying(["seattle"])
        return Reply(body=(EXAMPLES / "data" / seen.path[1:]).read_bytes(), headers={"Content-Type": "text/csv"})

    module = str(EXAMPLES / "weather_source")
    described = await arun(tmp_path, "source", "describe", module, "--format", "json")

    assert [param["option"] for param in json.loads(described.out)] == [
        "--url",
        "--station",
        "--tables",
        "--since",
    ]

    async with Loopback(otherwise=files) as server:
        args = ("--url", server.url, "--station", "seattle", "--since", "2015-12-01")
        done = await arun(tmp_path, "source", "run", module, *args, env=sandbox.env)

    assert done.status == 0, done.text
    assert sandbox.panoply.tables() == {"weather_daily": 31}
