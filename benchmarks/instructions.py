"""Instructions in user space by valgrind's callgrind: where a busy machine moves times by a third, a percent at most.

``python -m benchmarks.instructions [PART PEER...]``: thousands of instructions a unit (a request, a record) of each
peer, and their ratio to the first one's; by default the whole stack's over bare aiohttp's.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.sink import running

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS = {"transport": 800, "tcup": 10_000, "shared": 20_000}  # enough that what happens once counts for nothing
_COUNTED = "BENCHMARK_COUNTED"  # set in a process that runs under callgrind


def available() -> bool:
    """Whether they can be counted here. On Debian: apt-get install valgrind."""
    return all(map(shutil.which, ("valgrind", "callgrind_control")))


@contextlib.contextmanager
def counting(units: int) -> Iterator[None]:
    """Around what a peer does ``units`` times, warm already. Nothing happens where nobody counts."""
    if not os.environ.get(_COUNTED):
        yield
        return
    gc.collect()
    gc.disable()
    _control("-i", "on")
    _control("-z")
    try:
        yield
    finally:
        _control("-d", f"units={units}")
        _control("-i", "off")
        gc.enable()


def _control(*words: str) -> None:
    bare = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # that is valgrind's own
    subprocess.run(["callgrind_control", *words, str(os.getpid())], env=bare, check=True, capture_output=True)


def counted(module: str, peer: str, *args: object) -> float:
    """Thousands of instructions a unit of one peer, in a process of its own."""
    with TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        command += [sys.executable, "-m", f"benchmarks.{module}", peer, *map(str, args)]
        environment = {**os.environ, _COUNTED: "1", "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise RuntimeError(f"{module} {peer} failed:\n{done.stderr[-2000:]}")
        for dump in map(Path.read_text, Path(folder).iterdir()):
            asked = re.search(r"^desc: Trigger: .*units=(\d+)", dump, re.MULTILINE)
            total = re.search(r"^(?:totals|summary): (\d+)", dump, re.MULTILINE)
            if asked and total:
                return int(total[1]) / int(asked[1]) / 1000
    raise RuntimeError(f"{module} {peer} counted nothing")


def main() -> int:
    if not available():
        print("valgrind is not installed: on Debian, apt-get install valgrind", file=sys.stderr)
        return 1
    module, *peers = sys.argv[1:] or ("transport", "bare", "asyncconn")
    first = 0.0
    with running() as url:
        for peer in peers:
            args = (UNITS[module], url) if module == "tcup" else (url, UNITS[module])
            found = counted(module, peer, *args)
            first = first or found
            print(f"{peer:24} {found:9.1f} K instructions  {found / first:6.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
