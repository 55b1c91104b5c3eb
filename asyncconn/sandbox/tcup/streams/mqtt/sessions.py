"""What the broker keeps of a client: its filters, and the messages that it has not acknowledged.

Contract: tcup section 5.3.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from asyncconn.sandbox.tcup.streams.mqtt.topics import levels_of, matches

if TYPE_CHECKING:
    import asyncio

    from asyncconn.sandbox.tcup.options import Options

__all__ = ["Delivery", "Outlet", "Session"]

_MOST_WAITING = 100_000
_LAST_NUMBER = 65_535


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message for one client. ``dup``: it was on its way before."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    retain: bool = False
    dup: bool = False


class Outlet(Protocol):
    """A connection that takes deliveries, while it flows."""

    flowing: asyncio.Event

    def deliver(self, delivery: Delivery, number: int) -> None:
        """Write it out; ``number`` is its packet's, 0 at QoS 0."""
        ...


class Session:
    """A client's, with a connection or between two of them.

    ``filters`` are the granted QoS by filter; ``waiting`` has what was not sent yet, ``in_flight`` what was not
    acknowledged, by packet number. ``delivered`` counts what was sent, again included; ``acknowledged`` what the client
    said it has; ``dropped`` what found no room.
    """

    def __init__(self, client_id: str, options: Options, *, clean: bool) -> None:
        self.client_id = client_id
        self.clean = clean
        self.filters: dict[str, int] = {}
        self.waiting: deque[Delivery] = deque()
        self.in_flight: dict[int, Delivery] = {}
        self.outlet: Outlet | None = None
        self.delivered = 0
        self.acknowledged = 0
        self.dropped = 0
        self._options = options
        self._levels: dict[str, list[str]] = {}
        self._number = 0

    def __repr__(self) -> str:
        return f"<Session {self.client_id!r} {len(self.in_flight)} in flight, {len(self.waiting)} waiting>"

    @property
    def kept(self) -> list[Delivery]:
        """What the client will still get, in order."""
        return [*self.in_flight.values(), *self.waiting]

    # -- filters -------------------------------------------------------------------------------------------------------

    def subscribe(self, filter_: str, qos: int) -> None:
        """Grant a filter, or change its QoS."""
        self.filters[filter_] = qos
        self._levels[filter_] = levels_of(filter_)

    def unsubscribe(self, filter_: str) -> None:
        """Forget a filter, be it there or not."""
        self.filters.pop(filter_, None)
        self._levels.pop(filter_, None)

    def qos_for(self, topic: str) -> int | None:
        """The highest QoS of the filters that pick a topic; None where none does."""
        return max((qos for name, qos in self.filters.items() if matches(self._levels[name], topic)), default=None)

    # -- deliveries ----------------------------------------------------------------------------------------------------

    def offer(self, delivery: Delivery) -> None:
        """To be sent when its turn comes. Without a connection only QoS 1 is kept."""
        if self.outlet is None and not delivery.qos:
            return
        if len(self.waiting) >= _MOST_WAITING:
            self.dropped += 1
            return
        self.waiting.append(delivery)
        self.pump()

    def acknowledge(self, number: int) -> bool:
        """The client has it; False where nothing of this number is on its way."""
        if self.in_flight.pop(number, None) is None:
            return False
        self.acknowledged += 1
        self.pump()
        return True

    def attach(self, outlet: Outlet) -> None:
        """Deliver over this connection: first what was on its way over an earlier one."""
        self.outlet = outlet
        again = {number: replace(delivery, dup=True) for number, delivery in self.in_flight.items()}
        self.in_flight.clear()
        if self._options.mqtt_renumber:
            self._number = 0
            self.waiting.extendleft(reversed(again.values()))
        else:
            for number, delivery in again.items():
                self.in_flight[number] = delivery
            for number, delivery in again.items():
                self._send(delivery, number)
        self.pump()

    def detach(self, outlet: Outlet) -> None:
        """This connection is gone; nothing happens where another one has its place."""
        if self.outlet is outlet:
            self.outlet = None
            self.waiting = deque(delivery for delivery in self.waiting if delivery.qos)

    def pump(self) -> None:
        """Send what may be sent."""
        while self.waiting and self.outlet is not None and self.outlet.flowing.is_set():
            qos = self.waiting[0].qos
            if qos and len(self.in_flight) >= self._options.mqtt_window:
                return
            delivery = self.waiting.popleft()
            number = self._next_number() if qos else 0
            if qos:
                self.in_flight[number] = delivery
            self._send(delivery, number)

    def _send(self, delivery: Delivery, number: int) -> None:
        if self.outlet is not None:
            self.delivered += 1
            self.outlet.deliver(delivery, number)

    def _next_number(self) -> int:
        while True:
            self._number = self._number % _LAST_NUMBER + 1
            if self._number not in self.in_flight:
                return self._number
