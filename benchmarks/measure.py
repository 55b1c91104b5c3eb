"""What every measurement shares: the process's own CPU, peers in processes of their own, and ratios of medians."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

Figures = dict[str, float]


def cpu_seconds() -> float:
    """CPU time of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_mb() -> float:
    """The greatest resident size so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_peer(module: str, peer: str, *args: object) -> Figures:
    """One peer once, in a fresh process; its last line of output is its figures."""
    command = [sys.executable, "-m", f"benchmarks.{module}", peer, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{module} {peer} failed:\n{done.stderr[-2000:]}")
    figures: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


@dataclass
class Samples:
    """Figures of several peers, one run each per round, so that a noisy moment hits all alike.

    ``instructions`` are thousands a unit, of those that were counted.
    """

    runs: dict[str, list[Figures]] = field(default_factory=dict)
    instructions: dict[str, float] = field(default_factory=dict)

    def collect(self, module: str, peers: list[str], rounds: int, *args: object) -> None:
        for _ in range(rounds):
            for peer in peers:
                self.add(peer, module, peer, *args)

    def add(self, name: str, module: str, peer: str, *args: object) -> None:
        """One run more, which is shown as ``name``."""
        self.runs.setdefault(name, []).append(run_peer(module, peer, *args))

    def median(self, peer: str, figure: str) -> float:
        return statistics.median(run[figure] for run in self.runs[peer])

    def figures(self, peer: str) -> list[str]:
        return list(self.runs[peer][0]) if peer in self.runs else []

    def ratio(self, figure: str, ours: str, theirs: str) -> float:
        """The median over the rounds of ours to theirs in the same round."""
        pairs = zip(self.runs[ours], self.runs[theirs], strict=True)
        return statistics.median(a[figure] / b[figure] for a, b in pairs)


def report(figures: dict[str, Any]) -> None:
    """What a peer's process prints."""
    print(json.dumps(figures), flush=True)
