"""The fixtures, in a project of their own: for tests of pytest-asyncio, of anyio, and without a loop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import asyncconn

PLUGIN = 'pytest_plugins = ["asyncconn.testing.plugin"]\n'
TESTS = """
import asyncio
import urllib.request

import pytest

from asyncconn import Panoply
from asyncconn.sandbox import Fault


def test_a_day_passes_in_a_second(virtual_clock):
    async def main():
        await asyncio.sleep(86_400)

    virtual_clock.run(main())
    assert virtual_clock.now() == 86_400


def test_without_a_loop(sandbox):
    with urllib.request.urlopen(f"{sandbox.url}/sandbox/health", timeout=5) as answer:
        assert answer.status == 200


async def write(sandbox):
    sandbox.faults.add(Fault("status", status=503))
    async with Panoply.from_env() as panoply:
        await panoply.write("events", {"id": 1})
    assert sandbox.faults.hits == {"status": 1}
    assert sandbox.panoply.sql("select count(*) as n from events") == [{"n": 1}]


@pytest.mark.asyncio
async def test_with_pytest_asyncio(sandbox_env):
    await write(sandbox_env)


@pytest.mark.anyio
async def test_with_anyio(sandbox_env, anyio_backend_name):
    await write(sandbox_env)


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.mark.slow(60)  # a test run of its own, which imports what it needs
def test_the_fixtures_serve_every_kind_of_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(PLUGIN)
    (tmp_path / "test_mine.py").write_text(TESTS)
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-W", "error", "-o", "asyncio_mode=strict"]
    options += ["-o", "asyncio_default_fixture_loop_scope=function"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(asyncconn.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
