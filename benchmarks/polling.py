"""Polls and lag of our rule beside "every second", over 5,000 jobs of log-normal length: arithmetic, no network.

``python -m benchmarks.polling asyncconn|every-second``
"""

from __future__ import annotations

import random
import statistics
import sys

from asyncconn.core.polling import PollPolicy
from benchmarks.measure import Figures, report


def jobs(peer: str) -> Figures:
    noise = random.Random(1)
    policy = PollPolicy()
    polls: list[int] = []
    lags: list[float] = []
    for _ in range(5_000):
        length = 30.0 * noise.lognormvariate(0.0, 1.2)
        at, asked = 0.0, 0
        while at < length:
            at += policy.interval(at) if peer == "asyncconn" else 1.0
            asked += 1
        polls.append(asked)
        lags.append((at - length) / length)
    return {"polls": statistics.fmean(polls), "lag": statistics.median(lags)}


if __name__ == "__main__":
    report(jobs(sys.argv[1]))
