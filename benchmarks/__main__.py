"""``make bench``: every goal, measured beside its peers: instructions counted by valgrind where it is installed, and
CPU time of runs that took turns.

``python -m benchmarks [ROUNDS] [PART...]``, nine rounds by default; the parts are ``PARTS``. Absolute figures differ
between machines and hours, ratios of CPU time by a third on a busy one, and instructions by a hundredth. All figures
also go to ``benchmarks/results/latest.json``, and the goals as a page to ``latest.html``.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from benchmarks import check, instructions
from benchmarks import streams as live
from benchmarks.counts import counted_goals
from benchmarks.goals import Goal, Part, goals_table, partition_goals, peers_table
from benchmarks.measure import Samples
from benchmarks.report import goals_page
from benchmarks.scale import MANY
from benchmarks.sink import running

RECORDS = 200_000
REQUESTS = 4_000
OBSERVATIONS = 100_000
MESSAGES = 4_000
CALLS = 100_000
PARTITIONS = 200_000
PARTS = [
    "limiter",
    "shared",
    "writer",
    "spool",
    "transport",
    "polling",
    "tcup",
    "streams",
    "imports",
    "scale",
    "collect",
]
RESULTS = Path(__file__).parent / "results"


def limiter(rounds: int, url: str) -> Part:
    alone, thousand, many, waits, cap = (Samples() for _ in range(5))
    ours, theirs = "asyncconn-whole", "aiolimiter"
    alone.collect("limiter", [theirs, "asyncconn", ours], rounds, "uncontended")
    thousand.collect("limiter", [theirs, ours], rounds, "contended", 1_000)
    many.collect("limiter", [theirs, ours], max(3, rounds // 3), "contended", 100_000)
    waits.collect("limiter", ["100-a-second", "10000-a-second"], max(3, rounds // 3), "waits", 20_000)
    for seed in range(3):
        cap.collect("limiter", [theirs, "asyncconn"], 1, "cap", seed)
    one = alone.ratio("ns", "asyncconn", theirs)
    growth = waits.ratio("us_per_waiter", "10000-a-second", "100-a-second")
    per_thousand = thousand.ratio("us_per_waiter", ours, theirs)
    per_many = many.ratio("us_per_waiter", ours, theirs)
    granted = cap.median("asyncconn", "of_ideal")
    refused = max(run["refused"] for run in cap.runs["asyncconn"])
    goals = [
        *counted_goals("limiter", alone, url),
        Goal("limiter", "one acquire over aiolimiter's, CPU", one, "<=", 0.7, 0.5),
        Goal("limiter", "1,000 waiters, each, over aiolimiter's, CPU", per_thousand, "<=", 0.35, 0.32),
        Goal("limiter", "100,000 waiters, each, over aiolimiter's, CPU", per_many, "<=", 0.35, 0.32),
        Goal("limiter", "a waiter with max_wait, 10,000 a second over 100, CPU", growth, "<=", 1.2, 1.05),
        Goal("limiter", "granted at full demand, of the ideal", granted, ">=", 0.995, 1.0),
        Goal("limiter", "refused by a counting server", refused, "<=", 0, 0, "calls"),
    ]
    return Part(goals, {"alone": alone, "thousand": thousand, "many": many, "max_wait": waits, "cap": cap})


def shared(rounds: int, url: str) -> Part:
    calls = Samples()
    calls.collect("shared", ["aiolimiter", "window", "shared"], max(1, rounds // 3), url, CALLS)
    found = calls.ratio("ns", "shared", "aiolimiter")
    what = "acquire, sent and done of a shared window over aiolimiter's acquire, CPU"
    return Part([*counted_goals("shared", calls, url), Goal("shared", what, found, "<=", 6, 4)], {"calls": calls})


def writer(rounds: int, url: str) -> Part:
    speed, memory = Samples(), Samples()
    peers = ["original", "original-timed", "floor", "write", "write-timed", "write_many"]
    speed.collect("writer", peers, rounds, url, RECORDS)
    memory.collect("writer", ["stalled"], 3, url, RECORDS)
    rate = speed.ratio("per_s", "write", "original")
    rate_many = speed.ratio("per_s", "write_many", "original")
    cpu = speed.ratio("cpu_us", "write", "original")
    cpu_many = speed.ratio("cpu_us", "write_many", "original")
    p99 = speed.ratio("p99_us", "write-timed", "original-timed")
    grown = memory.median("stalled", "grown_mb")
    goals = [
        *counted_goals("writer", speed, url),
        Goal("writer", "write(), records/s over the original's", rate, ">=", 10, 16),
        Goal("writer", "write_many(), records/s over the original's", rate_many, ">=", 15, 25),
        Goal("writer", "write(), CPU over the original's", cpu, "<=", 0.095, 0.08),
        Goal("writer", "write_many(), CPU over the original's", cpu_many, "<=", 0.07, 0.06),
        Goal("writer", "p99 of one write() over the original's", p99, "<=", 0.07, 0.05),
        # Two batches and 16 MB; two batches and 8 MB.
        Goal("writer", "memory with a stalled server", grown, "<=", 16.5, 8.5, "MB"),
    ]
    return Part(goals, {"speed": speed, "memory": memory})


def spool(rounds: int, url: str) -> Part:
    """Memory against ``kill`` (no fsync) and ``power`` (fsync), whose figures are more the disk's than ours."""
    samples: dict[str, Samples] = {}
    goals: list[Goal] = []
    ways = [
        ("many", "write_many()", RECORDS // 2, (0.6, 0.8), (0.4, 0.6)),
        ("tasks", "write() by 100 tasks", RECORDS // 10, (0.25, 0.35), (0.05, 0.1)),
        ("one", "write() by one task", RECORDS // 100, (0.05, 0.13), (0.004, 0.01)),
    ]
    for how, what, count, *bars in ways:
        some = samples[how] = Samples()
        stores = [f"{store}-{how}" for store in ("memory", "kill", "power")]
        some.collect("spool", stores, rounds, url, count)
        for store, words, (enough, ambition) in zip(stores[1:], ("", ", fsync"), bars, strict=True):
            found = some.ratio("per_s", store, stores[0])
            goals.append(Goal("spool", f"{what}{words}, records/s over memory's", found, ">=", enough, ambition))
    return Part(goals, samples)


def transport(rounds: int, url: str) -> Part:
    stack, httpx = Samples(), Samples()
    stack.collect("transport", ["bare", "asyncconn", "aiohttp-retry", "tenacity"], 2 * rounds, url, REQUESTS)
    httpx.collect("transport", ["bare", "httpx-tenacity"], max(1, rounds // 3), url, REQUESTS // 10)
    found = {peer: stack.ratio("cpu_us", "asyncconn", peer) for peer in ("bare", "aiohttp-retry", "tenacity")}
    goals = [
        *counted_goals("transport", stack, url),
        Goal("transport", "whole stack over bare aiohttp, CPU", found["bare"], "<=", 1.08, 1.0),
        Goal("transport", "over aiohttp-retry and two aiolimiters, CPU", found["aiohttp-retry"], "<=", 0.9, 0.8),
        Goal("transport", "over tenacity and two aiolimiters, CPU", found["tenacity"], "<=", 0.7, 0.6),
    ]
    return Part(goals, {"stack": stack, "httpx": httpx})


def polling(rounds: int) -> Part:  # arithmetic: one round is as good as nine
    jobs = Samples()
    jobs.collect("polling", ["every-second", "asyncconn"], min(rounds, 1))
    polls = jobs.ratio("polls", "asyncconn", "every-second")
    lag = jobs.median("asyncconn", "lag")
    goals = [
        Goal("polling", "polls over every second's", polls, "<=", 0.37, 0.35),
        Goal("polling", "median lag over the job's length", lag, "<=", 0.05, 0.04),
    ]
    return Part(goals, {"jobs": jobs})


def tcup(rounds: int, url: str) -> Part:
    frames, inserts = Samples(), Samples()
    theirs, plain, typed = "json_normalize", "orjson", "msgspec"
    frames.collect("tcup", [theirs, plain, typed], rounds, OBSERVATIONS)
    inserts.collect("tcup", ["bare", "insert_many"], rounds, 2 * OBSERVATIONS, url)
    by_orjson, by_msgspec = (frames.ratio("cpu_us", ours, theirs) for ours in (plain, typed))
    inserted = inserts.ratio("cpu_us", "insert_many", "bare")
    goals = [
        Goal("tcup", "observations to a typed frame, CPU over json_normalize's", by_orjson, "<=", 0.55, 0.5),
        Goal("tcup", "the same with msgspec", by_msgspec, "<=", 0.25, 0.2),
        *counted_goals("tcup", inserts, url),
        Goal("tcup", "insert_many() over orjson and POST in a loop, CPU", inserted, "<=", 1.15, 1.05),
    ]
    return Part(goals, {"frames": frames, "inserts": inserts})


def scale(rounds: int) -> Part:
    samples: dict[str, Samples] = {}
    goals: list[Goal] = []
    for what, (_, many) in MANY.items():
        few, some = many // 10, Samples()
        for _ in range(max(1, rounds // 3)):
            for count in (few, many):
                some.add(f"{count:,}", "scale", what, count)
        samples[what] = some
        growth = some.ratio("cpu_us", f"{many:,}", f"{few:,}")
        goals.append(Goal("scale", f"{what}, each of {many:,} over each of {few:,}, CPU", growth, "<=", 1.3, 1.1))
    return Part(goals, samples)


def imports(rounds: int) -> Part:
    starts = Samples()
    starts.collect("imports", ["aiohttp", "asyncconn"], rounds)
    found = starts.ratio("cpu_ms", "asyncconn", "aiohttp")
    goal = Goal("imports", "the face and a connector class over aiohttp's import, CPU", found, "<=", 1.2, 1.1)
    return Part([goal], {"starts": starts})


def collect(rounds: int) -> Part:
    partitions = Samples()
    partitions.collect("collect", ["cluster"], max(1, rounds // 9), PARTITIONS)
    return Part(partition_goals(partitions, PARTITIONS), {"partitions": partitions})


def streams(rounds: int) -> Part:
    mqtt, websocket = Samples(), Samples()
    bare, one, many = "aiomqtt", "publish", "publish_many"
    with live.broker() as port:
        mqtt.collect("streams", [bare, one, many], rounds, port, MESSAGES)
    with live.server(20 * MESSAGES) as port:
        websocket.collect("streams", ["websockets", "subscribe"], rounds, port, 20 * MESSAGES)
    received = websocket.ratio("per_s", "subscribe", "websockets")
    goals = [
        Goal(
            "streams", "MQTT one by one, messages/s over bare aiomqtt's", mqtt.ratio("per_s", one, bare), ">=", 0.9, 1.0
        ),
        Goal("streams", "a window of 100, messages/s over that", mqtt.ratio("per_s", many, bare), ">=", 2.2, 2.6),
        Goal("streams", "the same, CPU over that", mqtt.ratio("cpu_us", many, bare), "<=", 0.45, 0.32),
        Goal("streams", "WebSocket, messages/s received over bare websockets'", received, ">=", 0.95, 1.0),
    ]
    return Part(goals, {"mqtt": mqtt, "websocket": websocket})


def measured(part: str, rounds: int, url: str) -> Part:
    beside_a_sink = {f.__name__: f for f in (limiter, shared, writer, spool, transport, tcup)}
    alone = {f.__name__: f for f in (polling, streams, imports, scale, collect)}
    return beside_a_sink[part](rounds, url) if part in beside_a_sink else alone[part](rounds)


def main() -> int:
    words = sys.argv[1:]
    rounds = int(words.pop(0)) if words and words[0].isdigit() else 9
    parts = words or PARTS
    goals: list[Goal] = []
    samples: dict[str, dict[str, Samples]] = {}
    console = Console()
    if not console.is_terminal:
        console.width = 120
    with running() as url:
        for part in parts:
            console.print(f"measuring {part}, {rounds} rounds ...")
            found, samples[part] = measured(part, rounds, url)
            goals += found
    for kept in samples.values():
        console.print(peers_table(kept))
    console.print(goals_table(goals))
    console.print(
        "The original cannot be installed: its line is a stand-in of its documented algorithm (benchmarks/original.py)."
    )
    if not instructions.available():
        console.print("Instructions were not counted: that needs valgrind (on Debian: apt-get install valgrind).")
    RESULTS.mkdir(exist_ok=True)
    result = {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": check.versions(),
        "rounds": rounds,
        "goals": [{**asdict(goal), "verdict": goal.verdict} for goal in goals],
        "runs": {part: {name: s.runs for name, s in kept.items()} for part, kept in samples.items()},
        "instructions": {part: {name: s.instructions for name, s in kept.items()} for part, kept in samples.items()},
    }
    (RESULTS / "latest.json").write_text(json.dumps(result, indent=1))
    (RESULTS / "latest.html").write_text(goals_page(goals, str(result["machine"])), encoding="utf-8")
    console.print(f"figures: {RESULTS / 'latest.html'}")
    missed = [goal.what for goal in goals if goal.verdict == "missed"]
    console.print(f"missed: {'; '.join(missed)}" if missed else "every goal is met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
