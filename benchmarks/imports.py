"""What importing the face and a connector class costs beside aiohttp, on which it stands.

``python -m benchmarks.imports aiohttp|asyncconn``: ``cpu_ms`` of the import, in this fresh process.
"""

from __future__ import annotations

import importlib
import sys

from benchmarks.measure import cpu_seconds, report


def main() -> None:
    before = cpu_seconds()
    module = importlib.import_module(sys.argv[1])
    if sys.argv[1] == "asyncconn":
        _ = module.Connector, module.Hub  # the face is lazy
    report({"cpu_ms": (cpu_seconds() - before) * 1000})


if __name__ == "__main__":
    main()
