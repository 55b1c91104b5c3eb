"""What goes wrong on a connection that stays: which one is struck, after how much, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Protocol

from asyncconn.errors import ConfigError
from asyncconn.sandbox.scripts import Planned, Script

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["KINDS", "Match", "Party", "StreamFault", "StreamFaults", "fits"]

KINDS: dict[str, str] = {
    "refuse": "the connect is answered with `code` (MQTT)",
    "silent": "the connect is taken, and never answered (MQTT)",
    "kill": "the connection breaks without a farewell",
    "close": "the connection is closed with `code` (WebSocket)",
    "stall": "nothing is read or written any more (with `seconds`: for so long)",
    "swallow_ack": "a message is taken, and never acknowledged (MQTT, WebSocket)",
    "delay_ack": "a message is acknowledged `seconds` later, and what came behind it later still (MQTT, WebSocket)",
}
_OF_A_CONNECTION = frozenset({"kill", "close", "stall"})


class Party(Protocol):
    """A connection, as a fault looks at it.

    ``protocol`` is ``mqtt``, ``websocket`` or ``sse``; ``name`` is MQTT's client id, else the end of the path; ``user``
    is the tenant's; ``messages`` counts those that passed, either way.
    """

    protocol: str
    name: str
    user: str

    @property
    def messages(self) -> int:
        """Those that passed."""
        ...


Match = str | Callable[[Party], bool] | None


def fits(match: Match, party: Party) -> bool:
    """Whether ``match``, a protocol, a name, a callable or None for all, picks this one."""
    if match is None or isinstance(match, str):
        return match in (None, party.protocol, party.name)
    return match(party)


@dataclass(frozen=True, slots=True)
class StreamFault:
    """One thing that goes wrong.

    ``kind`` is one of ``refuse``, ``silent``, ``kill``, ``close``, ``stall``, ``swallow_ack``, ``delay_ack``. It
    strikes the connections that ``match`` (a protocol, an MQTT client id, ``publish`` or ``subscribe``, a callable, or
    None for all). ``kill``, ``close`` and ``stall`` strike each of them once ``after`` messages have passed on it, with
    0 as soon as it is open; of the others, the first ``after`` connects or acknowledgements are let pass. At most
    ``times`` in all (None: no end).

    ``code`` belongs to ``refuse`` (1 to 5) and ``close`` (1000 to 4999), ``seconds`` to ``delay_ack`` and ``stall``.
    Raises :class:`~asyncconn.errors.ConfigError` naming the field. What goes wrong before a WebSocket or a stream of
    events is open, or a status to end it with, is a :class:`~asyncconn.sandbox.faults.Fault`.

        >>> StreamFault("kill", match="mqtt", after=10).times
        1
    """

    kind: str
    _: KW_ONLY
    match: Match = None
    after: int = 0
    times: int | None = 1
    code: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise _wrong("kind", self.kind, f"is not one of {', '.join(KINDS)}")
        if self.after < 0:
            raise _wrong("after", self.after, "is below 0")
        if self.times is not None and self.times < 1:
            raise _wrong("times", self.times, "is below 1")
        codes = {"refuse": range(1, 6), "close": range(1000, 5000)}.get(self.kind)
        if self.code is not None if codes is None else self.code not in codes:
            raise _wrong("code", self.code, f"does not fit {self.kind}")
        if self.kind == "delay_ack" and self.seconds is None:
            raise _wrong("seconds", None, "is missing: a delay needs them")
        if self.seconds is not None and (self.kind not in ("delay_ack", "stall") or not 0 <= self.seconds < 1e9):
            raise _wrong("seconds", self.seconds, f"does not fit {self.kind}")


def _wrong(field_name: str, value: object, what: str) -> ConfigError:
    return ConfigError(f"stream fault: {field_name}={value!r} {what}")


def _is_due(entry: Planned[StreamFault], party: Party) -> bool:
    if entry.fault.kind in _OF_A_CONNECTION:
        return party.messages >= entry.fault.after
    entry.seen += 1
    return entry.seen > entry.fault.after


class StreamFaults(Script[StreamFault]):
    """Faults in the order of their adding; the first whose turn it is strikes. ``hits`` counts them by kind.

    >>> faults = StreamFaults(StreamFault("kill"))
    >>> faults.add(StreamFault("refuse", code=3, times=2))
    >>> len(faults)
    2
    """

    def take(self, party: Party, kinds: Iterable[str], struck: set[object]) -> StreamFault | None:
        """The fault for this moment, counted as a hit, or None; none that is in ``struck``, where some are put."""
        for entry in self.planned:
            fault = entry.fault
            if not entry.on or fault.kind not in kinds or entry.used_up or entry in struck:
                continue
            if fits(fault.match, party) and _is_due(entry, party):
                if fault.kind in _OF_A_CONNECTION:
                    struck.add(entry)
                return self.strike(entry)
        return None
