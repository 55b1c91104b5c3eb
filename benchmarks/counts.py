"""The ratios that are counted in instructions, for ``make bench`` to show and ``make bench-check`` to hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import instructions
from benchmarks.goals import Goal

if TYPE_CHECKING:
    from benchmarks.measure import Samples

REQUESTS, ROWS, RECORDS, CALLS = 800, 10_000, 20_000, 20_000


@dataclass(frozen=True)
class Ratio:
    """Instructions of ``peer`` over those of ``base``, each a unit of work."""

    part: str
    what: str
    peer: str
    base: str
    better: str
    enough: float
    ambition: float

    @property
    def held(self) -> bool:
        """Whether ``make bench-check`` holds it: no package but aiohttp and orjson has to do with the peer."""
        return bool({self.peer, self.base} & {"bare", "floor", "uncounted"})

    def goal(self, found: float) -> Goal:
        return Goal(self.part, f"{self.what}, instructions", found, self.better, self.enough, self.ambition)


RATIOS = [
    Ratio("limiter", "one acquire over aiolimiter's", "asyncconn", "aiolimiter", "<=", 0.7, 0.5),
    Ratio("writer", "write(), the fair floor over ours", "floor", "write", ">=", 0.62, 0.68),
    Ratio("writer", "write_many(), the fair floor over ours", "floor", "write_many", ">=", 0.8, 0.88),
    Ratio("transport", "whole stack over bare aiohttp", "asyncconn", "bare", "<=", 1.08, 1.0),
    Ratio("transport", "counted for hub.traffic over not counted", "asyncconn", "uncounted", "<=", 1.02, 1.01),
    Ratio("transport", "over aiohttp-retry and two aiolimiters", "asyncconn", "aiohttp-retry", "<=", 0.9, 0.8),
    Ratio("transport", "over tenacity and two aiolimiters", "asyncconn", "tenacity", "<=", 0.7, 0.6),
    Ratio(
        "shared",
        "acquire, sent and done of a shared window over aiolimiter's acquire",
        "shared",
        "aiolimiter",
        "<=",
        6,
        4,
    ),
    Ratio("tcup", "insert_many() over orjson and POST in a loop", "insert_many", "bare", "<=", 1.15, 1.05),
]


def arguments(part: str, url: str) -> tuple[object, ...]:
    """What a peer of ``part`` is given, for as much work as makes what happens once count for nothing."""
    every: dict[str, tuple[object, ...]] = {
        "limiter": ("uncontended",),
        "writer": (url, RECORDS),
        "transport": (url, REQUESTS),
        "tcup": (ROWS, url),
        "shared": (url, CALLS),
    }
    return every[part]


def counted(part: str, samples: Samples, url: str, ratios: list[Ratio] = RATIOS) -> list[tuple[Ratio, float]]:
    """Each of the ratios of ``part`` with what it is now, and the peers' own figures in ``samples``."""
    mine = [ratio for ratio in ratios if ratio.part == part]
    known = samples.instructions
    for peer in dict.fromkeys(peer for ratio in mine for peer in (ratio.base, ratio.peer)):
        known[peer] = instructions.counted(part, peer, *arguments(part, url))
    return [(ratio, known[ratio.peer] / known[ratio.base]) for ratio in mine]


def counted_goals(part: str, samples: Samples, url: str) -> list[Goal]:
    """As goals; none where nobody can count."""
    if not instructions.available():
        return []
    return [ratio.goal(found) for ratio, found in counted(part, samples, url)]
