"""What once broke stays right: each program of ``tests/cases`` is run, and must end with 0."""

from __future__ import annotations

import fcntl
import itertools
import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from warm import python

import asyncconn

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = sorted(path for path in (Path(__file__).parents[1] / "cases").glob("*.py") if path.name != "run.py")
SECONDS = 120
AT_ONCE = 2
#: Those that lose records on purpose. In any other an unknown outcome is a fault, though it is not among the failed.
LOSING = {"proxy_of_the_environment", "the_hub_says_complete_after_a_loss", "writer_storms_on_after_a_429"}


@contextmanager
def place(folder: Path) -> Iterator[None]:
    """One of the places that all workers of a test run share: some cases are about who comes first."""
    for number in itertools.cycle(range(AT_ONCE)):
        with (folder / f"case-{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.05)
                continue
            yield
            return


@pytest.mark.usefixtures("warm_plain")
@pytest.mark.slow(3 * SECONDS)
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_what_once_broke_stays_right(case: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCCONN_")}
    with place(shared):
        done = subprocess.run(
            python(str(case)),
            env={**clean, "PYTHONPATH": str(Path(asyncconn.__file__).parents[1])},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "UndeliveredWarning" not in done.stderr or case.stem in LOSING, done.stderr
