"""A process that runs the database source again and again, each time in a fork of its own, to be killed there.

Everything is imported once, and there is no event loop and no thread when it forks. Each line of input is the
arguments of a run in JSON; the answer is the process id of the fork, then how it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import tenacity  # noqa: F401 - imported late by the retries, in a thread

from asyncconn import Panoply
from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.panoply import run_source
from panoply.sources.original import load


async def run(stream: Any, given: dict[str, Any]) -> None:
    policy = BatchPolicy(max_items=25, max_age=0.01, max_in_flight=2)
    async with Panoply(*given["account"], endpoint_url=given["url"], policy=policy) as panoply:
        await run_source(stream, given["params"], into=panoply, state=given["state"], batch_size=10)


def main() -> None:
    stream = load(Path(sys.argv[1])).Stream
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(run(stream, json.loads(line)))
            os._exit(0)
        os.write(1, b"%d\n" % child)
        os.write(1, b"%d\n" % os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
