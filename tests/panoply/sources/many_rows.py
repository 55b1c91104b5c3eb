"""Runs a source of many rows into a server that drops them, and prints how much memory this process took at the most.

``python many_rows.py plain|async|keeps ROWS``: ``keeps`` is a source that holds on to what it has read. The figures:
kilobytes after a tenth of the rows, kilobytes at the end, rows delivered.
"""

from __future__ import annotations

import asyncio
import base64
import re
import sys
from pathlib import Path
from typing import Any

from asyncconn import Panoply
from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.panoply import DataSource, run_source
from benchmarks.sink import running

KEY = "acme/k1r4nd0m"
SECRET = base64.b64encode(b"r4nd2/uuid/123456789012/us-east-1").decode()


def peak() -> int:
    """The most memory in kilobytes. (The system's own counter is inherited from whoever started us, so not that.)"""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


class Many(DataSource):
    early = 0  # kilobytes after a tenth of the rows

    def __init__(self, source: dict[str, Any], options: Any = None) -> None:
        super().__init__(source, options)
        self.next = 0

    def rows(self, n: int) -> list[dict[str, Any]] | None:
        first, last = self.next, min(self.next + n, self.source["rows"])
        if first == last:
            return None
        self.next = last
        if first < self.source["rows"] // 10 <= last:
            Many.early = peak()
        self.progress(last, self.source["rows"])
        self.state("position", {"next": last})
        return [{"id": number, "__state": "position"} for number in range(first, last)]

    def read(self, n: int | None = None) -> Any:
        return self.rows(n or 1000)


class AsyncMany(Many):
    async def read(self, n: int | None = None) -> Any:
        return self.rows(n or 1000)


class Keeps(Many):
    def __init__(self, source: dict[str, Any], options: Any = None) -> None:
        super().__init__(source, options)
        self.kept: list[Any] = []

    def read(self, n: int | None = None) -> Any:
        self.kept.append(rows := self.rows(n or 1000))
        return rows


KINDS = {"plain": Many, "async": AsyncMany, "keeps": Keeps}


async def main(kind: str, rows: int) -> None:
    policy = BatchPolicy(max_pending_items=20_000)
    with running() as url:
        async with Panoply(KEY, SECRET, endpoint_url=url, policy=policy) as panoply:
            report = await run_source(KINDS[kind], {"type": "many", "rows": rows}, into=panoply)
    sys.stdout.write(f"{Many.early} {peak()} {report.delivered}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
