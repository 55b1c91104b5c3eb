"""However many rows a source has, a run of it takes no more memory: the reader waits for the writer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FLAT = 8_000  # kilobytes that the last nine tenths of the rows may add to the peak; kept, they would add some 300,000
SECONDS = 60
TESTS = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's own account of memory"),
    pytest.mark.slow(SECONDS),
]


def growth(kind: str, rows: int) -> int:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("many_rows.py")), kind, str(rows)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])},
        capture_output=True,
        text=True,
        timeout=SECONDS - 1,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    early, late, delivered = map(int, done.stdout.split())
    assert delivered == rows
    return late - early


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_million_rows_take_no_more_memory_than_the_first_hundred_thousand(kind: str) -> None:
    assert growth(kind, 1_000_000) < FLAT


def test_a_source_that_keeps_its_rows_is_noticed() -> None:
    assert growth("keeps", 100_000) > FLAT
