"""What the benchmarks start ends with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from benchmarks.sink import running
with running() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def ended(pid: int) -> bool:
    """Whether a process has ended, waited for a little."""
    deadline = time.monotonic() + 10
    while (Path(f"/proc/{pid}/cmdline")).exists() and (Path(f"/proc/{pid}/cmdline")).read_bytes():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own list of processes")
@pytest.mark.parametrize("how", [signal.SIGKILL, None], ids=["killed", "orderly"])
def test_the_sink_ends_with_whoever_started_it(how: signal.Signals | None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline().startswith("http://127.0.0.1:")
        [sink] = map(int, Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split())
        if how is None:
            holder.stdin.close()
        else:
            os.kill(holder.pid, how)
        holder.wait(timeout=10)

    assert ended(sink)
