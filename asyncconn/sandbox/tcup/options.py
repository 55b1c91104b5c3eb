"""How an embedded TCUP behaves where the platform leaves a choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from asyncconn.errors import ConfigError
from asyncconn.sandbox.tcup.voice import SPELLINGS

__all__ = ["Options"]


@dataclass(kw_only=True, slots=True)
class Options:
    """All but ``paths``, ``mqtt_port`` and ``mqtt_tls`` may be changed while it runs.

    ``auto_register``: sensors, their outputs and features come to be by being observed; else an observation of an
    unknown sensor is refused. ``rate``: requests a second and key, above it 429 (None: no limit; the contract's
    number is 100). ``auth_mode`` ``"jwt"`` asks for a token beside the key, signed with the tenant's symmetric key in
    ``symmetric_key_encoding``. ``paths`` moves services, by ``sos_path`` and its kin. ``inner``: how the status inside
    an SOS answer is spelled, one of :data:`~asyncconn.sandbox.tcup.voice.SPELLINGS`, with ``inner_digits`` as text.
    ``date_skew``: seconds that the platform's clock, ``Date`` header and token check, is ahead.

    MQTT: ``mqtt_port`` 0 takes a free one, None opens none; ``mqtt_tls`` are the files of a certificate and its key;
    ``mqtt_window``: messages that a client may leave unacknowledged; ``mqtt_renumber``: packet numbers begin anew with
    each connection, as on RabbitMQ, else they stay as on mosquitto; ``mqtt_qos2`` ``"refused"`` does not grant QoS 2 as
    1, and breaks off who publishes with it. ``ping``: seconds between a WebSocket's pings, and to wait for the answer;
    ``keep_alive``: seconds between the comments of a stream of events; ``buffer``: messages that a subscriber of either
    may be behind.

    Raises :class:`~asyncconn.errors.ConfigError` naming the field. Contract: tcup sections 1, 2, 4, 5 and 9.
    """

    auto_register: bool = False
    rate: int | None = None
    auth_mode: Literal["apikey", "jwt"] = "apikey"
    symmetric_key_encoding: Literal["utf8", "base64"] = "utf8"
    paths: Mapping[str, str] = field(default_factory=dict)
    inner: str = "code"
    inner_digits: bool = False
    date_skew: float = 0.0
    mqtt_port: int | None = 0
    mqtt_tls: tuple[str | Path, str | Path] | None = None
    mqtt_window: int = 10
    mqtt_renumber: bool = True
    mqtt_qos2: Literal["granted", "refused"] = "granted"
    ping: float = 20.0
    keep_alive: float = 15.0
    buffer: int = 1000

    def __post_init__(self) -> None:
        rate: object = self.rate
        if rate is not None and (not isinstance(rate, int) or isinstance(rate, bool) or rate < 1):
            raise _wrong("rate", rate, "is not a whole number, 1 or more")
        for name, words in (
            ("auth_mode", ("apikey", "jwt")),
            ("symmetric_key_encoding", ("utf8", "base64")),
            ("inner", SPELLINGS),
            ("mqtt_qos2", ("granted", "refused")),
        ):
            if getattr(self, name) not in words:
                raise _wrong(name, getattr(self, name), f"is not one of {', '.join(words)}")
        if not math.isfinite(self.date_skew):
            raise _wrong("date_skew", self.date_skew, "is not a finite number of seconds")
        for name in ("ping", "keep_alive", "buffer", "mqtt_window"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise _wrong(name, getattr(self, name), "is not above 0 and finite")


def _wrong(name: str, value: object, what: str) -> ConfigError:
    return ConfigError(f"world: {name}={value!r} {what}")
