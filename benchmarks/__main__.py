"""``make bench``: every goal of this stage, measured beside its peers, as ratios of runs that took turns.

``python -m benchmarks [ROUNDS] [PART...]`` with parts limiter, writer, spool, transport, polling, tcup, streams;
nine rounds by default.
Absolute figures differ between machines and hours; the ratios much less. The figures also go to
``benchmarks/results/latest.json``.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import streams as live
from benchmarks.measure import Samples
from benchmarks.sink import running

RECORDS = 200_000
REQUESTS = 4_000
OBSERVATIONS = 100_000
MESSAGES = 4_000
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Goal:
    """One line: what was measured, what was found, and what would be enough (and better still)."""

    part: str
    what: str
    found: float
    better: str  # "<=" or ">="
    enough: float
    ambition: float
    unit: str = "x"

    def meets(self, bar: float) -> bool:
        found = round(self.found, 3)
        return found <= bar if self.better == "<=" else found >= bar

    @property
    def verdict(self) -> str:
        if self.meets(self.ambition):
            return "ambition"
        return "met" if self.meets(self.enough) else "missed"


Part = tuple[list[Goal], dict[str, Samples]]


def limiter(rounds: int) -> Part:
    alone, thousand, many, cap = Samples(), Samples(), Samples(), Samples()
    ours, theirs = "asyncconn-whole", "aiolimiter"
    alone.collect("limiter", [theirs, "asyncconn", ours], rounds, "uncontended")
    thousand.collect("limiter", [theirs, ours], rounds, "contended", 1_000)
    many.collect("limiter", [theirs, ours], max(3, rounds // 3), "contended", 100_000)
    for seed in range(3):
        cap.collect("limiter", [theirs, "asyncconn"], 1, "cap", seed)
    one = alone.ratio("ns", "asyncconn", theirs)
    per_thousand = thousand.ratio("us_per_waiter", ours, theirs)
    per_many = many.ratio("us_per_waiter", ours, theirs)
    granted = cap.median("asyncconn", "of_ideal")
    refused = max(run["refused"] for run in cap.runs["asyncconn"])
    goals = [
        Goal("limiter", "one acquire, over aiolimiter's", one, "<=", 1.0, 0.7),
        Goal("limiter", "1,000 waiters, each, over aiolimiter's", per_thousand, "<=", 0.5, 0.35),
        Goal("limiter", "100,000 waiters, each, over aiolimiter's", per_many, "<=", 0.5, 0.35),
        Goal("limiter", "granted at full demand, of the ideal", granted, ">=", 0.98, 0.995),
        Goal("limiter", "refused by a counting server", refused, "<=", 0, 0, "calls"),
    ]
    return goals, {"alone": alone, "thousand": thousand, "many": many, "cap": cap}


def writer(rounds: int, url: str) -> Part:
    speed, memory = Samples(), Samples()
    peers = ["original", "original-timed", "floor", "write", "write-timed", "write_many"]
    speed.collect("writer", peers, rounds, url, RECORDS)
    memory.collect("writer", ["stalled"], 3, url, RECORDS)
    rate = speed.ratio("per_s", "write", "original")
    rate_many = speed.ratio("per_s", "write_many", "original")
    of_floor = speed.ratio("cpu_us", "floor", "write_many")
    cpu = speed.ratio("cpu_us", "write", "original")
    cpu_many = speed.ratio("cpu_us", "write_many", "original")
    p99 = speed.ratio("p99_us", "write-timed", "original-timed")
    grown = memory.median("stalled", "grown_mb")
    goals = [
        Goal("writer", "write(), records/s over the original's", rate, ">=", 10, 16),
        Goal("writer", "write_many(), records/s over the original's", rate_many, ">=", 15, 25),
        Goal("writer", "write_many(), the bare floor's CPU over ours", of_floor, ">=", 0.5, 0.8),
        Goal("writer", "write(), CPU over the original's", cpu, "<=", 0.1, 0.05),
        Goal("writer", "write_many(), CPU over the original's", cpu_many, "<=", 0.1, 0.05),
        Goal("writer", "p99 of one write() over the original's", p99, "<=", 0.1, 0.05),
        # Four batches and 32 MB; two batches and 16 MB.
        Goal("writer", "memory with a stalled server", grown, "<=", 33.0, 16.5, "MB"),
    ]
    return goals, {"speed": speed, "memory": memory}


def spool(rounds: int, url: str) -> Part:
    """Memory against ``kill`` (no fsync) and ``power`` (fsync), whose figures are more the disk's than ours."""
    samples: dict[str, Samples] = {}
    goals: list[Goal] = []
    ways = [
        ("many", "write_many()", RECORDS // 2, (0.5, 0.7), (0.4, 0.6)),
        ("tasks", "write() by 100 tasks", RECORDS // 10, (0.1, 0.2), (0.05, 0.1)),
        ("one", "write() by one task", RECORDS // 100, (0.01, 0.02), (0.004, 0.01)),
    ]
    for how, what, count, *bars in ways:
        some = samples[how] = Samples()
        stores = [f"{store}-{how}" for store in ("memory", "kill", "power")]
        some.collect("spool", stores, rounds, url, count)
        for store, words, (enough, ambition) in zip(stores[1:], ("", ", fsync"), bars, strict=True):
            found = some.ratio("per_s", store, stores[0])
            goals.append(Goal("spool", f"{what}{words}, records/s over memory's", found, ">=", enough, ambition))
    return goals, samples


def transport(rounds: int, url: str) -> Part:
    stack = Samples()
    stack.collect("transport", ["bare", "asyncconn"], 2 * rounds, url, REQUESTS)
    found = stack.ratio("cpu_us", "asyncconn", "bare")
    return [Goal("transport", "whole stack, CPU over bare aiohttp's", found, "<=", 1.1, 1.05)], {"stack": stack}


def polling() -> Part:
    jobs = Samples()
    jobs.collect("polling", ["every-second", "asyncconn"], 1)
    polls = jobs.ratio("polls", "asyncconn", "every-second")
    lag = jobs.median("asyncconn", "lag")
    goals = [
        Goal("polling", "polls over every second's", polls, "<=", 0.4, 0.35),
        Goal("polling", "median lag over the job's length", lag, "<=", 0.06, 0.05),
    ]
    return goals, {"jobs": jobs}


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
        Goal("tcup", "insert_many(), CPU over orjson and POST in a loop", inserted, "<=", 1.15, 1.05),
    ]
    return goals, {"frames": frames, "inserts": inserts}


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
    return goals, {"mqtt": mqtt, "websocket": websocket}


def measured(part: str, rounds: int, url: str) -> Part:
    if part == "writer":
        return writer(rounds, url)
    if part == "spool":
        return spool(rounds, url)
    if part == "transport":
        return transport(rounds, url)
    if part == "tcup":
        return tcup(rounds, url)
    if part == "streams":
        return streams(rounds)
    return limiter(rounds) if part == "limiter" else polling()


def shown(goals: list[Goal]) -> Table:
    table = Table(title="asyncconn beside its peers", title_justify="left")
    for name in ("part", "what", "found", "enough", "ambition", ""):
        table.add_column(name, justify="right" if name in ("found", "enough", "ambition") else "left")
    colours = {"ambition": "bold green", "met": "green", "missed": "bold red"}
    for goal in goals:
        unit = "" if goal.unit == "x" else f" {goal.unit}"
        found = f"{goal.found:.2f}{unit}"
        bars = [f"{goal.better} {bar:g}" for bar in (goal.enough, goal.ambition)]
        table.add_row(goal.part, goal.what, found, *bars, f"[{colours[goal.verdict]}]{goal.verdict}[/]")
    return table


def main() -> int:
    words = sys.argv[1:]
    rounds = int(words.pop(0)) if words and words[0].isdigit() else 9
    parts = words or ["limiter", "writer", "spool", "transport", "polling", "tcup", "streams"]
    goals: list[Goal] = []
    samples: dict[str, dict[str, Samples]] = {}
    console = Console()
    if not console.is_terminal:
        console.width = 110
    with running() as url:
        for part in parts:
            console.print(f"measuring {part}, {rounds} rounds ...")
            found, samples[part] = measured(part, rounds, url)
            goals += found
    console.print(shown(goals))
    console.print(
        "The original cannot be installed: its line is a stand-in of its documented algorithm (benchmarks/original.py)."
    )
    RESULTS.mkdir(exist_ok=True)
    result = {
        "python": platform.python_version(),
        "rounds": rounds,
        "goals": [{**asdict(goal), "verdict": goal.verdict} for goal in goals],
        "runs": {part: {name: s.runs for name, s in kept.items()} for part, kept in samples.items()},
    }
    (RESULTS / "latest.json").write_text(json.dumps(result, indent=1))
    missed = [goal.what for goal in goals if goal.verdict == "missed"]
    console.print(f"missed: {'; '.join(missed)}" if missed else "every goal is met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
