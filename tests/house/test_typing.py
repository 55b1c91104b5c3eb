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

_AS_USERS_WRITE = """
[[tool.mypy.overrides]]
module = "programs.*"
disallow_untyped_defs = false
disallow_incomplete_defs = false
disallow_any_generics = false
disallow_untyped_calls = false
disallow_untyped_decorators = false
disallow_subclassing_any = false
warn_return_any = false
disable_error_code = ["ignore-without-code", "redundant-expr", "truthy-bool"]
"""

pytestmark = pytest.mark.xdist_group("mypy")  # all keep what they find out in one place


@pytest.mark.slow(300)
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_program_of_the_public_names_is_accepted(checker: str) -> None:
    pytest.importorskip(checker, reason=f"{checker} is of the group lint")
    done = subprocess.run(
        [sys.executable, "-m", *CHECKERS[checker]], cwd=ROOT, capture_output=True, text=True, timeout=290, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow(300)
def test_the_programs_of_the_pages_have_types_that_fit(tmp_path: Path) -> None:
    """With the project's own configuration: so what mypy has found out of the package serves here, too."""
    pytest.importorskip("mypy", reason="mypy is of the group lint")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "__init__.py").touch()
    for page in PAGES:
        for block in (block for block in blocks(page) if block.language == "python"):
            # In a file of its own, where the line is the page's.
            name = f"{page.stem.replace('-', '_')}_{block.line}.py"
            (programs / name).write_text("\n" * (block.line - 1) + block.text, encoding="utf-8")
    config = tmp_path / "pyproject.toml"
    config.write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8") + _AS_USERS_WRITE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(config), str(programs)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
