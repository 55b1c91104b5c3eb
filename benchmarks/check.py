"""``make bench-check``: the ratios in instructions are within 3 % of the recorded ones, and what a machine and its
servers have a hand in is within three times its goal.

``python -m benchmarks.check`` compares, ``python -m benchmarks.check record`` writes ``benchmarks/recorded.json`` anew,
which belongs into the commit that moved a ratio, better or worse. Another version of aiohttp, orjson or Python moves
them too: then this tells what it found, and fails nothing.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks import counts, instructions
from benchmarks.goals import Goal, partition_goals
from benchmarks.measure import Samples
from benchmarks.sink import running

RECORDED = Path(__file__).parent / "recorded.json"
TOLERANCE = 0.03
WIDE = 3.0  # times what is enough
PARTITIONS = 50_000


def versions() -> dict[str, str]:
    """Of what a ratio depends on beside this project."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("aiohttp", "orjson")}}


def measured() -> dict[str, float]:
    held = [ratio for ratio in counts.RATIOS if ratio.held]
    found: dict[str, float] = {}
    with running() as url:
        for part in dict.fromkeys(ratio.part for ratio in held):
            for ratio, now in counts.counted(part, Samples(), url, held):
                found[f"{part}: {ratio.what}"] = round(now, 4)
    return found


def strayed(now: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """The ratios that are further from the recorded ones than the tolerance, or are in one of the two only."""
    return [
        what
        for what in dict.fromkeys([*recorded, *now])
        if what not in now or what not in recorded or abs(now[what] / recorded[what] - 1) > TOLERANCE
    ]


def wide() -> list[Goal]:
    """The goals that are bounded only: shared rates beside a server, partitions over a cluster."""
    partitions = Samples()
    partitions.collect("collect", ["cluster"], 1, PARTITIONS)
    return [*counts.counted_goals("shared", Samples(), ""), *partition_goals(partitions, PARTITIONS)]


def told(goal: Goal) -> bool:
    """Print one of them; whether it is within its bound."""
    print(f"{goal.part}: {goal.what:60} {goal.found:7.3f}  at most {WIDE * goal.enough:7.3f}")
    return goal.meets(WIDE * goal.enough)


def main() -> int:
    if not instructions.available():
        print("valgrind is not installed: on Debian, apt-get install valgrind", file=sys.stderr)
        return 1
    here, now = versions(), measured()
    if sys.argv[1:] == ["record"]:
        RECORDED.write_text(json.dumps({"versions": here, "ratios": now}, indent=1) + "\n")
    recorded = json.loads(RECORDED.read_text())
    moved = strayed(now, recorded["ratios"])
    for what, ratio in now.items():
        print(f"{what:60} {ratio:7.3f}  recorded {recorded['ratios'].get(what, float('nan')):7.3f}")
    beyond = [goal.what for goal in wide() if not told(goal)]
    if beyond:
        print(f"beyond {WIDE:g} times the goal: {'; '.join(beyond)}")
        return 1
    if not moved:
        return 0
    print(f"not within {TOLERANCE:.0%}: {'; '.join(moved)}")
    others = [
        f"{name} {here[name]} (recorded: {old})" for name, old in recorded["versions"].items() if here[name] != old
    ]
    if others:
        print(f"that is no failure, as the versions differ: {', '.join(others)}")
        return 0
    print("a change that is meant is recorded with: make bench-check ARGS=record")
    return 1


if __name__ == "__main__":
    sys.exit(main())
