"""The embedded MQTT 3.1.1 broker, which keeps messages as RabbitMQ does."""

from asyncconn.sandbox.tcup.streams.mqtt.realm import Realm
from asyncconn.sandbox.tcup.streams.mqtt.server import MqttServer
from asyncconn.sandbox.tcup.streams.mqtt.sessions import Delivery, Session

__all__ = ["Delivery", "MqttServer", "Realm", "Session"]
