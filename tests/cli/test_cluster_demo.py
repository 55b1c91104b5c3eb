"""The demonstration of a cluster, with fewer partitions: it reads them all while workers are killed, and says so."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from rich.text import Text

from asyncconn.cli.demo import cluster

from .commands import environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.service("redis")
@pytest.mark.service("dask")
@pytest.mark.slow(400)
def test_every_job_arrives_once_although_workers_are_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "asyncconn.cli.demo.cluster", "--partitions", "400", "--cap", "100000"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(None), capture_output=True, text=True, timeout=390, check=False
    )

    assert done.returncode == 0, done.stderr + done.stdout
    assert "worker 2 of 2 was killed" in done.stderr
    assert "400 streams over 3 workers, of which 2 were killed" in done.stdout
    assert "0 of them refused" in done.stdout
    assert "800 jobs arrived, 0 of them twice" in done.stdout
    assert "PASS" in done.stdout


def test_what_is_wrong_is_the_verdict() -> None:
    report = cluster._Report(partitions=10, done=10, rows=19, twice=1)
    report.judge((report.twice, "jobs are there twice"))

    last = [*cluster._lines(report)][-1]

    assert isinstance(last, Text)
    assert last.plain == "FAIL  jobs are there twice"
