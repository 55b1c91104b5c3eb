"""How an embedded TCUP behaves where the platform leaves a choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from asyncconn.errors import ConfigError
from asyncconn.sandbox.tcup.voice import SPELLINGS

__all__ = ["Options"]


@dataclass(kw_only=True, slots=True)
class Options:
    """All but ``paths`` may be changed while it runs.

    ``auto_register``: sensors, their outputs and features come to be by being observed; else an observation of an
    unknown sensor is refused. ``rate``: requests a second and key, above it 429 (None: no limit; the contract's
    number is 100). ``auth_mode`` ``"jwt"`` asks for a token beside the key, signed with the tenant's symmetric key in
    ``symmetric_key_encoding``. ``paths`` moves services, by ``sos_path`` and its kin. ``inner``: how the status inside
    an SOS answer is spelled, one of :data:`~asyncconn.sandbox.tcup.voice.SPELLINGS`, with ``inner_digits`` as text.
    ``date_skew``: seconds that the platform's clock, ``Date`` header and token check, is ahead.

    Raises :class:`~asyncconn.errors.ConfigError` naming the field. Contract: tcup sections 1, 2 and 9.
    """

    auto_register: bool = False
    rate: int | None = None
    auth_mode: Literal["apikey", "jwt"] = "apikey"
    symmetric_key_encoding: Literal["utf8", "base64"] = "utf8"
    paths: Mapping[str, str] = field(default_factory=dict)
    inner: str = "code"
    inner_digits: bool = False
    date_skew: float = 0.0

    def __post_init__(self) -> None:
        rate: object = self.rate
        if rate is not None and (not isinstance(rate, int) or isinstance(rate, bool) or rate < 1):
            raise _wrong("rate", rate, "is not a whole number, 1 or more")
        for name, words in (
            ("auth_mode", ("apikey", "jwt")),
            ("symmetric_key_encoding", ("utf8", "base64")),
            ("inner", SPELLINGS),
        ):
            if getattr(self, name) not in words:
                raise _wrong(name, getattr(self, name), f"is not one of {', '.join(words)}")
        if not math.isfinite(self.date_skew):
            raise _wrong("date_skew", self.date_skew, "is not a finite number of seconds")


def _wrong(name: str, value: object, what: str) -> ConfigError:
    return ConfigError(f"world: {name}={value!r} {what}")
