"""What a world shows of itself: on the sandbox's page, and to programs that ask for its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Channel", "Gap", "Gauge", "View", "Work"]


@dataclass(frozen=True, slots=True)
class Gauge:
    """An allowance as it fills: ``used`` of ``limit``, in ``unit``; more comes back in ``resets_in`` seconds."""

    name: str
    used: float
    limit: float
    unit: str = "calls"
    resets_in: float | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What takes its time: a task, a workflow, a job, a connection to be made. ``active``: it is not at its end."""

    kind: str
    id: str
    name: str
    status: str
    active: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """A connection that stays, or what is kept for one that is to come back (``connected`` says which).

    ``received`` and ``sent`` count messages as the sandbox sees them; ``waiting`` are still to be sent, ``in_flight``
    not acknowledged, ``dropped`` found no room.
    """

    protocol: str
    name: str
    about: str = ""
    connected: bool = True
    received: int = 0
    sent: int = 0
    waiting: int = 0
    in_flight: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without the connection of a client. ``ago``: seconds since it began; ``over``: the client is back."""

    protocol: str
    name: str
    about: str
    ago: float
    seconds: float
    over: bool


@dataclass(frozen=True, slots=True)
class View:
    """A world at a moment; whatever it does not have stays empty. ``tables`` are rows by table."""

    counters: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[str, int] = field(default_factory=dict)
    gauges: Sequence[Gauge] = ()
    work: Sequence[Work] = ()
    channels: Sequence[Channel] = ()
    gaps: Sequence[Gap] = ()
