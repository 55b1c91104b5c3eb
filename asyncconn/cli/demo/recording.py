"""What happened when, in the parts of the demonstration: told by them where it happens, for the report to draw."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncconn.core.progress import displayed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncconn.core.progress import OnProgress, Progress

__all__ = ["Recording", "mark", "recorded"]

Points = list[tuple[float, float]]

_CONNECTIONS = logging.getLogger("asyncconn.supervise")  # tells of each that is live, or lost
_recording: ContextVar[Recording | None] = ContextVar("asyncconn_demo_recording", default=None)


@dataclass
class Recording:
    """Points of time, in seconds of the clock that a part runs by, and values, by ``part/what``."""

    series: dict[str, Points] = field(default_factory=lambda: defaultdict(list))
    waits: int = 0  # that polled

    def of(self, part: str) -> dict[str, Points]:
        """Those of a part by what they are, in seconds since the first of them."""
        found = {name.partition("/")[2]: points for name, points in self.series.items() if name.startswith(f"{part}/")}
        begun = min((at for points in found.values() for at, _ in points), default=0.0)
        return {name: sorted((at - begun, value) for at, value in points) for name, points in found.items()}

    def begun(self, what: str) -> OnProgress:
        """Work begins that tells how far it is: of what polls, each poll is a point."""
        wait: list[int] = []

        def told(now: Progress) -> None:
            if now.unit == "polls":
                if not wait:
                    self.waits += 1
                    wait.append(self.waits)
                    mark(f"polls {wait[0]}/{what}", 0)
                mark(f"polls {wait[0]}/{what}", now.done)

        return told


def mark(name: str, value: float, at: float | None = None) -> None:
    """A point of a series, now or ``at`` a time of the loop's clock. Nothing where nobody records."""
    recording = _recording.get()
    if recording is not None:
        recording.series[name].append((asyncio.get_running_loop().time() if at is None else at, value))


@contextmanager
def recorded() -> Iterator[Recording]:
    """Record what is marked in the block, each poll, and each connection that comes up or breaks."""
    recording, level = Recording(), _CONNECTIONS.level
    token = _recording.set(recording)
    handler = _Connections()
    _CONNECTIONS.addHandler(handler)
    _CONNECTIONS.setLevel(logging.INFO)
    try:
        with displayed(recording.begun):
            yield recording
    finally:
        _CONNECTIONS.setLevel(level)
        _CONNECTIONS.removeHandler(handler)
        _recording.reset(token)


class _Connections(logging.Handler):
    """Takes what is logged of connections."""

    def emit(self, line: logging.LogRecord) -> None:
        words = {"connection %d is live": 1.0, "connection lost": 0.0}
        state = next((value for text, value in words.items() if text in str(line.msg)), None)
        if state is not None and isinstance(line.args, tuple) and line.args:
            mark(f"connections/{line.args[0]}", state)
