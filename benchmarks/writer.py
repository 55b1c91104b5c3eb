"""The Panoply writer beside a stand-in of the original and the bare floor: records per second, CPU, latency, memory.

``python -m benchmarks.writer PEER URL RECORDS``. Figures: ``per_s`` (written and answered), ``cpu_us`` a record (of
this process, all threads), ``p50_us``/``p99_us`` of one ``write`` for the timed peers, ``grown_mb`` of resident memory.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from asyncconn import Hub, Panoply
from asyncconn.core.retrying import RetryPolicy
from asyncconn.http.transport import Timeouts
from benchmarks.instructions import counting
from benchmarks.measure import Figures, cpu_seconds, report, resident_mb
from benchmarks.original import OriginalStandIn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KEY = "bench/k0k0k0k0k0"
SECRET = base64.b64encode(b"r0r0r0r0r0r0/00000000-0000-4000-8000-000000000000/123456789012/us-east-1").decode()
BATCH = 1_000
FULL = 1_500  # about as many records as the writer puts into one message
TABLE = "events"

Record = dict[str, Any]


def records(count: int) -> list[Record]:
    """About 145 bytes of JSON in nine fields, one of which needs escaping in a form."""
    return [
        {
            "id": number,
            "at": "2026-01-01T00:00:00Z",
            "campaign": "summer-2026",
            "impressions": 12_345 + number,
            "clicks": 678,
            "cost": 12.34,
            "country": "DE",
            "tag": "a&b=c d/e",
        }
        for number in range(count)
    ]


class Watch:
    """Time, CPU and memory from here on."""

    def __init__(self) -> None:
        self.memory = resident_mb()
        self.latencies: list[float] = []
        self.cpu = cpu_seconds()
        self.started = time.perf_counter()

    def figures(self, count: int) -> Figures:
        elapsed = time.perf_counter() - self.started
        found = {
            "per_s": count / elapsed,
            "cpu_us": (cpu_seconds() - self.cpu) / count * 1e6,
            "grown_mb": resident_mb() - self.memory,
        }
        if ordered := sorted(self.latencies):
            found["p50_us"] = ordered[len(ordered) // 2] * 1e6
            found["p99_us"] = ordered[int(len(ordered) * 0.99)] * 1e6
        return found


def original(url: str, rows: list[Record], *, timed: bool) -> Figures:
    sdk = OriginalStandIn(f"{url}/queue", KEY, SECRET)
    watch = Watch()
    for row in rows:
        if timed:
            before = time.perf_counter()
            sdk.write(TABLE, row)
            watch.latencies.append(time.perf_counter() - before)
        else:
            sdk.write(TABLE, row)
    while sdk.arrived < len(rows):
        time.sleep(0.002)
    return watch.figures(len(rows))


def form_escaped(text: bytes) -> bytes:
    escaped = text.replace(b"%", b"%25").replace(b"&", b"%26").replace(b"+", b"%2B")
    return escaped.replace(b";", b"%3B").replace(b" ", b"+")


async def floor(url: str, rows: list[Record]) -> Figures:
    """What nobody can do without who sends the same: orjson, the table, a look for what is not ASCII, join, digest,
    escape, POST, all in one loop. No class, no accounting, no size, no order, no await a record.
    """
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        member = b',"__table":"%s"}' % TABLE.encode()

        async def send(rows: list[Record]) -> None:
            for start in range(0, len(rows), FULL):
                items = [orjson.dumps(row)[:-1] + member for row in rows[start : start + FULL]]
                if not all(map(bytes.isascii, items)):
                    raise RuntimeError("these records are ASCII")
                texts = [b"\n\n".join(items[at : at + 128]) + b"\n\n" for at in range(0, len(items), 128)]
                digest = hashlib.md5(b"".join(texts), usedforsecurity=False).hexdigest()
                body = b"Action=SendMessage&MessageBody=" + b"".join(map(form_escaped, texts))
                async with session.post(f"{url}/queue", data=body, headers=headers) as response:
                    if digest in await response.text():
                        raise RuntimeError("the sink knows no digest")

        await send(rows[:FULL])
        watch = Watch()
        with counting(len(rows)):
            await send(rows)
        return watch.figures(len(rows))


async def ours(url: str, rows: list[Record], how: str) -> Figures:
    async with Hub(proxy="") as hub:
        panoply = Panoply(KEY, SECRET, hub=hub, endpoint_url=url)
        await panoply.write_many(TABLE, rows[:BATCH])
        await panoply.flush()
        watch = Watch()
        with counting(len(rows)):
            if how == "many":
                for start in range(0, len(rows), BATCH):
                    await panoply.write_many(TABLE, rows[start : start + BATCH])
            elif how == "timed":
                for row in rows:
                    before = time.perf_counter()
                    await panoply.write(TABLE, row)
                    watch.latencies.append(time.perf_counter() - before)
            else:
                for row in rows:
                    await panoply.write(TABLE, row)
            flushed = await panoply.flush()
        figures = watch.figures(len(rows))
    if not flushed.complete or panoply.stats.delivered != len(rows) + BATCH:
        raise RuntimeError(f"records are missing: {panoply.stats}")
    return figures


async def stalled(url: str, rows: list[Record]) -> Figures:
    """The server never answers: how much does memory grow while records are offered for ever?"""
    hub = await Hub(proxy="").open()
    panoply = Panoply(
        KEY, SECRET, hub=hub, endpoint_url=f"{url}/stall", retry=RetryPolicy(attempts=1), timeouts=Timeouts(total=30.0)
    )
    watch = Watch()

    async def offer() -> None:
        for row in rows:
            await panoply.write(TABLE, row)

    offers = [asyncio.ensure_future(offer()) for _ in range(8)]
    await asyncio.wait(offers, timeout=3.0)
    figures = watch.figures(panoply.stats.accepted)
    figures["pending_mb"] = panoply.stats.pending_bytes / 2**20
    for task in offers:
        task.cancel()
    await asyncio.wait(offers)
    await hub.aclose(timeout=0.1)
    return figures


def main() -> None:
    peer, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rows = records(count)
    asynchronous: dict[str, Callable[[], Awaitable[Figures]]] = {
        "floor": lambda: floor(url, rows),
        "write": lambda: ours(url, rows, "write"),
        "write-timed": lambda: ours(url, rows, "timed"),
        "write_many": lambda: ours(url, rows, "many"),
        "stalled": lambda: stalled(url, rows),
    }
    if peer.startswith("original"):
        report(original(url, rows, timed=peer.endswith("timed")))
    else:

        async def run() -> Figures:
            return await asynchronous[peer]()

        report(asyncio.run(run()))


if __name__ == "__main__":
    main()
