"""Type checkers see the package as its users do: a program of the public names has no error for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .test_docs import PAGES, blocks

ROOT = Path(__file__).parents[2]
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


@pytest.mark.slow(120)
def test_the_programs_of_the_pages_have_types_that_fit(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is of the group lint")
    for page in PAGES:
        for block in (block for block in blocks(page) if block.language == "python"):
            # In a file of its own, where the line is the page's.
            (tmp_path / f"{page.stem}_{block.line}.py").write_text(
                "\n" * (block.line - 1) + block.text, encoding="utf-8"
            )
    (tmp_path / "mypy.ini").write_text("[mypy]\ncheck_untyped_defs = true\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache" / "pages"), str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
