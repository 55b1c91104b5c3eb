"""One process of several that share a cap: callers at full demand for some seconds, then a line of what there was."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from asyncconn import Window
from asyncconn.core.rates.limiter import RateLimiter
from asyncconn.errors import AsyncConnError
from asyncconn.integrations.redis import RedisRates

CREDENTIAL = "s3cret-token"


async def main(
    url: str, port: int, name: str, limit: int, period: float, seconds: float, callers: int, timeout: float
) -> dict[str, Any]:
    calls = 0
    longest = 0.0
    errors: list[str] = []
    async with RedisRates(url, timeout=timeout) as rates:
        shared = rates.share("acme", CREDENTIAL, Window(limit, period))
        assert isinstance(shared, dict)
        limiter = RateLimiter(*(part.fresh() for part in shared["default"]), name="acme")
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(callers)]

        async def caller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal calls, longest
            while (asked := time.monotonic()) < until:
                try:
                    permit = await limiter.acquire()
                except AsyncConnError as error:
                    errors.append(type(error).__name__)
                    await asyncio.sleep(0.1)
                    continue
                longest = max(longest, time.monotonic() - asked)
                if time.monotonic() >= until:
                    permit.cancel()
                    return
                writer.write(f"{name}\n".encode())
                permit.sent()
                await reader.readline()
                permit.done()
                calls += 1

        tell("ready")
        await asyncio.to_thread(sys.stdin.readline)
        until = time.monotonic() + seconds
        await asyncio.gather(*(caller(*one) for one in connections))
        await limiter.aclose()
        for _, writer in connections:
            writer.close()
            await writer.wait_closed()
    return {"calls": calls, "errors": errors, "longest": longest}


def tell(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    tell(json.dumps(asyncio.run(main(**json.loads(sys.argv[1])))))
