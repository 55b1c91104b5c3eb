"""Every example runs as it stands, says something, and complains about nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from warm import STRICT, python

import asyncconn

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVED = {"acme.py", "fastapi_serve.py"}  # they need, or are, a server: test_acme.py, test_fastapi_server.py
ALL = {path for path in EXAMPLES.glob("*.py") if path.name not in SERVED}
SCRIPTS = sorted(path for path in ALL if "__main__" in path.read_text(encoding="utf-8"))
OTHERS = sorted(ALL - set(SCRIPTS))

SAID = {
    "fifth_platform.py": [
        "Amble Brest Cuxhaven Dover Esbjerg",
        "4.2 m, after 3 polls",
        "state is 'failed'",
        "no harbour Atlantis",
    ],
    "stream_records.py": ["in a batch of 1", "1461 more", "complete: True", "  unknown      1"],
    "error_handling.py": ["cause ServerError", "'id': 1", "refused at $.value", "delivered 1", "nobody was told: 0"],
    "run_a_source.py": [
        "stopped half-way",
        "complete: True",
        "landed: {'weather_daily': 1461, 'weather_hourly': 8759}",
    ],
    "datorama_jobs.py": ["900 jobs of 300 streams after 5 minutes", "failed jobs queued again", "0 of them refused"],
    "atoti_limits_connect.py": [
        "not even asked: cube 'Cars_Cube'",
        "different JWT key pairs",
        "connected: True",
        "BREACH   fiat    24,100",
        "ready: True",
    ],
    "tcup_observations.py": ["1461 stored, 1 refused", "of nobody", "  34.4     sun", "on 31 December 2015: sun"],
    "tcup_workflow.py": ["COMPLETED: 2 of 2 tasks done", "sunny days have 19.36 degrees", "mean) failed"],
    "mqtt_publish.py": ["the broker has ['on']", "1461 acknowledged, 0 not", "1461 days came, over 3 connections"],
    "mqtt_subscribe.py": ["says {'n': 40}", "40 handled", "connection broke: ConnectionLost", "200 of 200 handled, "],
    "mqtt_bridge.py": [
        "cancelled; the broker keeps what is left",
        "{'machine': 'mill', 'rows': 500, 'hottest': 26}, {'machine': 'press', 'rows': 500, 'hottest': 26}",
    ],
    "rate_limited_calls.py": ["60 answers", "within the limit: True", "would take: True"],
}


def _environment() -> Mapping[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCCONN_")}
    return {**clean, "PYTHONPATH": str(Path(asyncconn.__file__).parents[1])}


@pytest.mark.usefixtures("warm_strict")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_an_example_runs_and_shows_what_it_is_about(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        python(str(path), flags=STRICT),
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=19,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    for words in SAID.get(path.name, []):
        assert words in done.stdout


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_an_example_that_others_start_can_be_imported(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import {path.stem}"],
        cwd=tmp_path,
        env={**_environment(), "PYTHONPATH": os.pathsep.join([_environment()["PYTHONPATH"], str(EXAMPLES)])},
        capture_output=True,
        text=True,
        timeout=19,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
