"""The demonstration's part about Atoti Limits shows what the servers found, and fails when it is something else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cli.commands import run

if TYPE_CHECKING:
    from pathlib import Path

OVERLOOKS_BREACHES = """
from asyncconn.sandbox.atoti_limits import evaluation, incidents
verdict = incidents.verdict if hasattr(incidents, "verdict") else evaluation.verdict
def blind(*args, **kwargs):
    found = verdict(*args, **kwargs)
    return "PASS" if found == "BREACH" else found
incidents.verdict = evaluation.verdict = blind
"""
REFUSES_TO_CONNECT = """
from asyncconn.cli.demo import limits
from asyncconn.sandbox.atoti_limits import FakeAtotiSession
limits._SECONDS = 0.6
FakeAtotiSession.never_connects = True
init = FakeAtotiSession.__init__
def stubborn(self, **knobs):
    init(self, **{**knobs, "never_connects": True})
FakeAtotiSession.__init__ = stubborn
"""


def test_the_breach_and_the_warning_are_found_and_shown(tmp_path: Path, few: Path) -> None:
    ended = run(tmp_path, "demo", "--data", str(few))

    assert (ended.status, ended.err) == (0, ""), ended.text
    lines = ended.out.splitlines()
    assert [line.split()[:4] for line in lines if line.startswith(("fiat", "lada"))] == [
        ["fiat", "BREACH", "24,100", "20,000"],
        ["lada", "WARNING", "9,500", "10,000"],
    ]
    assert not any(line.startswith("saab") for line in lines)
    assert sum(line.startswith("PASS") for line in lines) == 6


def test_a_breach_that_is_overlooked_makes_the_demo_fail(tmp_path: Path, few: Path) -> None:
    ended = run(tmp_path, "demo", "--data", str(few), "--json", patch=OVERLOOKS_BREACHES)

    assert ended.status == 1, ended.text
    found = json.loads(ended.out)
    assert found["ok"] is False
    assert (found["missing"], found["altered"]) == (0, 0)
    assert any("where" in words for words in found["atoti_limits"]["wrong"])


def test_a_session_that_does_not_connect_makes_the_demo_fail_and_says_why(tmp_path: Path, few: Path) -> None:
    ended = run(tmp_path, "demo", "--data", str(few), patch=REFUSES_TO_CONNECT, env={"COLUMNS": "1000"})

    assert ended.status == 1, ended.text
    [failure] = [line for line in ended.out.splitlines() if line.startswith("FAIL")]
    assert "not connected after 0.6 s" in failure
