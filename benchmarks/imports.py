"""What importing the face and a connector class costs beside aiohttp, on which it stands.

``python -m benchmarks.imports aiohttp|asyncconn``: ``cpu_ms`` of the import, in a fresh process that finds bytecode.
"""

from __future__ import annotations

import os
import subprocess
import sys
from tempfile import TemporaryDirectory

from benchmarks.measure import report

PEERS = {
    "aiohttp": "import aiohttp",
    "asyncconn": "import asyncconn; asyncconn.Connector, asyncconn.Hub",  # the face is lazy
}
PROGRAM = "from time import process_time as cpu; before = cpu(); {}; print((cpu() - before) * 1000)"


def main() -> None:
    with TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        command = [sys.executable, "-c", PROGRAM.format(PEERS[sys.argv[1]])]
        for _ in range(2):  # the first compiles
            found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    report({"cpu_ms": float(found)})


if __name__ == "__main__":
    main()
