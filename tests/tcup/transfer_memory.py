"""Sends a file to the data lake or fetches one, and prints how many kilobytes this process took for it at the most.

``python transfer_memory.py up|chunks|down URL KEY PATH [URI]``. The figures: kilobytes before, kilobytes at the most.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from asyncconn.tcup import Tcup


def memory(what: str) -> int:
    """``VmHWM``, the most there was, or ``VmRSS``, what there is."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


async def main(way: str, url: str, key: str, path: str, uri: str = "") -> None:
    async with Tcup(url, key) as tcup:
        await tcup.datalake.upload(b"x" * 4_000_000, filename="first", mode="RESTRICT" if not uri else "OVERWRITE")
        before = memory("VmHWM")
        if way == "down":
            await tcup.datalake.download(uri, path)
        else:
            await tcup.datalake.upload(path, resume=way == "chunks")
    sys.stdout.write(f"{before} {memory('VmHWM')}\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
