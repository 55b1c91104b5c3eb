"""MQTT, WebSocket and server-sent events, joined to the tenant's exchanges and queues."""

from asyncconn.sandbox.tcup.streams.connections import Books, Connection, Streams
from asyncconn.sandbox.tcup.streams.events import Events, EventStream, stream
from asyncconn.sandbox.tcup.streams.faults import StreamFault, StreamFaults
from asyncconn.sandbox.tcup.streams.mqtt import Delivery, MqttServer, Realm, Session
from asyncconn.sandbox.tcup.streams.sources import Source
from asyncconn.sandbox.tcup.streams.websocket import WebSockets

__all__ = [
    "Books",
    "Connection",
    "Delivery",
    "EventStream",
    "Events",
    "MqttServer",
    "Realm",
    "Session",
    "Source",
    "StreamFault",
    "StreamFaults",
    "Streams",
    "WebSockets",
    "stream",
]
