"""A virtual host: one tenant's sessions and retained messages, over its exchange ``amq.topic``.

Contract: tcup sections 5.1 to 5.3.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from typing import TYPE_CHECKING

from asyncconn.sandbox.tcup.asking import read_json
from asyncconn.sandbox.tcup.broker import AMQ
from asyncconn.sandbox.tcup.streams.mqtt.sessions import Delivery, Session
from asyncconn.sandbox.tcup.streams.mqtt.topics import key_of, levels_of, matches, topic_of
from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from asyncconn.sandbox.tcup.broker import Broker, Message
    from asyncconn.sandbox.tcup.options import Options
    from asyncconn.sandbox.tcup.streams.mqtt.packets import Publish, Will
    from asyncconn.sandbox.tcup.tenants import Tenant

__all__ = ["Realm"]


class Realm:
    """What comes by MQTT is a message of the tenant's exchange, and what comes to that goes to the sessions."""

    def __init__(self, tenant: Tenant, broker: Broker, options: Options) -> None:
        self.tenant = tenant
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, Delivery] = {}
        self._broker = broker
        self._options = options
        self._numbers = itertools.count(1)
        broker.on_topic(AMQ, "#", self)

    def __repr__(self) -> str:
        return f"<Realm {self.tenant.vhost!r} {len(self.sessions)} sessions>"

    def publish(self, message: Publish | Will) -> None:
        """To the exchange, and to be retained where that is asked for."""
        qos = min(1, message.qos)
        if message.retain:
            topic = topic_of(message.topic)
            if message.payload:
                self.retained[topic] = Delivery(topic, message.payload, qos, retain=True)
            else:
                self.retained.pop(topic, None)
        body: object = message.payload
        with suppress(Refused):  # any bytes may be sent; rules want JSON
            body = read_json(message.payload)
        self._broker.to_topic(AMQ, key_of(message.topic), body, raw=message.payload, qos=qos)

    def take(self, message: Message) -> None:
        """Offer it to each session once, at the highest QoS of its fitting filters."""
        topic = topic_of(message.topic)
        for session in tuple(self.sessions.values()):
            if (qos := session.qos_for(topic)) is not None:
                session.offer(Delivery(topic, message.payload, min(qos, message.qos)))

    def remember(self, session: Session, filter_: str) -> None:
        """Offer what is retained for a filter."""
        levels, granted = levels_of(filter_), session.filters[filter_]
        for topic, kept in tuple(self.retained.items()):
            if matches(levels, topic):
                session.offer(Delivery(topic, kept.payload, min(granted, kept.qos), retain=True))

    def enter(self, client_id: str, *, clean: bool) -> tuple[Session, bool]:
        """The client's session, and whether there was one to go on with."""
        client_id = client_id or f"auto-{next(self._numbers)}"
        old = self.sessions.get(client_id)
        if old is not None and not clean and not old.clean:
            return old, True
        session = self.sessions[client_id] = Session(client_id, self._options, clean=clean)
        return session, False

    def leave(self, session: Session) -> None:
        """A client is gone; a clean session goes with it."""
        if session.clean and session.outlet is None and self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]
