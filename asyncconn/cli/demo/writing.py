"""A program that writes through a spool, for the demonstration to kill: ``python writing.py FIRST END SPOOL``.

On standard output it tells, as JSON lines, how many records it has accepted, and how old each batch is when it leaves.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from asyncconn import BatchPolicy, Panoply, RateLimiter, TokenBucket

if TYPE_CHECKING:
    from asyncconn.core.buffer.batch import Batch

_PACE, _AT_ONCE, _BATCH = 1_000.0, 25, 200  # records a second, at a time, and in a message


async def write(begin: int, end: int, spool: str) -> None:
    """Write records of these numbers."""

    def sent(batch: Batch[bytes]) -> None:
        print(json.dumps({"age": batch.age}), flush=True)

    limiter = RateLimiter(TokenBucket(_PACE / _AT_ONCE, 1), name="demo")
    async with Panoply.from_env(spool=spool, policy=BatchPolicy(max_items=_BATCH)) as panoply:
        panoply.on("send", sent)
        for first in range(begin, end, _AT_ONCE):
            async with limiter:
                some = range(first, min(end, first + _AT_ONCE))
                await panoply.write_many("steps", [{"id": number, "value": number / 2} for number in some])
                print(json.dumps({"accepted": some.stop}), flush=True)


if __name__ == "__main__":
    asyncio.run(write(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
