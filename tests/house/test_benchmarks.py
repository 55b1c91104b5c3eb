"""What the benchmarks start ends with them; what is recorded of them is held."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import check, counts, instructions, streams
from benchmarks.goals import Goal
from benchmarks.measure import run_peer
from benchmarks.report import goals_page, share

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


RATIOS = {"transport: whole stack over bare aiohttp": 1.05, "writer: the fair floor over ours": 0.6}


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record of these ratios with the versions that are here, in place of the real one."""
    path = tmp_path / "recorded.json"
    path.write_text(json.dumps({"versions": check.versions(), "ratios": RATIOS}))
    monkeypatch.setattr(check, "RECORDED", path)
    monkeypatch.setattr(instructions, "available", lambda: True)
    monkeypatch.setattr(check, "wide", list)
    monkeypatch.setattr(sys, "argv", ["check"])
    return path


@pytest.mark.parametrize(
    ("ratio", "status"), [(1.05, 0), (1.08, 0), (1.02, 0), (1.09, 1), (1.01, 1)], ids=lambda value: str(value)
)
@pytest.mark.usefixtures("recorded")
def test_a_ratio_may_stray_from_the_recorded_one_by_three_percent(
    monkeypatch: pytest.MonkeyPatch, ratio: float, status: int
) -> None:
    monkeypatch.setattr(check, "measured", lambda: {**RATIOS, "transport: whole stack over bare aiohttp": ratio})

    assert check.main() == status


@pytest.mark.usefixtures("recorded")
def test_a_ratio_that_is_measured_no_more_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "measured", lambda: dict([*RATIOS.items()][:1]))

    assert check.main() == 1


def test_with_other_versions_a_ratio_that_strays_is_told_and_fails_nothing(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.write_text(json.dumps({"versions": {**check.versions(), "aiohttp": "3.0"}, "ratios": RATIOS}))
    monkeypatch.setattr(check, "measured", lambda: dict.fromkeys(RATIOS, 2.0))

    assert check.main() == 0
    told = capsys.readouterr().out
    assert "not within 3%" in told
    assert "recorded: 3.0" in told


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(("found", "status"), [(90.0, 0), (90.1, 1)])
def test_what_a_machine_has_a_hand_in_is_bounded_by_three_times_its_goal(
    monkeypatch: pytest.MonkeyPatch, found: float, status: int
) -> None:
    monkeypatch.setattr(check, "measured", lambda: RATIOS)
    monkeypatch.setattr(check, "wide", lambda: [Goal("collect", "each of many", found, "<=", 30, 10, "us")])

    assert check.main() == status


def test_without_valgrind_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(instructions, "available", lambda: False)

    assert check.main() == 1
    assert "apt-get install valgrind" in capsys.readouterr().err


def test_what_is_recorded_is_what_is_held() -> None:
    held = [f"{ratio.part}: {ratio.what}" for ratio in counts.RATIOS if ratio.held]

    assert [*json.loads(check.RECORDED.read_text())["ratios"]] == held


@pytest.mark.slow(60)  # matplotlib is imported
def test_the_goals_are_a_page_that_shows_what_was_missed() -> None:
    goals = [
        Goal("limiter", "granted, of the <ideal>", 0.999, ">=", 0.995, 1.0),
        Goal("writer", "memory", 18.0, "<=", 16.5, 8.5, "MB"),
        Goal("writer", "refused", 0.0, "<=", 0.0, 0.0),
    ]
    made = goals_page(goals, "a machine")
    assert "3 goals, 1 of them missed; on a machine." in made
    assert made.count("<svg") == 2
    assert "<ideal>" not in made
    assert [round(share(goal, goal.found), 3) for goal in goals] == [0.996, 1.091, 0.0]
