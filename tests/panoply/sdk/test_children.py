"""An ``SDK`` in a child process delivers what it holds when the child ends, however that was made."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from asyncconn.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

_CHILD = """
import multiprocessing, os, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
from asyncconn import BatchPolicy
from asyncconn.panoply.sdk import SDK

def sdk():
    key, secret = os.environ["ASYNCCONN_PANOPLY_API_KEY"], os.environ["ASYNCCONN_PANOPLY_API_SECRET"]
    url = os.environ["ASYNCCONN_PANOPLY_ENDPOINT_URL"]
    return SDK(key, secret, endpoint_url=url, policy=BatchPolicy(max_age=60.0))

def work(how):
    made = sdk()
    made.write("t", {"id": how})
    if how == "raises":
        raise SystemExit(3)
    if how == "thread":
        def later():
            time.sleep(0.3)
            made.write("t", {"id": "from a thread"})
        threading.Thread(target=later).start()

if __name__ == "__main__":
"""


def _process(context: str, name: str) -> str:
    return f'multiprocessing.get_context("{context}").Process(target=work, args=("{name}",)).start()\n'


HOWS = {
    "fork": (_process("fork", "fork"), ["fork"]),
    "forkserver": (_process("forkserver", "forkserver"), ["forkserver"]),
    "spawn": (_process("spawn", "spawn"), ["spawn"]),
    "a child that raises": (_process("fork", "raises"), ["raises"]),
    "a thread of the child": (_process("fork", "thread"), ["from a thread", "thread"]),
    "an executor": (
        """\
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    list(pool.map(work, ["a", "b", "c"]))
""",
        ["a", "b", "c"],
    ),
    "a pool that is closed": (
        """\
pool = multiprocessing.get_context("fork").Pool(1)
pool.map(work, ["a", "b"])
pool.close()
pool.join()
""",
        ["a", "b"],
    ),
    "a worker of a server that forks": (
        """\
sdk().write("t", {"id": "master"})
if not os.fork():
    work("worker")
    sys.exit(0)
os.wait()
""",
        ["master", "worker"],
    ),
}


@pytest.mark.parametrize("how", HOWS)
async def test_what_a_child_has_written_arrives_when_it_ends(how: str, tmp_path: Path) -> None:
    program, ids = HOWS[how]
    path = tmp_path / "program.py"
    path.write_text(_CHILD + textwrap.indent(program, "    "))
    async with Sandbox() as sandbox:
        done = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-W", "default::RuntimeWarning", str(path)),
            env={**os.environ, **sandbox.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        _, said = await done.communicate()
        assert (done.returncode, said) == (0, b"")
        assert sorted(row["id"] for row in sandbox.panoply.sql("select id from t")) == ids
