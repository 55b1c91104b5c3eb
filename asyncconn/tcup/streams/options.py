"""Where the MQTT broker is, and who asks. Contract: tcup sections 5.1, 10."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from asyncconn.core.durations import positive
from asyncconn.core.secret import Secret, is_secret, secret
from asyncconn.core.supervise import Reconnect
from asyncconn.errors import ConfigError
from asyncconn.tcup.streams.topics import encoded, topic_checked

__all__ = ["MqttOptions", "Will"]

_MOST = 268_435_455 - 65_537  # bytes: what a packet can hold beside the longest topic
_RECONNECT = Reconnect(initial=1.0, maximum=60.0)
_LONGEST = 65_535  # seconds, or bytes


class Will(NamedTuple):
    """What the broker publishes when the publisher's connection breaks without a goodbye."""

    topic: str
    payload: bytes = b""
    qos: int = 1
    retain: bool = False


@dataclass(frozen=True, kw_only=True)
class MqttOptions:
    """The ``mqtt`` of a client.

    ``username`` is ``vhost:user``. With ``tls`` (the default) the broker's certificate must be signed by an authority
    of the system, or of the PEM file ``ca_file``; ``tls_minimum`` is the lowest version, ``"1.2"`` or ``"1.3"``.
    ``topic`` is where publish and subscribe go if nothing else is said, ``keepalive`` seconds are the silence after
    which a connection is in doubt, ``max_payload`` the most bytes of a message that is published. ``will`` is a mapping
    of ``topic``, ``payload``, ``qos`` and ``retain``: published by the broker when the publisher disappears.
    ``max_pending`` messages are accepted before they are acknowledged, also while there is no connection; for more of
    them, publish waits, or raises ``BufferFull`` with ``overflow="raise"``. ``reconnect`` is how a broken connection is
    made anew.

    Raises ``ConfigError`` that names the option, and no credential.
    """

    host: str
    port: int = 8883
    tls: bool = True
    username: str | None = None
    password: Secret | None = None
    ca_file: str | None = None
    tls_minimum: str = "1.2"
    topic: str = "amq.topic"
    keepalive: int = 60
    max_payload: int = 16_777_216
    will: Will | None = None
    max_pending: int = 10_000
    overflow: Literal["wait", "raise"] = "wait"
    reconnect: Reconnect = _RECONNECT

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> MqttOptions:
        """From a mapping of these options, without those that are None."""
        options = {name: value for name, value in given.items() if value is not None}
        known = {field.name for field in fields(cls)}
        if strange := sorted(map(str, options.keys() - known)):
            raise ConfigError(f"mqtt: there is no option {strange[0]!r}: they are {', '.join(sorted(known))}")
        if "host" not in options:
            raise ConfigError("mqtt: host is missing: as an option, as ASYNCCONN_TCUP_MQTT_HOST, or in the file")
        if (password := options.get("password")) is not None:
            if not is_secret(password):
                raise ConfigError(f"mqtt: password is a text, not {type(password).__name__}")
            options["password"] = secret(password)
        if "ca_file" in options:
            options["ca_file"] = str(options["ca_file"])
        if isinstance(will := options.get("will"), Mapping):
            options["will"] = _will(will)
        return cls(**options)

    def __post_init__(self) -> None:
        kinds = {"host": str, "port": int, "tls": bool, "keepalive": int, "max_payload": int, "reconnect": Reconnect}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise ConfigError(f"mqtt: {name} is {kind.__name__}, not {type(value).__name__}")
        if not self.host.strip():
            raise ConfigError("mqtt: host is empty")
        if not 1 <= self.port <= _LONGEST:
            raise ConfigError(f"mqtt: port is 1 to {_LONGEST}, not {self.port}")
        if positive("mqtt: keepalive", self.keepalive) > _LONGEST:
            raise ConfigError(f"mqtt: keepalive is at most {_LONGEST} s, not {self.keepalive}")
        if not 1 <= self.max_payload <= _MOST:
            raise ConfigError(f"mqtt: max_payload is 1 to {_MOST:,} bytes, not {self.max_payload:,}")
        if self.username is None and self.password is not None:
            raise ConfigError("mqtt: a password needs a username")
        topic_checked(self.topic)


def _will(given: Mapping[str, Any]) -> Will:
    try:
        will = Will(**{**given, "payload": encoded(given.get("payload", b""), _LONGEST)})
    except TypeError as error:
        raise ConfigError(f"mqtt: will has topic, payload, qos and retain: {error}") from error
    topic_checked(will.topic)
    if will.qos not in (0, 1):
        raise ConfigError(f"mqtt: the will's qos is 0 or 1, not {will.qos!r}")
    return will
