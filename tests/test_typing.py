"""Type checkers see the package as its users do: a program of the public names has no error for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = "tests/typing/program.py"
CHECKERS = {
    "mypy": ["mypy", "--strict", PROGRAM],
    "basedpyright": ["basedpyright", "--pythonpath", sys.executable, PROGRAM],
}


@pytest.mark.slow(120)
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_program_of_the_public_names_is_accepted(checker: str) -> None:
    pytest.importorskip(checker, reason=f"{checker} is of the group lint")
    done = subprocess.run(
        [sys.executable, "-m", *CHECKERS[checker]], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
