"""A source that is killed in the middle and run again brings every row, and its state is never ahead of the rows."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .original import choices, ported

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn.sandbox import Sandbox

TABLES = {f"t{number:02}": 40 + 30 * (number % 4) for number in range(12)}
KILLS = 50
SECONDS = 12.0  # no new round after this long


@asynccontextmanager
async def zygote(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    tests = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("child.py")),
        str(ported("postgres_like", tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])},
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def say(process: asyncio.subprocess.Process, given: dict[str, Any]) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(given).encode() + b"\n")
    return int(await process.stdout.readline())


def filled(path: Path) -> str:
    connection = sqlite3.connect(path)
    with connection:
        for table, rows in TABLES.items():
            connection.execute(f"create table {table} (id integer, name text)")
            connection.executemany(f"insert into {table} values (?, ?)", [(n, f"{table} row {n}") for n in range(rows)])
    connection.close()
    return str(path)


def missing(sandbox: Sandbox, prefix: str, table: str) -> set[int]:
    """The rows of a table that are not in the warehouse."""
    name = f"{prefix}_{table}"
    there = sandbox.panoply.sql("select 1 from sqlite_master where name = ?", name)
    landed = sandbox.panoply.sql(f"select id, name from {name}") if there else []
    assert all(row["name"] == f"{table} row {row['id']}" for row in landed)
    return set(range(TABLES[table])) - {row["id"] for row in landed}


async def test_every_row_arrives_and_no_saved_state_is_ahead_of_the_rows(tmp_path: Path, sandbox: Sandbox) -> None:
    params = {
        "type": "postgres",
        "database": filled(tmp_path / "many.db"),
        "tables": choices([f"main.{table}" for table in TABLES]),
    }
    account = [sandbox.panoply.api_key, sandbox.panoply.api_secret]
    kills = resumed = finished = 0
    longest = 0.2  # seconds that a whole run takes, about
    began = time.monotonic()
    async with zygote(tmp_path) as process:
        assert process.stdout is not None
        while not finished or (kills < KILLS and time.monotonic() - began < SECONDS):
            prefix, state = f"run{finished}", tmp_path / f"state{finished}.json"
            given = {
                "params": {**params, "destination": prefix + "_{__tablename}"},
                "account": account,
                "url": sandbox.url,
                "state": str(state),
            }
            started = time.monotonic()
            child = await say(process, given)
            ended = asyncio.ensure_future(process.stdout.readline())
            if kills < KILLS and time.monotonic() - began < SECONDS:
                await asyncio.wait({ended}, timeout=random.uniform(0.02, longest))
                if not ended.done():
                    with suppress(ProcessLookupError):  # it has ended by itself, and its word of that is on the way
                        os.kill(child, signal.SIGKILL)
            status = int(await ended)
            saved = json.loads(state.read_text())["state"].get("last_index", 0) if state.exists() else 0
            for table in [*TABLES][:saved]:
                assert not missing(sandbox, prefix, table), f"the state says {saved}, but {table} is not complete"
            if status == 0:
                assert not any(missing(sandbox, prefix, table) for table in TABLES)
                finished += 1
                longest = min(longest, time.monotonic() - started)
            else:
                assert status == signal.SIGKILL
                kills += 1
                resumed += saved > 0
                longest *= 1.0 if saved else 1.1  # on a busy machine no state was saved so soon
    assert kills >= 8
    assert resumed, "no kill came after a state had been saved: the rounds are too short"
