"""A program of the tests that begins warm behaves as one that Python has started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from warm import STRICT, python

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every program is started by Python itself"),
    pytest.mark.usefixtures("warm_strict"),
]

_SAYS = """
import atexit, os, sys, warnings
atexit.register(print, "the end")
print(__name__, sys.argv[1:], sys.path[0], os.getcwd(), os.environ["OF_THE_PROGRAM"], warnings.filters[0])
print(sys.stdin.read(), [sys.stdin.isatty(), sys.stdout.encoding, sys.stderr.errors, sys.stdout.line_buffering])
print("\u20ac", file=sys.stderr)
"""
_FAILS = "def f(): 1 / 0\nf()"
_LEAVES = "import sys\nsys.exit('a reason')"
_DIES = "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)"
_WARNS = "import warnings\nwarnings.warn('old')"
_LOADS = "import sys\nprint([name for name in sys.modules if name.startswith('asyncconn')])"


def _ended(*command: str, cwd: Path) -> tuple[int, str, list[str]]:
    """The status, the output and the last line of what went wrong: the frames above are not the same."""
    env = {**os.environ, "OF_THE_PROGRAM": "its own", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        command, cwd=cwd, env=env, input="given", capture_output=True, encoding="utf-8", timeout=15, check=False
    )
    return done.returncode, done.stdout, done.stderr.splitlines()[-1:]


@pytest.mark.parametrize("text", [_SAYS, _FAILS, _LEAVES, _DIES, _WARNS, _LOADS])
def test_what_it_says_and_how_it_ends_is_the_same(text: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(text)

    arguments = (str(program), "--one", "two words")
    cold = [sys.executable, *STRICT, *arguments]
    warm = python(*arguments, flags=STRICT)

    assert warm != cold
    assert _ended(*warm, cwd=tmp_path) == _ended(*cold, cwd=tmp_path)


def test_it_ends_with_who_has_asked_for_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)")
    with subprocess.Popen(python(str(program), flags=STRICT), stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        number = int(asking.stdout.readline())
        asking.kill()
        while Path(f"/proc/{number}").exists():
            time.sleep(0.01)
