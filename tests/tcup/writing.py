"""A program that writes observations until it is killed, and tells of each that was taken."""

from __future__ import annotations

import asyncio
import sys

from asyncconn.tcup import Tcup


async def main(url: str, spool: str, start: int, count: int) -> None:
    async with Tcup(url, "key") as tcup, tcup.observations.writer(spool=spool) as writer:
        for number in range(start, start + count):
            await writer.write("ts1", {"obs2": number}, "tf1")
            print(number, flush=True)  # noqa: T201 - this is how it tells
            if number % 40 == 0:
                await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
