"""A busy service is told to end, by real servers: every record that it has answered for arrives, or is told of."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from asyncconn.sandbox import Fault, PanoplyWorld, Sandbox

from .server_scene import started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

UVICORN = ("-m", "uvicorn", "fastapi_service:app", "--port", "0")
GUNICORN = ("-m", "gunicorn", "fastapi_service:app", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:0")
SERVE = ("-m", "fastapi_serve")

pytestmark = pytest.mark.slow(120)  # a server starts, is busy and ends, on a busy machine


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(PanoplyWorld(), seed=1) as running:
        yield running


def landed(sandbox: Sandbox) -> set[int]:
    if "clicks" not in sandbox.panoply.tables():
        return set()
    return {row["id"] for row in sandbox.panoply.sql("select id from clicks")}


def told_lost(log: str) -> int:
    """How many records the log says were lost in all."""
    found = re.findall(r"the hub closed with ([\d,]+) lost records", log)
    assert found, log
    return int(found[-1].replace(",", ""))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_every_answered_write_arrives_when_uvicorn_is_told_to_end(
    loop: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with started(*UVICORN, "--loop", loop, folder=tmp_path, env=sandbox.env) as serving:
        await serving.load(until=serving.terminate)
        status = await serving.ended()

    assert len(serving.answered) >= 200
    assert set(serving.answered) <= landed(sandbox)
    assert status == -signal.SIGTERM
    assert "Application shutdown complete" in serving.log


async def test_with_the_platform_down_the_log_says_how_many_did_not_arrive(sandbox: Sandbox, tmp_path: Path) -> None:
    env = {**sandbox.env, "ASYNCCONN_SHUTDOWN_TIMEOUT": "1"}
    async with started(*UVICORN, "--loop", "uvloop", folder=tmp_path, env=env) as serving:
        sandbox.faults.add(Fault("status", status=503, times=None))
        await serving.load(until=serving.terminate)
        await serving.ended()

    assert landed(sandbox) == set()
    assert told_lost(serving.log) >= len(serving.answered) >= 200
    assert "records of table 'clicks' were not delivered: " in serving.log
    assert "Application shutdown failed" in serving.log


async def test_what_arrived_and_what_the_log_tells_of_are_together_all_that_was_answered(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    env = {**sandbox.env, "ASYNCCONN_SHUTDOWN_TIMEOUT": "1"}
    async with started(*UVICORN, folder=tmp_path, env=env) as serving:

        def go_down() -> None:
            sandbox.faults.add(Fault("drop_before", times=None))
            serving.terminate()

        await serving.load(until=go_down)
        await serving.ended()

    missing = set(serving.answered) - landed(sandbox)
    assert told_lost(serving.log) >= len(missing) > 0


@pytest.mark.parametrize("down", [False, True])
async def test_served_by_a_program_of_ones_own_the_exit_status_says_it(
    down: bool, sandbox: Sandbox, tmp_path: Path
) -> None:
    env = {**sandbox.env, "ASYNCCONN_SHUTDOWN_TIMEOUT": "1", "PORT": "0"}
    async with started(*SERVE, folder=tmp_path, env=env) as serving:
        if down:
            sandbox.faults.add(Fault("status", status=503, times=None))
        await serving.load(until=serving.terminate)
        status = await serving.ended()

    assert len(serving.answered) >= 200
    assert status == int(down)
    assert down or set(serving.answered) <= landed(sandbox)


async def test_with_a_spool_the_next_one_sends_what_was_left(sandbox: Sandbox, tmp_path: Path) -> None:
    env = {
        **sandbox.env,
        "ASYNCCONN_SHUTDOWN_TIMEOUT": "1",
        "ASYNCCONN_PANOPLY_SPOOL": f"{tmp_path}/spools/",
        "PORT": "0",
    }
    async with started(*SERVE, folder=tmp_path, env=env) as serving:
        sandbox.faults.add(Fault("status", status=503, times=None))
        await serving.load(until=serving.terminate)
        status = await serving.ended()
    before, answered = landed(sandbox), set(serving.answered)
    sandbox.faults.clear()
    async with started(*SERVE, folder=tmp_path, env=env) as serving:
        serving.terminate()
        await serving.ended()

    assert (before, status) == (set(), 0)
    assert answered <= landed(sandbox)


async def test_every_answered_write_arrives_when_gunicorn_is_told_to_end(sandbox: Sandbox, tmp_path: Path) -> None:
    env = {**sandbox.env, "ASYNCCONN_PANOPLY_SPOOL": f"{tmp_path}/spools/"}
    async with started(*GUNICORN, "-w", "2", folder=tmp_path, env=env, workers=2) as serving:
        await serving.load(until=serving.terminate)
        status = await serving.ended()

    assert len(serving.answered) >= 200
    assert set(serving.answered) <= landed(sandbox)
    assert status == 0
    assert len(list((tmp_path / "spools").glob("*.spool"))) == 2
