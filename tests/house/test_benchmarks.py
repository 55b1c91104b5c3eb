"""What the benchmarks start ends with them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import streams
from benchmarks.measure import run_peer

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


@pytest.mark.slow(60)  # two programs
@pytest.mark.parametrize("peer", ["websockets", "subscribe"])
def test_what_comes_by_websocket_is_measured_to_the_last_message(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with streams.server(1_000) as port:
        figures = run_peer("streams", peer, port, 1_000)

    assert figures.keys() == {"per_s", "cpu_us"}
    assert min(figures.values()) > 0


@pytest.mark.slow(60)
@pytest.mark.skipif(shutil.which("mosquitto", path=streams.PATH) is None, reason="apt-get install mosquitto")
@pytest.mark.parametrize("peer", ["aiomqtt", "publish", "publish_many"])
def test_every_message_of_a_measurement_is_acknowledged(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with streams.broker() as port:
        assert run_peer("streams", peer, port, 100)["per_s"] > 0
